"""Keys in a real ssh-agent, and the real server."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import JSON, Server

from keyward import Agent, AgentError, PrivateKeyError, Signer
from keyward.requests import Session

KINDS = {
    "ed25519": ["-t", "ed25519"],
    "ecdsa-p256-sha256": ["-t", "ecdsa", "-b", "256"],
    "ecdsa-p384-sha384": ["-t", "ecdsa", "-b", "384"],
    "rsa-v1_5-sha256": ["-t", "rsa", "-b", "2048"],
}


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Agent]:
    socket = tmp_path / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
    yield Agent.from_environment()
    os.kill(process.pid, signal.SIGTERM)
    process.wait()
    process.stdout.close()


def add(tmp_path: Path, kind: str, *, comment: str = "") -> Path:
    file = tmp_path / kind
    subprocess.run(["ssh-keygen", "-q", *KINDS[kind], "-N", "", "-C", comment or kind, "-f", file], check=True)
    subprocess.run(["ssh-add", "-q", file], check=True)
    return file


@pytest.mark.parametrize("kind", KINDS)
def test_signs(kind: str, agent: Agent, server: Server, tmp_path: Path) -> None:
    file = add(tmp_path, kind)
    key = agent.find_key()
    assert key.algorithm == kind
    printed = subprocess.run(["ssh-keygen", "-l", "-f", file], check=True, capture_output=True, text=True).stdout
    assert printed.split()[1] == key.fingerprint
    server.register(file.with_name(file.name + ".pub").read_text(), kind)
    with Session(server.url, key) as session:
        # ECDSA numbers have leading zeros once in 256 signatures.
        assert [session.get("/api/v1/me").status_code for _ in range(20)] == [200] * 20
        assert session.post("/api/v1/me/proof-challenges", data="{}", headers=JSON).ok


def test_names(agent: Agent, tmp_path: Path) -> None:
    with pytest.raises(AgentError, match="holds no key"):
        agent.find_key()
    add(tmp_path, "ed25519", comment="ann@laptop")
    add(tmp_path, "ecdsa-p256-sha256", comment="ann@desk")
    assert agent.find_key("ann@desk").algorithm == "ecdsa-p256-sha256"
    first = agent.find_key("ann@laptop")
    assert agent.find_key(first.fingerprint).comment == "ann@laptop"
    with pytest.raises(AgentError, match="several keys") as caught:
        agent.find_key()
    assert first.fingerprint in str(caught.value)
    with pytest.raises(AgentError, match="`bob`"):
        agent.find_key("bob")


def test_the_environment_asks_for_the_agent(agent: Agent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = add(tmp_path, "ed25519", comment="ann@laptop")
    add(tmp_path, "ecdsa-p256-sha256", comment="ann@desk")
    for asks in ("", "0", "false"):
        monkeypatch.setenv("KEYWARD_AGENT", asks)
        with pytest.raises(PrivateKeyError, match="KEYWARD_AGENT=1"):
            Signer()
    monkeypatch.setenv("KEYWARD_AGENT", "yes")
    with pytest.raises(AgentError, match="`yes`"):
        Signer()
    monkeypatch.setenv("KEYWARD_AGENT", "1")
    with pytest.raises(AgentError, match="several keys"):
        Signer()
    expected = agent.find_key("ann@laptop").fingerprint
    for name in ("ann@laptop", expected, f"{file}.pub"):
        monkeypatch.setenv("KEYWARD_AGENT_KEY", name)
        assert Signer().key_id == expected
    monkeypatch.setenv("KEYWARD_KEY_FILE", str(tmp_path / "ecdsa-p256-sha256"))
    assert Signer().key_id == agent.find_key("ann@desk").fingerprint
    (tmp_path / "empty.pub").touch()
    with pytest.raises(AgentError, match="no public key"):
        agent.find_key(str(tmp_path / "empty.pub"))


def test_a_locked_agent_and_a_removed_key(agent: Agent, tmp_path: Path) -> None:
    add(tmp_path, "ed25519")
    key = agent.find_key()
    subprocess.run(["ssh-add", "-q", "-D"], check=True)
    with pytest.raises(AgentError, match="did not sign"):
        key.sign(b"data")
