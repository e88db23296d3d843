from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from benchmarks.decisions import ours
from benchmarks.decisions.worlds import Scenario, World, draw
from benchmarks.judges.lives import Outcome

from solera.plan.evidence import count_slice, new_ledger
from solera.plan.ledger import Counter, Slice
from solera.plan.verdict import FAIL, PASS, GuardrailSpec, judge

T0 = datetime(2026, 3, 1, tzinfo=UTC)
STABLE, CANDIDATE = "v1", "v2"


def really(world: World, life: int, rules: ours.Rules, looks: int) -> tuple[int, int]:
    """The outcome and the interval in which the operator's own verdict comes to it."""
    spec = GuardrailSpec(
        "errors", "ErrorRate", rules.limit, None, rules.max_ratio, ratio_requires_pass=False, action="RollBack"
    )
    ledger, limits = new_ledger("r", STABLE, CANDIDATE, T0), {"errors": rules.limit}
    intervals = len(world.ends)
    asked = set(np.ceil(np.arange(1, looks + 1) * intervals / looks).astype(int) - 1)
    start = 0.0
    for at, end in enumerate(world.ends):
        counts = {
            ("engine", STABLE, "errors"): Counter(int(world.stable_total[life, at]), int(world.stable_bad[life, at])),
            ("engine", CANDIDATE, "errors"): Counter(int(world.total[life, at]), int(world.bad[life, at])),
        }
        counts = {series: counter for series, counter in counts.items() if counter.total}
        part = Slice(T0 + timedelta(seconds=start), T0 + timedelta(seconds=float(end)), 0, counts)
        ledger, start = count_slice(ledger, part, limits, rules.risk), float(end)
        if at in asked:
            found = judge(
                [spec],
                ledger,
                false_rollback=rules.false_rollback,
                false_promotion=rules.false_promotion,
                intervals=False,
            )[0].verdict
            if found in {PASS, FAIL}:
                return (Outcome.PROMOTED if found == PASS else Outcome.ROLLED_BACK), at
    return Outcome.UNDECIDED, intervals - 1


@pytest.mark.parametrize(
    ("scenario", "rules", "looks"),
    [
        (Scenario("half the limit", 500, 0.25, 0.005, 0.003), ours.Rules(), 500),
        (Scenario("at the limit", 500, 0.25, 0.01, 0.003), ours.Rules(), 20),
        (Scenario("twice the limit, bursts", 5000, 0.05, 0.02, 0.003, candidate_burst=8), ours.Rules(), 500),
        (Scenario("worse than stable", 5000, 0.25, 0.008, 0.002, stable_burst=8), ours.Rules(max_ratio=1.5), 500),
        (Scenario("an incident", 1000, 0.25, 0.004, 0.004, incident=0.05), ours.Rules(), 500),
        (
            Scenario("bad in an incident", 1000, 0.25, 0.02, 0.004, incident=0.05, load=0.5),
            ours.Rules(max_ratio=3),
            100,
        ),
    ],
    ids=lambda value: value.name if isinstance(value, Scenario) else "",
)
def test_the_judge_of_arrays_is_the_operators(scenario: Scenario, rules: ours.Rules, looks: int) -> None:
    lives = 12
    world = draw(scenario, lives, 3600.0, np.random.default_rng(5))
    found = ours.judge(world, rules, looks)
    expected = [really(world, life, rules, looks) for life in range(lives)]
    agree = [(int(a), int(b)) for a, b in zip(found.outcome, found.tick, strict=True)]
    same = sum(one == (int(a), b) for one, (a, b) in zip(agree, expected, strict=True))
    assert same == lives, (agree, expected)


def test_failures_of_a_burst_come_together_and_their_share_is_kept() -> None:
    scenario = Scenario("bursts", 5000, 0.5, 0.01, 0.01, candidate_burst=16)
    world = draw(scenario, 400, 3600.0, np.random.default_rng(1))
    assert world.bad.sum() / world.total.sum() == pytest.approx(0.01, rel=0.02)
    dense = world.bad[:, :192]
    assert dense.var() / dense.mean() > 8
    assert world.stable_bad[:, :192].var() / world.stable_bad[:, :192].mean() < 1.2


def test_minutes_are_the_same_counts() -> None:
    world = draw(Scenario("any", 100, 0.25, 0.01, 0.01), 3, 50_000.0, np.random.default_rng(1))
    total, bad, _, _ = world.minutes(60)
    assert total.shape == (3, 60)
    assert (total.sum(1) == world.total[:, world.ends <= 3600].sum(1)).all()
    assert (bad[:, 0] == world.bad[:, :12].sum(1)).all()
    assert (total[:, 20] == world.total[:, np.searchsorted(world.ends, 21 * 60)]).all()
