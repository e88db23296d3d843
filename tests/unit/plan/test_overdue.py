"""What is in flight for too long counts as bad, once; what is not known for certain counts nothing."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scrapes import CANDIDATE, at, epoch, ledger

from solera.plan.clock import ledger_at
from solera.plan.evidence import Counter, Flight, Ledger, Reading, absorb, from_record, to_record
from solera.plan.ledger import Flown
from solera.plan.overdue import POINTS, ahead_of, counted, follow, overdue
from solera.plan.verdict import CONTINUE, FAIL, PASS, GuardrailSpec, GuardrailVerdict, conclude, judge

SLOW = 2.5
LATENCY = GuardrailSpec("latency", "RequestLatency", 0.05, SLOW, None, ratio_requires_pass=False, action="RollBack")


def read(
    seconds: float, done: int, in_flight: Any = None, *, bad: int = 0, began: float = 1.0, by: float | None = None
) -> Reading:
    """One pod's counter of ended requests, and how many are in flight (None: it does not tell)."""
    flights = {} if in_flight is None else {"latency": Flight(done + in_flight, done, SLOW)}
    late = None if by is None else at(by)
    counters = {"latency": Counter(done, bad)}
    return Reading(at(seconds), "engine", CANDIDATE, "pod-1", epoch(began), counters, flights, late)


def looks(*readings: Reading, of: Ledger | None = None) -> Ledger:
    of = of or ledger()
    for reading in readings:
        of = absorb(of, [reading], step=0, now=reading.at, limits={"latency": 0.05})
    return of


def count(of: Ledger) -> tuple[int, int]:
    whole = of.total("engine", CANDIDATE, "latency")
    return whole.total, whole.bad


def now_overdue(of: Ledger) -> int:
    return overdue(of, "engine", CANDIDATE, "latency")


def verdict(of: Ledger, spec: GuardrailSpec = LATENCY) -> GuardrailVerdict:
    return judge([spec], of, false_rollback=0.05, false_promotion=0.05)[0]


class TestWhatCounts:
    def test_a_request_counts_when_it_has_been_in_flight_for_longer_than_slower_than(self) -> None:
        of = looks(read(2, 10, 3), read(4, 10, 3))
        assert (count(of), now_overdue(of)) == ((10, 0), 0)
        of = looks(read(4.5, 10, 3), of=of)
        assert (count(of), now_overdue(of)) == ((13, 3), 3)

    def test_it_counts_once_when_it_ends(self) -> None:
        of = looks(read(2, 10, 3), read(5, 10, 3), read(6, 12, 1, bad=2), read(7, 13, 0, bad=3), read(20, 23, 0, bad=3))
        assert (count(of), now_overdue(of)) == ((23, 3), 0)

    def test_those_that_may_have_ended_are_not_overdue(self) -> None:
        of = looks(read(2, 10, 3), read(5, 12, 5))
        assert (count(of), now_overdue(of)) == ((13, 1), 1)

    def test_those_whose_client_left_stay_counted_and_hide_no_later_ones_twice(self) -> None:
        left = replace(read(6, 10), flights={"latency": Flight(13, 13, SLOW)})
        of = looks(read(2, 10, 3), read(5, 10, 3), left)
        assert (count(of), now_overdue(of)) == ((13, 3), 0)
        later = [replace(read(t, 10), flights={"latency": Flight(18, 13, SLOW)}) for t in (7, 10)]
        assert count(looks(*later, of=of)) == (15, 5)

    def test_what_was_read_late_is_as_old_as_it_may_be(self) -> None:
        of = looks(read(2, 10, 3, by=4), read(5, 10, 3))
        assert now_overdue(of) == 0
        assert now_overdue(looks(read(6.5, 10, 3), of=of)) == 3

    def test_a_threshold_that_was_edited_begins_anew(self) -> None:
        of = looks(read(2, 10, 3))
        edited = replace(read(5, 10), flights={"latency": Flight(13, 10, 2.0)})
        assert now_overdue(looks(edited, of=of)) == 0

    def test_a_history_is_bounded(self) -> None:
        of = ledger()
        for tenth in range(600):
            of = looks(read(2 + tenth / 10, tenth, 3 + tenth // 50), of=of)
            (flown,) = of.flown.values()
            assert len(flown["latency"].points) <= 2 * POINTS + 3
        assert now_overdue(of) == 0

    def test_a_thinned_history_still_knows_what_began_long_ago(self) -> None:
        of = looks(*(read(2 + tenth / 10, 10, 3) for tenth in range(30)))
        assert (count(of), now_overdue(of)) == ((13, 3), 3)


class TestWhatIsNotKnown:
    """Gauges that are no numbers, negative, falling or absent never fail and never pass anything."""

    def good(self) -> Ledger:
        return looks(*(read(5 * look, 100 * look, 0) for look in range(1, 20)))

    @pytest.mark.parametrize(
        "flight",
        [
            Flight(math.nan, 1900, SLOW),  # type: ignore[arg-type]
            Flight(5000, math.nan, SLOW),  # type: ignore[arg-type]
            Flight(math.inf, 1900, SLOW),  # type: ignore[arg-type]
            Flight(-5, -10, SLOW),
            Flight(1800, 1900, SLOW),
            Flight(5000, 1900, math.nan),
            Flight(5000, 1900, -1.0),
            Flight(5000, 1900, 1e300),
            Flight(True, False, SLOW),
            None,
        ],
        ids=["nan", "nan done", "inf", "negative", "negative gauge", "no s", "s<0", "s huge", "bool", "absent"],
    )
    def test_a_gauge_that_is_nan_negative_or_absent_counts_nothing(self, flight: Flight | None) -> None:
        of = good = self.good()
        for seconds in (100, 103, 106, 109):
            reading = replace(read(seconds, 1900), flights={} if flight is None else {"latency": flight})
            of = looks(reading, of=of)
            assert now_overdue(of) == 0
        assert count(of) == count(good)
        assert verdict(of).verdict == verdict(good).verdict

    def test_a_gauge_that_falls_without_an_end_was_counted_too_high(self) -> None:
        of = looks(read(2, 10, 8), read(3, 10, 2), read(4.6, 10, 2))
        assert (count(of), now_overdue(of)) == ((12, 2), 2)
        assert now_overdue(looks(read(2, 10, 8), read(4.6, 10, 0))) == 0

    def test_a_gauge_never_lets_a_candidate_pass(self) -> None:
        few = looks(*(read(5 * look, look, 0) for look in range(1, 10)))
        many = replace(read(50, 9), flights={"latency": Flight(10**9, 10**9, SLOW)})
        assert verdict(looks(many, of=few)).verdict == verdict(few).verdict == CONTINUE

    def test_a_history_ends_with_its_process(self) -> None:
        of = looks(read(2, 10, 3), read(5, 0, 3, began=4))
        assert now_overdue(of) == 0
        assert now_overdue(looks(read(7, 0, 3, began=4), of=of)) == 0
        assert now_overdue(looks(read(7.5, 0, 3, began=4), of=of)) == 3

    def test_a_history_ends_where_counters_fall(self) -> None:
        of = looks(read(2, 10, 3), read(5, 8, 3), read(6, 8, 3), read(7, 8, 3), read(10, 8, 3))
        assert (count(of), of.resets) == ((10, 0), 1)
        assert count(looks(read(13, 8, 3), of=of))[1] == 3

    def test_a_history_ends_where_a_reading_tells_nothing(self) -> None:
        assert now_overdue(looks(read(2, 10, 3), read(4, 10), read(5, 10, 3))) == 0

    def test_a_pod_that_is_gone_runs_nothing(self) -> None:
        of = looks(read(2, 10, 3), read(5, 10, 3))
        of = absorb(of, [], step=0, now=at(6), alive=set())
        assert (count(of), now_overdue(of)) == ((13, 3), 0)

    def test_a_clock_that_is_put_back_ends_all_histories(self) -> None:
        of = looks(read(2, 10, 3), read(100, 10, 0))
        assert ledger_at(of, at(30)).flown == {}

    def test_a_flight_of_what_is_not_counted_is_nothing(self) -> None:
        of = looks(replace(read(2, 10, 3), counters={"": Counter(10, 0)}))
        assert of.flown == {}


def test_after_a_restart_of_the_operator_none_counts_twice() -> None:
    of = looks(read(2, 10, 3), read(5, 10, 3))
    again = from_record(to_record(of))
    assert again == of
    assert again.flown == {}
    again = looks(read(6, 12, 1, bad=2), read(7, 13, 0, bad=3), of=again)
    assert count(again) == (13, 3)


def test_a_record_without_what_was_counted_ahead_is_read() -> None:
    of = looks(read(2, 10, 3))
    assert "ahead" not in to_record(of)["instances"][0]
    assert from_record(to_record(of)) == of


class TestTheVerdict:
    def busy(self, overdue_ones: int) -> Ledger:
        """3,000 good requests, and so many that do not end."""
        of = looks(*(read(5 * look, 100 * look, overdue_ones) for look in range(1, 31)))
        return looks(*(read(150 + second, 3000, overdue_ones) for second in range(1, 4)), of=of)

    def test_pass_must_hold_with_the_overdue_ones(self) -> None:
        assert verdict(self.busy(0)).verdict == PASS
        held = verdict(self.busy(160))
        assert held.verdict == CONTINUE
        assert held.samples == 3160
        assert "160 of 3,160 requests bad (5.06%), 160 of them still running after 2.5 s" in held.reason

    def test_overdue_ones_alone_suspect_a_candidate_at_once(self) -> None:
        of = looks(read(2, 100, 40), read(5, 100, 40))
        found = verdict(of)
        assert found.verdict == CONTINUE
        assert found.suspected
        assert conclude([found], [LATENCY]).hold

    def test_overdue_ones_alone_fail_it_when_they_go_on(self) -> None:
        of = looks(read(2, 50, 20))
        for seconds in range(5, 40, 5):
            of = looks(read(seconds, 50, 20 + 4 * seconds), of=of)
        found = verdict(of)
        assert found.verdict == FAIL
        assert "still running after 2.5 s" in found.reason

    def test_no_word_of_it_when_nothing_runs(self) -> None:
        assert "still running" not in verdict(self.busy(0)).reason


def simulate(seed: int, mean: float, rate: float, leaving: float, looks_every: float) -> tuple[int, int]:
    """One process with random service times in any order, some clients that leave, and readings that come late.

    Asserts at every look that no more is said to be overdue than is, and at the end that no more was counted. Returns the most that was
    said, and how many were bad in truth.
    """
    rng = random.Random(seed)
    clock, requests = 0.0, []
    while clock < 60:
        clock += rng.expovariate(rate)
        ends = clock + rng.expovariate(1 / mean) * (10 if rng.random() < 0.2 else 1)
        leaves = clock + rng.expovariate(1 / mean) if rng.random() < leaving else math.inf
        requests.append((clock, min(ends, leaves), leaves < ends))
    known: dict[str, Flown] = {}
    ahead: dict[str, int] = {}
    old: dict[str, Counter] = {}
    most, total = 0, Counter(0, 0)
    late = 0.0
    while late < 60:
        look = late + looks_every * rng.uniform(0.5, 1.5)  # no process is read again before it has answered
        late = look + rng.choice((0.0, 0.0, rng.uniform(0, 2)))
        begun = sum(start <= late for start, _, _ in requests)
        ended = [(start, end, left) for start, end, left in requests if end <= late]
        finished = [end - start for start, end, left in ended if not left]
        new = {"latency": Counter(len(finished), sum(took > SLOW for took in finished))}
        # One that ended well is seen to leave as well: then it is subtracted twice.
        flight = Flight(begun - len(ended) + len(finished) + len(ended), len(finished) + len(ended), SLOW)
        reading = Reading(at(look), "engine", CANDIDATE, "pod-1", "1", new, {"latency": flight}, at(late))
        known = follow(known, reading, new)
        said = known["latency"].overdue
        assert said <= sum(start <= late - SLOW and end > late for start, end, _ in requests)
        ahead = ahead_of(ahead, old, new, known)
        total, old = counted(new, ahead)["latency"], new
        most = max(most, said)
    bad = sum(min(end, late) - start > SLOW for start, end, _ in requests if start <= late)
    assert total.bad <= bad
    assert total.total - total.bad == sum(took <= SLOW for took in finished)
    return most, bad


@settings(deadline=timedelta(seconds=10), max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    mean=st.sampled_from((0.3, 1.0, 2.5, 8.0, 40.0)),
    rate=st.sampled_from((0.5, 3.0, 10.0)),
    leaving=st.sampled_from((0.0, 0.1, 0.6)),
    looks_every=st.sampled_from((0.2, 1.0, 5.0)),
)
def test_the_bound_never_exceeds_the_requests_that_are_overdue(
    seed: int, mean: float, rate: float, leaving: float, looks_every: float
) -> None:
    simulate(seed, mean, rate, leaving, looks_every)


def test_the_bound_finds_most_of_them_where_nearly_all_are_slow() -> None:
    most, bad = simulate(1, 40.0, 10.0, 0.0, 1.0)
    assert most > 0.6 * bad > 100
