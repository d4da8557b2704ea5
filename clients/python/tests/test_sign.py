"""`sign`, with the library of the reader's choice."""

from __future__ import annotations

import urllib.request

import pytest
from conftest import JSON, Server

from keyward import PrivateKey, Signer, SigningError, sign
from keyward._sign import split_url


def test_urllib_posts(server: Server) -> None:
    url, body = server.url + server.projects, b'{"title": "by urllib"}'
    headers = JSON | sign("POST", url, body=body, key=server.key_file)
    with urllib.request.urlopen(urllib.request.Request(url, data=body, headers=headers, method="POST")) as response:
        assert response.status == 201
    assert "by urllib" in server.titles()


def test_a_host_field_takes_the_place_of_the_host(server: Server) -> None:
    signature = Signer(server.key).sign("GET", "http://10.0.0.1/api", headers={"host": "Keys.Example.com:80"})
    assert '"@target-uri": http://keys.example.com/api' in signature.base


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("/api/v1/me", "is no URL to sign"),
        ("keys.example.com/api", "is no URL to sign"),
        ("ftp://keys.example.com/", "is no URL to sign"),
        ("https:///api", "is no URL to sign"),
        ("https://keys.example.com:port/", "is no URL"),
        ("https://[::1/", "is no URL"),
        ("https://ann:secret@keys.example.com/", "a user name or a password"),
        ("https://keys.example.com/a|b", "percent-encode"),
        ("https://keys.example.com/a\nb", "percent-encode"),
        ('https://keys.example.com/?a="b"', "percent-encode"),
    ],
)
def test_urls_that_cannot_be_signed(server: Server, url: str, words: str) -> None:
    with pytest.raises(SigningError, match=words):
        Signer(server.key).sign("GET", url)


@pytest.mark.parametrize(
    "arguments",
    [
        {"method": "GET me"},
        {"method": ""},
        {"nonce": "short"},
        {"nonce": 'with"a quote, and long enough'},
        {"headers": {"Keyward-Workspace": "büro"}},
        {"headers": {"Keyward-Workspace": "a\r\nb"}},
    ],
)
def test_requests_that_cannot_be_signed(server: Server, arguments: dict[str, object]) -> None:
    with pytest.raises(SigningError):
        Signer(server.key).sign(**{"method": "GET", "url": "https://keys.example.com/", **arguments})  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [{"lifetime": 0}, {"lifetime": 61}, {"key_id": ""}, {"key_id": "ä"}, {"cover": ["a b"]}])
def test_options_that_the_server_would_refuse(server: Server, options: dict[str, object]) -> None:
    with pytest.raises(SigningError):
        Signer(server.key, **options)  # type: ignore[arg-type]


def test_a_host_that_is_not_ascii() -> None:
    assert split_url("https://Bücher.example:443/")[1] == "xn--bcher-kva.example"
    with pytest.raises(SigningError, match="no host name"):
        split_url("https://b\u2028r.example/")


def test_an_own_key_that_signs_elsewhere(server: Server) -> None:
    class Hardware:
        algorithm = "ed25519"
        fingerprint = server.key.fingerprint

        def sign(self, data: bytes) -> bytes:
            return PrivateKey.from_file(server.key_file).sign(data)

    url = server.url + "/api/v1/me"
    request = urllib.request.Request(url, headers=sign("GET", url, key=Hardware()))
    with urllib.request.urlopen(request) as response:
        assert response.status == 200
