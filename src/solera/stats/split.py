"""Is the traffic split what the route says? Counts of requests per arm against the shares they should have, at every look.

Source: Lindon and Malek, "Anytime-valid inference for multinomial count data" (NeurIPS 2022). With s_j the shares that should be, n_j the requests seen,
n their sum, and as alternative a Dirichlet(k·s_1, …, k·s_a) distribution of the shares around them, the e-value is the Bayes factor

    B(k·s + n)/B(k·s) · ∏ s_j^(-n_j)        B(v) = ∏ Γ(v_j)/Γ(Σ v_j)

When the weights change, a new factor begins and is multiplied with the old ones. ``log_e_off`` allows a tolerance, for a candidate's share alone: the mean of
the two one-sided e-values of ``solera.stats.share`` at both ends of what is allowed.

The guarantee. If each request goes to arm j with chance s_j whatever came before (for ``log_e_off``: to the candidate with a chance that stays
within the tolerance, whatever came before), the e-value ever reaches 1/alpha with probability at most alpha. A gateway that deals requests out in
turn splits more evenly than chance, which only makes false alarms rarer. Sessions that stick to an arm are not independent: count sessions. With many
requests an exact split test finds differences that do not matter (a billion tell 5 % from 5.01 %); hence the tolerance.

Units: counts of requests, shares in (0, 1), natural logarithms.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from solera.stats.arguments import ArgumentError, count, open_interval, positive
from solera.stats.failure_share import log_mean
from solera.stats.share import log_wealth_above, log_wealth_below, prior_weight

CONCENTRATION = 100.0
"""k: how many requests the alternative's shares are worth. Larger finds small differences, smaller finds large ones sooner."""

_DUE = 5.0
"""The tests against the ends of the tolerance are sharpest once so many requests are due at the end."""


@dataclass(frozen=True, slots=True)
class Split:
    """The evidence against the declared ``shares`` (one per arm, together 1) so far; can be stored and go on.

    ``counts`` are the requests of the arms since these shares hold, ``closed`` the log e-value of all that was before.

    Raises:
        ArgumentError: fewer than two arms, shares that are not between 0 and 1 or not 1 together, or counts that do not fit.
    """

    shares: tuple[float, ...]
    counts: tuple[int, ...] = ()
    concentration: float = CONCENTRATION
    closed: float = 0.0

    def __post_init__(self) -> None:
        positive("concentration", self.concentration)
        if len(self.shares) < 2:
            raise ArgumentError(
                "shares", self.shares, "one share per arm, for two arms or more; leave out arms of weight 0"
            )
        for place, share in enumerate(self.shares):
            open_interval(f"shares[{place}]", share)
        if abs(math.fsum(self.shares) - 1) > 1e-9:
            raise ArgumentError("shares", self.shares, "1 together: divide each weight by their sum")
        if self.counts:
            self._fits(self.counts)

    def add(self, counts: Sequence[int], shares: Sequence[float] | None = None) -> Split:
        """With the requests of one more interval; ``shares`` if other ones held in it.

        Raises:
            ArgumentError: not one count per arm, or as for the class.
        """
        if shares is not None and tuple(shares) != self.shares:
            return Split(tuple(shares), (), self.concentration, self.log_e).add(counts)
        self._fits(counts)
        before = self.counts or (0,) * len(self.shares)
        total = tuple(old + new for old, new in zip(before, counts, strict=True))
        return Split(self.shares, total, self.concentration, self.closed)

    @property
    def log_e(self) -> float:
        """Log e-value of "the split is not the declared one"; crosses ln(1/alpha) with chance <= alpha if it always was."""
        n = sum(self.counts)
        if not n:
            return self.closed
        k = self.concentration
        pairs = zip(self.shares, self.counts, strict=True)
        arms = math.fsum(_log_rising(k * share, seen) - seen * math.log(share) for share, seen in pairs)
        return self.closed + arms - _log_rising(k, n)

    def _fits(self, counts: Sequence[int]) -> None:
        if len(counts) != len(self.shares):
            raise ArgumentError("counts", tuple(counts), f"one count per arm ({len(self.shares)})")
        for place, seen in enumerate(counts):
            count(f"counts[{place}]", seen)


def log_e_off(candidate: int, total: int, share: float, tolerance: float) -> float:
    """Log e-value of "the candidate's share of requests is further than ``tolerance`` from ``share``", from counts so far.

    ln ½(wealth above at share + tolerance, plus wealth below at share - tolerance); a side that lies beyond 0 or 1 is left out. If the chance stays within
    the tolerance at every request, whatever came before, it crosses ln(1/alpha) with probability at most alpha.

    Raises:
        ArgumentError: counts that are not whole or not 0 <= candidate <= total, a share outside (0, 1), or a tolerance that is negative or allows
            everything.
    """
    count("candidate", candidate)
    count("total", total, candidate)
    open_interval("share", share)
    high, low = share + tolerance, share - tolerance
    if not tolerance >= 0 or (high >= 1 and low <= 0):
        raise ArgumentError("tolerance", tolerance, "at least 0, and small enough that some shares are outside of it")
    sides = []
    if high < 1:
        sides.append(log_wealth_above(candidate, total, high, prior_weight(high, _DUE)))
    if low > 0:
        sides.append(log_wealth_below(candidate, total, low, prior_weight(low, _DUE)))
    return log_mean(sides)


def _log_rising(start: float, steps: int) -> float:
    """Natural logarithm of Γ(start + steps)/Γ(start)."""
    return math.lgamma(start + steps) - math.lgamma(start)
