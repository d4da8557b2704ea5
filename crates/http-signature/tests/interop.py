"""The other side of the interop tests: PyPI `http-message-signatures` and the Encord SDK, over JSON on stdin and stdout.

interop.py sign     signs requests with fresh keys, and tells keys and requests
interop.py verify   reads signed requests, tells for each whether http-message-signatures takes it
interop.py encord   has the Encord SDK sign requests, and tells them with the public key
"""

import datetime
import json
import sys
import time

import requests
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)
from http_message_signatures import (
    HTTPMessageSigner,
    HTTPMessageVerifier,
    InvalidSignature,
    MappingKeyResolver,
    algorithms,
)

KEY_ID = "SHA256:jXQn4MUCzPEBMIVFQrNQZyXmOZXe4nTiRfVpKGjVCJE"
NONCE = "GRzlUfiGwvXsQRr4cSsoYg"
ALGORITHMS = {
    "ed25519": algorithms.ED25519,
    "ecdsa-p256-sha256": algorithms.ECDSA_P256_SHA256,
    "ecdsa-p384-sha384": algorithms.ECDSA_P384_SHA384,
    "rsa-pss-sha512": algorithms.RSA_PSS_SHA512,
    "rsa-v1_5-sha256": algorithms.RSA_V1_5_SHA256,
}
# Odd ones are signed over @path and @query. http-message-signatures normalises @authority, but takes the authority within
# @target-uri as it stands; the one URL that is not in its normal form is therefore an odd one.
REQUESTS = [
    ("GET", "https://keyward.example/api/v1/me", b""),
    ("GET", "https://Keyward.Example:443/api/v1/me?limit=10&after=a%20b&x=%7E~", b""),
    ("GET", "http://127.0.0.1:8080/?", b""),
    ("POST", "https://keyward.example/api/v1/me/keys", b'{"title":"laptop"}'),
    ("DELETE", "http://localhost/api/v1/me/keys/key_1", b""),
    ("PUT", "https://[::1]:8443/a//b/../c;d=e", bytes(range(256))),
]


def make_key(name):
    if name == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    if name == "ecdsa-p256-sha256":
        return ec.generate_private_key(ec.SECP256R1())
    if name == "ecdsa-p384-sha384":
        return ec.generate_private_key(ec.SECP384R1())
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def public_parts(key):
    public = key.public_key()
    if isinstance(public, ed25519.Ed25519PublicKey):
        return [public.public_bytes(Encoding.Raw, PublicFormat.Raw).hex()]
    if isinstance(public, ec.EllipticCurvePublicKey):
        return [public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint).hex()]
    numbers = public.public_numbers()
    return [format(numbers.n, "0512x"), format(numbers.e, "06x")]


def prepare(method, url, body):
    """As `requests` prepares it, but with the URL as it was given, so that no spelling gets lost."""
    prepared = requests.Request(method, url, data=body or None).prepare()
    prepared.url = url
    return prepared


def described(message, url, body):
    scheme, rest = url.split("://", 1)
    authority, slash, target = rest.partition("/")
    return {
        "method": message.method,
        "scheme": scheme,
        "authority": authority,
        "target": slash + target,
        "headers": [[name.lower(), value] for name, value in message.headers.items()],
        "body": body.hex(),
    }


def sign():
    now = int(time.time())
    sets = []
    for name, algorithm in ALGORITHMS.items():
        key = make_key(name)
        resolver = MappingKeyResolver(public_keys={}, private_keys={KEY_ID: key})
        signer = HTTPMessageSigner(signature_algorithm=algorithm, key_resolver=resolver)
        signed = []
        for method, url, body in REQUESTS:
            message = prepare(method, url, body)
            signer.sign(
                message,
                key_id=KEY_ID,
                created=datetime.datetime.fromtimestamp(now),
                expires=datetime.datetime.fromtimestamp(now + 60),
                nonce=NONCE,
                tag="keyward",
                include_alg=len(signed) % 2 == 0 or name.startswith("rsa-v1"),
                covered_component_ids=("@method", "@authority", "@target-uri")
                if len(signed) % 2 == 0
                else ("@path", "@query", "@authority", "@method"),
                body=None if method == "GET" else body,
            )
            signed.append(described(message, url, body))
        private = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()).hex()
        sets.append({"algorithm": name, "public": public_parts(key), "private": private, "requests": signed})
    json.dump({"now": now, "sets": sets}, sys.stdout)


def verify():
    verdicts = []
    for case in json.load(sys.stdin):
        key = load_der_private_key(bytes.fromhex(case["private"]), None)
        resolver = MappingKeyResolver(public_keys={case["key_id"]: key.public_key()}, private_keys={})
        verifier = HTTPMessageVerifier(signature_algorithm=ALGORITHMS[case["algorithm"]], key_resolver=resolver)
        body = bytes.fromhex(case["body"])
        message = prepare(case["method"], case["url"], body)
        message.headers.update(dict(case["headers"]))
        try:
            results = verifier.verify(message, expect_tag="keyward", body=body)
            verdicts.append(results[0].parameters["nonce"])
        except InvalidSignature as refusal:
            verdicts.append(f"refused: {refusal}")
    json.dump(verdicts, sys.stdout)


def encord():
    from encord.configs import SshConfig

    key = ed25519.Ed25519PrivateKey.generate()
    config = SshConfig(key, domain="http://127.0.0.1:8080")
    base = "http://127.0.0.1:8080/v2/public"
    made = [
        requests.Request("GET", f"{base}/user/bearer-token"),
        requests.Request("GET", f"{base}/projects", params={"title_like": "ä b+c&d", "page": 1, "tags": ["x", "y"]}),
        requests.Request("GET", "http://127.0.0.1:8080"),
        requests.Request("POST", f"{base}/projects", json={"title": "caf\u00e9"}),
        requests.Request("POST", f"{base}/files", data="text as str, \u00e4"),
        requests.Request("PUT", f"{base}/projects/1", data=b"\x00\xff"),
        requests.Request("DELETE", f"{base}/projects/1"),
        requests.Request("patch", f"{base}/projects/1?x=%7e", json={}),
    ]
    signed = []
    for request in made:
        message = config.define_headers_v2(request.prepare())
        body = message.body or b""
        if isinstance(body, str):
            body = body.encode()
        wire = "http://127.0.0.1:8080" + message.path_url
        signed.append(described(message, wire, body))
    json.dump({"public": config.public_key_hex, "requests": signed}, sys.stdout)


{"sign": sign, "verify": verify, "encord": encord}[sys.argv[1]]()
