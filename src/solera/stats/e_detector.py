"""Has the mean of bounded scores fallen below what was promised? An alarm whose false ones are rare for every law of the scores.

Source: Shin, Ramdas, Rinaldo, "E-detectors: a nonparametric framework for sequential change detection" (New England Journal of Statistics in Data
Science 2024), Shiryaev-Roberts type, with the bets of Waudby-Smith and Ramdas (JRSSB 2024) as increments. For scores in [0, 1] and the promised mean m,

    M_t(λ) = (M_{t-1}(λ) + 1)·(1 + λ·(m - x_t))        M_0 = 0        M_t = mean of M_t(λ) over the stakes λ = f/(1 - m)

with the parts f in ``PARTS``: a small f finds small falls, a large one large falls soon.

The guarantee. While at every score its mean, given all that went before, is at least m, E[M_τ] <= E[τ] for every stopping time τ; so the alarm at
M_t >= 1/alpha comes after 1/alpha scores or more ON AVERAGE (ARL >= 1/alpha), whatever the distribution and however the scores depend on
each other. No baseline needs to be estimated: m is a promise. It is a bound on the average, not on the chance of an early alarm, and close
to what happens: for 100 promised, between 105 and 145 in simulations. It does not hold for scores outside the scale.

Feed every item's score rather than means of runs, and a fall is found sooner. To watch for a rise feed low + high - score.

Units: scores and mean in the unit of the scale [``low``, ``high``]; run lengths in scores; logarithms are natural.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from solera.stats.arguments import ArgumentError, closed_interval, open_interval, scale

PARTS = (0.9, 0.5, 0.25, 0.125, 0.0625, 0.03125)
"""The parts of the wealth that a bet loses to a perfect score."""


@dataclass(frozen=True, slots=True)
class EDetector:
    """The detector of a fall below ``mean``; ``logs`` holds its state ln M_t(λ), six numbers that can be stored and go on.

    The promise is at least 1/``alpha`` scores between false alarms on average. It does not reset itself: begin anew once the alarm has been dealt with.

    Raises:
        ArgumentError: an empty scale, a mean at or beyond its ends, an ``alpha`` that is no probability, or a state of another kind.
    """

    mean: float
    alpha: float
    low: float = 0.0
    high: float = 1.0
    logs: tuple[float, ...] = (-math.inf,) * len(PARTS)

    def __post_init__(self) -> None:
        scale(self.low, self.high)
        open_interval("mean", self.mean, self.low, self.high)
        open_interval("alpha", self.alpha)
        if len(self.logs) != len(PARTS) or not all(value < math.inf for value in self.logs):
            raise ArgumentError("logs", self.logs, f"{len(PARTS)} logarithms, as another EDetector held them")

    def add(self, score: float) -> EDetector:
        """The detector with one more score.

        Raises:
            ArgumentError: the score lies outside the scale.
        """
        closed_interval("score", score, self.low, self.high)
        # part·(m - x)/(1 - m) on the scale [0, 1]: a perfect score takes the part away.
        gain = (self.mean - score) / (self.high - self.mean)
        logs = tuple(
            _log1p_exp(log) + math.log1p(max(part * gain, -part)) for part, log in zip(PARTS, self.logs, strict=True)
        )
        return replace(self, logs=logs)

    @property
    def log_evidence(self) -> float:
        """Natural logarithm of M_t: the alarm comes at ln(1/alpha)."""
        top = max(self.logs)
        if top == -math.inf:
            return top
        return top + math.log(math.fsum(math.exp(log - top) for log in self.logs) / len(self.logs))

    @property
    def alarm(self) -> bool:
        """Whether the mean is shown to have fallen below what was promised."""
        return self.log_evidence >= -math.log(self.alpha)


def _log1p_exp(log: float) -> float:
    """ln(1 + eˣ) without overflow."""
    return log + math.log1p(math.exp(-log)) if log > 0 else math.log1p(math.exp(log))
