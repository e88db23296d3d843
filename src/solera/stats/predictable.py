"""What a sequence of bounded scores lets one guess about the next: the stake of a bet must not know what it bets on.

Source: Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting" (JRSSB 2024), section 3. With scores
xᵢ in [0, 1] and the guesses before the first one being a half and a quarter,

    μ̂_t = (1/2 + Σ xᵢ)/(t + 1)      V_t = (1/4 + Σ (xᵢ - μ̂ᵢ)²)/(t + 1)      λ_t = √(2 L / (V_{t-1} · t · ln(t + 1)))

L = log of the level that the wealth is to reach. The stakes only decide how quickly evidence grows, never whether it is valid.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from solera.stats.arguments import ArgumentError, closed_interval, count

TRUNCATION = 0.5
"""The largest part of the wealth that one observation may take away: half."""


@dataclass(frozen=True, slots=True)
class Predictable:
    """Mean and variance of the scores so far, in [0, 1], as a bet on the next score may use them; three numbers to store.

    ``n`` scores, their sum ``total``, and ``squares`` = Σ (xᵢ - μ̂ᵢ)².

    Raises:
        ArgumentError: a number that no scores in [0, 1] lead to.
    """

    n: int = 0
    total: float = 0.0
    squares: float = 0.0

    def __post_init__(self) -> None:
        count("n", self.n)
        # Sums of many floats may end a little outside of what their terms allow.
        if not -1e-6 <= self.total <= self.n * (1 + 1e-9) + 1e-6:
            raise ArgumentError("total", self.total, f"between 0 and n ({self.n})")
        closed_interval("squares", self.squares, 0, self.n)

    @property
    def mean(self) -> float:
        """μ̂_n, between 0 and 1; a half before the first score."""
        return (0.5 + self.total) / (self.n + 1)

    @property
    def variance(self) -> float:
        """V_n, above 0; a quarter before the first score."""
        return (0.25 + self.squares) / (self.n + 1)

    def stake(self, log_level: float) -> float:
        """λ for the next score, not yet truncated. ``log_level`` = ln(1/alpha), or ln(2/alpha) where two sides share the risk."""
        following = self.n + 1
        return math.sqrt(2 * log_level / (self.variance * following * math.log1p(following)))

    def add(self, score: float) -> Predictable:
        """The state with one more score in [0, 1]."""
        total = self.total + score
        error = score - (0.5 + total) / (self.n + 2)
        return Predictable(self.n + 1, total, self.squares + error * error)
