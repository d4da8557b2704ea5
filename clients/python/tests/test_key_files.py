"""Key files as people have them, made by ssh-keygen, openssl and puttygen: those that the command line is tested with."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY

from keyward import PrivateKey, PrivateKeyError

DIRECTORY = REPOSITORY / "crates/client/tests/key-files"
FILES = [pytest.param(entry, id=entry["file"]) for entry in json.loads((DIRECTORY / "index.json").read_text(encoding="utf-8"))]
ALGORITHMS = {
    "ed25519": "ed25519",
    "rsa": "rsa-pss-sha512",
    "ecdsa-p256": "ecdsa-p256-sha256",
    "ecdsa-p384": "ecdsa-p384-sha384",
}


@pytest.mark.parametrize("entry", FILES)
def test_file(entry: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = (DIRECTORY / entry["file"]).read_bytes()
    file = tmp_path / "key"
    shutil.copy(DIRECTORY / entry["file"], file)
    file.chmod(0o600)
    ways: list[Any] = [lambda: PrivateKey.from_file(file), lambda: PrivateKey.from_text(data)]
    if b"\0" not in data:
        # Variables hold no NUL; other bytes that are not UTF-8 arrive as Python has them in os.environ.
        monkeypatch.setenv("KEYWARD_KEY", data.decode("utf-8", "surrogateescape"))
        ways += [PrivateKey.load] if data.strip() else []
    for way in ways:
        if "refused" in entry:
            with pytest.raises(PrivateKeyError) as caught:
                way()
            assert caught.value.reason == entry["refused"]
            assert_holds_nothing_of(str(caught.value), data)
        else:
            key = way()
            assert key.fingerprint == entry["fingerprint"]
            assert key.algorithm == ALGORITHMS[entry["algorithm"]]
            assert key.sign(b"data")


def assert_holds_nothing_of(message: str, data: bytes) -> None:
    text = data.decode("latin-1").replace("\0", "")
    for run in re.findall(r"[A-Za-z0-9+/]{16,}", text):
        assert run not in message


def test_the_directory_has_both_kinds() -> None:
    entries: list[dict[str, Any]] = json.loads((DIRECTORY / "index.json").read_text(encoding="utf-8"))
    assert len([entry for entry in entries if "fingerprint" in entry]) > 60
    assert len([entry for entry in entries if "refused" in entry]) > 20
