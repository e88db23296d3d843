"""Refuse what no calculation can use, with the argument's name and what to write instead.

All checks let NaN fail: every comparison with it is false.
"""

from __future__ import annotations

import math

from solera.errors import SoleraError


class ArgumentError(SoleraError, ValueError):
    """An argument that the formula is not made for. ``argument`` is its name, ``text`` ends with what to write instead."""

    def __init__(self, argument: str, got: object, instead: str) -> None:
        super().__init__(f"{argument} must be {instead}, got {got!r}")
        self.argument = argument


def open_interval(name: str, value: float, low: float = 0.0, high: float = 1.0) -> None:
    """``low`` < value < ``high``: a risk, a quantile's level, a share that a logarithm is taken of."""
    if not low < value < high:
        raise ArgumentError(name, value, f"between {low:g} and {high:g}, both excluded (5 % is written 0.05)")


def closed_interval(name: str, value: float, low: float, high: float) -> None:
    """``low`` <= value <= ``high``: an observation on a bounded scale."""
    if not low <= value <= high:
        raise ArgumentError(name, value, f"between {low:g} and {high:g}")


def positive(name: str, value: float) -> None:
    """Finite and above 0: a scale, a standard deviation, a time to optimise for."""
    if not 0 < value < math.inf:
        raise ArgumentError(name, value, "a finite number above 0")


def finite(name: str, value: float) -> None:
    """Neither NaN nor infinite."""
    if not math.isfinite(value):
        raise ArgumentError(name, value, "a finite number; leave an observation out rather than write NaN")


def count(name: str, value: float, least: int = 0) -> None:
    """A whole number of at least ``least``."""
    if not value >= least or value % 1:
        raise ArgumentError(name, value, f"a whole number of at least {least}")


def scale(low: float, high: float) -> None:
    """The two ends of a bounded scale, in order."""
    finite("low", low)
    finite("high", high)
    if not low < high:
        raise ArgumentError("high", high, f"above low ({low:g})")
