"""What guardrails count. A name whose meaning was edited in mid-rollout counts anew: its old counts are about other events."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

from solera.api.scalars import parse_duration
from solera.errors import SoleraError
from solera.plan.ledger import Ledger, Measure, Reading

_Value = TypeVar("_Value")


def measures_of(spec: Mapping[str, Any]) -> dict[str, Measure]:
    """What the guardrails of a raw spec count, by name; what cannot be read is left out, for others to refuse."""
    measures = {}
    for guardrail in (spec.get("rollout") or {}).get("guardrails") or ():
        with suppress(SoleraError, KeyError, TypeError, AttributeError):
            slower = guardrail.get("slowerThan")
            seconds = None if slower is None else parse_duration(slower).total_seconds()
            measures[str(guardrail["name"])] = Measure(str(guardrail["metric"]), seconds)
    return measures


def redefined(ledger: Ledger, measures: Mapping[str, Measure], now: datetime) -> Ledger:
    """The ledger that counts ``measures`` from ``now`` on: without anything that was counted under their names as something else.

    A name that is not in ``measures`` keeps what it has: its guardrail may come back.
    """
    told = ledger.measures
    if told is None:
        return replace(ledger, measures=dict(measures))
    changed = {name: m for name, m in measures.items() if told.get(name) != m}
    if not changed:
        return ledger

    def left(by: Mapping[str, _Value]) -> dict[str, _Value]:
        return {name: value for name, value in by.items() if name not in changed}

    def others(by: Mapping[Any, _Value]) -> dict[Any, _Value]:
        return {key: value for key, value in by.items() if key[-1] not in changed}

    return replace(
        ledger,
        measures={**told, **{name: replace(m, since=now) for name, m in changed.items()}},
        totals=others(ledger.totals),
        read_at=others(ledger.read_at),
        instances={
            key: replace(one, counters=left(one.counters), ahead=left(one.ahead))
            for key, one in ledger.instances.items()
        },
        pairings=others(ledger.pairings),
        ring=tuple(replace(part, counts=others(part.counts)) for part in ledger.ring),
        gathered=others(ledger.gathered),
        spreads=others(ledger.spreads),
        bets=others(ledger.bets),
        flown={key: left(flown) for key, flown in ledger.flown.items()},
    )


def as_asked(ledger: Ledger, reading: Reading) -> Reading:
    """The reading without what was counted for a guardrail that has been edited since it was asked for."""
    told = ledger.measures or {}
    other = {name for name, m in reading.measures.items() if told.get(name, m) != m}
    if not other:
        return reading
    counters = {name: counter for name, counter in reading.counters.items() if name not in other}
    flights = {name: flight for name, flight in reading.flights.items() if name not in other}
    return replace(reading, counters=counters, flights=flights)
