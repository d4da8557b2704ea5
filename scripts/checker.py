"""Sends requests with several keys to one Keyward node without a pause, for the experiments in this directory. Each checker is a
process of its own, so that it and the experiment do not wait for each other. All times come from CLOCK_MONOTONIC, which all
processes share."""

import collections
import http.client
import json
import multiprocessing
import os
import select
import time

from keyward_client import Client, Key
from keyward_nodes import AUTHORITY

# The outcome of a request. Any other outcome is its status, with the reason if a 401 has one. Only the holder of a key that is not
# revoked gets a reason.
ACCEPTED, REFUSED, UNAVAILABLE, SILENT = "accepted", "refused", "unavailable", "no answer"

ME = "/api/v1/me"
PAUSE = 0.001
# A request without an answer by then is put aside, and the next one is sent on a new connection. So a paused node that resumes
# finds requests from the whole time of its pause.
SLOW = 0.05
ASIDE = 40
# One request in so many uses a key that is not in the focus.
OTHERS = 4
# The least time for which requests continue after the last revocation.
AFTERWARDS = 0.15
# A signed request is reused for so long: its signature expires after a minute.
SIGNED_FOR = 20


class Asking:
    """The side of the checker that runs in its process."""

    def __init__(self, pipe):
        self.pipe, self.parent = pipe, os.getppid()
        self.address, self.ahead, self.connection = None, 0, None
        self.begin({})

    def begin(self, keys):
        self.keys = {name: Key(secret) for name, secret in keys.items()}
        self.signed, self.focus, self.history, self.aside, self.count = {}, [], [], [], 0
        self.waits_for_acceptance = bool(keys)
        self.seen, self.refused_at, self.returned, self.deadline = set(), dict.fromkeys(keys, 0.0), None, None

    def follow(self, address, ahead):
        if (address, ahead) == (self.address, self.ahead):
            return
        self.address, self.ahead, self.signed = address, ahead, {}
        self.disconnect()

    def disconnect(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    def run(self):
        # The parent process may be killed.
        while os.getppid() == self.parent:
            while self.pipe.poll(0 if self.keys else 0.5):
                name, *arguments = self.pipe.recv()
                match name:
                    case "begin":
                        self.begin(*arguments)
                    case "follow":
                        self.follow(*arguments)
                    case "focus":
                        (self.focus,) = arguments
                    case "end":
                        self.returned, self.deadline = arguments
            if self.keys:
                if len(self.aside) < ASIDE:
                    self.ask(self.next())
                self.collect()
                self.report()
                time.sleep(PAUSE)

    def next(self):
        self.count += 1
        focus = self.focus
        if self.waits_for_acceptance:
            focus = [name for name in self.keys if name not in self.seen]
        elif self.returned is not None:
            focus = self.unrefused()
        if not focus or self.count % OTHERS == 0:
            focus, at = list(self.keys), self.count // OTHERS
        else:
            at = self.count
        return focus[at % len(focus)]

    def unrefused(self):
        return [name for name, returned in self.returned.items() if self.refused_at[name] <= returned]

    def ask(self, name):
        client = Client(AUTHORITY, self.keys[name], self.address, timeout=20, ahead=self.ahead)
        if name not in self.signed or time.monotonic() - self.signed[name][1] > SIGNED_FOR:
            self.signed[name] = client.sign("GET", ME, b""), time.monotonic()
        self.connection = self.connection or client.connection
        asked_at = time.monotonic()
        try:
            self.connection.request("GET", ME, headers=self.signed[name][0])
            if not select.select([self.connection.sock], [], [], SLOW)[0]:
                self.aside.append((self.connection, name, asked_at))
                self.connection = None
                return
        except (OSError, http.client.HTTPException):
            self.disconnect()
            self.record(name, asked_at, SILENT)
            time.sleep(0.01)
            return
        if not self.read(self.connection, name, asked_at):
            self.disconnect()

    def read(self, connection, name, asked_at):
        """Reads the answer that has arrived. Returns False if the connection cannot be used any more."""
        try:
            answer = connection.getresponse()
            status, body = answer.status, answer.read()
            reason = json.loads(body).get("reason") if status == 401 else None
        except (OSError, http.client.HTTPException, ValueError):
            self.record(name, asked_at, SILENT)
            return False
        known = {200: ACCEPTED, 401: REFUSED, 503: UNAVAILABLE}
        self.record(name, asked_at, f"401 {reason}" if reason else known.get(status, str(status)))
        return True

    def record(self, name, asked_at, outcome):
        self.history.append((name, asked_at, outcome))
        if outcome == ACCEPTED:
            self.seen.add(name)
        if outcome == REFUSED:
            self.refused_at[name] = max(self.refused_at[name], asked_at)

    def collect(self):
        if not self.aside:
            return
        ready = select.select([connection.sock for connection, _, _ in self.aside], [], [], 0)[0]
        for one in [one for one in self.aside if one[0].sock in ready]:
            self.aside.remove(one)
            self.read(*one)
            one[0].close()

    def report(self):
        if self.waits_for_acceptance and len(self.seen) == len(self.keys):
            self.waits_for_acceptance = False
            self.pipe.send("accepted")
        if self.returned is None:
            return
        now, unrefused = time.monotonic(), self.unrefused()
        has_ended = now > self.deadline or (
            not unrefused and not self.aside and now > max(self.returned.values(), default=0) + AFTERWARDS
        )
        if has_ended:
            for connection, name, asked_at in self.aside:
                self.record(name, asked_at, SILENT)
                connection.close()
            self.pipe.send((self.history, unrefused))
            self.begin({})


class Checker:
    """The side of the checker that the experiment uses."""

    def __init__(self, node):
        self.node = node
        context = multiprocessing.get_context("fork")
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=lambda: Asking(other).run(), daemon=True)
        self.process.start()

    def follow(self):
        """Tells it where the node listens now, and what time it is there."""
        self.pipe.send(("follow", self.node.address, self.node.ahead))

    def begin(self, keys):
        """Begins to send requests with these keys, which are given by name."""
        self.follow()
        self.pipe.send(("begin", {name: key.secret for name, key in keys.items()}))

    def wait_until_accepted(self, seconds=30):
        """Returns once each key was accepted."""
        if not self.pipe.poll(seconds):
            raise SystemExit(f"{self.node.name} did not accept every key within {seconds} s")
        self.pipe.recv()

    def focus(self, names):
        """Uses these keys more often than the others."""
        self.pipe.send(("focus", list(names)))

    def end(self, returned, deadline):
        """Continues until each key was refused in a request that was sent after its revocation had returned, at most until the
                deadline. `wait` returns the result."""
        self.pipe.send(("end", returned, deadline))

    def wait(self, seconds):
        """Every request as name, time before it was sent, and outcome; and the keys that were never refused."""
        if not self.pipe.poll(seconds):
            raise SystemExit(f"the checker of {self.node.name} has ended")
        return self.pipe.recv()

    def close(self):
        self.process.kill()
        self.process.join()


def tally(history):
    """How often each outcome occurred."""
    return collections.Counter(outcome for _, _, outcome in history)
