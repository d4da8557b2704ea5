"""Which requests are sent again, and after how long."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from ._sign import SAFE_METHODS, split_url

_STATUSES = frozenset({429, 502, 503, 504})
# Longer waits are left to the caller.
_LONGEST_WAIT_SECONDS = 30.0
_FIRST_WAIT_SECONDS = 0.25
_EXPIRES = re.compile(r";expires=(\d+)")


class RetryPolicy:
    """Retries of requests to one Keyward, at `url`.

    A write is sent again with its first signature, by which Keyward recognises it, and only within the life of that signature.
    Keyward does that at its own API. An API behind it gets no write twice: there, the same signature would be refused.
    """

    def __init__(self, url: str, retries: int) -> None:
        self._scheme, self._authority, path = split_url(url)
        self._api = urlsplit(path).path.rstrip("/") + "/api/v1/"
        self._retries = retries

    def wait_after_response(
        self, method: str, url: str, request: Mapping[str, str], status: int, response: Mapping[str, str], attempt: int
    ) -> float | None:
        """Seconds to wait before the request is sent again, or None for a response that stands."""
        if status not in _STATUSES:
            return None
        told = _retry_after(response)
        return self._allowed(method, url, request, attempt, _backoff(attempt) if told is None else told)

    def wait_after_failure(self, method: str, url: str, request: Mapping[str, str], attempt: int) -> float | None:
        """The same after a connection that broke, or could not be made."""
        return self._allowed(method, url, request, attempt, _backoff(attempt))

    def _allowed(self, method: str, url: str, request: Mapping[str, str], attempt: int, wait: float) -> float | None:
        expires = _EXPIRES.search(request.get("Signature-Input", ""))
        if attempt >= self._retries or wait > _LONGEST_WAIT_SECONDS or expires is None:
            return None
        if time.time() + wait >= int(expires.group(1)):
            return None
        return wait if method in SAFE_METHODS or self._is_own_api(url) else None

    def _is_own_api(self, url: str) -> bool:
        scheme, authority, target = split_url(url, exact=True)
        return (scheme, authority) == (self._scheme, self._authority) and target.startswith(self._api)


def _backoff(attempt: int) -> float:
    """Doubles with each attempt, less up to half, so that clients do not come back in step."""
    return float(_FIRST_WAIT_SECONDS * 2 ** min(attempt, 10) * random.uniform(0.5, 1))  # noqa: S311


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """RFC 9110 §10.2.3: seconds, or a date."""
    value = headers.get("Retry-After", "").strip()
    if value.isdigit():
        return float(value)
    try:
        until = parsedate_to_datetime(value).timestamp()
    except (TypeError, ValueError):
        return None
    try:
        now = parsedate_to_datetime(headers.get("Date", "")).timestamp()
    except (TypeError, ValueError):
        now = time.time()
    return max(0.0, until - now)
