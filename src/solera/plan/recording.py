"""A recorded rollout, read back from its document. See ``solera.api.recording`` for the form, ``solera.plan.recorder`` for who writes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from solera.api.defaults import ResolvedRollout
from solera.api.errors import InvalidSpec
from solera.api.recording import RolloutRecording, read_recording, read_settings
from solera.api.scalars import parse_time
from solera.plan.ledger import Counter, Series, Slice


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a rollout: the version, and the name of its revision."""

    version: str
    revision: str


@dataclass(frozen=True, slots=True)
class Recording:
    """One rollout that was recorded. Steps are indices as everywhere in the planner.

    ``slices`` are in the order of time; those whose times are lost come first, one for each step. ``measured`` maps every series, also one
    in which nothing happened, to the first step in which it was read. ``approvals`` maps a step to when it was approved, None where that is not known.
    """

    namespace: str
    name: str
    rollout_id: str
    stable: Side
    candidate: Side
    began: datetime
    until: datetime
    result: str
    settings: ResolvedRollout
    measured: Mapping[Series, int]
    slices: tuple[Slice, ...]
    events: tuple[tuple[datetime, str, str], ...]
    approvals: Mapping[int, datetime | None]
    pauses: tuple[tuple[datetime, datetime | None], ...]
    notes: tuple[str, ...]


def read(document: Any) -> Recording:
    """The recording in a document.

    Raises:
        InvalidSpec: it is no recording, of another version, or was changed by hand into something that makes no sense.
    """
    file = read_recording(document)
    rollout = file.rollout
    if rollout.stable.revision == rollout.candidate.revision:
        raise InvalidSpec("rollout.candidate.revision", "must differ from rollout.stable.revision")
    revisions = {"stable": rollout.stable.revision, "candidate": rollout.candidate.revision}
    columns = [(column.source, revisions[column.arm], column.guardrail) for column in file.counts.columns]
    if len(set(columns)) < len(columns):
        raise InvalidSpec("counts.columns", "every series may be there once")
    began = parse_time(rollout.began, "rollout.began")
    known = list(_known(file, columns))
    first = known[0].start if known else parse_time(rollout.until, "rollout.until")
    early = [
        Slice(began, max(began, first), step, counts)
        for step, counts in sorted(_lost(file, columns), key=lambda row: row[0])
    ]
    return Recording(
        namespace=file.metadata.namespace,
        name=file.metadata.name,
        rollout_id=rollout.id,
        stable=Side(rollout.stable.version, rollout.stable.revision),
        candidate=Side(rollout.candidate.version, rollout.candidate.revision),
        began=began,
        until=parse_time(rollout.until, "rollout.until"),
        result=rollout.result,
        settings=read_settings(file.settings),
        measured={series: c.since_step - 1 for series, c in zip(columns, file.counts.columns, strict=True)},
        slices=(*early, *known),
        events=tuple((parse_time(e.at), e.event, e.message) for e in file.decided.events),
        approvals={a.step - 1: None if a.at is None else parse_time(a.at) for a in file.decided.approvals},
        pauses=tuple(
            (parse_time(p.since), None if p.until is None else parse_time(p.until)) for p in file.decided.pauses
        ),
        notes=file.notes,
    )


def _known(file: RolloutRecording, columns: Sequence[Series]) -> Iterator[Slice]:
    last: datetime | None = None
    for index, row in enumerate(file.counts.intervals):
        path = f"counts.intervals[{index}]"
        if len(row) != 3 + 2 * len(columns):
            raise InvalidSpec(path, f"must hold start, end, step and {2 * len(columns)} numbers, got {len(row)} items")
        start, end = (_time(value, f"{path}[{at}]") for at, value in enumerate(row[:2]))
        if end < start or (last is not None and end < last):
            raise InvalidSpec(path, "must end after its start, and after the one before it")
        last = end
        yield Slice(start, end, _count(row[2], f"{path}[2]") - 1, _counts(row, 3, path, columns))


def _lost(file: RolloutRecording, columns: Sequence[Series]) -> Iterator[tuple[int, dict[Series, Counter]]]:
    for index, row in enumerate(file.counts.lost):
        path = f"counts.lost[{index}]"
        if len(row) != 1 + 2 * len(columns):
            raise InvalidSpec(path, f"must hold step and {2 * len(columns)} numbers, got {len(row)} items")
        yield _count(row[0], f"{path}[0]") - 1, _counts(row, 1, path, columns)


def _counts(row: Sequence[Any], skip: int, path: str, columns: Sequence[Series]) -> dict[Series, Counter]:
    numbers = [_count(value, f"{path}[{at}]") for at, value in enumerate(row) if at >= skip]
    out = {}
    for series, total, bad in zip(columns, numbers[::2], numbers[1::2], strict=True):
        if bad > total:
            raise InvalidSpec(
                path, f"{bad} bad of {total} events of {series[2] or 'all requests'}: must not be more than all"
            )
        if total:
            out[series] = Counter(total, bad)
    return out


def _count(value: Any, path: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InvalidSpec(path, f"{value!r} is no count: write a whole number from 0")
    return value


def _time(value: Any, path: str) -> datetime:
    if not isinstance(value, str):
        raise InvalidSpec(path, f"{value!r} is not a point in time: put it in quotes")
    return parse_time(value, path)
