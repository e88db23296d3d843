"""Does a count of simulated lives agree with a known chance? Exact tests, because a normal approximation fails at small shares."""

from __future__ import annotations

import numpy as np
from benchmarks.judges.lives import Floats, Ints
from scipy.special import bdtr, bdtrc, gammaln


def p_value(count: int, runs: int, chance: float) -> float:
    """Two-sided, exact binomial (twice the smaller tail): ``count`` of ``runs`` when each happens with ``chance``."""
    at_most = bdtr(count, runs, chance)
    at_least = bdtrc(count - 1, runs, chance) if count else 1.0
    return float(min(1.0, 2 * min(at_most, at_least)))


def p_value_of_two(count: int, runs: int, other_count: int, other_runs: int) -> float:
    """Two-sided, Fisher's exact test (twice the smaller tail): two simulations, each with a Monte-Carlo error of its own."""
    total = count + other_count
    split = np.arange(max(0, total - other_runs), min(runs, total) + 1)

    def log_choose(n: int, k: Ints) -> Floats:
        return np.asarray(gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1))

    log_chance = log_choose(runs, split) + log_choose(other_runs, total - split)
    chance = np.exp(log_chance - log_chance.max())
    chance /= chance.sum()
    return float(min(1.0, 2 * min(chance[split <= count].sum(), chance[split >= count].sum())))
