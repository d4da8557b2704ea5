"""Signed requests with httpx.

>>> client = httpx.Client(auth=KeywardAuth("id_ed25519"))
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from typing import Any, Callable

import httpx

from ._body import Copy, StoredBody
from ._problems import clock_error, is_clock_refusal, read_problem, redirect_error
from ._retry import RetryPolicy
from ._sign import Key, Signer, digest_field, split_url
from ._url import keyward_url

__all__ = ["AsyncClient", "Client", "KeywardAuth"]

# The request, or its answer, was lost. A timeout is not among these: then the caller's patience is at its end.
_BROKEN = (httpx.ConnectError, httpx.ReadError, httpx.WriteError, httpx.CloseError, httpx.RemoteProtocolError)


class KeywardAuth(httpx.Auth):
    """Signs each request of a client, sync or async.

    A body that is a stream is first copied, up to 1 MiB of it in memory and what is larger in a temporary file, because its digest
    stands in the header. A redirect to another URL is not followed (`RedirectError`), and a signature that came too early or too
    late is a `ClockError`.
    """

    def __init__(self, key: Key | Signer = None, **options: Any) -> None:
        """`key` and `options` are those of `Signer`."""
        self._signer = key if isinstance(key, Signer) else Signer(key, **options)

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        body = _in_memory(request)
        if body is None:
            if not isinstance(request.stream, httpx.SyncByteStream):
                raise TypeError("the body is an asynchronous stream: send it with httpx.AsyncClient")
            body = _replace_stream(request, StoredBody.of_chunks(request.stream))
        refuse = self._sign(request, body)
        request.extensions["trace"] = _sync_guard(refuse, request.extensions.get("trace"))
        response = yield request
        if is_clock_refusal(response.status_code, response.headers):
            response.read()
            _raise_clock_error(response)

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        body = _in_memory(request)
        if body is None:
            if isinstance(request.stream, httpx.AsyncByteStream):
                with Copy() as copy:
                    async for chunk in request.stream:
                        copy.add(chunk)
                    stored = copy.finish()
            else:
                stored = StoredBody.of_chunks(request.stream)
            body = _replace_stream(request, stored)
        refuse = self._sign(request, body)
        request.extensions["trace"] = _async_guard(refuse, request.extensions.get("trace"))
        response = yield request
        if is_clock_refusal(response.status_code, response.headers):
            await response.aread()
            _raise_clock_error(response)

    def _sign(self, request: httpx.Request, body: bytes | StoredBody) -> Callable[[str, dict[str, Any]], None]:
        url = _sent_url(request.url)
        signature = self._signer.sign(
            request.method,
            url,
            headers=request.headers.multi_items(),
            body=body if isinstance(body, bytes) else None,
            digest=None if isinstance(body, bytes) else digest_field(body.sha256),
            exact=True,
        )
        request.headers.update(signature.headers)
        request.extensions["keyward_base"] = signature.base
        signed = (request.method, *split_url(url, exact=True))

        def refuse(event: str, info: dict[str, Any]) -> None:
            """Sees what goes out, redirects included, which httpx sends with all fields of the first request."""
            if not event.endswith(".send_request_headers.started") or "request" not in info:
                return
            sent = info["request"]
            if not any(name.lower() == b"signature-input" for name, _ in sent.headers):
                return
            target = sent.url.target.decode("ascii")
            if not target.startswith(("http://", "https://")):
                host = sent.url.host.decode("ascii")
                host = f"[{host}]" if ":" in host else host
                port = "" if sent.url.port is None else f":{sent.url.port}"
                target = f"{sent.url.scheme.decode('ascii')}://{host}{port}{target}"
            if (sent.method.decode("ascii"), *split_url(target, exact=True)) != signed:
                raise redirect_error(300, target)

        return refuse


class _Retries:
    def __init__(self, url: str | None, retries: int) -> None:
        self.url = keyward_url(url)
        self.policy = RetryPolicy(self.url, retries)

    def after(self, request: httpx.Request, attempt: int, response: httpx.Response | None) -> float | None:
        """Seconds to wait before the same request is sent again."""
        if not isinstance(request.stream, (httpx.ByteStream, _StoredStream)):
            return None
        url = _sent_url(request.url)
        if response is None:
            return self.policy.wait_after_failure(request.method, url, request.headers, attempt)
        return self.policy.wait_after_response(request.method, url, request.headers, response.status_code, response.headers, attempt)


class Client(httpx.Client):
    """An `httpx.Client` of Keyward's own API, whose requests are signed and, where that is safe, sent again.

    `url` is Keyward's address, else KEYWARD_URL. `key` is that of `Signer`. A write goes out again with its first signature after a
    broken connection and 429, 502, 503 and 504, so that Keyward carries it out once. All other arguments are httpx's.
    """

    def __init__(self, url: str | None = None, key: Key | Signer = None, *, retries: int = 3, **arguments: Any) -> None:
        self._retries = _Retries(url, retries)
        super().__init__(base_url=self._retries.url, auth=KeywardAuth(key), **arguments)

    def send(self, request: httpx.Request, **arguments: Any) -> httpx.Response:
        attempt = 0
        while True:
            response = None
            try:
                response = super().send(request, **arguments)
                wait = self._retries.after(request, attempt, response)
                if wait is None:
                    if attempt:
                        _raise_if_clock(response)
                    return response
            except _BROKEN:
                wait = self._retries.after(request, attempt, None)
                if wait is None:
                    raise
            if response is not None:
                response.close()
            time.sleep(wait)
            attempt += 1
            arguments["auth"] = None


class AsyncClient(httpx.AsyncClient):
    """As `Client`, for asyncio."""

    def __init__(self, url: str | None = None, key: Key | Signer = None, *, retries: int = 3, **arguments: Any) -> None:
        self._retries = _Retries(url, retries)
        super().__init__(base_url=self._retries.url, auth=KeywardAuth(key), **arguments)

    async def send(self, request: httpx.Request, **arguments: Any) -> httpx.Response:
        attempt = 0
        while True:
            response = None
            try:
                response = await super().send(request, **arguments)
                wait = self._retries.after(request, attempt, response)
                if wait is None:
                    if attempt and is_clock_refusal(response.status_code, response.headers):
                        await response.aread()
                        _raise_clock_error(response)
                    return response
            except _BROKEN:
                wait = self._retries.after(request, attempt, None)
                if wait is None:
                    raise
            if response is not None:
                await response.aclose()
            await asyncio.sleep(wait)
            attempt += 1
            arguments["auth"] = None


class _StoredStream(httpx.SyncByteStream, httpx.AsyncByteStream):
    def __init__(self, body: StoredBody) -> None:
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._body)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._body:
            yield chunk


def _in_memory(request: httpx.Request) -> bytes | StoredBody | None:
    """The body, unless it is a stream that has to be copied first."""
    if isinstance(request.stream, _StoredStream):
        return request.stream._body
    return b"".join(request.stream) if isinstance(request.stream, httpx.ByteStream) else None


def _replace_stream(request: httpx.Request, body: StoredBody) -> StoredBody:
    request.stream = _StoredStream(body)
    request.headers.pop("Transfer-Encoding", None)
    request.headers["Content-Length"] = str(len(body))
    return body


def _sent_url(url: httpx.URL) -> str:
    """The URL with the path and query that httpx sends."""
    host = url.raw_host.decode("ascii")
    host = f"[{host}]" if ":" in host else host
    port = "" if url.port is None else f":{url.port}"
    return f"{url.scheme}://{host}{port}{url.raw_path.decode('ascii')}"


Trace = Callable[[str, dict[str, Any]], Any]


def _sync_guard(refuse: Trace, given: Trace | None) -> Trace:
    def trace(event: str, info: dict[str, Any]) -> None:
        refuse(event, info)
        if given is not None:
            given(event, info)

    return trace


def _async_guard(refuse: Trace, given: Trace | None) -> Trace:
    async def trace(event: str, info: dict[str, Any]) -> None:
        refuse(event, info)
        if given is not None:
            await given(event, info)

    return trace


def _raise_if_clock(response: httpx.Response) -> None:
    if is_clock_refusal(response.status_code, response.headers):
        response.read()
        _raise_clock_error(response)


def _raise_clock_error(response: httpx.Response) -> None:
    error = clock_error(response.status_code, response.headers, read_problem(response.headers, response.content), response)
    if error is not None:
        raise error
