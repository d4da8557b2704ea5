"""A real server, and a proxy before it that loses answers."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import keyward
from keyward import PrivateKey
from keyward.requests import Session

REPOSITORY = Path(__file__).resolve().parents[3]
BINARY = os.environ.get("KEYWARD_BINARY", str(REPOSITORY / "target/debug/keyward"))
JSON = {"Content-Type": "application/json"}


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KEYWARD_URL", "KEYWARD_KEY", "KEYWARD_KEY_FILE", "KEYWARD_AGENT", "KEYWARD_AGENT_KEY", "SSH_AUTH_SOCK"):
        monkeypatch.delenv(name, raising=False)


@dataclass
class Proxy:
    """Passes requests on to `upstream`, and keeps what it saw. `faults` says what happens to the next answers."""

    server: ThreadingHTTPServer
    upstream: str = ""
    seen: list[dict[str, Any]] = field(default_factory=list)
    faults: list[Any] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    @property
    def signatures(self) -> list[str]:
        return [request["headers"].get("Signature", "") for request in self.seen]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle_any(self) -> None:
        proxy: Proxy = self.server.proxy  # type: ignore[attr-defined]
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            raise AssertionError("a signed request has a Content-Length")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        proxy.seen.append({"method": self.command, "path": self.path, "headers": dict(self.headers.items()), "body": body})
        fault = proxy.faults.pop(0) if proxy.faults else None
        if callable(fault):
            fault = fault(self)
        if fault == "drop":
            self.close_connection = True
            return None
        if fault == "refuse before":
            return self.answer(503, {"Retry-After": "0"}, b"")
        if isinstance(fault, tuple):
            return self.answer(*fault)
        if not proxy.upstream:
            return self.answer(200, {}, b"{}")
        connection = HTTPConnection(proxy.upstream)
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        response = connection.getresponse()
        content = response.read()
        connection.close()
        if fault == "lose answer":
            self.close_connection = True
            return None
        if fault == "503 after":
            return self.answer(503, {"Retry-After": "0"}, b"")
        return self.answer(response.status, dict(response.getheaders()), content)

    def answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = handle_any

    def log_message(self, *_: Any) -> None:
        pass


def _start_proxy() -> Proxy:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    proxy = Proxy(server)
    server.proxy = proxy  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return proxy


@pytest.fixture
def other() -> Iterator[Proxy]:
    """A server that is not Keyward. It answers 200 to everything, unless `faults` says otherwise."""
    proxy = _start_proxy()
    yield proxy
    proxy.server.shutdown()
    proxy.server.server_close()


@dataclass
class Server:
    """`keyward demo`, reached through the proxy."""

    proxy: Proxy
    data: Path
    key_file: Path
    projects: str = ""

    @property
    def url(self) -> str:
        return self.proxy.url

    @property
    def key(self) -> PrivateKey:
        return PrivateKey.from_file(self.key_file)

    def register(self, public_key: str, title: str) -> None:
        """Registers a key for the admin, on the host."""
        file = self.data / f"{title}.pub"
        file.write_text(public_key + "\n")
        command = [BINARY, "admin", "add-key", "--data", str(self.data), "--user", "admin@demo.example", "--title", title]
        subprocess.run([*command, "--public-key-file", str(file)], check=True, capture_output=True)

    def titles(self) -> list[str]:
        with Session(self.url, self.key) as session:
            items = session.get(self.projects, params={"limit": 200}).json()["items"]
        return [item["title"] for item in items]


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if not Path(BINARY).is_file():
        pytest.fail(f"no server at {BINARY}: run `cargo build`, or set KEYWARD_BINARY")
    data = tmp_path_factory.mktemp("server") / "data"
    proxy = _start_proxy()
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KEYWARD_")}
    # The demo sends requests to its own address, the tests send theirs to the proxy.
    environment["KEYWARD_HOSTS"] = f"http://{address}"
    proxy.upstream = address
    command = [BINARY, "demo", "--data", str(data), "--listen", address, "--public-url", proxy.url]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, text=True, cwd=data.parent)
    assert process.stdout is not None
    printed = ""
    try:
        for line in process.stdout:
            printed += line
            if "Ctrl-C stops the server" in line:
                break
        else:
            pytest.fail(f"keyward demo ended:\n{printed}")
        # What it says later must not fill the pipe.
        threading.Thread(target=lambda: process.stdout and list(process.stdout), daemon=True).start()
        server = Server(proxy, data, data / "demo-bot.key")
        with Session(server.url, server.key) as session:
            workspace = session.get("/api/v1/workspaces").json()["items"][0]["id"]
        server.projects = f"/api/v1/workspaces/{workspace}/projects"
        yield server
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()
        proxy.server.shutdown()
        proxy.server.server_close()


@pytest.fixture
def server(running: Server) -> Server:
    running.proxy.seen.clear()
    running.proxy.faults.clear()
    return running


@pytest.fixture
def shifted_clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets this machine's clock off by some seconds, as far as signing is concerned."""
    import time
    from types import SimpleNamespace

    def shift(seconds: float, modules: tuple[str, ...] = ("_sign", "_problems", "_retry")) -> None:
        clock = SimpleNamespace(time=lambda: time.time() + seconds, sleep=time.sleep)
        for module in modules:
            monkeypatch.setattr(getattr(keyward, module), "time", clock)

    return shift
