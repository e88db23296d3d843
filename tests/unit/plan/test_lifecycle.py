from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solera.api.defaults import ResolvedLifecycle
from solera.api.spec import OnRetirement
from solera.api.status import Phase
from solera.plan.lifecycle import effective_version, may_start, next_date, phase, refuses
from solera.plan.memory import Memory, RevisionRef, Tombstone

DATE = datetime(2027, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
NOTHING = Memory()
SERVES = Memory(stable=RevisionRef("v1", "chat-v1-zzzzzzzz", "zzzzzzzz"))


def life(
    *, successor: str | None = "v2", on: OnRetirement = OnRetirement.REDIRECT, date: datetime | None = DATE
) -> ResolvedLifecycle:
    return ResolvedLifecycle(DATE - 24 * HOUR, date, successor, on, HOUR)


def buried(version: str) -> Memory:
    return Memory(tombstones=(Tombstone(version, DATE, timedelta(0)),))


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (DATE - 25 * HOUR, Phase.ACTIVE),
        (DATE - 24 * HOUR, Phase.DEPRECATED),
        (DATE - HOUR - timedelta(microseconds=1), Phase.DEPRECATED),
        (DATE - HOUR, Phase.CLOSED_TO_NEW),
        (DATE - timedelta(microseconds=1), Phase.CLOSED_TO_NEW),
        (DATE, Phase.RETIRING),
    ],
)
def test_a_date_becomes_a_phase_at_its_very_instant(at: datetime, expected: Phase) -> None:
    assert phase("v1", life(), SERVES, at) is expected


def test_an_offset_is_the_same_instant() -> None:
    tokyo = datetime.fromisoformat("2027-03-01T09:00:00+09:00")
    assert phase("v1", life(date=tokyo), SERVES, DATE) is Phase.RETIRING


def test_a_version_that_never_served_has_nothing_to_take_away_on_its_date() -> None:
    assert phase("v1", life(), NOTHING, DATE) is Phase.RETIRED


def test_a_tombstone_outlives_a_clock_that_jumps_back() -> None:
    assert phase("v1", life(), buried("v1"), DATE - 100 * HOUR) is Phase.RETIRED
    assert effective_version("v1", {"v1": life(), "v2": life(successor=None)}, buried("v1"), DATE - 100 * HOUR) == "v2"


def test_the_successor_takes_over_migrate_before_the_date() -> None:
    lives = {"v1": life(), "v2": life(successor="v3"), "v3": life(successor=None, on=OnRetirement.HOLD)}
    assert effective_version("v1", lives, NOTHING, DATE - HOUR - timedelta(seconds=1)) == "v1"
    assert effective_version("v1", lives, NOTHING, DATE - HOUR) == "v3"


@pytest.mark.parametrize("on", [OnRetirement.HOLD, OnRetirement.REFUSE])
def test_only_redirect_moves(on: OnRetirement) -> None:
    assert effective_version("v1", {"v1": life(on=on), "v2": life()}, NOTHING, DATE + HOUR) == "v1"


def test_refuse_begins_on_the_date() -> None:
    declared = life(on=OnRetirement.REFUSE)
    assert not refuses("v1", declared, NOTHING, DATE - timedelta(microseconds=1))
    assert refuses("v1", declared, NOTHING, DATE)
    assert refuses("v1", declared, buried("v1"), DATE - HOUR)


def test_a_version_past_its_date_does_not_start() -> None:
    assert may_start("v1", life(), NOTHING, DATE - HOUR)
    assert not may_start("v1", life(), NOTHING, DATE)


def test_the_next_date_is_the_nearest_to_come() -> None:
    lives = {"v1": life()}
    assert next_date(lives, NOTHING, DATE - 30 * HOUR) == DATE - 24 * HOUR
    assert next_date(lives, NOTHING, DATE - HOUR) == DATE
    assert next_date(lives, NOTHING, DATE) is None
    assert next_date(lives, buried("v1"), DATE - 30 * HOUR) is None


@given(
    graph=st.dictionaries(st.sampled_from("abcdef"), st.sampled_from("abcdefx"), min_size=1),
    hours=st.integers(-3, 3),
)
def test_following_successors_always_ends_at_a_declared_version(graph: dict[str, str], hours: int) -> None:
    lives = {name: life(successor=to) for name, to in graph.items()}
    start = next(iter(graph))
    assert effective_version(start, lives, NOTHING, DATE + hours * HOUR) in lives
