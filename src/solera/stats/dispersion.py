"""Do bad events come one by one or in bursts? How many of them count for one, from counts per interval.

Source: the quasi-likelihood of McCullagh and Nelder, "Generalized Linear Models" (1989), chapter 4.5, with the dispersion taken from pairs of bad events in one interval. With x_i bad
events among n_i in interval i, X and N their sums and r = Σ n_i²/N², independent events make X(X - 1)·r ordered pairs within intervals, and bursts of b events X·(b - 1)·(1 - r) more: their own pairs instead of those that chance would make of the same events. So

    size = 1 + (max(Σ x_i(x_i - 1) - X(X - 1)·r - X·√r, 0) + m·(b₀ - 1)) / (X·(1 - r) + m)

where X·√r is 0.7 standard deviations of the pairs that chance makes, and b₀ the size that bursts are taken to have while none was seen, worth m bad events. A single interval (r = 1) tells nothing: all that failed in it may have failed together.

What it is for. If bad events come as a Poisson process of bursts of at most b events each, a test of the share that is made for independent events keeps its risk when it is asked about X/b
bad of N/b events: with θ >= 0, E exp(-θX) <= exp(-(Np/b)(1 - exp(-θb))) for bursts of every law on 1 … b, since (1 - exp(-θs))/s falls in s. With an estimated b, and for shares that are not small, that holds approximately. Before the
first burst nothing tells it from none: a Pass after n events lets a share p that is made of bursts of b pass with a chance near exp(-n·p/b), whatever the method.

Units: counts of events per interval; the size is in events.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from solera.stats.arguments import count, positive

ASSUMED_SIZE = 7.0
"""b₀: about what one pod of a serving engine loses at once."""

ASSUMED_WORTH = 0.5
"""m: the bad events that b₀ is worth; small, so that a few single ones tell that there are no bursts."""


@dataclass(frozen=True, slots=True)
class Spread:
    """How bad events are spread over intervals so far: X, N, Σ x(x - 1) and Σ n², as counts."""

    bad: int = 0
    total: int = 0
    pairs: int = 0
    squares: int = 0

    def add(self, bad: int, total: int) -> Spread:
        """The spread with one more interval of ``bad`` among ``total`` events.

        Raises:
            ArgumentError: counts that are not whole, negative, or more bad than total.
        """
        count("bad", bad)
        count("total", total, bad)
        return Spread(self.bad + bad, self.total + total, self.pairs + bad * (bad - 1), self.squares + total * total)

    @property
    def burst_size(self) -> float:
        """How many bad events count for one, at least 1. No more than there are events in an interval, on average, are ever assumed."""
        return self.burst_size_after(1.0)

    def burst_size_after(self, times: float) -> float:
        """What ``burst_size`` would be with ``times`` as many intervals like those so far: what is only assumed weighs less then.

        Raises:
            ArgumentError: ``times`` is not positive and finite.
        """
        positive("times", times)
        if not self.total:
            return 1.0
        bad, within = self.bad * times, self.squares / self.total**2 / times
        by_chance = max(bad * (bad - 1), 0.0) * within + bad * math.sqrt(within)
        assumed = min(ASSUMED_SIZE, max(self.squares / self.total, 1.0))
        more = max(self.pairs * times - by_chance, 0.0) + ASSUMED_WORTH * (assumed - 1)
        return 1 + more / (bad * max(1 - within, 0.0) + ASSUMED_WORTH)
