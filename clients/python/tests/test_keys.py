"""Where keys come from, and what is refused with which words."""

from __future__ import annotations

import base64
import copy
import functools
import json
import os
import pickle
import subprocess
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import REPOSITORY
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from keyward import Agent, AgentError, KeywardError, PrivateKey, PrivateKeyError, Signer, SigningError
from keyward._url import keyward_url

KEYS = json.loads((REPOSITORY / "docs/vectors/native.json").read_text(encoding="utf-8"))["keys"]
PEM = KEYS["ed25519"]["private_pkcs8_pem"]
FINGERPRINT = KEYS["ed25519"]["fingerprint"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "id"
    file.write_text(PEM)
    file.chmod(0o600)
    return file


def refusal(way: Callable[[], object]) -> PrivateKeyError:
    with pytest.raises(PrivateKeyError) as caught:
        way()
    return caught.value


def test_sources_have_the_order_of_the_command_line(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text(KEYS["rsa"]["private_pkcs8_pem"])
    other.chmod(0o600)
    variables = {"KEYWARD_KEY_FILE": str(other), "KEYWARD_KEY": KEYS["ecdsa-p256"]["private_pkcs8_pem"]}
    assert PrivateKey.load(file, environ=variables).fingerprint == FINGERPRINT
    assert PrivateKey.load(environ=variables).fingerprint == KEYS["rsa"]["fingerprint"]
    assert PrivateKey.load(environ={**variables, "KEYWARD_KEY_FILE": ""}).fingerprint == KEYS["ecdsa-p256"]["fingerprint"]
    for empty in ({}, {"KEYWARD_KEY": " \n", "KEYWARD_KEY_FILE": ""}):
        assert refusal(functools.partial(PrivateKey.load, environ=empty)).reason == "no-source"


def test_a_signer_takes_what_signs_or_names_a_key(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEYWARD_KEY", KEYS["ecdsa-p384"]["private_pkcs8_pem"])
    assert Signer(file).key_id == Signer(str(file)).key_id == Signer(PrivateKey.from_file(file)).key_id == FINGERPRINT
    assert Signer().key_id == KEYS["ecdsa-p384"]["fingerprint"]


def test_the_public_half_is_what_is_registered(file: Path) -> None:
    assert PrivateKey.from_file(file).public_openssh == KEYS["ed25519"]["public_openssh"]


def test_a_home_directory_is_expanded(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(file.parent))
    assert PrivateKey.from_file("~/id").fingerprint == FINGERPRINT


def test_files_that_others_may_read(file: Path) -> None:
    for mode in (0o604, 0o644, 0o620, 0o602, 0o660, 0o601, 0o777):
        file.chmod(mode)
        error = refusal(lambda: PrivateKey.from_file(file))
        assert (error.reason, f"chmod 600 {file}" in str(error)) == ("permissions", True)
        assert f"mode {mode:03o}" in str(error)
    # As secrets are mounted: owned by root, readable by a group.
    for mode in (0o440, 0o640):
        file.chmod(mode)
        if os.getuid() == 0:
            assert PrivateKey.from_file(file).fingerprint == FINGERPRINT
            os.chown(file, 65534, 65534)
        assert refusal(lambda: PrivateKey.from_file(file)).reason == "permissions"
        if os.getuid() == 0:
            os.chown(file, 0, 0)


def test_files_on_a_read_only_mount(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from types import SimpleNamespace

    monkeypatch.setattr(os, "fstatvfs", lambda _: SimpleNamespace(f_flag=os.ST_RDONLY))
    file.chmod(0o444)
    assert PrivateKey.from_file(file).fingerprint == FINGERPRINT
    file.chmod(0o446)
    assert refusal(lambda: PrivateKey.from_file(file)).reason == "permissions"


def test_links_as_kubernetes_mounts_them(file: Path) -> None:
    (file.parent / "..data").symlink_to(file.parent)
    (file.parent / "link").symlink_to("..data/id")
    assert PrivateKey.from_file(file.parent / "link").fingerprint == FINGERPRINT


def test_the_public_file_beside_it(file: Path) -> None:
    beside = file.with_name("id.pub")
    public = KEYS["ed25519"]["public_openssh"]
    spki = subprocess.run(["openssl", "pkey", "-in", file, "-pubout"], check=True, capture_output=True).stdout
    line = file.with_name("line")
    line.write_text(public + " comment\n")
    rfc4716 = subprocess.run(["ssh-keygen", "-e", "-f", line], check=True, capture_output=True).stdout
    for same in (
        public.encode(),
        f"\ufeff{public} ann@laptop\r\n".encode("utf-16"),
        f'# mine\nfrom="10.0.0.0/8" {public} J'.encode() + b"\xf6rg\n",
        public.replace(" ", "\u00a0").encode() + "\u200b".encode(),
        spki,
        rfc4716,
    ):
        beside.write_bytes(same)
        assert PrivateKey.from_file(file).fingerprint == FINGERPRINT
    for other in (KEYS["rsa"]["public_openssh"], KEYS["ecdsa-p256"]["public_openssh"]):
        beside.write_text(other)
        error = refusal(lambda: PrivateKey.from_file(file))
        assert error.reason == "other-public-file"
        assert f"if `{file}` is the right one, delete `{beside}`" in str(error)
    for unreadable in (b"", b"ssh-ed25519\n", b"words", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"):
        beside.write_bytes(unreadable)
        with pytest.warns(UserWarning, match="holds no public key"):
            assert PrivateKey.from_file(file).fingerprint == FINGERPRINT


def test_files_that_are_none(tmp_path: Path) -> None:
    assert refusal(lambda: PrivateKey.from_file(tmp_path / "none")).reason == "not-found"
    assert refusal(lambda: PrivateKey.from_file(tmp_path)).reason == "unreadable"
    assert refusal(lambda: PrivateKey.from_file("a\0b")).reason == "unreadable"
    large = tmp_path / "large"
    large.write_text("x" * 70_000)
    large.chmod(0o600)
    assert refusal(lambda: PrivateKey.from_file(large)).reason == "no-key"


def tool(*command: object) -> str:
    return subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True).stdout


def told(file: Path) -> str:
    return str(refusal(lambda: PrivateKey.from_file(file)))


def test_a_public_file_names_the_private_file_only_if_it_exists(file: Path) -> None:
    public = file.with_name("key.pub")
    tool("openssl", "pkey", "-in", file, "-pubout", "-out", public)
    for mode in (0o600, 0o644):
        public.chmod(mode)
        assert told(public).endswith("in another file, often of the same name without `.pub` or with `.pem`")
    file.rename(file.with_name("key.pem"))
    assert told(public).endswith(f"the private key is in `{file.with_name('key.pem')}`")
    (file.with_name("key")).write_text(PEM)
    assert told(public).endswith(f"the private key is in `{file.with_name('key')}`")
    assert "another file" in str(refusal(lambda: PrivateKey.from_text(public.read_text())))


def test_the_advice_for_a_passphrase_fits_the_format(file: Path) -> None:
    """The command that the message has takes the passphrase off."""
    rsa = file.with_name("rsa")
    rsa.write_text(KEYS["rsa"]["private_pkcs8_pem"])
    rsa.chmod(0o600)
    locked = file.with_name("locked")
    new = file.with_name("new")
    protect = ("-passout", "pass:secret", "-out", locked)
    forms: dict[str, list[object]] = {
        "openssl pkcs8": ["openssl", "pkcs8", "-topk8", "-in", file, *protect],
        "openssl pkcs8 DER": ["openssl", "pkcs8", "-topk8", "-outform", "DER", "-in", file, *protect],
        "ssh-keygen": ["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", locked],
        "ssh-keygen PEM": ["openssl", "rsa", "-traditional", "-aes128", "-in", rsa, *protect],
    }
    for name, make in forms.items():
        locked.unlink(missing_ok=True)
        tool(*make)
        locked.chmod(0o600)
        text = told(locked)
        assert refusal(lambda: PrivateKey.from_file(locked)).reason == "passphrase"
        assert ("ssh-add" in text) == name.startswith("ssh-keygen"), text
        advised = next(part for part in text.split("`") if part.startswith(name.split()[0]))
        words = advised.replace("NEW_FILE", str(new)).split()
        if words[0] == "openssl":
            tool(*words, "-passin", "pass:secret")
        else:
            tool(*words, "-P", "secret", "-N", "")
            locked.rename(new)
        new.chmod(0o600)
        assert PrivateKey.from_file(new).sign(b"data")
        new.unlink()
        locked.with_name("locked.pub").unlink(missing_ok=True)
    putty = (
        (REPOSITORY / "crates/client/tests/key-files/putty-v3-ed25519.ppk")
        .read_text()
        .replace("Encryption: none", "Encryption: aes256-cbc")
    )
    text = str(refusal(lambda: PrivateKey.from_text(putty)))
    assert "`puttygen FILE" in text
    assert "ssh-add" not in text
    assert "openssl" not in text


def test_what_was_found_in_place_of_a_private_key(file: Path) -> None:
    other = file.with_name("other")
    tool("openssl", "req", "-x509", "-key", file, "-subj", "/CN=own", "-out", other)
    certificate = other.read_text()
    tool("openssl", "x509", "-in", other, "-outform", "DER", "-out", file.with_name("der"))
    der = file.with_name("der").read_bytes()
    parameters = tool("openssl", "ecparam", "-name", "prime256v1")
    found = {
        certificate.encode(): "this is a certificate, which holds a public key: the private key is in another file",
        base64.b64encode(certificate.encode()): "this is a certificate",
        der: "this is a certificate",
        parameters.encode(): "this is a PEM block with the label ECPARAMETERS",
        b"<html>": "this is no private key: a private key begins with",
    }
    for data, words in found.items():
        other.write_bytes(data)
        for mode in (0o600, 0o644):
            other.chmod(mode)
            error = refusal(lambda: PrivateKey.from_file(other))
            assert (error.reason, words in str(error)) == ("no-key", True), str(error)
            assert "file's name belongs" not in str(error)
    assert "a file's name belongs into" in str(refusal(lambda: PrivateKey.from_text("key.pem")))


def test_an_unsupported_key_is_named(file: Path) -> None:
    for name, make in {
        "an RSA key of 1024 bits is not supported; Ed25519,": [
            "openssl",
            "genpkey",
            "-algorithm",
            "RSA",
            "-pkeyopt",
            "rsa_keygen_bits:1024",
        ],
        "an ECDSA key on P-521 is": ["ssh-keygen", "-q", "-t", "ecdsa", "-b", "521", "-N", "", "-f"],
        "an ECDSA key on another curve is": ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"],
        "an RSA key whose exponent is not 65537 is": ["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_pubexp:3"],
    }.items():
        file.unlink()
        tool(*make, *([] if make[-1] == "-f" else ["-out"]), file)
        file.chmod(0o600)
        assert name in told(file)
        assert refusal(lambda: PrivateKey.from_file(file)).reason == "unsupported"
    for jwk, name in (({"kty": "oct", "k": "AAAA"}, "a symmetric key"), ({"kty": "OKP", "crv": "X25519", "d": "AA", "x": "AA"}, "X25519")):
        assert name in str(refusal(functools.partial(PrivateKey.from_text, json.dumps(jwk))))


def test_what_is_signed_is_bytes_or_text(file: Path) -> None:
    signer = Signer(file)
    url = "https://keys.example.com/"
    expected = signer.sign("POST", url, body=b"{}").headers["Content-Digest"]
    for same in ("{}", bytearray(b"{}"), memoryview(b"{}")):
        assert signer.sign("POST", url, body=same).headers["Content-Digest"] == expected  # type: ignore[arg-type]
    for body in ({"a": 1}, [1], 1, iter([b"{}"]), {}):
        with pytest.raises(SigningError, match=r"json\.dumps\(body\)\.encode\(\)"):
            signer.sign("POST", url, body=body)  # type: ignore[arg-type]
    with pytest.raises(SigningError, match="the URL is of the type bytes: pass a str"):
        signer.sign("GET", url.encode())  # type: ignore[arg-type]
    with pytest.raises(SigningError, match="the method is of the type bytes"):
        signer.sign(b"GET", url)  # type: ignore[arg-type]
    for key in (PEM.encode(), Ed25519PrivateKey.generate(), 1):
        with pytest.raises(SigningError, match="which cannot sign requests: pass the name of its file") as caught:
            Signer(key)  # type: ignore[arg-type]
        assert PEM.splitlines()[1] not in str(caught.value)


def secrets() -> list[str]:
    body = "".join(PEM.splitlines()[1:-1])
    openssh = (REPOSITORY / "crates/client/tests/key-files/openssh-ed25519").read_text()
    putty = (REPOSITORY / "crates/client/tests/key-files/putty-v3-ed25519.ppk").read_text()
    texts = [PEM, KEYS["rsa"]["private_pkcs8_pem"], openssh, putty, json.dumps(KEYS["ed25519"]["private_jwk"])]
    spoilt = [text.replace("\n", change) for text in texts for change in ("", " ", "\\n", "\r\n")]
    encoded = [base64.b64encode(text.encode()).decode() for text in texts]
    wrapped = [base64.encodebytes(text.encode()).decode() for text in texts]
    return [*texts, *spoilt, *encoded, *wrapped, body, openssh.splitlines()[1], "".join(openssh.splitlines()[1:-1])]


@pytest.mark.parametrize("secret", secrets())
def test_a_key_in_the_wrong_place_is_never_shown(secret: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KEYWARD_KEY_FILE", secret)
    monkeypatch.setenv("KEYWARD_URL", secret)
    monkeypatch.setenv("SSH_AUTH_SOCK", secret)
    key = PrivateKey.from_text(PEM)
    home = "https://keys.example.com"
    refused: list[Callable[[], object]] = [
        lambda: PrivateKey.from_file(secret),
        lambda: PrivateKey.from_file("./" + secret),
        PrivateKey.load,
        Signer,
        lambda: keyward_url(None),
        lambda: keyward_url("https://" + secret),
        lambda: Signer(key).sign("GET", secret),
        lambda: Signer(key).sign("GET", home, headers={"Host": "ü " + secret}),
        lambda: Signer(key).sign("GET", home, nonce=secret + '"'),
        lambda: Signer(key).sign(secret + " ", home),
        lambda: Signer(key, key_id=secret + '"'),
        lambda: Signer(key, cover=[secret + " "]),
        lambda: Agent.from_environment().list_keys(),
        lambda: Agent("/nowhere").find_key(secret),
        lambda: PrivateKey.from_text(secret[: len(secret) // 2]),
    ]
    pieces = {secret[at : at + 16] for at in range(20, len(secret) - 36, 16)}
    pieces = {piece for piece in pieces if not any(word in piece for word in ("PRIVATE", "PuTTY", "User-Key", "Lines", "robot", "Comment"))}
    assert pieces
    for way in refused:
        with pytest.raises((KeywardError, ValueError)) as caught:
            way()
        told = str(caught.value) + "".join(traceback.format_exception_only(type(caught.value), caught.value))
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__ or caught.value.__context__ is None
        assert not [piece for piece in pieces if piece in told], told


def test_a_password_or_a_token_in_a_url_is_never_shown() -> None:
    for url in ("https://ann:hunter2@keys.example.com", "https://kwt_0123456789abcdef@host", "ftp://ann:hunter2@host/"):
        with pytest.raises(SigningError) as caught:
            keyward_url(url)
        assert "hunter2" not in str(caught.value)
        assert "0123456789" not in str(caught.value)


def test_a_key_shows_and_gives_away_its_fingerprint_only() -> None:
    key = PrivateKey.from_text(PEM)
    assert repr(key) == f"<PrivateKey {FINGERPRINT}>"
    with pytest.raises(TypeError):
        pickle.dumps(key)
    with pytest.raises(TypeError):
        copy.deepcopy(key)


def test_an_agent_that_does_not_answer_is_told(tmp_path: Path) -> None:
    with pytest.raises(AgentError, match="SSH_AUTH_SOCK is not set"):
        Agent.from_environment()
    with pytest.raises(AgentError, match="cannot be asked"):
        Agent(str(tmp_path / "none")).list_keys()


def test_a_putty_file_that_yaml_indented() -> None:
    text = (REPOSITORY / "crates/client/tests/key-files/putty-v3-ed25519.ppk").read_text()
    expected = PrivateKey.from_text(text).fingerprint
    assert PrivateKey.from_text(text.replace("\n", "\n    ")).fingerprint == expected


def test_a_pkcs12_file_is_named_as_one(file: Path) -> None:
    certificate, bag = file.with_name("certificate"), file.with_name("bag")
    subprocess.run(
        ["openssl", "req", "-x509", "-key", file, "-subj", "/CN=robot", "-days", "1", "-out", certificate],
        check=True,
        capture_output=True,
    )
    command: list[str | Path] = ["openssl", "pkcs12", "-export", "-inkey", file, "-in", certificate, "-passout", "pass:", "-out", bag]
    subprocess.run(command, check=True, capture_output=True)
    bag.chmod(0o600)
    error = refusal(lambda: PrivateKey.from_file(bag))
    assert error.reason == "pkcs12"
    taken_out = file.with_name("NEW_FILE")
    advice = str(error).split("`")[3].replace("NEW_FILE", str(taken_out)) + " -passin pass:"
    subprocess.run(advice.split(), check=True, capture_output=True)
    taken_out.chmod(0o600)
    assert PrivateKey.from_file(taken_out).fingerprint == FINGERPRINT
