"""Key files as people have them, made by ssh-keygen, openssl and puttygen: those that the command line is tested with."""

from __future__ import annotations

import base64
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY

from keyward import PrivateKey, PrivateKeyError

VECTORS = json.loads((REPOSITORY / "docs/vectors/native.json").read_text(encoding="utf-8"))
DIRECTORY = REPOSITORY / "crates/client/tests/key-files"
JWKS = {name: key["private_jwk"] for name, key in VECTORS["keys"].items() if "private_jwk" in key}
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


@pytest.mark.parametrize("name", JWKS)
def test_jwk(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jwk, expected = JWKS[name], VECTORS["keys"][name]["fingerprint"]
    text = json.dumps(jwk)
    forms = [text, json.dumps(jwk, indent=2).replace("\n", "\r\n"), json.dumps({"keys": [jwk]}), json.dumps(text), f"'{text}'"]
    forms += ["\ufeff" + text, "\u200b" + text + "\u00a0", f"\n {text} \n", json.dumps({**jwk, "kid": "mine", "key_ops": ["sign"]})]
    encodings = [form.encode() for form in forms]
    encodings += [base64.b64encode(text.encode()), base64.encodebytes(text.encode()), text.encode("utf-16"), text.encode("utf-16-le")]
    file = tmp_path / "key"
    for data in encodings:
        file.write_bytes(data)
        file.chmod(0o600)
        for key in (PrivateKey.from_file(file), PrivateKey.from_text(data)):
            assert key.fingerprint == expected
            assert key.algorithm == ALGORITHMS[name]
            assert key.sign(b"data")
        if b"\0" not in data:
            monkeypatch.setenv("KEYWARD_KEY", data.decode())
            assert PrivateKey.load().fingerprint == expected


@pytest.mark.parametrize("name", JWKS)
def test_jwk_that_is_refused(name: str) -> None:
    jwk = JWKS[name]
    halves = "n" if name == "rsa" else "x"
    other = bytearray(base64.urlsafe_b64decode(jwk[halves] + "=="))
    other[20] ^= 1
    cases: list[tuple[str, Any]] = [
        ("several", {"keys": [jwk, jwk]}),
        ("empty", {"keys": []}),
        ("public", {member: value for member, value in jwk.items() if member != "d"}),
        ("halves", {**jwk, halves: base64.urlsafe_b64encode(other).decode().rstrip("=")}),
        ("damaged", {member: value for member, value in jwk.items() if member != halves}),
        ("damaged", {**jwk, "d": ""}),
        ("damaged", {**jwk, "d": 5}),
        ("damaged", {**jwk, "d": jwk["d"] + "!"}),
        ("damaged", json.dumps(jwk)[:-9]),
        ("damaged", json.dumps(jwk)[:-1] + f', "d": "{jwk["d"]}"}}'),
        ("unsupported", {**jwk, "kty": "oct"}),
        ("unsupported", {**jwk, "kty": "AKP"}),
        ("base64-twice", base64.b64encode(base64.b64encode(json.dumps(jwk).encode())).decode()),
        ("no-key", {"d": jwk["d"]}),
    ]
    if name != "rsa":
        cases += [("unsupported", {**jwk, "crv": curve}) for curve in ("P-521", "Ed448", "X25519", "secp256k1", None)]
        cases.append(("damaged", {**jwk, "d": jwk["d"][:-8]} if name == "ed25519" else {**jwk, "y": jwk["y"][:-8]}))
    for reason, case in cases:
        text = case if isinstance(case, str) else json.dumps(case)
        with pytest.raises(PrivateKeyError) as caught:
            PrivateKey.from_text(text)
        assert caught.value.reason == reason, reason
        assert_holds_nothing_of(str(caught.value), text.encode())
        assert caught.value.__context__ is None or jwk["d"] not in repr(caught.value.__context__)
