"""Signatures of requests: RFC 9421 under Keyward's profile `native` (docs/protocol.md)."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Union
from urllib.parse import quote, urlsplit

from ._agent import Agent
from ._errors import AgentError, PrivateKeyError, SigningError
from ._explain import HEADER as EXPLAIN
from ._keys import PrivateKey, SigningKey, StrPath
from ._secrets import shown

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
MAX_LIFETIME_SECONDS = 60
LABEL = "keyward"
# What the server limits a nonce and a key id to.
_NONCE = re.compile(r"[!#-\[\]-~]{22,128}")
_KEY_ID = re.compile(r"[!#-\[\]-~]{1,128}")
_FIELD_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")
_METHOD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# Characters of a URI that are left as they are (RFC 3986 §2).
_URI_CHARACTERS = "!$%&'()*+,-./:;=?@_~[]"
# HTTP libraries differ in how they send these, so a signature of one form may be refused.
_AMBIGUOUS = re.compile(r'["<>\\^`{|}\x00-\x1f\x7f]')
_DEFAULT_PORTS = {"http": "80", "https": "443"}

Headers = Union[Mapping[str, str], Iterable[tuple[str, str]]]
Key = Union[SigningKey, StrPath, None]


@dataclass(frozen=True)
class Signature:
    """What signing made."""

    headers: dict[str, str]
    """The fields to set on the request: `Signature-Input`, `Signature`, `Content-Digest` if it is covered, and `Keyward-Explain` if
    the signer asks for explanations."""
    base: str
    """What was signed (RFC 9421 §2.5), for diagnosis."""
    expires: int
    """When the signature ends, in Unix seconds."""


class Signer:
    """Signs requests with one key."""

    def __init__(
        self,
        key: Key = None,
        *,
        key_id: str | None = None,
        cover: Iterable[str] = ("keyward-workspace",),
        lifetime: int = MAX_LIFETIME_SECONDS,
        explain: bool = False,
    ) -> None:
        """`key` is a `PrivateKey`, a key of ssh-agent, or the name of a file; without it, the environment names one:
        KEYWARD_KEY_FILE, KEYWARD_KEY, or KEYWARD_AGENT=1 with KEYWARD_AGENT_KEY.

        `key_id` is sent in place of the key's fingerprint, for example `key_…`. `cover` names fields that the signature covers
        where a request has them. `lifetime` is at most 60 seconds. `explain` asks the server, where it refuses a signature, for
        the signature base that it computed; `raise_for_problem` then says which part was changed on the way.
        """
        self.key = load_key(key)
        self.key_id = self.key.fingerprint if key_id is None else key_id
        self.cover = tuple(name.lower() for name in cover)
        self.lifetime = lifetime
        self.explain = explain
        if not 1 <= lifetime <= MAX_LIFETIME_SECONDS:
            raise SigningError("the lifetime of a signature is 1 to 60 seconds")
        if not _KEY_ID.fullmatch(self.key_id):
            raise SigningError("the key id must be 1 to 128 visible ASCII characters without quotes and backslashes")
        for name in self.cover:
            if not _FIELD_NAME.fullmatch(name):
                raise SigningError(f"{shown(name)} is no name of a header field")

    def sign(
        self,
        method: str,
        url: str,
        *,
        body: bytes | str | None = None,
        headers: Headers = (),
        digest: str | None = None,
        created: int | None = None,
        nonce: str | None = None,
        exact: bool = False,
    ) -> Signature:
        """Signs a request. Nothing that is signed may change afterwards: method, URL, body, covered fields.

        `url` is the whole URL. Blanks and other than ASCII characters in its path and query are percent-encoded, as HTTP libraries
        do; `exact` says that it is sent as it is. A `Host` in `headers` takes the place of the URL's host. `digest` is the value of
        Content-Digest, for a body that is not in memory.
        """
        for what, value in (("method", method), ("URL", url)):
            if not isinstance(value, str):
                raise SigningError(f"the {what} is of the type {type(value).__name__}: pass a str")
        if not _METHOD.fullmatch(method):
            raise SigningError(f"{shown(method)} is no HTTP method")
        fields = _pairs(headers)
        scheme, authority, target = split_url(url, _single(fields, "host"), exact=exact)
        body = _body_bytes(body)
        if digest is None and (method not in SAFE_METHODS or body):
            digest = content_digest(body or b"")
        values = [("@method", method), ("@authority", authority), ("@target-uri", f"{scheme}://{authority}{target}")]
        if digest is not None:
            values.append(("content-digest", digest))
        for name in self.cover:
            lines = [value.strip(" \t") for given, value in fields if given.lower() == name]
            if lines and name != "content-digest":
                values.append((name, ", ".join(lines)))
        for name, value in values:
            if not re.fullmatch(r"[\t\x20-\x7e]*", value):
                raise SigningError(f"the value of {name} has characters that a signature cannot cover; send ASCII")
        created = int(time.time()) if created is None else created
        expires = created + self.lifetime
        nonce = secrets.token_urlsafe(16) if nonce is None else nonce
        if not _NONCE.fullmatch(nonce):
            raise SigningError("the nonce must be 22 to 128 visible ASCII characters without quotes and backslashes")
        # An RSA key has two algorithms, and the server assumes PSS where none is named.
        algorithm = ';alg="rsa-v1_5-sha256"' if self.key.algorithm == "rsa-v1_5-sha256" else ""
        covered = " ".join(f'"{name}"' for name, _ in values)
        parameters = f'({covered});created={created};expires={expires};nonce="{nonce}";keyid="{self.key_id}"{algorithm};tag="keyward"'
        base = "\n".join([f'"{name}": {value}' for name, value in values] + [f'"@signature-params": {parameters}'])
        signature = base64.b64encode(self.key.sign(base.encode())).decode()
        made = {} if digest is None else {"Content-Digest": digest}
        made["Signature-Input"] = f"{LABEL}={parameters}"
        made["Signature"] = f"{LABEL}=:{signature}:"
        if self.explain:
            made[EXPLAIN] = "1"
        return Signature(made, base, expires)


def sign(
    method: str,
    url: str,
    *,
    body: bytes | str | None = None,
    headers: Headers = (),
    key: Key = None,
    key_id: str | None = None,
    cover: Iterable[str] = ("keyward-workspace",),
) -> dict[str, str]:
    """The header fields that sign a request, to be sent with it within 60 seconds.

    >>> headers = sign("POST", "https://keys.example.com/api/v1/…", body=b"{}", key="id_ed25519")
    """
    return Signer(key, key_id=key_id, cover=cover).sign(method, url, body=body, headers=headers).headers


def load_key(key: Key) -> SigningKey:
    """The key itself, or the one of a file, or the one that the environment names."""
    if key is None:
        return _key_of_environment(os.environ)
    if isinstance(key, (str, os.PathLike)):
        return PrivateKey.from_file(key)
    if not all(hasattr(key, name) for name in ("algorithm", "fingerprint", "sign")):
        raise SigningError(
            f"the key is of the type {type(key).__name__}, which cannot sign requests: pass the name of its file, "
            "PrivateKey.from_text(text) for a text or bytes, or PrivateKey(key) for a key of `cryptography`"
        )
    return key


def _body_bytes(body: object) -> bytes | None:
    if body is None or isinstance(body, bytes):
        return body
    if isinstance(body, str):
        return body.encode()
    if isinstance(body, (bytearray, memoryview)):
        return bytes(body)
    # Another encoder could write the value in another way, so that its digest would differ from what is sent.
    raise SigningError(f"the body is of the type {type(body).__name__}: sign and send the same bytes, such as json.dumps(body).encode()")


def _key_of_environment(environ: Mapping[str, str]) -> SigningKey:
    """KEYWARD_KEY_FILE, else KEYWARD_KEY, else ssh-agent if KEYWARD_AGENT asks for it: the order of the command line."""
    try:
        return PrivateKey.load(environ=environ)
    except PrivateKeyError as error:
        if error.reason != "no-source":
            raise
        asks = environ.get("KEYWARD_AGENT", "")
        if asks in ("", "0", "false"):
            raise
    if asks not in ("1", "true"):
        raise AgentError(f"KEYWARD_AGENT is {shown(asks)}, which is invalid: write 1 or 0")
    return Agent.from_environment(environ=environ).find_key(environ.get("KEYWARD_AGENT_KEY") or None)


def content_digest(body: bytes) -> str:
    """The value of Content-Digest (RFC 9530)."""
    return digest_field(hashlib.sha256(body).digest())


def digest_field(sha256: bytes) -> str:
    """The same, of a digest that was computed already."""
    return f"sha-256=:{base64.b64encode(sha256).decode()}:"


def split_url(url: str, host: str | None = None, *, exact: bool = False) -> tuple[str, str, str]:
    """Scheme, authority and target of a request, as RFC 9421 §2.2 has them."""
    ambiguous = None if exact else _AMBIGUOUS.search(url)
    if ambiguous:
        raise SigningError(f"the URL has a {ambiguous.group()!r}: percent-encode it, since HTTP libraries send it in different ways")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise SigningError(f"{shown(url)} is no URL: it starts with `https://` or `http://` and a host") from None
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise SigningError(f"{shown(url)} is no URL to sign: it starts with `https://` or `http://` and a host")
    if "@" in parts.netloc:
        raise SigningError("the URL has a user name or a password, which are not sent with a signature: leave them out")
    name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    authority = host.strip() if host else (name if port is None else f"{name}:{port}")
    authority = _ascii_host(authority.lower())
    default = ":" + _DEFAULT_PORTS[parts.scheme]
    if authority.endswith(default):
        authority = authority[: -len(default)]
    path, query = parts.path or "/", parts.query
    if not exact:
        path, query = quote(path, safe=_URI_CHARACTERS), quote(query, safe=_URI_CHARACTERS)
    has_query = "?" in url.split("#", 1)[0]
    return parts.scheme, authority, f"{path}?{query}" if has_query else path


def _ascii_host(authority: str) -> str:
    if authority.isascii():
        return authority
    try:
        import idna
    except ImportError:
        raise SigningError(f"{shown(authority)} is not ASCII: write the name in its ASCII form, which begins with `xn--`") from None
    name, colon, port = authority.partition(":")
    try:
        return idna.encode(name, uts46=True).decode() + colon + port
    except idna.IDNAError:
        raise SigningError(f"{shown(authority)} is no host name") from None


def _pairs(headers: Headers) -> list[tuple[str, str]]:
    return list(headers.items()) if isinstance(headers, Mapping) else list(headers)


def _single(fields: list[tuple[str, str]], name: str) -> str | None:
    return next((value for given, value in fields if given.lower() == name), None)
