"""A guardrail's name that comes to stand for something else: what was counted under it before is about other events."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from solera.plan.evidence import Counter, Flight, Ledger, Reading, absorb, from_record, to_record
from solera.plan.ledger import Measure
from solera.plan.measures import measures_of, redefined
from solera.plan.silence import silence
from unit.plan.scrapes import CANDIDATE, STABLE, Process, at, ledger

SLOW, SLOWER = Measure("RequestLatency", 2.0), Measure("RequestLatency", 10.0)


class Arms:
    """Both arms, each with one process that counts what is slower than 2 s and than 10 s, looked at under the name "late"."""

    def __init__(self) -> None:
        self.pods = {
            STABLE: Process(STABLE, "pod-0", -3600.0),
            CANDIDATE: Process(CANDIDATE, "pod-1", 1.0),
        }
        for pod in self.pods.values():
            pod.counters = {"": [0, 0], SLOW: [0, 0], SLOWER: [0, 0]}  # type: ignore[dict-item]
        self.ledger, self.seconds = ledger(), 0.0

    def serve(self, total: int, slow: int, slower: int) -> None:
        for pod in self.pods.values():
            for name, bad in (("", 0), (SLOW, slow), (SLOWER, slower)):
                pod.counters[name][0] += total  # type: ignore[index]
                pod.counters[name][1] += bad  # type: ignore[index]

    def read(self, measure: Measure, *, flying: int = 0) -> list[Reading]:
        out = []
        for pod in self.pods.values():
            one = pod.read(self.seconds)
            counters = {"": one.counters[""], "late": one.counters[measure]}  # type: ignore[index]
            flights = {"late": Flight(counters[""].total + flying, counters[""].total, measure.slower_than or 0.0)}
            out.append(replace(one, counters=counters, flights=flights, measures={"late": measure}))
        return out

    def look(self, asked: Measure, declared: Measure | None = None, **more: Any) -> Ledger:
        self.seconds += 5
        measures = {"late": declared or asked}
        readings = self.read(asked, **more)
        self.ledger = absorb(
            self.ledger, readings, step=0, now=at(self.seconds), limits={"late": 0.1}, measures=measures
        )
        return self.ledger

    def late(self, revision: str = CANDIDATE) -> tuple[int, int]:
        counter = self.ledger.total("engine", revision, "late")
        return counter.total, counter.bad


@pytest.fixture
def arms() -> Arms:
    arms = Arms()
    arms.look(SLOWER)
    for _ in range(4):
        arms.serve(50, 25, 0)
        arms.look(SLOWER)
    assert arms.late() == (200, 0)
    return arms


def test_a_tightened_guardrail_counts_nothing_that_was_answered_before(arms: Arms) -> None:
    arms.look(SLOW)
    assert arms.late() == arms.late(STABLE) == (0, 0)
    arms.serve(40, 4, 0)
    arms.look(SLOW)
    assert arms.late() == arms.late(STABLE) == (40, 4)
    assert arms.ledger.requests(CANDIDATE) == 240  # all requests are what they were


def test_nothing_of_what_it_counted_as_is_left(arms: Arms) -> None:
    arms.serve(50, 25, 0)
    arms.look(SLOWER, flying=3)
    before, of = arms.ledger, redefined(arms.ledger, {"late": SLOW}, at(arms.seconds))
    by_series = ("totals", "read_at", "pairings", "gathered", "spreads", "bets")
    for name in by_series:
        kept = [key for key in getattr(before, name) if key[-1] != "late"]
        assert list(getattr(of, name)) == kept
    assert all(any(key[-1] == "late" for key in getattr(before, name)) for name in by_series if name != "gathered")
    assert not [key for part in of.ring for key in part.counts if key[-1] == "late"]
    assert sum(part.counts["engine", CANDIDATE, ""].total for part in of.ring) == 250
    assert [list(one.counters) for one in of.instances.values()] == [[""], [""]]
    assert not any(of.flown.values())
    assert any(before.flown.values())


def test_a_loosened_guardrail_is_no_counter_that_fell() -> None:
    arms = Arms()
    for measure in (SLOW, SLOWER, SLOW, SLOWER, SLOW, SLOWER):
        arms.serve(50, 25, 5)
        arms.look(measure)
        arms.serve(50, 25, 5)
        arms.look(measure)
    assert arms.ledger.resets == 0
    assert arms.late() == (50, 5)
    assert not arms.ledger.given_up("engine", CANDIDATE)


def test_a_reading_that_was_asked_for_before_the_edit_counts_only_all_requests(arms: Arms) -> None:
    arms.serve(50, 25, 0)
    arms.look(SLOWER, SLOW)
    assert arms.ledger.requests(CANDIDATE) == 250
    assert arms.ledger.sources(CANDIDATE, "late") == ()
    arms.look(SLOW)
    arms.serve(10, 5, 0)
    arms.look(SLOW)
    assert arms.late() == (10, 5)


def test_one_scrape_read_before_and_after_the_edit_counts_as_what_is_declared(arms: Arms) -> None:
    arms.seconds += 5
    before, after = arms.read(SLOWER), arms.read(SLOW)
    measures = {"late": SLOW}
    seen = absorb(arms.ledger, [*before, *after], step=0, now=at(arms.seconds), measures=measures)
    assert seen.instances["engine", CANDIDATE, "pod-1"].counters["late"] == Counter(200, 100)


def test_what_was_overdue_by_another_time_is_not_bad(arms: Arms) -> None:
    for _ in range(4):
        arms.look(SLOWER, flying=7)
    assert arms.late() == (207, 7)
    arms.look(SLOW, flying=7)
    assert arms.late() == (0, 0)
    arms.look(SLOW, flying=7)
    assert arms.late() == (7, 7)  # by the new time they are, and once


def test_a_process_that_began_after_the_edit_counts_from_zero(arms: Arms) -> None:
    arms.look(SLOW)
    arms.pods[CANDIDATE].restart(arms.seconds + 1)
    arms.serve(20, 3, 0)
    arms.look(SLOW)
    assert arms.late() == (20, 3)


def test_another_metric_under_the_same_name_counts_anew(arms: Arms) -> None:
    first = Measure("TimeToFirstToken", 10.0)
    arms.ledger = absorb(arms.ledger, [], step=0, now=at(arms.seconds), measures={"late": first})
    assert arms.ledger.sources(CANDIDATE, "late") == ()
    assert arms.ledger.anew == {"late": at(arms.seconds)}


def test_a_guardrail_that_is_taken_out_and_comes_back_goes_on(arms: Arms) -> None:
    arms.ledger = absorb(arms.ledger, [], step=0, now=at(arms.seconds), measures={})
    arms.serve(10, 5, 1)
    arms.look(SLOWER)
    assert arms.late() == (210, 1)
    assert not arms.ledger.anew


@pytest.mark.parametrize("before", [{}, {"errors": Measure("ErrorRate")}])
def test_a_guardrail_that_is_added_begins_in_both_arms_at_once(before: dict[str, Measure]) -> None:
    arms = Arms()
    arms.serve(50, 25, 0)
    readings = [replace(r, counters={"": r.counters[""]}, measures=before) for r in arms.read(SLOW)]
    arms.ledger = absorb(arms.ledger, readings, step=0, now=at(0), measures=before)
    arms.ledger = from_record(to_record(arms.ledger))
    arms.look(SLOW)
    arms.serve(10, 1, 0)
    arms.look(SLOW)
    assert arms.late() == arms.late(STABLE) == (10, 1)
    assert list(arms.ledger.anew) == ["late"]


def test_it_is_known_after_a_restart_what_was_counted(arms: Arms) -> None:
    arms.look(SLOW)
    restored = from_record(json.loads(json.dumps(to_record(arms.ledger))))
    assert restored == arms.ledger
    assert restored.anew == {"late": at(arms.seconds)}
    arms.ledger = restored
    arms.serve(10, 1, 0)
    arms.look(SLOW)
    assert arms.late() == (10, 1)


def test_a_record_that_does_not_say_what_it_counted_is_taken_for_what_is_declared(arms: Arms) -> None:
    record = to_record(arms.ledger)
    del record["measures"]
    arms.ledger = from_record(record)
    arms.serve(10, 0, 0)
    arms.look(SLOWER)
    assert arms.late() == (210, 0)


@pytest.mark.parametrize("measure", [["RequestLatency"], ["RequestLatency", "soon", None], ["ErrorRate", None, "noon"]])
def test_a_record_with_something_else_is_none(arms: Arms, measure: list[Any]) -> None:
    record = to_record(arms.ledger)
    with pytest.raises(Exception, match="the record of this rollout cannot be read"):
        from_record({**record, "measures": {"late": measure}})


def test_silence_by_the_new_measure_begins_with_it(arms: Arms) -> None:
    for _ in range(20):
        arms.serve(50, 25, 0)
        arms.look(SLOWER)
    arms.look(SLOW)
    arms.pods[STABLE].counters[SLOW][0] += 500  # type: ignore[index]
    arms.look(SLOW)
    assert silence(arms.ledger, ["late"], 20, at(0)) is None
    arms.look(SLOW)
    found = silence(arms.ledger, ["late"], 20, at(0))
    assert found is not None
    assert found.lasted.total_seconds() == 10


@pytest.mark.parametrize(
    ("guardrails", "measures"),
    [
        (None, {}),
        ([], {}),
        ([{"name": "errors", "metric": "ErrorRate"}], {"errors": Measure("ErrorRate")}),
        ([{"name": "late", "metric": "RequestLatency", "slowerThan": "2s"}], {"late": SLOW}),
        ([{"name": "late", "metric": "RequestLatency", "slowerThan": "2000ms"}], {"late": SLOW}),
        ([{"name": "late", "metric": "RequestLatency", "slowerThan": "soon"}], {}),
        ([{"name": "late"}, {"metric": "ErrorRate"}, "errors"], {}),
    ],
)
def test_what_a_raw_spec_counts(guardrails: Any, measures: dict[str, Measure]) -> None:
    assert measures_of({"rollout": {"guardrails": guardrails}}) == measures
