"""From the apiserver's audit log to the figures. Pure; times are seconds since 1970 and those of the apiserver's own clock."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.peer.audit import Request
from benchmarks.peer.measure import percentile
from benchmarks.scale import objects

LEASES = "leases"
PODS = "system:serviceaccount:kube-system:replicaset-controller"
KUBELET = "kwok"


@dataclass(frozen=True, slots=True)
class Made:
    """When the objects of one namespace had come into being. ``missing`` says what had not."""

    began: float
    children: float
    pods: float
    missing: str = ""

    @property
    def seconds(self) -> float:
        """From the first LLMDeployment to the last child, and the last pod ready."""
        return max(self.children, self.pods) - self.began


def made(found: Sequence[Request], space: str, count: int) -> Made:
    """What became of ``count`` LLMDeployments that somebody created in ``space``. A created object is answered with 201."""
    here = [one for one in found if one.namespace == space]
    created: dict[str, dict[str, float]] = {}
    ready: dict[str, float] = {}
    for one in here:
        if one.code == 201 and one.verb in {"create", "patch"}:
            created.setdefault(one.resource, {}).setdefault(one.name or str(len(created)), one.at)
        elif one.user == KUBELET and one.resource == "pods/status" and one.code == 200:
            ready.setdefault(one.name, one.at)
    short = {
        kind: (len(created.get(kind, {})), count) for kind in objects.CHILDREN if len(created.get(kind, {})) < count
    }
    if len(ready) < count * objects.REPLICAS:
        short["pods ready"] = (len(ready), count * objects.REPLICAS)
    began = min((one.at for one in here if one.resource == "llmdeployments" and one.verb == "create"), default=math.nan)
    last = max((at for kind in objects.CHILDREN for at in created.get(kind, {}).values()), default=math.nan)
    words = ", ".join(f"{kind} {have} of {want}" for kind, (have, want) in short.items())
    return Made(began, last, max(ready.values(), default=math.nan), words)


@dataclass(frozen=True, slots=True)
class Asked:
    """Requests of one user in one span, the Lease left out. ``kinds`` are by verb and resource, most frequent first."""

    reads: int
    writes: int
    events: int
    evidence: int
    leases: int
    kinds: dict[str, int] = field(default_factory=dict)

    @property
    def all(self) -> int:
        return self.reads + self.writes + self.events + self.evidence


def asked(
    found: Iterable[Request], user: str, since: float, until: float, *, evidence: str = "rolloutrecords", only: str = ""
) -> Asked:
    """What ``user`` asked in [since, until). Writes of the resource ``evidence`` are counted apart; ``only``: of one object and its children."""
    kinds: Counter[str] = Counter()
    sums: Counter[str] = Counter()
    for one in found:
        if one.user != user or not since <= one.at < until or (only and objects.owner_of(one.name) != only):
            continue
        if one.resource == LEASES:
            sums["leases"] += 1
            continue
        kinds[f"{one.verb} {one.resource}"] += 1
        if one.event:
            sums["events"] += 1
        elif one.write:
            sums["evidence" if one.resource == evidence else "writes"] += 1
        else:
            sums["reads"] += 1
    return Asked(
        sums["reads"], sums["writes"], sums["events"], sums["evidence"], sums["leases"], dict(kinds.most_common())
    )


def after_changes(found: Iterable[Request], changer: str, user: str, since: float, until: float) -> list[float]:
    """For each change of an LLMDeployment by ``changer`` in [since, until): seconds until the first write for it by ``user``.

    Both instants are those at which the apiserver got the request, so the apiserver's own work on the change is in it.
    A change that was followed by no write gives infinity.
    """
    open_since: dict[str, float] = {}
    out: list[float] = []
    for one in sorted(found, key=lambda r: r.at):
        if _changes(one, changer, since, until):
            open_since[one.name] = one.at
        elif one.user == user and one.write and not one.event and objects.owner_of(one.name) in open_since:
            out.append(one.at - open_since.pop(objects.owner_of(one.name)))
    return out + [math.inf] * len(open_since)


def answers(found: Iterable[Request], changer: str, since: float, until: float) -> list[float]:
    """How long the apiserver itself took for each of those changes, in seconds: what it is in ``after_changes`` that is not the operator."""
    return [one.ended - one.at for one in found if _changes(one, changer, since, until)]


def _changes(one: Request, changer: str, since: float, until: float) -> bool:
    return one.user == changer and one.verb == "patch" and one.resource == "llmdeployments" and since <= one.at < until


@dataclass(frozen=True)
class Bare:
    """What the bare client took: its own time, and until all that it made was there and ready."""

    count: int
    writes_seconds: float
    seconds: float
    busy: float

    @property
    def rate(self) -> float:
        return self.count / self.seconds


@dataclass(frozen=True)
class Run:
    """The operator with ``count`` objects. Times in seconds, memory in MiB, CPU in seconds of one core."""

    count: int
    bare: Bare
    seconds: float
    settled: float
    create: Asked
    create_cpu: float
    busy: float
    memory_peak: float
    memory_rest: float
    rest_seconds: float
    rest: Asked
    rest_cpu: float
    restart: float
    restart_cpu: float
    restart_asked: Asked
    changes: list[float]
    changes_cpu: float
    rollouts: int = 0
    rollout: Asked | None = None
    rollout_most_writes: int = 0
    rollout_seconds: float = 0.0
    rollout_cpu: float = 0.0
    memory_all: float = 0.0
    answers: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return self.count / self.seconds

    @property
    def ratio(self) -> float:
        return self.rate / self.bare.rate

    def late(self, share: float) -> float:
        """Milliseconds from a change to the first write, at a percentile from 0 to 1."""
        return percentile(self.changes, share) * 1000

    def answered(self, share: float) -> float:
        """Milliseconds that the apiserver took for a change, at a percentile from 0 to 1."""
        return percentile(self.answers, share) * 1000

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
