"""Has a score that used to be stable moved? Two control charts against a GIVEN baseline.

Tabular CUSUM (Page 1954; Lucas and Crosier 1982), for values x with baseline mean and standard deviation, z = (x - mean)/sd:

    high = max(0, high + z - k)      low = max(0, low - z - k)      alarm when one exceeds h

EWMA (Roberts 1959; Lucas and Saccucci 1990): value = (1 - λ)·value + λ·z, alarm when |value| exceeds L·√(λ/(2 - λ)).

CUSUM is quickest for a shift of 2k standard deviations, EWMA with a small λ for smaller ones. How long either runs is computed in
``solera.stats.run_length``: with k = 0.5, h = 5 a two-sided CUSUM raises a false alarm every 465 values on average and finds a shift of one standard
deviation within 10.4.

The promise holds for independent, roughly normal values whose mean and standard deviation are KNOWN. It is broken by

- a baseline estimated from few values: of 100 in-control values 18 % of the charts raise an alarm with a known baseline, 19 % with one of
  500 values, 28 % of 100, 41 % of 30;
- single pass/fail outcomes, which are skewed: at 84 % right, k = 0.5 and h = 5 a one-sided chart runs 182 values instead of 931. Feed the
  mean of a run of some 50 items (with sd/√50), or use ``solera.stats.bernoulli_cusum`` or ``solera.stats.e_detector``.

Units: values, mean and sd in the scores' unit; everything else in standard deviations.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from solera.stats.arguments import ArgumentError, finite, positive

Shift = Literal["rise", "fall"]


@dataclass(frozen=True, slots=True)
class Cusum:
    """A two-sided tabular CUSUM; ``high`` and ``low`` are its state, which can be stored and go on.

    ``k`` is the allowance (half of the shift to be found) and ``h`` the threshold. Start with ``high`` = ``low`` = h/2 ("head start")
    to find soon what is wrong from the beginning. The chart does not reset itself: begin anew once the alarm has been dealt with.

    Raises:
        ArgumentError: a baseline, allowance or threshold that is not positive and finite, or a negative state.
    """

    mean: float
    sd: float
    k: float = 0.5
    h: float = 5.0
    high: float = 0.0
    low: float = 0.0

    def __post_init__(self) -> None:
        _baseline(self.mean, self.sd)
        positive("h", self.h)
        for name, value in (("k", self.k), ("high", self.high), ("low", self.low)):
            if not 0 <= value < math.inf:
                raise ArgumentError(name, value, "a finite number of standard deviations, at least 0")

    def add(self, value: float) -> Cusum:
        """The chart with one more value.

        Raises:
            ArgumentError: the value is not finite.
        """
        finite("value", value)
        z = (value - self.mean) / self.sd
        return replace(self, high=max(0.0, self.high + z - self.k), low=max(0.0, self.low - z - self.k))

    @property
    def alarm(self) -> Shift | None:
        """Which way the values have moved, or None while they are in control; the farther side when both exceed h."""
        if max(self.high, self.low) <= self.h:
            return None
        return "rise" if self.high > self.low else "fall"


@dataclass(frozen=True, slots=True)
class Ewma:
    """An exponentially weighted moving average with fixed limits; ``value`` is its state, in standard deviations from the mean.

    ``smoothing`` = λ, the weight of the newest value, and ``limit`` = L. Pairs with 500 values between false alarms: (0.5, 3.071),
    (0.25, 2.998), (0.1, 2.814), (0.05, 2.615), (0.03, 2.437).

    Raises:
        ArgumentError: a baseline that is not finite, a λ outside (0, 1] or a limit that is not positive.
    """

    mean: float
    sd: float
    smoothing: float = 0.1
    limit: float = 2.814
    value: float = 0.0

    def __post_init__(self) -> None:
        _baseline(self.mean, self.sd)
        if not 0 < self.smoothing <= 1:
            raise ArgumentError("smoothing", self.smoothing, "above 0 and at most 1, the weight of the newest value")
        positive("limit", self.limit)
        finite("value", self.value)

    def add(self, value: float) -> Ewma:
        """The chart with one more value.

        Raises:
            ArgumentError: the value is not finite.
        """
        finite("value", value)
        z = (value - self.mean) / self.sd
        return replace(self, value=self.value + self.smoothing * (z - self.value))

    @property
    def alarm(self) -> Shift | None:
        """Which way the values have moved, or None while they are in control."""
        if abs(self.value) <= self.limit * math.sqrt(self.smoothing / (2 - self.smoothing)):
            return None
        return "rise" if self.value > 0 else "fall"


def _baseline(mean: float, sd: float) -> None:
    finite("mean", mean)
    positive("sd", sd)
