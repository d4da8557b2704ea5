"""Where Keyward is."""

from __future__ import annotations

import os

from ._errors import SigningError
from ._secrets import CERTAIN, describe_secret
from ._sign import split_url


def keyward_url(url: str | None) -> str:
    """The URL that is given, else KEYWARD_URL, without a slash at its end."""
    url = (url or os.environ.get("KEYWARD_URL", "")).strip()
    if not url:
        raise SigningError("no server is named: pass its URL or set KEYWARD_URL (`keyward demo` is at http://127.0.0.1:8080)")
    secret = describe_secret(url)
    if secret in CERTAIN:
        raise SigningError(f"{secret} was given where the server's URL belongs, and is not shown: it starts with `https://` and a host")
    split_url(url)
    return url.rstrip("/")
