"""Is the new version worse than the old one by less than a margin M? For shares (of right answers), at one planned look.

H0: p_new - p_old <= -M; it is rejected, and the new version passes, when the one-sided lower limit lies above -M.

Paired, the same n items to both: Tango, "Equivalence test and confidence interval for the difference in proportions for the
paired-sample design" (Statistics in Medicine 1998). With b items that only the new version got right, c that only the old one did,

    z(d) = (b - c - n·d)/√(n·(2·q + d·(1 - d)))

q being the likeliest chance of "only the old one right" if the difference is d. At d = 0 it is McNemar's (b - c)/√(b + c).

Two samples of their own: Farrington and Manning (Statistics in Medicine 1990): the same with the likeliest pair of shares that differ by d; and
Wald's z with the observed ones, which is too sure of itself where shares are near 0 or 1 or samples small, and undefined where nothing varies.

All are for large samples and one look; the score tests keep their level well from some tens of items on. For looking at any time use
``solera.stats.betting.Capital`` with low = -1, high = 1 and limit = -M on the paired differences.

Units: counts of items, differences as shares (5 points = 0.05).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from solera.stats.arguments import ArgumentError, closed_interval, count, open_interval
from solera.stats.distributions import normal_quantile, normal_tail

_ROUNDS = 100


@dataclass(frozen=True, slots=True)
class NonInferiority:
    """Observed ``difference`` new - old, the test's ``z`` and one-sided ``p_value`` against "worse by the margin", the ``lower_limit``."""

    difference: float
    z: float
    p_value: float
    lower_limit: float


def paired_shares(
    items: int, new_only_right: int, old_only_right: int, *, margin: float, alpha: float = 0.05
) -> NonInferiority:
    """Tango's score test on the same ``items``; ``alpha`` is the risk of the one-sided lower limit.

    Raises:
        ArgumentError: counts that do not fit together, a margin outside [0, 1) or an ``alpha`` not between 0 and a half.
    """
    for name, value in (("new_only_right", new_only_right), ("old_only_right", old_only_right)):
        count(name, value)
    count("items", items, max(1, new_only_right + old_only_right))
    difference = (new_only_right - old_only_right) / items

    def z_at(d: float) -> float:
        return _tango(items, new_only_right, old_only_right, d)

    return _answer(difference, z_at, margin, alpha)


def two_shares(
    old_right: int, old: int, new_right: int, new: int, *, margin: float, alpha: float = 0.05
) -> NonInferiority:
    """Farrington and Manning's score test; ``old_right`` of ``old`` items were right, ``new_right`` of ``new`` other ones.

    Raises:
        ArgumentError: counts that do not fit together, a margin outside [0, 1) or an ``alpha`` not between 0 and a half.
    """
    _samples(old_right, old, new_right, new)
    difference = new_right / new - old_right / old

    def z_at(d: float) -> float:
        before = _likeliest(old_right, old, new_right, new, d)
        after = min(max(before + d, 0.0), 1.0)
        variance = before * (1 - before) / old + after * (1 - after) / new
        return _ratio(difference - d, variance)

    return _answer(difference, z_at, margin, alpha)


def two_shares_wald(
    old_right: int, old: int, new_right: int, new: int, *, margin: float, alpha: float = 0.05
) -> NonInferiority:
    """Wald's test with the observed shares: what most textbooks and tools print.

    Raises:
        ArgumentError: as ``two_shares``; also samples in which nothing varies.
    """
    _samples(old_right, old, new_right, new)
    _risks(margin, alpha)
    before, after = old_right / old, new_right / new
    error = math.sqrt(before * (1 - before) / old + after * (1 - after) / new)
    if error == 0:
        raise ArgumentError("new_right", new_right, "neither none nor all where old's is so too; use two_shares there")
    z = (after - before + margin) / error
    return NonInferiority(after - before, z, normal_tail(z), after - before + normal_quantile(alpha) * error)


def _answer(difference: float, z_at: Callable[[float], float], margin: float, alpha: float) -> NonInferiority:
    _risks(margin, alpha)
    z = z_at(-margin)
    level = -normal_quantile(alpha)
    low, high = -1.0, difference  # z falls as the assumed difference grows, and is 0 at the observed one
    for _ in range(_ROUNDS):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if z_at(middle) >= level:
            low = middle
        else:
            high = middle
    return NonInferiority(difference, z, normal_tail(z), low)


def _tango(n: int, b: int, c: int, d: float) -> float:
    """The likeliest chance of "only the old right" is the larger root of 2n·q² + B·q - c·d·(d - 1)... = 0, taken without cancellation."""
    middle = -b - c + (2 * n - b + c) * d
    last = -c * d * (1 - d)
    root = math.sqrt(max(middle * middle - 8 * n * last, 0.0))
    q = -2 * last / (middle + root) if middle > 0 else (root - middle) / (4 * n)
    q = max(q, 0.0, -d)
    return _ratio((b - c) / n - d, (2 * q + d * (1 - d)) / n)


def _likeliest(old_right: int, old: int, new_right: int, new: int, d: float) -> float:
    """The share p of the old version with the largest likelihood when that of the new one is p + d: the zero of a falling slope."""
    low, high = max(0.0, -d), min(1.0, 1 - d)
    first, last = low, high

    def slope(p: float) -> float:
        total = 0.0
        for right, n, share in ((old_right, old, p), (new_right, new, p + d)):
            total += (right / share if right else 0.0) - ((n - right) / (1 - share) if n > right else 0.0)
        return total

    for _ in range(_ROUNDS):
        middle = (low + high) / 2
        if not first < middle < last or middle in (low, high) or not 0 < middle + d < 1:
            break
        if slope(middle) > 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _ratio(difference: float, variance: float) -> float:
    if variance > 0:
        return difference / math.sqrt(variance)
    return math.copysign(math.inf, difference) if difference else 0.0


def _samples(old_right: int, old: int, new_right: int, new: int) -> None:
    count("old_right", old_right)
    count("new_right", new_right)
    count("old", old, max(1, old_right))
    count("new", new, max(1, new_right))


def _risks(margin: float, alpha: float) -> None:
    closed_interval("margin", margin, 0, 1 - 1e-9)
    open_interval("alpha", alpha, 0, 0.5)
