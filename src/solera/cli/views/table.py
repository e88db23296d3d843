"""The list: one line for each LLMDeployment. Pure; the same cells serve the terminal, a pipe and the watch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from solera.cli.views import times
from solera.cli.views.view import Deployment

HEADERS = ("NAME", "READY", "STABLE", "CANDIDATE", "WEIGHT", "STATE", "NEXT", "AGE")
WIDE_HEADERS = ("STEP", "OBSERVED", "GUARDRAILS", "MODEL", "TEAM", "MESSAGE")
NEXT_WIDTH = 48
GAP = 3


def headers(*, wide: bool, namespaces: bool) -> list[str]:
    """The column names; `namespaces` puts NAMESPACE first, as -A does."""
    return [*(["NAMESPACE"] if namespaces else []), *HEADERS, *(WIDE_HEADERS if wide else ())]


def cells(d: Deployment, now: datetime, *, wide: bool, namespaces: bool) -> list[str]:
    """The cells of one line, in the order of `headers`; `-` where there is nothing to say."""
    row = [
        d.name,
        d.ready,
        d.stable.version if d.stable else "-",
        d.candidate.version if d.candidate else "-",
        f"{d.weight or 0}%" if d.candidate else "-",
        state(d),
        _next(d, now, short=not wide),
        times.age(d.created_at, now),
    ]
    if wide:
        r = d.rollout if d.in_rollout else None
        row += [
            f"{r.step + 1}/{r.steps or '?'}" if r and r.step is not None else "-",
            (r.observed_share if r else None) or "-",
            guardrail_summary(d),
            d.model_name or "-",
            d.team or "-",
            (r.message if r else None) or _trouble(d) or "-",
        ]
    return [*([d.namespace] if namespaces else []), *row]


def state(d: Deployment) -> str:
    """`Shifting`; when only a person can mend it, with the reason: `Idle (RolledBack)`."""
    stalled = d.is_true("Stalled")
    return f"{d.state or 'Stalled'} ({stalled.reason})" if stalled else d.state or "-"


def guardrail_summary(d: Deployment) -> str:
    """`1 Fail, 2 Pass`: the verdicts, the worst first."""
    order = ["Fail", "SharedIncident", "NoData", "Continue", "Pass"]
    verdicts = [g.verdict for g in d.guardrails if g.verdict]
    return ", ".join(f"{verdicts.count(v)} {v}" for v in order if v in verdicts) or "-"


def _next(d: Deployment, now: datetime, *, short: bool) -> str:
    what = d.next or ""
    if short and len(what) > NEXT_WIDTH:
        what = what[: NEXT_WIDTH - 1].rstrip() + "…"
    when = f"({times.relative(d.next_at, now)})" if d.next_at else ""
    return " ".join(part for part in (what, when) if part) or "-"


def _trouble(d: Deployment) -> str | None:
    for c in d.conditions:
        if (c.type == "Ready" and c.status != "True") or (
            c.type in {"Stalled", "RetirementOverdue"} and c.status == "True"
        ):
            return c.message or c.reason
    return None


def widths(rows: Iterable[Sequence[str]]) -> list[int]:
    """The width of each column that holds all rows."""
    return [max(map(len, column)) for column in zip(*rows, strict=True)]


def line(row: Sequence[str], columns: Sequence[int]) -> str:
    """One line for a pipe, aligned to `columns`; a longer cell pushes the rest to the right."""
    padded = [cell.ljust(width + GAP) for cell, width in zip(row[:-1], columns, strict=False)]
    return ("".join(padded) + row[-1]).rstrip()


def plain(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The whole table for a pipe."""
    columns = widths([header, *rows])
    return "\n".join(line(row, columns) for row in [header, *rows])
