"""The risks of the bets on a limit, in lives by chance. That these bets are the operator's is tested in tests/unit/benchmarks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from benchmarks.decisions.bets import Bets
from scipy.stats import binom

from solera.plan.showing import BURST_ALLOWANCE

LIVES, RISK = 10_000, 0.05
LEVEL = -math.log(RISK)


def lost(total: int, limit: float, burst: int) -> tuple[float, float]:
    """The shares of lives at the limit in which it is ever shown singly to be broken, and in which a verdict of Fail comes."""
    chance, bets = np.random.default_rng(total), Bets.none(LIVES)
    singly, failed = np.zeros(LIVES, dtype=bool), np.zeros(LIVES, dtype=bool)
    for _ in range(int(60 / (limit * total)) if total * limit < 2 else 60):
        events = np.full(LIVES, float(total))
        bad = chance.binomial(total // burst, limit, LIVES).astype(float) * burst
        bets = bets.after(events, bad, limit, LEVEL)
        singly |= bets.shown >= math.exp(LEVEL)
        failed |= bets.broken(LEVEL)
    return float(singly.mean()), float(failed.mean())


@pytest.mark.parametrize(("total", "limit"), [(1, 0.1), (10, 0.1), (10, 0.02), (100, 0.02)])
def test_what_is_shown_singly_spends_its_risk_and_keeps_it(total: int, limit: float) -> None:
    singly, failed = lost(total, limit, 1)
    assert failed <= singly <= binom.ppf(1 - 1e-6, LIVES, RISK) / LIVES
    assert singly > 0.6 * RISK


@pytest.mark.parametrize(("total", "limit", "burst"), [(20, 0.05, 5), (100, 0.05, 20), (100, 0.02, 100)])
def test_bursts_make_it_no_more_than_twice_as_many(total: int, limit: float, burst: int) -> None:
    singly, failed = lost(total, limit, burst)
    assert failed <= binom.ppf(1 - 1e-6, LIVES, BURST_ALLOWANCE * RISK) / LIVES
    assert singly > RISK, "the bursts would show a judge that takes failures for independent"
