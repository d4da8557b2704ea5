"""Signs requests to Keyward, and to APIs behind it (RFC 9421).

`keyward.httpx` and `keyward.requests` are for these two libraries. `sign` returns the header fields for any other.
"""

from ._agent import Agent, AgentKey
from ._errors import (
    AgentError,
    ClockError,
    KeywardError,
    PrivateKeyError,
    ProblemError,
    RedirectError,
    SigningError,
)
from ._keys import PrivateKey, SigningKey
from ._problems import raise_for_problem
from ._sign import Signature, Signer, content_digest, sign

__all__ = [
    "Agent",
    "AgentError",
    "AgentKey",
    "ClockError",
    "KeywardError",
    "PrivateKey",
    "PrivateKeyError",
    "ProblemError",
    "RedirectError",
    "Signature",
    "Signer",
    "SigningError",
    "SigningKey",
    "content_digest",
    "raise_for_problem",
    "sign",
]

__version__ = "0.1.0"
