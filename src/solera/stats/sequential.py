"""Boundaries that may be looked at after every observation: mixtures of supermartingales.

Source: Howard, Ramdas, McAuliffe, Sekhon, "Time-uniform, nonparametric, nonasymptotic confidence sequences" (Annals of Statistics
2021), section 3; asymptotic confidence sequence: Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas (Annals of Statistics 2024); mSPRT:
Johari, Pekelis, Walsh (Operations Research 2022). By Ville's inequality P(log M_t >= log(1/alpha) for any t) <= alpha, however often and
whenever one looks, and whatever made one stop.

Symbols, all dimensionless: s = sum of centred observations, v = their accumulated variance (intrinsic time), alpha = error probability,
``v_opt`` = the v where the boundary is tightest for ``alpha_opt``. Shares of bad events have tests of their own in
``solera.stats.share``.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable

from solera.stats.arguments import closed_interval, count, finite, positive
from solera.stats.special import log_beta, log_incomplete_beta

_ROUNDS = 200


def mixture_precision(v_opt: float, alpha_opt: float, *, one_sided: bool) -> float:
    """The normal mixture's rho that makes it tightest at ``v_opt``.

    v_opt / (2 ln(1/a) + ln(1 + 2 ln(1/a))), with a = ``alpha_opt``, or twice that when one-sided.
    """
    _check("v_opt", v_opt, 0, math.inf)
    _check("alpha_opt", alpha_opt, 0, 0.5 if one_sided else 1)
    doubled = 2 * math.log(1 / (2 * alpha_opt if one_sided else alpha_opt))
    return v_opt / (doubled + math.log1p(doubled))


def normal_log_mixture(s: float, v: float, *, v_opt: float, alpha_opt: float = 0.05, one_sided: bool = True) -> float:
    """Log supermartingale for a sum s that is 1-sub-Gaussian with variance process v (e.g. v = t/4 for values in [0, 1]).

    Two-sided: ½ ln(rho/(v + rho)) + s²/(2(v + rho)). One-sided (large s only): plus ln(2 Φ(s/√(v + rho))).
    """
    rho = mixture_precision(v_opt, alpha_opt, one_sided=one_sided)
    two_sided = 0.5 * math.log(rho / (v + rho)) + s * s / (2 * (v + rho))
    if not one_sided:
        return two_sided
    tail = 0.5 * math.erfc(-s / math.sqrt(2 * (v + rho)))
    return two_sided + math.log(2 * tail) if tail > 0 else -math.inf


def normal_mixture_bound(
    v: float, alpha: float, *, v_opt: float, alpha_opt: float = 0.05, one_sided: bool = True
) -> float:
    """The s that the sum exceeds at any time with probability at most ``alpha`` (|s| when two-sided)."""
    _check("alpha", alpha, 0, 1)
    if not one_sided:
        rho = mixture_precision(v_opt, alpha_opt, one_sided=False)
        return math.sqrt((v + rho) * (math.log1p(v / rho) + 2 * math.log(1 / alpha)))
    return _root(
        lambda s: normal_log_mixture(s, v, v_opt=v_opt, alpha_opt=alpha_opt), math.log(1 / alpha), max(v, 1.0), math.inf
    )


def beta_binomial_log_mixture(
    s: float, v: float, *, v_opt: float, g: float, h: float, alpha_opt: float = 0.05, one_sided: bool = True
) -> float:
    """Log supermartingale for sums of centred values in [-g, h] (sub-Bernoulli), v = g·h·t after t values.

    For Bernoulli(p) trials: g = p, h = 1 - p, s = successes - t·p, v = t·p·(1 - p). Tighter than the normal one near 0 and 1.
    """
    _check("g", g, 0, math.inf)
    _check("h", h, 0, math.inf)
    width, product = g + h, g * h
    # A prior lighter than a thousandth of one observation would make the incomplete beta function lose all its digits.
    r = max(mixture_precision(v_opt, alpha_opt, one_sided=one_sided) - product, 1e-3 * product)
    x = h / width if one_sided else 1.0
    return (
        v / product * math.log(width)
        - (v + h * s) / (h * width) * math.log(g)
        - (v - g * s) / (g * width) * math.log(h)
        + log_incomplete_beta((r + v - g * s) / (g * width), (r + v + h * s) / (h * width), x)
        - log_incomplete_beta(r / (g * width), r / (h * width), x)
    )


def beta_binomial_mixture_bound(
    v: float, alpha: float, *, v_opt: float, g: float, h: float, alpha_opt: float = 0.05, one_sided: bool = True
) -> float:
    """The s that the sum exceeds at any time with probability at most ``alpha``; at most v/g, where all values were h."""
    _check("alpha", alpha, 0, 1)

    def log_mixture(s: float) -> float:
        return beta_binomial_log_mixture(s, v, v_opt=v_opt, g=g, h=h, alpha_opt=alpha_opt, one_sided=one_sided)

    return _root(log_mixture, math.log(1 / alpha), v / g, v / g)


def bernoulli_confidence_interval(
    successes: int, trials: int, alpha: float, *, t_opt: float, alpha_opt: float = 0.05
) -> tuple[float, float]:
    """Two-sided confidence sequence for the share of successes: holds at all times at once with probability 1 - ``alpha``.

    The set of p whose two-sided beta-binomial mixture (tightest after ``t_opt`` trials) stays under 1/alpha. With no trials (0, 1).
    The guarantee needs trials whose chance, given the past, is the same p each time.
    """
    _check("alpha", alpha, 0, 1)
    if trials == 0:
        return 0.0, 1.0
    if not 0 <= successes <= trials:
        raise ValueError(f"successes must lie between 0 and trials ({trials}), got {successes}")
    doubled = 2 * math.log(1 / alpha_opt)
    weight = max(t_opt / (doubled + math.log1p(doubled)) - 1, 1e-3)
    threshold = math.log(1 / alpha)
    share = successes / trials

    def excluded(p: float) -> bool:
        a, b = weight * p, weight * (1 - p)
        log_mixture = log_beta(a + successes, b + trials - successes) - log_beta(a, b)
        return log_mixture - successes * math.log(p) - (trials - successes) * math.log1p(-p) > threshold

    return _edge(excluded, 0.0, share), _edge(excluded, 1.0, share)


def asymptotic_half_width(sd: float, n: int, alpha: float, *, n_opt: float) -> float:
    """Half width of the asymptotic confidence sequence for a mean, in the unit of ``sd``; use from about n = 100 on.

    With w = (-2 ln alpha + ln(1 - 2 ln alpha))/n_opt: sd·√(2(n·w + 1)/(n²·w) · ln(√(n·w + 1)/alpha)). Tightest after ``n_opt`` observations.
    The error probability tends to ``alpha`` as the first look moves out; it is no guarantee for few observations.

    Raises:
        ValueError: fewer than one observation, a negative ``sd``, an ``alpha`` that is no probability, or an ``n_opt`` that is not positive.
    """
    _check("alpha", alpha, 0, 1)
    count("n", n, 1)
    positive("n_opt", n_opt)
    closed_interval("sd", sd, 0, sys.float_info.max)
    rho2 = (-2 * math.log(alpha) + math.log1p(-2 * math.log(alpha))) / n_opt
    grown = n * rho2 + 1
    return sd * math.sqrt(2 * grown / (n * n * rho2) * math.log(math.sqrt(grown) / alpha))


def msprt_log_wealth(n: int, difference: float, *, variance: float, prior_variance: float, null: float = 0.0) -> float:
    """Log of the mixture sequential probability ratio for a difference of two means, n observations in each arm.

    With V = ``variance`` (known, per arm), W = ``prior_variance`` (of the difference, under the alternative) and D = 2V + nW:
    √(2V/D) · exp(n²·W·(difference - null)²/(4V·D)). Exact for normal observations; a p-value that holds at any time is
    min(1, 1/largest ratio so far).

    Raises:
        ValueError: a count, variance or difference that is not finite, or a variance that is not positive.
    """
    count("n", n)
    finite("difference", difference)
    positive("variance", variance)
    positive("prior_variance", prior_variance)
    doubled = 2 * variance
    spread = doubled + n * prior_variance
    exponent = n * n * prior_variance * (difference - null) ** 2 / (2 * doubled * spread)
    return 0.5 * math.log(doubled / spread) + exponent


def _root(rising: Callable[[float], float], level: float, start: float, end: float) -> float:
    """The s in [0, end] where ``rising`` reaches ``level``; ``end`` when it never does."""
    high = start
    while rising(high) < level:
        if high >= end:
            return end
        high *= 2
    low = 0.0
    for _ in range(_ROUNDS):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if rising(middle) < level:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _edge(excluded: Callable[[float], bool], end: float, share: float) -> float:
    """The last value between ``share`` (never excluded) and ``end`` that is not excluded; ``end`` when all stay."""
    outside, inside = end, share
    for _ in range(_ROUNDS):
        middle = (outside + inside) / 2
        if middle in (outside, inside):
            break
        if excluded(middle):
            outside = middle
        else:
            inside = middle
    return inside


def _check(name: str, value: float, low: float, high: float) -> None:
    if not low < value < high:
        raise ValueError(f"{name} must lie between {low} and {high}, both excluded, got {value}")
