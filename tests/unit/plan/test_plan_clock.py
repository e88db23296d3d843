"""Times that lie in the future are taken for now, and no wait becomes shorter by that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from solera.plan.clock import AHEAD, ahead, ledger_at, memory_at, progress_at
from solera.plan.evidence import Counter, Reading, absorb, from_record, new_ledger, to_record
from solera.plan.ledger import Instance, Ledger, Measure, Pairing, Slice, Unobserved
from solera.plan.memory import Draining, Memory, Previous, Progress, RevisionRef, Rollout

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
REF = RevisionRef("v1", "chat-v1-aaaaaaaa", "aaaaaaaa")


def test_what_the_clocks_of_nodes_differ_by_is_waited_for() -> None:
    assert not ahead(NOW, NOW)
    assert not ahead(NOW + AHEAD, NOW)
    assert ahead(NOW + AHEAD + timedelta(seconds=1), NOW)


def test_a_memory_of_the_past_stays_the_very_same() -> None:
    past = NOW - HOUR
    memory = Memory(
        rollout=Rollout("a", past, held_since=past, paused_at=past, timed_from=past),
        previous=Previous(REF, past, NOW + HOUR),
        draining=(Draining(REF, past), Draining(REF, None)),
    )
    assert memory_at(memory, NOW) is memory
    assert memory_at(Memory(), NOW) == Memory()


def test_times_in_the_future_are_now() -> None:
    future = NOW + HOUR
    memory = Memory(
        rollout=Rollout("a", future, held_since=future, paused_at=future, timed_from=future),
        previous=Previous(REF, future, future + timedelta(minutes=10)),
        draining=(Draining(REF, future), Draining(REF, None)),
    )
    found = memory_at(memory, NOW)
    assert found.rollout == Rollout("a", NOW, held_since=NOW, paused_at=NOW, timed_from=NOW)
    assert found.previous == Previous(REF, NOW, NOW + timedelta(minutes=10)), "it stays warm for its full time"
    assert found.draining == (Draining(REF, NOW), Draining(REF, None))
    assert memory_at(found, NOW + timedelta(minutes=1)) is found, "written once, it is the past"


def test_a_step_from_the_future_begins_now() -> None:
    step = Progress("a", 1, NOW + HOUR, 25)
    assert progress_at(step, NOW) == Progress("a", 1, NOW, 25)
    past = Progress("a", 1, NOW - HOUR, 25)
    assert progress_at(past, NOW) is past
    assert progress_at(None, NOW) is None


def read(at: datetime, total: int, instance: str = "p") -> Reading:
    return Reading(at, "engine", "new", instance, str((NOW - HOUR).timestamp()), {"errors": Counter(total, 0)})


@pytest.mark.parametrize("from_record_first", [False, True])
def test_evidence_goes_on_where_it_was_when_the_clock_is_put_back(from_record_first: bool) -> None:
    ledger = new_ledger("r", "old", "new", NOW)
    for second, total in ((1, 10), (2, 30), (3, 60)):
        at = NOW + timedelta(seconds=second)
        ledger = absorb(ledger, [read(at, total)], step=0, now=at)
    assert ledger.total("engine", "new", "errors") == Counter(50, 0)
    if from_record_first:
        ledger = from_record(to_record(ledger))
    back = NOW - HOUR
    stuck = absorb(ledger, [read(back, 70)], step=0, now=back)
    assert stuck.total("engine", "new", "errors") == Counter(50, 0), "without help nothing counts for an hour"
    ledger = ledger_at(ledger, back)
    assert ledger.now == back
    for second, total in ((1, 80), (2, 95)):
        at = back + timedelta(seconds=second)
        ledger = absorb(ledger_at(ledger, at), [read(at, total)], step=0, now=at)
    assert ledger.total("engine", "new", "errors") == Counter(85, 0), "nothing lost, nothing twice"
    assert from_record(to_record(ledger)) == ledger


def test_a_ledger_of_the_past_stays_the_very_same() -> None:
    ledger = new_ledger("r", "old", "new", NOW)
    assert ledger_at(ledger, NOW + HOUR) is ledger
    assert ledger_at(ledger, NOW - AHEAD) is ledger


def moments(value: object, path: str = "") -> Iterator[tuple[str, datetime]]:
    """Every time inside dataclasses, mappings and sequences, with where it stands."""
    if isinstance(value, datetime):
        yield path, value
    elif is_dataclass(value):
        for part in fields(value):
            yield from moments(getattr(value, part.name), f"{path}.{part.name}")
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from moments(inner, f"{path}[{key}]")
    elif isinstance(value, (tuple, list)):
        for inner in value:
            yield from moments(inner, f"{path}[]")


def test_no_time_of_a_ledger_is_forgotten() -> None:
    """A field that is added to the ledger is a time that must be moved with the others."""
    ledger = new_ledger("r", "old", "new", NOW)
    for second in (1, 2, 3):
        at = NOW + timedelta(seconds=second)
        both = [read(at, second * 20), replace(read(at, 0, "q"), revision="old")]
        measures = {"errors": Measure("ErrorRate"), **({"late": Measure("RequestLatency", 2.0)} if second > 1 else {})}
        ledger = absorb(ledger, both, step=0, now=at, alive={"p"}, measures=measures)
    assert ledger.anew
    assert ledger.unobserved
    assert ledger.ring
    parts = (Ledger, Measure, Instance, Slice, Unobserved, Pairing)
    declared = {part.name for of in parts for part in fields(of) if "datetime" in str(part.type)}
    assert {path.rsplit(".", 1)[-1].partition("[")[0] for path, _ in moments(ledger)} == declared, (
        "all of them are set here"
    )
    back = NOW - HOUR
    assert [path for path, at in moments(ledger_at(ledger, back)) if at > back] == []
