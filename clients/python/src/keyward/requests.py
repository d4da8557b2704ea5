"""Signed requests with requests.

>>> requests.post(url, json=…, auth=KeywardAuth("id_ed25519"))
"""

from __future__ import annotations

import time
from typing import Any

import requests
from requests.auth import AuthBase

from ._body import StoredBody, as_seekable
from ._problems import clock_error, is_clock_refusal, read_problem, redirect_error
from ._retry import RetryPolicy
from ._sign import Key, Signer, digest_field
from ._url import keyward_url

__all__ = ["KeywardAuth", "Session"]


class KeywardAuth(AuthBase):
    """Signs each request.

    A body that is a file is read twice, for its digest and to be sent. Any other stream is first copied, up to 1 MiB of it in memory
    and what is larger in a temporary file. A redirect raises `RedirectError`, because the signature is valid for one URL, and a
    signature that came too early or too late a `ClockError`.
    """

    def __init__(self, key: Key | Signer = None, **options: Any) -> None:
        """`key` and `options` are those of `Signer`."""
        self._signer = key if isinstance(key, Signer) else Signer(key, **options)

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        body: Any = request.body
        if isinstance(body, str):
            # Else the encoding would be left to the layer below.
            body = request.body = body.encode()
        elif body is not None and not isinstance(body, (bytes, bytearray, StoredBody)):
            file = as_seekable(body)
            body = StoredBody.of_file(file) if file is not None else StoredBody.of_chunks(_chunks(body))
            request.body = body if len(body) else None
            request.headers.pop("Transfer-Encoding", None)
        stored = isinstance(body, StoredBody)
        signature = self._signer.sign(
            request.method or "GET",
            request.url or "",
            headers=[(name, _text(value)) for name, value in request.headers.items()],
            body=None if stored or body is None else bytes(body),
            digest=digest_field(body.sha256) if stored else None,
            exact=True,
        )
        request.headers.update(signature.headers)
        request.keyward_base = signature.base  # type: ignore[attr-defined]
        request.register_hook("response", _check_response)  # type: ignore[no-untyped-call]
        return request


class Session(requests.Session):
    """A `requests.Session` of Keyward's own API, whose requests are signed and, where that is safe, sent again.

    `url` is Keyward's address, else KEYWARD_URL; requests may name a path only. `key` is that of `Signer`. A write goes out again
    with its first signature after a broken connection and 429, 502, 503 and 504, so that Keyward carries it out once.
    """

    def __init__(self, url: str | None = None, key: Key | Signer = None, *, retries: int = 3) -> None:
        super().__init__()
        self._url = keyward_url(url)
        self._policy = RetryPolicy(self._url, retries)
        self.auth = KeywardAuth(key)

    def request(self, method: str | bytes, url: str | bytes, *arguments: Any, **named: Any) -> requests.Response:
        text = url.decode() if isinstance(url, bytes) else url
        if text.startswith("/"):
            text = self._url + text
        return super().request(method, text, *arguments, **named)

    def send(self, request: requests.PreparedRequest, **arguments: Any) -> requests.Response:
        attempt = 0
        method, url = request.method or "GET", request.url or ""
        headers = {name: _text(value) for name, value in request.headers.items()}
        while True:
            response = None
            try:
                response = super().send(request, **arguments)
                wait = self._policy.wait_after_response(method, url, headers, response.status_code, response.headers, attempt)
                if wait is None:
                    return response
            except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
                wait = self._policy.wait_after_failure(method, url, headers, attempt)
                if wait is None:
                    raise
            if response is not None:
                response.close()
            time.sleep(wait)
            attempt += 1
            if isinstance(request.body, StoredBody):
                request.body.rewind()


def _check_response(response: requests.Response, **_: Any) -> None:
    """Runs before requests follows a redirect, which it would send with all fields of the first request."""
    if response.is_redirect:
        raise redirect_error(response.status_code, response.headers["location"], response)
    if is_clock_refusal(response.status_code, response.headers):
        error = clock_error(response.status_code, response.headers, read_problem(response.headers, response.content), response)
        if error is not None:
            raise error


def _chunks(body: Any) -> Any:
    if hasattr(body, "read"):
        return iter(lambda: body.read(64 * 1024), b"")
    return body


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value
