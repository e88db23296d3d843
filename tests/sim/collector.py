"""What the operator's collector would learn: counters of pods and of the gateway at each scrape, and answers to probes. And how it can fail."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from solera.kinds import Key
from solera.plan.evidence import Counter, Reading
from solera.plan.measures import measures_of
from solera.plan.types import Observation, Plan

EVERY = 5.0
FIRST_PROBE, LAST_PROBE = 0.3, 8.0
BROKEN = ("down", "empty", "nan", "slow", "falling")
"""Ways in which a source fails: no answer, no series, values that are no numbers, answers 30 s late, counters that fall without a restart."""


class SimCollector:
    """Lives as long as its operator. ``life.sources`` are the sources that see this life, ``life.broken`` how they fail now."""

    def __init__(self, life: Any, operator: Any) -> None:
        self.life = life
        self.operator = operator
        self.measure: tuple[str, ...] = ()
        self.probe: tuple[str, ...] = ()
        self._pending: list[Reading] = []
        self._last: dict[tuple[str, str, str], Any] = {}
        self._answered: dict[str, Any] = {}  # uid -> start of the container that answered
        self._mute: dict[str, str] = {}
        self._asked: set[str] = set()
        self._unreachable: dict[str, str] = {}
        self._scraping = self._probing = False
        self._pause = FIRST_PROBE
        self.key: Key = (life.namespace, life.name)

    # -- what the reconciler asks and tells

    def follow(self, observation: Observation, plan: Plan) -> None:
        for revision in observation.revisions.values():
            for seen in revision.pods:
                if seen.uid in self._answered and self._answered[seen.uid] != seen.started:
                    del self._answered[seen.uid]
                    self._asked.discard(seen.uid)
        if plan.probe != self.probe:
            self._pause = FIRST_PROBE
        self.measure, self.probe = plan.measure, plan.probe
        timeline = self.life.timeline
        if self.measure and not self._scraping:
            self._scraping = True
            timeline.at((timeline.t // EVERY + 1) * EVERY, self._scrape)
        if self.probe and not self._probing:
            self._probing = True
            timeline.after(self._pause, self._ask)

    def forget(self, _key: Key) -> None:
        self.measure, self.probe = (), ()

    def pending(self, _key: Key) -> Sequence[Reading]:
        taken, self._pending = self._pending, []
        self.life.witness.took(taken)
        return taken

    def answered(self, _key: Key) -> Collection[str]:
        return self._answered.keys()

    def asked(self, _key: Key) -> Collection[str]:
        return self._asked

    def mute(self, _key: Key) -> Mapping[str, str]:
        return self._mute

    def unreachable(self, _key: Key) -> Mapping[str, str]:
        return self._unreachable

    def unmeasurable(self, _key: Key) -> Mapping[str, str]:
        return {}

    # -- what happens by itself

    @property
    def _alive(self) -> bool:
        return self.life.operator is self.operator

    def _ask(self) -> None:
        self._probing = False
        if not self._alive:
            return
        before = (len(self._answered), len(self._mute), len(self._asked))
        for name in self.probe:
            for pod in self.life.cluster.ready_pods(name):
                self._asked.add(pod.uid)
                if self.life.behaviour(pod.version).cut_off:
                    continue
                if self.life.behaviour(pod.version).hung:
                    self._answered.pop(pod.uid, None)
                    self._mute[pod.uid] = "no answer within 10 s"
                else:
                    pod.proven = True
                    self._answered[pod.uid] = pod.started.replace(microsecond=0)
                    self._mute.pop(pod.uid, None)
        if (len(self._answered), len(self._mute), len(self._asked)) != before:
            self._pause = FIRST_PROBE
            self.operator.wake(self.key)
        if self.probe:
            self._probing = True
            self.life.timeline.after(self._pause, self._ask)
            self._pause = min(self._pause * 2, LAST_PROBE)

    def _scrape(self) -> None:
        self._scraping = False
        if not self._alive or not self.measure:
            return
        self._answered = {uid: at for uid, at in self._answered.items() if uid in self.life.cluster.pods}
        broken = self.life.broken
        self._unreachable = dict.fromkeys(self.life.sources, "Timeout") if broken == "down" else {}
        readings = [] if broken in {"down", "empty"} else list(self._read(broken))
        if broken == "slow":
            self.life.timeline.after(30.0, lambda: self._alive and self._take(readings))
        else:
            self._take(readings)
        self._scraping = True
        self.life.timeline.after(EVERY, self._scrape)

    def _take(self, readings: list[Reading]) -> None:
        self._pending += readings
        seen = {(r.source, r.revision, r.instance): r.counters for r in readings}
        if any(self._last.get(key) != counters for key, counters in seen.items()) or self._unreachable:
            self.operator.wake(self.key)
        self._last.update(seen)

    def _read(self, broken: str | None) -> Any:
        at, life = self.operator.clock(), self.life
        guardrails, measures = life.guardrails(), measures_of(life.spec)
        slower = {
            g["name"]: f"{g['name']}>{g.get('slowerThan')}"
            for g in (life.spec.get("rollout") or {}).get("guardrails") or ()
        }
        for name in self.measure:
            if "engine" in life.sources:
                for pod in life.cluster.of_revision(name):
                    if pod.ready:
                        bad = {g: pod.bad.get(slower[g], pod.bad.get(g, 0)) for g in guardrails}
                        counts = {"": (pod.requests, 0), **{g: (pod.requests, bad[g]) for g in guardrails}}
                        started = str(pod.started.timestamp())
                        reading = self._reading(at, "engine", name, pod.uid, started, counts, broken)
                        yield replace(reading, measures=measures)
            if "gateway" in life.sources and name in life.traffic.gateway:
                counts = {g: (c[0], c[1]) for g, c in life.traffic.gateway[name].items()}
                yield self._reading(at, "gateway", name, "gateway-0", "1790000000", counts, broken)

    def _reading(
        self,
        at: Any,
        source: str,
        revision: str,
        uid: str,
        started: str,
        counts: dict[str, tuple[int, int]],
        broken: str | None,
    ) -> Reading:
        if broken == "nan":
            return Reading(at, source, revision, uid, started, {g: Counter(float("nan"), 0) for g in counts})  # type: ignore[arg-type]
        if broken == "falling" and self.life.random.random() < 0.5:
            counts = {g: (n // 2, bad // 2) for g, (n, bad) in counts.items()}
        return Reading(at, source, revision, uid, started, {g: Counter(n, bad) for g, (n, bad) in counts.items()})
