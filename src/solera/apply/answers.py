"""What the apiserver's error answers mean, and how much of them may reach a log line."""

from __future__ import annotations

from typing import Any

import orjson

from solera.errors import Conflict, Forbidden, Gone, Invalid, KubeError, NotFound, Throttled, Unavailable

MAX_MESSAGE = 400
"""The apiserver repeats rejected values; that of a ControllerRevision is a whole pod template."""

_TYPED_PATCH = "failed to create typed patch object"  # a 500 that no retry heals: an unknown field in an apply
_NAMED_CAUSES = 5


def error_from(what: str, status: int, body: bytes, retry_after: str | None = None) -> KubeError:
    """The error for an answer with HTTP ``status``. ``body`` is a ``Status`` object, or anything that a proxy may say."""
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        parsed = None
    if not isinstance(parsed, dict):
        parsed = {"message": body.decode(errors="replace")}
    return error_from_status(what, {**parsed, "code": status}, retry_after)


def error_from_status(what: str, status: dict[str, Any], retry_after: str | None = None) -> KubeError:
    """The error for a ``Status`` object (Kubernetes meta/v1), as answers carry it and watch streams end with it."""
    code = int(status.get("code") or 0)
    reason = str(status.get("reason") or "")
    message = cut(str(status.get("message") or reason or f"HTTP {code}"))
    details = status.get("details") or {}
    causes = [c for c in details.get("causes") or [] if isinstance(c, dict)]
    if code == 404:
        return NotFound(what, message, status=code, reason=reason)
    if code == 409:
        return Conflict(what, message, status=code, reason=reason)
    if code in {401, 403}:
        return Forbidden(what, message, status=code, reason=reason)
    if code == 410:
        return Gone(what, message, status=code, reason=reason)
    if code == 429:
        seconds = _seconds(retry_after) or _seconds(details.get("retryAfterSeconds")) or 1.0
        return Throttled(what, message, reason=reason, retry_after=seconds)
    if 400 <= code < 500 or (code == 500 and _TYPED_PATCH in message):
        fields = tuple(str(c["field"]) for c in causes if c.get("field"))
        told = [f"{c['field']}: {cut(str(c.get('message', '')))}" for c in causes if c.get("field")]
        return Invalid(what, "; ".join(told[:_NAMED_CAUSES]) or message, status=code, reason=reason, fields=fields)
    return Unavailable(what, message, status=code, reason=reason)


def cut(text: str) -> str:
    """At most ``MAX_MESSAGE`` characters of ``text``: its beginning and its end, where the apiserver puts the reason."""
    if len(text) <= MAX_MESSAGE:
        return text
    half = MAX_MESSAGE // 2
    return f"{text[:half]} … ({len(text) - 2 * half} characters left out) … {text[-half:]}"


def _seconds(value: object) -> float | None:
    try:
        seconds = float(str(value))
    except ValueError:
        return None
    return seconds if 0 < seconds < 3600 else None
