"""One LLMDeployment in full: state, versions with their dates, weights, guardrails with their intervals, history. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from rich.console import Group, RenderableType
from rich.text import Text

from solera.cli.views import times
from solera.cli.views.colours import colour, coloured, grid
from solera.cli.views.table import state
from solera.cli.views.view import Deployment, Guardrail, Ref, Version

HISTORY_LINES = 8
REVISION_CHARACTERS = 12
"""So much of a commit tells it apart for a person; `-o wide` shows all of it."""


def detail(d: Deployment, now: datetime, *, wide: bool = False) -> RenderableType:
    """Everything about one LLMDeployment, for a terminal or a pipe."""
    parts: list[RenderableType] = [_facts(d, now, wide=wide)]
    if d.versions:
        parts += ["", _versions(d, now, wide=wide)]
    if d.guardrails:
        parts += ["", coloured(_GUARDRAIL_HEADER, [_guardrail_row(g) for g in d.guardrails])]
        parts += [Text(f"  {text}") for text in _guardrail_notes(d.guardrails)]
    if d.rejected:
        rows = [[r.version, r.hash, times.moment(r.at, now), r.reason or "-"] for r in reversed(d.rejected)]
        parts += ["", coloured(("REJECTED", "HASH", "AT", "REASON"), rows)]
    if d.history:
        newest = list(reversed(d.history))
        shown = newest if wide else newest[:HISTORY_LINES]
        rows = [[times.relative(e.at, now) if e.at else "-", e.event, e.message] for e in shown]
        parts += ["", coloured(("HISTORY", "EVENT", "MESSAGE"), rows)]
        if len(shown) < len(newest):
            parts.append(Text(f"  {len(newest) - len(shown)} earlier, shown by -o wide", style="dim"))
    return Group(*parts)


def _facts(d: Deployment, now: datetime, *, wide: bool) -> RenderableType:
    table = grid(show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _fact_rows(d, now, wide=wide):
        table.add_row(name, Text(value, style=colour(value) if name in _COLOURED else ""))
    return table


_COLOURED = frozenset({"Ready", "State"})


def _fact_rows(d: Deployment, now: datetime, *, wide: bool) -> Iterator[tuple[str, str]]:
    yield "Name", f"{d.name} (namespace {d.namespace}, {times.age(d.created_at, now)} old)"
    if d.model_name and d.model_name != d.name:
        yield "Model name", d.model_name
    if d.team or d.contact:
        yield "Owner", " ".join(part for part in (d.team, f"<{d.contact}>" if d.contact else None) if part)
    if d.deleted_at:
        yield "Deleted", f"asked for {times.relative(d.deleted_at, now)}"
    ready = d.condition("Ready")
    why = f" ({ready.reason}) {ready.message}".rstrip() if ready and ready.status != "True" else ""
    if not d.observed:
        why = f" (the operator has not seen generation {d.generation} yet, last seen: {d.observed_generation})"
    yield "Ready", d.ready + why
    for c in d.conditions:
        if ready and c.type == "Stalled" and c.message == ready.message:
            continue  # said in the line above
        if c.type not in {"Ready", "Reconciling", "RolloutComplete", "RouteAccepted"} and c.status == "True":
            yield c.type, f"{c.reason}: {c.message}".rstrip(": ")
        if c.type == "RouteAccepted" and c.status != "True":
            yield c.type, f"{c.status} ({c.reason}) {c.message}".rstrip()
    yield "State", ", ".join(part for part in (state(d), d.step_text) if part)
    r = d.rollout if d.in_rollout else None
    if r and r.message:
        yield "Waits for" if d.state in {"Held", "Shifting"} else "Because", r.message
    if r and r.step_started_at:
        yield "Since", times.moment(r.step_started_at, now)
    if r and r.paused_at:
        by = f" by {r.paused_by}" if r.paused_by else ""
        yield "Paused", f"since {times.moment(r.paused_at, now)}{by}"
    elif r and r.held_since:
        yield "Held since", times.moment(r.held_since, now)
    if d.next or d.next_at:
        at = f" ({times.relative(d.next_at, now)})" if d.next_at else ""
        yield "Next", f"{d.next or '-'}{at}"
    yield "Stable", _ref(d.stable, wide=wide)
    if d.candidate:
        yield "Candidate", _ref(d.candidate, wide=wide)
    if d.previous:
        until = f", kept warm until {times.moment(d.previous.until, now)}" if d.previous.until else ""
        yield "Previous", _ref(d.previous, wide=wide) + until
    for ref in d.draining:
        since = f", without requests since {times.moment(ref.since, now)}" if ref.since else ", still gets requests"
        yield "Draining", _ref(ref, wide=wide) + since
    if d.effective_version and d.effective_version != d.serve:
        yield "Effective", f"{d.effective_version} (spec.serve says {d.serve})"
    if r and r.evidence_at:
        yield "Evidence", f"as of {times.moment(r.evidence_at, now)}"
    if d.weights:
        seen = f"; the candidate got {r.observed_share} of the requests" if r and r.observed_share else ""
        yield "Weights", ", ".join(f"{w.version} {w.weight}%" for w in d.weights) + seen
    if d.harmed_text:
        yield "Budget", d.harmed_text
    if d.unanswered_request:
        yield "Request", f"{d.unanswered_request} (not handled yet)"


def _ref(ref: Ref | None, *, wide: bool) -> str:
    if ref is None:
        return "-"
    return f"{ref.version} ({ref.revision})" if wide else f"{ref.version} ({ref.hash})"


def _versions(d: Deployment, now: datetime, *, wide: bool) -> RenderableType:
    """The table of versions; dates and successors only if one version has any."""
    columns: dict[str, list[str]] = {
        "VERSION": [v.name for v in d.versions],
        "PHASE": [v.phase or "-" for v in d.versions],
        "WEIGHT": [f"{v.weight}%" for v in d.versions],
        "MODEL": [_model(v, wide=wide) for v in d.versions],
        "DEPRECATED": [times.moment(v.deprecated_at, now) for v in d.versions],
        "RETIRES": [_retires(v, now) for v in d.versions],
        "SUCCESSOR": [_successor(v) for v in d.versions],
        "MESSAGE": [v.message or "-" for v in d.versions],
    }
    always = ("VERSION", "PHASE", "WEIGHT", "MODEL")
    shown = {name: cells for name, cells in columns.items() if name in always or set(cells) != {"-"}}
    return coloured(list(shown), zip(*shown.values(), strict=True))


def _model(v: Version, *, wide: bool) -> str:
    if not v.model_revision:
        return v.uri or "-"
    return f"{v.uri or '-'}@{v.model_revision if wide else v.model_revision[:REVISION_CHARACTERS]}"


def _retires(v: Version, now: datetime) -> str:
    if v.retired_at is None:
        return times.moment(v.retires_at, now)
    late = f", {v.late_by} late" if v.late_by and v.late_by != "0s" else ""
    return f"{times.stamp(v.retired_at)} (done{late})"


def _successor(v: Version) -> str:
    if v.successor and v.on_retirement:
        return f"{v.successor} ({v.on_retirement})"
    return v.successor or v.on_retirement or "-"


_GUARDRAIL_HEADER = ("GUARDRAIL", "METRIC", "VERDICT", "BAD", "INTERVAL", "LIMIT", "SAMPLES", "SOURCE", "FORECAST")


def _guardrail_row(g: Guardrail) -> list[str]:
    bad = f"{g.estimate} ({g.bad})" if g.estimate and g.bad is not None else g.estimate or "-"
    return [
        g.name,
        g.metric or "-",
        g.verdict or "-",
        bad,
        f"{g.low} to {g.high}" if g.low and g.high else "-",
        g.limit or "-",
        "-" if g.samples is None else str(g.samples),
        g.source or "-",
        g.forecast or "-",
    ]


def _guardrail_notes(guardrails: Iterable[Guardrail]) -> Iterator[str]:
    for g in guardrails:
        if g.message or g.reason:
            yield f"{g.name}: {g.message or g.reason}"
