"""Finds what was changed on the way to the server (docs/protocol.md, "When a signature is refused")."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

HEADER = "Keyward-Explain"


def find_differences(base: str, problem: Mapping[str, Any]) -> list[str]:
    """One sentence for each line of the signature base that the server computed in another way. `base` is what was signed."""
    explanation = problem.get("explanation")
    if not isinstance(explanation, dict):
        return []
    told = explanation.get("signature_base")
    if not isinstance(told, str):
        detail = explanation.get("detail")
        return [detail] if isinstance(detail, str) else []
    signed, arrived = _lines(base), _lines(told)
    differences = []
    for component, value in signed.items():
        masked = _masked(component, value)
        other = arrived.get(component, "(missing)")
        if masked != other:
            differences.append(f"{component} was signed as {masked} and arrived as {other}")
    body = explanation.get("body")
    if isinstance(body, dict):
        differences.append(
            f"a body of {body.get('length')} bytes arrived ({body.get('content_digest')}), which is not the one that was signed"
        )
    return differences


def _lines(base: str) -> dict[str, str]:
    lines = [line.partition(": ") for line in base.split("\n")]
    return {component.strip('"'): value for component, _, value in lines}


def _masked(component: str, value: str) -> str:
    """The value in the form in which the server tells it."""
    if component.startswith("@") or component == "content-digest":
        return value
    return f"length={len(value)}, sha-256={hashlib.sha256(value.encode()).hexdigest()}"
