"""A rollout written down as data, from what is known of it now: its counts by intervals, and the settings that it was judged by.

The RolloutRecord keeps the counts of the newest rollout, also when it has ended, until the next one has counts of its own.
"""

from __future__ import annotations

import re
from collections import Counter as Tally
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from solera.api.defaults import ResolvedRollout, resolve_rollout
from solera.api.llmdeployment import LLMDeployment
from solera.api.metadata import API_VERSION
from solera.api.recording import KIND, spelled_out
from solera.api.scalars import format_duration, format_time, parse_percent
from solera.errors import SoleraError
from solera.plan.ledger import Counter, Ledger, Series
from solera.plan.ledger_record import flat, record_time
from solera.plan.memory import BEGINS, ENDS, Memory, from_status
from solera.plan.situation import AT_ONCE

IN_PROGRESS = "InProgress"
LONG = timedelta(seconds=30)
"""The operator looks at least every 15 s during a rollout: a longer interval is several looks in one, or looks that did not take place."""

_APPROVED = re.compile(r"step (\d+) of ")


def recorded(obj: LLMDeployment, status: Mapping[str, Any], ledger: Ledger) -> dict[str, Any]:
    """The document for the rollout that ``ledger`` counts, from its LLMDeployment as it is now and the raw ``status`` of that."""
    memory, shown = from_status(status), dict(status.get("rollout") or {})
    ours = memory.rollout is not None and memory.rollout.id == ledger.rollout_id
    events = _events(memory, ledger)
    ends = [event for _, event, _ in events if event in ENDS]
    running = ours and memory.candidate is not None
    settings = resolve_rollout(obj.spec.rollout)
    if ours and shown.get("steps") == 1 and len(settings.steps) > 1:
        settings = replace(settings, steps=AT_ONCE)
    columns = sorted(ledger.totals)
    verdicts = [dict(g) for g in status.get("guardrails") or ()] if ours else []

    def arm(revision: str) -> str:
        return "stable" if revision == ledger.stable else "candidate"

    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": obj.metadata.name, "namespace": obj.metadata.namespace},
        "rollout": {
            "id": ledger.rollout_id,
            "stable": _side(obj.metadata.name, ledger.stable),
            "candidate": _side(obj.metadata.name, ledger.candidate),
            "began": record_time(ledger.began),
            "until": record_time(ledger.now),
            "result": ends[-1] if ends else IN_PROGRESS if running else "Ended",
        },
        "settings": spelled_out(settings),
        "decided": {
            "events": [{"at": format_time(at), "event": event, "message": message} for at, event, message in events],
            "approvals": list(_approvals(events, memory if ours else Memory())),
            "pauses": list(_pauses(events)),
            "verdicts": verdicts,
        },
        "counts": {
            "columns": [
                {"source": source, "arm": arm(revision), "guardrail": name, "sinceStep": _since(ledger, of) + 1}
                for of in columns
                for source, revision, name in (of,)
            ],
            "intervals": [
                [record_time(part.start), record_time(part.end), part.step + 1, *flat(part.counts, columns)]
                for part in ledger.ring
            ],
            "lost": [[step + 1, *flat(counts, columns)] for step, counts in sorted(lost(ledger).items())],
        },
        "notes": [*_notes(ledger, running=running), *_changed(obj, status, settings, ledger, ours=ours)],
    }


def _since(ledger: Ledger, series: Series) -> int:
    return min(ledger.totals[series], default=-1)


def lost(ledger: Ledger) -> dict[int, dict[Series, Counter]]:
    """What the totals of a step hold and the slices do not: the early slices are gone."""
    held: Tally[tuple[Series, int]] = Tally()
    held_bad: Tally[tuple[Series, int]] = Tally()
    for part in ledger.ring:
        for series, counter in part.counts.items():
            held[series, part.step] += counter.total
            held_bad[series, part.step] += counter.bad
    out: dict[int, dict[Series, Counter]] = {}
    for series, steps in ledger.totals.items():
        for step, counter in steps.items():
            left = counter.total - held[series, step]
            if left > 0:
                out.setdefault(step, {})[series] = Counter(left, max(0, counter.bad - held_bad[series, step]))
    return out


def _events(memory: Memory, ledger: Ledger) -> list[tuple[datetime, str, str]]:
    """What the history tells of this rollout: from its begin to the begin of the next one."""
    started = [at for at, event, _ in memory.history if event == BEGINS]
    since = max((at for at in started if at <= ledger.began), default=ledger.began)
    until = min((at for at in started if at > since), default=None)
    return [line for line in memory.history if line[0] >= since and (until is None or line[0] < until)]


def _approvals(events: Sequence[tuple[datetime, str, str]], memory: Memory) -> Iterator[dict[str, Any]]:
    when = {
        int(found[1]): at
        for at, event, message in events
        if event == "Approved" and (found := _APPROVED.match(message))
    }
    remembered = {index + 1 for index in (memory.rollout.approved if memory.rollout else ())}
    for step in sorted({*when, *remembered}):
        yield {"step": step} | ({"at": format_time(when[step])} if step in when else {})


def _pauses(events: Sequence[tuple[datetime, str, str]]) -> Iterator[dict[str, str]]:
    since: datetime | None = None
    for at, event, _ in events:
        if event == "Paused":
            since = at
        elif since is not None and (event == "Resumed" or event in ENDS):
            yield {"since": format_time(since), "until": format_time(at)}
            since = None
    if since is not None:
        yield {"since": format_time(since)}


def _notes(ledger: Ledger, *, running: bool) -> Iterator[str]:
    if running:
        yield f"the rollout goes on: what came after {format_time(ledger.now)} is not here"
    lengths = [part.end - part.start for part in ledger.ring]
    if long := [length for length in lengths if length > LONG]:
        yield (
            f"{len(long)} of {len(lengths)} intervals are longer than {format_duration(LONG)}, the longest {_round(max(long))}: "
            "the record keeps a bounded number and puts early ones together, so a replay looks less often there than the operator did, "
            "and takes what failed in one of them for one piece of evidence"
        )
    if gone := lost(ledger):
        requests = sum(max(c.total for c in counts.values()) for counts in gone.values())
        yield f"early intervals are gone: {requests:,} requests are known by step, but not when they came"
    for name, since in sorted(ledger.anew.items()):
        yield f"guardrail {name} was edited or added in mid-rollout: its counts begin at {format_time(since)}"
    if ledger.unobserved_total:
        yield f"{ledger.unobserved_total:,} pods went away before the last of their requests were counted"


def _changed(
    obj: LLMDeployment, status: Mapping[str, Any], settings: ResolvedRollout, ledger: Ledger, *, ours: bool
) -> Iterator[str]:
    """Where the settings of now may not be those of then."""
    if not ours:
        newer = (status.get("rollout") or {}).get("id")
        yield f"a newer rollout ({newer}) has begun and has no evidence yet: the settings are those of now"
        return
    if settings.steps == AT_ONCE:
        yield "the candidate had carried all traffic here before, so it went to 100% at once and no guardrail was asked"
    elif (steps := (status.get("rollout") or {}).get("steps")) not in {None, len(settings.steps)}:
        yield f"the rollout had {steps} steps and spec.rollout has {len(settings.steps)} now: it was edited since"
    limits = {g.name: g.limit for g in settings.guardrails}
    for shown in status.get("guardrails") or ():
        then, name = shown.get("limit"), shown.get("name")
        # The operator writes limits with two digits.
        if then and (limits.get(name) is None or abs(_share(then) - (limits[name] or 0)) > 0.5e-4):
            yield f"guardrail {name} was judged last by the limit {then}, and spec.rollout says otherwise: it was edited since"
    unjudged = [name for name in limits if not any(name == guardrail for _, _, guardrail in ledger.totals)]
    if unjudged:
        yield f"nothing was counted for {', '.join(unjudged)}"
    if (observed := obj.status.observed_generation) is not None and 0 <= observed < obj.metadata.generation:
        yield "the operator has not seen the last change of the spec: the settings are those of the spec"


def _share(text: str) -> float:
    try:
        return parse_percent(text)
    except SoleraError:
        return 0.0


def _side(owner: str, revision: str) -> dict[str, str]:
    """A revision is named <llmdep>-<version>-<hash>."""
    return {"version": revision.removeprefix(f"{owner}-").rpartition("-")[0] or revision, "revision": revision}


def _round(span: timedelta) -> str:
    return format_duration(timedelta(seconds=round(span.total_seconds())))
