"""What is expected of a guardrail is what comes of many rollouts."""

from __future__ import annotations

import random
from datetime import timedelta
from functools import cache

import pytest
from scipy.stats import binom

from solera.plan.evidence import absorb
from solera.plan.power import Asked, Pace, expectations
from solera.plan.verdict import FAIL, PASS, GuardrailSpec, judge
from unit.plan.scrapes import Process, at, ledger

LIMIT, RUNS = 0.05, 200
SPEC = GuardrailSpec("errors", "ErrorRate", LIMIT, None, None, ratio_requires_pass=False, action="RollBack")
EVERY = timedelta(seconds=5)
NEAR = {PASS: 1.05, FAIL: 1.2}
"""A verdict comes no later than it is told, and by no more than this factor sooner; one interval either way."""


@cache
def simulated(share: float, each: int, looks: int) -> tuple[tuple[int, str], ...]:
    """When each of RUNS rollouts got its first verdict, and which: through readings, ledger and judge, with ``each`` requests in a look."""
    ended = []
    for seed in range(RUNS):
        rng, of, pod = random.Random(seed), ledger(), Process(began=1)
        end = (each * looks + 1, "")
        for look in range(1, looks + 1):
            pod.serve(each, sum(rng.random() < share for _ in range(each)))
            now = at(EVERY.total_seconds() * look)
            reading = pod.read(EVERY.total_seconds() * look)
            of = absorb(of, [reading], step=0, now=now, limits={"errors": LIMIT})
            verdict = judge([SPEC], of, false_rollback=0.05, false_promotion=0.05, intervals=False)[0].verdict
            if verdict in {PASS, FAIL}:
                end = (look * each, verdict)
                break
        ended.append(end)
    return tuple(ended)


@pytest.mark.parametrize(
    ("share", "each", "looks"),
    [
        *((0.0, 10, 70), (0.02, 10, 70), (0.05, 10, 50), (0.1, 10, 60), (0.25, 10, 20)),
        *((0.02, 2, 200), (0.1, 2, 150), (0.02, 200, 12), (0.1, 200, 12), (0.2, 200, 6)),
    ],
)
def test_the_chances_are_those_of_the_live_rule(share: float, each: int, looks: int) -> None:
    pace = Pace(each / EVERY.total_seconds(), ((1.0, timedelta()),))
    (found,) = expectations(Asked(LIMIT, 0.05, 0.05), [share], pace, within=2 * EVERY * looks)
    seen = simulated(share, each, looks)
    for look in sorted({2, 3, looks // 8, looks // 4, looks // 2, looks}):
        requests = look * each
        for index, verdict in enumerate((PASS, FAIL)):
            low = found.curve.by(requests - each)[index]
            high = found.curve.by((requests + each) * NEAR[verdict])[index]
            number = sum(at_ <= requests and got == verdict for at_, got in seen)
            assert binom.ppf(1e-6, RUNS, low) <= number <= binom.ppf(1 - 1e-6, RUNS, high), (look, verdict, low, high)


def test_the_wrong_verdict_is_rarer_than_its_risk() -> None:
    for limit in (0.01, 0.2):
        for risk in (0.01, 0.1):
            for pace in (None, Pace(10.0, ((1.0, timedelta()),))):
                (found,) = expectations(Asked(limit, risk, risk), [limit], pace, most_bad=500)
                assert 0.1 * risk < found.passed <= risk
                # Many in an interval: what is told of bets is the mean of all orders, and wrong verdicts come of rare ones.
                assert 0 < found.failed <= risk
                assert pace is not None or found.failed > 0.3 * risk
                assert found.median is None
