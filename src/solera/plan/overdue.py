"""Requests in flight for longer than a latency guardrail allows: they are bad, whenever and however they end.

Slow requests finish late, so the counters of finished ones alone look too good at first. Let S(t) be the requests that had begun by t, and D(t)
those that had ended. Of the S(t - slowerThan) at most D(t) have ended by t, in whatever order, so at least S(t - slowerThan) - D(t) of them
are still in flight and will be bad. Whatever is missing or makes no sense gives 0: it counts nothing and excuses nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime, timedelta

from solera.plan.ledger import ZERO, Counter, Flight, Flown, Ledger, Reading

POINTS = 16
"""Two points of a history that have one between them lie at least this part of slowerThan apart: so it has about twice as many."""


def follow(known: Mapping[str, Flown], reading: Reading, counters: Mapping[str, Counter]) -> dict[str, Flown]:
    """The histories of one process after one reading, of which ``counters`` are counted.

    A guardrail of which the reading tells nothing that can be believed loses its history.
    """
    at, by = reading.at, reading.by or reading.at
    found = {
        name: _next(known.get(name), flight, at, by) for name, flight in reading.flights.items() if name in counters
    }
    return {name: flown for name, flown in found.items() if flown is not None}


def _next(known: Flown | None, flight: Flight, at: datetime, by: datetime) -> Flown | None:
    numbers = (flight.started, flight.done)
    if (
        not all(isinstance(n, int) and not isinstance(n, bool) for n in numbers)
        or not 0 <= flight.done <= flight.started
    ):
        return None
    if not (math.isfinite(flight.slower_than) and 0 < flight.slower_than < timedelta.max.total_seconds() / 4):
        return None
    span = timedelta(seconds=flight.slower_than)
    points = known.points if known is not None and known.slower_than == flight.slower_than else ()
    # What has begun never becomes less. Where it does, requests went without being counted, and then they may have before too.
    points = tuple((when, min(begun, flight.started)) for when, begun in points)
    ripe = [point for point in points if point[0] <= at - span]
    overdue = max(0, ripe[-1][1] - flight.done) if ripe else 0
    kept = [*ripe[-1:], *(point for point in points if point[0] > at - span)]
    if len(kept) > 1 and by - kept[-2][0] < span / POINTS:
        kept.pop()
    return Flown(flight.slower_than, (*kept, (max(by, at), flight.started)), overdue)


def ahead_of(
    ahead: Mapping[str, int], old: Mapping[str, Counter], new: Mapping[str, Counter], flown: Mapping[str, Flown]
) -> dict[str, int]:
    """How many bad events by guardrail are counted before they are in the counters ``new``, after ``ahead`` were with ``old``.

    What is counted is a running maximum of the bad ones that ended and those that are overdue: each counts once, and none is taken back.
    """
    after = dict(ahead)
    for name, counter in new.items():
        before = old.get(name, ZERO).bad + ahead.get(name, 0)
        more = max(before - counter.bad, flown[name].overdue if name in flown else 0)
        after[name] = max(more, 0)
    return {name: more for name, more in after.items() if more}


def counted(counters: Mapping[str, Counter], ahead: Mapping[str, int]) -> dict[str, Counter]:
    """The counters with the bad events that are counted before they end."""
    return {n: Counter(c.total + ahead.get(n, 0), c.bad + ahead.get(n, 0)) for n, c in counters.items()}


def overdue(ledger: Ledger, source: str, revision: str, guardrail: str) -> int:
    """How many requests at least were in flight for too long at the newest readings, all processes together."""
    return sum(
        flown[guardrail].overdue
        for (of, whose, _), flown in ledger.flown.items()
        if (of, whose) == (source, revision) and guardrail in flown
    )
