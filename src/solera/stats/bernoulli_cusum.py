"""Has the share of bad outcomes risen? A CUSUM made for single pass/fail outcomes, with its run length computed exactly.

Source: Reynolds and Stoumbos, "A CUSUM chart for monitoring a proportion when inspecting continuously" (Journal of Quality Technology
1999). With p0 the share in control and p1 > p0 the one to be found, the log-likelihood ratio of one outcome is a multiple of x - g (x = 1 for bad),

    g = ln((1 - p0)/(1 - p1)) / (ln(p1/p0) + ln((1 - p0)/(1 - p1)))        value = max(0, value + x - g)      alarm at the threshold

g is rounded to a fraction down/per, so the value moves on the integers: + (per - down) for a bad outcome, - down for a good one. The chart is then a
Markov chain with as many states as the threshold, and its average run length (ARL) is the solution of linear equations, found by eliminating one state after
the other without any subtraction (Grassmann, Taksar, Heyman 1985): exact to rounding for run lengths of any size.

The promise, "a false alarm once in ARL outcomes on average", holds for independent outcomes whose share in control is KNOWN and at most p0 (a
smaller one makes alarms rarer). It does not hold for a p0 estimated from few outcomes, nor for outcomes that share their luck.

Units: run lengths in outcomes, shares in (0, 1), values and threshold in 1/per of an outcome.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

from solera.stats.arguments import ArgumentError, closed_interval, count, open_interval

_ROUNDING = 0.1
_MOST_WORK = 300_000
_FINEST = 100_000
_FURTHER = "further from baseline (else the chart has too many states),"


class _Stage(NamedTuple):
    """A way down: outcomes until its end or the alarm, chance to arrive there, chance of the alarm before (never taken as a difference)."""

    time: float
    arrive: float
    alarm: float

    def then(self, following: _Stage) -> _Stage:
        return _Stage(
            self.time + self.arrive * following.time,
            self.arrive * following.arrive,
            self.alarm + self.arrive * following.alarm,
        )


_NOTHING = _Stage(0.0, 1.0, 0.0)


@dataclass(frozen=True, slots=True)
class BernoulliCusum:
    """The chart; ``value`` is its state. ``threshold``, ``value``, ``down`` and ``per`` are whole numbers. ``design`` makes one.

    Raises:
        ArgumentError: numbers that are not whole, or not 0 < down < per, or a threshold below 1.
    """

    down: int
    per: int
    threshold: int
    value: int = 0

    def __post_init__(self) -> None:
        count("down", self.down, 1)
        count("per", self.per, self.down + 1)
        count("threshold", self.threshold, 1)
        count("value", self.value)

    def add(self, bad: bool) -> BernoulliCusum:
        """The chart with one more outcome."""
        return replace(self, value=max(0, self.value - self.down + (self.per if bad else 0)))

    @property
    def alarm(self) -> bool:
        """Whether the share of bad outcomes is shown to have risen. The chart does not reset itself."""
        return self.value >= self.threshold

    def run_length(self, share: float) -> float:
        """Outcomes until the alarm, on average, from the present value on, when each is bad with chance ``share``; exact.

        Raises:
            ArgumentError: ``share`` is not above 0 and at most 1, or the chart has too many states to solve.
        """
        closed_interval("share", share, 0, 1)
        open_interval("share", share, 0, 2)
        if not _solvable(self):
            raise ArgumentError(
                "threshold", self.threshold, "smaller, or per and down: the chart has too many states to solve"
            )
        solve = _by_single_steps if self.down == 1 else _by_elimination
        return 0.0 if self.alarm else solve(self, share)[self.value]


def design(baseline: float, worse: float, run_length: float) -> BernoulliCusum:
    """The chart that finds a share of ``worse`` quickly and in control runs ``run_length`` outcomes or more until a false alarm.

    g is rounded within a tenth of the way between the shares, to the fraction with the smallest denominator; the threshold is the smallest that keeps
    the promise, exactly.

    Raises:
        ArgumentError: not 0 < baseline < worse < 1, a run length below 1, or a chart that would have too many states.
    """
    open_interval("baseline", baseline)
    open_interval("worse", worse, baseline, 1)
    if not 1 <= run_length < math.inf:
        raise ArgumentError("run_length", run_length, "a finite number of outcomes, at least 1")
    good = math.log1p(-baseline) - math.log1p(-worse)
    gamma = good / (good + math.log(worse / baseline))
    slack = _ROUNDING * (worse - baseline)
    down, per = _simplest(max(gamma - slack, (gamma + baseline) / 2), min(gamma + slack, (gamma + worse) / 2), worse)

    def promises(threshold: int) -> bool:
        chart = BernoulliCusum(down, per, threshold)
        if not _solvable(chart):
            raise ArgumentError("worse", worse, f"{_FURTHER} or feed means of runs to a Cusum")
        return chart.run_length(baseline) >= run_length

    low, high = 0, per - down
    while not promises(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if promises(middle) else (middle, high)
    return BernoulliCusum(down, per, high)


def _by_single_steps(chart: BernoulliCusum, share: float) -> list[float]:
    """Average run length from each value below the threshold, when a good outcome moves the value down by one.

    The chart then passes every value on its way down: a bad outcome at s adds the journey through the stages from s + up to s. They are a
    sliding window, kept as a queue of two stacks so that no stage has to be divided out again. The work grows with the threshold alone.
    """
    up, good, size = chart.per - 1, 1 - share, chart.threshold
    stages: list[_Stage] = []
    older: list[_Stage] = []  # on top the journey through all of the window's older part
    newer: list[_Stage] = []
    through_newer = _NOTHING
    for s in reversed(range(size)):
        back = _Stage(0.0, 0.0, 1.0)
        if s + up < size:
            if not older:
                journey = _NOTHING
                while newer:
                    journey = newer.pop().then(journey)
                    older.append(journey)
                through_newer = _NOTHING
            back = older.pop().then(through_newer)
        leaves = (good if s else 0.0) + share * back.alarm  # a good outcome at 0 stays there
        stage = _Stage((1 + share * back.time) / leaves, (good if s else 0.0) / leaves, share * back.alarm / leaves)
        stages.append(stage)
        newer.append(stage)
        through_newer = through_newer.then(stage)
    lengths: list[float] = []
    for stage in reversed(stages):
        lengths.append(stage.time + (stage.arrive * lengths[-1] if lengths else 0.0))
    return lengths


def _by_elimination(chart: BernoulliCusum, share: float) -> list[float]:
    """Average run length from each value below the threshold."""
    size, up, down = chart.threshold, chart.per - chart.down, chart.down
    # Row s: chance of each lower state, of going over the threshold, and the time spent before either.
    rows: list[dict[int, float]] = [{} for _ in range(size)]
    over, time = [0.0] * size, [1.0] * size
    from_below: list[list[int]] = [[] for _ in range(size)]

    def connect(source: int, target: int, chance: float) -> None:
        row = rows[source]
        if target in row:
            row[target] += chance
        else:
            row[target] = chance
            if target > source:
                from_below[target].append(source)

    for s in range(size):
        if share < 1:
            connect(s, max(0, s - down), 1 - share)
        if s + up < size:
            connect(s, s + up, share)
        else:
            over[s] += share
    leaves = [1.0] * size
    for s in reversed(range(size)):
        row = rows[s]
        row.pop(s, None)
        leaves[s] = over[s] + math.fsum(row.values())
        for source in from_below[s]:
            part = rows[source].pop(s) / leaves[s]
            over[source] += part * over[s]
            time[source] += part * time[s]
            for target, chance in row.items():
                connect(source, target, part * chance)
    lengths: list[float] = []
    for s in range(size):
        lengths.append((time[s] + math.fsum(chance * lengths[t] for t, chance in rows[s].items())) / leaves[s])
    return lengths


def _solvable(chart: BernoulliCusum) -> bool:
    work = chart.threshold if chart.down == 1 else chart.threshold * (chart.per - chart.down) * chart.down
    return work <= _MOST_WORK


def _simplest(low: float, high: float, worse: float) -> tuple[int, int]:
    """The fraction with the smallest denominator between ``low`` and ``high``, both in (0, 1), low < high."""
    for per in range(max(2, math.floor(1 / high)), _FINEST):
        down = math.ceil(low * per)
        if down < per and down <= high * per:
            return down, per
    raise ArgumentError("worse", worse, f"{_FURTHER} or both larger")
