"""Is a share of bad events above a limit, when bad events come in bursts? One bet per interval of time, valid at every look.

Source: testing by betting (Waudby-Smith and Ramdas, JRSSB 2024) with intervals in place of single events. With p the limit, x bad events among n in an
interval, and as alternatives the shares q whose odds are r times those of p, the wealth is multiplied by

    1 - k + k·x/(n·p)        k = 1 - ((1 - q)/(1 - p))^n

In an interval without bad events that is the likelihood ratio of q to p, with a single event it is the likelihood ratio altogether. With many events it grows only linearly in
x: a burst that fills one interval multiplies the wealth by at most 1/p, and where many bad events are due in each, by no more than how many times as many there were.

A share may rise at any time. So the wealth is a mixture over when it did: AT_ONCE of the money is bet from the first interval on, the rest begins later, such
that (1 - AT_ONCE)/(1 + ln(1 + u)) of it has not begun when u bad events were due at the limit.

The guarantee. If in every interval the expected share of bad events, given all intervals before, is at most p, the wealth is a supermartingale that starts at
1: it ever reaches 1/alpha with probability at most alpha, however often one looks between two intervals. Events of one interval may depend on each other in any way: they
may all fail together. It does not hold for a burst that goes over many intervals, each of which then foretells the next; nor when an interval is ended by what happened in it.

Units: counts of events, shares in (0, 1), natural logarithms.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from solera.stats.arguments import count, open_interval

ODDS_RATIOS = (1.5, 2.0, 3.0, 5.0, 10.0)
"""The alternatives, as multiples of the odds at the limit."""

WEIGHTS = (0.1, 0.2, 0.4, 0.2, 0.1)
"""Of the alternatives: most on a share that is worth a rollback and not seen at once anyway."""

AT_ONCE = 0.65
"""The part of the money that is bet from the first interval on."""

_LOG_WEIGHTS = tuple(map(math.log, WEIGHTS))
_NOTHING = -1e6
"""The log wealth of an alternative that has lost all: finite, so that it can be written down as a number."""


def not_begun(due: float) -> float:
    """The part of the money that is not bet yet in an interval before which ``due`` bad events were due at the limit."""
    return (1 - AT_ONCE) / (1 + math.log1p(due))


def stake(odds_ratio: float, limit: float, total: int) -> float:
    """k: the part of its wealth that an alternative bets in an interval of ``total`` events."""
    return -math.expm1(-total * math.log1p(limit * (odds_ratio - 1)))


@dataclass(frozen=True, slots=True)
class Bets:
    """All bets on "the share is above ``limit``" so far, in a few numbers that can be stored and go on.

    ``running`` is the log wealth of each alternative in bets that have begun, ``waiting`` the money that has not, ``due`` how many bad events were due at the limit.

    Raises:
        ArgumentError: the limit is no share between 0 and 1.
    """

    limit: float
    running: tuple[float, ...] = (_NOTHING,) * len(ODDS_RATIOS)
    waiting: float = 1.0
    due: float = 0.0

    def __post_init__(self) -> None:
        open_interval("limit", self.limit)

    def add(self, bad: int, total: int) -> Bets:
        """The bets after one more interval with ``bad`` of ``total`` events. One without events tells nothing.

        Raises:
            ArgumentError: counts that are not whole, negative, or more bad than total.
        """
        count("bad", bad)
        count("total", total, bad)
        if not total:
            return self
        limit = self.limit
        waiting = not_begun(self.due)
        begins = math.log(max(self.waiting - waiting, 5e-324))
        per_bad = bad / (total * limit)
        running = []
        for odds_ratio, log_wealth in zip(ODDS_RATIOS, self.running, strict=True):
            top, low = (log_wealth, begins) if log_wealth > begins else (begins, log_wealth)
            part = stake(odds_ratio, limit, total)
            factor = 1 - part + part * per_bad
            grown = top + math.log1p(math.exp(low - top)) + (math.log(factor) if factor > 0 else _NOTHING)
            running.append(max(grown, _NOTHING))
        return Bets(limit, tuple(running), waiting, self.due + total * limit)

    @property
    def log_e(self) -> float:
        """Log e-value of "the share is above the limit"; crosses ln(1/alpha) with probability <= alpha if it never is."""
        waiting = math.log(self.waiting)
        logs = [value + weight for value, weight in zip(self.running, _LOG_WEIGHTS, strict=True)]
        top = max(waiting, *logs)
        return top + math.log(math.fsum(math.exp(value - top) for value in (waiting, *logs)))
