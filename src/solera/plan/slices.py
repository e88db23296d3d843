"""Counts come into a ledger by one way, from readings or from slices that were kept: totals, pairs, intervals and the ring."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from solera.api.defaults import RISK
from solera.plan.intervals import gather
from solera.plan.ledger import ALL_REQUESTS, NOTHING, ZERO, Ledger, Pairing, Slice, add, join, together
from solera.stats.failure_share import Interval

MAX_SLICES = 240
MIN_SLICES = 24
MAX_CELLS = 6000
"""How many slices of time a ledger keeps: at most MAX_SLICES, fewer where MAX_CELLS / number of series is less."""

PAIR_WITHIN = timedelta(minutes=2)
"""Requests of one arm wait this long for requests of the other; after that they say nothing about the same span of time."""


def count_slice(ledger: Ledger, part: Slice, limits: Mapping[str, float] | None = None, risk: float = RISK) -> Ledger:
    """The ledger after one look of which only the counts were kept, as ``absorb`` would leave it had it read every series that it knows.

    The slices of one rollout must come in the order of time. A series is known from its first count on, or if ``totals`` has it.
    ``limits`` and ``risk`` are as for ``absorb``.
    """
    known = dict.fromkeys((*ledger.totals, *part.counts), part.end)
    totals = {series: {part.step: ZERO, **ledger.totals.get(series, {})} for series in known}
    return add_slice(replace(ledger, read_at=known, totals=totals), part, limits or {}, risk)


def add_slice(
    ledger: Ledger, part: Slice, limits: Mapping[str, float], risk: float, begun: datetime | None = None
) -> Ledger:
    """The one way by which counts come into a ledger, from readings or from a recording: totals, pairs, intervals and the ring.

    ``begun`` is when the step in force was begun, which tells one from another that had its number before the steps were edited.
    """
    anew = begun is not None and ledger.step_since is not None and ledger.step_since < begun <= part.end
    since = part.end if anew or part.step != ledger.step else ledger.step_since
    totals = dict(ledger.totals)
    for series, more in part.counts.items():
        steps = totals.get(series, {})
        totals[series] = {**steps, part.step: add(steps.get(part.step, ZERO), more)}
    return replace(
        gather(ledger, part, limits, risk),
        now=part.end,
        step=part.step,
        step_since=since,
        totals=totals,
        pairings=_paired(ledger, part),
        ring=coarsen((*ledger.ring, part), len(totals), since) if part.counts else ledger.ring,
    )


def _paired(ledger: Ledger, part: Slice) -> dict[tuple[str, str], Pairing]:
    """Bring together what both arms did since each of them last had a request."""
    pairings = dict(ledger.pairings)
    for source, name in sorted({(source, name) for source, _, name in part.counts if name != ALL_REQUESTS}):
        candidate = part.counts.get((source, ledger.candidate, name), ZERO)
        stable = part.counts.get((source, ledger.stable, name), ZERO)
        pairing = pairings.get((source, name), Pairing())
        since = pairing.waiting_since or part.start
        fresh = Interval(candidate.total, candidate.bad, stable.total, stable.bad)
        joined = join(pairing.waiting, fresh) if part.end - since <= PAIR_WITHIN else fresh
        if joined.candidate and joined.stable:
            steps = {**pairing.steps, part.step: join(pairing.steps.get(part.step, NOTHING), joined)}
            pairings[source, name] = Pairing(pairing.profile.add(joined), steps)
        else:
            since = since if joined != fresh else part.start
            pairings[source, name] = replace(pairing, waiting=joined, waiting_since=since)
    return pairings


def coarsen(slices: tuple[Slice, ...], columns: int, border: datetime | None = None) -> tuple[Slice, ...]:
    """At most MAX_SLICES slices, fewer when there are many series: neighbours of one step are merged in pairs, nothing is lost.

    ``border`` is when the step in force began: what ended before is not merged with what did not.
    """
    room = max(MIN_SLICES, min(MAX_SLICES, MAX_CELLS // max(columns, 1)))
    while len(slices) > room:
        merged = tuple(_merge_neighbours(slices, border))
        # Only when every slice is a step of its own is there nothing left to merge.
        slices = merged if len(merged) < len(slices) else slices[1:]
    return slices


def _merge_neighbours(slices: Sequence[Slice], border: datetime | None) -> Iterable[Slice]:
    waiting: Slice | None = None
    for part in slices:
        parted = waiting is not None and border is not None and waiting.end < border <= part.end
        if waiting is not None and waiting.step == part.step and not parted:
            yield replace(waiting, end=part.end, counts=together(waiting.counts, part.counts))
            waiting = None
        else:
            if waiting is not None:
                yield waiting
            waiting = part
    if waiting is not None:
        yield waiting
