"""Every figure that is known of the judges, beside what they give: exact where there is an exact form, and from large simulations.

    python -m benchmarks.judges

Takes a minute or two. The exit code is 1 when a figure is not what it should be.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

import numpy as np
from benchmarks.judges import argo, flagger, kayenta, known
from benchmarks.judges.agreement import p_value, p_value_of_two
from benchmarks.judges.kayenta import Label
from benchmarks.judges.lives import Outcome, binomial_traffic
from benchmarks.judges.rank_sum import by_root_search, shift_intervals

LIVES = 20_000
LEAST = 1e-4  # p value below which a simulation disagrees; there are about sixty of them


@dataclass(frozen=True, slots=True)
class Figure:
    what: str
    known: str
    found: str
    agrees: bool
    how: str = "exact"


def printed(value: float, as_: str) -> str:
    """With as many decimals as the known figure. That was rounded by way of four decimals (see flagger.py)."""
    four = Decimal(value).quantize(Decimal("0.0001"))
    return str(four.quantize(Decimal(as_), ROUND_HALF_UP))


def simulated(what: str, chance: float, count: int, runs: int) -> Figure:
    p = p_value(count, runs, chance)
    return Figure(what, f"{chance:.4f}", f"{count / runs:.4f}", p > LEAST, f"{runs} lives, p {p:.2g}")


def sampled(what: str, share: float, count: int, runs: int) -> Figure:
    """Beside a figure that is itself from a simulation."""
    p = p_value_of_two(count, runs, round(share * known.RUNS), known.RUNS)
    return Figure(
        what, f"{share:g}", f"{count / runs:.4f}", p > LEAST, f"{runs} lives, p {p:.2g} if known from {known.RUNS}"
    )


def ours(what: str, share: float, count: int, runs: int, known_as: str) -> Figure:
    """Where the rule as described does not give the known figure: beside our own."""
    p = p_value(count, runs, share)
    return Figure(
        what,
        f"{share:g}",
        f"{count / runs:.4f}",
        p > LEAST,
        f"{runs} lives, p {p:.2g}; known as {known_as}, see kayenta.py",
    )


def of_flagger(rng: np.random.Generator) -> Iterator[Figure]:
    ticks = flagger.Rules().most_ticks
    for requests, row in known.FLAGGER.items():
        for success, figure in zip(known.SUCCESS, row, strict=True):
            what = f"Flagger, {requests} requests, {success:.1%} good: rolled back"
            exact = flagger.rollback_probability(requests, success)
            yield Figure(what, figure, found := printed(exact, figure), found == figure)
            lives = flagger.simulate(binomial_traffic(rng, requests, 1 - success), LIVES, ticks)
            yield simulated("  simulated", exact, lives.count(Outcome.ROLLED_BACK), LIVES)
    exact = float(np.mean([flagger.rollback_probability(600, known.incident(at)) for at in known.INCIDENT_STARTS]))
    yield Figure(
        "Flagger, shared incident: rolled back",
        f"{known.INCIDENT:.2f}",
        f"{exact:.4f}",
        abs(exact - known.INCIDENT) < 0.005,
    )
    lives = flagger.simulate(known.incident_traffic(rng, LIVES, ticks), LIVES, ticks)
    yield simulated("  simulated", exact, lives.count(Outcome.ROLLED_BACK), LIVES)


def of_argo(rng: np.random.Generator) -> Iterator[Figure]:
    cases = [
        (requests, 0.995, limit, row[at]) for requests, row in known.ARGO.items() for at, limit in enumerate((0, 3))
    ]
    for requests, success, limit, figure in [*cases, (20, 0.985, 3, known.ARGO_BAD)]:
        metric = argo.Metric(failure_limit=limit)
        exact = argo.abort_probability(requests, success, metric)
        what = f"Argo, {requests} requests, {success:.1%} good, failureLimit {limit}: aborted"
        yield Figure(what, figure, found := printed(exact, figure), found == figure)
        bad = rng.binomial(requests, 1 - success, (LIVES, 10))
        phase, _ = argo.run(np.full(bad.shape, requests), bad, metric)
        yield simulated("  simulated", exact, int((phase == argo.Phase.FAILED).sum()), LIVES)


def flagged(control: np.ndarray, experiment: np.ndarray, rng: np.random.Generator, tolerance: float = 0.25) -> int:
    found = kayenta.classify(control, experiment, rng, kayenta.Metric(tolerance=tolerance))
    return int((found.label != Label.PASS).sum())


def of_kayenta(rng: np.random.Generator) -> Iterator[Figure]:
    for points in (2, 3, 4, 5, 6, 8, 10, 20, 40):
        y, x = rng.normal(100, 1, (2, LIVES, points))
        what, count = f"Kayenta, identical normal data, {points} points: flagged", flagged(y, x, rng)
        if points in known.FALSE_FLAGS:
            yield sampled(what, known.FALSE_FLAGS[points], count, LIVES)
        elif points < known.FALSE_FLAGS_FROM:
            yield ours(what, known.FALSE_FLAGS_OF_FOUR, count, LIVES, f"<= {known.FALSE_FLAGS_AT_MOST}")
        else:
            most = known.FALSE_FLAGS_AT_MOST
            yield Figure(what, f"<= {most}", f"{count / LIVES:.4f}", count / LIVES <= most, f"{LIVES} lives")
    for (coefficient, points), share in known.AUTOREGRESSIVE.items():
        y, x = (known.autoregressive(rng, LIVES, points, coefficient) for _ in range(2))
        yield sampled(f"Kayenta, AR(1) {coefficient}, {points} points: flagged", share, flagged(y, x, rng), LIVES)
    for (shift, points), share in known.SHIFTS.items():
        lives = 4000 if points < 500 else 1500
        y, x = rng.normal(100, 1, (lives, points)), rng.normal(100 + shift, 1, (lives, points))
        what = f"Kayenta, shift of {shift} %, {points} points: flagged"
        yield sampled(
            f"{what}, tolerance {known.SHIFTS_TOLERANCE}", share, flagged(y, x, rng, known.SHIFTS_TOLERANCE), lives
        )
        own = known.SHIFTS_BY_THE_RULE[shift, points]
        yield ours(f"{what}, tolerance 0.25", own, flagged(y, x, rng), lives, f"{share}")
    for many in (7, 8):
        label = Label(kayenta.classify(np.ones((1, 10)), [[100] * many + [1] * (10 - many)], rng).label[0])
        wanted = Label.PASS if many == 7 else Label.HIGH
        yield Figure(
            f"Kayenta, {many} of 10 points at 100 times the baseline", wanted.name, label.name, label is wanted
        )
    label = Label(kayenta.classify(np.zeros((1, 6)), [[0, 1, 2, 1, 0, 0]], rng).label[0])
    yield Figure("Kayenta, 0 1 2 1 0 0 beside zeros", "PASS", label.name, label is Label.PASS)


def of_intervals(rng: np.random.Generator) -> Iterator[Figure]:
    """The interval by rank beside the root search."""
    lives, points = 150, 40
    requests = rng.poisson(500, (2, lives, points))
    for what, (y, x) in {
        "normal data": rng.normal(100, 1, (2, lives, points)),
        "error rates": rng.binomial(requests, 0.01) / requests,
        "sparse error rates": np.stack([rng.binomial(of, 0.005, (lives, points)) / of for of in (200, 20)]),
    }.items():
        found = shift_intervals(y, x)
        rooted = np.array([by_root_search(one, other) for one, other in zip(y, x, strict=True)])
        off = float(np.abs(np.stack([found.lower, found.upper], axis=1) - rooted[:, :2]).max())
        yield Figure(
            f"Kayenta, limits by rank beside root search, {what}",
            "<= 1e-06",
            f"{off:.1e}",
            off <= 1e-6 + 1e-12,
            f"{lives} lives",
        )
        by_rank, by_root = (
            (limits[0] > 0.25 * np.abs(limits[2])) | (limits[1] < -0.25 * np.abs(limits[2]))
            for limits in ((found.lower, found.upper, found.estimate), rooted.T)
        )
        extra = int((by_root & ~by_rank).sum())
        at_zero = (found.lower == 0) | (found.upper == 0)
        alone = bool(((by_root == by_rank) | at_zero).all())
        yield Figure(
            "  flagged by the root search alone", "", f"{extra}", alone, f"{lives} lives, only where a limit is 0"
        )


def speed(rng: np.random.Generator) -> Iterator[Figure]:
    lives, points = 10_000, 60
    requests = rng.poisson(200, (2, lives, points))
    bad = rng.binomial(requests, 0.01)
    began = time.perf_counter()
    y, x = kayenta.error_rates(requests, bad)
    kayenta.judge_lives(y, x, 6, rng, requests=requests[1], bad=bad[1])
    seconds = time.perf_counter() - began
    yield Figure(
        f"Kayenta, {lives} lives of {points} points, 6 intervals", "< 60 s", f"{seconds:.1f} s", seconds < 60, "time"
    )


def main() -> int:
    rng, wrong = np.random.default_rng(20), 0
    for part in (of_flagger, of_argo, of_kayenta, of_intervals, speed):
        for figure in part(rng):
            wrong += not figure.agrees
            mark = "✓" if figure.agrees else "✗"
            print(f"{mark} {figure.what:<76} {figure.known:>9} {figure.found:>9}  {figure.how}", flush=True)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
