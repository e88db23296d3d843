"""The apiserver's audit log -> what one user asked of it in a span of time. Pure; times are seconds since 1970."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

READS = ("get", "list", "watch")
WRITES = ("create", "update", "patch", "delete", "deletecollection")
OTHER = "other"  # paths that are no resource: /version, /apis, /openapi


@dataclass(frozen=True, slots=True)
class Request:
    """One request. ``at`` is when the apiserver got it, ``ended`` when it had answered; ``resource`` has its subresource behind a slash."""

    at: float
    user: str
    verb: str
    resource: str
    namespace: str
    name: str
    code: int
    ended: float = 0.0

    @property
    def event(self) -> bool:
        return self.resource == "events"

    @property
    def read(self) -> bool:
        return self.verb in READS

    @property
    def write(self) -> bool:
        return self.verb in WRITES


def requests(lines: Iterable[str]) -> Iterator[Request]:
    """Each request once: a watch when it begins, anything else when it has been answered. Half a line at the end is left out."""
    for line in lines:
        if not line.endswith("\n"):
            return
        event = json.loads(line)
        wanted = "ResponseStarted" if event.get("verb") == "watch" else "ResponseComplete"
        if event.get("stage") != wanted:
            continue
        yield _request(event)


def _request(event: dict[str, Any]) -> Request:
    what = event.get("objectRef") or {}
    resource = "/".join(filter(None, (what.get("resource"), what.get("subresource"))))
    return Request(
        at=datetime.fromisoformat(event["requestReceivedTimestamp"]).timestamp(),
        user=event["user"].get("username", ""),
        verb=event["verb"],
        resource=resource or OTHER,
        namespace=what.get("namespace", ""),
        name=what.get("name", ""),
        code=int((event.get("responseStatus") or {}).get("code", 0)),
        ended=datetime.fromisoformat(event["stageTimestamp"]).timestamp() if "stageTimestamp" in event else 0.0,
    )


@dataclass(frozen=True, slots=True)
class Count:
    """Requests of one user in one span: reads, writes of objects, and Events, with the verbs and kinds behind them."""

    reads: int = 0
    writes: int = 0
    events: int = 0
    refused: int = 0
    by_kind: tuple[tuple[str, int], ...] = ()

    @property
    def all(self) -> int:
        return self.reads + self.writes + self.events


def count(found: Iterable[Request], user: str, since: float, until: float) -> Count:
    """What ``user`` asked in [since, until). ``refused`` are those of all answered with 409 or 5xx; they count like the others."""
    reads = writes = events = refused = 0
    kinds: Counter[str] = Counter()
    for one in found:
        if one.user != user or not since <= one.at < until:
            continue
        kinds[f"{one.verb} {one.resource}"] += 1
        refused += one.code == 409 or one.code >= 500
        if one.event:
            events += 1
        elif one.write:
            writes += 1
        else:
            reads += 1
    return Count(reads, writes, events, refused, tuple(kinds.most_common()))
