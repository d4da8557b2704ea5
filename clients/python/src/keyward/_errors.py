"""The errors. Each message says what to do next, and none holds any part of a private key."""

from __future__ import annotations

from typing import Any


class KeywardError(Exception):
    """The base of all errors of this package."""


class PrivateKeyError(KeywardError):
    """A private key cannot be used.

    `reason` is one of: `not-found`, `unreadable`, `permissions`, `text-in-place-of-file`, `empty`, `public`, `passphrase`,
    `unsupported`, `halves`, `damaged`, `several`, `base64-twice`, `pkcs12`, `no-key`, `other-public-file`, `no-source`.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class AgentError(KeywardError):
    """ssh-agent does not answer, has no such key, or did not sign."""


class SigningError(KeywardError, ValueError):
    """The request cannot be signed as it is."""


class RedirectError(KeywardError):
    """The answer is a redirect. A signature is valid for one URL, so it is not followed."""

    def __init__(self, message: str, *, location: str | None = None, response: Any = None) -> None:
        super().__init__(message)
        self.location = location
        self.response = response


class ProblemError(KeywardError):
    """Keyward refused the request (RFC 9457 problem).

    `code` is the stable code of docs/protocol.md, `reason` says more about a refused signature, and `problem` is the whole
    object.
    """

    def __init__(self, message: str, *, problem: dict[str, Any], response: Any = None) -> None:
        super().__init__(message)
        self.problem = problem
        self.response = response

    @property
    def status(self) -> int:
        """The HTTP status."""
        return int(self.problem.get("status", 0))

    @property
    def code(self) -> str:
        """The stable code, such as `quota_exceeded`."""
        return str(self.problem.get("code", ""))

    @property
    def detail(self) -> str:
        """What happened, and what to do next."""
        return str(self.problem.get("detail", ""))

    @property
    def reason(self) -> str | None:
        """Why a signature that verified was refused, such as `key_expired`."""
        reason = self.problem.get("reason")
        return str(reason) if reason is not None else None

    @property
    def errors(self) -> list[dict[str, Any]]:
        """The invalid fields of an `invalid_request`."""
        errors = self.problem.get("errors", [])
        return list(errors) if isinstance(errors, list) else []


class ClockError(ProblemError):
    """The server refused the signature because of its time (`reason` is `stale` or `early`).

    `skew_seconds` is how far this machine's clock is ahead of the server's; below zero it is behind. None if the server did
    not tell its time.
    """

    def __init__(self, message: str, *, skew_seconds: float | None, problem: dict[str, Any], response: Any = None) -> None:
        super().__init__(message, problem=problem, response=response)
        self.skew_seconds = skew_seconds
