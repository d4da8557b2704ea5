"""Keys in ssh-agent (draft-ietf-sshm-ssh-agent): it signs, and the private key never comes here."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

from . import _wire
from ._errors import AgentError
from ._formats import decode_text
from ._keys import public_blob
from ._secrets import shown
from ._wire import Malformed, Reader, string

_REQUEST_IDENTITIES = 11
_IDENTITIES_ANSWER = 12
_SIGN_REQUEST = 13
_SIGN_RESPONSE = 14
# SSH_AGENT_RSA_SHA2_256. Without it an agent signs with SHA-1; RFC 9421 knows no PKCS #1 v1.5 with SHA-512 that Keyward takes.
_RSA_SHA2_256 = 2
_LONGEST_ANSWER = 256 * 1024
# An agent may ask its owner before it signs.
_PATIENCE_SECONDS = 300.0
_ALGORITHMS = {
    b"ssh-ed25519": "ed25519",
    b"ecdsa-sha2-nistp256": "ecdsa-p256-sha256",
    b"ecdsa-sha2-nistp384": "ecdsa-p384-sha384",
    b"ssh-rsa": "rsa-v1_5-sha256",
}


class Agent:
    """A running ssh-agent, found by its socket."""

    def __init__(self, socket_path: str) -> None:
        self._socket = socket_path

    @classmethod
    def from_environment(cls, *, environ: Mapping[str, str] | None = None) -> Agent:
        """The agent that SSH_AUTH_SOCK names."""
        path = (os.environ if environ is None else environ).get("SSH_AUTH_SOCK")
        if not path:
            raise AgentError(
                'no ssh-agent is known here (SSH_AUTH_SOCK is not set): start one with `eval "$(ssh-agent)"`, then add the key with '
                "`ssh-add FILE`"
            )
        return cls(path)

    def list_keys(self) -> list[AgentKey]:
        """The keys that it holds and Keyward takes."""
        try:
            reader = Reader(self._ask(bytes([_REQUEST_IDENTITIES])))
            if reader.byte() != _IDENTITIES_ANSWER:
                raise Malformed
            keys = []
            for _ in range(reader.u32()):
                blob, comment = reader.string(), reader.string()
                # Certificates and security keys are left out.
                kind = Reader(blob).string()
                if kind in _ALGORITHMS:
                    text = comment.decode("utf-8", "replace")
                    keys.append(AgentKey(self, kind, blob, "".join(c if c.isprintable() else " " for c in text)))
            reader.end()
        except Malformed:
            raise self._unreachable("its answer is malformed") from None
        return keys

    def find_key(self, name: str | None = None) -> AgentKey:
        """The key with this fingerprint, comment or `.pub` file, or the only one."""
        if name is not None and name.endswith(".pub"):
            name = _fingerprint_in_file(name)
        keys = self.list_keys()
        known = "".join(f"\n  {key.fingerprint} {key.comment}" for key in keys)
        if name is None:
            if not keys:
                raise AgentError("ssh-agent holds no key that Keyward takes: add one with `ssh-add FILE` (`ssh-add -l` lists all keys)")
            if len(keys) > 1:
                raise AgentError(f"ssh-agent holds several keys: choose one by its fingerprint or comment{known}")
            return keys[0]
        found = [key for key in keys if name in (key.fingerprint, key.comment)]
        if len(found) != 1:
            raise AgentError(f"not exactly one key of ssh-agent is called {shown(name)}: name one by its fingerprint{known}")
        return found[0]

    def _ask(self, message: bytes) -> bytes:
        if not hasattr(socket, "AF_UNIX"):
            raise self._unreachable("agents are asked over Unix sockets, which this system does not have")
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(_PATIENCE_SECONDS)
                connection.connect(self._socket)
                connection.sendall(string(message))
                length = int.from_bytes(_read(connection, 4), "big")
                if length > _LONGEST_ANSWER:
                    raise OSError(f"its answer claims to have {length} bytes")
                return _read(connection, length)
        except OSError as error:
            raise self._unreachable(error.strerror or str(error)) from None

    def _unreachable(self, reason: str) -> AgentError:
        return AgentError(
            f"the ssh-agent at {shown(self._socket)} cannot be asked ({reason}): see that it runs, and that SSH_AUTH_SOCK is its socket"
        )


class AgentKey:
    """A key in ssh-agent: Ed25519, ECDSA on P-256 or P-384, or RSA."""

    def __init__(self, agent: Agent, kind: bytes, blob: bytes, comment: str) -> None:
        self._agent = agent
        self._kind = kind
        self._blob = blob
        self.comment = comment

    @property
    def algorithm(self) -> str:
        """The algorithm of its signatures. RSA keys in an agent sign with PKCS #1 v1.5 (RFC 8332)."""
        return _ALGORITHMS[self._kind]

    @property
    def fingerprint(self) -> str:
        """`SHA256:…`, as `ssh-add -l` prints it."""
        return _wire.fingerprint(self._blob)

    def sign(self, data: bytes) -> bytes:
        """The signature of `data`; ECDSA as r‖s."""
        flags = _RSA_SHA2_256 if self._kind == b"ssh-rsa" else 0
        message = bytes([_SIGN_REQUEST]) + string(self._blob) + string(data) + flags.to_bytes(4, "big")
        try:
            return self._read_signature(Reader(self._agent._ask(message)))
        except (Malformed, OverflowError):
            raise AgentError(
                f"ssh-agent did not sign with {self.fingerprint} {self.comment}: it may be locked (`ssh-add -X`), the key may have been "
                "removed or have run out (`ssh-add -l`), or the agent's prompt was declined"
            ) from None

    def _read_signature(self, reader: Reader) -> bytes:
        if reader.byte() != _SIGN_RESPONSE:
            raise Malformed
        signature = Reader(reader.string())
        reader.end()
        name, data = signature.string(), signature.string()
        signature.end()
        if name != (b"rsa-sha2-256" if self._kind == b"ssh-rsa" else self._kind):
            raise Malformed
        if self._kind.startswith(b"ecdsa-"):
            # RFC 5656 §3.1.2 has r and s as numbers, RFC 9421 §3.3.4 at their full length.
            length = 32 if self._kind.endswith(b"256") else 48
            numbers = Reader(data)
            r, s = numbers.integer(), numbers.integer()
            numbers.end()
            return r.to_bytes(length, "big") + s.to_bytes(length, "big")
        return data

    def __repr__(self) -> str:
        return f"<AgentKey {self.fingerprint}>"


def _fingerprint_in_file(file: str) -> str:
    """The fingerprint of a public key file; a name that is no file may be a comment."""
    try:
        with open(os.path.expanduser(file), "rb") as opened:
            blob = public_blob(decode_text(opened.read(64 * 1024)))
    except (OSError, ValueError):
        return file
    if blob is None:
        raise AgentError(f"{shown(file)} holds no public key that can be read")
    return _wire.fingerprint(blob)


def _read(connection: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        part = connection.recv(length - len(data))
        if not part:
            raise OSError("it closed the connection")
        data += part
    return data
