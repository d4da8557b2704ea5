"""A server on one processor core and the load generator on another one, for the measurements in this directory."""

import base64
import json
import os
import re
import sqlite3
import statistics
import subprocess
import sys
from pathlib import Path

from keyward_client import Key
from keyward_nodes import AUTHORITY, key_id, run

ROOT = Path(__file__).resolve().parent.parent
# The trusted proxy, and another client.
PROXY, CLIENT = "127.0.0.2", "127.0.0.1"
SETTINGS = f"""\
trusted_proxies = ["{PROXY}"]
proxied_hosts = ["api.example.com"]
[rate_limits]
per_address = 0
per_key = 0
"""


def two_cores():
    """The core of the server, and the one of the load generator."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        sys.exit("two processor cores are needed: one for the server and one for the load generator")
    return cores[:2]


def build_generator(target, **env):
    """Builds the load generator. Returns its path."""
    command = ["cargo", "build", "--quiet", "--release", "--locked", "--package", "load-generator", "--target-dir", target]
    subprocess.run(command, check=True, cwd=ROOT, env=os.environ | env)
    return target / "release" / "load-generator"


def generated_keys(generator, count):
    """The key pairs of the load generator: the fingerprint of each, and its public key in SSH's format, in base64."""
    lines = subprocess.run([generator, "keys", "--keys", str(count)], stdout=subprocess.PIPE, text=True, check=True).stdout
    return [line.split() for line in lines.splitlines()]


def on_core(core):
    return lambda: os.sched_setaffinity(0, [core])


def measure(core, *command):
    done = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, text=True, preexec_fn=on_core(core))
    if done.returncode:
        sys.exit(f"{command[0]} failed")
    return json.loads(done.stdout)


def pauses(core, seconds=1):
    """How long a process that is alone on the core does not run: the share of the time, and the longest pause in milliseconds. On a
    virtual machine, others on the host take this time, and response times contain it."""
    code = (
        "import gc, json, sys, time\n"
        "gc.disable()\n"
        "now = time.perf_counter\n"
        "lost, longest, last = 0.0, 0.0, now()\n"
        "end = last + float(sys.argv[1])\n"
        "while last < end:\n"
        "    at = now()\n"
        "    if at - last > 0.0001:\n"
        "        lost, longest = lost + at - last, max(longest, at - last)\n"
        "    last = at\n"
        "print(json.dumps([lost / float(sys.argv[1]), longest * 1000]))\n"
    )
    return measure(core, sys.executable, "-c", code, seconds)


def spread(values, digits=0):
    return f"{statistics.median(values):,.{digits}f} ({min(values):,.{digits}f} to {max(values):,.{digits}f})"


def processor():
    """The model of the processor, and whether it has the instructions for fast verification."""
    text = Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*:\s*(.+)", text)
    return f"{model[1] if model else '?'}, avx2: {' avx2 ' in text}, avx512ifma: {' avx512ifma ' in text}"


class Server:
    """An installation with these keys, and its server on one core."""

    def __init__(self, binary, directory, keys, core, settings=SETTINGS):
        self.data, configuration = Path(directory) / "data", Path(directory) / "keyward.toml"
        self.log = Path(directory) / "log"
        configuration.write_text(settings)
        at = ["--data", self.data]
        (Path(directory) / "id.pub").write_text(Key().openssh + "\n")
        run(binary, "admin", "create-user", *at, "--email", "a@example.com", "--name", "A", "--operator")
        run(binary, "admin", "create-workspace", *at, "--name", "A", "--slug", "acme", "--admin", "a@example.com")
        self.insert_keys(keys)
        self.process = subprocess.Popen(
            [binary, "serve", *map(str, at), "--listen", "127.0.0.1:0", "--public-url", f"http://{AUTHORITY}"],
            env={"KEYWARD_CONFIG": str(configuration), "PATH": "/usr/bin:/bin"},
            stdout=subprocess.PIPE,
            stderr=open(self.log, "w"),
            text=True,
            preexec_fn=on_core(core),
        )
        for line in self.process.stdout:
            if found := re.search(r"listens on http://(\S+)", line):
                self.address = found[1]
                return
        sys.exit(f"the server did not start: {self.log.read_text()[-2000:]}")

    def insert_keys(self, keys):
        """Writes keys directly into the database: registering each takes long, and is not measured here."""
        [path] = self.data.glob("keyward.db")
        with sqlite3.connect(path) as database:
            [[owner]] = database.execute("SELECT id FROM users").fetchall()
            database.executemany(
                "INSERT INTO api_keys (id, owner_id, title, fingerprint, public_key, disabled, suspended, created_by, created_at) "
                "VALUES (?, ?, 'k', ?, ?, FALSE, FALSE, 'host', 1700000000000000)",
                [(key_id(n + 1), owner, fingerprint, base64.b64decode(blob)) for n, (fingerprint, blob) in enumerate(keys)],
            )
        database.close()

    def memory(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=60)
