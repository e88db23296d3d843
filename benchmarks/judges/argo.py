"""Argo Rollouts' verdict: a condition on a point value at every measurement, and counters with limits.

A measurement is Successful, Failed, Inconclusive or Error. A metric is Failed with more failures than ``failure_limit``, Inconclusive with
more inconclusive ones than their limit, Error with more errors in a row than theirs; the later of these overwrites the earlier. Otherwise
it is Successful with enough successes in a row, or once ``count`` measurements that were no errors are there, or when it is terminated:
also without a single measurement. Failed and Error abort the rollout, Inconclusive pauses it, a background run is terminated with the last
step. Here a run has one metric.

What the description leaves open is read in favour of the rule: the measurement that is due as the last step ends is still taken, and an
abort takes the weight away at once. A metric that missed its successes in a row by ``count`` is Failed when the failure limit is disabled,
and Inconclusive otherwise.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from benchmarks.judges.lives import (
    Bools,
    Floats,
    Ints,
    Lives,
    Outcome,
    Traffic,
    Windows,
    below_limit_probability,
    silence,
)
from numpy.typing import ArrayLike, NDArray
from scipy.special import bdtrc

Phases = NDArray[np.int8]


class Phase(enum.IntEnum):
    """Of a measurement (never RUNNING), or of a metric."""

    RUNNING = 0
    SUCCESSFUL = 1
    FAILED = 2
    INCONCLUSIVE = 3
    ERROR = 4


@dataclass(frozen=True, slots=True)
class Metric:
    """A success rate with its conditions and limits.

    ``success_at_least`` and ``failure_below`` are the success and the failure condition, None for a condition that is not set. ``count``
    None measures until terminated, ``failure_limit`` -1 disables it, ``successes_in_a_row`` 0 asks for none. ``no_requests`` is what a
    window without requests measures: an empty vector is an Error, 0/0 = NaN what ``phases_of`` makes of it, and a guarded query anything.
    """

    success_at_least: float | None = 0.99
    failure_below: float | None = None
    count: int | None = 10
    failure_limit: int = 0
    inconclusive_limit: int = 0
    consecutive_error_limit: int = 4
    successes_in_a_row: int = 0
    no_requests: Phase = Phase.ERROR

    def __post_init__(self) -> None:
        if self.failure_limit < -1 or min(self.inconclusive_limit, self.consecutive_error_limit) < 0:
            raise ValueError("limits are at least 0, the failure limit at least -1")
        if self.count is not None and self.count < 1:
            raise ValueError(f"count is at least 1, or None, not {self.count}")
        if self.no_requests == Phase.RUNNING:
            raise ValueError("no_requests is the phase of a measurement, so not RUNNING")


class Counters:
    """Of the measurements of many metrics of one kind; arrays of shape (lives,)."""

    def __init__(self, lives: int) -> None:
        self.count, self.successful, self.failed, self.inconclusive = np.zeros((4, lives), dtype=np.int64)
        self.error, self.consecutive_error, self.consecutive_success = np.zeros((3, lives), dtype=np.int64)

    def add(self, phases: ArrayLike, where: ArrayLike = True) -> None:
        """One measurement for each life ``where`` it was taken."""
        is_, taken = np.asarray(phases), np.asarray(where)
        self.successful += taken & (is_ == Phase.SUCCESSFUL)
        self.failed += taken & (is_ == Phase.FAILED)
        self.inconclusive += taken & (is_ == Phase.INCONCLUSIVE)
        wrong = taken & (is_ == Phase.ERROR)
        self.error += wrong
        self.count += taken & ~wrong
        self.consecutive_error = np.where(wrong, self.consecutive_error + 1, np.where(taken, 0, self.consecutive_error))
        good = taken & (is_ == Phase.SUCCESSFUL)
        self.consecutive_success = np.where(
            good, self.consecutive_success + 1, np.where(taken, 0, self.consecutive_success)
        )


def phases_of(metric: Metric, rate: ArrayLike) -> Phases:
    """What measurements with these success rates are. A comparison with NaN is false: it fails a success condition and no other."""
    value = np.asarray(rate, dtype=float)
    phases = np.full(value.shape, Phase.SUCCESSFUL, dtype=np.int8)
    if metric.success_at_least is not None:
        otherwise = Phase.FAILED if metric.failure_below is None else Phase.INCONCLUSIVE
        phases[~(value >= metric.success_at_least)] = otherwise
    if metric.failure_below is not None:
        phases[value < metric.failure_below] = Phase.FAILED
    return phases


def measured(metric: Metric, rate: Floats, silent: Bools) -> Phases:
    """As ``phases_of``, but NaN is a window without requests, and ``silent`` a metric source that gives no answer."""
    phases = np.where(np.isnan(rate), metric.no_requests, phases_of(metric, rate))
    return np.where(silent, Phase.ERROR, phases).astype(np.int8)


def verdict(metric: Metric, counters: Counters, *, terminating: ArrayLike = False) -> Phases:
    """Of each metric, RUNNING where it needs more measurements."""
    phase = np.where(terminating, Phase.SUCCESSFUL, np.full(counters.count.shape, Phase.RUNNING))
    if metric.count is not None:
        missed = Phase.FAILED if metric.failure_limit == -1 else Phase.INCONCLUSIVE
        at_count = missed if metric.successes_in_a_row else Phase.SUCCESSFUL
        phase = np.where(counters.count >= metric.count, at_count, phase)
    if metric.successes_in_a_row:
        phase = np.where(counters.consecutive_success >= metric.successes_in_a_row, Phase.SUCCESSFUL, phase)
    if metric.failure_limit != -1:
        phase = np.where(counters.failed > metric.failure_limit, Phase.FAILED, phase)
    phase = np.where(counters.inconclusive > metric.inconclusive_limit, Phase.INCONCLUSIVE, phase)
    return np.where(counters.consecutive_error > metric.consecutive_error_limit, Phase.ERROR, phase).astype(np.int8)


def abort_probability(requests: int, success: float, metric: Metric | None = None) -> float:
    """Exact, of a run to its ``count``: more than ``failure_limit`` failures when every measurement sees ``requests`` answers.

    Each answer is good with chance ``success``. For a metric with a success condition only.
    """
    metric = metric or Metric()
    if metric.count is None or metric.success_at_least is None or metric.failure_below is not None:
        raise ValueError("the exact form needs a count and a success condition only")
    if requests < 1 or metric.successes_in_a_row:
        raise ValueError("the exact form needs requests, and no successes in a row")
    if metric.failure_limit == -1:
        return 0.0
    fails = below_limit_probability(requests, success, metric.success_at_least)
    return float(bdtrc(metric.failure_limit, metric.count, fails)) if metric.failure_limit < metric.count else 0.0


def run(
    requests: ArrayLike,
    bad: ArrayLike,
    metric: Metric | None = None,
    *,
    silent: ArrayLike | None = None,
    terminated: bool = True,
) -> tuple[Phases, Ints]:
    """Runs of one metric: phase, and after how many measurements, arrays of shape (lives,).

    ``requests`` and ``bad`` of each measurement have shape (lives, measurements). A run that is not over by the last of them is
    ``terminated``, or stays RUNNING.
    """
    metric = metric or Metric()
    every, wrong = np.asarray(requests, dtype=float), np.asarray(bad, dtype=float)
    if every.ndim != 2 or every.shape != wrong.shape:
        raise ValueError(f"requests and bad have one shape (lives, measurements), not {every.shape} and {wrong.shape}")
    lives, measurements = every.shape
    with np.errstate(invalid="ignore", divide="ignore"):
        rates = np.where(every > 0, (every - wrong) / every, np.nan)
    counters, phase = Counters(lives), np.zeros(lives, dtype=np.int8)
    after = np.full(lives, measurements, dtype=np.int64)
    for at in range(measurements):
        running = phase == Phase.RUNNING
        counters.add(measured(metric, rates[:, at], silence(silent, lives, at)), running)
        phase = np.where(running, verdict(metric, counters), phase)
        after[running & (phase != Phase.RUNNING)] = at + 1
    if terminated:
        phase = np.where(phase == Phase.RUNNING, verdict(metric, counters, terminating=True), phase)
    return phase, after


def background(
    traffic: Traffic,
    lives: int,
    steps: Sequence[tuple[int, int]],
    metric: Metric | None = None,
    *,
    interval: int = 1,
    window: int = 1,
    retry: int = 1,
    initial_delay: int = 0,
    silent: ArrayLike | None = None,
) -> Lives:
    """Rollouts of ``steps`` (weight in percent, ticks) with one background run that begins with the first step.

    Measurements are ``interval`` ticks apart, the first after ``initial_delay``: without one it comes before there was any traffic. After
    an Error the next comes after ``retry`` ticks. ``window`` in ticks. ``silent``, shape (ticks,) or (lives, ticks): the metric source gives
    no answer at the end of that column. A paused life keeps its weight, and its harm counts to the horizon, which is the end of the steps.
    """
    metric = metric or Metric(count=None)
    if min(interval, retry) < 1 or initial_delay < 0 or not steps or any(ticks < 1 for _, ticks in steps):
        raise ValueError("interval, retry and the ticks of each step are at least 1, and there is a step")
    planned = np.repeat([float(weight) for weight, _ in steps], [ticks for _, ticks in steps])
    horizon = len(planned)
    weight = np.full(lives, planned[0])
    outcome, decided = np.full(lives, Outcome.UNDECIDED, dtype=np.int8), np.full(lives, horizon, dtype=np.int64)
    phase, due = np.full(lives, Phase.RUNNING, dtype=np.int8), np.full(lives, initial_delay, dtype=np.int64)
    counters, windows = Counters(lives), Windows(lives, window)
    nothing_silent = np.zeros(lives, dtype=bool)

    for tick in range(horizon + 1):
        running = phase == Phase.RUNNING
        taken = running & (due == tick)
        unanswered = silence(silent, lives, tick - 1) if tick else nothing_silent
        result = measured(metric, windows.success_rate(), unanswered)
        counters.add(result, taken)
        due[taken] = tick + np.where(result[taken] == Phase.ERROR, retry, interval)
        phase = np.where(running, verdict(metric, counters), phase)
        ended = running & (phase != Phase.RUNNING)
        outcome[ended & ((phase == Phase.FAILED) | (phase == Phase.ERROR))] = Outcome.ROLLED_BACK
        outcome[ended & (phase == Phase.INCONCLUSIVE)] = Outcome.PAUSED
        decided[ended & (outcome != Outcome.UNDECIDED)] = tick
        if tick == horizon:
            break
        weight = np.where(outcome == Outcome.PAUSED, weight, np.where(outcome == Outcome.UNDECIDED, planned[tick], 0))
        windows.add(tick, traffic(tick, weight), outcome != Outcome.ROLLED_BACK)
    # With the last step a run that goes on is terminated, which makes it Successful whatever it has not seen.
    outcome[outcome == Outcome.UNDECIDED] = Outcome.PROMOTED
    return Lives(outcome, decided, windows.served, windows.harmed)
