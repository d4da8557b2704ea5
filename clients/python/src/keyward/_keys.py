"""Private keys: where they come from, and signing with them."""

from __future__ import annotations

import base64
import os
import re
import stat
import warnings
from collections.abc import Mapping
from typing import Protocol, Union

from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from . import _wire
from ._errors import PrivateKeyError
from ._formats import AnyKey, Refused, decode_text, read_private_key, ssh_blob
from ._secrets import CERTAIN, decode_base64, describe_secret, shown

_LONGEST_FILE = 64 * 1024

StrPath = Union[str, "os.PathLike[str]"]


class SigningKey(Protocol):
    """What signs: a `PrivateKey`, a key in ssh-agent, or an object of your own, such as one that calls a hardware key."""

    @property
    def algorithm(self) -> str:
        """`ed25519`, `ecdsa-p256-sha256`, `ecdsa-p384-sha384`, `rsa-pss-sha512` or `rsa-v1_5-sha256`."""

    @property
    def fingerprint(self) -> str:
        """`SHA256:…`, as `ssh-keygen -l` prints it."""

    def sign(self, data: bytes) -> bytes:
        """The signature of `data`; ECDSA as r‖s."""


class PrivateKey:
    """A private key from a file or a text.

    Reads OpenSSH, PKCS#8, PKCS#1, SEC 1 (PEM or DER), JWK and PuTTY files, with Ed25519, RSA of 2048 to 4096 bits, and ECDSA on P-256
    and P-384. The file may have a byte order mark, be in UTF-16, have Windows line ends, or be the base64 of such a file.
    """

    def __init__(self, key: AnyKey, comment: str = "", *, _v1_5: bool = False) -> None:
        self._key = key
        self._v1_5 = _v1_5
        self._blob = ssh_blob(key)
        self.comment = comment

    @classmethod
    def load(cls, path: StrPath | None = None, *, environ: Mapping[str, str] | None = None) -> PrivateKey:
        """The key of the file, else of the file that KEYWARD_KEY_FILE names, else the one whose text is in KEYWARD_KEY.

        Empty variables count as absent, since CI systems set those of missing secrets so.
        """
        environ = os.environ if environ is None else environ
        file = path or environ.get("KEYWARD_KEY_FILE")
        if file:
            return cls.from_file(file)
        text = environ.get("KEYWARD_KEY", "")
        if text.strip():
            return cls.from_text(text)
        raise PrivateKeyError(
            "no-source",
            "no private key is given: name its file, or set KEYWARD_KEY_FILE to the file or KEYWARD_KEY to the key's text, or set "
            "KEYWARD_AGENT=1 to have ssh-agent sign; `keyward keygen` and `ssh-keygen -t ed25519 -N ''` make a key",
        )

    @classmethod
    def from_file(cls, path: StrPath) -> PrivateKey:
        """Reads a file that only its owner may read. A leading `~/` is the home directory.

        A `.pub` file beside it that holds another key is an error, because the wrong one would have been registered.
        """
        name = os.fspath(path)
        if "\n" in name or describe_secret(name) in CERTAIN:
            raise PrivateKeyError(
                "text-in-place-of-file",
                "the private key: its text, or another secret, was given where the name of its file belongs, and is not shown: "
                "name the file, or use PrivateKey.from_text, or put the text into KEYWARD_KEY",
            )
        file = os.path.expanduser(name)
        try:
            with open(file, "rb") as opened:
                mode = _too_open(opened.fileno(), file)
                data = opened.read(_LONGEST_FILE + 1)
        except FileNotFoundError:
            raise _error("not-found", file) from None
        except (OSError, ValueError) as error:
            raise _error("unreadable", file, getattr(error, "strerror", None) or type(error).__name__) from None
        if mode is not None:
            # What is no private key is told first: it is the wrong file, and not secret.
            _refuse_other_file(data, file)
            raise _error("permissions", file, f"{mode:03o}")
        if len(data) > _LONGEST_FILE:
            raise _error("no-key", file)
        key = cls._read(data, file)
        key._check_public_file(file + ".pub")
        return key

    @classmethod
    def from_text(cls, text: str | bytes) -> PrivateKey:
        """Reads the text of a key, for example from a secret store. Lost line breaks are put right."""
        data = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
        return cls._read(data, None)

    @classmethod
    def _read(cls, data: bytes, file: str | None) -> PrivateKey:
        try:
            return cls(*read_private_key(data))
        except Refused as refused:
            raise _error(refused.reason, file, refused.found) from None

    @property
    def algorithm(self) -> str:
        """The algorithm of its signatures, as RFC 9421 names it."""
        if isinstance(self._key, Ed25519PrivateKey):
            return "ed25519"
        if isinstance(self._key, EllipticCurvePrivateKey):
            return "ecdsa-p256-sha256" if isinstance(self._key.curve, SECP256R1) else "ecdsa-p384-sha384"
        return "rsa-v1_5-sha256" if self._v1_5 else "rsa-pss-sha512"

    @property
    def fingerprint(self) -> str:
        """`SHA256:…`, as `ssh-keygen -l` prints it."""
        return _wire.fingerprint(self._blob)

    @property
    def public_openssh(self) -> str:
        """The public half as an OpenSSH line, which is what to register."""
        line = self._key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
        comment = "".join(character if character.isprintable() else " " for character in self.comment)
        return f"{line} {comment}".strip()

    def with_v1_5_padding(self) -> PrivateKey:
        """The same RSA key, signing with `rsa-v1_5-sha256` in place of `rsa-pss-sha512`."""
        return PrivateKey(self._key, self.comment, _v1_5=True)

    def sign(self, data: bytes) -> bytes:
        """The signature of `data`; ECDSA as r‖s (RFC 9421 §3.3)."""
        key = self._key
        if isinstance(key, Ed25519PrivateKey):
            return key.sign(data)
        if isinstance(key, EllipticCurvePrivateKey):
            length = (key.curve.key_size + 7) // 8
            r, s = decode_dss_signature(key.sign(data, ECDSA(SHA256() if length == 32 else SHA384())))
            return r.to_bytes(length, "big") + s.to_bytes(length, "big")
        if self._v1_5:
            return key.sign(data, padding.PKCS1v15(), SHA256())
        return key.sign(data, padding.PSS(mgf=padding.MGF1(SHA512()), salt_length=64), SHA512())

    def __repr__(self) -> str:
        return f"<PrivateKey {self.fingerprint}>"

    def __reduce__(self) -> str:
        raise TypeError("a private key is not pickled; load it where it is used")

    def _check_public_file(self, file: str) -> None:
        try:
            with open(file, "rb") as opened:
                data = opened.read(_LONGEST_FILE)
        except FileNotFoundError:
            return
        except (OSError, ValueError):
            data = b""
        blob = public_blob(decode_text(data))
        if blob is None:
            warnings.warn(f"{shown(file)} holds no public key that can be read; the private key is used without it", stacklevel=4)
        elif blob != self._blob:
            private = file[: -len(".pub")]
            raise PrivateKeyError(
                "other-public-file",
                f"{shown(file)} beside it holds another key: if {shown(private)} is the right one, delete {shown(file)}",
            )


def public_blob(text: str) -> bytes | None:
    """The key of an OpenSSH line (options before it are skipped), an RFC 4716 block or a PEM block."""
    line = re.search(r"(?:ssh|ecdsa|sk)-[A-Za-z0-9@.-]+[\s\u00a0]+(AAAA[A-Za-z0-9+/]+=*)", text.replace("\u200b", ""))
    if line is not None:
        return decode_base64(line.group(1))
    block = re.search(r"---- BEGIN SSH2 PUBLIC KEY ----(.*?)---- END", text, re.DOTALL)
    if block is not None:
        body = re.sub(r"^[^\n:]+:(?:[^\n]*\\\r?\n)*[^\n]*\n", "", block.group(1).lstrip(), flags=re.MULTILINE)
        return decode_base64(body)
    if "-----BEGIN" in text:
        try:
            key = load_pem_public_key(text.strip().encode("utf-8", "replace"))
            encoded = key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).split()[1]
        except (ValueError, TypeError):
            return None
        return base64.b64decode(encoded)
    return None


def _too_open(descriptor: int, file: str) -> int | None:
    """The mode of a regular file that others may read, else None.

    Secrets are mounted owned by root and readable by a group (0440, 0640), or read-only for all. Their mode cannot be changed.
    """
    if os.name != "posix":
        return None
    status = os.fstat(descriptor)
    mode = stat.S_IMODE(status.st_mode) & 0o777
    if not stat.S_ISREG(status.st_mode) or not mode & 0o077:
        return None
    if status.st_uid == 0 and not mode & 0o037:
        return None
    read_only = bool(os.fstatvfs(descriptor).f_flag & os.ST_RDONLY)
    if read_only and not mode & 0o022:
        return None
    return mode


def _in_command(file: str) -> str:
    """A file's name for a command that people copy."""
    if describe_secret(file) is not None or not file.isprintable():
        return "FILE"
    return file if re.fullmatch(r"[A-Za-z0-9@%+=:,./_~-]+", file) else "'" + file.replace("'", "'\\''") + "'"


def _refuse_other_file(data: bytes, file: str) -> None:
    try:
        read_private_key(data)
    except Refused as refused:
        if refused.reason in ("public", "no-key", "empty"):
            raise _error(refused.reason, file, refused.found) from None


def _private_file_beside(file: str | None) -> str | None:
    """The file that the private key of a public key file is usually in, if it exists."""
    if file is None or not file.endswith(".pub"):
        return None
    names = (file[: -len(".pub")], file[: -len(".pub")] + ".pem")
    return next((name for name in names if os.path.isfile(name)), None)


def _way_out_of_passphrase(found: str, file: str) -> str:
    """The command depends on the format, because no program reads all of them."""
    if found in ("openssh", "pem"):
        return (
            f"it is protected by a passphrase: add it to ssh-agent with `ssh-add {file}` and use keyward.Agent, or take the passphrase "
            f"off with `ssh-keygen -p -f {file}` (leave the new one empty)"
        )
    if found == "putty":
        return (
            f"it is protected by a passphrase (PuTTY): take it off with `puttygen {file} -O private-openssh-new -o NEW_FILE "
            "--new-passphrase /dev/null` and use the new file"
        )
    der = "-inform DER " if found == "pkcs8-der" else ""
    return (
        f"it is protected by a passphrase (PKCS#8): take it off with `openssl pkcs8 -topk8 -nocrypt {der}-in {file} -out NEW_FILE` and "
        "use the new file"
    )


def _error(reason: str, file: str | None, found: str = "") -> PrivateKeyError:
    """`found` is the file's mode, the system's reason, or what `Refused` says."""
    name = "the private key" if file is None else shown(file)
    given, file = file, _in_command(file) if file is not None else "FILE"
    private = _private_file_beside(given)
    elsewhere = f"in {shown(private)}" if private else "in another file, often of the same name without `.pub` or with `.pem`"
    message = {
        "not-found": f"there is no such file: make a key with `keyward keygen -f {file}`",
        "unreadable": f"cannot be read ({found}): check the path and its permissions",
        "permissions": f"other users of this machine may read it (mode {found}): run `chmod 600 {file}`, and make a new key if they "
        "should not be trusted; where the file cannot be changed, put its text into KEYWARD_KEY or use PrivateKey.from_text",
        "empty": "it is empty: check that the file or secret was filled",
        "public": f"this is the public key: the private key is {elsewhere}",
        "passphrase": f"{_way_out_of_passphrase(found, file)}; or make a key for this program with `keyward keygen`",
        "unsupported": f"{found or 'a key of this type'} is not supported; Ed25519, RSA of 2048 to 4096 bits with exponent 65537, and "
        "ECDSA on P-256 or P-384 are: make a new key with `keyward keygen` or `ssh-keygen -t ed25519`",
        "halves": "its public and its private half do not belong together: restore it from a copy, or make a new key",
        "several": "there is more than one private key: keep one",
        "damaged": "it is damaged: lost line breaks would have been put right, but more is missing or changed; store it again from the "
        "original file",
        "base64-twice": "it is base64 of base64: encode the file once, with `base64 -w0 FILE`",
        "pkcs12": f"this is a PKCS#12 file: take the key out with `openssl pkcs12 -in {file} -nocerts -nodes -out NEW_FILE`, run "
        "`chmod 600 NEW_FILE`, and use that",
        "no-key": f"this is {found}: the private key is in another file"
        if found
        else "this is no private key: a private key begins with `-----BEGIN` or `PuTTY-User-Key-File`, or is a JWK"
        + ("; a file's name belongs into KEYWARD_KEY_FILE or PrivateKey.from_file" if given is None else ""),
    }[reason]
    return PrivateKeyError(reason, f"{name}: {message}")
