"""httpx, sync and async, and requests: against the real server, and against one that misbehaves."""

from __future__ import annotations

import asyncio
import io
import json
import re
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Callable

import httpx
import pytest
import requests
from conftest import JSON, Proxy, Server

import keyward
from keyward import ClockError, ProblemError, RedirectError, raise_for_problem
from keyward.httpx import AsyncClient, Client
from keyward.httpx import KeywardAuth as HttpxAuth
from keyward.requests import KeywardAuth as RequestsAuth
from keyward.requests import Session


def httpx_call(url: str, key: Any, method: str, path: str, body: Any = None, *, own: bool = True, **options: Any) -> httpx.Response:
    headers = JSON if body is not None else {}
    if own:
        with Client(url, key, **options) as client:
            return client.request(method, path, content=body, headers=headers)
    with httpx.Client(base_url=url, auth=HttpxAuth(key), **options) as client:
        return client.request(method, path, content=body, headers=headers)


def async_call(url: str, key: Any, method: str, path: str, body: Any = None, *, own: bool = True, **options: Any) -> httpx.Response:
    headers = JSON if body is not None else {}

    async def call() -> httpx.Response:
        content = _async_chunks(body) if isinstance(body, Iterator) else body
        if own:
            async with AsyncClient(url, key, **options) as client:
                return await client.request(method, path, content=content, headers=headers)
        async with httpx.AsyncClient(base_url=url, auth=HttpxAuth(key), **options) as client:
            return await client.request(method, path, content=content, headers=headers)

    return asyncio.run(call())


def requests_call(url: str, key: Any, method: str, path: str, body: Any = None, *, own: bool = True, **options: Any) -> requests.Response:
    headers = JSON if body is not None else {}
    options.pop("follow_redirects", None)
    if own:
        with Session(url, key, **options) as session:
            return session.request(method, path, data=body, headers=headers)
    return requests.request(method, url + path, data=body, headers=headers, auth=RequestsAuth(key), timeout=60)


async def _async_chunks(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


Call = Callable[..., Any]
ALL = pytest.mark.parametrize("call", [httpx_call, async_call, requests_call], ids=["httpx", "async", "requests"])


@ALL
def test_reads_and_writes(call: Call, server: Server) -> None:
    assert call(server.url, server.key, "GET", "/api/v1/me").json()["principal"]["name"] == "demo-bot"
    title = f"by {call.__name__}"
    response = call(server.url, server.key_file, "POST", server.projects, json.dumps({"title": title}))
    assert response.status_code == 201
    project = server.projects + "/" + response.json()["id"]
    assert call(server.url, server.key, "PATCH", project, json.dumps({"title": "ä"})).json()["title"] == "ä"
    assert call(server.url, server.key, "DELETE", project).status_code == 204
    assert call(server.url, server.key, "POST", server.projects, b"").status_code == 400


@ALL
def test_settings_come_from_the_environment(call: Call, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEYWARD_URL", server.url + "/ ")
    monkeypatch.setenv("KEYWARD_KEY_FILE", str(server.key_file))
    assert call(None, None, "GET", "/api/v1/me").status_code == 200


@ALL
@pytest.mark.parametrize(
    "query", ["?", "?limit=1&x=%7e&y=a|b^c", "?x=ü é'\"<>", "?a=%c3%bc&b=+%2B", "?q=[1]{2}", "?a=1?b=/2", "?&&=", "#part"]
)
def test_the_server_accepts_urls_as_libraries_write_them(call: Call, server: Server, query: str) -> None:
    assert call(server.url, server.key, "GET", "/api/v1/me" + query).status_code == 200


def bodies(title: str, directory: Path) -> Iterator[tuple[str, Any]]:
    body = json.dumps({"title": title}).encode()
    yield "generator", iter([body[:5], body[5:]])
    yield "one chunk", iter([body])
    yield "memory", io.BytesIO(body)
    file = directory / "body"
    file.write_bytes(b"skipped" + body)
    opened = file.open("rb")
    opened.seek(7)
    yield "file", opened
    # More than is copied in memory; the server takes 1 MiB.
    large = json.dumps({"title": title, "description": "d"}).encode() + b" " * 700_000
    yield "large", (large[at : at + 10_000] for at in range(0, len(large), 10_000))


@ALL
def test_streamed_bodies(call: Call, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyward._body, "_MEMORY_BYTES", 100_000)
    for name, body in bodies(f"stream {call.__name__}", tmp_path):
        if name in ("memory", "file") and call is async_call:
            body.close()  # httpx takes no plain files there
            continue
        response = call(server.url, server.key, "POST", server.projects, body)
        assert response.status_code == 201, (name, response.text)
        if hasattr(body, "close"):
            body.close()


def test_multipart_bodies_are_signed(server: Server) -> None:
    # Refused for its type, not for its signature.
    for form in ({"files": {"file": ("a.txt", b"content")}}, {"data": {"a": "ü"}}):
        with Client(server.url, server.key) as client:
            assert client.post(server.projects, **form).status_code == 415
        with Session(server.url, server.key) as session:
            assert session.post(server.projects, **form).status_code == 415


def test_a_text_file_is_refused_with_the_way_out(server: Server) -> None:
    with Session(server.url, server.key) as session, pytest.raises(TypeError, match="mode 'rb'"):
        session.post(server.projects, data=io.StringIO('{"title": "text"}'), headers=JSON)


def test_an_asynchronous_stream_in_a_synchronous_client(server: Server) -> None:
    with Client(server.url, server.key) as client, pytest.raises((TypeError, RuntimeError)):
        client.post(server.projects, content=_async_chunks(iter([b"{}"])), headers=JSON)


@ALL
@pytest.mark.parametrize("fault", ["lose answer", "503 after", "refuse before"])
def test_a_write_is_sent_again_with_the_same_signature_and_happens_once(call: Call, fault: str, server: Server) -> None:
    for name in ("bytes", "generator", "file"):
        if name == "file" and call is async_call:
            continue  # httpx takes no plain files there
        title = f"{call.__name__} {fault} {name}"
        content = json.dumps({"title": title}).encode()
        body = {"bytes": content, "generator": iter([content[:9], content[9:]]), "file": io.BytesIO(content)}[name]
        server.proxy.seen.clear()
        server.proxy.faults[:] = [fault, fault]
        response = call(server.url, server.key, "POST", server.projects, body)
        assert (response.status_code, response.json()["title"]) == (201, title)
        assert len(server.proxy.seen) == 3
        assert len(set(server.proxy.signatures)) == 1
        assert {request["body"] for request in server.proxy.seen} == {content}
        assert server.titles().count(title) == 1


@ALL
def test_a_read_is_sent_again(call: Call, server: Server, other: Proxy) -> None:
    server.proxy.faults[:] = ["lose answer", "503 after"]
    assert call(server.url, server.key, "GET", "/api/v1/me").status_code == 200
    assert len(server.proxy.seen) == 3


@ALL
def test_retries_end(call: Call, server: Server) -> None:
    server.proxy.faults[:] = ["refuse before"] * 9
    assert call(server.url, server.key, "POST", server.projects, b"{}").status_code == 503
    assert len(server.proxy.seen) == 4
    server.proxy.seen.clear()
    assert call(server.url, server.key, "POST", server.projects, b"{}", retries=0).status_code == 503
    assert len(server.proxy.seen) == 1
    server.proxy.faults[:] = ["lose answer"] * 9
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError, requests.ConnectionError)):
        call(server.url, server.key, "POST", server.projects, b"{}")


@ALL
def test_a_write_is_not_sent_again_after_its_signature_or_a_long_wait(call: Call, server: Server, shifted_clock: Any) -> None:
    server.proxy.faults[:] = [(503, {"Retry-After": "31"}, b"")]
    assert call(server.url, server.key, "POST", server.projects, b"{}").status_code == 503
    assert len(server.proxy.seen) == 1
    server.proxy.seen.clear()
    shifted_clock(61, ("_retry",))
    server.proxy.faults[:] = ["refuse before"]
    assert call(server.url, server.key, "POST", server.projects, b"{}").status_code == 503
    assert len(server.proxy.seen) == 1


@ALL
def test_an_api_behind_keyward_gets_no_write_twice(call: Call, server: Server, other: Proxy) -> None:
    for fault in ("drop", "refuse before"):
        other.seen.clear()
        other.faults[:] = [fault]
        if fault == "drop":
            with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError, requests.ConnectionError)):
                call(server.url, server.key, "POST", other.url + "/v2/labels", b"{}")
        else:
            assert call(server.url, server.key, "POST", other.url + "/v2/labels", b"{}").status_code == 503
        assert len(other.seen) == 1
    # Nor does a path of Keyward's host that is not Keyward's API.
    server.proxy.faults[:] = ["refuse before"]
    assert call(server.url, server.key, "POST", "/v2/labels", b"{}").status_code == 503
    assert len(server.proxy.seen) == 1


@ALL
@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_gets_no_signature(call: Call, own: bool, status: int, server: Server, other: Proxy) -> None:
    for location in (other.url + "/elsewhere", server.url + "/api/v1/workspaces"):
        for method, body in (("GET", None), ("POST", b"{}")):
            server.proxy.seen.clear()
            server.proxy.faults[:] = [(status, {"Location": location}, b"")]
            with pytest.raises(RedirectError, match=str(location.rsplit("/", 1)[1])):
                call(server.url, server.key, method, "/api/v1/me", body, own=own, follow_redirects=True)
            assert other.seen == []
            assert len(server.proxy.seen) == 1


def test_httpx_returns_a_redirect_where_it_follows_none(server: Server, other: Proxy) -> None:
    server.proxy.faults[:] = [(307, {"Location": other.url}, b"")]
    with Client(server.url, server.key) as client:
        response = client.get("/api/v1/me")
    assert response.status_code == 307
    with pytest.raises(RedirectError):
        raise_for_problem(response)
    assert other.seen == []


def test_the_callers_own_trace_is_kept(server: Server) -> None:
    events: list[str] = []
    with Client(server.url, server.key) as client:
        client.get("/api/v1/me", extensions={"trace": lambda event, info: events.append(event)})
    assert "http11.send_request_headers.started" in events


@ALL
@pytest.mark.parametrize(("seconds", "words"), [(-100, "100 s behind"), (100, "100 s ahead of")])
def test_a_wrong_clock_is_told(call: Call, seconds: int, words: str, server: Server, shifted_clock: Any) -> None:
    shifted_clock(seconds)
    with pytest.raises(ClockError) as caught:
        call(server.url, server.key, "GET", "/api/v1/me")
    assert caught.value.skew_seconds == pytest.approx(seconds, abs=3)
    assert caught.value.reason == ("stale" if seconds < 0 else "early")
    assert any(f"{near} s {words.split(' s ')[1]}" in str(caught.value) for near in range(97, 104)), str(caught.value)
    assert len(re.findall(r"\d+ s\b", str(caught.value))) == 1, str(caught.value)


def test_a_late_request_is_not_called_a_wrong_clock(server: Server, shifted_clock: Any) -> None:
    shifted_clock(-100, ("_sign",))
    with pytest.raises(ClockError, match="the clocks agree, so the request took too long") as caught:
        requests_call(server.url, server.key, "GET", "/api/v1/me")
    assert "clock is behind" not in str(caught.value)
    assert caught.value.skew_seconds == pytest.approx(0, abs=3)


@ALL
def test_a_wrong_clock_is_told_behind_nginx(call: Call, server: Server) -> None:
    """Which keeps the field and drops the body."""
    server.proxy.faults[:] = [(401, {"Keyward-Reason": "early", "Date": "Thu, 01 Jan 2026 00:00:00 GMT"}, b"<html>")]
    with pytest.raises(ClockError, match="ahead of the server's") as caught:
        call(server.url, server.key, "GET", "/api/v1/me")
    assert caught.value.skew_seconds == pytest.approx(time.time() - 1767225600, abs=5)


@ALL
def test_problems_are_exceptions(call: Call, server: Server) -> None:
    assert raise_for_problem(call(server.url, server.key, "GET", "/api/v1/me")).status_code == 200
    response = call(server.url, server.key, "POST", server.projects, b'{"title": ""}')
    with pytest.raises(ProblemError) as caught:
        raise_for_problem(response)
    error = caught.value
    assert (error.status, error.code, error.reason, error.response) == (400, "invalid_request", None, response)
    assert [one["field"] for one in error.errors] == ["title"]
    assert "title: " in str(error)
    with pytest.raises(ProblemError) as caught:
        raise_for_problem(call(server.url, server.key, "GET", "/api/v1/workspaces/ws_1"))
    assert caught.value.status in (400, 404)


@ALL
def test_an_unknown_key_is_told(call: Call, server: Server, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    unknown = keyward.PrivateKey(Ed25519PrivateKey.generate())
    with pytest.raises(ProblemError, match="registered key") as caught:
        raise_for_problem(call(server.url, unknown, "GET", "/api/v1/me"))
    assert (caught.value.status, caught.value.code) == (401, "unauthenticated")
    assert f"was signed by {unknown.fingerprint}. If that is the right key, register its public key" in str(caught.value)
    # Another reason tells all there is to do.
    with pytest.raises(ProblemError) as caught:
        raise_for_problem(httpx.get(f"{server.url}/api/v1/me"))
    assert caught.value.reason == "missing"
    assert "was signed by" not in str(caught.value)


@ALL
def test_what_a_proxy_changed_is_told(call: Call, server: Server) -> None:
    signer = keyward.Signer(server.key, explain=True, cover=("content-type",))

    def rewrite(handler: Any) -> None:
        handler.path += "?a=1"
        handler.headers.replace_header("Content-Type", "text/c4nary")

    server.proxy.faults[:] = [rewrite]
    with pytest.raises(ProblemError) as caught:
        raise_for_problem(call(server.url, signer, "POST", server.projects, b"{}", own=False))
    told = str(caught.value)
    for words in (
        "@target-uri was signed as",
        "/projects and arrived as",
        "/projects?a=1",
        "content-type was signed as length=16, sha-256=",
    ):
        assert words in told
    assert "@method" not in told
    assert "c4nary" not in told

    def drop(handler: Any) -> None:
        del handler.headers["Signature"], handler.headers["Signature-Input"]

    server.proxy.faults[:] = [drop]
    with pytest.raises(ProblemError, match="no signature arrived"):
        raise_for_problem(call(server.url, signer, "GET", "/api/v1/me", own=False))
    assert raise_for_problem(call(server.url, signer, "GET", "/api/v1/me", own=False)).status_code == 200


@ALL
def test_what_is_no_problem_is_the_librarys_own_error(call: Call, server: Server) -> None:
    server.proxy.faults[:] = [(418, {}, b"<html>")]
    with pytest.raises((httpx.HTTPStatusError, requests.HTTPError)):
        raise_for_problem(call(server.url, server.key, "GET", "/api/v1/me"))


def test_concurrent_requests_of_one_client(server: Server) -> None:
    async def run() -> list[int]:
        async with AsyncClient(server.url, server.key) as client:
            return [response.status_code for response in await asyncio.gather(*(client.get("/api/v1/me") for _ in range(20)))]

    assert asyncio.run(run()) == [200] * 20


def test_requests_through_an_http_proxy(server: Server, other: Proxy) -> None:
    """The proxy gets the whole URL as target."""
    url = "http://keys.example.com/api/v1/me?limit=1"
    through = {"http://": httpx.HTTPTransport(proxy=httpx.Proxy(other.url))}
    with httpx.Client(mounts=through, auth=HttpxAuth(server.key)) as client:
        assert client.get(url).status_code == 200
    assert requests.get(url, auth=RequestsAuth(server.key), proxies={"http": other.url}, timeout=60).status_code == 200
    assert [request["path"] for request in other.seen] == [url, url]
    assert all(other.signatures)
    other.faults[:] = [(307, {"Location": "http://elsewhere.example.com/api/v1/me?limit=1"}, b"")]
    through = {"http://": httpx.HTTPTransport(proxy=httpx.Proxy(other.url))}
    with httpx.Client(mounts=through, auth=HttpxAuth(server.key), follow_redirects=True) as client, pytest.raises(RedirectError):
        client.get(url)
    assert len(other.seen) == 3
