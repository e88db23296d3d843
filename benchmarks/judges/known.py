"""Figures that are known of each rule, as they were printed, and the data that they are about."""

from __future__ import annotations

import numpy as np
from benchmarks.judges.lives import Floats, Ints, Traffic, binomial_traffic

# Requests per interval to the whole service -> Flagger's P(rollback) by true success.
SUCCESS = (0.997, 0.995, 0.992, 0.985, 0.98)
FLAGGER = {
    40: ("0.0001", "0.0007", "0.005", "0.058", "0.145"),
    100: ("0.004", "0.030", "0.142", "0.579", "0.809"),
    200: ("0.032", "0.172", "0.510", "0.944", "0.993"),
    400: ("0.009", "0.097", "0.471", "0.979", "0.999"),
    1000: ("0.0003", "0.014", "0.318", "0.998", "1.000"),
    4000: ("0.0000", "0.0000", "0.089", "1.000", "1.000"),
}
# 600 requests a tick, both arms 99.6 % good, and 97 % for six ticks that begin within the ten of an undisturbed rollout.
INCIDENT, INCIDENT_STARTS = 0.96, range(10)

# Requests per measurement -> Argo's P(abort | 99.5 % good) with failureLimit 0 and 3; and of 98.5 % with 20 requests and limit 3.
ARGO = {
    20: ("0.63", "0.011"),
    50: ("0.92", "0.162"),
    100: ("0.61", "0.009"),
    200: ("0.56", "0.006"),
    1000: ("0.13", "0.000"),
}
ARGO_BAD = "0.25"

# Kayenta's share of identical normal data that is flagged, by points; of AR(1) data by coefficient and points, from RUNS runs each.
FALSE_FLAGS = {2: 0.229, 3: 0.052}
FALSE_FLAGS_AT_MOST, FALSE_FLAGS_FROM = 0.004, 5
AUTOREGRESSIVE = {(0.5, 15): 0.06, (0.5, 30): 0.07, (0.5, 60): 0.085, (0.8, 15): 0.23, (0.8, 30): 0.32, (0.8, 60): 0.30}
RUNS = 400
# Shift in percent of the mean, with a standard deviation of 1 %, and points -> share flagged with the tolerance of 0.2; see kayenta.py.
SHIFTS = {(0.3, 240): 0.62, (0.15, 1000): 0.63}
SHIFTS_TOLERANCE = 0.2
# What the rule gives where it does not give the known figure, from simulations of our own (at least 12,000 lives; a million for 4 points).
FALSE_FLAGS_OF_FOUR = 0.0101
SHIFTS_BY_THE_RULE = {(0.3, 240): 0.534, (0.15, 1000): 0.564}


def incident(first: int) -> list[float]:
    """Success by column, the last one for ever."""
    return [0.996] * first + [0.97] * 6 + [0.996]


def incident_traffic(rng: np.random.Generator, lives: int, ticks: int) -> Traffic:
    """Incidents whose first column is spread evenly."""
    first: Ints = rng.integers(INCIDENT_STARTS.start, INCIDENT_STARTS.stop, lives)[:, None]
    at = np.arange(ticks)
    return binomial_traffic(rng, 600, np.where((at >= first) & (at < first + 6), 0.03, 0.004))


def autoregressive(rng: np.random.Generator, lives: int, points: int, coefficient: float) -> Floats:
    """Stationary AR(1) with innovations of standard deviation 1 and mean 100, shape (lives, points)."""
    rows = rng.standard_normal((lives, points))
    rows[:, 0] /= np.sqrt(1 - coefficient**2)
    for at in range(1, points):
        rows[:, at] += coefficient * rows[:, at - 1]
    return 100 + rows
