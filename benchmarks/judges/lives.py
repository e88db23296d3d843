"""What the judges have in common: the traffic that a life sees, and how it ended.

Time is counted in ticks. Column t of every array is what happens between tick t and tick t + 1, so a judge that looks at tick t has seen
the columns before t.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import bdtrc

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

# What the candidate of each life serves in column t: (t, weight in percent of each life) -> (requests, bad), arrays of shape (lives,).
# A life that is over has weight 0; what is drawn for it is not counted. NaN requests: the metric has no value for this column.
Traffic = Callable[[int, Floats], tuple[ArrayLike, ArrayLike]]


class Outcome(enum.IntEnum):
    """How a life stands at the horizon."""

    UNDECIDED = 0
    PROMOTED = 1
    ROLLED_BACK = 2
    PAUSED = 3  # waits for a person, with its weight


@dataclass(frozen=True, slots=True)
class Lives:
    """Arrays of shape (lives,).

    ``outcome`` holds values of Outcome; ``tick`` is when that was decided, the horizon while undecided. ``served`` and ``harmed`` are all
    and bad answers of the candidate until its weight was 0, or until it was promoted, or until the horizon.
    """

    outcome: NDArray[np.int8]
    tick: Ints
    served: Ints
    harmed: Ints

    def count(self, outcome: Outcome) -> int:
        return int((self.outcome == outcome).sum())

    def share(self, outcome: Outcome) -> float:
        return self.count(outcome) / len(self.outcome)


def column(values: NDArray[Any], tick: int) -> NDArray[Any]:
    """Column ``tick`` of an array of shape (), (ticks,) or (lives, ticks)."""
    return values if values.ndim == 0 else values[..., tick]


def binomial_traffic(
    rng: np.random.Generator, requests: ArrayLike, bad_share: ArrayLike, *, exact_split: bool = True
) -> Traffic:
    """Traffic from what the whole service gets and how often the candidate fails.

    ``requests`` (whole service, per column) and ``bad_share`` (of the candidate's answers) have shape (), (ticks,) or (lives, ticks): load
    that varies, incidents that both arms share and single lives that differ are arrays. The candidate gets requests · weight / 100, rounded
    to even, or with ``exact_split=False`` a binomial draw of that mean.
    """
    total, share = np.asarray(requests), np.asarray(bad_share, dtype=float)
    if share.size and (np.nanmin(share) < 0 or np.nanmax(share) > 1):
        raise ValueError("bad_share is a probability: between 0 and 1")

    def draw(tick: int, weight: Floats) -> tuple[ArrayLike, ArrayLike]:
        of_all, bad = column(total, tick), column(share, tick)
        if exact_split:
            own = np.rint(of_all * weight / 100).astype(np.int64)
        else:
            own = rng.binomial(np.broadcast_to(of_all, weight.shape), weight / 100)
        return own, rng.binomial(own, bad)

    return draw


def recorded_traffic(requests: ArrayLike, bad: ArrayLike) -> Traffic:
    """What the candidate served is known for every column, shape (lives, ticks), whatever its weight was."""
    all_, wrong = np.asarray(requests, dtype=float), np.asarray(bad, dtype=float)
    if all_.ndim != 2 or all_.shape != wrong.shape:
        raise ValueError(f"requests and bad have one shape (lives, ticks), not {all_.shape} and {wrong.shape}")
    return lambda tick, _weight: (all_[:, tick], wrong[:, tick])


def below_limit_probability(requests: int, success: float, least: float) -> float:
    """That fewer than the share ``least`` of ``requests`` answers are good, each with chance ``success``; 1 without requests."""
    if requests == 0:
        return 1.0
    bad = np.arange(requests + 1)
    passes = (requests - bad) / requests >= least
    return float(bdtrc(bad[passes].max(), requests, 1 - success))


class Windows:
    """Requests and bad answers of the candidates: the last ``width`` columns for the metric, all of them for the harm."""

    def __init__(self, lives: int, width: int) -> None:
        if lives < 1 or width < 1:
            raise ValueError(f"lives and width are at least 1, not {lives} and {width}")
        self._ring = np.zeros((2, width, lives))
        self.served, self.harmed = np.zeros(lives, dtype=np.int64), np.zeros(lives, dtype=np.int64)

    def add(self, tick: int, drawn: tuple[ArrayLike, ArrayLike], living: Bools) -> None:
        """Column ``tick``; only ``living`` lives count. An unknown value (NaN) harms nobody and spoils the window."""
        requests, bad = (np.broadcast_to(np.asarray(part, dtype=float), living.shape) for part in drawn)
        if np.any(bad[living] > requests[living]):
            raise ValueError(f"column {tick}: more bad answers than requests")
        self._ring[:, tick % self._ring.shape[1]] = requests, bad
        self.served[living] += np.nan_to_num(requests[living]).astype(np.int64)
        self.harmed[living] += np.nan_to_num(bad[living]).astype(np.int64)

    def success_rate(self) -> Floats:
        """Of the window, NaN where it has no requests or an unknown value."""
        requests, bad = self._ring.sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            # As a quotient of counts: 99 of 100 is then the same float as the limit 0.99.
            return np.where(requests > 0, (requests - bad) / requests, np.nan)


def silence(silent: ArrayLike | None, lives: int, tick: int) -> Bools:
    """Where the metric source gives no answer to the look at the end of column ``tick``; ``silent`` as (ticks,) or (lives, ticks)."""
    if silent is None:
        return np.zeros(lives, dtype=bool)
    return np.broadcast_to(column(np.asarray(silent, dtype=bool), tick), (lives,))
