from __future__ import annotations

import json
from typing import Any

import pytest

from solera.apply.answers import MAX_MESSAGE, cut, error_from, error_from_status
from solera.errors import Conflict, Forbidden, Gone, Invalid, KubeError, NotFound, Throttled, Unavailable

WHAT = "apply Deployment ml/x"


def body(code: int, reason: str = "", message: str = "words", causes: Any = None) -> bytes:
    details = {"causes": causes} if causes else {}
    return json.dumps(
        {"kind": "Status", "code": code, "reason": reason, "message": message, "details": details}
    ).encode()


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (400, Invalid),
        (401, Forbidden),
        (403, Forbidden),
        (404, NotFound),
        (409, Conflict),
        (410, Gone),
        (415, Invalid),
        (422, Invalid),
        (429, Throttled),
        (500, Unavailable),
        (503, Unavailable),
        (504, Unavailable),
    ],
)
def test_each_answer_has_its_error(code: int, expected: type[KubeError]) -> None:
    error = error_from(WHAT, code, body(code))
    assert type(error) is expected
    assert error.status == code
    assert str(error) == "apply Deployment ml/x: words"


def test_an_unknown_field_in_an_apply_is_terminal_though_it_is_a_500() -> None:
    message = (
        "failed to create typed patch object (ml/x; apps/v1, Kind=Deployment): .spec.foo: field not declared in schema"
    )
    error = error_from(WHAT, 500, body(500, message=message))
    assert isinstance(error, Invalid)
    assert ".spec.foo" in str(error)


def test_causes_name_the_fields() -> None:
    causes = [
        {"reason": "FieldValueInvalid", "field": "spec.replicas", "message": "Invalid value: -1: must be at least 0"},
        {"reason": "FieldValueRequired", "field": "spec.selector", "message": "Required value"},
    ]
    error = error_from(WHAT, 422, body(422, "Invalid", "Deployment.apps x is invalid", causes))
    assert isinstance(error, Invalid)
    assert error.fields == ("spec.replicas", "spec.selector")
    assert error.message == "spec.replicas: Invalid value: -1: must be at least 0; spec.selector: Required value"


def test_a_repeated_pod_template_does_not_reach_the_message() -> None:
    huge = "Invalid value: " + json.dumps({"podTemplate": "x" * 50_000}) + ": field is immutable"
    causes = [{"reason": "FieldValueInvalid", "field": "data", "message": huge}]
    error = error_from(WHAT, 422, body(422, "Invalid", huge, causes))
    assert len(str(error)) < MAX_MESSAGE + 100
    assert "field is immutable" in str(error), "the reason stands at the end"
    assert "left out" in str(error)


def test_short_messages_stay_whole() -> None:
    assert cut("x" * MAX_MESSAGE) == "x" * MAX_MESSAGE


@pytest.mark.parametrize(
    ("header", "details", "seconds"),
    [("7", {}, 7.0), (None, {"retryAfterSeconds": 3}, 3.0), (None, {}, 1.0), ("soon", {}, 1.0), ("-5", {}, 1.0)],
)
def test_how_long_a_throttled_caller_waits(header: str | None, details: dict[str, Any], seconds: float) -> None:
    error = error_from_status(WHAT, {"code": 429, "message": "slow down", "details": details}, header)
    assert isinstance(error, Throttled)
    assert error.retry_after == seconds


@pytest.mark.parametrize("raw", [b"<html>Bad Gateway</html>", b"", b"[1]", b"\xff\xfe"])
def test_a_proxy_may_answer_anything(raw: bytes) -> None:
    error = error_from(WHAT, 502, raw)
    assert isinstance(error, Unavailable)
    assert error.message
