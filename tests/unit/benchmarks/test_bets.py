"""The bets of many lives at once are the operator's."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from benchmarks.decisions.bets import MONEY, Bets

from solera.stats import interval_bets


@pytest.mark.parametrize("seed", range(12))
def test_one_life_is_that_of_the_operators_bets(seed: int) -> None:
    by = random.Random(seed)
    limit, level = by.choice([0.01, 0.05, 0.2]), by.choice([1.5, 3.0, 4.6])
    real, many = interval_bets.Bets(limit, level=level), Bets.none(1)
    for _ in range(by.choice([20, 80])):
        total = by.choice([0, 1, 5, 30, 200])
        bad = sum(by.random() < by.choice([limit, 3 * limit]) for _ in range(total))
        real, many = real.add(bad, total), many.after(np.array([float(total)]), np.array([float(bad)]), limit, level)
        assert math.log(many.running[0] @ MONEY + many.waiting[0]) == pytest.approx(real.log_e, abs=1e-8)
        assert math.log(many.shown[0]) == pytest.approx(real.shown, abs=1e-8)
        assert many.due[0] == pytest.approx(real.due)
