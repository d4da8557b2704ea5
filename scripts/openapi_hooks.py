"""Signs the requests that schemathesis sends, with the key whose 32 bytes are in the variable KEYWARD_TEST_KEY (hex)."""

import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

import schemathesis
from requests.auth import AuthBase

sys.path.insert(0, str(Path(__file__).parent))
from keyward_client import Client, Key  # noqa: E402


class Signature(AuthBase):
    def __init__(self, key):
        self.key = key

    def __call__(self, request):
        if request.method in ("GET", "HEAD"):
            # The server verifies any body against a digest, and there is none to sign for a read.
            request.body = None
            request.headers.pop("Content-Length", None)
            request.headers.pop("Transfer-Encoding", None)
        body = request.body or b""
        body = body.encode() if isinstance(body, str) else body
        content_type = request.headers.get("Content-Type")
        client = Client(urlsplit(request.url).netloc, self.key)
        request.headers.update(client.sign(request.method, request.path_url, body))
        # The signature does not cover the type, which may be a wrong one on purpose.
        if content_type is not None:
            request.headers["Content-Type"] = content_type
        return request


schemathesis.auth.set_from_requests(Signature(Key(bytes.fromhex(os.environ["KEYWARD_TEST_KEY"]))))
