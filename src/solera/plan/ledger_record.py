"""The ledger as data of a RolloutRecord, and back: exact, bounded in size, readable for a person.

Counters are written as [total, bad], measures as [metric, slower than (seconds), since], pairs as [candidate, its failures, stable, its failures]; times as RFC 3339 in UTC; the two revisions as
"stable" and "candidate". The ring is a table: ``columns`` name its series, a row is [start, end, step, total, bad, total, bad ...]. In ``intervals``,
a row of ``spreads`` ends with the numbers of a ``Spread``, a row of ``bets`` with those of ``Bets``. ``flown`` is left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from solera.errors import SoleraError
from solera.plan.intervals import regather
from solera.plan.ledger import ZERO, Counter, Instance, Ledger, Measure, Pairing, Series, Slice, Unobserved
from solera.stats.dispersion import Spread
from solera.stats.failure_share import Interval, RatioProfile
from solera.stats.interval_bets import ODDS_RATIOS, Bets

FORMAT = 1
_STABLE, _CANDIDATE = "stable", "candidate"


class EvidenceError(SoleraError):
    """Evidence that cannot be used, and what is wrong with it."""


def to_record(ledger: Ledger) -> dict[str, Any]:
    """The whole ledger as JSON-able data; ``from_record`` gives back an equal ledger."""

    def role(revision: str) -> str:
        return _STABLE if revision == ledger.stable else _CANDIDATE

    columns = sorted({series for part in ledger.ring for series in part.counts})
    return {
        "format": FORMAT,
        "rollout": ledger.rollout_id,
        _STABLE: ledger.stable,
        _CANDIDATE: ledger.candidate,
        "began": record_time(ledger.began),
        "now": record_time(ledger.now),
        "fromZeroAfter": record_time(ledger.from_zero_after),
        "step": ledger.step,
        "stepSince": None if ledger.step_since is None else record_time(ledger.step_since),
        "resets": ledger.resets,
        "refused": dict(sorted(ledger.refused.items())),
        "measures": None
        if ledger.measures is None
        else {
            name: [m.metric, m.slower_than, None if m.since is None else record_time(m.since)]
            for name, m in sorted(ledger.measures.items())
        },
        "unobservedTotal": ledger.unobserved_total,
        "unobserved": [[u.source, role(u.revision), u.instance, record_time(u.last_read)] for u in ledger.unobserved],
        "totals": [
            {
                "source": source,
                "revision": role(revision),
                "guardrail": name,
                "readAt": record_time(ledger.read_at[source, revision, name]),
                "steps": {str(step): [c.total, c.bad] for step, c in sorted(steps.items())},
            }
            for (source, revision, name), steps in sorted(ledger.totals.items())
        ],
        "instances": [
            {
                "source": source,
                "revision": role(revision),
                "instance": name,
                "started": i.started,
                "at": record_time(i.at),
                "counters": {guardrail: [c.total, c.bad] for guardrail, c in sorted(i.counters.items())},
                "falls": i.falls,
                "quarantine": i.quarantine,
                "earlier": list(i.earlier),
                "gone": i.gone,
                **({"ahead": dict(sorted(i.ahead.items()))} if i.ahead else {}),
            }
            for (source, revision, name), i in sorted(ledger.instances.items())
        ],
        "pairs": [
            {
                "source": source,
                "guardrail": name,
                "logLikelihood": list(p.profile.log_likelihood),
                "steps": {str(step): _pair(pair) for step, pair in sorted(p.steps.items())},
                "waiting": _pair(p.waiting),
                "waitingSince": None if p.waiting_since is None else record_time(p.waiting_since),
            }
            for (source, name), p in sorted(ledger.pairings.items())
        ],
        "intervals": {
            "since": None if ledger.gathered_since is None else record_time(ledger.gathered_since),
            "gathered": [
                [source, role(revision), name, c.total, c.bad]
                for (source, revision, name), c in sorted(ledger.gathered.items())
            ],
            "spreads": [
                [source, role(revision), name, s.bad, s.total, s.pairs, s.squares]
                for (source, revision, name), s in sorted(ledger.spreads.items())
            ],
            "bets": [
                [source, name, b.limit, b.waiting, b.due, b.level, b.shown, *b.running, *b.singly]
                for (source, name), b in sorted(ledger.bets.items())
            ],
        },
        "ring": {
            "columns": [[source, role(revision), name] for source, revision, name in columns],
            "rows": [_row(part, columns) for part in ledger.ring],
        },
    }


def from_record(record: Mapping[str, Any]) -> Ledger:
    """The ledger that ``to_record`` wrote.

    Raises:
        EvidenceError: the record has another format, or was changed by hand into something that is no evidence.
    """
    if record.get("format") != FORMAT:
        raise EvidenceError(f"record.format must be {FORMAT}, got {record.get('format')!r}")
    try:
        return _read(record)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        kind = "is missing" if isinstance(error, KeyError) else "cannot be read"
        raise EvidenceError(
            f"the record of this rollout {kind}: {error}; delete it to start the evidence anew"
        ) from error


def _read(record: Mapping[str, Any]) -> Ledger:
    revisions = {_STABLE: str(record[_STABLE]), _CANDIDATE: str(record[_CANDIDATE])}
    columns: list[Series] = [(source, revisions[role], name) for source, role, name in record["ring"]["columns"]]
    series = [((str(t["source"]), revisions[t["revision"]], str(t["guardrail"])), t) for t in record["totals"]]
    ledger = Ledger(
        rollout_id=str(record["rollout"]),
        stable=revisions[_STABLE],
        candidate=revisions[_CANDIDATE],
        began=_time(record["began"]),
        now=_time(record["now"]),
        from_zero_after=_time(record["fromZeroAfter"]),
        step=None if record["step"] is None else int(record["step"]),
        # Records of 0.1.0 do not have it.
        step_since=None if record.get("stepSince") is None else _time(record["stepSince"]),
        totals={key: {int(step): _counter(c) for step, c in t["steps"].items()} for key, t in series},
        read_at={key: _time(t["readAt"]) for key, t in series},
        instances={
            (str(i["source"]), revisions[i["revision"]], str(i["instance"])): Instance(
                started=str(i["started"]),
                at=_time(i["at"]),
                counters={str(name): _counter(c) for name, c in i["counters"].items()},
                falls=_count(i["falls"]),
                quarantine=_count(i["quarantine"]),
                earlier=tuple(map(str, i["earlier"])),
                gone=bool(i["gone"]),
                ahead={str(name): _count(more) for name, more in i.get("ahead", {}).items()},
            )
            for i in record["instances"]
        },
        pairings={
            (str(p["source"]), str(p["guardrail"])): Pairing(
                profile=RatioProfile(tuple(map(float, p["logLikelihood"]))),
                steps={int(step): _interval(pair) for step, pair in p["steps"].items()},
                waiting=_interval(p["waiting"]),
                waiting_since=None if p["waitingSince"] is None else _time(p["waitingSince"]),
            )
            for p in record["pairs"]
        },
        ring=tuple(_slice(row, columns) for row in record["ring"]["rows"]),
        unobserved=tuple(
            Unobserved(str(source), revisions[role], str(name), _time(at))
            for source, role, name, at in record["unobserved"]
        ),
        unobserved_total=_count(record["unobservedTotal"]),
        resets=_count(record["resets"]),
        refused={str(reason): _count(times) for reason, times in record["refused"].items()},
        # Records of 0.1.0 do not have them.
        measures=None
        if record.get("measures") is None
        else {str(name): _measure(*m) for name, m in record["measures"].items()},
    )
    intervals = record.get("intervals")
    if intervals is None:  # records of 0.1.0 do not have them
        return regather(ledger)
    return replace(
        ledger,
        gathered_since=None if intervals["since"] is None else _time(intervals["since"]),
        gathered={
            (str(source), revisions[role], str(name)): _counter(numbers)
            for source, role, name, *numbers in intervals["gathered"]
        },
        spreads={
            (str(source), revisions[role], str(name)): Spread(*map(_count, numbers))
            for source, role, name, *numbers in intervals["spreads"]
        },
        bets={(str(source), str(name)): _bets(*map(float, numbers)) for source, name, *numbers in intervals["bets"]},
    )


def _measure(metric: Any, slower_than: Any, since: Any) -> Measure:
    return Measure(
        str(metric), None if slower_than is None else float(slower_than), None if since is None else _time(since)
    )


def _bets(limit: float, waiting: float, due: float, level: float, shown: float, *logs: float) -> Bets:
    kinds = len(ODDS_RATIOS)
    if len(logs) != 2 * kinds or not all(map(math.isfinite, (*logs, due, level, shown))) or not 0 < waiting <= 1:
        raise ValueError(f"{[limit, waiting, due, level, shown, *logs]} are no bets")
    return Bets(limit, logs[:kinds], logs[kinds:], waiting, due, shown, level)


def _row(part: Slice, columns: list[Series]) -> list[Any]:
    return [record_time(part.start), record_time(part.end), part.step, *flat(part.counts, columns)]


def flat(counts: Mapping[Series, Counter], columns: Iterable[Series]) -> Iterator[int]:
    """Total and bad of each series of ``columns``, one after the other; 0 and 0 where there is none."""
    for series in columns:
        counter = counts.get(series, ZERO)
        yield from (counter.total, counter.bad)


def _slice(row: list[Any], columns: list[Series]) -> Slice:
    start, end, step, *numbers = row
    counters = map(_counter, zip(numbers[::2], numbers[1::2], strict=True))
    counts = {series: counter for series, counter in zip(columns, counters, strict=True) if counter.total}
    return Slice(_time(start), _time(end), int(step), counts)


def _pair(pair: Interval) -> list[int]:
    return [pair.candidate, pair.candidate_failures, pair.stable, pair.stable_failures]


def _interval(numbers: Any) -> Interval:
    candidate, stable = _counter(numbers[:2]), _counter(numbers[2:])
    return Interval(candidate.total, candidate.bad, stable.total, stable.bad)


def _counter(numbers: Any) -> Counter:
    total, bad = map(_count, numbers)
    if bad > total:
        raise ValueError(f"{bad} bad of {total} events")
    return Counter(total, bad)


def _count(value: Any) -> int:
    if isinstance(value, bool) or not math.isfinite(value) or value < 0 or value != int(value):
        raise ValueError(f"{value!r} is no count")
    return int(value)


def record_time(at: datetime) -> str:
    """As RFC 3339 in UTC, with all digits: what is read back is the same moment."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _time(text: Any) -> datetime:
    at = datetime.fromisoformat(text)
    if at.utcoffset() is None:
        raise ValueError(f"{text!r} has no time zone")
    return at
