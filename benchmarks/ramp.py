"""What the adaptive ramp keeps and gains: lives by chance, with the operator's own rule of decision.

    python -m benchmarks.ramp [--lives N] [--write]

A cell is a true share of bad answers, a rate of requests and a budget; in each, N candidates (10,000) are let in. Two figures:

- ``ramp.inside_budget``: the share of lives whose expected harm (requests of the candidate times share beyond the limit, until it is promoted
  or rolled back) is within ``maxHarmedRequests``, in the worst cell. Promised is 95% (``falsePromotion`` 5%), with ``onInconclusive: RollBack``.
- ``ramp.time_to_100``: the median time until a good candidate has all requests, over that of the steps 5, 25, 50, 100 with their defaults
  and the same verdicts, in the worst cell with a budget of at least 50. Start-up is in neither. Good is a tenth to half of the limit of 1%.

An answer is seen as late as the promise allows (20 s from its request to what follows from it).
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from solera.api.defaults import MIN_DURATION, MIN_REQUESTS, STEP_WEIGHTS
from solera.plan.ramp import BURST, READ_EVERY, RUNG_DURATION, SETTLE, to_come
from solera.plan.rungs import RUNGS
from solera.plan.showing import BAD_TO_FAIL, BAD_TO_PASS
from solera.stats.harm import harm_within
from solera.stats.share import prior_weight, shown_above, shown_below

LIMIT, RISK = 0.01, 0.05
SHARES = (0.005, 0.0075, 0.01, 0.0125, 0.015, 0.02, 0.03, 0.05, 0.5, 1.0)
GOOD = (0.001, 0.0025, 0.005)
RATES = (5, 50, 500, 5000)
"""Requests in a minute, all together."""
BUDGETS = (10, 50, 200)
ENOUGH = 50
LIVES = 10_000
LATE = (SETTLE + READ_EVERY).total_seconds()
LONGEST = 48 * 3600.0
EXACT, GRID = 1000, 0.005
UNKNOWN = -2
RESULTS = Path(__file__).resolve().parent / "results.json"
DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"
BEGIN, END = "<!-- ramp:begin (written by `python -m benchmarks.ramp --write`) -->", "<!-- ramp:end -->"

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Lives:
    """``requests`` of the candidate until its end, ``all_at`` the second in which it got all requests (inf: never)."""

    requests: Ints
    all_at: Floats
    promoted: Bools
    spent: Bools


class Bound:
    """The most bad events among n for which a test says yes: exact up to ``EXACT`` events, from there on between every half percent a straight line."""

    def __init__(self, says: Callable[[int, int], bool], guess: float) -> None:
        self._says, self._guess = says, guess
        self._known: dict[int, int] = {}
        self._table: Ints = np.full(0, UNKNOWN, dtype=np.int64)

    def at(self, total: int) -> int:
        """-1: not even with none. What a test says of some bad events it says of fewer, too."""
        if total <= EXACT:
            return self._exact(total)
        place = math.floor(math.log(total / EXACT) / GRID)
        low, high = (round(EXACT * math.exp(GRID * i)) for i in (place, place + 1))
        if not low <= total <= high:
            return self._exact(total)
        one, other = self._exact(low), self._exact(high)
        return math.floor(one + (other - one) * (total - low) / (high - low))

    def _exact(self, total: int) -> int:
        if total not in self._known:
            bad = min(max(int(self._guess * total), 0), total)
            while bad < total and self._says(bad, total):
                bad += 1
            while bad >= 0 and not self._says(bad, total):
                bad -= 1
            self._known[total] = bad
            if total > EXACT:
                self._guess = bad / total
        return self._known[total]

    def of(self, totals: Ints) -> Ints:
        if totals.size and totals.max() >= self._table.size:
            more = np.full(max(1024, 2 * int(totals.max())) - self._table.size + 1, UNKNOWN, dtype=np.int64)
            self._table = np.concatenate([self._table, more])
        found = self._table[totals]
        for total in np.unique(totals[found == UNKNOWN]):
            self._table[total] = self.at(int(total))
        return self._table[totals] if (found == UNKNOWN).any() else found


def passes() -> Bound:
    """The test for failures that come one by one, as they do in these lives; for bursts the operator asks for a little more, of both."""
    weight, level = prior_weight(LIMIT, BAD_TO_PASS), -math.log(RISK)
    return Bound(lambda bad, total: total > 0 and shown_below(bad, total, LIMIT, weight, level), LIMIT / 2)


def not_failed() -> Bound:
    """Only the test over the whole rollout, in place of bets on its intervals."""
    weight, level = prior_weight(LIMIT, BAD_TO_FAIL), -math.log(RISK)
    return Bound(lambda bad, total: not (total and shown_above(bad, total, LIMIT, weight, level)), 2 * LIMIT)


PASSES, NOT_FAILED = passes(), not_failed()


class Steps:
    """The fixed steps with their defaults."""

    weights = STEP_WEIGHTS
    least, requests = MIN_DURATION.total_seconds(), MIN_REQUESTS

    def begin(self) -> int:
        return 0

    def spent(self, _at: Ints, totals: Ints, _bad: Ints) -> Bools:
        return np.zeros(totals.shape, dtype=np.bool_)

    def onward(self, at: Ints, _totals: Ints, _bad: Ints, proven: Bools) -> Ints:
        return np.where((at + 2 < len(self.weights)) | proven, at + 1, at)


class Ramp:
    """The rungs, by the rule of ``solera.plan.ramp``: thresholds are sought with its own test."""

    weights = (*RUNGS, 100)
    least, requests = RUNG_DURATION.total_seconds(), 1

    def __init__(self, per_second: float, budget: int) -> None:
        level = -math.log(RISK)

        def fits(rung: int, burst: float) -> Bound:
            more = to_come(burst * per_second, self.weights[rung], LATE)
            return Bound(lambda bad, total: harm_within(bad, total, more, LIMIT, budget, level), 2 * LIMIT)

        rungs = range(len(self.weights))
        self._rise = [fits(rung, BURST) for rung in rungs]
        self._stay = [fits(rung, 1.0) for rung in rungs]
        self._half = Bound(lambda bad, total: harm_within(bad, total, 0, LIMIT, budget / 2, level), 2 * LIMIT)

    def begin(self) -> int:
        return max((rung for rung in range(len(RUNGS)) if self._rise[rung].at(0) >= 0), default=-1)

    def spent(self, at: Ints, totals: Ints, bad: Ints) -> Bools:
        out = bad > self._half.of(totals)
        for rung in np.unique(at[out]):
            here = np.flatnonzero(out & (at == rung))
            out[here] = bad[here] > self._stay[rung].of(totals[here])
        return out

    def onward(self, at: Ints, totals: Ints, bad: Ints, proven: Bools) -> Ints:
        to, climbing = at.copy(), np.ones(at.shape, dtype=np.bool_)
        for rung in range(len(self.weights)):
            here = np.flatnonzero(climbing & (to == rung - 1))
            if rung == len(RUNGS):
                here = here[proven[here]]
            if here.size:
                fit = bad[here] <= self._rise[rung].of(totals[here])
                to[here[fit]] = rung
                climbing[here[~fit]] = False
        return to


def live(plan: Steps | Ramp, share: float, per_minute: int, lives: int, seed: int) -> Lives:
    """Let in ``lives`` candidates with this true share. A spent budget ends them; nothing else but Fail and promotion does."""
    chance = np.random.default_rng(seed)
    # What came of a request is decided upon LATE seconds after it at most: with rare looks at once, with frequent ones LATE less one look after.
    look = READ_EVERY.total_seconds() if per_minute >= 500 else LATE
    behind = round(LATE / look) - 1
    begin = plan.begin()
    weights = np.array([*plan.weights, 0], dtype=np.float64) / 100
    at = np.full(lives, begin, dtype=np.int64)
    since, started = np.zeros(lives), np.zeros(lives, dtype=np.int64)
    sent, bad = np.zeros(lives, dtype=np.int64), np.zeros(lives, dtype=np.int64)
    seen = [(sent.copy(), bad.copy())] * (behind + 1)
    out = Lives(np.zeros_like(sent), np.full(lives, np.inf), np.zeros(lives, np.bool_), np.zeros(lives, np.bool_))
    alive = np.arange(lives) if begin >= 0 else np.arange(0)
    last = len(plan.weights) - 1
    now = 0.0
    while alive.size and now < LONGEST:
        now += look
        came = chance.poisson(per_minute / 60 * look * weights[at[alive]])
        sent[alive] += came
        bad[alive] += chance.binomial(came, share)
        seen = [*seen[1:], (sent.copy(), bad.copy())]
        total, wrong = seen[0][0][alive], seen[0][1][alive]
        failed = wrong > NOT_FAILED.of(total)
        spent = plan.spent(at[alive], total, wrong)
        done = (at[alive] == last) & (now - since[alive] >= MIN_DURATION.total_seconds()) & ~failed & ~spent
        ended = failed | spent | done
        out.spent[alive[spent]] = True
        out.promoted[alive[done]] = True
        alive, total, wrong = alive[~ended], total[~ended], wrong[~ended]
        ready = (at[alive] < last) & (now - since[alive] >= plan.least) & (total - started[alive] >= plan.requests)
        movers, total, wrong = alive[ready], total[ready], wrong[ready]
        to = plan.onward(at[movers], total, wrong, wrong <= PASSES.of(total))
        moved = movers[to > at[movers]]
        at[movers] = to
        since[moved], started[moved] = now, seen[-1][0][moved]
        out.all_at[moved[at[moved] == last]] = now
    out.requests[:] = sent
    return out


STEPS = Steps()


@lru_cache(maxsize=64)
def ramp(per_minute: int, budget: int) -> Ramp:
    return Ramp(per_minute / 60, budget)


@dataclass(frozen=True)
class Cell:
    """One rate and one budget. ``inside`` has the shares of lives within the budget by true share; ``kept`` the good ones that are promoted."""

    per_minute: int
    budget: int
    first: int
    inside: dict[float, float]
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
    inside, promoted, minutes, most = {}, {}, {}, 0.0
    for number, share in enumerate(sorted({*SHARES, *GOOD})):
        found = live(plan, share, per_minute, lives, seed + number)
        harm = found.requests * max(share - LIMIT, 0.0)
        inside[share], most = float(np.mean(harm <= budget)), max(most, float(harm.max()))
        if share in GOOD and plan.begin() >= 0:
            fixed = live(STEPS, share, per_minute, lives, seed + number)
            promoted[share] = float(np.mean(found.promoted))
            minutes[share] = (float(np.median(found.all_at)) / 60, float(np.median(fixed.all_at)) / 60)
    first = plan.weights[plan.begin()] if plan.begin() >= 0 else 0
    return Cell(per_minute, budget, first, inside, most, promoted, minutes)


def figures(cells: Sequence[Cell]) -> dict[str, float]:
    """The worst of all cells. Times only where the budget lets a rollout begin."""
    return {
        "ramp.inside_budget": min(share for cell in cells for share in cell.inside.values()),
        "ramp.time_to_100": max(cell.slowest for cell in cells if cell.minutes and cell.budget >= ENOUGH),
    }


GOALS = {
    "ramp.inside_budget": (">=", 1 - RISK, "share of lives"),
    "ramp.time_to_100": ("<=", 1.0, "ratio ramp : steps"),
}


def rows(cells: Sequence[Cell]) -> list[str]:
    good = "; ".join(f"{share:.2%}" for share in GOOD)
    out = [
        f"| requests a minute | budget | first weight | within it, worst true share | most harm of a life | good ({good}): promoted | … minutes to 100 %, ramp / steps |",
        "|---|---|---|---|---|---|---|",
    ]
    for c in cells:
        worst = min(c.inside, key=lambda share: (c.inside[share], -share))
        promoted = "; ".join(f"{c.promoted[s]:.1%}" for s in c.promoted) or "-"
        minutes = "; ".join(f"{ours:.1f} / {theirs:.1f}" for ours, theirs in c.minutes.values()) or "-"
        first = f"{c.first} %" if c.first else "does not begin"
        inside = f"{c.inside[worst]:.2%}" + (f" ({worst:.2%})" if c.inside[worst] < 1 else "")
        out.append(f"| {c.per_minute} | {c.budget} | {first} | {inside} | {c.most:.0f} | {promoted} | {minutes} |")
    return out


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ramp", description=__doc__.splitlines()[0])
    parser.add_argument("--lives", type=int, default=LIVES, help="in each cell")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md and results.json")
    wanted = parser.parse_args(arguments)
    cells = []
    for per_minute in RATES:
        for budget in BUDGETS:
            cells.append(measure(per_minute, budget, wanted.lives))
            print(rows(cells[-1:])[-1], flush=True)
    found = figures(cells)
    results = {}
    for name, value in found.items():
        sign, goal, unit = GOALS[name]
        holds = value >= goal if sign == ">=" else value <= goal
        print(f"{'✓' if holds else '✗'} {name} {value:.4g} {unit} (goal: {sign} {goal:g})")
        date = datetime.now(UTC).date().isoformat()
        results[name] = {
            "value": round(value, 4),
            "unit": unit,
            "goal": f"{sign} {goal:g}",
            "holds": bool(holds),
            "command": "python -m benchmarks.ramp",
            "date": date,
        }
    if wanted.write:
        known = json.loads(RESULTS.read_text())
        merged = {name: one for name, one in known.items() if not name.startswith("ramp.")} | results
        RESULTS.write_text(json.dumps(dict(sorted(merged.items())), indent=2, ensure_ascii=False) + "\n")
        text = DOCUMENT.read_text()
        before, after = text.split(BEGIN)[0], text.split(END)[1]
        DOCUMENT.write_text("\n".join([before + BEGIN, "", *rows(cells), "", END + after]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
