"""Is the mean of bounded scores above or below a limit, and where does it lie? Bets whose wealth is the evidence.

Source: Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting" (JRSSB 2024), theorem 3 (hedged capital).
For scores xᵢ in [0, 1] and a mean m, with stakes λᵢ that know only x₁ … xᵢ₋₁ (``solera.stats.predictable``),

    wealth above K⁺(m) = ∏ (1 + min(λᵢ, c/m)·(xᵢ - m))              evidence against "the mean is at most m"
    wealth below K⁻(m) = ∏ (1 - min(λᵢ, c/(1 - m))·(xᵢ - m))        evidence against "the mean is at least m"

c = 1/2: no score takes more than half of the wealth. The confidence sequence is the m with max(K⁺(m), K⁻(m)) < 2/alpha; K⁺ falls and K⁻
rises with m, so it is an interval.

The guarantee. If at every score its mean, given all that went before, is at most m, then K⁺(m) ever reaches 1/alpha with probability at
most alpha, however often and whenever one looks, whatever the distribution, however few scores. Likewise K⁻. The interval covers at all times
at once with probability 1 - alpha when the mean given the past is the same each time. It does not hold for scores outside the declared
scale, nor for scores that come in clusters whose members share their luck (several answers to one prompt): bet on the cluster's mean.

Units: scores, limits and intervals in the unit of the scale [``low``, ``high``], evidence in natural logarithms.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from solera.stats.arguments import closed_interval, open_interval, scale
from solera.stats.predictable import TRUNCATION, Predictable

_ROUNDS = 40


@dataclass(frozen=True, slots=True)
class Capital:
    """All evidence about the mean of scores in [``low``, ``high``] against one ``limit``, in a few numbers that can be stored and go on.

    ``log_above`` and ``log_below`` are the log wealths of the two one-sided bets. ``alpha`` tunes the stakes to a level; the guarantee
    holds for every level. For paired differences of shares: low = -1, high = 1, and a limit of -margin asks for non-inferiority.

    Raises:
        ArgumentError: an empty scale, a limit at or beyond its ends, or an ``alpha`` that is no probability.
    """

    limit: float
    low: float = 0.0
    high: float = 1.0
    alpha: float = 0.05
    seen: Predictable = field(default_factory=Predictable)
    log_above: float = 0.0
    log_below: float = 0.0

    def __post_init__(self) -> None:
        scale(self.low, self.high)
        open_interval("limit", self.limit, self.low, self.high)
        open_interval("alpha", self.alpha)

    def add(self, score: float) -> Capital:
        """The evidence with one more score.

        Raises:
            ArgumentError: the score lies outside the scale.
        """
        closed_interval("score", score, self.low, self.high)
        width = self.high - self.low
        x, m = (score - self.low) / width, (self.limit - self.low) / width
        stake = self.seen.stake(-math.log(self.alpha))
        return replace(
            self,
            seen=self.seen.add(x),
            log_above=self.log_above + math.log1p(min(stake, TRUNCATION / m) * (x - m)),
            log_below=self.log_below + math.log1p(min(stake, TRUNCATION / (1 - m)) * (m - x)),
        )


def betting_interval(
    scores: Sequence[float], alpha: float, *, low: float = 0.0, high: float = 1.0
) -> tuple[float, float]:
    """Two-sided confidence sequence for the mean after all of ``scores``; the whole scale while there are none.

    Needs all scores, in the order in which they came: some 80 passes over them. Errs on the wide side by at most 1e-11 of the scale.

    Raises:
        ArgumentError: a score outside [``low``, ``high``], an empty scale, or an ``alpha`` that is no probability.
    """
    open_interval("alpha", alpha)
    scale(low, high)
    level = math.log(2 / alpha)
    seen, bets = Predictable(), []
    for place, score in enumerate(scores):
        closed_interval(f"scores[{place}]", score, low, high)
        x = (score - low) / (high - low)
        bets.append((x, seen.stake(level)))
        seen = seen.add(x)
    mirrored = [(1 - x, stake) for x, stake in bets]
    return low + (high - low) * _lower(bets, level), high - (high - low) * _lower(mirrored, level)


def _lower(bets: Sequence[tuple[float, float]], level: float) -> float:
    """The largest mean in [0, 1] that K⁺ excludes, from below; 0 when it excludes none."""
    if _log_capital(bets, 0.0) < level:
        return 0.0
    excluded, kept = 0.0, 1.0
    for _ in range(_ROUNDS):
        middle = (excluded + kept) / 2
        if _log_capital(bets, middle) >= level:
            excluded = middle
        else:
            kept = middle
    return excluded


def _log_capital(bets: Sequence[tuple[float, float]], m: float) -> float:
    most = TRUNCATION / m if m > 0 else math.inf
    return math.fsum(math.log1p(min(stake, most) * (x - m)) for x, stake in bets)
