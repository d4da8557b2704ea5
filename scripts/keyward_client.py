"""Signs requests with the native profile, for the experiments in this directory. It contains none of Keyward's own code, so that
an experiment and the tested code do not share a mistake."""

import base64
import hashlib
import http.client
import json
import os
import struct
import time

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def b64(data):
    return base64.b64encode(data).decode()


class PublicKey:
    """The Ed25519 public key of these 32 bytes."""

    def __init__(self, raw):
        kind = b"ssh-ed25519"
        self.blob = struct.pack(">I", len(kind)) + kind + struct.pack(">I", len(raw)) + raw
        self.fingerprint = "SHA256:" + b64(hashlib.sha256(self.blob).digest()).rstrip("=")


class Key(PublicKey):
    """An Ed25519 key pair: a new one, or the key pair of these 32 bytes."""

    def __init__(self, secret=None):
        self.private = Ed25519PrivateKey.generate() if secret is None else Ed25519PrivateKey.from_private_bytes(secret)
        super().__init__(self.private.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw))
        self.openssh = f"ssh-ed25519 {b64(self.blob)}"

    @property
    def secret(self):
        """The 32 bytes of the private key, for another process."""
        return self.private.private_bytes_raw()


def is_overloaded(status, answer):
    """Whether a request was refused, unread, because the server has too many."""
    return status == 503 and answer is not None and answer.get("title") == "Overloaded"


class Client:
    """A connection to a server, with one key. If several servers answer for one authority, `address` names the server. For a server
    whose wall clock is wrong, signatures are made so many seconds `ahead` of this machine's clock."""

    def __init__(self, authority, key, address=None, timeout=15, ahead=0):
        self.authority, self.key, self.ahead = authority, key, ahead
        self.connection = http.client.HTTPConnection(address or authority, timeout=timeout)

    def sign(self, method, target, body):
        """The headers of a signed request."""
        now = int(time.time()) + self.ahead
        nonce = base64.urlsafe_b64encode(os.urandom(16)).decode().rstrip("=")
        covered = '"@method" "@authority" "@target-uri"'
        base = f'"@method": {method}\n"@authority": {self.authority}\n"@target-uri": http://{self.authority}{target}\n'
        headers = {}
        if method not in ("GET", "HEAD", "OPTIONS"):
            digest = f"sha-256=:{b64(hashlib.sha256(body).digest())}:"
            covered += ' "content-digest"'
            base += f'"content-digest": {digest}\n'
            headers = {"Content-Digest": digest, "Content-Type": "application/json"}
        parameters = (
            f'({covered});created={now};expires={now + 60};nonce="{nonce}"'
            f';keyid="{self.key.fingerprint}";tag="keyward"'
        )
        signature = self.key.private.sign(f'{base}"@signature-params": {parameters}'.encode())
        headers["Host"] = self.authority
        return headers | {"Signature-Input": f"k={parameters}", "Signature": f"k=:{b64(signature)}:"}

    def attempt(self, method, target, value=None):
        """Status and body of one signed request. Raises OSError or HTTPException without an answer."""
        body = b"" if value is None else json.dumps(value).encode()
        return self.send(method, target, body, self.sign(method, target, body))

    def request(self, method, target, value=None):
        """As `attempt`. If the server is overloaded, as it may be beside other programs, the request is signed and sent again."""
        while True:
            status, answer = self.attempt(method, target, value)
            if not is_overloaded(status, answer):
                return status, answer
            time.sleep(float(self.headers["Retry-After"]))

    def send(self, method, target, body, headers):
        """Sends a signed request, which may be a repeated one."""
        self.connection.request(method, target, body=body or None, headers=headers)
        answer = self.connection.getresponse()
        text, self.headers = answer.read(), answer.headers
        # A load balancer in between may answer too, in another format.
        is_json = "json" in self.headers.get("Content-Type", "")
        return answer.status, json.loads(text) if text and is_json else None

    def list(self, target):
        """All items of a paged list."""
        items, after = [], ""
        while True:
            status, page = self.request("GET", f"{target}?limit=200{after}")
            if status != 200:
                raise RuntimeError(f"GET {target} answered {status}: {page}")
            items += page["items"]
            if page["next"] is None:
                return items
            after = f"&after={page['next']}"
