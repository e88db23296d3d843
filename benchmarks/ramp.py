"""What the adaptive ramp keeps and gains: lives by chance, with the operator's own rules of decision, written for arrays.

    python -m benchmarks.ramp [--lives N] [--write]

A cell is a true share of bad answers, a rate of requests and a budget; in each, N candidates (10,000) are let in. Three figures:

- ``ramp.inside_budget``: the share of lives whose expected harm (requests of the candidate times share beyond the limit, until it is promoted
  or rolled back) is within ``maxHarmedRequests``, in the worst cell. Promised is 95% (``falsePromotion`` 5%), with ``onInconclusive: RollBack``.
- ``ramp.inside_budget_in_bursts``: the same where bad answers come in bursts of seven, which may double the risk.
- ``ramp.time_to_100``: the median time until a good candidate has all requests, over that of the steps 5, 25, 50, 100 with their defaults
  and the same verdicts, in the worst cell with a budget of at least 50. Start-up is in neither. Good is a tenth to half of the limit of 1%.

Stable answers well, requests come as a Poisson process, and an answer is seen as late as the promise allows (20 s from its request to what follows from
it), with 5 requests a minute after up to a minute. That decisions here are those of ``solera.plan`` is tested in tests/unit/benchmarks.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import numpy as np
from benchmarks.decisions.bets import Bets
from benchmarks.written import Goal, between, merged, results
from numpy.typing import NDArray
from scipy.special import betainc, betaln, rel_entr

from solera.api.defaults import MIN_DURATION, MIN_REQUESTS, STEP_WEIGHTS
from solera.plan.intervals import EVIDENCE_INTERVAL, rollback_level
from solera.plan.ramp import BURST, READ_EVERY, RUNG_DURATION, SETTLE, to_come
from solera.plan.rungs import RUNGS
from solera.plan.showing import ALLOWED, BAD_TO_FAIL, BAD_TO_PASS, BURST_ALLOWANCE
from solera.stats.dispersion import ASSUMED_SIZE, ASSUMED_WORTH
from solera.stats.harm import BAD_DUE
from solera.stats.share import prior_weight

LIMIT, RISK = 0.01, 0.05
LEVEL = rollback_level(RISK, 1)
SHARES = (0.005, 0.0075, 0.01, 0.0125, 0.015, 0.02, 0.03, 0.05, 0.5, 1.0)
GOOD = (0.001, 0.0025, 0.005)
IN_BURSTS, BURST_OF = (0.0125, 0.015, 0.02, 0.03, 0.05), 7
RATES = (5, 50, 500, 5000)
"""Requests in a minute, all together."""
BUDGETS = (20, 50, 200)
ENOUGH = 50
LIVES = 10_000
INTERVAL = EVIDENCE_INTERVAL.total_seconds()
LATE = (SETTLE + READ_EVERY).total_seconds()
LONGEST = 48 * 3600.0
TOGETHER = 2.0
RESULTS = Path(__file__).resolve().parent / "results.json"
DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"
BEGIN, END = "<!-- ramp:begin (written by `python -m benchmarks.ramp --write`) -->", "<!-- ramp:end -->"

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_LOG_SHARES = np.linspace(math.log(1e-6), math.log(1 - 1e-9), 4000)
_PRIORS = np.array([prior_weight(float(share), BAD_DUE) for share in np.exp(_LOG_SHARES)])


def wealth_below(bad: Floats, total: Floats, share: Floats | float, weight: Floats | float) -> Floats:
    """Log wealth of "the share is below ``share``" (solera.stats.share)."""
    a, b = weight * share, weight * (1 - share)
    with np.errstate(divide="ignore", invalid="ignore"):
        posterior = betaln(a + bad, b + total - bad) + np.log(betainc(a + bad, b + total - bad, share))
        prior = betaln(a, b) + np.log(betainc(a, b, share))
        return posterior - prior - bad * np.log(share) - (total - bad) * np.log1p(-share)


def shown_below(bad: Floats, total: Floats, share: Floats | float, weight: Floats | float, level: float) -> Bools:
    """Whether that wealth has reached ``level``; reckoned only where even the best alternative has (solera.stats.share)."""
    seen = np.divide(bad, total, out=np.ones_like(bad), where=total > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        most = rel_entr(seen, share) + rel_entr(1 - seen, 1 - np.asarray(share))
    some = np.flatnonzero((seen < share) & (total * most >= level))
    out = np.zeros(total.shape, dtype=np.bool_)
    shares, weights = np.broadcast_to(share, total.shape), np.broadcast_to(weight, total.shape)
    out[some] = wealth_below(bad[some], total[some], shares[some], weights[some]) >= level
    return out


@dataclass
class Evidence:
    """What was counted of the candidates, shape (lives,): with the spread of bad events, and the bets that they are too many."""

    total: Floats
    bad: Floats
    pairs: Floats
    squares: Floats
    bets: Bets

    @classmethod
    def none(cls, lives: int) -> Evidence:
        zero = np.zeros(lives)
        return cls(zero, zero, zero, zero, Bets.none(lives))

    def of(self, lives: Ints | Bools) -> Evidence:
        counts = (self.total, self.bad, self.pairs, self.squares)
        return Evidence(*(part[lives] for part in counts), self.bets.of(lives))

    def after(self, total: Floats, bad: Floats) -> Evidence:
        """With one more interval (solera.stats.dispersion, solera.stats.interval_bets)."""
        return Evidence(
            self.total + total,
            self.bad + bad,
            self.pairs + bad * (bad - 1),
            self.squares + total * total,
            self._bets_after(total, bad),
        )

    def _bets_after(self, total: Floats, bad: Floats) -> Bets:
        some = np.flatnonzero(total)
        if 2 * some.size > total.size:
            return self.bets.after(total, bad, LIMIT, LEVEL)
        # With few requests most intervals are empty, and those tell nothing.
        return self.bets.with_(some, self.bets.of(some).after(total[some], bad[some], LIMIT, LEVEL))

    @property
    def size(self) -> Floats:
        n, x = np.maximum(self.total, 1), self.bad
        within = self.squares / n**2
        chance = np.maximum(x * (x - 1), 0) * within + x * np.sqrt(within)
        assumed = np.minimum(ASSUMED_SIZE, np.maximum(self.squares / n, 1))
        more = np.maximum(self.pairs - chance, 0) + ASSUMED_WORTH * (assumed - 1)
        size = 1 + more / (x * np.maximum(1 - within, 0) + ASSUMED_WORTH)
        return np.where(self.total > 0, size, 1.0)

    @property
    def failed(self) -> Bools:
        return self.bets.broken(LEVEL)

    @property
    def suspect(self) -> Bools:
        weight = prior_weight(LIMIT, BAD_TO_FAIL)
        return shown_below(self.total - self.bad, self.total, 1 - LIMIT, weight, LEVEL)

    @property
    def proven(self) -> Bools:
        return self._shown(LIMIT, prior_weight(LIMIT, BAD_TO_PASS), self.size)

    def fits(self, more: Floats | float, budget: float) -> Bools:
        """Whether the harm of all so far, and of ``more``, is within the budget (solera.stats.harm)."""
        events = self.total + more
        share = np.minimum(LIMIT + budget / np.maximum(events, 1e-9), 1 - 1e-9)
        weight = np.interp(np.log(share), _LOG_SHARES, _PRIORS)
        return (events * (1 - LIMIT) <= budget) | self._shown(share, weight, np.round(self.size, 2))

    def _shown(self, share: Floats | float, weight: Floats | float, size: Floats) -> Bools:
        alone = shown_below(self.bad, self.total, share, weight, LEVEL)
        return alone & shown_below(self.bad / size, self.total / size, share, weight, LEVEL - ALLOWED)


class Steps:
    """The fixed steps with their defaults."""

    weights = STEP_WEIGHTS
    least, requests = MIN_DURATION.total_seconds(), MIN_REQUESTS

    def begin(self) -> int:
        return 0

    def spent(self, _at: Ints, known: Evidence) -> Bools:
        return np.zeros(known.total.shape, dtype=np.bool_)

    def onward(self, at: Ints, _known: Evidence, proven: Bools) -> Ints:
        return np.where((at + 2 < len(self.weights)) | proven, at + 1, at)


class Ramp:
    """The rungs, by the rule of ``solera.plan.ramp``."""

    weights = (*RUNGS, 100)
    least, requests = RUNG_DURATION.total_seconds(), 1

    def __init__(self, per_second: float, budget: int) -> None:
        self.budget = budget
        self.rise = np.array([to_come(BURST * per_second, weight, LATE) for weight in self.weights])
        self.stay = np.array([to_come(per_second, weight, LATE) for weight in self.weights])

    def begin(self) -> int:
        return int(np.flatnonzero(self.rise[:-1] * (1 - LIMIT) <= self.budget).max(initial=-1))

    def spent(self, at: Ints, known: Evidence) -> Bools:
        # As in the gate of a step: before the first bad answer a spent budget only waits.
        out = (known.bad > 0) & (known.total * (1 - LIMIT) > self.budget / 2)
        some = np.flatnonzero(out)
        out[some] = ~known.of(some).fits(0.0, self.budget / 2)
        some = np.flatnonzero(out)
        out[some] = ~known.of(some).fits(self.stay[at[some]], self.budget)
        return out

    def onward(self, at: Ints, known: Evidence, proven: Bools) -> Ints:
        to, climbing = at.copy(), np.arange(at.size)
        while climbing.size:
            following = to[climbing] + 1
            may = (following < len(RUNGS)) | ((following == len(RUNGS)) & proven[climbing])
            climbing, following = climbing[may], following[may]
            fit = known.of(climbing).fits(self.rise[following], self.budget)
            climbing = climbing[fit]
            to[climbing] += 1
        return to


@dataclass(frozen=True)
class Lives:
    """``requests`` of the candidate until its end, ``all_at`` the second in which it got all requests (inf: never)."""

    requests: Floats
    all_at: Floats
    promoted: Bools
    spent: Bools


def live(plan: Steps | Ramp, share: float, per_minute: int, lives: int, seed: int, burst: int = 1) -> Lives:
    """Let in ``lives`` candidates with this true share. A spent budget ends them; nothing else but Fail and promotion does."""
    chance = np.random.default_rng(seed)
    # Seconds between two looks, and looks until an answer is seen: with many requests LATE together, with few ones seen at once and looked at late.
    look, behind = (
        (INTERVAL, round(LATE / INTERVAL) - 1) if per_minute >= 500 else (LATE, 0) if per_minute >= 50 else (60.0, 0)
    )
    weights = np.array(plan.weights, dtype=np.float64) / 100
    begin, last = plan.begin(), len(plan.weights) - 1
    at, since, started = np.full(lives, begin), np.zeros(lives), np.zeros(lives)
    evidence = Evidence.none(lives)
    seen = [evidence] * (behind + 1)
    out = Lives(np.zeros(lives), np.full(lives, np.inf), np.zeros(lives, np.bool_), np.zeros(lives, np.bool_))
    alive = np.arange(lives) if begin >= 0 else np.arange(0)
    now = 0.0
    while alive.size and now < LONGEST:
        now += look
        per_interval = per_minute / 60 * INTERVAL * weights[at[alive]]
        size = np.clip(np.round(per_interval / INTERVAL * TOGETHER), 1, burst)
        for _ in range(round(look / INTERVAL)):
            came = chance.poisson(per_interval).astype(np.float64)
            if burst == 1:
                bad = chance.binomial(came.astype(np.int64), share).astype(np.float64)
            else:
                bad = np.minimum(size * chance.poisson(came * share / size), came)
            evidence = evidence.after(came, bad)
        seen = [*seen[1:], evidence]
        known = seen[0]
        failed, spent = known.failed, plan.spent(at[alive], known)
        done = (at[alive] == last) & (now - since[alive] >= MIN_DURATION.total_seconds()) & ~failed & ~spent
        ended = failed | spent | done
        out.spent[alive[spent]] = True
        out.promoted[alive[done]] = True
        out.requests[alive] = evidence.total
        if ended.any():
            alive, evidence, seen = alive[~ended], evidence.of(~ended), [one.of(~ended) for one in seen]
            known = seen[0]
        ready = (
            (at[alive] < last) & (now - since[alive] >= plan.least) & (known.total - started[alive] >= plan.requests)
        )
        some = np.flatnonzero(ready)
        movers = known.of(some)
        to = np.where(movers.suspect, at[alive[some]], plan.onward(at[alive[some]], movers, movers.proven))
        moved = some[to > at[alive[some]]]
        at[alive[some]] = to
        since[alive[moved]], started[alive[moved]] = now, evidence.total[moved]
        out.all_at[alive[moved[at[alive[moved]] == last]]] = now
    return out


STEPS = Steps()


@lru_cache(maxsize=64)
def ramp(per_minute: int, budget: int) -> Ramp:
    return Ramp(per_minute / 60, budget)


@dataclass(frozen=True)
class Cell:
    """One rate and one budget. ``inside`` has the shares of lives within the budget by true share, ``in_bursts`` those where bad answers come in bursts.

    ``promoted`` are the good ones that are, ``minutes`` theirs to 100%, the ramp's and those of the steps; ``most`` is the most harm of a life.
    """

    per_minute: int
    budget: int
    first: int
    inside: dict[float, float]
    in_bursts: dict[float, float]
    most: float
    promoted: dict[float, float]
    minutes: dict[float, tuple[float, float]]

    @property
    def slowest(self) -> float:
        """Time to 100% over that of the steps, for the true share for which the ramp gains least."""
        return max((ours / theirs for ours, theirs in self.minutes.values()), default=math.nan)


def measure(per_minute: int, budget: int, lives: int, seed: int = 1) -> Cell:
    """All true shares, each with chances of its own."""
    plan = ramp(per_minute, budget)
    inside, in_bursts, promoted, minutes, most = {}, {}, {}, {}, 0.0
    for number, share in enumerate(sorted({*SHARES, *GOOD})):
        found = live(plan, share, per_minute, lives, seed + number)
        harm = found.requests * max(share - LIMIT, 0.0)
        inside[share], most = float(np.mean(harm <= budget)), max(most, float(harm.max()))
        if share in IN_BURSTS:
            found = live(plan, share, per_minute, lives, seed + number, BURST_OF)
            in_bursts[share] = float(np.mean(found.requests * (share - LIMIT) <= budget))
        if share in GOOD and plan.begin() >= 0:
            found = live(plan, share, per_minute, lives, seed + number)
            promoted[share] = float(np.mean(found.promoted))
            fixed = fixed_minutes(share, per_minute, lives, seed + number)
            minutes[share] = (float(np.median(found.all_at)) / 60, fixed)
    first = plan.weights[plan.begin()] if plan.begin() >= 0 else 0
    return Cell(per_minute, budget, first, inside, in_bursts, most, promoted, minutes)


@lru_cache(maxsize=64)
def fixed_minutes(share: float, per_minute: int, lives: int, seed: int) -> float:
    return float(np.median(live(STEPS, share, per_minute, lives, seed).all_at)) / 60


def figures(cells: Sequence[Cell]) -> dict[str, float]:
    """The worst of all cells. Times only where the budget lets a rollout begin."""
    return {
        "ramp.inside_budget": min(share for cell in cells for share in cell.inside.values()),
        "ramp.inside_budget_in_bursts": min(share for cell in cells for share in cell.in_bursts.values()),
        "ramp.time_to_100": max(cell.slowest for cell in cells if cell.minutes and cell.budget >= ENOUGH),
    }


def goals(found: dict[str, float]) -> list[Goal]:
    """What is promised, and what was found."""
    inside, bursts, time = "ramp.inside_budget", "ramp.inside_budget_in_bursts", "ramp.time_to_100"
    lives = "share of lives"
    return [
        Goal(inside, "lives within their budget", found[inside], lives, 1 - RISK, least=True),
        Goal(
            bursts, "… where bad answers come in bursts", found[bursts], lives, 1 - BURST_ALLOWANCE * RISK, least=True
        ),
        Goal(time, "time to 100%", found[time], "ratio ramp : steps", 1.0),
    ]


def worst(inside: dict[float, float]) -> str:
    share = min(inside, key=lambda one: (inside[one], -one))
    return f"{inside[share]:.2%}" + (f" ({share:.2%})" if inside[share] < 1 else "")


def rows(cells: Sequence[Cell]) -> list[str]:
    good = "; ".join(f"{share:.2%}" for share in GOOD)
    head = f"within it, worst true share | … in bursts | most harm of a life | good ({good}): promoted"
    out = [
        f"| requests a minute | budget | first weight | {head} | … minutes to 100 %, ramp / steps |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for c in cells:
        promoted = "; ".join(f"{c.promoted[s]:.1%}" for s in c.promoted) or "-"
        minutes = "; ".join(f"{ours:.1f} / {theirs:.1f}" for ours, theirs in c.minutes.values()) or "-"
        first = f"{c.first} %" if c.first else "does not begin"
        figures_ = f"{worst(c.inside)} | {worst(c.in_bursts)} | {c.most:.0f}"
        out.append(f"| {c.per_minute} | {c.budget} | {first} | {figures_} | {promoted} | {minutes} |")
    return out


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ramp", description=__doc__.splitlines()[0])
    parser.add_argument("--lives", type=int, default=LIVES, help="in each cell")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md and results.json")
    wanted = parser.parse_args(arguments)
    cells = []
    asked = [(per_minute, budget, wanted.lives) for per_minute in RATES for budget in BUDGETS]
    with ProcessPoolExecutor() as pool:
        for cell in pool.map(measure, *zip(*asked, strict=True)):
            cells.append(cell)
            print(rows([cell])[-1], flush=True)
    judged = goals(figures(cells))
    for goal in judged:
        print(f"{'✓' if goal.holds else '✗'} {goal.name} {goal.value:.4g} {goal.unit} (goal: {goal.text})")
    if wanted.write:
        known = json.loads(RESULTS.read_text())
        new = results(judged, "python -m benchmarks.ramp", datetime.now(UTC).date().isoformat())
        RESULTS.write_text(json.dumps(merged(known, new, "ramp."), indent=2, ensure_ascii=False) + "\n")
        DOCUMENT.write_text(between(DOCUMENT.read_text(), BEGIN, END, "\n".join(rows(cells))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
