"""Is a share of bad events above a limit, also when bad events come in bursts? Two wealths of bets per interval of time, valid at every look.

Source: testing by betting (Waudby-Smith and Ramdas, JRSSB 2024) with intervals in place of single events. With p the limit, x bad events among n in an
interval, and as alternatives the shares q whose odds are r times those of p, the wealth in bets is multiplied by

    1 - k + k·x/(n·p)        k = 1 - ((1 - q)/(1 - p))^n

In an interval without bad events that is the likelihood ratio of q to p, with a single event it is the likelihood ratio altogether. With many events it grows only linearly in
x: a burst that fills one interval multiplies the wealth by at most 1/p, and where many bad events are due in each, by no more than how many times as many there were.
The wealth singly is multiplied by the likelihood ratio whatever x is, rˣ·((1 - q)/(1 - p))^n: more when several bad events of one interval have nothing to do with each other.

A share may rise at any time. So each wealth is a mixture over when it did: AT_ONCE of the money is bet from the first interval on, the rest begins later, such
that (1 - AT_ONCE)/(1 + ln(1 + u)) of it has not begun when u bad events were due at the limit.

A test at 1/alpha wastes what its wealth jumps beyond that. ``shown`` gives it away before (Fischer and Ramdas, "Improving Wald's sequential probability ratio test by
avoiding overshoot", 2024): where the wealth singly would be multiplied by R(x), it becomes min(b·R(x)·wealth, 1/alpha), with the largest b >= 1 that leaves its mean at the limit as it was.

The guarantee. If in every interval the expected share of bad events, given all intervals before and how many events it has, is at most p, the wealth in bets is a supermartingale that starts at
1: it ever reaches 1/alpha with probability at most alpha, however often one looks between two intervals. Events of one interval may depend on each other in any way: they
may all fail together. It does not hold for a burst that goes over many intervals, each of which then foretells the next; nor when an interval is ended by what happened in it.
What is shown singly has the same risk when bad events within an interval are independent of each other, and no promise when they are not.

Units: counts of events, shares in (0, 1), natural logarithms.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from solera.stats.arguments import count, open_interval

ODDS_RATIOS = (1.5, 2.0, 3.0, 5.0, 10.0)
"""The alternatives, as multiples of the odds at the limit."""

WEIGHTS = (0.01, 0.15, 0.64, 0.18, 0.02)
"""Of the alternatives: most on a share that is worth a rollback and not seen at once anyway."""

AT_ONCE = 0.8
"""The part of the money that is bet from the first interval on."""

USUAL_LEVEL = -math.log(0.05)

MOST_DUE = 4.0
"""With more bad events than this due in one interval nothing is given away: there is little to give, and it would cost many terms."""

MOST_BAD = 24
"""The most bad events in an interval for which it is reckoned what lies beyond the level."""

_LOG_WEIGHTS = tuple(map(math.log, WEIGHTS))
_LOG_ODDS = tuple(map(math.log, ODDS_RATIOS))
_NOTHING = -1e6
"""The log wealth of an alternative that has lost all: finite, so that it can be written down as a number."""

_FAR = 700.0
"""No factor comes near e to this power, which is still a number."""

_START = (_NOTHING,) * len(ODDS_RATIOS)


def not_begun(due: float) -> float:
    """The part of the money that is not bet yet in an interval before which ``due`` bad events were due at the limit."""
    return (1 - AT_ONCE) / (1 + math.log1p(due))


def log_no_bad(odds_ratio: float, limit: float, total: int) -> float:
    """ln(1 - k): the log likelihood ratio of an alternative to the limit when none of ``total`` events is bad; each bad one adds the log of the odds ratio."""
    return -total * math.log1p(limit * (odds_ratio - 1))


@dataclass(frozen=True, slots=True)
class Bets:
    """All bets on "the share is above ``limit``" so far, in a few numbers that can be stored and go on.

    ``running`` and ``singly`` are the log wealth of each alternative in bets that have begun, ``waiting`` the money that has not, ``due`` how many bad events were due at the limit. ``shown``
    is what the wealth singly became by giving away what lies beyond ``level``; at that level it stays until the wealth in bets is lost.

    Raises:
        ArgumentError: the limit is no share between 0 and 1.
    """

    limit: float
    running: tuple[float, ...] = _START
    singly: tuple[float, ...] = _START
    waiting: float = 1.0
    due: float = 0.0
    shown: float = 0.0
    level: float = USUAL_LEVEL

    def __post_init__(self) -> None:
        open_interval("limit", self.limit)

    def at(self, level: float) -> Bets:
        """The same bets, from now on for a test at this level: log wealth 1/alpha."""
        return self if level == self.level else replace(self, level=level, shown=min(self.shown, self.log_ratio, level))

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
        running, begun, singly = [], [], []
        for odds_ratio, log_odds, bets, alone in zip(ODDS_RATIOS, _LOG_ODDS, self.running, self.singly, strict=True):
            none_bad = log_no_bad(odds_ratio, limit, total)
            part = -math.expm1(none_bad)
            factor = 1 - part + part * per_bad
            grown = _log_sum(bets, begins) + (math.log(factor) if factor > 0 else _NOTHING)
            running.append(max(grown, _NOTHING))
            begun.append(_log_sum(alone, begins) + none_bad)
            singly.append(max(begun[-1] + bad * log_odds, _NOTHING))
        after = Bets(limit, tuple(running), tuple(singly), waiting, self.due + total * limit, level=self.level)
        return replace(after, shown=self._shown_after(after, begun, total))

    def _shown_after(self, after: Bets, begun: Sequence[float], total: int) -> float:
        if self.shown >= self.level:
            return self.level if after.log_e > 0 else min(after.log_ratio, self.level)
        before, room, gain = self.log_ratio, self.level - self.shown, 0.0
        if total * self.limit <= MOST_DUE:
            parts = [math.exp(value + weight - before) for value, weight in zip(begun, _LOG_WEIGHTS, strict=True)]
            factors = _factors(math.exp(math.log(after.waiting) - before), parts, min(MOST_BAD, total))
            gain = _given_away(factors, _chances(total, self.limit), math.exp(min(room, _FAR)))
        more = gain + after.log_ratio - before
        return self.level if more >= room else self.shown + more

    @property
    def log_e(self) -> float:
        """Log e-value of "the share is above the limit", whatever comes together; crosses ln(1/alpha) with probability <= alpha if it never is."""
        return _mixed(self.waiting, self.running)

    @property
    def log_e_singly(self) -> float:
        """The same when bad events come one by one, for tests up to ``level``. Beyond it, what was shown without giving away."""
        return max(self.shown, self.log_ratio)

    @property
    def log_ratio(self) -> float:
        """Log likelihood ratio of the mixture to the limit: what is known singly when nothing is given away."""
        return _mixed(self.waiting, self.singly)


def _factors(waiting: float, parts: Sequence[float], most: int) -> Iterator[float]:
    """By what the mixture is multiplied when 0, 1, 2 … ``most`` events are bad. ``parts`` are of each alternative, for none."""
    for _ in range(most + 1):
        yield waiting + sum(parts)
        parts = [part * odds_ratio for part, odds_ratio in zip(parts, ODDS_RATIOS, strict=True)]


def _mixed(waiting: float, logs: Sequence[float]) -> float:
    parts = [math.log(waiting), *(value + weight for value, weight in zip(logs, _LOG_WEIGHTS, strict=True))]
    top = max(parts)
    return top + math.log(math.fsum(math.exp(value - top) for value in parts))


def _log_sum(one: float, other: float) -> float:
    top, low = (one, other) if one > other else (other, one)
    return top + math.log1p(math.exp(low - top))


def _chances(total: int, limit: float) -> Iterator[float]:
    """That 0, 1, 2 … of ``total`` independent events are bad."""
    chance = math.exp(total * math.log1p(-limit))
    for bad in range(total + 1):
        yield chance
        chance *= (total - bad) / (bad + 1) * limit / (1 - limit)


def _given_away(factors: Iterable[float], chances: Iterator[float], room: float) -> float:
    """Ln b: by how much every factor can grow when none goes beyond ``room``, and their mean stays 1. Factors rise with the bad events.

    With those from index j on cut off at room, the mean is b·Σ_{i<j} chance·factor + room·(1 - Σ_{i<j} chance): of all j the one is right that leaves the others below room.
    """
    sums = []
    mean = below = 0.0
    for factor, chance in zip(factors, chances, strict=False):
        if factor >= room:
            break
        mean, below = mean + chance * factor, below + chance
        sums.append((mean, below, factor))
    else:
        return 0.0
    for mean, below, factor in reversed(sums):
        more = (1 - room * (1 - below)) / mean
        if more * factor <= room:
            return math.log(max(more, 1.0))
    return 0.0
