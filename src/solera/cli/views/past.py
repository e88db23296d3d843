"""What happened to one LLMDeployment: rollouts, decisions, requests, retirements, and what the last rollout counted. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from solera.cli.views import times
from solera.cli.views.reading import clean
from solera.cli.views.view import Deployment, Event
from solera.plan.memory import BEGINS, ENDS

REQUESTS = frozenset({"Approved", "Aborted", "Paused", "Resumed", "Retried", "RequestRefused"})

_FROM_TO = re.compile(r"(?P<from>\S+) → (?P<to>\S+) \((?P<revision>\S+)\)")


@dataclass(frozen=True, slots=True)
class Run:
    """One rollout. What the history no longer holds is None; `result` is InProgress while it goes on."""

    from_: str | None
    to: str | None
    revision: str | None
    started_at: datetime | None
    ended_at: datetime | None
    result: str
    message: str


@dataclass(frozen=True, slots=True)
class Count:
    """What one side of a rollout had at one step (from 1; None before the first), by one guardrail; with "" all requests."""

    guardrail: str
    source: str
    side: str
    step: int | None
    total: int
    bad: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was counted in the last rollout, from its RolloutRecord."""

    rollout: str
    stable: str
    candidate: str
    began: datetime | None
    until: datetime | None
    counts: tuple[Count, ...]


@dataclass(frozen=True, slots=True)
class Past:
    """Everything that is known of what was, the newest first. `pending` is a request that has no answer yet."""

    rollouts: tuple[Run, ...]
    events: tuple[Event, ...]
    pending: str | None
    evidence: Evidence | None


def past(d: Deployment, record: Mapping[str, Any] | None) -> Past:
    """Read it from status and from the data of the RolloutRecord, if there is one."""
    told = [(e, None) for e in d.history]
    events = sorted([*told, *_older(d)], key=lambda known: times.stamp(known[0].at) if known[0].at else "")
    runs = list(_runs(d, events))
    return Past(tuple(reversed(runs)), tuple(e for e, _ in reversed(events)), d.unanswered_request, _evidence(record))


Known = tuple[Event, str | None]
"""An event, and the version that it is about if that is remembered beside it."""


def _older(d: Deployment) -> Iterator[Known]:
    """What status remembers longer than its history does."""
    told = {(times.stamp(e.at), e.event) for e in d.history if e.at}

    def unless_told(version: str, at: datetime | None, event: str, message: str, *others: str) -> Iterator[Known]:
        if at and not told & {(times.stamp(at), name) for name in (event, *others)}:
            yield Event(at, event, message), version

    for p in d.promoted:
        yield from unless_told(
            p.version, p.at, "Promoted", f"{p.version} ({p.hash}) carried all traffic", "Serving", "Adopted"
        )
    for r in d.rejected:
        yield from unless_told(
            r.version, r.at, "RolledBack", r.reason or f"{r.version} ({r.hash}) was rolled back", "Aborted"
        )
    for v in d.versions:
        late = f", {v.late_by} late" if v.late_by and v.late_by != "0s" else ""
        yield from unless_told(v.name, v.retired_at, "Retired", f"{v.name} was retired{late}")


def _runs(d: Deployment, events: list[Known]) -> Iterator[Run]:
    running: Run | None = None
    for e, version in events:
        if e.event == BEGINS:
            if running:
                yield running
            match = _FROM_TO.fullmatch(e.message)
            found = match.groupdict() if match else {}
            running = Run(
                found.get("from"), found.get("to"), found.get("revision"), e.at, None, "InProgress", e.message
            )
        elif e.event in ENDS:
            begun = running or Run(None, version, None, None, None, "", "")
            yield replace(begun, ended_at=e.at, result=e.event, message=e.message)
            running = None
    if running:
        yield running if d.in_rollout else replace(running, result="Ended")


def _evidence(record: Mapping[str, Any] | None) -> Evidence | None:
    ledger = (record or {}).get("ledger")
    if not isinstance(ledger, Mapping) or not isinstance(ledger.get("totals"), list):
        return None
    return Evidence(
        clean(ledger.get("rollout")) or "",
        clean(ledger.get("stable")) or "",
        clean(ledger.get("candidate")) or "",
        times.parse(ledger.get("began")),
        times.parse(ledger.get("now")),
        tuple(c for series in ledger["totals"] if isinstance(series, Mapping) for c in _counts(series)),
    )


def _counts(series: Mapping[str, Any]) -> Iterator[Count]:
    steps = series.get("steps")
    for step, numbers in sorted(
        (steps if isinstance(steps, Mapping) else {}).items(), key=lambda item: _number(item[0])
    ):
        if isinstance(numbers, (list, tuple)) and len(numbers) == 2 and any(numbers):
            index = _number(step)
            yield Count(
                clean(series.get("guardrail")) or "",
                clean(series.get("source")) or "",
                clean(series.get("revision")) or "",
                index + 1 if index >= 0 else None,
                *map(_number, numbers),
            )


def _number(value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        return 0


def together(counts: tuple[Count, ...]) -> dict[tuple[str, str], dict[str, tuple[int, int]]]:
    """(guardrail, source) -> side -> (total, bad) over all steps."""
    out: dict[tuple[str, str], dict[str, tuple[int, int]]] = {}
    for c in counts:
        sides = out.setdefault((c.guardrail, c.source), {})
        total, bad = sides.get(c.side, (0, 0))
        sides[c.side] = total + c.total, bad + c.bad
    return out
