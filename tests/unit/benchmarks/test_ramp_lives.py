"""The promise of the adaptive ramp, in lives by chance: the budget is kept with the declared probability, and good versions are let in sooner."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks import ramp
from scipy.stats import binom

LIVES = 300
TOO_MANY = int(binom.isf(1e-6, LIVES, ramp.RISK))
"""More lives over their budget than this are no chance, if 95% keep it."""


@pytest.mark.parametrize("per_minute", ramp.RATES)
@pytest.mark.parametrize("share", [0.0125, 0.015, 0.02, 0.03, 0.05, 0.5, 1.0])
def test_the_budget_is_kept(share: float, per_minute: int) -> None:
    for budget in (10, 50):
        found = ramp.live(ramp.ramp(per_minute, budget), share, per_minute, LIVES, seed=round(1000 * share))
        over = int(np.sum(found.requests * max(share - ramp.LIMIT, 0.0) > budget))
        assert over <= TOO_MANY, f"{over} of {LIVES} are over a budget of {budget}"
        if share >= 2 * ramp.LIMIT:
            assert not found.promoted.any()


@pytest.mark.parametrize("per_minute", ramp.RATES)
@pytest.mark.parametrize("share", ramp.GOOD)
def test_a_good_version_has_all_requests_sooner_than_by_the_steps(share: float, per_minute: int) -> None:
    ours = ramp.live(ramp.ramp(per_minute, 50), share, per_minute, LIVES, seed=1)
    fixed = ramp.live(ramp.STEPS, share, per_minute, LIVES, seed=1)
    assert np.median(ours.all_at) < np.median(fixed.all_at)
    assert np.mean(ours.promoted) >= 0.97


def test_the_lives_would_show_a_ramp_that_does_not_keep_its_budget() -> None:
    """Fixed steps know no budget: with many requests they are far over it."""
    found = ramp.live(ramp.STEPS, 1.0, 5000, LIVES, seed=1)
    assert np.mean(found.requests * (1 - ramp.LIMIT) > 50) > 0.9


def test_figures_and_rows_tell_the_worst_cell() -> None:
    good = ramp.Cell(5, 50, 50, {0.01: 1.0, 0.02: 0.99}, 12.0, {0.005: 1.0}, {0.005: (2.0, 4.0)})
    slow = ramp.Cell(50, 50, 50, {0.01: 1.0}, 12.0, {0.005: 1.0}, {0.005: (3.0, 4.0)})
    none = ramp.Cell(5000, 10, 0, {0.01: 1.0}, 0.0, {}, {})
    assert ramp.figures([good, slow, none]) == {"ramp.inside_budget": 0.99, "ramp.time_to_100": 0.75}
    assert "99.00% (2.00%)" in ramp.rows([good])[-1]
    assert "does not begin" in ramp.rows([none])[-1]
