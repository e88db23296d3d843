"""When does a sequential test of a share end, and how? The exact distribution of its first passage, for events that are bad with a fixed chance.

With P(n, x) the chance of x bad among n events and no end before, and n' the next look,

    P(n', x') = Σ_x P(n, x)·b(x' - x; n' - n, q)        b(k; m, q) = C(m, k)·q^k·(1 - q)^(m - k)

(the recursion of Armitage, McPherson and Rowe 1969 for binomial counts, as in Schultz et al., "Multiple-stage procedures for drug
screening", Biometrics 1973). What lies in a region that ends the test at n' is taken out and counted. The regions are those of any rule that looks at
(bad, total) alone, and fails the rather the more are bad.

Units: counts of events, chances and shares in [0, 1]. Chances below 1e-18 are left out: results are good to about 1e-12.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from operator import mul

from solera.stats.arguments import ArgumentError, closed_interval, count, open_interval

Region = Callable[[int, int], bool]
"""(bad, total) -> whether the test ends there, in one way."""

FINENESS = 128
"""A look comes at the latest when the events have grown by this part of themselves: more looks would end a test earlier by less than that."""

_NEGLIGIBLE = 1e-18
_OVER = 1e-12


def look_schedule(most: int, every: int = 1, fineness: int = FINENESS) -> tuple[int, ...]:
    """Numbers of events at which to look: each ``every`` events at first, later at steps of 1/``fineness`` of those so far, ``most`` the last.

    Raises:
        ArgumentError: one of them is not a whole number of at least 1.
    """
    for name, value in (("most", most), ("every", every), ("fineness", fineness)):
        count(name, value, 1)
    looks: list[int] = []
    total = 0
    while total < most:
        total = min(most, total + max(every, total // fineness))
        looks.append(total)
    return tuple(looks)


@dataclass(frozen=True, slots=True)
class Boundary:
    """Where a test ends, at each of ``looks``.

    It passes with ``least[i]`` to ``most[i]`` bad events (least above most: never), and fails with at least ``fails[i]`` (above the look: never).
    """

    looks: tuple[int, ...]
    least: tuple[int, ...]
    most: tuple[int, ...]
    fails: tuple[int, ...]


def boundary(passes: Region, fails: Region, looks: Sequence[int]) -> Boundary:
    """The boundary of a rule. ``fails`` must be true from some number of bad events on, ``passes`` on one run of numbers; what fails does not pass.

    A rule may pass with a few bad events where it does not with none: only bad events tell that they do not come together.

    Raises:
        ArgumentError: the looks do not rise from at least 1.
    """
    if not looks or looks[0] < 1 or any(b <= a for a, b in pairwise(looks)):
        raise ArgumentError("looks", looks, "whole numbers that rise from at least 1")
    rows: list[tuple[int, int, int]] = []
    low, high, edge = 0, -1, 1
    for total in looks:
        # Every end is sought from where it was at the look before: it has not moved far.
        edge = min(edge, total + 1)
        while edge > 0 and fails(edge - 1, total):
            edge -= 1
        while edge <= total and not fails(edge, total):
            edge += 1
        low, high = _run(lambda bad, n=total: passes(bad, n), low, min(high, edge - 1), edge)  # type: ignore[misc]
        rows.append((low, high, edge))
    return Boundary(tuple(looks), *(tuple(column) for column in zip(*rows, strict=True)))


def _run(holds: Callable[[int], bool], low: int, high: int, end: int) -> tuple[int, int]:
    """The first and the last number below ``end`` for which ``holds`` is true, near ``low`` … ``high`` or anywhere; (0, -1) if there is none."""
    while high >= low and not holds(high):
        high -= 1
    while low <= high and not holds(low):
        low += 1
    if low > high:
        found = next((bad for bad in range(end) if holds(bad)), None)
        if found is None:
            return 0, -1
        low = high = found
    while low > 0 and holds(low - 1):
        low -= 1
    while high + 1 < end and holds(high + 1):
        high += 1
    return low, high


def least_good(passes: Region, most: int) -> int | None:
    """The least number of events, none of them bad, with which a test passes; None if that is more than ``most``.

    Sought from look to look of the usual schedule: what passes only between two of them is not found.
    """
    before = 0
    for total in look_schedule(most):
        if passes(0, total):
            return bisect_left(range(total), True, lo=before + 1, key=lambda few: passes(0, few))
        before = total
    return None


@dataclass(frozen=True, slots=True)
class FirstPassage:
    """The chance that the test has passed, and that it has failed, by each of ``looks``."""

    looks: tuple[int, ...]
    passed: tuple[float, ...]
    failed: tuple[float, ...]

    def by(self, total: float) -> tuple[float, float]:
        """The chances to have passed and to have failed after ``total`` events, by the last look until then."""
        at = bisect_right(self.looks, total) - 1
        return (0.0, 0.0) if at < 0 else (self.passed[at], self.failed[at])

    def quantile(self, chance: float) -> int | None:
        """Events after which the test has ended with this ``chance``; None if it has not by the last look.

        Raises:
            ArgumentError: ``chance`` is not between 0 and 1, both excluded.
        """
        open_interval("chance", chance)
        for total, passed, failed in zip(self.looks, self.passed, self.failed, strict=True):
            if passed + failed >= chance:
                return total
        return None


def first_passage(of: Boundary, share: float) -> FirstPassage:
    """The distribution of the end of the test, if each event is bad with the chance ``share``, whatever came before.

    Raises:
        ArgumentError: ``share`` is not in [0, 1].
    """
    closed_interval("share", share, 0.0, 1.0)
    passed, failed = [], []
    ended_well = ended_badly = 0.0
    least, chances, before = 0, [1.0], 0  # chances[i]: undecided with least + i bad events
    for total, low, high, edge in zip(of.looks, of.least, of.most, of.fails, strict=True):
        if chances:
            first, more = _binomial(total - before, share)
            chances, least, before = _convolved(chances, more), least + first, total
            end = min(max(edge - least, 0), len(chances))
            ended_badly += math.fsum(chances[end:])
            chances = chances[:end]
            begin, end = max(low - least, 0), max(high + 1 - least, 0)
            ended_well += math.fsum(chances[begin:end])
            chances[begin:end] = [0.0] * len(chances[begin:end])
            chances, least = _trimmed(chances, least)
        passed.append(ended_well)
        failed.append(ended_badly)
    return FirstPassage(of.looks, tuple(passed), tuple(failed))


def _convolved(chances: Sequence[float], more: Sequence[float]) -> list[float]:
    if len(more) == 1:
        return [chance * more[0] for chance in chances]
    around = [0.0] * (len(more) - 1)
    padded, turned = [*around, *chances, *around], tuple(reversed(more))
    size = len(more)
    return [sum(map(mul, padded[at : at + size], turned)) for at in range(len(chances) + size - 1)]


def _trimmed(chances: list[float], least: int) -> tuple[list[float], int]:
    """Without the ends that do not matter; empty when nothing is left that does."""
    if math.fsum(chances) < _OVER:
        return [], least
    kept = [at for at, chance in enumerate(chances) if chance > _NEGLIGIBLE]
    return chances[kept[0] : kept[-1] + 1], least + kept[0]


@lru_cache(maxsize=4096)
def _binomial(events: int, share: float) -> tuple[int, tuple[float, ...]]:
    """The chances of k, k + 1, … bad events that are not negligible, and k: by ratios of neighbours, from the most likely one on."""
    if share in {0.0, 1.0}:
        return (events if share else 0), (1.0,)
    mode = min(int((events + 1) * share), events)
    log_top = math.lgamma(events + 1) - math.lgamma(mode + 1) - math.lgamma(events - mode + 1)
    top = math.exp(log_top + mode * math.log(share) + (events - mode) * math.log1p(-share))
    odds = share / (1 - share)
    up = list(_falling(top, (odds * (events - k) / (k + 1) for k in range(mode, events))))
    down = list(_falling(top, (k / (odds * (events - k + 1)) for k in range(mode, 0, -1))))
    chances = [*reversed(down), top, *up]
    whole = math.fsum(chances)  # the logarithm of a large factorial is not exact
    return mode - len(down), tuple(chance / whole for chance in chances)


def _falling(top: float, ratios: Iterator[float]) -> Iterator[float]:
    for ratio in ratios:
        top *= ratio
        if top < _NEGLIGIBLE:
            return
        yield top
