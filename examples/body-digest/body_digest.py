import base64
import hashlib
import hmac


def body_matches(content_digest: str | None, body: bytes) -> bool:
    """Whether every digest of a Content-Digest header is that of the body."""
    algorithms = {"sha-256": hashlib.sha256, "sha-512": hashlib.sha512}
    for member in (content_digest or "").split(","):
        name, _, value = member.strip().partition("=")
        if name not in algorithms:
            return False
        digest = base64.b64encode(algorithms[name](body).digest())
        if not hmac.compare_digest(value.encode(), b":" + digest + b":"):
            return False
    return True
