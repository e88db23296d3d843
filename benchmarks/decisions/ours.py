"""Solera's verdict for one guardrail in one source, in many lives at once: ``solera.plan.verdict`` written for arrays.

It is checked against the real one, life by life, in tests/unit/benchmarks. Counts of intervals come in, one slice of the ledger each.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from benchmarks.decisions.bets import Bets
from benchmarks.decisions.worlds import World
from benchmarks.judges.lives import Lives, Outcome
from numpy.typing import NDArray
from scipy.special import betainc, betaln

from solera.plan.intervals import rollback_level
from solera.plan.showing import (
    ALLOWED,
    BAD_TO_FAIL,
    BAD_TO_PASS,
    CLEARER,
    CLEARLY_WORSE,
    LEAST_DUE,
    LEAST_SHARE,
    LOOKS_WORSE,
)
from solera.stats.dispersion import ASSUMED_SIZE, ASSUMED_WORTH
from solera.stats.failure_share import RATIOS
from solera.stats.share import prior_weight

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Rules:
    """One guardrail, and the risks of the rollout."""

    limit: float = 0.01
    max_ratio: float | None = None
    false_rollback: float = 0.05
    false_promotion: float = 0.05

    @property
    def risk(self) -> float:
        """Of one of the tests that can roll back."""
        return self.false_rollback / (1 if self.max_ratio is None else 2)

    @property
    def to_fail(self) -> float:
        return rollback_level(self.risk, 1)

    @property
    def to_pass(self) -> float:
        return -math.log(self.false_promotion)


def judge(world: World, rules: Rules, looks: int, intervals: int | None = None) -> Lives:
    """Every life until its first verdict of Pass or Fail at one of ``looks`` looks, evenly spread over the first ``intervals``, or all.

    ``tick`` is the interval of the decision; served and harmed count to its end.
    """
    return Judged(world, rules).at(looks, intervals)


class Judged:
    """What our tests show after every interval of ``world``; ``at`` then asks for the verdict at some of them."""

    def __init__(self, world: World, rules: Rules) -> None:
        self._world, self._rules = world, rules
        n, x = world.total.astype(float), world.bad.astype(float)
        s, f = world.stable_total.astype(float), world.stable_bad.astype(float)
        self._served, self._failed = n.cumsum(1), x.cumsum(1)
        size = _burst_size(n, x)
        under = _under(self._served, self._failed, rules.limit, rules.to_pass)
        allowed = rules.to_pass - ALLOWED
        under &= _under(self._served / size, self._failed / size, rules.limit, allowed)
        broken = _broken(n, x, rules.limit, rules.to_fail)
        # The comparisons to stable are only asked where the limit is broken, or where they decide.
        some = slice(None) if rules.max_ratio is not None else broken.any(1)
        worse, unclear = np.zeros(n.shape, dtype=bool), np.zeros(n.shape, dtype=bool)
        n, x, s, f = n[some], x[some], s[some], f[some]
        both = np.maximum(size[some], _burst_size(s, f))
        worse[some] = _worse(n, x, s, f, rules.max_ratio or CLEARLY_WORSE, rules.to_fail, both)
        unclear[some] = _not_worse(n, x, s, f, rules)
        self._outcome = np.zeros(under.shape, dtype=np.int8)
        self._outcome[under & ~broken] = Outcome.PROMOTED
        self._outcome[broken & ~unclear] = Outcome.ROLLED_BACK
        self._open = broken & ~worse & ~unclear
        self._worse = worse

    def at(self, looks: int, intervals: int | None = None) -> Lives:
        """The lives at ``looks`` looks, as ``judge`` says."""
        intervals = intervals or len(self._world.ends)
        asked = np.unique(np.ceil(np.arange(1, looks + 1) * intervals / looks).astype(int) - 1)
        outcome = self._outcome.copy()
        _excuse(self._world, self._rules, self._open, outcome, asked)
        if self._rules.max_ratio is not None:
            outcome[self._worse] = Outcome.ROLLED_BACK
        seen = outcome[:, asked]
        first = np.where((seen > 0).any(1), (seen > 0).argmax(1), -1)
        lives = np.arange(len(outcome))
        end = np.where(first < 0, intervals - 1, asked[np.maximum(first, 0)])
        decided = np.where(first < 0, Outcome.UNDECIDED, outcome[lives, end]).astype(np.int8)
        served, failed = (part[lives, end].astype(np.int64) for part in (self._served, self._failed))
        return Lives(decided, end, served, failed)


def _broken(n: Floats, x: Floats, limit: float, level: float) -> Bools:
    """Whether the share is shown to be above the limit, after every interval."""
    bets = Bets.none(len(n))
    out = np.empty(n.shape, dtype=bool)
    for at in range(n.shape[1]):
        bets = bets.after(n[:, at], x[:, at], limit, level)
        out[:, at] = bets.broken(level)
    return out


def _burst_size(n: Floats, x: Floats) -> Floats:
    """After every interval (solera.stats.dispersion)."""
    total, bad, pairs, squares = n.cumsum(1), x.cumsum(1), (x * (x - 1)).cumsum(1), (n * n).cumsum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        within = np.where(total > 0, squares / total**2, 0.0)
        mean = np.where(total > 0, squares / total, 1.0)
    chance = np.maximum(bad * (bad - 1), 0) * within + bad * np.sqrt(within)
    assumed = np.minimum(ASSUMED_SIZE, np.maximum(mean, 1))
    more = np.maximum(pairs - chance, 0) + ASSUMED_WORTH * (assumed - 1)
    return 1 + more / (bad * np.maximum(1 - within, 0) + ASSUMED_WORTH)


def _under(n: Floats, x: Floats, limit: float, level: float) -> Bools:
    """Whether so few bad events are shown to be below the limit (solera.stats.share), from a table of how many events that takes."""
    bad, least = _least(limit, level)
    return (x <= bad[-1]) & (n >= np.interp(x, bad, least) - 1e-6)


@lru_cache(maxsize=16)
def _least(limit: float, level: float) -> tuple[Floats, Floats]:
    """The least number of events that shows ``bad`` of them to be below the limit, found by bisection."""
    bad = np.concatenate([np.arange(0, 40, 0.02), np.arange(40, 400, 0.25), np.arange(400, 4000, 2.0)])
    weight = prior_weight(limit, BAD_TO_PASS)
    low, high = bad / limit, 4 * (bad + 40) / limit
    for _ in range(60):
        middle = (low + high) / 2
        shown = _log_wealth(middle - bad, bad, 1 - limit, weight) >= level
        low, high = np.where(shown, low, middle), np.where(shown, middle, high)
    return bad, high


def _log_wealth(bad: Floats, good: Floats, limit: float, weight: float) -> Floats:
    """Log wealth of "the share of ``bad`` is above ``limit``": the truncated beta mixture of solera.stats.share."""
    a, b = weight * (1 - limit), weight * limit
    with np.errstate(divide="ignore"):
        posterior = betaln(a + good, b + bad) + np.log(betainc(a + good, b + bad, 1 - limit))
        prior = betaln(a, b) + math.log(betainc(a, b, 1 - limit))
    return posterior - prior - bad * math.log(limit) - good * math.log1p(-limit)


def _worse(n: Floats, x: Floats, s: Floats, f: Floats, ratio: float, level: float, size: Floats) -> Bools:
    """Whether the candidate is shown to fail more than ``ratio`` times as often as stable (solera.stats.failure_share)."""
    logs = _log_wealth_above(n, x, s, f, ratio)
    return (_log_mean(logs) >= level) & (_log_mean(logs / size) >= level - ALLOWED)


def _not_worse(n: Floats, x: Floats, s: Floats, f: Floats, rules: Rules) -> Bools:
    """Whether stable, with requests enough to tell, does not look better than the candidate (solera.plan.showing)."""
    both = (n > 0) & (s > 0)
    ours, theirs = np.where(both, n, 0).cumsum(1), np.where(both, s, 0).cumsum(1)
    telling = (theirs * rules.limit >= LEAST_DUE) & (theirs >= LEAST_SHARE * ours)
    return telling & (_log_mean(_log_wealth_above(n, x, s, f, 1.0)) < math.log(LOOKS_WORSE))


def _log_wealth_above(n: Floats, x: Floats, s: Floats, f: Floats, ratio: float) -> Floats:
    """Of each alternative, shape (alternatives, lives, intervals)."""
    both = (n > 0) & (s > 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(both, n / (n + s), 0.5)
    ours, all_ = np.where(both, x, 0), np.where(both, x + f, 0)

    def likelihood(r: float) -> Floats:
        return (ours * math.log(r) - all_ * np.log1p(share * (r - 1))).cumsum(1)

    base = likelihood(ratio)
    return np.stack([likelihood(ratio * factor) - base for factor in RATIOS])


def _log_mean(values: Floats) -> Floats:
    top = values.max(0)
    return top + np.log(np.exp(values - top).mean(0))


def _excuse(world: World, rules: Rules, open_: Bools, outcome: NDArray[np.int8], asked: NDArray[np.int64]) -> None:
    """Take back, in place, what is a shared incident: stable breaks the limit too in the same intervals."""
    n, x = world.total.astype(float), world.bad.astype(float)
    with_ours = n > 0
    s, f = np.where(with_ours, world.stable_total, 0), np.where(with_ours, world.stable_bad, 0)
    weight = prior_weight(rules.limit, BAD_TO_FAIL)
    decided = np.zeros(len(n), dtype=bool)
    for at in asked:
        lives = np.flatnonzero(open_[:, at] & ~decided)
        if len(lives):
            ends = [part[lives, : at + 1][:, ::-1].cumsum(1)[:, ::-1] for part in (n, x, s, f)]
            clear = np.where(with_ours[lives, : at + 1], _clearness(ends[0], ends[1], rules.limit), 0.0)
            whole = clear[:, 0].copy()
            clear[ends[0] == ends[0][:, :1]] = 0.0
            start = clear.argmax(1)
            rows = np.arange(len(lives))
            start = np.where(clear[rows, start] >= whole + CLEARER, start, 0)
            stable, stable_bad = ends[2][rows, start], ends[3][rows, start]
            over = stable_bad > stable * rules.limit
            wealth = _log_wealth(stable_bad, stable - stable_bad, rules.limit, weight)
            outcome[lives[over & (wealth >= 0)], at] = Outcome.UNDECIDED
        decided |= outcome[:, at] > 0


def _clearness(n: Floats, x: Floats, limit: float) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(n > 0, x / n, 0.0)
        first = np.where(share > 0, share * np.log(share / limit), 0.0)
        second = np.where(share < 1, (1 - share) * (np.log1p(-share) - math.log1p(-limit)), 0.0)
    return np.where(share > limit, n * (first + second), 0.0)
