"""Tails and quantiles of the normal, Student's t and binomial distribution, in plain ``math``.

Formulas: normal tail ½ erfc(z/√2); Student's tail ½ I_{d/(d + t²)}(d/2, 1/2) and the binomial tail I_p(k, n - k + 1), NIST DLMF 8.17,
with I the regularised incomplete beta function. Everything is dimensionless; probabilities lie between 0 and 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from solera.stats.arguments import closed_interval, count, finite, open_interval, positive
from solera.stats.special import log_beta, log_incomplete_beta

_ROUNDS = 200
_NEARLY_NORMAL = 1e6


def normal_tail(z: float) -> float:
    """P(Z > z) of a standard normal Z: keeps its digits far out in the upper tail, down to 1e-300."""
    return 0.5 * math.erfc(z / math.sqrt(2))


def normal_density(z: float) -> float:
    """Density of the standard normal distribution at ``z``."""
    return math.exp(-z * z / 2) / math.sqrt(2 * math.pi)


def normal_quantile(level: float) -> float:
    """The z with P(Z < z) = ``level``; about 1e-15 exact.

    Raises:
        ArgumentError: ``level`` is not between 0 and 1.
    """
    open_interval("level", level)
    if level > 0.5:
        return -normal_quantile(1 - level)
    return -_falling(normal_tail, level, 40.0)


def student_tail(t: float, degrees: float) -> float:
    """P(T > t) of Student's t with ``degrees`` of freedom; from a million on by the normal one, less than 1e-11 apart.

    Raises:
        ArgumentError: ``t`` is not finite or ``degrees`` is not positive.
    """
    finite("t", t)
    positive("degrees", degrees)
    if t < 0:
        return 1 - student_tail(-t, degrees)
    if degrees > _NEARLY_NORMAL:
        # First term of the expansion of t in 1/degrees (Abramowitz and Stegun 26.7.8).
        return normal_tail(t * (1 - 1 / (4 * degrees)) / math.sqrt(1 + t * t / (2 * degrees)))
    if t == 0:
        return 0.5
    a, b = degrees / 2, 0.5
    return 0.5 * math.exp(log_incomplete_beta(a, b, degrees / (degrees + t * t)) - log_beta(a, b))


def student_quantile(level: float, degrees: float) -> float:
    """The t with P(T < t) = ``level``.

    Raises:
        ArgumentError: ``level`` is not between 0 and 1 or ``degrees`` is not positive.
    """
    open_interval("level", level)
    positive("degrees", degrees)
    if level > 0.5:
        return -student_quantile(1 - level, degrees)
    return -_falling(lambda t: student_tail(t, degrees), level, 1e12)


def log_binomial(k: int, n: int, share: float) -> float:
    """Natural logarithm of P(X = k) for X ~ binomial(n, ``share``); -inf where it cannot be.

    Raises:
        ArgumentError: counts that are not whole or not 0 <= k <= n, or a share outside [0, 1].
    """
    _check(k, n, share)
    if share in (0, 1):
        return 0.0 if k == n * share else -math.inf
    choose = -math.log1p(n) - log_beta(k + 1, n - k + 1)
    return choose + k * math.log(share) + (n - k) * math.log1p(-share)


def binomial_at_least(k: int, n: int, share: float) -> float:
    """P(X >= k) for X ~ binomial(n, ``share``).

    Raises:
        ArgumentError: counts that are not whole or not 0 <= k <= n, or a share outside [0, 1].
    """
    _check(k, n, share)
    if k == 0:
        return 1.0
    return min(1.0, math.exp(log_incomplete_beta(k, n - k + 1, share) - log_beta(k, n - k + 1)))


def _check(k: int, n: int, share: float) -> None:
    count("n", n)
    count("k", k)
    closed_interval("k", k, 0, n)
    closed_interval("share", share, 0, 1)


def _falling(tail: Callable[[float], float], level: float, furthest: float) -> float:
    """The z >= 0 where a falling ``tail`` passes ``level``."""
    low, high = 0.0, 1.0
    while tail(high) > level and high < furthest:
        low, high = high, 2 * high
    for _ in range(_ROUNDS):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if tail(middle) > level:
            low = middle
        else:
            high = middle
    return high
