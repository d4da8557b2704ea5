"""A TCP proxy between a Keyward node and its database that can fail on demand: drop one direction, cut connections, stop at a
commit. It runs in a process of its own, so that it does not slow the experiment.

On its standard input: `to SOCKET` (the database's), `drop up`, `drop down`, `heal`, `cut`, `arm before`, `arm after`, `disarm`.
On its standard output: `listens PORT`, then `commit` whenever an armed commit arrived: `before` holds it back, `after` passes
it on and holds back the server's answer."""

import asyncio
import subprocess
import sys
from pathlib import Path

# A simple query of PostgreSQL's protocol: type, length, text, NUL.
COMMIT = b"Q\x00\x00\x00\x0bCOMMIT\x00"


class State:
    """The present fault of the proxy."""

    def __init__(self):
        self.socket, self.dropped, self.armed, self.writers = None, set(), None, set()


async def pass_on(state, direction, reader, writer):
    """Passes bytes on. Bytes that arrive while a direction is dropped are lost. The connection is closed when the fault ends,
        because no stream continues with a gap in it."""
    broken = False
    try:
        while data := await reader.read(65536):
            if direction == "up" and state.armed and COMMIT in data:
                armed, state.armed = state.armed, None
                if armed == "before":
                    state.dropped.add("up")
                state.dropped.add("down")
                print("commit", flush=True)
            if direction in state.dropped:
                broken = True
                continue
            if broken:
                break
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


async def serve(state, reader, writer):
    state.writers.add(writer)
    try:
        upstream_reader, upstream_writer = await asyncio.open_unix_connection(state.socket)
    except OSError:
        state.writers.discard(writer)
        writer.close()
        return
    state.writers.add(upstream_writer)
    await asyncio.gather(
        pass_on(state, "up", reader, upstream_writer), pass_on(state, "down", upstream_reader, writer), return_exceptions=True
    )
    state.writers -= {writer, upstream_writer}


async def main():
    state = State()
    server = await asyncio.start_server(lambda *connection: serve(state, *connection), "127.0.0.1", 0)
    print(f"listens {server.sockets[0].getsockname()[1]}", flush=True)
    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while line := await commands.readline():
        match line.decode().split():
            case ["to", socket]:
                state.socket = socket
            case ["drop", direction]:
                state.dropped.add(direction)
            case ["heal"]:
                state.dropped.clear()
            case ["cut"]:
                for writer in list(state.writers):
                    writer.transport.abort()
            case ["arm", when]:
                state.armed = when
            case ["disarm"]:
                state.armed = None
        print("done", flush=True)


class Proxy:
    """The side of the proxy that the experiment uses."""

    def __init__(self, socket):
        self.process = subprocess.Popen(
            [sys.executable, Path(__file__)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self.port = int(self.process.stdout.readline().split()[1])
        self.has_committed = False
        self.tell(f"to {socket}")

    def tell(self, command):
        """Sends a command, and returns once it is in force."""
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        while (line := self.process.stdout.readline().strip()) != "done":
            if not line:
                raise SystemExit("the proxy has ended")
            self.has_committed |= line == "commit"

    def wait_for_commit(self):
        """Returns once the armed commit has arrived."""
        while not self.has_committed:
            if not (line := self.process.stdout.readline()):
                raise SystemExit("the proxy has ended")
            self.has_committed |= line.strip() == "commit"
        self.has_committed = False

    @property
    def url(self):
        return f"postgres://keyward@127.0.0.1:{self.port}/postgres?sslmode=disable"

    def close(self):
        self.process.stdin.close()
        self.process.kill()
        self.process.wait()


if __name__ == "__main__":
    asyncio.run(main())
