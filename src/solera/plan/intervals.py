"""Intervals of evidence: looks come every second, bursts of failures do not, so what is counted in EVIDENCE_INTERVAL counts as one piece.

An interval ends by the clock alone, never by what happened in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from solera.api.scalars import parse_percent
from solera.errors import SoleraError
from solera.plan.ledger import ALL_REQUESTS, ZERO, Counter, Ledger, Series, Slice, add
from solera.stats.dispersion import Spread
from solera.stats.interval_bets import Bets

EVIDENCE_INTERVAL = timedelta(seconds=5)
"""At least so long. Failures with one cause that come within it (a pod that dies with all its requests) are one piece of evidence."""


def limits_of(spec: Mapping[str, Any]) -> dict[str, float]:
    """The limits that a raw spec writes, as shares by guardrail; what cannot be read is left out, for others to refuse."""
    limits = {}
    for guardrail in (spec.get("rollout") or {}).get("guardrails") or ():
        with suppress(SoleraError, KeyError, TypeError, AttributeError):
            limit = parse_percent(guardrail["limit"])
            if 0 < limit < 1:
                limits[str(guardrail["name"])] = limit
    return limits


def gather(ledger: Ledger, part: Slice, limits: Mapping[str, float]) -> Ledger:
    """The ledger with ``part`` in its interval; when that is over, with what the interval says. ``limits`` are shares by guardrail."""
    since = ledger.gathered_since or part.start
    gathered = _together(ledger.gathered, part.counts)
    if part.end - since < EVIDENCE_INTERVAL:
        return replace(ledger, gathered=gathered, gathered_since=since)
    bets = {}
    for source, revision, name in {*ledger.totals, *gathered}:
        if revision == ledger.candidate and name in limits:
            counter = gathered.get((source, revision, name), ZERO)
            bets[source, name] = bets_on(ledger, source, name, limits[name]).add(counter.bad, counter.total)
    return replace(
        ledger, gathered={}, gathered_since=None, spreads=_spread(ledger.spreads, gathered), bets=bets or ledger.bets
    )


def bets_on(ledger: Ledger, source: str, guardrail: str, limit: float) -> Bets:
    """The bets on "the candidate's share is above ``limit``", over all intervals that are over.

    Those of the ledger when they are on this limit. Otherwise (the limit was edited) they are made anew on the slices that were kept.
    """
    kept = ledger.bets.get((source, guardrail))
    if kept is not None and kept.limit == limit:
        return kept
    bets = Bets(limit)
    for counts in _intervals(ledger):
        counter = counts.get((source, ledger.candidate, guardrail), ZERO)
        bets = bets.add(counter.bad, counter.total)
    return bets


def spread_of(ledger: Ledger, source: str, revision: str, guardrail: str) -> Spread:
    """How the bad events of this series are spread over the intervals that are over."""
    return ledger.spreads.get((source, revision, guardrail), Spread())


def regather(ledger: Ledger) -> Ledger:
    """The ledger with the spreads of the slices that were kept."""
    spreads: Mapping[Series, Spread] = {}
    for counts in _intervals(ledger):
        spreads = _spread(spreads, counts)
    return replace(ledger, spreads=spreads)


def _intervals(ledger: Ledger) -> Iterator[Mapping[Series, Counter]]:
    since: datetime | None = None
    gathered: Mapping[Series, Counter] = {}
    end = ledger.gathered_since
    for part in ledger.ring:
        if end is not None and part.start >= end:
            return
        since = since or part.start
        gathered = _together(gathered, part.counts)
        if part.end - since >= EVIDENCE_INTERVAL:
            yield gathered
            since, gathered = None, {}


def _together(one: Mapping[Series, Counter], other: Mapping[Series, Counter]) -> dict[Series, Counter]:
    both = dict(one)
    for series, counter in other.items():
        both[series] = add(both.get(series, ZERO), counter)
    return both


def _spread(spreads: Mapping[Series, Spread], counts: Mapping[Series, Counter]) -> dict[Series, Spread]:
    more = dict(spreads)
    for series, counter in counts.items():
        if series[2] != ALL_REQUESTS:
            more[series] = more.get(series, Spread()).add(counter.bad, counter.total)
    return more
