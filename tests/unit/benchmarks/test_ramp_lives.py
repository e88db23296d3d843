"""The benchmark of the adaptive ramp decides as the operator does."""

from __future__ import annotations

import random

import numpy as np
import pytest
from benchmarks import ramp

from solera.plan.ramp import BURST, climb, ladder, to_come
from solera.plan.rungs import RUNGS
from solera.plan.showing import Evidence, Levels, breaks_limit, suspect, under_limit
from solera.stats.dispersion import Spread
from solera.stats.interval_bets import Bets
from unit.plan.test_ramp import ERRORS, counted, step


@pytest.mark.parametrize("seed", range(20))
def test_the_arrays_know_of_one_life_what_the_operator_knows(seed: int) -> None:
    by = random.Random(seed)
    known, spread, bets = ramp.Evidence.none(1), Spread(), Bets(ramp.LIMIT)
    share, rate = by.choice([0.0, 0.005, 0.02, 0.1]), by.choice([0.3, 3, 40])
    for _ in range(60):
        total = by.randint(0, round(2 * rate) + 1)
        bad = sum(by.random() < share for _ in range(total))
        known = known.after(np.array([float(total)]), np.array([float(bad)]))
        spread, bets = spread.add(bad, total), bets.add(bad, total)
    assert known.size[0] == pytest.approx(spread.burst_size)
    ledger = counted(spread.total, spread.bad, rate=10, spread=spread)
    assert spread.total
    levels = Levels(ramp.LEVEL, ramp.LEVEL)
    told = Evidence(ERRORS, ledger, "engine", levels)
    assert bool(known.failed[0]) is (bets.log_e >= levels.rollback)
    assert bool(known.proven[0]) is under_limit(told)
    assert bool(known.suspect[0]) is suspect(told)
    assert breaks_limit(told) is False  # the ledger here has no bets of its own


@pytest.mark.parametrize(("per_minute", "budget"), [(60, 20), (600, 50), (6000, 200)])
def test_the_benchmark_decides_as_the_ramp_does(per_minute: int, budget: int) -> None:
    by, rungs = random.Random(per_minute), ladder([step(100)])
    at_least, at_most = per_minute / 60, per_minute / 60 + 1 / 300
    plan, rising = ramp.Ramp(at_least, budget), ramp.Ramp(at_most, budget)
    for _ in range(200):
        total = round(10 ** by.uniform(0, 3))
        bad, rung = sum(by.random() < by.choice([0.0, 0.01, 0.05]) for _ in range(total)), by.randrange(len(rungs))
        spread = Spread(bad, total, bad * by.randint(0, 4), total * by.randint(1, 20))
        evidence = counted(total, bad, rate=at_least, spread=spread)
        found = climb((ERRORS,), evidence, budget=budget, false_promotion=ramp.RISK, weight=rungs[rung].weight)
        parts = (total, bad, spread.pairs, spread.squares)
        known = ramp.Evidence(*(np.array([float(n)]) for n in parts), ramp.Bets.none(1))
        fits = [r for r in range(len(rungs)) if known.fits(rising.rise[r], budget)[0]]
        assert [r for r in range(len(rungs)) if rungs[r].weight <= found.weight] == fits
        assert bool(plan.spent(np.array([rung]), known)[0]) is (found.spent_out and bad > 0)
    firsts = [r for r in range(len(RUNGS)) if to_come(BURST * at_least, RUNGS[r], ramp.LATE) * 0.99 <= budget]
    assert plan.begin() == max(firsts, default=-1)


def test_figures_and_rows_tell_the_worst_cell() -> None:
    good = ramp.Cell(5, 50, 50, {0.01: 1.0, 0.02: 0.99}, {0.02: 0.95}, 12.0, {0.005: 1.0}, {0.005: (2.0, 4.0)})
    slow = ramp.Cell(50, 50, 50, {0.01: 1.0}, {0.02: 0.97}, 12.0, {0.005: 1.0}, {0.005: (3.0, 4.0)})
    tiny = ramp.Cell(50, 20, 50, {0.01: 1.0}, {0.02: 0.97}, 12.0, {0.005: 0.5}, {0.005: (9.0, 4.0)})
    none = ramp.Cell(5000, 20, 0, {0.01: 1.0}, {0.02: 1.0}, 0.0, {}, {})
    assert ramp.figures([good, slow, tiny, none]) == {
        "ramp.inside_budget": 0.99,
        "ramp.inside_budget_in_bursts": 0.95,
        "ramp.time_to_100": 0.75,
    }
    assert "99.00% (2.00%) | 95.00% (2.00%)" in ramp.rows([good])[-1]
    assert "does not begin" in ramp.rows([none])[-1]
