"""How many values does a control chart run on average until its alarm (ARL)? For independent normal values, known baseline.

With L(u) the average run length from state u and φ, Φ the standard normal density and distribution, a shift of μ standard deviations:

    one-sided CUSUM    L(u) = 1 + L(0)·Φ(k - u - μ) + ∫_0^h L(y)·φ(y + k - u - μ) dy
    two-sided EWMA     L(u) = 1 + 1/λ · ∫_-c^c L(y)·φ((y - (1 - λ)u)/λ - μ) dy        c = L·√(λ/(2 - λ))

(Page 1954; Crowder 1987), solved at Gauss-Legendre nodes (Nyström). The two sides of a CUSUM combine as in Lucas and Crosier 1982. The nodes are as
many as give six digits or more; fewer remain as the run length nears 1e11, beyond which it is refused.

Units: k, h, shift and states in standard deviations; run lengths in values.
"""

from __future__ import annotations

import math
from functools import lru_cache

from solera.stats.arguments import ArgumentError, closed_interval, finite, positive
from solera.stats.distributions import normal_density, normal_tail

_WIDEST = 60.0
_LONGEST = 1e11


def cusum_run_length(k: float, h: float, shift: float = 0.0, *, two_sided: bool = True, start: float = 0.0) -> float:
    """Values until a CUSUM's alarm, on average, from both states at ``start`` (h/2 for the usual head start).

    One-sided is the side that ``shift`` > 0 drives to its alarm.

    Raises:
        ArgumentError: k or h is not positive and finite, or so large that the chart runs longer than 1e11, or ``start`` not in [0, h].
    """
    positive("k", k)
    positive("h", h)
    finite("shift", shift)
    closed_interval("start", start, 0, h)
    if h > _WIDEST:
        raise ArgumentError("h", h, "at most 60 standard deviations")
    sides = [_cusum(k, h, shift, start)]
    if two_sided:
        sides.append(_cusum(k, h, -shift, start))
    sides.sort()
    if sides[0][0] == math.inf:
        raise ArgumentError("h", h, "smaller: the chart runs longer than 1e11 values, more than can be computed")
    (zero, head), (other_zero, other_head) = sides[0], sides[-1]
    if not two_sided or other_zero == math.inf:
        return head
    # zero·other/(zero + other) from 0; the shorter one first, so that no small difference is taken of large numbers
    part = zero / (zero + other_zero)
    return head * (1 - part) + (other_head - other_zero) * part


def ewma_run_length(smoothing: float, limit: float, shift: float = 0.0) -> float:
    """Values until the alarm of a two-sided EWMA with fixed limits, on average, starting at the baseline.

    Raises:
        ArgumentError: ``smoothing`` outside [0.005, 1], ``limit`` not positive or so large that the chart runs longer than 1e11 values, or a
            shift that is not finite.
    """
    closed_interval("smoothing", smoothing, 0.005, 1)
    positive("limit", limit)
    finite("shift", shift)
    edge = limit * math.sqrt(smoothing / (2 - smoothing))
    if 2 * edge / smoothing > _WIDEST:
        raise ArgumentError(
            "limit", limit, f"smaller: at most {limit * smoothing * _WIDEST / (2 * edge):.1f} with this smoothing"
        )
    nodes, weights = _nodes(-edge, edge, 2 * edge / smoothing)

    def pull(y: float, u: float) -> float:
        return normal_density((y - (1 - smoothing) * u) / smoothing - shift) / smoothing

    lengths = _solve(
        [
            [float(i == j) - w * pull(y, u) for j, (y, w) in enumerate(zip(nodes, weights, strict=True))]
            for i, u in enumerate(nodes)
        ]
    )
    found = 1 + math.fsum(w * pull(y, 0.0) * length for y, w, length in zip(nodes, weights, lengths, strict=True))
    if not 1 <= found < _LONGEST:
        raise ArgumentError(
            "limit", limit, "smaller: the chart runs longer than 1e11 values, more than can be computed"
        )
    return found


@lru_cache(maxsize=256)
def _cusum(k: float, h: float, shift: float, start: float) -> tuple[float, float]:
    """Run length of one side from 0 and from ``start``. The state 0 is a node of its own, with an atom instead of a density."""
    nodes, weights = _nodes(0.0, h, h)

    def row(u: float) -> list[float]:
        stays = [normal_tail(u + shift - k)]
        return stays + [w * normal_density(y + k - u - shift) for y, w in zip(nodes, weights, strict=True)]

    rows = [row(u) for u in (0.0, *nodes)]
    lengths = _solve([[float(i == j) - value for j, value in enumerate(values)] for i, values in enumerate(rows)])
    if not 1 <= lengths[0] < _LONGEST:  # the equations are then as good as singular
        return math.inf, math.inf
    return lengths[0], 1 + math.fsum(value * length for value, length in zip(row(start), lengths, strict=True))


def _nodes(low: float, high: float, deviations: float) -> tuple[list[float], list[float]]:
    """Gauss-Legendre nodes and weights on [low, high], for a kernel whose width is one of ``deviations``."""
    count = 20 + math.ceil(3 * deviations)
    half, centre = (high - low) / 2, (high + low) / 2
    points, weights = _legendre(count)
    return [centre + half * point for point in points], [half * weight for weight in weights]


@lru_cache(maxsize=32)
def _legendre(count: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Zeros of the Legendre polynomial by Newton's method, and their weights 2/((1 - x²)·P'(x)²)."""
    points, weights = [], []
    for i in range(count):
        x = math.cos(math.pi * (i + 0.75) / (count + 0.5))
        slope = 1.0
        for _ in range(100):
            before, value = 1.0, x
            for n in range(2, count + 1):
                before, value = value, ((2 * n - 1) * x * value - (n - 1) * before) / n
            slope = count * (x * value - before) / (x * x - 1)
            step = value / slope
            x -= step
            if abs(step) < 1e-15:
                break
        points.append(x)
        weights.append(2 / ((1 - x * x) * slope * slope))
    return tuple(points), tuple(weights)


def _solve(matrix: list[list[float]]) -> list[float]:
    """The x with ``matrix``·x = (1, …, 1), by elimination with row pivots. ``matrix`` is used up."""
    size = len(matrix)
    for i, row in enumerate(matrix):
        matrix[i] = [*row, 1.0]
    for i in range(size):
        pivot = max(range(i, size), key=lambda r: abs(matrix[r][i]))
        matrix[i], matrix[pivot] = matrix[pivot], matrix[i]
        top = matrix[i]
        for r in range(i + 1, size):
            factor = matrix[r][i] / top[i]
            if factor:
                matrix[r][i:] = [value - factor * above for value, above in zip(matrix[r][i:], top[i:], strict=True)]
    found = [0.0] * size
    for i in reversed(range(size)):
        row = matrix[i]
        found[i] = (row[size] - math.fsum(row[j] * found[j] for j in range(i + 1, size))) / row[i]
    return found
