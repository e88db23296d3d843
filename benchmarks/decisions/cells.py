"""The cells of the table, and what one of them comes to. Limits are 1 %; the other judges ask for a success rate of 99 %."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from benchmarks.decisions import ours
from benchmarks.decisions.worlds import Scenario, burst_size, draw
from benchmarks.judges import argo, flagger, kayenta
from benchmarks.judges.lives import Lives, Outcome, recorded_traffic
from scipy.stats import binom

from solera.stats.share import divergence

LIMIT, STABLE = 0.01, 0.003
RISK, BURSTY_RISK = 0.05, 0.10
LOOKS = (1, 20, 500)
REACTION = 2.0
"""Seconds from our verdict to weight 0, at which the candidate goes on failing."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A world and our guardrail in it. ``group`` is a row of the summary. ``hopeless``: no method can keep the promise of a Pass (docs/verdicts.md)."""

    group: str
    scenario: Scenario
    rules: ours.Rules = field(default_factory=ours.Rules)
    hopeless: bool = False

    @property
    def bursty(self) -> bool:
        s = self.scenario
        rates = (s.traffic * s.weight / 60, s.traffic * (1 - s.weight) / 60)
        return burst_size(s.candidate_burst, rates[0]) > 1 or burst_size(s.stable_burst, rates[1]) > 1

    @property
    def keeps(self) -> bool:
        """The candidate keeps its limit, the limit itself included: a rollback is false."""
        return self.scenario.candidate <= LIMIT

    @property
    def breaks(self) -> bool:
        """The candidate is at its limit or over it: a promotion is false."""
        return self.scenario.candidate >= LIMIT


def cells() -> Iterator[Cell]:
    """All of them, in the order of the table."""
    for traffic in (5, 50, 500, 5000):
        for weight in (0.05, 0.25, 0.5):
            for times in (0.5, 1.0, 1.2, 2.0, 3.0, 5.0):
                yield Cell("steady", Scenario(f"{times:g} x limit", traffic, weight, times * LIMIT, STABLE))
    for traffic in (50, 500, 5000):
        for times in (0.5, 1.0, 2.0):
            yield Cell(
                "load that varies", Scenario(f"{times:g} x limit", traffic, 0.25, times * LIMIT, STABLE, load=0.5)
            )
    for traffic in (500, 5000):
        for weight in (0.05, 0.25, 0.5):
            incident = Scenario("both 0.4 x limit", traffic, weight, 0.4 * LIMIT, 0.4 * LIMIT, incident=0.03)
            yield Cell("shared incident", incident)
            yield Cell("shared incident, compared", incident, ours.Rules(max_ratio=1.5))
    for size, hopeless in ((4, False), (8, False), (16, True), (32, True)):
        for traffic, weight in ((500, 0.5), (5000, 0.25), (5000, 0.5))[hopeless:]:  # 500/min never has as many at once
            for times in (0.5, 1.0, 1.5, 3.0):
                scenario = Scenario(f"{times:g} x limit", traffic, weight, times * LIMIT, STABLE, candidate_burst=size)
                yield Cell(f"bursts of {size}", scenario, hopeless=hopeless)
    for size in (4, 8, 32):
        for traffic, weight in ((500, 0.25), (5000, 0.05), (5000, 0.25)):
            scenario = Scenario("both 0.3 x limit", traffic, weight, STABLE, STABLE, stable_burst=size)
            yield Cell(f"bursts of {size} in stable, compared", scenario, ours.Rules(max_ratio=1.5))


@lru_cache(maxsize=1)
def fixed_size() -> int:
    """Requests of the smallest binomial test of "at most half the limit" against the limit: 5 % risk, 80 % power."""
    n = 100
    while True:
        most = binom.ppf(RISK, n, LIMIT)
        most -= binom.cdf(most, n, LIMIT) > RISK
        if most >= 0 and binom.cdf(most, n, LIMIT / 2) >= 0.8:
            return n
        n += 1


def horizon(scenario: Scenario) -> float:
    """Seconds in which the candidate gets four times as many requests as the fixed-size test needs."""
    return 4 * fixed_size() / (scenario.traffic * scenario.weight / 60)


@dataclass(frozen=True, slots=True)
class Result:
    """Of one judge in one cell: shares of lives, medians over the lives that were decided so. Harm is bad answers of the candidate, a mean."""

    rolled_back: float
    promoted: float
    undecided: float
    requests_to_pass: float | None
    requests_to_rollback: float | None
    harmed: float


def live(cell: Cell, lives: int, seed: int) -> dict[str, Lives]:
    """The lives of all judges in one cell, by judge, with the same requests for each."""
    world = draw(cell.scenario, lives, horizon(cell.scenario), np.random.default_rng(seed))
    total, bad, stable_total, stable_bad = world.minutes(60)
    last = min(int(np.searchsorted(world.ends, horizon(cell.scenario))) + 1, len(world.ends))
    judged = ours.Judged(world, cell.rules)
    found = {f"solera/{looks}": judged.at(looks, last) for looks in LOOKS}
    found["flagger"] = flagger.simulate(recorded_traffic(total, bad), lives, 59)
    found["argo/0"] = _argo(total, bad, 0)
    found["argo/3"] = _argo(total, bad, 3)
    found["kayenta"] = _kayenta(total, bad, stable_total, stable_bad, np.random.default_rng(seed + 1))
    return found


def _kayenta(
    total: np.ndarray, bad: np.ndarray, stable_total: np.ndarray, stable_bad: np.ndarray, rng: np.random.Generator
) -> Lives:
    """An hour of points, a minute each, judged six times. Both arms of one size, as its users are told: so many of stable's requests are drawn."""
    size = np.minimum(total, stable_total)
    control = rng.hypergeometric(stable_bad, stable_total - stable_bad, size)
    experiment = kayenta.error_rates(total, bad)
    metric = kayenta.Metric(direction=kayenta.Direction.INCREASE)
    return kayenta.judge_lives(kayenta.error_rates(size, control), experiment, 6, rng, metric, requests=total, bad=bad)


def _argo(total: np.ndarray, bad: np.ndarray, failure_limit: int) -> Lives:
    """Ten measurements, one a minute; an abort takes the weight away at once."""
    count = 10
    metric = argo.Metric(count=count, failure_limit=failure_limit)
    phase, after = argo.run(total[:, :60], bad[:, :60], metric)
    outcome = np.full(len(total), Outcome.UNDECIDED, dtype=np.int8)
    outcome[phase == argo.Phase.SUCCESSFUL] = Outcome.PROMOTED
    outcome[(phase == argo.Phase.FAILED) | (phase == argo.Phase.ERROR)] = Outcome.ROLLED_BACK
    rows, last = np.arange(len(total)), after - 1
    return Lives(outcome, after, total.cumsum(1)[rows, last], bad.cumsum(1)[rows, last])


def result(lives: Lives, cell: Cell, *, reaction: bool) -> Result:
    """What the lives of one judge come to."""
    passed, back = lives.outcome == Outcome.PROMOTED, lives.outcome == Outcome.ROLLED_BACK
    s = cell.scenario
    more = REACTION * s.traffic * s.weight / 60 * s.candidate if reaction else 0.0
    return Result(
        rolled_back=float(back.mean()),
        promoted=float(passed.mean()),
        undecided=float((~passed & ~back).mean()),
        requests_to_pass=float(np.median(lives.served[passed])) if passed.any() else None,
        requests_to_rollback=float(np.median(lives.served[back])) if back.any() else None,
        harmed=float(lives.harmed.mean() + more * back.mean()),
    )


def harm_ratio(one: Lives, other: Lives, cell: Cell) -> tuple[float, int] | None:
    """Bad answers of the candidate under ``one`` judge, for each under ``other``, in the lives in which both roll back; and how many these are."""
    both = (one.outcome == Outcome.ROLLED_BACK) & (other.outcome == Outcome.ROLLED_BACK)
    if both.sum() < 100 or not other.harmed[both].sum():
        return None
    s = cell.scenario
    more = REACTION * s.traffic * s.weight / 60 * s.candidate * both.sum()
    return float((one.harmed[both].sum() + more) / other.harmed[both].sum()), int(both.sum())


def least_harm(cell: Cell, caught: float) -> float:
    """Bad answers that any judge needs on average: one that rolls back at the limit with RISK at most, and in ``cell`` with chance ``caught``.

    Wald's inequality (Wald 1945; Wald and Wolfowitz 1948): E[n] kl(share, limit) >= kl(caught, risk), for every stopping rule. Bursts of a size are
    events of their own, so a judge needs as many bursts there as single failures here.
    """
    s = cell.scenario
    share, risk = s.candidate, BURSTY_RISK if cell.bursty else RISK
    size = burst_size(s.candidate_burst, s.traffic * s.weight / 60)
    if caught <= risk:
        return 0.0

    return size * share * divergence(caught, risk) / divergence(share, LIMIT)
