"""docs/vectors/native.json, which all clients compare with."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import pytest
import requests
from conftest import REPOSITORY
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding, utils
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512

import keyward
from keyward import PrivateKey, Signer
from keyward.httpx import KeywardAuth as HttpxAuth
from keyward.requests import KeywardAuth as RequestsAuth

FILE = json.loads((REPOSITORY / "docs/vectors/native.json").read_text(encoding="utf-8"))
VECTORS = [pytest.param(vector, id=vector["name"]) for vector in FILE["vectors"]]
# These libraries write this URL in another way before they sign it.
REWRITTEN = {"percent_encoding_is_kept"}
REWRITTEN_BY_REQUESTS = REWRITTEN | {"get_with_empty_query"}


def key_of(vector: dict[str, Any]) -> PrivateKey:
    key = PrivateKey.from_text(FILE["keys"][vector["key"]]["private_pkcs8_pem"])
    return key.with_v1_5_padding() if vector["algorithm"] == "rsa-v1_5-sha256" else key


def signer_of(vector: dict[str, Any]) -> Signer:
    lifetime = vector["expires"] - vector["created"]
    return Signer(key_of(vector), key_id=vector["keyid"], cover=vector["cover"], lifetime=lifetime)


@pytest.fixture
def at_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """`created` and `nonce` of the vectors, which are equal in all of them."""
    first = FILE["vectors"][0]
    monkeypatch.setattr(keyward._sign.time, "time", lambda: first["created"] + 0.9)  # type: ignore[attr-defined]
    monkeypatch.setattr(keyward._sign.secrets, "token_urlsafe", lambda _: first["nonce"])  # type: ignore[attr-defined]


def check(vector: dict[str, Any], headers: Any) -> None:
    assert headers.get("Signature-Input") == vector["signature_input"]
    assert headers.get("Content-Digest") == vector["content_digest"]
    given, expected = headers["Signature"], vector["signature"]
    if vector["deterministic"]:
        assert given == expected
    else:
        assert verifies(vector, expected)
        assert verifies(vector, given)
        assert not verifies(vector | {"signature_base": vector["signature_base"] + " "}, given)


def verifies(vector: dict[str, Any], field: str) -> bool:
    signature = base64.b64decode(field[len("keyward=:") : -1])
    public: Any = key_of(vector)._key.public_key()
    base = vector["signature_base"].encode()
    try:
        if vector["algorithm"].startswith("ecdsa"):
            half = len(signature) // 2
            r, s = (int.from_bytes(part, "big") for part in (signature[:half], signature[half:]))
            chosen = SHA256() if half == 32 else SHA384()
            public.verify(utils.encode_dss_signature(r, s), base, ec.ECDSA(chosen))
        else:
            public.verify(signature, base, padding.PSS(mgf=padding.MGF1(SHA512()), salt_length=64), SHA512())
    except InvalidSignature:
        return False
    return True


@pytest.mark.parametrize("vector", VECTORS)
def test_sign(vector: dict[str, Any]) -> None:
    request = vector["request"]
    signature = signer_of(vector).sign(
        request["method"],
        request["url"],
        body=request["body"],
        headers=[(name, value) for name, value in request["headers"]],
        created=vector["created"],
        nonce=vector["nonce"],
    )
    assert signature.base == vector["signature_base"]
    assert signature.expires == vector["expires"]
    check(vector, signature.headers)


@pytest.mark.parametrize("vector", [v for v in VECTORS if v.id not in REWRITTEN])
@pytest.mark.usefixtures("at_the_time")
def test_httpx(vector: dict[str, Any]) -> None:
    given = vector["request"]
    sent: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(200)

    with httpx.Client(transport=httpx.MockTransport(answer), auth=HttpxAuth(signer_of(vector))) as client:
        headers = [(name, value.strip()) for name, value in given["headers"]]
        client.request(given["method"], given["url"], content=given["body"], headers=headers)
    check(vector, sent[0].headers)
    assert sent[0].url.raw_path.decode() == vector["target"]


@pytest.mark.parametrize("vector", [v for v in VECTORS if v.id not in REWRITTEN_BY_REQUESTS])
@pytest.mark.usefixtures("at_the_time")
def test_requests(vector: dict[str, Any]) -> None:
    given = vector["request"]
    headers: dict[str, str] = {}
    for name, value in given["headers"]:
        # requests knows each field once.
        known = next((known for known in headers if known.lower() == name.lower()), name)
        headers[known] = f"{headers[known]}, {value.strip()}" if known in headers else value.strip()
    body = given["body"].encode() if given["body"] is not None else None
    prepared = requests.Request(given["method"], given["url"], data=body, headers=headers, auth=RequestsAuth(signer_of(vector))).prepare()
    check(vector, prepared.headers)
    assert prepared.path_url == vector["target"]
