"""Recognises secrets that were given where something else belongs, so that no error repeats them."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from itertools import islice

_MARKS = ("PRIVATE KEY", "PRIVATEKEY", "PuTTY-User-Key-File", "Private-Lines:", "openssh-key-v1", "b3BlbnNzaC1rZXktdjE")
_RUN = re.compile(r"[A-Za-z0-9+/_-]{40,}")
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")
_TOKEN = re.compile(r"kwt_[A-Za-z0-9_-]{8,}")
_USERINFO = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s/?#]*@")
_LONGEST_SHOWN = 200

# What nothing but a secret looks like. Harmless texts may look random.
CERTAIN = ("a private key", "a bearer token", "an address with a password")


def describe_secret(text: str) -> str | None:
    """What the text looks like if it should be in no message, else None."""
    plain = text.replace("\\n", "\n").replace("\\r", "\r").replace("\\", "")
    if _has_private_key(plain) or _has_private_key(re.sub(r"\s", "", plain)):
        return "a private key"
    if _TOKEN.search(text):
        return "a bearer token"
    if _USERINFO.search(text):
        return "an address with a password"
    if any(_is_random(run) for run in _RUN.findall(_FINGERPRINT.sub("", text))):
        return "a random secret"
    return None


def shown(text: str) -> str:
    """The text in backticks for a message, or a description of it."""
    secret = describe_secret(text)
    if secret is not None:
        return f"({secret}, not shown)"
    text = "".join(character if character.isprintable() else " " for character in text)
    return f"`{text}`" if len(text) <= _LONGEST_SHOWN else f"`{text[:_LONGEST_SHOWN]}…`"


def _has_private_key(text: str) -> bool:
    if _is_marked(text):
        return True
    return any(_decodes_to_private_key(part) for run in _RUN.findall(text) for part in _parts(run))


def _is_marked(text: str) -> bool:
    return any(mark in text for mark in _MARKS) or ('"kty"' in text and '"d"' in text)


def _parts(run: str) -> Iterator[str]:
    """Where base64 may begin in a run of its characters, in which slashes may also be those of a path."""
    yield from (run[at:] for at in range(4))
    yield from (run[slash.end() :] for slash in islice(re.finditer("/", run), 64))


def _decodes_to_private_key(run: str, layers: int = 2) -> bool:
    data = decode_base64(run, strict=False)
    if not data or not layers:
        return False
    text = data.replace(b"\0", b"").decode("latin-1")
    if _is_marked(text):
        return True
    # PKCS#8, SEC 1 or PKCS#1: a SEQUENCE that begins with a small version number.
    if data[0] == 0x30 and re.match(rb"\x30(?:[\x00-\x7f]|\x81.|\x82..)\x02\x01[\x00-\x03]", data, re.DOTALL):
        return True
    return any(_decodes_to_private_key(inner, layers - 1) for inner in _RUN.findall(text))


def decode_base64(text: str, *, strict: bool = True) -> bytes | None:
    """base64 in either alphabet, padded or not; None if it is not. If not `strict`, a cut-off end is dropped."""
    text = re.sub(r"\s", "", text).rstrip("=").replace("-", "+").replace("_", "/")
    if not strict:
        text = text[: len(text) // 4 * 4] if len(text) % 4 == 1 else text
    if not re.fullmatch(r"[A-Za-z0-9+/]*", text):
        return None
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        return None


def _is_random(run: str) -> bool:
    """Whether a run is too even a mixture of characters to be a name."""
    core = run.strip("/")
    if len(core) >= 64 and re.fullmatch(r"[0-9a-fA-F]+", core):
        return True
    if len(core) < 40:
        return False
    kinds = [(c.islower(), c.isupper(), c.isdigit()) for c in core]
    enough = all(sum(kind[at] for kind in kinds) >= 3 for at in range(3))
    changes = sum(1 for one, next_one in zip(kinds, kinds[1:]) if one != next_one)
    return enough and changes * 5 >= len(core) * 2
