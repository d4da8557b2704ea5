"""A FastAPI application that verifies signatures with the PyPI package http-message-signatures. scripts/compare measures it. The file
KEYS (from the environment) has a line `KEYID PUBLIC-KEY` for each key, the public key as 32 bytes in base64."""

import base64
import datetime
import os
from pathlib import Path
from typing import Annotated

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from fastapi import Depends, FastAPI, HTTPException, Request
from http_message_signatures import HTTPMessageVerifier, InvalidSignature, MappingKeyResolver, algorithms

COVERED = ("@method", "@authority", "@target-uri")
LINES = [line.split() for line in Path(os.environ["KEYS"]).read_text().splitlines()]
KEYS = {name: Ed25519PublicKey.from_public_bytes(base64.b64decode(key)) for name, key in LINES}
VERIFIER = HTTPMessageVerifier(
    signature_algorithm=algorithms.ED25519, key_resolver=MappingKeyResolver(public_keys=KEYS, private_keys={})
)
app = FastAPI(openapi_url=None)


async def verified_key(request: Request) -> str:
    """The ID of the key that signed the request."""
    try:
        [result] = VERIFIER.verify(request, max_age=datetime.timedelta(minutes=1), require_components=COVERED)
    except InvalidSignature as error:
        raise HTTPException(401, "unauthenticated") from error
    return str(result.parameters["keyid"])


@app.get("/api/v1/me")
async def answer(key: Annotated[str, Depends(verified_key)]) -> dict[str, str]:
    return {"key": key, "name": "A", "email": "a@example.com"}
