"""What would bets per interval have come to, if all that is known is how many events were bad in the end?

``solera.stats.interval_bets`` asks when bad events came. Of events that are bad independently of each other only their number matters: given X bad ones among N events in
intervals of n each, an interval has k of them with the hypergeometric chance h(k), and the log wealth of an alternative has gained on average

    Σ_k h(k)·ln(1 - s + s·k/(n·p))        s its stake, p the limit

in each interval since it was bet on. That mean is exact; the wealth itself varies around it, and what begins to be bet on later may be lucky. Both are left out, so the
wealth is told too low, by less than half a unit: a test reaches its level in up to a fifth fewer events than this tells. The wealth singly gains the log
likelihood ratio of the interval, whose mean is exact too. What it has gained by giving away is taken to be GIVEN_AWAY when it nears its level.

Units: counts of events, shares in (0, 1), natural logarithms.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

from solera.stats.arguments import count, open_interval
from solera.stats.interval_bets import ODDS_RATIOS, USUAL_LEVEL, Bets, log_no_bad, not_begun

GIVEN_AWAY = 0.15
"""Units of log wealth: a little less than is gained on average at a limit of 20%, before the level is reached. At 1% it is 0.35, so there events are told too many."""

_NEGLIGIBLE = 1e-15
_PARTS = 4
"""Intervals are taken together where they differ by less than this part in their distance from the first: bets begin ever more slowly. A log wealth is wrong by 0.002 for it."""


@lru_cache(maxsize=4096)
def typical_bets(bad: int, total: int, limit: float, each: int, level: float = USUAL_LEVEL) -> Bets:
    """The bets, for a test at ``level``, after ``total`` events with ``bad`` among them, which came in intervals of ``each``; an interval that is not over says nothing.

    Raises:
        ArgumentError: counts that are not whole, negative, or more bad than total; ``each`` below 1; a limit that is no share.
    """
    count("bad", bad)
    count("total", total, bad)
    count("each", each, 1)
    open_interval("limit", limit)
    intervals = total // each
    if not intervals:
        return Bets(limit, level=level)
    chances, due, share = tuple(_hypergeometric(bad, total, each)), each * limit, bad / total
    running, singly = [], []
    for odds_ratio in ODDS_RATIOS:
        none_bad = log_no_bad(odds_ratio, limit, each)
        part = -math.expm1(none_bad)
        gain = math.fsum(chance * math.log(max(1 - part + part * k / due, 5e-324)) for k, chance in chances)
        running.append(_grown(gain, intervals, due))
        singly.append(_grown(none_bad + share * each * math.log(odds_ratio), intervals, due))
    waiting = _waiting(intervals - 1, due)
    bets = Bets(limit, tuple(running), tuple(singly), waiting, intervals * each * limit, level=level)
    return replace(bets, shown=min(level, bets.log_ratio + GIVEN_AWAY))


def _grown(gain: float, intervals: int, due: float) -> float:
    logs = [money + lasted * gain for money, lasted in _begun(intervals, due)]
    top = max(logs)
    return top + math.log(sum([math.exp(value - top) for value in logs]))


def _waiting(index: int, due: float) -> float:
    """The money that has not been bet when interval ``index`` is over and ``due`` bad events were due at the limit in each."""
    return 1.0 if index < 0 else not_begun(index * due)


@lru_cache(maxsize=512)
def _begun(intervals: int, due: float) -> tuple[tuple[float, float], ...]:
    """The log of the money that was bet together, and for how many intervals; neighbours are taken together."""
    found, first = [], 0
    while first < intervals:
        following = min(intervals, first + max(1, first // _PARTS))
        money = _waiting(first - 1, due) - _waiting(following - 1, due)
        if money > 0:
            found.append((math.log(money), intervals - (first + following - 1) / 2))
        first = following
    return tuple(found)


def _hypergeometric(bad: int, total: int, each: int) -> Iterator[tuple[int, float]]:
    """k, and the chance that an interval of ``each`` has k of the ``bad`` events; by ratios of neighbours, from the most likely k on."""
    low, high = max(0, each - (total - bad)), min(each, bad)
    mode = min(max((each + 1) * (bad + 1) // (total + 2), low), high)

    def ratio(k: int) -> float:
        """Chance of k + 1 over that of k."""
        return (bad - k) * (each - k) / ((k + 1) * (total - bad - each + k + 1))

    found = {mode: 1.0}
    for k in range(mode, high):
        found[k + 1] = found[k] * ratio(k)
        if found[k + 1] < _NEGLIGIBLE:
            break
    for k in range(mode - 1, low - 1, -1):
        found[k] = found[k + 1] / ratio(k)
        if found[k] < _NEGLIGIBLE:
            break
    whole = math.fsum(found.values())
    yield from ((k, value / whole) for k, value in sorted(found.items()))
