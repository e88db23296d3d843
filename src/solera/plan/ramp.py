"""The adaptive ramp: the candidate's weight rises as fast as the evidence keeps the expected harm of the rollout within its budget.

The promise. *Harm* are the bad requests of the candidate beyond what the limit allows, in expectation: requests times (share of bad ones -
limit), for the guardrail that rolls back and has most of it. With probability 1 - ``falsePromotion`` the harm until the candidate is promoted or
rolled back stays within ``maxHarmedRequests``, provided that

- the chance of a bad answer does not rise during the rollout (if it does, the bad answers counted beyond the limit still end it),
- bad answers come one by one (where they come in bursts, the risk may be ``BURST_ALLOWANCE`` times as high, as for the verdicts),
- requests come no more than twice as fast as in the last minutes until the next look,
- an answer that is bad is counted ``SETTLE`` + ``slowerThan`` + one reading after its request, while the source of the counts is read at all,
- whoever is told that the budget is spent acts: ``onInconclusive: RollBack`` does, ``Hold`` leaves the weight to a person.

How. Let u be the upper confidence limit of the candidate's share over the whole rollout (``solera.stats.harm``; 1 at the beginning), n its events so
far, d those that come before bad ones among them would be known and acted on: ``spent`` = n·(u - limit) at most, and a weight is taken only
if (n + 2d)·(u - limit) is within the budget. At the beginning that is 2d·(1 - limit): a candidate that answers nothing but errors is found out
within its budget. A weight in force is never lowered for want of evidence; when even (n + d)·(u - limit) is over the budget, and
more than half of it is spent, it is *spent out*. (In the first span after a rise n may be less than d: what is still allowed then was allowed before.)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import pairwise

from solera.api.defaults import MAX_DURATION, ResolvedStep
from solera.plan.guardrail import ROLL_BACK, GuardrailSpec
from solera.plan.intervals import EVIDENCE_INTERVAL, spread_of
from solera.plan.ledger import ALL_REQUESTS, ZERO, Counter, Ledger, Slice
from solera.plan.rungs import RUNGS
from solera.plan.showing import ALLOWED
from solera.plan.verdict import STALE_AFTER
from solera.stats.dispersion import Spread
from solera.stats.harm import harm_within, most_harm

RUNG_DURATION = timedelta(seconds=30)
"""Least time on a rung: so many writes of the route, and enough requests to see that the gateway follows it."""

SETTLE = timedelta(seconds=15)
"""How long after its request an answer that is not slow is counted, a look has followed, and the gateway has taken over what came of it."""

READ_EVERY = timedelta(seconds=5)
"""The least that is taken for the time between two readings."""

WINDOW = timedelta(minutes=5)
"""Over which the rate of requests is taken."""

WATCH = timedelta(seconds=30)
"""How long requests must have been counted before the first weight is chosen by their rate."""

BURST = 2.0
"""So much faster than before requests may come without harm beyond the budget."""

_SPENT = 0.5
_SHORTEST = 5.0


def ladder(declared: Sequence[ResolvedStep]) -> tuple[ResolvedStep, ...]:
    """The steps of an adaptive rollout: those that were declared, and the rungs between them."""
    taken = {step.weight for step in declared}
    rungs = [
        ResolvedStep(weight, RUNG_DURATION, 1, RUNG_DURATION + MAX_DURATION, needs_approval=False, rung=True)
        for weight in RUNGS
        if weight not in taken
    ]
    return tuple(sorted((*declared, *rungs), key=lambda step: step.weight))


@dataclass(frozen=True, slots=True)
class Counted:
    """One guardrail in one source: ``spent`` is its harm at most, ``until_known`` the seconds from a request to what follows from its answer.

    ``size`` is how many bad answers that come together count for one. ``anew``: it began to count in mid-rollout.
    """

    spec: GuardrailSpec
    limit: float
    counter: Counter
    size: float
    spent: float
    until_known: float
    anew: bool = False

    def fits(self, rate: float, weight: int, budget: int, log_level: float) -> bool:
        """Whether the budget holds for what was counted and what comes until it is known."""
        bad, total, more = self.counter.bad, self.counter.total, to_come(rate, weight, self.until_known)
        return harm_within(bad, total, more, self.limit, budget, log_level) and harm_within(
            bad, total, more, self.limit, budget, log_level - ALLOWED, self.size
        )

    def cost(self, rate: float, weight: int) -> float:
        """The harm at most by then, if what comes is as bad as what was counted may be."""
        more = to_come(rate, weight, self.until_known)
        return self.spent * (1 + more / self.counter.total) if self.counter.total else more * (1 - self.limit)


@dataclass(frozen=True, slots=True)
class Ramp:
    """What the budget allows at one look.

    ``rate`` are all requests in a second at most, None while they are not known. ``weight`` is the largest that keeps to the budget, in percent, 0
    without a rate; ``spent_out`` says that it is not kept where the weight is now. ``least`` is the smallest budget with which a rollout could begin at 1%.
    """

    budget: int
    counted: tuple[Counted, ...]
    rate: float | None
    weight: int
    spent_out: bool
    least: int

    @property
    def worst(self) -> Counted | None:
        """Where most harm may have been done."""
        return max(self.counted, key=lambda c: c.spent, default=None)

    @property
    def spent(self) -> float:
        """The harm so far at most, in requests."""
        return max((c.spent for c in self.counted), default=0.0)

    def costliest(self, weight: int) -> Counted | None:
        """What stands most in the way of a weight."""
        rate = BURST * (self.rate or 0.0)
        return max(self.counted, key=lambda c: c.cost(rate, weight), default=None)


def to_come(rate: float, weight: float, seconds: float) -> float:
    """The most requests of the candidate in that time, at ``rate`` of all in a second: two standard errors of a Poisson number above the mean."""
    mean = rate * weight / 100 * seconds
    return mean + 2 * math.sqrt(mean)


def climb(
    specs: Sequence[GuardrailSpec], ledger: Ledger | None, *, budget: int, false_promotion: float, weight: int
) -> Ramp:
    """What the budget (in requests) allows now; ``weight`` is the one in force, in percent, 0 before the first."""
    limits, log_level = _limits(specs, false_promotion)
    counted = tuple(one for spec in limits for one in _counted(spec, ledger, log_level))
    return _ramp(counted, None if ledger is None else request_rate(ledger), budget, log_level, weight)


def climb_well(
    specs: Sequence[GuardrailSpec], good: int, rate: float, *, budget: int, false_promotion: float, weight: int
) -> Ramp:
    """What the budget would allow after so many ``good`` requests of the candidate and no bad one, at ``rate`` of all in a second."""
    limits, log_level = _limits(specs, false_promotion)
    every = READ_EVERY.total_seconds()
    per_interval = max(round(rate * weight / 100 * EVIDENCE_INTERVAL.total_seconds()), 1)
    spread = Spread(0, good, 0, good * per_interval)
    counted = tuple(_counts(spec, Counter(good, 0), spread, every, log_level) for spec in limits)
    return _ramp(counted, (rate, rate), budget, log_level, weight)


def _limits(specs: Sequence[GuardrailSpec], false_promotion: float) -> tuple[list[GuardrailSpec], float]:
    limits = [spec for spec in specs if spec.limit is not None and spec.action == ROLL_BACK]
    return limits, math.log(max(len(limits), 1) / false_promotion)


def _ramp(
    counted: tuple[Counted, ...], rate: tuple[float, float] | None, budget: int, log_level: float, weight: int
) -> Ramp:
    most = max((c.spent for c in counted), default=0.0)
    if rate is None:
        return Ramp(budget, counted, None, 0, spent_out=most > budget, least=0)

    at_least, at_most = rate

    def fits(percent: int, rate: float, of: Sequence[Counted] = counted) -> bool:
        return all(c.fits(rate, percent, budget, log_level) for c in of)

    def speaks(c: Counted) -> bool:
        """What was edited knows less than the weight in force was allowed by: alone it takes it back only for a share above the limit."""
        enough = c.counter.total >= to_come(at_least, weight, c.until_known)
        return not c.anew or (enough and c.counter.bad > c.limit * c.counter.total)

    speaking = [c for c in counted if speaks(c)]
    half_spent = any(c.spent > _SPENT * budget for c in speaking)
    at_one = max((to_come(BURST * at_most, 1, c.until_known) * (1 - c.limit) for c in counted), default=0.0)
    return Ramp(
        budget,
        counted,
        at_most,
        weight=_largest(lambda percent: fits(percent, BURST * at_most)),
        spent_out=most > budget or (half_spent and not fits(weight, at_least, speaking)),
        least=math.ceil(at_one),
    )


def onward(steps: Sequence[ResolvedStep], index: int, ramp: Ramp, *, proven: bool) -> int | None:
    """The furthest step after ``index`` (-1: before the first) that the budget allows; None when not even the next.

    A declared step is never passed over, and 100% is for a candidate that is ``proven``.
    """
    found = None
    for following in range(index + 1, len(steps)):
        step = steps[following]
        if step.weight > ramp.weight or (step.weight == 100 and not proven):
            break
        found = following
        if not step.rung:
            break
    return found


def request_rate(ledger: Ledger) -> tuple[float, float] | None:
    """All requests of both arms in a second over the last minutes: at least, and at most. None while that is not known.

    It is known ``WATCH`` after the first ones were counted, while the stable revision is read: a source that has counted none may be
    one that has just been read for the first time. What is counted first after a gap may have come in a moment or since the count before.
    """
    read = [
        at
        for (source, revision, name), at in ledger.read_at.items()
        if name == ALL_REQUESTS and (revision == ledger.stable or ledger.total(source, revision).total)
    ]
    ring = ledger.ring
    if not read or not ring or ledger.now - max(read) > STALE_AFTER or ledger.now - ring[0].start < WATCH:
        return None
    recent = _recent(ledger)
    if not recent:
        return 0.0, 1 / WINDOW.total_seconds()
    by_source: dict[str, int] = {}
    for part in recent:
        for (source, _, name), counter in part.counts.items():
            if name == ALL_REQUESTS:
                by_source[source] = by_source.get(source, 0) + counter.total
    came = max(by_source.values(), default=0)
    before = ring[-len(recent) - 1].end if len(ring) > len(recent) else recent[0].start
    # What came after the newest count is not known, so it is not taken for nothing.
    shortest = max((recent[-1].end - recent[0].start).total_seconds(), _SHORTEST)
    longest = max((ledger.now - before).total_seconds(), _SHORTEST)
    return min(came / longest, came / shortest), (came + 1) / shortest


def _recent(ledger: Ledger) -> list[Slice]:
    return [part for part in ledger.ring if part.end > ledger.now - WINDOW]


def _counted(spec: GuardrailSpec, ledger: Ledger | None, log_level: float) -> Iterator[Counted]:
    if ledger is None:
        yield _counts(spec, ZERO, Spread(), 0.0, log_level)
        return
    recent = _recent(ledger)
    for source in ledger.sources(ledger.candidate, spec.name) or ledger.sources(ledger.stable, spec.name) or ("",):
        ends = [part.end for part in recent if any((s, n) == (source, spec.name) for s, _, n in part.counts)]
        gaps = sorted((later - earlier).total_seconds() for earlier, later in pairwise(ends))
        late = (ledger.now - ends[-1]).total_seconds() if ends else 0.0
        every = max(gaps[len(gaps) // 2] if gaps else 0.0, late)
        counter = ledger.total(source, ledger.candidate, spec.name)
        counts = _counts(spec, counter, spread_of(ledger, source, ledger.candidate, spec.name), every, log_level)
        yield replace(counts, anew=spec.name in ledger.anew)


def _counts(spec: GuardrailSpec, counter: Counter, spread: Spread, every: float, log_level: float) -> Counted:
    assert spec.limit is not None
    until_known = SETTLE.total_seconds() + (spec.slower_than or 0.0) + max(every, READ_EVERY.total_seconds())
    # A hundredth more or less is nothing, and lets the cache of what was sought serve many looks.
    bad, total, size = counter.bad, counter.total, round(spread.burst_size, 2)
    spent = most_harm(bad, total, spec.limit, log_level)
    spent = max(spent, most_harm(bad, total, spec.limit, log_level - ALLOWED, size))
    return Counted(spec, spec.limit, counter, size, spent, until_known)


def _largest(fits: Callable[[int], bool]) -> int:
    """The largest percentage that fits, 0 if none does; every smaller one does, too."""
    if fits(100):
        return 100
    low, high = 0, 100
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
