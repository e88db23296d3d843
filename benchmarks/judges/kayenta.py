"""Kayenta's verdict: each metric's two samples are compared by the rank-sum interval, metrics give a score, scores give a verdict.

A metric is High when the interval's lower limit is above 0.25·|estimate| and the effect size is at least ``allowed_increase``, Low
symmetrically, Pass otherwise. Arms with the same values need no rule of their own: their interval holds 0. When both arms are constant, and
not the same, the rule itself adds noise of 1e-5 of the value, so its verdict is then not a function of the data.

What the description leaves open: percentiles for outliers are interpolated linearly; an effect of 0/0 is 1, no change; a critical metric
without data fails like any other critical metric that does not pass; only Nodata, not NodataFailMetric, counts for the half of the metrics
that may be missing; a last score between marginal and pass is Marginal.

Known figures that do not come out of the rule as it is described (shares of larger simulations, see `python -m benchmarks.judges`):
that 62 % of 0.3 % shifts are flagged at 240 points and 63 % of 0.15 % shifts at 1000 is true with 0.2·|estimate|; with 0.25 it is 53 % and
56 %. That at most 0.004 are falsely flagged from 4 points on is true from 5 on; at 4 it is 0.010, and no root search flags fewer, because
no limit is outside the bracket. AR(1) with coefficient 0.8 at 15 points gives 0.29, and 0.27 when the series begins at rest, both within the
error of the known 0.23 of 400 runs. Of ten canary points at 100 times the baseline eight are High when the baseline is constant; with
a continuous one it takes nine.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from benchmarks.judges.lives import Bools, Floats, Ints, Lives, Outcome
from benchmarks.judges.rank_sum import shift_intervals, superiority
from numpy.typing import ArrayLike, NDArray

NOISE = 1e-5  # of the value, for two constant arms
PASS_SCORE, MARGINAL_SCORE = 95.0, 75.0


class Label(enum.IntEnum):
    """What became of a metric."""

    PASS = 0
    HIGH = 1
    LOW = 2
    NODATA = 3
    NODATA_FAIL = 4


class Verdict(enum.IntEnum):
    FAIL = 0
    MARGINAL = 1
    PASS = 2


class Direction(enum.Enum):
    """Which change is a failure."""

    EITHER = "either"
    INCREASE = "increase"
    DECREASE = "decrease"


class Effect(enum.Enum):
    """Effect size: mean of the experiment by mean of the control, or the chance that a point of it is above one of the control."""

    MEAN_RATIO = 1.0  # the value is that of no change, and the default of both allowances
    CLES = 0.5


@dataclass(frozen=True, slots=True)
class Metric:
    """``replace_missing`` makes missing points 0 instead of leaving them out; ``must_have_data`` makes their lack a failure.

    ``tolerance``, of the estimate, is fixed in the rule; it is here for comparisons.
    """

    direction: Direction = Direction.EITHER
    effect: Effect = Effect.MEAN_RATIO
    allowed_increase: float | None = None
    allowed_decrease: float | None = None
    critical: bool = False
    must_have_data: bool = False
    replace_missing: bool = False
    remove_outliers: bool = False
    tolerance: float = 0.25


@dataclass(frozen=True, slots=True)
class Classified:
    """Arrays of shape (lives,): values of Label, the effect size, and the interval for the shift of the experiment (NaN without data)."""

    label: NDArray[np.int8]
    effect: Floats
    lower: Floats
    upper: Floats
    estimate: Floats


def without_outliers(rows: Floats) -> Floats:
    """NaN for what is outside min(1st percentile, Q1 - 3·IQR) and max(99th percentile, Q3 + 3·IQR) of its row."""
    out = rows.copy()
    some = ~np.isnan(rows).all(axis=1)
    if some.any():
        lowest, q1, q3, highest = np.nanpercentile(rows[some], [1, 25, 75, 99], axis=1)[:, :, None]
        floor, ceiling = np.minimum(lowest, q1 - 3 * (q3 - q1)), np.maximum(highest, q3 + 3 * (q3 - q1))
        out[some] = np.where((rows[some] < floor) | (rows[some] > ceiling), np.nan, rows[some])
    return out


def _constant(rows: Floats) -> tuple[Bools, Floats]:
    """Which rows have one value only, and that value (0 for the others)."""
    known = ~np.isnan(rows)
    least = np.min(rows, axis=1, where=known, initial=np.inf)
    most = np.max(rows, axis=1, where=known, initial=-np.inf)
    constant = least == most
    return constant, np.where(constant, least, 0.0)


def _with_noise(y: Floats, x: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Both arms with noise in the lives where each has one value, and not the same."""
    (control_is, control), (experiment_is, experiment) = _constant(y), _constant(x)
    flat = control_is & experiment_is & (control != experiment)
    if not flat.any():
        return y, x
    noisy = []
    for rows, value in ((y, control), (x, experiment)):
        copy = rows.copy()
        copy[flat] += rng.standard_normal(copy[flat].shape) * (NOISE * np.abs(value[flat]))[:, None]
        noisy.append(copy)
    return noisy[0], noisy[1]


def effect_sizes(y: Floats, x: Floats, effect: Effect) -> Floats:
    """Of each life, ``y`` control and ``x`` experiment; NaN without data in either arm."""
    if effect is Effect.CLES:
        return superiority(y, x)
    with np.errstate(invalid="ignore", divide="ignore"):
        of_control, of_experiment = (np.nansum(rows, axis=1) / (~np.isnan(rows)).sum(axis=1) for rows in (y, x))
        return np.where((of_control == 0) & (of_experiment == 0), 1.0, of_experiment / of_control)


def classify(
    control: ArrayLike, experiment: ArrayLike, rng: np.random.Generator, metric: Metric | None = None
) -> Classified:
    """One metric of many lives: ``control`` (lives, m) and ``experiment`` (lives, n), NaN for a missing point."""
    metric = metric or Metric()
    y, x = np.asarray(control, dtype=float), np.asarray(experiment, dtype=float)
    if np.isinf(x).any() or np.isinf(y).any():
        raise ValueError("points are finite, or NaN where one is missing")
    if metric.replace_missing:
        y, x = np.nan_to_num(y), np.nan_to_num(x)
    if metric.remove_outliers:
        y, x = without_outliers(y), without_outliers(x)
    y, x = _with_noise(y, x, rng)
    shift, effect = shift_intervals(y, x), effect_sizes(y, x, metric.effect)
    tolerated = metric.tolerance * np.abs(shift.estimate)
    least = metric.effect.value if metric.allowed_increase is None else metric.allowed_increase
    most = metric.effect.value if metric.allowed_decrease is None else metric.allowed_decrease
    label = np.full(len(x), Label.PASS, dtype=np.int8)
    if metric.direction is not Direction.DECREASE:
        label[(shift.lower > tolerated) & (effect >= least)] = Label.HIGH
    if metric.direction is not Direction.INCREASE:
        label[(shift.upper < -tolerated) & (effect <= most)] = Label.LOW
    missing = np.isnan(shift.estimate)
    if not metric.replace_missing:
        label[missing] = Label.NODATA_FAIL if metric.must_have_data else Label.NODATA
    return Classified(label, effect, shift.lower, shift.upper, shift.estimate)


@dataclass(frozen=True, slots=True)
class Result:
    """One metric of one run, in its group."""

    group: str
    label: Label
    critical: bool = False


def group_score(labels: Sequence[Label]) -> float:
    """Passed metrics in all that are not Nodata, in percent; 100 for a group without any, as it counts in the sum."""
    judged = [label for label in labels if label is not Label.NODATA]
    return 100 * sum(label is Label.PASS for label in judged) / len(judged) if judged else 100.0


def score(results: Sequence[Result], weights: Mapping[str, float] | None = None) -> float:
    """Of one run, 0 to 100, two decimals. ``weights`` of groups in percent; groups without one share the rest equally."""
    groups: dict[str, list[Label]] = {}
    for result in results:
        groups.setdefault(result.group, []).append(result.label)
    given = dict(weights or {})
    if not groups or (unknown := set(given) - set(groups)):
        raise ValueError(
            "there is no metric" if not groups else f"no metric is in the weighted groups {sorted(unknown)}"
        )
    rest, others = 100 - sum(given.values()), [name for name in groups if name not in given]
    if rest < 0 or (rest > 0 and not others) or any(weight < 0 for weight in given.values()):
        raise ValueError(f"weights of groups are percentages of together 100, not {given}")
    if any(result.critical and result.label is not Label.PASS for result in results):
        return 0.0
    if 2 * sum(result.label is Label.NODATA for result in results) >= len(results):
        return 0.0
    given |= dict.fromkeys(others, rest / max(1, len(others)))
    return round(sum(given[name] / 100 * group_score(labels) for name, labels in groups.items()), 2)


def _check_scores(pass_score: float, marginal_score: float) -> None:
    if not 0 <= marginal_score <= pass_score <= 100:
        raise ValueError(
            f"0 <= marginal <= pass <= 100 does not hold for marginal {marginal_score} and pass {pass_score}"
        )


def judge(run: float, pass_score: float = PASS_SCORE, marginal_score: float = MARGINAL_SCORE) -> Verdict:
    """The verdict on the score of one run."""
    _check_scores(pass_score, marginal_score)
    if run >= pass_score:
        return Verdict.PASS
    return Verdict.MARGINAL if run >= marginal_score else Verdict.FAIL


def aggregate(
    runs: Sequence[float], pass_score: float = PASS_SCORE, marginal_score: float = MARGINAL_SCORE
) -> tuple[Verdict, int]:
    """The verdict on many intervals, and after how many it was there.

    The first score at or below ``marginal_score`` fails the whole (in one run, equality is still Marginal); else the last score decides.
    """
    _check_scores(pass_score, marginal_score)
    if not runs:
        raise ValueError("there is no score")
    for after, run in enumerate(runs, 1):
        if run <= marginal_score:
            return Verdict.FAIL, after
    return judge(runs[-1], pass_score, marginal_score), len(runs)


def windows(points: int, intervals: int, lookback: int = 0) -> list[tuple[int, int]]:
    """First and last column (exclusive) of each of ``intervals`` equal runs; from the start, or sliding over ``lookback`` points."""
    if not 1 <= intervals <= points or lookback < 0:
        raise ValueError(
            f"1 <= intervals <= points does not hold for {intervals} and {points}, or lookback is negative"
        )
    ends = [points * run // intervals for run in range(1, intervals + 1)]
    return [(max(0, end - lookback) if lookback else 0, end) for end in ends]


def error_rates(requests: ArrayLike, bad: ArrayLike) -> Floats:
    """Points of an error rate, NaN where there were no requests."""
    every, wrong = np.asarray(requests, dtype=float), np.asarray(bad, dtype=float)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(every > 0, wrong / every, np.nan)


def judge_lives(
    control: ArrayLike,
    experiment: ArrayLike,
    intervals: int,
    rng: np.random.Generator,
    metric: Metric | None = None,
    *,
    pass_score: float = PASS_SCORE,
    marginal_score: float = MARGINAL_SCORE,
    lookback: int = 0,
    requests: ArrayLike | None = None,
    bad: ArrayLike | None = None,
) -> Lives:
    """Lives judged on one metric at the end of each of ``intervals`` equal parts; Lives.tick is the number of columns seen by then.

    ``control`` and ``experiment``, shape (lives, points): error rates or the like, NaN where there is none. The first score at or below
    ``marginal_score`` rolls back, the last one promotes when it is at least ``pass_score`` and rolls back otherwise. ``requests`` and
    ``bad`` of the candidate, same shape, are what is summed until then; without them served and harmed are 0. A life with one metric that
    has no data scores 0.
    """
    metric = metric or Metric()
    _check_scores(pass_score, marginal_score)
    y, x = np.asarray(control, dtype=float), np.asarray(experiment, dtype=float)
    if x.ndim != 2 or x.shape != y.shape:
        raise ValueError(f"control and experiment have one shape (lives, points), not {y.shape} and {x.shape}")
    lives, points = x.shape
    outcome, decided = np.full(lives, Outcome.UNDECIDED, dtype=np.int8), np.full(lives, points, dtype=np.int64)
    # With one metric a score is 100 or 0, by `score`.
    by_label = np.array([score([Result("", label, metric.critical)]) for label in Label])
    runs = windows(points, intervals, lookback)
    for at, (begin, end) in enumerate(runs, 1):
        open_ = np.flatnonzero(outcome == Outcome.UNDECIDED)
        scores = by_label[classify(y[open_, begin:end], x[open_, begin:end], rng, metric).label]
        out = scores <= marginal_score
        if at == len(runs):
            out |= scores < pass_score
            outcome[open_[~out]] = Outcome.PROMOTED
        outcome[open_[out]], decided[open_[out]] = Outcome.ROLLED_BACK, end
    served, harmed = (_until(decided, counts, x.shape) for counts in (requests, bad))
    return Lives(outcome, decided, served, harmed)


def _until(decided: Ints, counts: ArrayLike | None, shape: tuple[int, ...]) -> Ints:
    """Sum of each life's columns before the decision."""
    if counts is None:
        return np.zeros(shape[0], dtype=np.int64)
    all_ = np.broadcast_to(np.asarray(counts), shape)
    counted: Ints = np.where(np.arange(shape[1]) < decided[:, None], all_, 0).sum(axis=1).astype(np.int64)
    return counted
