"""Worlds in which judges are compared: what both arms served and failed, in many lives at once.

Shapes: (lives, intervals). The first DENSE seconds have intervals of 5 s, up to LONG they have a minute, and after that they are as long as it takes to
reach the horizon in LATE intervals. Requests come as a Poisson process; the candidate's share of them is its weight.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

INTERVAL, MINUTE = 5.0, 60.0
DENSE, LONG = 16 * MINUTE, 60 * MINUTE
LATE = 100
TOGETHER = 2.0
"""Seconds within which all failures of one burst come."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One world. ``traffic`` is in requests a minute to the whole service, shares are in [0, 1], sizes of bursts in failures.

    ``incident`` is the share of failures that both arms have for six minutes, from ``incident_at`` minutes on; ``load`` the standard deviation of
    the logarithm of a load that keeps 0.95 of its deviation from one interval to the next.
    """

    name: str
    traffic: float
    weight: float
    candidate: float
    stable: float
    candidate_burst: int = 1
    stable_burst: int = 1
    incident: float = 0.0
    incident_at: float = 4.0
    load: float = 0.0


@dataclass(frozen=True, slots=True)
class World:
    """``ends`` of the intervals in seconds, shape (intervals,); counts of shape (lives, intervals)."""

    scenario: Scenario
    ends: Floats
    total: Ints
    bad: Ints
    stable_total: Ints
    stable_bad: Ints

    def minutes(self, count: int) -> tuple[Ints, Ints, Ints, Ints]:
        """The same counts for each of the first ``count`` minutes, shape (lives, count)."""
        minute = np.minimum(np.ceil(self.ends / MINUTE).astype(int) - 1, count)
        starts = np.searchsorted(minute, np.arange(count + 1))
        parts = (self.total, self.bad, self.stable_total, self.stable_bad)
        sums = [np.add.reduceat(part[:, : starts[-1]], starts[:-1], axis=1) for part in parts]
        return sums[0], sums[1], sums[2], sums[3]


def ends_of(horizon: float) -> Floats:
    """Where the intervals of a world end that lasts ``horizon`` seconds, and an hour at least."""
    dense = np.arange(INTERVAL, DENSE + 1, INTERVAL)
    minutes = np.arange(DENSE + MINUTE, LONG + 1, MINUTE)
    late = np.linspace(LONG, horizon, LATE + 1)[1:] if horizon > LONG + MINUTE else np.empty(0)
    return np.concatenate([dense, minutes, late])


def draw(scenario: Scenario, lives: int, horizon: float, rng: np.random.Generator) -> World:
    """``lives`` lives of a world that last ``horizon`` seconds, and an hour at least."""
    s, ends = scenario, ends_of(horizon)
    lengths = np.diff(ends, prepend=0.0)
    due = s.traffic / MINUTE * lengths * _load(s.load, lives, len(ends), rng)
    due = np.broadcast_to(due, (lives, len(ends)))
    total, stable_total = rng.poisson(due * s.weight), rng.poisson(due * (1 - s.weight))
    shares = [np.full(len(ends), share) for share in (s.candidate, s.stable)]
    if s.incident:
        middle, begin = ends - lengths / 2, s.incident_at * MINUTE
        for share in shares:
            share[(middle >= begin) & (middle < begin + 6 * MINUTE)] = s.incident
    rates = (s.traffic * s.weight / MINUTE, s.traffic * (1 - s.weight) / MINUTE)
    bad = _failures(total, shares[0], s.candidate_burst, rates[0], lengths, rng)
    stable_bad = _failures(stable_total, shares[1], s.stable_burst, rates[1], lengths, rng)
    return World(s, ends, total, bad, stable_total, stable_bad)


def burst_size(burst: int, rate: float) -> int:
    """How many fail together: no more than come within TOGETHER seconds."""
    return max(1, min(burst, round(rate * TOGETHER)))


def _failures(total: Ints, share: Floats, burst: int, rate: float, lengths: Floats, rng: np.random.Generator) -> Ints:
    size = burst_size(burst, rate)
    if size == 1:
        return rng.binomial(total, share)
    bursts = rng.poisson(total * share / size)
    bad = np.zeros((total.shape[0], total.shape[1] + 1), dtype=np.int64)
    for number in range(int(bursts.max(initial=0))):
        there = bursts > number
        left = (1 - rng.random(bursts.shape)) * lengths  # seconds to the interval's end when the burst begins
        here = rng.binomial(np.where(there, size, 0), np.minimum(left / TOGETHER, 1.0))
        bad[:, :-1] += here
        bad[:, 1:] += np.where(there, size - here, 0)
    return np.minimum(bad[:, :-1], total)


def _load(deviation: float, lives: int, intervals: int, rng: np.random.Generator) -> Floats | float:
    if not deviation:
        return 1.0
    kept = 0.95
    level = np.empty((lives, intervals))
    level[:, 0] = rng.normal(0, deviation, lives)
    for at in range(1, intervals):
        level[:, at] = kept * level[:, at - 1] + rng.normal(0, deviation * math.sqrt(1 - kept**2), lives)
    return np.exp(level - deviation**2 / 2)
