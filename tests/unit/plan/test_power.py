"""What can be expected of a guardrail, against the rule that judges live rollouts."""

from __future__ import annotations

from datetime import timedelta

import pytest
from scipy.stats import binom
from scrapes import Process, at, ledger

from solera.plan.evidence import absorb
from solera.plan.power import Asked, Pace, expectations, good_requests, verdict_rule
from solera.plan.verdict import FAIL, PASS, GuardrailError, GuardrailSpec, judge, number_of_tests

LIMIT = 0.05
SPEC = GuardrailSpec("errors", "ErrorRate", LIMIT, None, None, ratio_requires_pass=False, action="RollBack")
EVERY = timedelta(seconds=5)


def test_a_clearer_share_is_decided_sooner() -> None:
    found = expectations(Asked(0.01, 0.05, 0.05), [0.0, 0.001, 0.005, 0.02, 0.05, 0.2])
    waits = [e.median.requests if e.median else 0 for e in found]
    assert waits[0] <= waits[1] < waits[2]
    assert waits[3] > waits[4] > waits[5] > 0
    assert [e.passed > 0.99 for e in found] == [True] * 3 + [False] * 3
    assert [e.failed > 0.99 for e in found] == [False] * 3 + [True] * 3
    for e in found:
        assert e.passed + e.failed + e.undecided == pytest.approx(1)
        assert e.ninety is not None
        assert e.median is not None
        assert e.median.requests <= e.ninety.requests


@pytest.mark.parametrize("each", [1, 3, 50, 400])
def test_the_least_good_requests_are_where_nothing_bad_passes(each: int) -> None:
    pace = Pace(each / EVERY.total_seconds(), ((1.0, timedelta()),))
    good = good_requests(Asked(LIMIT, 0.05, 0.05), pace)
    assert good is not None
    of, pod, requests, verdict = ledger(), Process(began=1), 0, ""
    while verdict != PASS:
        requests += each
        pod.serve(each)
        seconds = requests / each * EVERY.total_seconds()
        of = absorb(of, [pod.read(seconds)], step=0, now=at(seconds), limits={"errors": LIMIT})
        verdict = judge([SPEC], of, false_rollback=0.05, false_promotion=0.05, intervals=False)[0].verdict
    assert requests - each < good <= requests
    assert good_requests(Asked(1e-9, 0.05, 0.05), pace) is None


def test_where_many_come_in_an_interval_more_good_ones_are_needed() -> None:
    paces = [None, *(Pace(rate, ((0.5, timedelta()),)) for rate in (0.1, 1.0, 10.0))]
    found = [good_requests(Asked(0.01, 0.05, 0.05), pace) for pace in paces]
    assert found[0] == found[1] == 521
    assert found[1] is not None
    assert found[2] is not None
    assert found[3] is not None
    assert found[1] < found[2] < found[3]


def test_more_tests_make_a_failure_slower_and_leave_passing_as_it_is() -> None:
    one, four = (expectations(Asked(0.01, 0.05, 0.05, tests), [0.005, 0.03]) for tests in (1, 4))
    assert one[0].median == four[0].median
    assert one[1].median is not None
    assert four[1].median is not None
    assert one[1].median.requests < four[1].median.requests
    compared = GuardrailSpec("ttft", "TimeToFirstToken", LIMIT, 2.0, 1.5, ratio_requires_pass=False, action="RollBack")
    held = GuardrailSpec("seen", "ErrorRate", LIMIT, None, None, ratio_requires_pass=False, action="Hold")
    assert [number_of_tests(specs) for specs in ([], [held], [SPEC], [SPEC, compared, held])] == [1, 1, 1, 3]


def test_the_rule_divides_the_risk_as_the_judge_does() -> None:
    """All in one interval, which is over: then nothing is left to chance."""
    others = [
        GuardrailSpec(name, "ErrorRate", 0.5, None, None, ratio_requires_pass=False, action="RollBack") for name in "ab"
    ]
    found = set()
    for total in (30, 60, 90):
        pace = Pace(total / EVERY.total_seconds(), ((1.0, timedelta()),))
        for tests in (1, 3):
            _, fails = verdict_rule(Asked(LIMIT, 0.1, 0.05, tests=tests), pace)
            for bad in range(0, total + 1, 3):
                pod = Process(began=1)
                pod.serve(total, bad)
                seen = absorb(ledger(), [pod.read(5)], step=0, now=at(5), limits={"errors": LIMIT})
                specs = [SPEC, *others[: tests - 1]]
                verdict = judge(specs, seen, false_rollback=0.1, false_promotion=0.05, intervals=False)[0].verdict
                assert fails(bad, total) == (verdict == FAIL)
                found.add((tests, verdict == FAIL))
    assert (1, True) in found


def test_another_rule_can_be_put_in_its_place() -> None:
    """For example one that asks for a fixed number of requests."""

    def fixed(asked: Asked, pace: Pace | None) -> tuple[object, object]:
        return (lambda bad, total: total >= 1000 and bad <= 5), (lambda bad, total: total >= 1000 and bad > 5)

    (found,) = expectations(Asked(0.01, 0.05, 0.05), [0.005], rule=fixed, every=1000)  # type: ignore[arg-type]
    assert found.passed == pytest.approx(binom.cdf(5, 1000, 0.005))
    assert found.failed == pytest.approx(binom.sf(5, 1000, 0.005))


class TestPace:
    STEPS = Pace(10.0, ((0.05, timedelta(minutes=10)), (0.25, timedelta(minutes=30)), (0.5, timedelta(minutes=2))))

    def test_requests_come_by_the_weights_of_the_steps(self) -> None:
        by = [(0, 0), (600, 300), (601, 302), (2400, 4800), (2401, 4805), (10_000, 42_800)]
        assert [self.STEPS.requests_by(timedelta(seconds=s)) for s, _ in by] == [n for _, n in by]

    def test_a_number_of_requests_comes_at_the_first_second_that_has_so_many(self) -> None:
        for requests in (1, 299, 300, 301, 4799, 4800, 4801, 50_000):
            time = self.STEPS.time_of(requests)
            assert self.STEPS.requests_by(time) >= requests
            assert self.STEPS.requests_by(time - timedelta(seconds=1)) < requests

    def test_what_hardly_comes_at_all_has_a_time_too(self) -> None:
        assert Pace(1e-9, ((0.01, timedelta()),)).time_of(10**9) == timedelta(days=365_000)


def test_time_and_horizon_follow_the_pace() -> None:
    pace = Pace(10.0, ((0.1, timedelta()),))
    (found,) = expectations(Asked(0.01, 0.05, 0.05), [0.005], pace, within=timedelta(minutes=20))
    assert (found.horizon.requests, found.horizon.time) == (1200, timedelta(minutes=20))
    assert found.undecided > 0.5
    (found,) = expectations(Asked(0.01, 0.05, 0.05), [0.005], pace, within=timedelta(days=2))
    assert found.median is not None
    assert found.median.time == timedelta(seconds=found.median.requests)
    (found,) = expectations(Asked(0.01, 0.05, 0.05), [0.005])
    assert found.median is not None
    assert found.median.time is None


def test_what_makes_no_test_is_refused() -> None:
    with pytest.raises(GuardrailError, match="falseRollback"):
        expectations(Asked(0.01, 0.7, 0.05), [0.01])
