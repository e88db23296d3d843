"""By how much do the scores of two versions differ on the same items? For one planned look, with clusters.

Source: Miller, "Adding error bars to evals" (arXiv 2411.00640); clusters: Liang and Zeger 1986. With dᵢ = new - old on item i, n items
in G clusters (documents, sessions, prompts asked several times) and d̄ the mean of all dᵢ,

    SE² = G/(G - 1) · Σ_c (Σ_{i in c} (dᵢ - d̄))² / n²

which for items that are clusters of their own is the usual variance of a mean. Pairing removes what is hard or easy in an item for both versions
alike; where their answers are negatively correlated it makes the error larger, so the gain is reported and not assumed.

The guarantee. The interval covers with probability about 1 - alpha at ONE look that was planned beforehand, and for many clusters, none of
which dominates (Student's t with G - 1 degrees of freedom is used, and still errs on the short side below about 30). Looking again and
again breaks it: use ``solera.stats.betting`` or ``solera.stats.confidence_sequences`` on the differences, one value per cluster.

Units: differences and errors in the scores' unit, shares in [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from solera.stats.arguments import ArgumentError, finite, open_interval, positive
from solera.stats.distributions import normal_quantile, student_quantile


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """Mean difference new - old over the same ``items``, and its standard error, robust against clusters.

    ``unpaired_error`` is what the standard error would be had each version answered items of its own (from the same clusters' sizes).
    """

    mean: float
    error: float
    items: int
    clusters: int
    unpaired_error: float

    @property
    def pairing_gain(self) -> float:
        """Part of the variance that pairing removed: 0.5 halves the items needed, negative means that it made things worse."""
        return 1 - (self.error / self.unpaired_error) ** 2 if self.unpaired_error else 0.0

    def interval(self, alpha: float, *, normal: bool = False) -> tuple[float, float]:
        """Two-sided confidence interval, for one planned look. ``normal`` uses the normal quantile instead of Student's t.

        Raises:
            ArgumentError: ``alpha`` is no probability.
        """
        half = self.error * self._quantile(alpha / 2, alpha, normal=normal)
        return self.mean - half, self.mean + half

    def lower_limit(self, alpha: float, *, normal: bool = False) -> float:
        """One-sided: new is not worse than old by more than the margin M when this is above -M.

        Raises:
            ArgumentError: ``alpha`` is no probability.
        """
        return self.mean - self.error * self._quantile(alpha, alpha, normal=normal)

    def _quantile(self, tail: float, alpha: float, *, normal: bool) -> float:
        open_interval("alpha", alpha)
        return -(normal_quantile(tail) if normal else student_quantile(tail, self.clusters - 1))


def paired_difference(
    old: Sequence[float], new: Sequence[float], clusters: Sequence[Hashable] | None = None
) -> PairedDifference:
    """The difference of the scores of the same items, ``old[i]`` and ``new[i]``; ``clusters[i]`` names what item i belongs to.

    Without ``clusters`` each item stands for itself.

    Raises:
        ArgumentError: sequences of different length, a score that is not finite, or fewer than two clusters.
    """
    if len(new) != len(old):
        raise ArgumentError(
            "new", len(new), f"as many scores as old, for the same items in the same order ({len(old)})"
        )
    groups: Sequence[Hashable] = range(len(old)) if clusters is None else clusters
    if len(groups) != len(old):
        raise ArgumentError("clusters", len(groups), f"one name for each item ({len(old)})")
    for place, (before, after) in enumerate(zip(old, new, strict=True)):
        finite(f"old[{place}]", before)
        finite(f"new[{place}]", after)
    differences = [after - before for before, after in zip(old, new, strict=True)]
    n, distinct = len(differences), len(set(groups))
    if distinct < 2:
        raise ArgumentError("clusters", distinct, "at least two: one alone does not say how much the difference varies")
    unpaired = _variance(old, groups, distinct) + _variance(new, groups, distinct)
    error = math.sqrt(_variance(differences, groups, distinct))
    return PairedDifference(math.fsum(differences) / n, error, n, distinct, math.sqrt(unpaired))


def items_needed(
    difference: float, *, variance: float, alpha: float = 0.05, power: float = 0.8, sampling_variance: float = 0.0
) -> int:
    """Items to find a true mean difference with probability ``power`` in a two-sided test at ``alpha`` (Miller, section 5).

    (z_{alpha/2} + z_{1-power})²·(variance + sampling_variance)/difference², rounded up. ``variance`` is that of the difference of the two
    versions' expected scores per item; ``sampling_variance`` what the versions' own randomness adds, σ²/K for K answers each, both summed.

    Raises:
        ArgumentError: a difference or variance that is not positive, or an ``alpha`` or ``power`` that is no probability.
    """
    finite("difference", difference)
    positive("difference", abs(difference))
    positive("variance", variance + sampling_variance)
    open_interval("alpha", alpha)
    open_interval("power", power)
    z = normal_quantile(1 - alpha / 2) + normal_quantile(power)
    return max(2, math.ceil(z * z * (variance + sampling_variance) / (difference * difference)))


def _variance(values: Sequence[float], groups: Sequence[Hashable], distinct: int) -> float:
    """Variance of the mean, with clusters."""
    n = len(values)
    mean = math.fsum(values) / n
    sums: dict[Hashable, float] = {}
    for value, group in zip(values, groups, strict=True):
        sums[group] = sums.get(group, 0.0) + (value - mean)
    return distinct / (distinct - 1) * math.fsum(total * total for total in sums.values()) / n / n
