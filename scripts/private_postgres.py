"""A private PostgreSQL for the experiments in this directory: a cluster in a temporary directory, reached over a socket there, and
removed with the experiment. Under root, it runs as the user `nobody`, because the server refuses to run as root."""

import glob
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

NOBODY = 65534


def programs():
    """The directory of PostgreSQL's programs. Debian keeps them outside the PATH, by version."""
    versions = sorted((int(Path(path).parts[-3]), Path(path).parent) for path in glob.glob("/usr/lib/postgresql/*/bin/initdb"))
    if versions:
        return versions[-1][1]
    if found := shutil.which("initdb"):
        return Path(found).parent
    raise SystemExit("PostgreSQL 15 or later must be installed: run scripts/setup")


class Cluster:
    """A running server. As a context manager, it is stopped and removed at the end.

    A copy of another cluster, made by pg_basebackup while that one runs, is its standby, or a `backup` that is not started yet."""

    def __init__(self, settings=(), copy_of=None, backup=False):
        self.programs = programs()
        self.directory = Path(tempfile.mkdtemp(prefix="kw-pg-"))
        if os.geteuid() == 0:
            os.chown(self.directory, NOBODY, NOBODY)
        self.data = self.directory / "data"
        self.settings = ["listen_addresses=", "max_connections=200", "shared_buffers=64MB", "log_min_messages=error", *settings]
        if copy_of is None:
            self.run("initdb", "-D", self.data, "-U", "keyward", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
        else:
            # -R makes it a standby of the other one.
            standby = [] if backup else ["-R"]
            self.run("pg_basebackup", "-D", self.data, "-h", copy_of.directory, "-U", "keyward", "-X", "stream", "-c", "fast", *standby)
        if not backup:
            self.start()

    def run(self, program, *arguments, check=True):
        """Runs one of PostgreSQL's programs, and returns what it printed."""
        command = [str(self.programs / program), *map(str, arguments)]
        if os.geteuid() == 0:
            command = ["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups", "--", *command]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd="/", timeout=120
        )
        if check and done.returncode != 0:
            raise SystemExit(f"{program} failed: {done.stderr or done.stdout}")
        return done.stdout

    def control(self, what, *more, check=True):
        options = " ".join(f"-c '{setting}'" for setting in self.settings) + f" -k '{self.directory}'"
        command = ["-D", self.data, "-s", "-w", "-l", self.directory / "log", "-o", options, *more, what]
        # The server inherits what pg_ctl has open, so none of it may be a pipe.
        command = [str(self.programs / "pg_ctl"), *map(str, command)]
        if os.geteuid() == 0:
            command = ["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups", "--", *command]
        null = subprocess.DEVNULL
        done = subprocess.run(command, stdin=null, stdout=null, stderr=null, cwd="/", timeout=120)
        if check and done.returncode != 0:
            raise SystemExit(f"pg_ctl {what} failed: {(self.directory / 'log').read_text()}")

    def start(self):
        self.control("start")

    def stop(self, mode="immediate"):
        self.control("stop", "-m", mode, check=False)

    def promote(self):
        self.control("promote")

    def require_standby(self):
        """From now on, a commit waits until a standby has it. Returns once there is such a standby."""
        self.query("ALTER SYSTEM SET synchronous_standby_names = '*'")
        self.query("SELECT pg_reload_conf()")
        for _ in range(600):
            if self.query("SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'"):
                return
            time.sleep(0.05)
        raise SystemExit("no standby came up within 30 s")

    def query(self, sql):
        return self.run("psql", "-h", self.directory, "-U", "keyward", "-d", "postgres", "-AtXc", sql).strip()

    @property
    def socket(self):
        """The path of the server's socket."""
        return str(self.directory / ".s.PGSQL.5432")

    @property
    def url(self):
        return f"postgres://keyward@{str(self.directory).replace('/', '%2F')}/postgres"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Stops and removes it. A second call does nothing."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)
