"""Strings and numbers as SSH writes them (RFC 4251 §5)."""

from __future__ import annotations

import base64
import hashlib


class Malformed(Exception):
    """Bytes that end too early, or continue after their end."""


class Reader:
    """Reads the parts of a message one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, length: int) -> bytes:
        """The next `length` bytes."""
        end = self._at + length
        if end > len(self._data):
            raise Malformed
        part, self._at = self._data[self._at : end], end
        return part

    def byte(self) -> int:
        return self.take(1)[0]

    def u32(self) -> int:
        return int.from_bytes(self.take(4), "big")

    def string(self) -> bytes:
        return self.take(self.u32())

    def integer(self) -> int:
        """An `mpint` that is not negative."""
        data = self.string()
        if data and data[0] & 0x80:
            raise Malformed
        return int.from_bytes(data, "big")

    def rest(self) -> bytes:
        return self.take(len(self._data) - self._at)

    def end(self) -> None:
        if self._at != len(self._data):
            raise Malformed


def string(data: bytes) -> bytes:
    """A string with its length before it."""
    return len(data).to_bytes(4, "big") + data


def fingerprint(blob: bytes) -> str:
    """The fingerprint of a public key, as `ssh-keygen -l` prints it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
