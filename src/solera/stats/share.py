"""Is a share of bad events above or below a limit? Two one-sided tests and their confidence limits, valid at every look.

Source: the one-sided beta-binomial mixture of Howard, Ramdas, McAuliffe, Sekhon (Annals of Statistics 2021), here for Bernoulli events.
With p the limit, x bad events among n and a prior Beta(m·p, m·(1 - p)) cut off at the limit,

    wealth above = ∫_p^1 qˣ(1-q)ⁿ⁻ˣ dprior / pˣ(1-p)ⁿ⁻ˣ        evidence against "the share is at most p"
    wealth below = ∫_0^p qˣ(1-q)ⁿ⁻ˣ dprior / pˣ(1-p)ⁿ⁻ˣ        evidence against "the share is at least p"

The guarantee. If at every event the chance of a bad one, given all that went before, is at most p, the wealth above is a
supermartingale that starts at 1: it ever reaches 1/alpha with probability at most alpha, however often one looks. Events need not be alike
nor independent, the share may drift as long as it keeps to its side of p. Likewise the wealth below. It does not hold when
the same event is counted twice, or when which events are counted depends on how they ended.

Units: counts of events (fractions where several events count for one), shares in (0, 1), natural logarithms. ``weight`` = m, the prior's size in events.
"""

from __future__ import annotations

import math
from functools import lru_cache

from solera.stats.sequential import mixture_precision
from solera.stats.special import log_incomplete_beta

_OPTIMISED_FOR = 0.05
_ROUNDS = 30
_CLOSE = 2e-3
_FURTHEST = 40.0


@lru_cache(maxsize=1024)
def prior_weight(limit: float, bad_at_limit: float) -> float:
    """Size in events of the prior whose test at ``limit`` is tightest once ``bad_at_limit`` bad events are due at the limit.

    Counting in bad events makes one number serve every limit: the evidence in rare events lies in how many there were.
    """
    variance = limit * (1 - limit)
    precision = mixture_precision(variance * bad_at_limit / limit, _OPTIMISED_FOR, one_sided=True)
    return max(precision / variance - 1, 1e-3)


def log_wealth_above(bad: float, total: float, limit: float, weight: float) -> float:
    """Log evidence that the share is above ``limit``; crosses ln(1/alpha) with probability <= alpha if it never is."""
    return _log_wealth(bad, total - bad, limit, weight, _known_log_prior(limit, weight))


def log_wealth_below(bad: float, total: float, limit: float, weight: float) -> float:
    """Log evidence that the share is below ``limit``; crosses ln(1/alpha) with probability <= alpha if it never is."""
    return _log_wealth(total - bad, bad, 1 - limit, weight, _known_log_prior(1 - limit, weight))


def shown_above(bad: float, total: float, limit: float, weight: float, log_level: float) -> bool:
    """Whether the wealth above has reached ``log_level``; skips the integral where even the best alternative has not."""
    return far_above(bad, total, limit, log_level) and log_wealth_above(bad, total, limit, weight) >= log_level


def shown_below(bad: float, total: float, limit: float, weight: float, log_level: float) -> bool:
    """Whether the wealth below has reached ``log_level``; skips the integral where even the best alternative has not."""
    return shown_above(total - bad, total, 1 - limit, weight, log_level)


def far_above(bad: float, total: float, limit: float, log_level: float) -> bool:
    """A cheap condition for ``shown_above``, necessary only: the likelihood ratio of the observed share bounds every mixture."""
    return bad > total * limit and total * divergence(bad / total, limit) >= log_level


@lru_cache(maxsize=4096)
def lower_limit(bad: float, total: float, weight: float, log_level: float) -> float:
    """Lower confidence limit of the share: the values under it are all shown to be exceeded at ``log_level`` = ln(1/alpha).

    Holds at all times at once with probability 1 - alpha when the chance of a bad event is the same at every event.
    """
    return _limit(bad, total, weight, log_level)


@lru_cache(maxsize=4096)
def upper_limit(bad: float, total: float, weight: float, log_level: float) -> float:
    """Upper confidence limit of the share, the mirror of ``lower_limit``: 1 without events."""
    return 1 - _limit(total - bad, total, weight, log_level)


def divergence(share: float, limit: float) -> float:
    """Kullback-Leibler divergence of Bernoulli(``share``) from Bernoulli(``limit``): the most evidence one event can give on average."""
    value = share * math.log(share / limit) if share > 0 else 0.0
    return value + ((1 - share) * (math.log1p(-share) - math.log1p(-limit)) if share < 1 else 0.0)


def _log_wealth(bad: float, good: float, limit: float, weight: float, log_prior: float) -> float:
    posterior = log_incomplete_beta(weight * (1 - limit) + good, weight * limit + bad, 1 - limit)
    return posterior - log_prior - bad * math.log(limit) - good * math.log1p(-limit)


def _log_prior(limit: float, weight: float) -> float:
    return log_incomplete_beta(weight * (1 - limit), weight * limit, 1 - limit)


_known_log_prior = lru_cache(maxsize=1024)(_log_prior)


def _limit(bad: float, total: float, weight: float, log_level: float) -> float:
    if bad == 0:
        return 0.0

    def excess(log_odds: float) -> float:
        p = 1 / (1 + math.exp(-log_odds))
        return _log_wealth(bad, total - bad, p, weight, _log_prior(p, weight)) - log_level

    # On the scale of log odds the wealth is close to a parabola with its foot at the observed share, for any share and count.
    smoothed = (bad + 0.5) / (total + 1)
    centre = math.log(smoothed / (1 - smoothed))
    reach = math.sqrt(2 * (log_level + 2) / (total * smoothed * (1 - smoothed)))
    inner, inner_value = centre, -log_level
    outer = centre - reach
    outer_value = excess(outer)
    while outer_value < 0:
        if outer < -_FURTHEST:
            return 0.0
        inner, inner_value = outer, outer_value
        outer -= reach
        outer_value = excess(outer)
    # Illinois' false position. The end that is shown to be exceeded is returned: the interval errs on the wide side.
    close = _CLOSE * (inner - outer)
    for _ in range(_ROUNDS):
        if inner - outer <= close:
            break
        middle = (outer * inner_value - inner * outer_value) / (inner_value - outer_value)
        value = excess(middle)
        if value >= 0:
            outer, outer_value = middle, value
            inner_value /= 2
        else:
            inner, inner_value = middle, value
            outer_value /= 2
    return 1 / (1 + math.exp(-outer))
