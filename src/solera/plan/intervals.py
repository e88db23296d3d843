"""Intervals of evidence: looks come every second, bursts of failures do not, so what is counted in EVIDENCE_INTERVAL counts as one piece.

An interval ends by the clock alone, never by what happened in it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from solera.api.defaults import RISK
from solera.api.scalars import parse_percent
from solera.errors import SoleraError
from solera.plan.guardrail import ROLL_BACK
from solera.plan.ledger import ALL_REQUESTS, ZERO, Counter, Ledger, Series, Slice, together
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


def risk_of(spec: Mapping[str, Any]) -> float:
    """The risk of one test in a raw spec: ``falseRollback`` over the limits and ratios that can roll back. What cannot be read counts as its default."""
    rollout = spec.get("rollout")
    rollout = rollout if isinstance(rollout, Mapping) else {}
    risk, tests = RISK, 0
    with suppress(SoleraError, KeyError, TypeError):
        risk = parse_percent(rollout["risk"]["falseRollback"])
    with suppress(TypeError, AttributeError):
        for guardrail in rollout.get("guardrails") or ():
            if guardrail.get("action", ROLL_BACK) == ROLL_BACK:
                ratio = (guardrail.get("comparedToStable") or {}).get("maxRatio")
                tests += (guardrail.get("limit") is not None) + (ratio is not None)
    return (risk if 0 < risk < 1 else RISK) / max(tests, 1)


def rollback_level(risk: float, sources: int) -> float:
    """The log wealth that shows a candidate to be bad, in one of so many sources, when one test may be wrong in all of them with ``risk``."""
    return math.log(max(sources, 1) / risk)


def gather(ledger: Ledger, part: Slice, limits: Mapping[str, float], risk: float) -> Ledger:
    """The ledger with ``part`` in its interval; when that is over, with what the interval says. ``limits`` are shares by guardrail, ``risk`` that of one test."""
    since = ledger.gathered_since or part.start
    gathered = together(ledger.gathered, part.counts)
    if part.end - since < EVIDENCE_INTERVAL:
        return replace(ledger, gathered=gathered, gathered_since=since)
    bets = {}
    for name, limit in limits.items():
        sources = ledger.sources(ledger.candidate, name)
        level = rollback_level(risk, len(sources))
        for source in sources:
            counter = gathered.get((source, ledger.candidate, name), ZERO)
            bets[source, name] = bets_on(ledger, source, name, limit, level).add(counter.bad, counter.total)
    return replace(
        ledger, gathered={}, gathered_since=None, spreads=_spread(ledger.spreads, gathered), bets=bets or ledger.bets
    )


def bets_on(ledger: Ledger, source: str, guardrail: str, limit: float, level: float) -> Bets:
    """The bets on "the candidate's share is above ``limit``", over all intervals that are over, for a test at ``level``.

    Those of the ledger when they are on this limit. Otherwise (the limit was edited) they are made anew on the slices that were kept.
    """
    kept = ledger.bets.get((source, guardrail))
    if kept is not None and kept.limit == limit:
        return kept.at(level)
    bets = Bets(limit, level=level)
    for counts in _intervals(ledger):
        counter = counts.get((source, ledger.candidate, guardrail), ZERO)
        bets = bets.add(counter.bad, counter.total)
    return bets


def spread_of(ledger: Ledger, source: str, revision: str, guardrail: str) -> Spread:
    """How the bad events of this series are spread over the intervals, the one in progress included: what counts already must be known for a burst."""
    series = (source, revision, guardrail)
    over, now = ledger.spreads.get(series, Spread()), ledger.gathered.get(series, ZERO)
    return over.add(now.bad, now.total) if now.total else over


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
        gathered = together(gathered, part.counts)
        if part.end - since >= EVIDENCE_INTERVAL:
            yield gathered
            since, gathered = None, {}


def _spread(spreads: Mapping[Series, Spread], counts: Mapping[Series, Counter]) -> dict[Series, Spread]:
    more = dict(spreads)
    for series, counter in counts.items():
        if series[2] != ALL_REQUESTS:
            more[series] = more.get(series, Spread()).add(counter.bad, counter.total)
    return more
