from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.world import START, Behaviour, World, manifest, settled
from solera.plan.memory import MAX_HISTORY, Memory, Progress, from_status, parse_progress, to_status
from solera.plan.requests import Request, parse_request


@given(rollout=st.from_regex(r"[a-z0-9]{8}-[0-9]{10}", fullmatch=True), step=st.integers(0, 31))
def test_progress_survives_the_annotation(rollout: str, step: int) -> None:
    progress = Progress(rollout, step, START)
    assert parse_progress(progress.to_annotation()) == progress


@pytest.mark.parametrize("text", [None, "", "a/b", "a/x/2026-12-01T00:00:00Z", "a/1/yesterday", "a/1/2/3"])
def test_what_others_wrote_is_no_progress(text: str | None) -> None:
    assert parse_progress(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "promote",
        "promote@abc",
        "promote@abc/1",
        "delete@abcdefgh/1#x",
        "promote@ABC/1#x",
        "promote@abcdefgh/-1#x",
        "promote@a/1#x\n",
    ],
)
def test_what_is_not_a_request(text: str) -> None:
    assert parse_request(text) is None


@given(
    verb=st.sampled_from(["promote", "abort"]),
    step=st.integers(0, 999),
    nonce=st.from_regex(r"[0-9A-Za-z]{1,20}", fullmatch=True),
)
def test_a_request_survives_the_annotation(verb: str, step: int, nonce: str) -> None:
    request = Request(verb, "abcdefgh", step, nonce)
    assert parse_request(request.to_annotation()) == request


def test_memory_survives_status_at_every_moment_of_a_life() -> None:
    world = World(manifest(), {n: Behaviour(bad={"errors": 0.02}) for n in ("v1", "v2")})
    world.until(settled("v1"))
    world.edit(serve="v2")
    looked = 0
    while not settled("v2")(world):
        world.run(1)
        memory = from_status(world.status)
        written = to_status(memory)
        assert {k: world.status[k] for k in written} == written
        looked += 1
    assert looked > 20


def test_history_is_bounded_and_keeps_the_newest() -> None:
    memory = Memory()
    for i in range(MAX_HISTORY + 5):
        memory = memory.tell(START, "Event", str(i))
    assert len(memory.history) == MAX_HISTORY
    assert memory.history[-1][2] == str(MAX_HISTORY + 4)


def test_what_a_step_has_lost_survives_the_annotation_and_garbage_there_is_no_progress() -> None:
    progress = Progress("a", 1, START, 30, timedelta(seconds=90))
    assert progress.to_annotation() == f"a/1/{START:%Y-%m-%dT%H:%M:%SZ}/30/90"
    assert parse_progress(progress.to_annotation()) == progress
    assert parse_progress("a/1/2026-12-01T00:00:00Z/30/x") is None
    far = parse_progress(f"a/1/2026-12-01T00:00:00Z/30/{10**30}")
    assert far is not None
    assert far.lost == timedelta(seconds=10**9)
