"""Beta functions in logarithms, in plain ``math``.

Everything here is dimensionless. Logarithms keep counts of many millions from under- or overflowing.
"""

from __future__ import annotations

import math

_TINY = 1e-300
_PRECISION = 1e-15
_WELL_SEPARATED = -1e-2
_MOST_TERMS = 20_000


def log_beta(a: float, b: float) -> float:
    """Natural logarithm of the complete beta function B(a, b), a and b > 0."""
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def log_incomplete_beta(a: float, b: float, x: float) -> float:
    """Natural logarithm of the incomplete beta function B_x(a, b) = ∫₀ˣ t^(a-1) (1-t)^(b-1) dt (not regularised).

    Continued fraction of NIST DLMF 8.17.22 below the mean of Beta(a, b); above it by B_x(a, b) = B(a, b) - B_{1-x}(b, a).
    Relative error about 1e-12 while a and b stay below 1e6, growing with their size. Needs in the order of √max(a, b) terms close
    to the mean, some dozens further than three standard deviations from it.

    Raises:
        ValueError: a or b is not positive, or x is outside [0, 1].
    """
    if not (a > 0 and b > 0 and 0 <= x <= 1):
        raise ValueError(f"log_incomplete_beta needs a > 0, b > 0 and 0 <= x <= 1, got a={a}, b={b}, x={x}")
    if x == 0:
        return -math.inf
    whole = log_beta(a, b)
    if x == 1:
        return whole
    if x * (a + b + 2) > a + 1:
        gap = b * math.log1p(-x) + a * math.log(x) - math.log(b) + math.log(_continued_fraction(b, a, 1 - x)) - whole
        # With the rest next to the whole, their difference would be rounding errors; the fraction itself still converges there.
        if gap < _WELL_SEPARATED:
            return whole + math.log1p(-math.exp(gap))
    return a * math.log(x) + b * math.log1p(-x) - math.log(a) + math.log(_continued_fraction(a, b, x))


def _continued_fraction(a: float, b: float, x: float) -> float:
    """Value of 1/(1 + d₁/(1 + d₂/(1 + …))) by Lentz's method; converges for x below the mean of Beta(a, b)."""
    total = a + b
    c = 1.0
    d = 1.0 - total * x / (a + 1)
    d = 1.0 / (d if abs(d) > _TINY else _TINY)
    value = d
    for m in range(1, _MOST_TERMS):
        term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1.0 + term * d
        c = 1.0 + term / c
        d = 1.0 / (d if abs(d) > _TINY else _TINY)
        c = c if abs(c) > _TINY else _TINY
        value *= d * c
        term = -(a + m) * (total + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d = 1.0 + term * d
        c = 1.0 + term / c
        d = 1.0 / (d if abs(d) > _TINY else _TINY)
        c = c if abs(c) > _TINY else _TINY
        step = d * c
        value *= step
        if abs(step - 1.0) < _PRECISION:
            break
    return value
