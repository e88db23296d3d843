from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from solera.api.defaults import ResolvedStep
from solera.plan.evidence import Ledger, absorb
from solera.plan.ledger import ALL_REQUESTS, Counter, Measure, Slice
from solera.plan.ramp import Ramp, climb, ladder, onward, request_rate, to_come
from solera.plan.rungs import RUNGS
from solera.plan.verdict import GuardrailSpec
from solera.stats.dispersion import Spread
from unit.plan.scrapes import CANDIDATE, STABLE, Process, at, ledger, stable

ERRORS = GuardrailSpec("errors", "ErrorRate", 0.01, None, None, False, "RollBack")
SLOW = GuardrailSpec("slow", "TimeToFirstToken", 0.05, 30.0, None, False, "RollBack")
RATIO = GuardrailSpec("ratio", "ErrorRate", None, None, 1.25, True, "RollBack")


def step(weight: int, *, approval: bool = False) -> ResolvedStep:
    return ResolvedStep(weight, timedelta(minutes=2), 20, timedelta(hours=2), needs_approval=approval)


def counted(
    total: int = 0,
    bad: int = 0,
    *,
    rate: float = 10.0,
    every: float = 5.0,
    names: tuple[str, ...] = ("errors",),
    spread: Spread | None = None,
) -> Ledger:
    """What was counted after five minutes at ``rate`` requests a second, all of stable but for ``total`` of the candidate."""
    looks = round(300 / every)
    part = Counter(round(rate * every), 0)
    series = {("engine", STABLE, name): part for name in (ALL_REQUESTS, *names)}
    ring = tuple(Slice(at(every * i), at(every * (i + 1)), -1, series) for i in range(looks))
    totals = {key: {-1: Counter(part.total * looks, 0)} for key in series}
    if total:
        totals |= {("engine", CANDIDATE, ALL_REQUESTS): {0: Counter(total, 0)}}
        totals |= {("engine", CANDIDATE, name): {0: Counter(total, bad)} for name in names}
    read_at = dict.fromkeys(totals, at(300))
    one_by_one = Spread(bad, total, 0, total)
    spreads = {("engine", CANDIDATE, name): spread or one_by_one for name in names}
    return Ledger("r1", STABLE, CANDIDATE, at(0), at(300), at(0), 0, at(0), totals, read_at, ring=ring, spreads=spreads)


def climbed(evidence: Ledger | None, budget: int = 50, weight: int = 0, *specs: GuardrailSpec) -> Ramp:
    return climb(specs or (ERRORS,), evidence, budget=budget, false_promotion=0.05, weight=weight)


# -- the ladder


def test_the_rungs_stand_between_the_declared_steps_and_only_they_may_be_passed_over() -> None:
    steps = ladder([step(5, approval=True), step(40), step(100)])
    assert [s.weight for s in steps] == sorted({*RUNGS, 5, 40, 100})
    assert [s.weight for s in steps if not s.rung] == [5, 40, 100]
    assert [s.weight for s in steps if s.needs_approval] == [5]


def ramp_of(weight: int) -> Ramp:
    return Ramp(50, (), 1.0, weight, spent_out=False, least=1)


@pytest.mark.parametrize(
    ("index", "weight", "proven", "to"),
    [
        (-1, 0, False, None),  # not even the first
        (-1, 1, False, 1),
        (-1, 30, False, 5),  # not past the declared one
        (-1, 100, True, 5),
        (0, 1, False, None),
        (0, 4, False, 3),
        (3, 99, False, 50),
        (3, 100, False, 50),
        (3, 100, True, 100),
        (3, 99, True, 50),  # proven, and still over the budget
        (9, 100, False, None),
        (9, 100, True, 100),
        (10, 100, True, None),
    ],
)
def test_the_furthest_step_that_the_budget_allows(index: int, weight: int, proven: bool, to: int | None) -> None:
    steps = ladder([step(5), step(100)])
    found = onward(steps, index, ramp_of(weight), proven=proven)
    assert (None if found is None else steps[found].weight) == to


# -- how many requests there are


def test_the_rate_counts_both_arms_and_errs_on_the_side_of_too_many() -> None:
    at_least, at_most = request_rate(counted(rate=10)) or (0.0, 0.0)
    assert at_least == pytest.approx(10)
    assert 10 < at_most < 10.1


def watched(*counts: tuple[float, int], read: Process | None = None, until: float | None = None) -> Ledger:
    """A ledger after readings at so many seconds, each after so many more requests."""
    process, known = read or stable(), ledger()
    for seconds, more in counts:
        process.serve(more)
        known = absorb(known, [process.read(seconds)], step=-1, now=at(seconds))
    return known if until is None else absorb(known, [], step=-1, now=at(until))


def test_what_was_never_counted_is_not_known_to_be_few() -> None:
    assert request_rate(ledger()) is None
    assert request_rate(watched((300, 0))) is None  # read for the first time
    assert request_rate(watched((0, 0), (300, 0))) is None
    assert request_rate(watched((300, 0), (305, 50), (310, 50))) is None  # not watched for long enough
    known = request_rate(watched(*((seconds, 50) for seconds in range(300, 341, 5))))
    assert known == pytest.approx((10, 10), rel=0.01)


def test_a_source_that_has_fallen_silent_is_not_known_and_one_that_counts_nothing_for_minutes_counts_few() -> None:
    known = watched(*((seconds, 50) for seconds in range(0, 61, 5)))
    assert request_rate(absorb(known, [], step=-1, now=at(400))) is None
    quiet = watched(*((seconds, 50 if seconds < 60 else 0) for seconds in range(0, 601, 5)))
    assert request_rate(quiet) == (0.0, 1 / 300)


def test_what_comes_after_a_gap_may_have_come_at_once_or_since_the_count_before() -> None:
    known = watched(*((seconds, 50) for seconds in range(0, 61, 5)), (595, 0), (600, 5400))
    assert request_rate(known) == pytest.approx((10, 5401 / 5), rel=0.01)


def test_a_source_that_is_late_makes_requests_no_fewer_and_answers_known_later() -> None:
    on_time = watched(*((seconds, 50) for seconds in range(0, 61, 5)))
    late = absorb(on_time, [], step=-1, now=at(100))
    assert request_rate(late) == pytest.approx((6, 10), rel=0.1)
    assert [climbed(known).counted[0].until_known for known in (on_time, late)] == [20, 55]
    assert 0 < climbed(late).weight < climbed(on_time).weight


def test_requests_of_the_candidate_alone_say_nothing_of_how_many_there_are_in_all() -> None:
    assert request_rate(watched((0, 0), (60, 0), read=Process())) is None


def test_only_the_last_minutes_count() -> None:
    known = watched(*((seconds, 500 if seconds < 600 else 5) for seconds in range(0, 1200, 5)))
    assert request_rate(known) == pytest.approx((1, 1), rel=0.1)


# -- what the budget allows


def test_at_the_beginning_all_that_comes_until_it_is_known_may_be_bad() -> None:
    allowed = climbed(counted(rate=10)).weight
    assert to_come(2 * 10, allowed, 20) * 0.99 <= 50 < to_come(2 * 10, allowed + 2, 20) * 0.99
    assert climbed(counted(rate=10), 500).weight == 100
    assert climbed(counted(rate=1000)).weight == 0


def test_the_least_budget_with_which_it_could_begin_is_told() -> None:
    tight = climbed(counted(rate=1000))
    assert climbed(counted(rate=1000), tight.least).weight >= 1
    assert climbed(counted(rate=1000), tight.least - 1).weight == 0


def test_good_evidence_allows_more_and_bad_evidence_less() -> None:
    weights = [climbed(counted(total, rate=40), weight=1).weight for total in (0, 20, 100, 400)]
    assert weights == sorted(set(weights))
    assert weights[-1] == 100
    assert climbed(counted(100, 3, rate=40)).weight < climbed(counted(100, 1, rate=40)).weight < 100


def test_slow_answers_and_rare_readings_are_known_later_so_less_is_allowed() -> None:
    fast = climbed(counted())
    slow = climbed(counted(names=("slow",)), 50, 0, SLOW)
    rare = climbed(counted(every=60.0))
    assert [r.counted[0].until_known for r in (fast, slow, rare)] == [20, 50, 75]
    assert fast.weight > slow.weight > rare.weight > 0


def test_the_guardrail_with_most_harm_counts_and_one_without_a_limit_does_not() -> None:
    both = climbed(counted(200, 4, names=("errors", "slow")), 50, 5, ERRORS, SLOW, RATIO)
    assert both.worst is not None
    assert both.worst.spec == ERRORS
    assert len(both.counted) == 2
    alone = climbed(counted(200, 4), 50, 5)
    assert both.spent > alone.spent  # two may err, so each is held to half of the risk


def test_without_a_rate_nothing_is_allowed_and_what_was_counted_is_still_known() -> None:
    for evidence in (None, ledger()):
        unknown = climbed(evidence)
        assert (unknown.rate, unknown.weight, unknown.spent_out) == (None, 0, False)
    silent = counted(300, 90)
    spent = climbed(absorb(silent, [], step=0, now=at(900)), 50, 5)
    assert (spent.rate, spent.spent_out) == (None, True)


def test_an_edited_guardrail_does_not_end_a_weight_before_it_has_seen_as_much_as_is_on_its_way() -> None:
    def at_half(total: int, bad: int, since: float | None) -> bool:
        late = replace(SLOW, limit=0.01, slower_than=10.0)
        measures = {"slow": Measure("TimeToFirstToken", 10.0, None if since is None else at(since))}
        evidence = replace(counted(total, bad, rate=2.0, names=("slow",)), measures=measures)
        return climbed(evidence, 12, 50, late, replace(late, name="other")).spent_out

    assert at_half(30, 1, None)
    assert not at_half(30, 1, 290)
    assert at_half(100, 2, 200)
    assert at_half(300, 3, None)
    assert not at_half(300, 3, 200)  # no more than the limit allows
    assert at_half(30, 8, 290)  # more than all of the budget is gone, whatever comes


def test_spent_out_is_what_can_not_even_stay() -> None:
    assert not climbed(counted(), weight=8).spent_out  # nothing is known, and nothing has happened
    assert not climbed(counted(100, 2), weight=100).spent_out  # too much to rise to, too little to be spent
    assert climbed(counted(100, 30), 20, 1).spent_out
    assert not climbed(counted(100, 30), 500, 1).spent_out
    burst = counted(30, rate=1000)
    assert climbed(burst, weight=50).weight < 50
    assert not climbed(burst, weight=50).spent_out  # more requests than before are no bad answers


def test_bad_answers_that_come_together_tell_less() -> None:
    alone = climbed(counted(400, 7, rate=40), weight=1)
    burst = climbed(counted(400, 7, rate=40, spread=Spread(7, 400, 42, 2000)), weight=1)
    unknown = climbed(counted(400, 0, rate=40, spread=Spread(0, 400, 0, 4000)), weight=1)
    assert [round(r.counted[0].size) for r in (alone, burst, unknown)] == [1, 7, 7]
    assert burst.weight < alone.weight
    assert burst.spent > alone.spent
    assert unknown.weight < climbed(counted(400, 0, rate=40), weight=1).weight


def test_a_false_promotion_that_is_feared_more_allows_less() -> None:
    found = [
        climb((ERRORS,), counted(100, 1, rate=40), budget=50, false_promotion=risk, weight=1).weight
        for risk in (0.001, 0.05, 0.3)
    ]
    assert found == sorted(set(found))
