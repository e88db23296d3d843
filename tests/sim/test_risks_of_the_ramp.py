"""The promise of the adaptive ramp, in lives by chance: the budget is kept with the declared probability, and good versions are let in sooner."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from benchmarks import ramp
from scipy.stats import binom

LIVES = 250
ONE_BY_ONE = int(binom.isf(1e-6, LIVES, ramp.RISK))
IN_BURSTS = int(binom.isf(1e-6, LIVES, ramp.BURST_ALLOWANCE * ramp.RISK))
"""More lives over their budget than this are no chance, if as many keep it as was promised."""


@pytest.mark.parametrize(
    ("per_minute", "share"),
    # Two days at five requests a minute take long to live through; the benchmark has them all.
    [
        *product(ramp.RATES[1:], [0.0125, 0.015, 0.02, 0.03, 0.05, 0.5, 1.0]),
        (ramp.RATES[0], 0.02),
        (ramp.RATES[0], 0.5),
    ],
)
def test_the_budget_is_kept(per_minute: int, share: float) -> None:
    for budget in (20, 50):
        found = ramp.live(ramp.ramp(per_minute, budget), share, per_minute, LIVES, seed=round(1000 * share))
        over = int(np.sum(found.requests * max(share - ramp.LIMIT, 0.0) > budget))
        assert over <= ONE_BY_ONE, f"{over} of {LIVES} are over a budget of {budget}"
        if share >= 2 * ramp.LIMIT:
            assert found.promoted.sum() <= 2


@pytest.mark.parametrize("per_minute", [50, 500, 5000])
@pytest.mark.parametrize("share", [0.015, 0.02, 0.05])
def test_the_budget_is_kept_where_bad_answers_come_in_bursts(share: float, per_minute: int) -> None:
    found = ramp.live(ramp.ramp(per_minute, 50), share, per_minute, LIVES, seed=3, burst=ramp.BURST_OF)
    assert int(np.sum(found.requests * (share - ramp.LIMIT) > 50)) <= IN_BURSTS


@pytest.mark.parametrize(("per_minute", "share"), [*product(ramp.RATES[1:], ramp.GOOD), (ramp.RATES[0], 0.001)])
def test_a_good_version_has_all_requests_sooner_than_by_the_steps(per_minute: int, share: float) -> None:
    ours = ramp.live(ramp.ramp(per_minute, 50), share, per_minute, LIVES, seed=1)
    fixed = ramp.live(ramp.STEPS, share, per_minute, LIVES, seed=1)
    assert np.median(ours.all_at) < np.median(fixed.all_at)
    assert np.mean(ours.promoted) >= 0.97


def test_the_lives_would_show_a_ramp_that_does_not_keep_its_budget() -> None:
    """Fixed steps know no budget: with many requests they are far over it."""
    found = ramp.live(ramp.STEPS, 1.0, 5000, LIVES, seed=1)
    assert np.mean(found.requests * (1 - ramp.LIMIT) > 50) > 0.9
