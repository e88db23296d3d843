"""How often a verdict is wrong, and how many requests it costs: rollouts by chance through readings, ledger and judge."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from statistics import median

import pytest
from scipy.stats import binom

from solera.plan.evidence import absorb
from solera.plan.verdict import FAIL, PASS, GuardrailSpec, judge
from unit.plan.scrapes import Process, Traffic, at, ledger

ERRORS = GuardrailSpec("errors", "ErrorRate", 0.01, None, None, ratio_requires_pass=False, action="RollBack")
COMPARED = replace(ERRORS, max_ratio=1.25)


def looks(share: float, seed: int, spec: GuardrailSpec, until: str, *, each: int = 20, most: int = 300) -> int | None:
    """Requests of the candidate until a verdict, through readings, ledger and judge; None if another or none came first."""
    traffic = Traffic(rng=random.Random(seed), limits={spec.name: spec.limit or 0.0})
    for look in range(1, most + 1):
        traffic.run((each, share), (0, 0))
        found = judge([spec], traffic.ledger, false_rollback=0.05, false_promotion=0.05, intervals=False)[0]
        if found.verdict in {PASS, FAIL}:
            return look * each if found.verdict == until else None
    return None


@pytest.mark.parametrize(
    ("share", "limit", "until", "least", "most"),
    [
        (0.005, 0.01, PASS, 1300, 2900),
        (0.025, 0.05, PASS, 300, 520),
        (0.03, 0.01, FAIL, 120, 360),
        (0.15, 0.05, FAIL, 20, 90),
    ],
)
def test_how_much_a_verdict_costs(share: float, limit: float, until: str, least: int, most: int) -> None:
    spec = replace(ERRORS, limit=limit)
    found = [looks(share, seed, spec, until, each=10, most=600) for seed in range(41)]
    costs = sorted(math.inf if cost is None else cost for cost in found)
    assert least <= median(costs) <= most


@pytest.mark.parametrize(("share", "wrong"), [(0.01, FAIL), (0.0101, PASS)])
def test_the_wrong_verdict_is_rarer_than_the_risk_at_any_of_200_looks(share: float, wrong: str) -> None:
    runs = 60
    errors = sum(looks(share, seed, ERRORS, wrong, most=200) is not None for seed in range(runs))
    assert errors <= binom.ppf(1 - 1e-6, runs, 0.05)


def test_the_test_for_failure_spread_over_steps_keeps_its_risk() -> None:
    runs, wrong = 100, 0
    for seed in range(runs):
        rng, of, pod = random.Random(seed), ledger(), Process(began=1)
        for look in range(60):
            pod.serve(50, sum(rng.random() < 0.05 for _ in range(50)))
            of = absorb(of, [pod.read(look + 2)], step=look // 6, now=at(look + 2), limits={"errors": 0.05}, risk=0.1)
            found = judge([replace(ERRORS, limit=0.05)], of, false_rollback=0.1, false_promotion=0.05, intervals=False)
            if found[0].verdict == FAIL:
                wrong += 1
                break
    assert wrong <= binom.ppf(1 - 1e-6, runs, 0.1)


@pytest.mark.parametrize("candidate", [50, 500])
def test_a_shared_incident_is_seldom_taken_for_the_candidates_at_any_look_and_weight(candidate: int) -> None:
    mistaken = 0
    for seed in range(40):
        traffic = Traffic(rng=random.Random(seed), limits={"errors": 0.01})
        for look in range(20):
            share = 0.03 if look >= 5 else 0.004
            traffic.run((candidate, share), (1000 - candidate, share))
            found = judge([COMPARED], traffic.ledger, false_rollback=0.05, false_promotion=0.05, intervals=False)
            if found[0].verdict == FAIL:
                mistaken += 1
                break
    assert mistaken <= 6
