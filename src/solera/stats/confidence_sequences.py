"""Intervals for a mean that hold at every look, from running sums alone.

Two of them, after the same kind of question "where is the mean?":

``EmpiricalBernstein`` for scores on a bounded scale. Source: Waudby-Smith and Ramdas, "Estimating means of bounded random variables by
betting" (JRSSB 2024), theorem 2. With x in [0, 1], μ̂ and λ as in ``solera.stats.predictable`` (level 2/alpha), λ truncated at a half,

    Σλᵢxᵢ/Σλᵢ  ±  (ln(2/alpha) + Σ (xᵢ - μ̂ᵢ₋₁)²·(-ln(1 - λᵢ) - λᵢ)) / Σλᵢ

It covers at all times at once with probability 1 - alpha, for any distribution on the scale and however few the scores; if the mean given
the past moves, it covers the mean of these means, weighted with the λᵢ. ``solera.stats.betting`` is tighter and needs all scores.

``Moments`` with ``asymptotic_interval`` for values without bounds (latencies, paired differences). Source: Waudby-Smith, Arbour, Sinha,
Kennedy, Ramdas, "Time-uniform central limit theory and asymptotic confidence sequences" (Annals of Statistics 2024). The error tends to alpha as
the first look moves out: use it from about 100 values on, later when they are very skewed. It is no guarantee for few values and none for
values without a variance.

Neither holds for values that share their luck within clusters: take one value per cluster.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from solera.stats.arguments import ArgumentError, closed_interval, count, finite, open_interval, positive, scale
from solera.stats.predictable import TRUNCATION, Predictable
from solera.stats.sequential import asymptotic_half_width, normal_mixture_bound


@dataclass(frozen=True, slots=True)
class EmpiricalBernstein:
    """Confidence sequence for the mean of scores in [``low``, ``high``]; a few numbers that can be stored and go on.

    ``stakes`` = Σλᵢ, ``staked`` = Σλᵢxᵢ, ``penalty`` = Σ(xᵢ - μ̂ᵢ₋₁)²(-ln(1 - λᵢ) - λᵢ), all on the scale [0, 1].

    Raises:
        ArgumentError: an empty scale or an ``alpha`` that is no probability.
    """

    alpha: float
    low: float = 0.0
    high: float = 1.0
    seen: Predictable = field(default_factory=Predictable)
    stakes: float = 0.0
    staked: float = 0.0
    penalty: float = 0.0

    def __post_init__(self) -> None:
        open_interval("alpha", self.alpha)
        scale(self.low, self.high)

    def add(self, score: float) -> EmpiricalBernstein:
        """The sequence with one more score.

        Raises:
            ArgumentError: the score lies outside the scale.
        """
        closed_interval("score", score, self.low, self.high)
        x = (score - self.low) / (self.high - self.low)
        stake = min(self.seen.stake(math.log(2 / self.alpha)), TRUNCATION)
        return replace(
            self,
            seen=self.seen.add(x),
            stakes=self.stakes + stake,
            staked=self.staked + stake * x,
            penalty=self.penalty + (x - self.seen.mean) ** 2 * (-math.log1p(-stake) - stake),
        )

    def interval(self) -> tuple[float, float]:
        """Lower and upper limit, in the unit of the scale; the whole scale while there is no score."""
        if not self.seen.n:
            return self.low, self.high
        centre = self.staked / self.stakes
        half = (math.log(2 / self.alpha) + self.penalty) / self.stakes
        width = self.high - self.low
        return self.low + width * max(0.0, centre - half), self.low + width * min(1.0, centre + half)


@dataclass(frozen=True, slots=True)
class Moments:
    """Number, mean and ``squares`` = Σ(xᵢ - mean)² of values in any unit. Source: Welford 1962; merging: Chan, Golub, LeVeque 1983.

    Raises:
        ArgumentError: a negative number of values or sum of squares, or what is not finite.
    """

    n: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def __post_init__(self) -> None:
        count("n", self.n)
        finite("mean", self.mean)
        if not 0 <= self.squares < math.inf:
            raise ArgumentError("squares", self.squares, "a finite sum of squares, at least 0")

    def add(self, value: float) -> Moments:
        """With one more value.

        Raises:
            ArgumentError: the value is not finite.
        """
        finite("value", value)
        return self.merge(Moments(1, value))

    def merge(self, other: Moments) -> Moments:
        """With all values of ``other``, the same as if they had been added one by one."""
        n = self.n + other.n
        if not n:
            return self
        apart = other.mean - self.mean
        mean = self.mean + apart * (other.n / n)
        return Moments(n, mean, self.squares + other.squares + apart * apart * (self.n * (other.n / n)))

    @property
    def deviation(self) -> float:
        """Standard deviation √(squares/(n - 1)), in the values' unit.

        Raises:
            ArgumentError: there are fewer than two values.
        """
        count("n", self.n, 2)
        return math.sqrt(self.squares / (self.n - 1))


def asymptotic_interval(values: Moments, alpha: float, *, n_opt: float) -> tuple[float, float]:
    """Two-sided asymptotic confidence sequence for the mean, in the values' unit; tightest after ``n_opt`` values.

    Raises:
        ArgumentError: fewer than two values, an ``alpha`` that is no probability, or an ``n_opt`` that is not positive.
    """
    open_interval("alpha", alpha)
    positive("n_opt", n_opt)
    half = asymptotic_half_width(values.deviation, values.n, alpha, n_opt=n_opt)
    return values.mean - half, values.mean + half


def asymptotic_lower_limit(values: Moments, alpha: float, *, n_opt: float) -> float:
    """One-sided: what the mean exceeds at all looks with probability 1 - ``alpha`` in the limit. For an upper one mirror the values.

    mean - deviation·u(n)/n with u the one-sided normal mixture bound (Howard et al. 2021) of a sum of n values of variance 1.

    Raises:
        ArgumentError: fewer than two values, an ``alpha`` that is not below a half, or an ``n_opt`` that is not positive.
    """
    open_interval("alpha", alpha, 0, 0.5)
    positive("n_opt", n_opt)
    bound = normal_mixture_bound(values.n, alpha, v_opt=n_opt, alpha_opt=alpha)
    return values.mean - values.deviation * bound / values.n
