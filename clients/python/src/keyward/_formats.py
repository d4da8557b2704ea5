"""From the bytes of a key file to a key of `cryptography`: OpenSSH, PKCS#8, PKCS#1, SEC 1, JWK, PuTTY, in any encoding."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import re
from typing import Any, Union

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    EllipticCurve,
    EllipticCurvePrivateKey,
    derive_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import (
    RSAPrivateKey,
    RSAPrivateNumbers,
    RSAPublicNumbers,
    rsa_crt_dmp1,
    rsa_crt_dmq1,
)
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_private_key

from ._secrets import decode_base64
from ._wire import Malformed, Reader, string

AnyKey = Union[Ed25519PrivateKey, EllipticCurvePrivateKey, RSAPrivateKey]

OPENSSH_MAGIC = b"openssh-key-v1\0"
_PEM_BLOCK = re.compile(r"-----\s*BEGIN([A-Z0-9\s]+?)-----(.*?)-----\s*END([A-Z0-9\s]+?)-----", re.DOTALL)
_PUBLIC_LINE = re.compile(r"(?:^|[\n\"', ])(?:ssh-(?:ed25519|rsa|dss)|ecdsa-sha2-nistp\d+|sk-[a-z0-9@.-]+)\s+AAAA")
# What copying through pages and editors leaves behind.
_BLANKS = {0xFEFF: None, 0x200B: None, 0x200C: None, 0x200D: None, 0x2060: None, 0xA0: " "}
_CURVES: dict[bytes, EllipticCurve] = {b"nistp256": SECP256R1(), b"nistp384": SECP384R1()}
_CURVE_OIDS = {bytes.fromhex("2a8648ce3d030107"): b"nistp256", bytes.fromhex("2b81040022"): b"nistp384"}
_EC_OID = bytes.fromhex("2a8648ce3d0201")
_RSA_PSS_OID = bytes.fromhex("2a864886f70d01010a")
_ED25519_OID = bytes.fromhex("2b6570")
_CERTIFICATE = "a certificate, which holds a public key"
_SSH_KINDS = {
    b"ssh-dss": "a DSA key",
    b"ssh-ed448": "an Ed448 key",
}


class Refused(Exception):
    """Why these bytes are no usable private key: one of the reasons of `PrivateKeyError`, and what was found.

    `found` is the format of a key with a passphrase, `openssh`, `pem`, `pkcs8`, `pkcs8-der` or `putty`. For `unsupported` and `no-key`
    it is what a message calls the thing, such as `an RSA key of 1024 bits`.
    """

    def __init__(self, reason: str, found: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.found = found


def read_private_key(data: bytes) -> tuple[AnyKey, str]:
    """The key and its comment."""
    key, comment = _read(data, 0)
    _check_kind(key)
    return key, comment


def _read(data: bytes, layer: int) -> tuple[AnyKey, str]:
    if data.startswith(OPENSSH_MAGIC):
        return _read_openssh(data)
    if _is_der(data):
        return _read_der(data), ""
    text = decode_text(data)
    putty = text.find("PuTTY-User-Key-File-")
    if putty >= 0:
        # As it is: its MAC covers the comment.
        return _read_putty(_unquote(text[putty:].strip()))
    stripped = _unquote(text.translate(_BLANKS).strip())
    if not stripped:
        raise Refused("empty")
    jwk = _find_jwk(stripped, text.translate(_BLANKS).strip())
    if jwk is not None:
        return _read_jwk(jwk), ""
    blocks = [(re.sub(r"\s", "", label), body) for label, body, _ in _PEM_BLOCK.findall(stripped)]
    private = [(label, body) for label, body in blocks if label.endswith("PRIVATEKEY")]
    if len(private) > 1:
        raise Refused("several")
    if private:
        return _read_pem(*private[0])
    if "PRIVATEKEY-----" in re.sub(r"\s", "", stripped):
        raise Refused("damaged")
    if is_public(stripped):
        raise Refused("public")
    decoded = None if blocks else decode_base64(stripped)
    if decoded and len(decoded) >= 32:
        if layer == 0 and _is_known(decoded):
            return _read(decoded, layer + 1)
        if layer > 0 or _is_known(decode_base64(decoded.decode("latin-1")) or b""):
            raise Refused("base64-twice")
    raise Refused("no-key", _name_of_block(blocks[0][0]) if blocks else "")


def _name_of_block(label: str) -> str:
    """What a PEM block is; blanks are left out of its label."""
    if label.endswith(("CERTIFICATE", "CERTIFICATEREQUEST")):
        return _CERTIFICATE
    return f"a PEM block with the label {label}" if len(label) <= 32 else ""


def _is_known(data: bytes) -> bool:
    text = re.sub(r"\s", "", decode_text(data))
    return (
        data.startswith(OPENSSH_MAGIC)
        or _is_der(data)
        or text.lstrip("\ufeff").startswith(("PuTTY-User-Key-File-", "-----BEGIN"))
        or "PRIVATEKEY-----" in text
        or (text.startswith(("{", '"{')) and "kty" in text)
        or is_public(decode_text(data))
    )


def decode_text(data: bytes) -> str:
    """UTF-8, or UTF-16 with or without byte order mark. Bytes of other encodings, as in comments, are kept as surrogates."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    head = data[:64]
    if len(head) >= 8 and len(data) % 2 == 0:
        if not any(head[1::2]):
            return data.decode("utf-16-le", "replace")
        if not any(head[::2]):
            return data.decode("utf-16-be", "replace")
    return data.decode("utf-8", "surrogateescape").lstrip("\ufeff")


def is_public(text: str) -> bool:
    """Whether a text holds a public key."""
    squeezed = re.sub(r"\s", "", text)
    pem = ("-----BEGINPUBLICKEY-----", "-----BEGINRSAPUBLICKEY-----", "----BEGINSSH2PUBLICKEY----")
    return any(mark in squeezed for mark in pem) or _PUBLIC_LINE.search(text) is not None


def _unquote(text: str) -> str:
    for quote in ('"', "'"):
        if len(text) > 1 and text.startswith(quote) and text.endswith(quote):
            return text[1:-1].strip()
    return text


def _read_pem(label: str, body: str) -> tuple[AnyKey, str]:
    if label == "ENCRYPTEDPRIVATEKEY":
        raise Refused("passphrase", "pkcs8")
    if "Proc-Type:" in body and "ENCRYPTED" in body:
        raise Refused("passphrase", "pem")
    if label == "DSAPRIVATEKEY":
        raise Refused("unsupported", "a DSA key")
    if label not in ("OPENSSHPRIVATEKEY", "PRIVATEKEY", "RSAPRIVATEKEY", "ECPRIVATEKEY"):
        raise Refused("unsupported")
    data = decode_base64(body.replace("\\n", "").replace("\\r", ""))
    if not data:
        raise Refused("damaged")
    if label == "OPENSSHPRIVATEKEY":
        return _read_openssh(data)
    return _read_der(data), ""


def _read_openssh(data: bytes) -> tuple[AnyKey, str]:
    if not data.startswith(OPENSSH_MAGIC):
        raise Refused("damaged")
    try:
        reader = Reader(data[len(OPENSSH_MAGIC) :])
        cipher, kdf, _options = reader.string(), reader.string(), reader.string()
        if reader.u32() != 1:
            raise Refused("several")
        public, private = reader.string(), reader.string()
        if (cipher, kdf) != (b"none", b"none"):
            raise Refused("passphrase", "openssh")
        reader.end()
        reader = Reader(private)
        if reader.u32() != reader.u32():
            raise Refused("damaged")
        key = _read_ssh_private(reader.string(), reader)
        comment = reader.string()
        padding = reader.rest()
        if padding != bytes(range(1, len(padding) + 1)):
            raise Refused("damaged")
    except (Malformed, ValueError):
        raise Refused("damaged") from None
    if ssh_blob(key) != public:
        raise Refused("halves")
    return key, comment.decode("utf-8", "replace")


def _read_ssh_private(kind: bytes, reader: Reader) -> AnyKey:
    if kind == b"ssh-ed25519":
        point, pair = reader.string(), reader.string()
        if len(pair) != 64:
            raise Malformed
        if pair[32:] != point:
            raise Refused("halves")
        return Ed25519PrivateKey.from_private_bytes(pair[:32])
    if kind.startswith(b"ecdsa-sha2-"):
        name, point, scalar = reader.string(), reader.string(), reader.integer()
        return _ecdsa_key(name, scalar, point)
    if kind == b"ssh-rsa":
        n, e, d, iqmp, p, q = (reader.integer() for _ in range(6))
        return _rsa_key(n, e, d, iqmp, p, q)
    raise Refused("unsupported", _name_of_ssh_kind(kind))


def _name_of_ssh_kind(kind: bytes) -> str:
    if kind.startswith(b"sk-"):
        return "a key that is in a security key (sk-…)"
    return _SSH_KINDS.get(kind, "")


def _ecdsa_key(curve_name: bytes, scalar: int, point: bytes | None) -> EllipticCurvePrivateKey:
    curve = _CURVES.get(curve_name)
    if curve is None:
        raise Refused("unsupported", "an ECDSA key on P-521" if curve_name == b"nistp521" else "an ECDSA key on another curve")
    key = derive_private_key(scalar, curve)
    if point is not None and not _has_point(key, point):
        raise Refused("halves")
    return key


def _has_point(key: EllipticCurvePrivateKey, point: bytes) -> bool:
    form = PublicFormat.UncompressedPoint if point[:1] == b"\x04" else PublicFormat.CompressedPoint
    return key.public_key().public_bytes(Encoding.X962, form) == point


def _rsa_key(n: int, e: int, d: int, iqmp: int, p: int, q: int) -> RSAPrivateKey:
    _check_rsa(n.bit_length(), e)
    if p * q != n:
        raise Refused("halves")
    numbers = RSAPrivateNumbers(p, q, d, rsa_crt_dmp1(d, p), rsa_crt_dmq1(d, q), iqmp, RSAPublicNumbers(e, n))
    return numbers.private_key()


def _check_rsa(bits: int, exponent: int) -> None:
    if not 2048 <= bits <= 4096:
        raise Refused("unsupported", f"an RSA key of {bits} bits")
    if exponent != 65537:
        raise Refused("unsupported", "an RSA key whose exponent is not 65537")


def _find_jwk(text: str, quoted: str) -> dict[str, Any] | None:
    """The JWK that a text is (RFC 7517), or the one of a set; the text may be within a string of JSON, `quoted`."""
    # Escapes are those of JSON. What is quoted otherwise, as in a shell, has none.
    with contextlib.suppress(ValueError):
        text = str(json.loads(quoted)).strip() if quoted.startswith('"') else text
    if not text.startswith("{"):
        return None
    try:
        document = json.loads(text, object_pairs_hook=_unique_members)
    except ValueError:
        if '"kty"' in text:
            raise Refused("damaged") from None
        return None
    keys = document.get("keys", [document])
    if not isinstance(keys, list) or not all(isinstance(key, dict) and "kty" in key for key in keys):
        return None
    if len(keys) != 1:
        raise Refused("several" if keys else "empty")
    found: dict[str, Any] = keys[0]
    return found


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is given twice")
    return members


def _read_jwk(jwk: dict[str, Any]) -> AnyKey:
    """`OKP` of RFC 8037, `EC` and `RSA` of RFC 7518 §6."""

    def member(name: str) -> bytes:
        value = jwk.get(name)
        decoded = decode_base64(value) if isinstance(value, str) else None
        if not decoded:
            raise Refused("damaged")
        return decoded

    def number(name: str) -> int:
        return int.from_bytes(member(name), "big")

    kty, crv = jwk["kty"], jwk.get("crv")
    if kty == "oct":
        raise Refused("unsupported", "a symmetric key (`oct`)")
    if "d" not in jwk:
        raise Refused("public")
    curve = {"P-256": b"nistp256", "P-384": b"nistp384"}.get(crv) if kty == "EC" and isinstance(crv, str) else None
    try:
        if kty == "RSA":
            return _rsa_key(number("n"), number("e"), number("d"), number("qi"), number("p"), number("q"))
        if curve is not None:
            x, y = member("x"), member("y")
            if not len(x) == len(y) == _CURVES[curve].key_size // 8:
                raise Refused("damaged")
            return _ecdsa_key(curve, number("d"), b"\x04" + x + y)
        if (kty, crv) == ("OKP", "Ed25519"):
            key = Ed25519PrivateKey.from_private_bytes(member("d"))
            if key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw) != member("x"):
                raise Refused("halves")
            return key
    except ValueError:
        raise Refused("damaged") from None
    raise Refused("unsupported", f"a JWK of the type {_name_in_jwk(kty)} with the curve {_name_in_jwk(crv)}")


def _name_in_jwk(value: object) -> str:
    """A name in a JWK, unless it is something else."""
    return value if isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9.-]{1,16}", value) else "that it names"


def _read_putty(text: str) -> tuple[AnyKey, str]:
    if "\n" not in text and "\r" not in text:
        # Only then: a comment may hold a backslash.
        text = text.replace("\\r", "").replace("\\n", "\n")
    lines = re.split(r"\r\n|\n|\r", text)
    fields = {}
    at = 0
    try:
        while at < len(lines):
            if not lines[at].strip():
                at += 1
                continue
            # YAML indents.
            name, _, value = lines[at].lstrip().partition(": ")
            at += 1
            if name in ("Public-Lines", "Private-Lines"):
                count = int(value)
                fields[name] = "".join(line.strip() for line in lines[at : at + count])
                at += count
            else:
                fields[name.strip()] = value
        version = next(int(name[-1]) for name in fields if name.startswith("PuTTY-User-Key-File-"))
        kind = fields[f"PuTTY-User-Key-File-{version}"].strip()
        if version not in (2, 3):
            raise Refused("unsupported", f"a PuTTY file of version {version}")
        if fields["Encryption"].strip() != "none":
            raise Refused("passphrase", "putty")
        public, private = decode_base64(fields["Public-Lines"]), decode_base64(fields["Private-Lines"])
        if not public or not private:
            raise Refused("damaged")
        signed = (kind.encode(), b"none", fields["Comment"].encode("utf-8", "surrogateescape"), public, private)
        message = b"".join(string(part) for part in signed)
        if version == 3:
            expected = hmac.new(b"", message, hashlib.sha256).hexdigest()
        else:
            mac_key = hashlib.sha1(b"putty-private-key-file-mac-key", usedforsecurity=False).digest()
            expected = hmac.new(mac_key, message, "sha1").hexdigest()
        if not hmac.compare_digest(expected, fields["Private-MAC"].strip().lower()):
            raise Refused("damaged")
        key = _read_putty_key(kind, Reader(public), Reader(private))
    except (Malformed, KeyError, StopIteration, ValueError):
        raise Refused("damaged") from None
    if ssh_blob(key) != public:
        raise Refused("halves")
    comment = fields["Comment"].encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return key, comment


def _read_putty_key(kind: str, public: Reader, private: Reader) -> AnyKey:
    public.string()
    if kind == "ssh-ed25519":
        return Ed25519PrivateKey.from_private_bytes(private.string())
    if kind.startswith("ecdsa-sha2-"):
        return _ecdsa_key(public.string(), private.integer(), public.string())
    if kind == "ssh-rsa":
        e, n = public.integer(), public.integer()
        d, p, q, iqmp = (private.integer() for _ in range(4))
        return _rsa_key(n, e, d, iqmp, p, q)
    raise Refused("unsupported", _name_of_ssh_kind(kind.encode("utf-8", "replace")))


def _is_der(data: bytes) -> bool:
    try:
        return len(der_children(data)) > 1
    except Malformed:
        return False


def der_children(data: bytes) -> list[tuple[int, bytes]]:
    """Tags and contents within a SEQUENCE that is all of `data`."""
    outer = _der_items(data)
    if len(outer) != 1 or outer[0][0] != 0x30:
        raise Malformed
    return _der_items(outer[0][1])


def _der_items(data: bytes) -> list[tuple[int, bytes]]:
    reader, items = Reader(data), []
    end = len(data)
    at = 0
    while at < end:
        tag, length = reader.byte(), reader.byte()
        at += 2
        if length & 0x80:
            size = length & 0x7F
            if not 1 <= size <= 3:
                raise Malformed
            length = int.from_bytes(reader.take(size), "big")
            at += size
        items.append((tag, reader.take(length)))
        at += length
    return items


def _read_der(data: bytes) -> AnyKey:
    try:
        children = der_children(data)
        tags = [tag for tag, _ in children]
        if tags == [0x30, 0x04]:
            raise Refused("passphrase", "pkcs8-der")
        if tags == [0x30, 0x03]:
            raise Refused("public")
        if tags == [0x30, 0x30, 0x03]:
            raise Refused("no-key", _CERTIFICATE)
        if tags[:3] == [0x02, 0x30, 0x04]:
            return _read_pkcs8(data, children)
        if tags[:2] == [0x02, 0x04]:
            return _read_sec1(children)
        if tags[:2] == [0x02, 0x30] and children[0][1] == b"\x03":
            raise Refused("pkcs12")
        if tags[:2] == [0x02, 0x02] and len(tags) >= 9:
            return _load_der(data)
    except (Malformed, ValueError):
        raise Refused("damaged") from None
    raise Refused("no-key")


def _read_pkcs8(data: bytes, children: list[tuple[int, bytes]]) -> AnyKey:
    algorithm = _der_items(children[1][1])[0][1]
    if algorithm == _RSA_PSS_OID:
        raise Refused("unsupported", "an RSA key that is bound to PSS (a plain one signs with PSS too)")
    if algorithm == _ED25519_OID:
        # RFC 8410 §7; not every release of `cryptography` reads version 2, with the public half.
        (tag, seed), *more = _der_items(children[2][1])
        if tag != 0x04 or len(seed) != 32 or more:
            raise Malformed
        key = Ed25519PrivateKey.from_private_bytes(seed)
        public = next((content[1:] for tag, content in children[3:] if tag == 0x81), None)
        if public is not None and key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw) != public:
            raise Refused("halves")
        return key
    if algorithm == _EC_OID:
        curve = _der_items(children[1][1])[1][1]
        return _read_sec1(der_children(children[2][1]), curve)
    return _load_der(data)


def _read_sec1(children: list[tuple[int, bytes]], curve: bytes = b"") -> AnyKey:
    """RFC 5915 §3. In PKCS#8 the curve is named outside."""
    point = None
    for tag, content in children[2:]:
        if tag == 0xA0:
            curve = _der_items(content)[0][1]
        elif tag == 0xA1:
            point = _der_items(content)[0][1][1:]
    return _ecdsa_key(_CURVE_OIDS.get(curve, b""), int.from_bytes(children[1][1], "big"), point)


def _load_der(data: bytes) -> AnyKey:
    try:
        key = load_der_private_key(data, None)
    except TypeError:
        raise Refused("passphrase", "pkcs8-der") from None
    except UnsupportedAlgorithm:
        raise Refused("unsupported") from None
    if not isinstance(key, (Ed25519PrivateKey, EllipticCurvePrivateKey, RSAPrivateKey)):
        raise Refused("unsupported")
    return key


def _check_kind(key: AnyKey) -> None:
    if isinstance(key, EllipticCurvePrivateKey) and not isinstance(key.curve, (SECP256R1, SECP384R1)):
        raise Refused("unsupported", "an ECDSA key on another curve")
    if isinstance(key, RSAPrivateKey):
        _check_rsa(key.key_size, key.public_key().public_numbers().e)


def ssh_blob(key: AnyKey) -> bytes:
    """The public half as SSH writes it."""
    line = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return base64.b64decode(line.split()[1])
