"""The interval of the Wilcoxon rank-sum test for a shift, for many pairs of samples at once, and by root search for one.

The limits are where z(d) = (W(d) - sign(W(d))/2) / sigma(d) crosses the normal quantile (and its negative), with W(d) the rank sum of the
experiment moved by -d, less its mean under no shift, and sigma(d) with the correction for ties; the estimate is where it crosses 0, without
the half. W(d) is also the number of differences x - y above d, plus half of those equal to d, less n·m/2 (Mann and Whitney). So between two
neighbouring differences z is constant and falls from one to the next: what a root search closes in on is always a difference, known from its
rank: with k = ceil(n·m/2 + 1/2 + quantile · sigma) the k-th largest and the k-th smallest, and the median. A crossing that does not exist
(few points, k > n·m) is the end of the bracket [min x - max y, max x - min y], so the lowest or the highest difference.

At d between differences only ties within an arm count, and that is where a crossing is found, also on coarse data. A root search ends within
its tolerance of it, on either side; where the crossing is 0 itself, because many points of both arms are equal (error rates of 0), the sign
of the limit that it returns is chance. Here such a limit is 0. `by_root_search` is there to show that both agree.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from benchmarks.judges.lives import Floats, Ints
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import ndtri

CONFIDENCE = 0.98
_AT_ONCE = 2_000_000  # differences held in memory at a time
_FEW = 12  # ranks that are found faster by partition than by a sort


@dataclass(frozen=True, slots=True)
class Shift:
    """By how much the experiment is above the control: limits and estimate, arrays of shape (lives,), NaN without data in either arm."""

    lower: Floats
    upper: Floats
    estimate: Floats


def tie_terms(rows: Floats) -> Ints:
    """Sum of t³ - t over the groups of t equal values in each row; NaN is equal to nothing."""
    lives, points = rows.shape
    if not points:
        return np.zeros(lives, dtype=np.int64)
    ordered = np.sort(rows, axis=1)
    begins = np.ones(rows.shape, dtype=bool)
    begins[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    starts = np.flatnonzero(begins)
    group = np.diff(np.append(starts, rows.size))
    return np.bincount(starts // points, weights=group**3 - group, minlength=lives).astype(np.int64)


def shift_intervals(control: ArrayLike, experiment: ArrayLike, confidence: float = CONFIDENCE) -> Shift:
    """Two-sided, by rank of the differences. ``control`` (lives, m) and ``experiment`` (lives, n); NaN is a missing point."""
    y, x = np.asarray(control, dtype=float), np.asarray(experiment, dtype=float)
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y):
        raise ValueError(f"control and experiment are (lives, points) of as many lives, not {y.shape} and {x.shape}")
    lives, size = len(x), x.shape[1] * y.shape[1]
    lower, upper, estimate = np.full((3, lives), np.nan)
    n, m = (~np.isnan(x)).sum(axis=1), (~np.isnan(y)).sum(axis=1)
    pairs, both = n * m, n + m
    some = pairs > 0
    ties = tie_terms(x) + tie_terms(y)
    with np.errstate(invalid="ignore", divide="ignore"):
        sigma = np.sqrt(pairs / 12 * (both + 1 - ties / (both * (both - 1))))
    rank = np.ones(lives, dtype=np.int64)
    rank[some] = np.ceil(pairs[some] / 2 + 0.5 + ndtri((1 + confidence) / 2) * sigma[some])
    rank = np.minimum(rank, pairs)
    wanted = np.stack([pairs - rank, rank - 1, (pairs - 1) // 2, pairs // 2], axis=1)

    for part in np.array_split(np.flatnonzero(some), max(1, -(-lives * size // _AT_ONCE))):
        if not part.size:
            continue
        # NaN sorts behind all numbers, so ranks count the pairs that there are.
        differences = (x[part, :, None] - y[part, None, :]).reshape(len(part), size)
        ranks = np.unique(wanted[part])
        if len(ranks) <= _FEW:
            differences.partition(ranks, axis=1)
        else:
            differences.sort(axis=1)
        found = np.take_along_axis(differences, wanted[part], axis=1)
        lower[part], upper[part] = found[:, 0], found[:, 1]
        estimate[part] = (found[:, 2] + found[:, 3]) / 2
    return Shift(lower, upper, estimate)


def superiority(control: ArrayLike, experiment: ArrayLike) -> Floats:
    """Chance that a point of the experiment is above one of the control, ties by half (common language effect size), per life."""
    y, x = np.asarray(control, dtype=float), np.asarray(experiment, dtype=float)
    above = np.array(
        [(one[:, None] > other).sum() + (one[:, None] == other).sum() / 2 for one, other in zip(x, y, strict=True)]
    )
    pairs = (~np.isnan(x)).sum(axis=1) * (~np.isnan(y)).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(above / pairs)


def _z(control: Floats, experiment: Floats, shift: float, *, half: float) -> float:
    n, m = len(experiment), len(control)
    moved = np.concatenate([experiment - shift, control])
    ordered = np.sort(moved)
    middle = (ordered.searchsorted(moved, "left") + ordered.searchsorted(moved, "right") + 1) / 2
    above = middle[:n].sum() - n * (n + 1) / 2 - n * m / 2
    ties = tie_terms(moved[None])[0]
    variance = n * m / 12 * (n + m + 1 - ties / ((n + m) * (n + m - 1)))
    return float((above - half * np.sign(above)) / np.sqrt(variance)) if variance > 0 else 0.0


def by_root_search(
    control: ArrayLike, experiment: ArrayLike, confidence: float = CONFIDENCE, tolerance: float = 1e-6
) -> tuple[float, float, float]:
    """Lower limit, upper limit and estimate of one pair of samples, by Brent's method on z as it stands above.

    The limits are those of ``shift_intervals`` but for ``tolerance``; the estimate may lie anywhere between the middle two differences.
    """
    y, x = np.asarray(control, dtype=float), np.asarray(experiment, dtype=float)
    ends = float(x.min() - y.max()), float(x.max() - y.min())
    quantile = float(ndtri((1 + confidence) / 2))

    def root(level: float, half: float) -> float:
        def above_level(shift: float) -> float:
            return _z(y, x, shift, half=half) - level

        if above_level(ends[0]) <= 0:
            return ends[0]
        if above_level(ends[1]) >= 0:
            return ends[1]
        return float(brentq(above_level, *ends, xtol=tolerance))

    return root(quantile, 0.5), root(-quantile, 0.5), root(0.0, 0.0)
