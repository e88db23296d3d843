"""Flagger's verdict: a point value against a limit at every tick, failed checks counted over the whole rollout.

The rule, per tick: (1) as many failed checks as the threshold: roll back, so one tick after the last of them; (2) weight 0: set the first
weight and check nothing; (3) otherwise check the window. A failed check counts and holds the weight, a passed one raises it, and at the
highest weight promotes. The count never falls. A window without requests, or without an answer of the metric source, is a failed check.

Read plainly, the rule gives every figure that is known of it: the candidate gets requests · weight / 100 (a whole number in the whole
table), every weight up to the highest must pass once, and a window is one tick. Two of the thirty figures are rounded twice, first to four
decimals: 0.50947 is known as 0.510, 0.99746 as 0.998. The figure for a shared incident is met when its first column is spread evenly over
the ten of a rollout without a failed check: 0.963 (0.81 when it begins with the first weight, 0.999 with the ninth).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from benchmarks.judges.lives import Lives, Outcome, Traffic, Windows, below_limit_probability, silence
from numpy.typing import ArrayLike


@dataclass(frozen=True, slots=True)
class Rules:
    """Of one Canary: ``step_weight`` and ``max_weight``, or the list ``step_weights``, in percent; ``window`` in ticks."""

    min_success: float = 0.99
    step_weight: int = 5
    max_weight: int = 50
    threshold: int = 5
    step_weights: tuple[int, ...] = ()
    window: int = 1

    def __post_init__(self) -> None:
        if self.threshold < 1 or self.window < 1:
            raise ValueError("threshold and window are at least 1")
        if not self.step_weights and (self.step_weight < 1 or self.max_weight % self.step_weight):
            raise ValueError(f"max_weight {self.max_weight} is no multiple of step_weight {self.step_weight}")
        weights = self.weights
        if any(low >= high for low, high in zip((0, *weights), weights, strict=False)) or weights[-1] > 100:
            raise ValueError(f"weights rise from above 0 to at most 100, not {weights}")

    @property
    def weights(self) -> tuple[int, ...]:
        return self.step_weights or tuple(range(self.step_weight, self.max_weight + 1, self.step_weight))

    @property
    def most_ticks(self) -> int:
        """After which every life is decided: each check either raises the weight or counts, and a rollback is a tick late."""
        return len(self.weights) + self.threshold


def rollback_probability(
    requests: int | Sequence[int], success: float | Sequence[float], rules: Rules | None = None
) -> float:
    """Exact chance that the candidate is rolled back, by dynamic programming over (weight, failed checks).

    ``requests`` to the whole service and ``success`` of the candidate's answers are one for every column, or a list of them whose last item
    goes on for ever. Checks are independent, so ``rules.window`` must be 1.
    """
    rules = rules or Rules()
    if rules.window != 1:
        raise ValueError("the exact form needs window 1: longer windows read the same requests twice")
    every_request = [requests] if isinstance(requests, int) else list(requests)
    every_success = [success] if isinstance(success, float | int) else list(success)
    weights, threshold = rules.weights, rules.threshold
    at = np.zeros((len(weights), threshold))  # probability of each weight and number of failed checks, still running
    at[0, 0] = 1
    rolled_back = 0.0
    for tick in range(rules.most_ticks):
        total = every_request[min(tick, len(every_request) - 1)]
        good = every_success[min(tick, len(every_success) - 1)]
        after = np.zeros_like(at)
        for step, weight in enumerate(weights):
            fails = below_limit_probability(round(total * weight / 100), good, rules.min_success)
            after[step, 1:] += at[step, :-1] * fails
            rolled_back += at[step, -1] * fails
            if step + 1 < len(weights):
                after[step + 1] += at[step] * (1 - fails)
        at = after
    return rolled_back


def simulate(
    traffic: Traffic, lives: int, ticks: int, rules: Rules | None = None, *, silent: ArrayLike | None = None
) -> Lives:
    """Many lives at once, until tick ``ticks``, which is the last one that looks.

    ``silent``, shape (ticks,) or (lives, ticks): the metric source gives no answer to the check at the end of that column. The candidate
    keeps its weight from the check that uses up the threshold until the tick that rolls back, and that harm counts too.
    """
    rules = rules or Rules()
    weights = np.array([0, *rules.weights], dtype=float)
    step, failed = np.zeros(lives, dtype=np.int64), np.zeros(lives, dtype=np.int64)
    outcome, decided = np.full(lives, Outcome.UNDECIDED, dtype=np.int8), np.full(lives, ticks, dtype=np.int64)
    windows = Windows(lives, rules.window)

    for tick in range(ticks + 1):
        living = outcome == Outcome.UNDECIDED
        spent = living & (failed >= rules.threshold)
        outcome[spent], decided[spent] = Outcome.ROLLED_BACK, tick
        living &= ~spent
        checked = living & (step > 0)
        if tick:
            good = (windows.success_rate() >= rules.min_success) & ~silence(silent, lives, tick - 1)  # false for NaN
            failed[checked & ~good] += 1
            promoted = checked & good & (step == len(weights) - 1)
            outcome[promoted], decided[promoted] = Outcome.PROMOTED, tick
            living &= ~promoted
            step[living & checked & good] += 1
        step[living & ~checked] = 1
        if tick == ticks or not living.any():
            break
        windows.add(tick, traffic(tick, np.where(living, weights[step], 0.0)), living)
    return Lives(outcome, decided, windows.served, windows.harmed)
