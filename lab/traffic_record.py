"""What came back for each request, one line each, and the sums over them.

``lost`` is the number that a claim of "no request lost" rests on: a connection that failed, a stream or body that
ended early, a 5xx, a body that is no answer, or no answer in time, unless the engine announced it as a fault of its
own (header ``x-sim-fault``). 4xx answers and wrong answers are counted apart: they came back.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self, TextIO

OUTCOMES = (
    "ok",  # 200, complete, the right text
    "wrong",  # 200, complete, another text
    "client_error",  # 4xx
    "server_error",  # 5xx
    "malformed",  # 200 and complete, but not an answer of this API
    "cut",  # headers came, the body or stream did not end as it should
    "connection",  # refused, reset or closed before any header
    "timeout",  # no answer, or not all of it, within the client's limit
    "unfinished",  # in flight when the generator had to stop
)
_LOST = frozenset({"server_error", "malformed", "cut", "connection", "timeout"})
# Faults that explain a bad outcome. A hang cannot be announced: it never sends a header, so it counts as lost.
_INJECTED = frozenset({"error", "cut", "reject"})
NO_REVISION = "none"
_EXAMPLES = 20


@dataclass(frozen=True, slots=True)
class Record:
    """One request. ``due``, ``sent``, ``done``: seconds since 1970; ``ttft``, ``latency``: seconds from ``sent``."""

    number: int
    due: float
    sent: float
    done: float
    kind: str
    stream: bool
    prompt: str
    outcome: str
    status: int | None = None
    revision: str = NO_REVISION
    pod: str | None = None
    fault: str | None = None
    ttft: float | None = None
    latency: float = 0.0
    correct: bool | None = None
    reused: bool = False
    error: str | None = None

    @property
    def injected(self) -> bool:
        return self.fault in _INJECTED

    @property
    def lost(self) -> bool:
        return self.outcome in _LOST and not self.injected

    def line(self) -> str:
        return json.dumps(asdict(self) | {"lost": self.lost}, separators=(",", ":")) + "\n"


def read_records(path: Path) -> Iterator[Record]:
    """The records of a file, in the order in which they were done. A half-written last line is left out."""
    with path.open() as lines:
        for line in lines:
            if line.endswith("\n"):
                fields = json.loads(line)
                fields.pop("lost")
                yield Record(**fields)


@dataclass(slots=True)
class _OfRevision:
    outcomes: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    first: float | None = None
    last: float | None = None
    first_bad: float | None = None
    ttft: list[float] = field(default_factory=list)
    latency: list[float] = field(default_factory=list)

    def add(self, record: Record) -> None:
        self.outcomes[record.outcome] += 1
        self.lost += record.lost
        self.first = record.done if self.first is None else min(self.first, record.done)
        self.last = record.done if self.last is None else max(self.last, record.done)
        if record.outcome != "ok" and (self.first_bad is None or record.done < self.first_bad):
            self.first_bad = record.done
        if record.ttft is not None:
            self.ttft.append(record.ttft)
        self.latency.append(record.latency)


@dataclass(slots=True)
class Totals:
    """Running sums by revision and outcome; ``revisions`` holds ``none`` for answers that name no revision."""

    requests: int = 0
    lost: int = 0
    injected: int = 0
    late: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    revisions: dict[str, _OfRevision] = field(default_factory=dict)
    lost_examples: list[Record] = field(default_factory=list)

    def add(self, record: Record) -> None:
        self.requests += 1
        self.lost += record.lost
        self.injected += record.injected
        self.late += record.sent - record.due > 0.1
        self.outcomes[record.outcome] += 1
        if record.status is not None:
            self.statuses[record.status] += 1
        self.revisions.setdefault(record.revision, _OfRevision()).add(record)
        if record.lost and len(self.lost_examples) < _EXAMPLES:
            self.lost_examples.append(record)

    def share(self, revision: str) -> float:
        """The revision's part of all requests, 0..1 (0 when there were none)."""
        found = self.revisions.get(revision)
        return found.outcomes.total() / self.requests if found and self.requests else 0.0

    def as_json(self) -> dict[str, Any]:
        return {
            "requests": self.requests,
            "lost": self.lost,
            "injected": self.injected,
            "late": self.late,
            "outcomes": {name: self.outcomes[name] for name in OUTCOMES if self.outcomes[name]},
            "statuses": {str(status): count for status, count in sorted(self.statuses.items())},
            "revisions": {
                name: {
                    "requests": of.outcomes.total(),
                    "share": round(self.share(name), 5),
                    "outcomes": dict(of.outcomes),
                    "lost": of.lost,
                    "first": of.first,
                    "last": of.last,
                    "first_bad": of.first_bad,
                    "ttft": _quantiles(of.ttft),
                    "latency": _quantiles(of.latency),
                }
                for name, of in sorted(self.revisions.items())
            },
            "lost_examples": [asdict(record) for record in self.lost_examples],
        }


def summarize(records: Iterable[Record], *, since: float | None = None, until: float | None = None) -> Totals:
    """Sums over the records sent in ``[since, until)`` (seconds since 1970; None leaves a side open)."""
    totals = Totals()
    for record in records:
        if (since is None or record.sent >= since) and (until is None or record.sent < until):
            totals.add(record)
    return totals


class Recorder:
    """Counts every record and writes it to ``path`` (None: counts only); lines reach the disk within a second or so."""

    def __init__(self, path: Path | None) -> None:
        self.totals = Totals()
        self._path = path
        self._file: TextIO | None = None
        self._flushed = 0.0

    def __enter__(self) -> Self:
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("w")
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def add(self, record: Record) -> None:
        self.totals.add(record)
        if self._file is not None:
            self._file.write(record.line())
            if record.done - self._flushed > 1:
                self._file.flush()
                self._flushed = record.done


def _quantiles(values: list[float]) -> dict[str, float] | None:
    if not values:
        return None
    ordered = sorted(values)
    at = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
    return {name: round(ordered[min(len(ordered) - 1, int(q * len(ordered)))], 4) for name, q in at.items()}
