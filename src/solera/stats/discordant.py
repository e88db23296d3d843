"""Right or wrong on the same items: only the items on which the two versions disagree tell which is worse.

b = items that only the old version got wrong, c = items that only the new one got wrong. If neither is worse, a discordant item is the new
version's error with chance a half.

At one planned look: McNemar 1947. Exact: the two-sided tail of binomial(b + c, ½). Mid-p (Lancaster 1961; Fagerland, Lydersen, Laake
2013): the outcomes as extreme as the observed one count by half, since the exact test errs less often than its level. The exact p-value errs
with probability at most alpha; the mid-p value does so about on average over the number of discordant items (at 5 %, up to 7.7 % for some numbers).

At any look: a mixture e-process, ∫_q0^1 qᶜ(1-q)ᵇ dprior / q0ᶜ(1-q0)ᵇ with a prior Beta(w·q0, w·(1 - q0)) cut off at q0: the test of
``solera.stats.share`` for the share c/(b + c). If at every discordant item the chance that it is the new version's error, given all that went
before, is at most q0, it ever reaches 1/alpha with probability at most alpha. It needs items that are independent given the past: one item per cluster.

Units: counts of items; evidence in natural logarithms.
"""

from __future__ import annotations

import math

from solera.stats.arguments import ArgumentError, count, open_interval, positive
from solera.stats.distributions import binomial_at_least, log_binomial
from solera.stats.share import log_wealth_above, log_wealth_below

PRIOR = 10.0
"""Size of the prior in discordant items: Beta(5, 5) for an even share."""


def mcnemar(old_only_wrong: int, new_only_wrong: int, *, mid_p: bool = False) -> float:
    """Two-sided p-value of "the new version is wrong as often as the old one", for one planned look; 1 without discordant items.

    Raises:
        ArgumentError: a count that is not a whole number of at least 0.
    """
    few, n = _counts(old_only_wrong, new_only_wrong)
    if n == 0:
        return 1.0
    at_this = math.exp(log_binomial(few, n, 0.5))
    if 2 * few == n:
        return 1 - at_this / 2 if mid_p else 1.0
    exact = 2 * binomial_at_least(n - few, n, 0.5)
    return min(1.0, exact - at_this if mid_p else exact)


def mcnemar_worse(old_only_wrong: int, new_only_wrong: int, *, mid_p: bool = False) -> float:
    """One-sided p-value of "the new version is wrong at most as often as the old one", for one planned look; 1 without items.

    Raises:
        ArgumentError: a count that is not a whole number of at least 0.
    """
    _, n = _counts(old_only_wrong, new_only_wrong)
    if n == 0:
        return 1.0
    tail = binomial_at_least(new_only_wrong, n, 0.5)
    return max(0.0, tail - math.exp(log_binomial(new_only_wrong, n, 0.5)) / 2) if mid_p else tail


def log_e_worse(old_only_wrong: int, new_only_wrong: int, *, share: float = 0.5, prior: float = PRIOR) -> float:
    """Log e-value of "the new version makes more than ``share`` of the discordant errors": crosses ln(1/alpha) with chance <= alpha if not.

    Raises:
        ArgumentError: a count that is not a whole number of at least 0, a share that is no probability or a prior that is not positive.
    """
    _, n = _counts(old_only_wrong, new_only_wrong)
    _test(share, prior)
    return log_wealth_above(new_only_wrong, n, share, prior)


def log_e_not_worse(old_only_wrong: int, new_only_wrong: int, *, share: float, prior: float = PRIOR) -> float:
    """Log e-value of "the new version makes less than ``share`` of the discordant errors", the margin of a promotion (0.6, say).

    Raises:
        ArgumentError: a count that is not a whole number of at least 0, a share that is no probability or a prior that is not positive.
    """
    _, n = _counts(old_only_wrong, new_only_wrong)
    _test(share, prior)
    return log_wealth_below(new_only_wrong, n, share, prior)


def _counts(old_only_wrong: int, new_only_wrong: int) -> tuple[int, int]:
    for name, value in (("old_only_wrong", old_only_wrong), ("new_only_wrong", new_only_wrong)):
        count(name, value)
        if value > 10**12:
            raise ArgumentError(name, value, "a count of items of at most 1e12")
    return min(old_only_wrong, new_only_wrong), old_only_wrong + new_only_wrong


def _test(share: float, prior: float) -> None:
    open_interval("share", share)
    positive("prior", prior)
