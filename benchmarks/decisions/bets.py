"""The bets of ``solera.stats.interval_bets`` in many lives at once. They are checked against the real ones, life by life, in tests/unit/benchmarks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from solera.plan.showing import ALLOWED
from solera.stats.interval_bets import AT_ONCE, MOST_BAD, MOST_DUE, ODDS_RATIOS, WEIGHTS

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

ODDS, MONEY = np.array(ODDS_RATIOS), np.array(WEIGHTS)
_MOST, _LEAST = 1e280, 1e-280
_ROUNDS = 30


@dataclass(frozen=True)
class Bets:
    """Wealth itself, not its logarithm: of shape (lives, alternatives) in ``running`` and ``singly``, of shape (lives,) in the rest."""

    running: Floats
    singly: Floats
    waiting: Floats
    due: Floats
    shown: Floats

    @classmethod
    def none(cls, lives: int) -> Bets:
        nothing = np.zeros((lives, len(ODDS)))
        return cls(nothing, nothing, np.ones(lives), np.zeros(lives), np.ones(lives))

    def of(self, lives: Ints | Bools) -> Bets:
        return Bets(*(part[lives] for part in vars(self).values()))

    def after(self, total: Floats, bad: Floats, limit: float, level: float) -> Bets:
        """With one more interval of ``bad`` among ``total`` events, each of shape (lives,)."""
        there, most = total > 0, np.exp(level)
        waiting = np.where(there, (1 - AT_ONCE) / (1 + np.log1p(self.due)), self.waiting)
        begins = (self.waiting - waiting)[:, None]
        none_bad = np.exp(-total[:, None] * np.log1p(limit * (ODDS - 1)))
        times = np.divide(bad, total * limit, out=np.ones_like(bad), where=there)[:, None]
        running = np.clip((self.running + begins) * (none_bad + (1 - none_bad) * times), 0, _MOST)
        begun = (self.singly + begins) * none_bad
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            powers = bad[:, None] * np.log(ODDS)
            singly = np.exp(np.minimum(np.log(begun) + powers, np.log(_MOST)))
        plain, before = singly @ MONEY + waiting, self.singly @ MONEY + self.waiting
        stays = self.shown >= most
        gain = np.ones(len(total))
        some = np.flatnonzero(there & ~stays & (total * limit <= MOST_DUE))
        if some.size:
            gain[some] = _given_away(
                begun[some], waiting[some], before[some], total[some], limit, most / self.shown[some]
            )
        grown = np.minimum(self.shown * gain * plain / before, most)
        lost = running @ MONEY + waiting <= 1
        shown = np.where(
            stays, np.where(lost & there, np.minimum(plain, most), self.shown), np.where(there, grown, self.shown)
        )
        return Bets(running, singly, waiting, self.due + total * limit, np.maximum(shown, _LEAST))

    def with_(self, lives: Ints, changed: Bets) -> Bets:
        """With those of some lives in the place of what they were."""
        parts = [part.copy() for part in vars(self).values()]
        for part, new in zip(parts, vars(changed).values(), strict=True):
            part[lives] = new
        return Bets(*parts)

    def broken(self, level: float) -> Bools:
        """Whether the share is shown to be above the limit, in bursts and singly (``solera.plan.showing``)."""
        together = np.log(self.running @ MONEY + self.waiting) >= level - ALLOWED
        return together & (self.shown >= np.exp(level))


def _given_away(begun: Floats, waiting: Floats, before: Floats, total: Floats, limit: float, room: Floats) -> Floats:
    """By how much every factor can grow: the root is approached from below, by the tangent of a function that is concave and made of straight pieces."""
    gain = np.ones(len(total))
    largest = np.einsum("la,la->l", begun * MONEY, ODDS ** np.minimum(total, MOST_BAD)[:, None]) + waiting
    reached = np.flatnonzero(largest >= room * before)
    if not reached.size:
        return gain
    begun, waiting, before, total, room = (part[reached] for part in (begun, waiting, before, total, room))
    bad = np.arange(int(min(MOST_BAD, total.max())) + 1)
    factors = ((begun * MONEY) @ (ODDS[:, None] ** bad) + waiting[:, None]) / before[:, None]
    chances = np.where(bad <= total[:, None], binom.pmf(bad, total[:, None], limit), 0.0)
    more = np.ones(len(total))
    for _ in range(_ROUNDS):
        under = more[:, None] * factors < room[:, None]
        mean, below = np.where(under, chances * factors, 0.0).sum(1), np.where(under, chances, 0.0).sum(1)
        with np.errstate(divide="ignore", invalid="ignore"):
            nearer = np.where(mean > 0, (1 - room * (1 - below)) / mean, more)
        if (nearer <= more * (1 + 1e-13)).all():
            break
        more = np.maximum(more, nearer)
    gain[reached] = more
    return gain
