"""Keyward nodes on one database, for the experiments beside this. All answer for one authority, as behind a load balancer, so
that what was signed once can be sent to each."""

import re
import signal
import subprocess
import sys
from pathlib import Path

AUTHORITY = "127.0.0.1:8080"


def run(binary, *arguments):
    """Runs a command on the host to its end."""
    done = subprocess.run([binary, *map(str, arguments)], capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        sys.exit(f"keyward {' '.join(map(str, arguments))} failed: {done.stderr or done.stdout}")
    return done.stdout


class Installation:
    """An installation with an admin, who has a key and a workspace `acme`."""

    def __init__(self, binary, directory, database_url, key):
        self.binary, self.directory, self.database_url = binary, Path(directory), database_url
        home = self.data("host")
        home.mkdir()
        (self.directory / "id.pub").write_text(key.openssh + "\n")
        at = ["--data", home, "--database-url", database_url]
        run(binary, "admin", "create-user", *at, "--email", "a@example.com", "--name", "A")
        run(binary, "admin", "create-workspace", *at, "--name", "A", "--slug", "acme", "--admin", "a@example.com")
        run(binary, "admin", "add-key", *at, "--user", "a@example.com", "--title", "k", "--public-key-file", self.directory / "id.pub")
        run(binary, "admin", "set-quota", *at, "--workspace", "acme", "--keys-per-user", "100000")

    def data(self, name):
        return self.directory / name


class Node:
    """A server of an installation. It can be killed and started again."""

    def __init__(self, installation, name, database_url, lease=2):
        self.installation, self.name, self.database_url, self.lease = installation, name, database_url, lease
        data = installation.data(name)
        data.mkdir()
        # Every node holds the installation's key.
        (data / "installation.key").write_bytes((installation.data("host") / "installation.key").read_bytes())
        (data / "installation.key").chmod(0o600)
        self.log = open(data / "log", "a")
        self.start()

    def start(self):
        command = [self.installation.binary, "serve", "--data", self.installation.data(self.name), "--listen", "127.0.0.1:0"]
        self.process = subprocess.Popen(
            [*command, "--public-url", f"http://{AUTHORITY}"],
            env={"KEYWARD_DATABASE_URL": self.database_url, "KEYWARD_LEASE": str(self.lease), "PATH": "/usr/bin:/bin"},
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )
        for line in self.process.stdout:
            if found := re.search(r"listens on http://(\S+)", line):
                self.address = found[1]
                return
        sys.exit(f"node {self.name} did not start: {(self.installation.data(self.name) / 'log').read_text()[-2000:]}")

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        """Ends it as a service manager does; resumes it first where it was stopped."""
        if self.process.poll() is None:
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self.kill()
