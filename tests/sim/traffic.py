"""Requests: split by the weights that the gateway has in force, answered well, badly or never, counted by pods and gateway."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from random import Random
from typing import Any, Protocol


@dataclass
class Behaviour:
    """How one version's pods behave. ``start`` in seconds, ``bad`` shares by guardrail name, or by name and
    slowerThan ("latency>5s", which only pods count); a hung pod is ready and never answers, one that
    is cut off is not to be reached by the operator."""

    start: float = 5.0
    never_ready: bool = False
    hung: bool = False
    cut_off: bool = False
    bad: dict[str, float] = field(default_factory=dict)


class Backend(Protocol):
    """A pod, as far as requests see it."""

    revision: str
    version: str
    requests: int
    bad: dict[str, int]


def binomial(by: Random, n: int, p: float) -> int:
    """How many of ``n`` events happen: exact for small counts, else the normal approximation."""
    if n <= 0 or p <= 0:
        return 0
    if p >= 1:
        return n
    if p > 0.5:
        return n - binomial(by, n, 1 - p)
    if n * p < 12:  # waiting times between events are geometric
        hits, at, scale = 0, 0, math.log1p(-p)
        while True:
            at += int(math.log(1.0 - by.random()) / scale) + 1
            if at > n:
                return hits
            hits += 1
    return min(n, max(0, round(by.gauss(n * p, math.sqrt(n * p * (1 - p))))))


class Traffic:
    """``rate`` in requests per second. ``blind`` makes the gateway split evenly whatever the weights say."""

    def __init__(self, life: Any, rate: float) -> None:
        self._life = life
        self.rate = rate
        self.blind = False
        self.lost = 0
        self.hung = 0
        self.served: dict[str, int] = {}
        self.sent: dict[str, int] = {}
        """Requests per revision, answered or not."""
        self.gateway: dict[str, dict[str, list[int]]] = {}
        """Revision -> guardrail ("" for all) -> [total, bad], as the gateway counts answers."""
        self.log: list[tuple[float, dict[str, int]]] = [(0.0, {})]
        """(time, requests per revision so far)."""
        self._owed = 0.0

    def sent_at(self, t: float, revision: str) -> int:
        """Requests to a revision up to ``t``."""
        best = 0
        for at, sent in reversed(self.log):
            if at <= t:
                return sent.get(revision, 0)
            best = sent.get(revision, 0)
        return best if not self.log else 0

    def flow(self, seconds: float) -> None:
        """Requests of so many seconds."""
        weights = self._life.cluster.in_force
        if not weights:
            return
        by: Random = self._life.random
        self._owed += self.rate * seconds
        n = int(self._owed)
        self._owed -= n
        if not n:
            return
        names = list(weights)
        left, share = n, float(sum(weights.values()))
        for name in names:
            weight = share / len(names) if self.blind else weights[name]
            part = left if name == names[-1] else binomial(by, left, min(1.0, weight / share if share else 0))
            if not self.blind:
                share -= weight
            elif left:
                part = left if name == names[-1] else binomial(by, left, 1 / len(names))
            left -= part
            self._to(name, part, by)
        self.log.append((self._life.timeline.t, dict(self.sent)))

    def _to(self, revision: str, n: int, by: Random) -> None:
        if not n:
            return
        self.sent[revision] = self.sent.get(revision, 0) + n
        pods = self._life.cluster.ready_pods(revision)
        names = self._life.guardrails()
        seen = self.gateway.setdefault(revision, {"": [0, 0], **{g: [0, 0] for g in names}})
        if not pods:
            self.lost += n
            for counts in seen.values():
                counts[0] += n
            for name in names:
                seen.setdefault(name, [0, 0])[1] += n
            return
        each, more = divmod(n, len(pods))
        for i, pod in enumerate(pods):
            part = each + (i < more)
            how = self._life.behaviour(pod.version)
            if how.hung:
                self.hung += part
                continue
            pod.requests += part
            self.served[pod.version] = self.served.get(pod.version, 0) + part
            seen[""][0] += part
            for name in names:
                bad = binomial(by, part, how.bad.get(name, 0.0))
                pod.bad[name] = pod.bad.get(name, 0) + bad
                counts = seen.setdefault(name, [0, 0])
                counts[0] += part
                counts[1] += bad
            for name in how.bad.keys() - set(names):
                pod.bad[name] = pod.bad.get(name, 0) + binomial(by, part, how.bad[name])
