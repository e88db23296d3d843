"""A replay beside what was really decided: as data for programs, and in words. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from solera.api.defaults import ResolvedRollout
from solera.api.recording import spelled_out
from solera.api.scalars import format_percent
from solera.cli.offline.settings import differences
from solera.cli.views import times
from solera.cli.views.table import plain
from solera.plan.recording import Recording
from solera.plan.replay import Replay, ReplayedLook, spans
from solera.plan.verdict import GuardrailVerdict

KEPT = "The requests are the recorded ones, at the weights of that time: other settings do not bring others."


@dataclass(frozen=True, slots=True)
class Change:
    """One setting that is another than in the recording; None where it is absent."""

    setting: str
    recorded: str | None
    replayed: str | None


@dataclass(frozen=True, slots=True)
class Decided:
    """What really happened: `result` is InProgress or the event that ended it, `to_all_at` when requests at 100% began."""

    result: str
    rolled_back_at: datetime | None
    reason: str | None
    to_all_at: datetime | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a replay decides; None for what does not come about."""

    proven_at: datetime | None
    free_at: datetime | None
    rolled_back_at: datetime | None
    reason: str


@dataclass(frozen=True, slots=True)
class Figures:
    """One guardrail at one look. Shares are texts such as `0.4%`; `changed` if its verdict is another than before."""

    name: str
    verdict: str
    changed: bool
    estimate: str | None
    low: str | None
    high: str | None
    limit: str | None
    samples: int
    bad: int
    source: str
    message: str
    forecast: str | None


@dataclass(frozen=True, slots=True)
class Look:
    """One interval's end. `step` counts from 1, None before the first; `gate` is why the step may not be left, `open` that it may."""

    at: datetime
    step: int | None
    gate: str | None
    open: bool
    guardrails: tuple[Figures, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One step that was begun: when it was really left, and when its gate would first have been open."""

    number: int
    weight: int
    began: datetime
    left: datetime | None
    open_at: datetime | None
    waits: str | None


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that `solera replay` tells. `looks` are those at which something changed, `end` is the last one."""

    namespace: str
    name: str
    rollout: str
    stable: str
    candidate: str
    began: datetime
    until: datetime
    intervals: int
    unseen: int
    settings: dict[str, Any]
    changes: tuple[Change, ...]
    decided: Decided
    as_recorded: Outcome
    replayed: Outcome
    steps: tuple[Step, ...]
    looks: tuple[Look, ...]
    end: Look
    notes: tuple[str, ...]


def report(
    recording: Recording, settings: ResolvedRollout, before: Replay, after: Replay, notes: tuple[str, ...]
) -> Report:
    """`before` is the replay with the recorded settings, `after` that with `settings`."""
    here = spelled_out(settings)
    return Report(
        namespace=recording.namespace,
        name=recording.name,
        rollout=recording.rollout_id,
        stable=recording.stable.version,
        candidate=recording.candidate.version,
        began=recording.began,
        until=recording.until,
        intervals=len(recording.slices),
        unseen=after.unseen,
        settings=here,
        changes=tuple(Change(*change) for change in differences(spelled_out(recording.settings), here)),
        decided=_decided(recording),
        as_recorded=_outcome(before),
        replayed=_outcome(after),
        steps=tuple(Step(s.index + 1, s.weight, s.began, s.left, s.open_at, s.waits) for s in after.steps),
        looks=tuple(_look(look) for look in after.looks),
        end=_look(after.last),
        notes=(*notes, *recording.notes),
    )


def _decided(recording: Recording) -> Decided:
    back = [(at, message) for at, event, message in recording.events if event in {"RolledBack", "Aborted"}]
    steps = recording.settings.steps
    to_all = next((began for index, began, _ in spans(recording) if steps[index].weight == 100), None)
    at, reason = back[-1] if back else (None, None)
    return Decided(recording.result, at, reason, to_all)


def _outcome(replay: Replay) -> Outcome:
    reason = replay.reason or replay.last.judgement.reason
    return Outcome(replay.proven_at, replay.free_at, replay.rolled_back_at, reason)


def _look(look: ReplayedLook) -> Look:
    gate = look.gate
    return Look(
        look.at,
        None if look.step is None else look.step + 1,
        None if gate is None else gate.reason,
        gate is not None and gate.open,
        tuple(_figures(v, changed=v.name in look.changed) for v in look.verdicts),
    )


def _figures(v: GuardrailVerdict, *, changed: bool) -> Figures:
    estimate, low, high, limit = (
        None if x is None else format_percent(x) for x in (v.estimate, v.low, v.high, v.limit)
    )
    return Figures(
        v.name, v.verdict, changed, estimate, low, high, limit, v.samples, v.bad, v.source, v.reason, v.forecast
    )


def told(r: Report, steps: int) -> Iterator[str]:
    """Blocks of text, to be parted by empty lines; `steps` is the number of planned steps."""
    span = f"{r.intervals} intervals from {times.stamp(r.began)} to {times.stamp(r.until)}"
    yield f"{r.name} (namespace {r.namespace}), rollout {r.rollout}, {r.stable} → {r.candidate}: {span}\n{KEPT}"
    if r.changes:
        rows = [[c.setting, c.recorded or "-", c.replayed or "-"] for c in r.changes]
        yield plain(("SETTING", "RECORDED", "HERE"), rows)
    lines = [("Really", _really(r.decided))]
    lines += [("Replayed as recorded", _sentence(r.as_recorded, r))]
    lines += [("Replayed with these settings", _sentence(r.replayed, r))] if r.changes else []
    width = max(len(name) for name, _ in lines) + 2
    yield "\n".join(f"{name + ':':<{width}}{words}" for name, words in lines)
    rows = [[f"{s.number} of {steps}", f"{s.weight}%", *_times(s)] for s in r.steps]
    if rows:
        yield plain(("STEP", "WEIGHT", "BEGAN", "LEFT", "MAY BE LEFT AT"), rows)
    header = ("AT", "STEP", "MAY BE LEFT", "GUARDRAIL", "VERDICT", "BAD", "INTERVAL", "LIMIT", "SAMPLES")
    yield plain(header, [row for look in r.looks for row in _rows(look, steps)])
    ends = [f"{g.name}: {g.message}" + (f"; {g.forecast}" if g.forecast else "") for g in r.end.guardrails]
    yield "\n".join([f"At the last look, {times.stamp(r.end.at)}:", *(f"  {line}" for line in ends)])
    if r.notes:
        yield "\n".join(f"? {note}" for note in r.notes)


def _really(d: Decided) -> str:
    went = f"100% from {times.stamp(d.to_all_at)} on; " if d.to_all_at else ""
    if d.rolled_back_at:
        return f"{went}{d.result} at {times.stamp(d.rolled_back_at)}: {d.reason}"
    return f"{went}{d.result}"


def _sentence(o: Outcome, r: Report) -> str:
    free = f"free to go to 100% at {times.stamp(o.free_at)}" if o.free_at else ""
    if o.rolled_back_at:
        return f"{free + ', then ' if free else ''}rolled back at {times.stamp(o.rolled_back_at)}: {o.reason}"
    if free:
        return f"{free}, not rolled back"
    if o.proven_at:
        return f"every guardrail passes at {times.stamp(o.proven_at)}, but the step before 100% was not free to be left"
    return f"no decision by {times.stamp(r.until)}: {o.reason}"


def _times(s: Step) -> Iterator[str]:
    yield times.stamp(s.began)
    yield times.stamp(s.left) if s.left else "-"
    yield times.stamp(s.open_at) if s.open_at else s.waits or "-"


def _rows(look: Look, steps: int) -> Iterator[list[str]]:
    left = "-" if look.gate is None else "yes" if look.open else look.gate
    where = [times.stamp(look.at), "-" if look.step is None else f"{look.step} of {steps}", left]
    shown = [g for g in look.guardrails if g.changed]
    for g in shown:
        interval = f"{g.low} to {g.high}" if g.low and g.high else "-"
        bad = f"{g.estimate} ({g.bad})" if g.estimate else "-"
        yield [*where, g.name, g.verdict, bad, interval, g.limit or "-", str(g.samples)]
        where = ["", "", ""]
    if not shown:
        yield [*where, *("-",) * 6]
