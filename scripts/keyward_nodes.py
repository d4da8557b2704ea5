"""Keyward nodes on one database, for the experiments in this directory. All answer for one authority, as behind a load balancer,
so that one signed request can be sent to each."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from keyward_client import Client
from wall_clock import WallClock

AUTHORITY = "127.0.0.1:8080"
DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"


def program(path):
    """The absolute path of a built `keyward`. If there is none, the script exits and says what to do."""
    found = Path(path).resolve()
    if not (found.is_file() and os.access(found, os.X_OK)):
        sys.exit(f"There is no program {path}: build it with `cargo build`, or name one with --binary")
    return str(found)


def key_id(number):
    """`key_` and 26 digits of base 32."""
    digits = ""
    for _ in range(26):
        number, digit = divmod(number, 32)
        digits = DIGITS[digit] + digits
    return "key_" + digits


def run(binary, *arguments, fails=False):
    """Runs a command on the host to its end. Returns its output, or, if it has to fail, its error."""
    done = subprocess.run([binary, *map(str, arguments)], capture_output=True, text=True, timeout=120)
    if (done.returncode != 0) != fails:
        how = "did not fail" if fails else "failed"
        sys.exit(f"keyward {' '.join(map(str, arguments))} {how}: {done.stderr or done.stdout}")
    return done.stdout + done.stderr if fails else done.stdout


class Installation:
    """An installation with an admin, who has a key and a workspace `acme`. Without a URL, it has the embedded database."""

    def __init__(self, binary, directory, database_url, key):
        self.binary, self.directory, self.database_url = binary, Path(directory), database_url
        # An experiment sends more requests than any client.
        self.configuration = self.data("keyward.toml")
        self.configuration.write_text("[rate_limits]\nper_address = 0\nper_key = 0\n")
        home = self.data("host")
        home.mkdir()
        (self.directory / "id.pub").write_text(key.openssh + "\n")
        at = ["--data", home] + (["--database-url", database_url] if database_url else [])
        run(binary, "admin", "create-user", *at, "--email", "a@example.com", "--name", "A")
        run(binary, "admin", "create-workspace", *at, "--name", "A", "--slug", "acme", "--admin", "a@example.com")
        run(binary, "admin", "add-key", *at, "--user", "a@example.com", "--title", "k", "--public-key-file", self.directory / "id.pub")
        run(binary, "admin", "set-quota", *at, "--workspace", "acme", "--keys-per-user", "100000")

    def data(self, name):
        return self.directory / name

    def copy_key(self, name):
        """Makes a data directory with the installation key, which every node and every command needs."""
        data = self.data(name)
        data.mkdir()
        (data / "installation.key").write_bytes((self.data("host") / "installation.key").read_bytes())
        (data / "installation.key").chmod(0o600)
        return data


class Node:
    """A server of an installation. It can be killed and started again, also with another binary, and its wall clock can be moved.
    With `serves`, it always listens there; without, at a free port of 127.0.0.1. It keeps answering for `drain` seconds after it
    was told to stop. An installation with the embedded database has one node at a time."""

    def __init__(self, installation, name, database_url, lease=2, serves="127.0.0.1:0", drain=0):
        self.installation, self.name, self.database_url, self.lease = installation, name, database_url, lease
        self.binary, self.serves, self.drain = installation.binary, serves, drain
        self.home = installation.copy_key(name) if database_url else installation.data("host")
        self.log = open(self.home / "log", "a")
        self.start()

    def start(self):
        command = [self.binary, "serve", "--data", self.home, "--listen", self.serves]
        # Its wall clock, if that was moved, and the seconds that it is ahead.
        self.wall_clock, self.ahead = None, 0
        self.process = subprocess.Popen(
            [*command, "--public-url", f"http://{AUTHORITY}"],
            env={
                "KEYWARD_CONFIG": str(self.installation.configuration),
                **({"KEYWARD_DATABASE_URL": self.database_url} if self.database_url else {}),
                "KEYWARD_DRAIN": str(self.drain),
                "KEYWARD_LEASE": str(self.lease),
                # A log line for each of a million requests would fill the disk.
                "KEYWARD_LOG": "warn",
                "PATH": "/usr/bin:/bin",
            },
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )
        for line in self.process.stdout:
            if found := re.search(r"listens on http://(\S+)", line):
                self.address = found[1]
                return
        sys.exit(f"node {self.name} did not start: {(self.home / 'log').read_text()[-2000:]}")

    def client(self, key, timeout=20):
        """A client that signs with this key for this node, by the node's clock."""
        return Client(AUTHORITY, key, self.address, timeout, self.ahead)

    def move_wall_clock(self, seconds):
        """Moves it so many seconds ahead of the true time, or behind it."""
        self.wall_clock = self.wall_clock or WallClock(self.process.pid)
        self.wall_clock.move(seconds)
        self.ahead = seconds

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        """Stops it as a service manager does. Resumes it first if it was paused."""
        if self.process.poll() is None:
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self.kill()
