from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solera.plan.requests import MAX_NAME, VERBS, Request, parse_request, requested_by

TEXT = "pause@b7d3m8xz/2#1a2b"
SIGNED = "solera.dev/requested-by"


@given(
    st.sampled_from(VERBS),
    st.from_regex("[0-9a-z]{1,64}", fullmatch=True).filter(str.isascii),
    st.integers(0, 999),
    st.from_regex("[0-9A-Za-z_-]{1,64}", fullmatch=True).filter(str.isascii),
)
def test_a_request_is_read_as_it_was_written(verb: str, candidate: str, step: int, nonce: str) -> None:
    request = Request(verb, candidate, step, nonce)
    assert parse_request(request.to_annotation()) == request


@pytest.mark.parametrize(
    "text",
    [
        "",
        "pause",
        "pause@b7d3m8xz",
        "pause@b7d3m8xz/2",
        "Pause@b7d3m8xz/2#1",
        "stop@b7d3m8xz/2#1",
        f"{TEXT}\n",
        f" {TEXT}",
    ],
)
def test_anything_else_is_no_request(text: str) -> None:
    assert parse_request(text) is None


@pytest.mark.parametrize(
    ("signature", "who"),
    [
        (None, None),
        ("", None),
        (TEXT, None),
        (f"{TEXT} ", None),
        (f"{TEXT} alice@example.com", "alice@example.com"),
        (f"{TEXT} system:serviceaccount:ci:deployer", "system:serviceaccount:ci:deployer"),
        (f"{TEXT}2 alice", None),
        ("pause@b7d3m8xz/2#other alice", None),
        (f"{TEXT} \x1b[2Jalice\n", "[2Jalice"),
        (f"{TEXT} {'a' * 999}", "a" * MAX_NAME),
    ],
)
def test_a_signature_counts_only_for_the_request_that_it_repeats(signature: str | None, who: str | None) -> None:
    annotations = {} if signature is None else {SIGNED: signature}
    assert requested_by(annotations, TEXT) == who
