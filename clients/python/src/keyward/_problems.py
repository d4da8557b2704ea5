"""What a refused request says, as exceptions. Works with responses of httpx and of requests."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from ._errors import ClockError, ProblemError, RedirectError
from ._explain import find_differences
from ._secrets import CERTAIN, describe_secret, shown

# Less than the narrower half of the server's window (30 s), so that a clock that gets requests refused is noticed.
_NOTABLE_SKEW_SECONDS = 25.0

_KEY_ID = re.compile(r';keyid="([^"]+)"')

Response = TypeVar("Response")


def raise_for_problem(response: Response) -> Response:
    """The response, unless it is a refusal or a redirect.

    Raises `ClockError` if the clocks differ, `ProblemError` for what the server explains, `RedirectError`, and else what the HTTP
    library's own `raise_for_status` raises.
    """
    given: Any = response
    status, headers = int(given.status_code), given.headers
    if 300 <= status < 400 and "location" in headers:
        raise redirect_error(status, headers["location"], given)
    if status < 400:
        return response
    problem = read_problem(headers, given.content)
    clock = clock_error(status, headers, problem, given)
    if clock is not None:
        raise clock
    if problem is not None:
        text = problem_text(problem)
        differences = find_differences(_signed_base(given), problem)
        if differences:
            told = "".join(character if character.isprintable() else " " for character in "; ".join(differences))
            text = f"{text.rstrip('.')}; {told}"
        else:
            text += _key_advice(status, problem, given)
        raise ProblemError(text, problem=problem, response=given)
    given.raise_for_status()
    return response


def _request_of(response: Any) -> Any:
    """The request of a response; None if that was made without one, as in tests."""
    try:
        return response.request
    except (AttributeError, RuntimeError):
        return None


def _signed_base(response: Any) -> str:
    """What was signed, as `KeywardAuth` noted it on the request."""
    request = _request_of(response)
    base = getattr(request, "keyward_base", None) or getattr(request, "extensions", {}).get("keyward_base")
    return base if isinstance(base, str) else ""


def _key_advice(status: int, problem: Mapping[str, Any], response: Any) -> str:
    """Which key signed a request that is refused without a reason. The server tells nobody whether it knows a key."""
    if status != 401 or problem.get("code") != "unauthenticated" or problem.get("reason") is not None:
        return ""
    found = _KEY_ID.search(getattr(_request_of(response), "headers", {}).get("Signature-Input", ""))
    if found is None or describe_secret(found.group(1)) in CERTAIN:
        return ""
    return (
        f"\nThe request was signed by {found.group(1)}. If that is the right key, register its public key: on your keys page, with "
        "`keyward keys add`, or on the server's machine with `keyward admin add-key`. If it was registered before, it was revoked."
    )


def redirect_error(status: int, location: str, response: Any = None) -> RedirectError:
    """Says where the server points."""
    return RedirectError(
        f"the server answers {status} and points to {shown(location)}: requests are signed for one URL and follow no redirects, so use "
        "that one if it is yours",
        location=location,
        response=response,
    )


def is_clock_refusal(status: int, headers: Mapping[str, str]) -> bool:
    """Whether a response may be a refusal for the time of the signature. Its body says so if no field does."""
    if status != 401:
        return False
    reason = headers.get("keyward-reason")
    return reason in ("stale", "early") or (reason is None and _is_problem(headers))


def clock_error(status: int, headers: Mapping[str, str], problem: dict[str, Any] | None, response: Any) -> ClockError | None:
    """The exception for a signature that came too early or too late."""
    if status != 401:
        return None
    reason = headers.get("keyward-reason") or (problem or {}).get("reason")
    if reason not in ("stale", "early"):
        return None
    server = _server_time(headers, problem)
    skew = None if server is None else time.time() - server
    told = f"the server refused the time of the signature ({reason})"
    if skew is None:
        # Only the server knows by how much.
        told = problem_text(problem).rstrip(".") if problem else told
        why = "compare this machine's clock with the server's, and sign right before you send"
    elif abs(skew) >= _NOTABLE_SKEW_SECONDS:
        direction = "behind" if skew < 0 else "ahead of"
        why = (
            f"this machine's clock is {abs(skew):.0f} s {direction} the server's: set it (`timedatectl set-ntp true` on Linux) and send "
            "the request again"
        )
    elif reason == "stale":
        why = "the clocks agree, so the request took too long to arrive: sign right before you send"
    else:
        why = "the clocks agree now, so the time of the signature was not this machine's, or its clock was set since: sign again"
    problem = problem or {"status": 401, "code": "unauthenticated", "reason": reason}
    return ClockError(f"{told}; {why}", skew_seconds=skew, problem=problem, response=response)


def read_problem(headers: Mapping[str, str], content: bytes) -> dict[str, Any] | None:
    """The problem in a body (RFC 9457), if it is one."""
    if not _is_problem(headers):
        return None
    try:
        problem = json.loads(content)
    except ValueError:
        return None
    return problem if isinstance(problem, dict) else None


def problem_text(problem: Mapping[str, Any]) -> str:
    """What happened, field by field for an invalid request."""
    errors = problem.get("errors")
    errors = [error for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []
    fields = [f"{error.get('field')}: {error.get('detail')}" for error in errors]
    text = "; ".join(fields) if fields else str(problem.get("detail") or problem.get("title") or problem.get("code") or "refused")
    # What a server says may repeat what it was sent.
    if describe_secret(text) in CERTAIN:
        text = str(problem.get("title") or "refused")
    return "".join(character if character.isprintable() else " " for character in text)


def _is_problem(headers: Mapping[str, str]) -> bool:
    return headers.get("content-type", "").split(";")[0].strip().lower() == "application/problem+json"


def _server_time(headers: Mapping[str, str], problem: Mapping[str, Any] | None) -> float | None:
    told = (problem or {}).get("server_time")
    if isinstance(told, str):
        try:
            return datetime.strptime(told, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc).timestamp()
        except ValueError:
            pass
    try:
        return parsedate_to_datetime(headers["date"]).timestamp()
    except (KeyError, TypeError, ValueError):
        return None
