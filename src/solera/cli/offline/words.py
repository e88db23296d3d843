"""A forecast as people read it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from solera.cli.offline.changes import IN_PLACE, REFUSED, RESTART, ROLLOUT, Change
from solera.cli.offline.expecting import Expected, arrival
from solera.cli.offline.forecast import Forecast, PlannedRollout
from solera.cli.offline.steps import PlannedStep, Proof
from solera.cli.views import times
from solera.cli.views.table import plain

_EFFECTS = {
    REFUSED: "is refused",
    ROLLOUT: "new revision",
    RESTART: "pods restart",
    IN_PLACE: "in place",
}


def told(f: Forecast) -> Iterator[str]:
    """Blocks of text, to be parted by empty lines."""
    yield f"{f.name} (namespace {f.namespace}), as of {times.stamp(f.at)}, without a look at any cluster"
    if f.changes is not None:
        yield "\n".join(_changes(f))
    yield "\n".join(_rollouts(f))
    yield plain(("STEP", "WEIGHT", "AT LEAST", "REQUESTS", "LEFT BY"), [_step(s, len(f.steps)) for s in f.steps])
    if f.max_harmed_requests is not None:
        yield _ramp(f)
    if f.proof:
        header = ("GUARDRAIL", "REQUESTS TO PASS IF NONE IS BAD", "AT HALF THE LIMIT", "TO FAIL AT TWICE THE LIMIT")
        times_known = any(e.median is not None and e.median.time is not None for p in f.proof for e in p.expected)
        note = (
            "" if times_known else "\nas if requests came one by one; for how they really come: --requests-per-second"
        )
        yield plain(header, [_proof(p) for p in f.proof]) + note
    spans = [[times.stamp(s.at), s.version or "nobody", s.why] for s in f.serving]
    yield plain(("FROM", "SERVES", "WHY"), spans)
    if f.dates:
        rows = [[times.stamp(d.at), d.version, d.event, d.message] for d in f.dates]
        yield plain(("DATE", "VERSION", "EVENT", "MESSAGE"), rows)
    if f.accelerators_peak:
        yield f"Accelerators: {_sum(f.accelerators_now)} now, {_sum(f.accelerators_peak)} at the peak, {f.peak}"
    if f.concerns:
        yield "\n".join(f"{'!' if c.blocking else '?'} {c.path}: {c.message}" for c in f.concerns)


def _ramp(f: Forecast) -> str:
    return (
        f"Adaptive: between these steps the weight rises as fast as it costs no more than {f.max_harmed_requests} bad requests beyond the "
        "limits (with --requests-per-second these are the steps of a version without bad answers)."
    )


def _changes(f: Forecast) -> Iterator[str]:
    found = f.changes or ()
    if not found:
        yield "Nothing changes."
        return
    yield plain(("CHANGED", "EFFECT", "MESSAGE"), [_change(c) for c in found])


def _change(c: Change) -> list[str]:
    return [c.path, _EFFECTS.get(c.effect, "plan"), c.message]


def _rollouts(f: Forecast) -> Iterator[str]:
    now = [r for r in f.rollouts if r.at <= f.at]
    if f.changes is not None and not now:
        yield "No rollout: what runs is what is asked for."
    for r in f.rollouts:
        yield _rollout(r, f)
    if not f.rollouts and f.changes is None:
        yield f"No rollout is foreseen. Any would take {times.exact(f.least)} at least, start-up aside."


def _rollout(r: PlannedRollout, f: Forecast) -> str:
    what = f"a new revision of {r.to}" if r.new_revision else f"{r.from_} → {r.to}"
    when = "at once" if r.at <= f.at else times.stamp(r.at)
    waits = [str(s.number) for s in f.steps if s.approval]
    approvals = f", and until somebody approves step {' and '.join(waits)}" if waits else ""
    warm = f"; {r.from_} stays warm for {times.exact(f.keep_previous)} after it" if f.keep_previous else ""
    return f"Rollout {what}, {when}, {len(f.steps)} steps, {times.exact(f.least)} at least{approvals}, start-up aside{warm}."


def _step(s: PlannedStep, of: int) -> list[str]:
    by = "a person's approval" if s.approval else "itself"
    return [f"{s.number} of {of}", f"{s.weight}%", times.exact(s.at_least), str(s.requests), by]


def _proof(p: Proof) -> list[str]:
    good = "depends on stable" if p.requests is None else f"{p.requests:,}"
    ends = [_ends(e) for e in p.expected]
    return [p.guardrail, good, *ends, *("-",) * (2 - len(ends))]


def _ends(e: Expected) -> str:
    """When there is a verdict in half of all cases, and in nine tenths."""
    if e.median is None:
        return "-"
    return arrival(e.median) + (f", 9 in 10 by {arrival(e.ninety)}" if e.ninety else "")


def _sum(accelerators: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in accelerators.items()) or "none"
