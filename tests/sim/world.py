"""A simulated cluster, clock and traffic around the real planner. Every write is checked against the invariants of the design.

Nothing here decides anything: it stores what was written, lets pods come and go, splits requests by the route in force, and counts.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from solera.api.scalars import format_time, parse_time
from solera.plan.evidence import Counter, Flight, Ledger, Reading, absorb, from_record, new_ledger
from solera.plan.intervals import limits_of, risk_of
from solera.plan.measures import measures_of
from solera.plan.memory import PROGRESS_ANNOTATION, parse_progress
from solera.plan.plan import plan
from solera.plan.traffic import live_weights, step_begun, step_in_force
from solera.plan.types import Apply, Delete, Observation, ObservedPod, ObservedRevision, Owner, Plan
from twin.kube import duplicate
from unit.api.structural import STATUS, faults

START = datetime(2026, 12, 1, 12, 0, 0, tzinfo=UTC)


class Crash(Exception):  # noqa: N818 - the operator dies; nothing is wrong
    """The operator is killed before or after the answer to one write."""


@dataclass
class Behaviour:
    """How one version's pods behave. Times in seconds, rates as shares."""

    start: float = 5.0
    never_ready: bool = False
    bad: dict[str, float] = field(default_factory=dict)
    slow: float = 0.0  # the share that takes ``lasts`` seconds; all others end at once
    lasts: float = 0.0
    hangs: str = ""  # ready, and no answer ever: the clients "wait", or they "leave" and are counted as having left


@dataclass
class Pod:
    uid: str
    revision: str
    version: str
    created: datetime
    requests: int = 0
    left: int = 0
    running: list[datetime] = field(
        default_factory=list
    )  # when those in flight will end, all of them later than any slowerThan
    bad: dict[str, int] = field(default_factory=dict)
    dead: bool = False


@dataclass
class World:
    spec: dict[str, Any]
    behaviours: dict[str, Behaviour] = field(default_factory=dict)
    requests_per_second: float = 20.0
    seed: int = 0
    name: str = "chat"
    now: datetime = START
    scrape: bool = True
    in_flight: bool = True  # whether the engines tell what is running
    route_delay: float = 0.0
    crash_at_write: int | None = None
    crash_after_answer: bool = False

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.versions: dict[str, int] = {}
        self.counter = 0
        self.writes: list[str] = []
        self.status_writes = 0
        self.crashes = 0
        self.pods: dict[str, Pod] = {}
        self.ledger: Ledger | None = None
        self.pending: list[Reading] = []
        self.answered: set[str] = set()
        self.mute: set[str] = set()
        self.measure: tuple[str, ...] = ()
        self.events: list[str] = []
        self.weights_seen: list[tuple[datetime, dict[str, int]]] = []
        self.steps_seen: list[tuple[str, int, int]] = []
        self.zero_since: dict[str, datetime] = {}
        self.replanned = False  # the steps were edited: their numbers need not follow each other once
        self.lost = 0
        self.slow_ended = 0
        self.served: dict[str, int] = {}
        self.last_plan: Plan | None = None
        self.annotations: dict[str, str] = {}
        self.generation = 1
        self.status: dict[str, Any] = {"observedGeneration": -1}
        self.route_ready_at = self.now
        self.route_in_force: dict[str, int] = {}
        self.record_at: datetime | None = None

    # -- what users and other hands do

    def edit(self, **changes: Any) -> None:
        self.replanned |= (
            self.spec.get("rollout", {}).get("steps") != changes.get("rollout", self.spec["rollout"])["steps"]
        )
        self.spec = {**self.spec, **changes}
        self.generation += 1

    def request(self, text: str) -> None:
        self.annotations = {"solera.dev/request": text}

    def condition(self, kind: str) -> str | None:
        return next((c["status"] for c in self.status.get("conditions", ()) if c["type"] == kind), None)

    def reason(self, kind: str) -> str | None:
        return next((c["reason"] for c in self.status.get("conditions", ()) if c["type"] == kind), None)

    def weights(self) -> dict[str, int]:
        """Weight by version name."""
        return {self._version(n): w for n, w in live_weights(self.objects.get(("HTTPRoute", self.name))).items()}

    def running(self) -> set[str]:
        """Versions that have a Deployment."""
        return {
            o["metadata"]["labels"]["solera.dev/version"] for (k, _), o in self.objects.items() if k == "Deployment"
        }

    # -- time

    def run(self, seconds: float, step: float = 1.0) -> None:
        end = self.now + timedelta(seconds=seconds)
        while self.now < end:
            self.now += timedelta(seconds=step)
            self._kubelet()
            self._traffic(step)
            self.reconcile()

    def until(self, predicate: Any, limit: float = 3600.0) -> None:
        end = self.now + timedelta(seconds=limit)
        while not predicate(self):
            assert self.now < end, f"not reached in {limit:.0f} s: {self.status.get('state')} {self.status.get('next')}"
            self.run(1)

    # -- the operator

    def reconcile(self) -> None:
        for _ in range(40):
            observation = self._observe()
            decided = plan(observation)
            self.last_plan = decided
            self.measure = decided.measure
            known = set(self.answered)
            for name in decided.probe:
                self._probe(name, again=decided.probe_again is not None)
            try:
                wrote = self._execute(decided)
            except Crash:
                self.crashes += 1
                self.ledger, self.pending, self.answered, self.mute, self.measure = None, [], set(), set(), ()
                return
            self.events += [e.reason for e in decided.events]
            if not wrote and self.answered == known:
                return
        raise AssertionError(f"the operator turns in a circle: {self.writes[-6:]}")

    def _probe(self, name: str, *, again: bool) -> None:
        for pod in self.pods.values():
            if pod.revision == name and self._ready(pod) and (again or pod.uid not in self.answered):
                hangs = bool(self._behaviour(pod.version).hangs)
                (self.answered.discard if hangs else self.answered.add)(pod.uid)
                (self.mute.add if hangs else self.mute.discard)(pod.uid)

    def _execute(self, decided: Plan) -> bool:
        wrote = False
        for action in sorted(decided.actions, key=lambda a: isinstance(a, Delete)):
            what = action.kind if isinstance(action, Delete) else action.manifest["kind"]
            self._write(what, lambda a=action: self._delete(a) if isinstance(a, Delete) else self._apply(a))
            wrote = True
        if decided.record is not None:
            self._write("RolloutRecord", lambda: self._put_record(decided.record))
            wrote = True
        if decided.status != self.status:
            self._write("status", lambda: self._put_status(decided.status))
            wrote = True
        return wrote

    def _write(self, what: str, do: Any) -> None:
        self.counter += 1
        dies = self.crash_at_write == self.counter
        if dies and not self.crash_after_answer:
            raise Crash
        do()
        self.writes.append(what)
        if dies:
            raise Crash

    def _put_record(self, data: Any) -> None:
        self.objects["RolloutRecord", self.name] = {"data": duplicate(data)}
        self.record_at = self.now

    def _put_status(self, status: dict[str, Any]) -> None:
        carried = {w["revision"]: w["weight"] for w in status.get("weights", ())}
        assert carried == live_weights(self.objects.get(("HTTPRoute", self.name))), (
            "status claims other weights than the route"
        )
        assert not (wrong := list(faults(STATUS, status))), f"the apiserver would refuse or forget: {wrong}"
        self.status_writes += 1
        self.status = duplicate(status)

    def _apply(self, action: Apply) -> None:
        manifest = duplicate(action.manifest)
        key = manifest["kind"], manifest["metadata"]["name"]
        old = self.objects.get(key)
        if action.resource_version is not None:
            assert old is not None
            assert action.resource_version == old["metadata"]["resourceVersion"]
        meta = manifest["metadata"]
        meta["uid"] = old["metadata"]["uid"] if old else f"uid-{self.counter}"
        meta["resourceVersion"] = str(self.counter)
        changed = old is None or old.get("spec") != manifest.get("spec")
        meta["generation"] = (old["metadata"].get("generation", 1) if old else 0) + (1 if changed else 0)
        if key[0] == "HTTPRoute":
            self._check_route(manifest)
            self.route_ready_at = self.now + timedelta(seconds=self.route_delay)
        self.objects[key] = manifest

    def _check_route(self, manifest: dict[str, Any]) -> None:
        before, after = live_weights(self.objects.get(("HTTPRoute", self.name))), live_weights(manifest)
        revisions = self._revisions()
        for name, weight in after.items():
            if weight > before.get(name, 0) and not (len(after) == 1 and not before):
                back = name in before and len(after) == 1  # it had traffic, and takes over from one that is broken
                assert revisions[name].serving or (back and revisions[name].ready_endpoints), (
                    f"weight of {name} rises although it does not serve"
                )
        if (self.status.get("rollout") or {}).get("pausedAt") and self.status.get("candidate"):
            paused = self.status["candidate"]["revision"]
            assert after.get(paused, 0) <= before.get(paused, 0), "weight rises although the rollout is paused"
        if before and any(r.ready_endpoints for r in revisions.values()):
            assert any(revisions[n].ready_endpoints for n in after), "all weight went to revisions that cannot answer"
        progress = parse_progress(manifest["metadata"].get("annotations", {}).get(PROGRESS_ANNOTATION))
        self.weights_seen.append((self.now, {self._version(n): w for n, w in after.items()}))
        if progress is not None:
            candidate = progress.rollout.partition("-")[0]
            weight = sum(w for n, w in after.items() if n.endswith(f"-{candidate}"))
            entry = (progress.rollout, progress.step, weight)
            known = [s for s in self.steps_seen if s[0] == progress.rollout]
            if known and progress.step != known[-1][1] and not self.replanned:
                assert progress.step == known[-1][1] + 1, f"a step was skipped or repeated: {known} then {entry}"
            if not known or known[-1][1] != progress.step:
                self.steps_seen.append(entry)
                self.replanned = False
        for name in before:
            if name not in after:
                self.zero_since[name] = self.now
        for name in after:
            self.zero_since.pop(name, None)

    def _delete(self, action: Delete) -> None:
        live = self.objects[action.kind, action.name]
        assert live["metadata"]["uid"] == action.uid
        assert live["metadata"]["resourceVersion"] == action.resource_version
        if action.kind == "HTTPRoute":
            for name in live_weights(live):
                self.zero_since[name] = self.now
        else:
            assert action.name not in live_weights(self.objects.get(("HTTPRoute", self.name))), (
                "deleted while it had weight"
            )
            if action.name in self.zero_since and action.kind == "Deployment":
                drain = timedelta(seconds=self.drain_seconds)
                assert self.now >= self.zero_since[action.name] + drain, "pods went before the drain time was over"
        del self.objects[action.kind, action.name]

    @property
    def drain_seconds(self) -> float:
        return float(self.spec["template"].get("drainTimeout", "30s").rstrip("s"))

    # -- what the operator sees

    def custom_resource(self) -> dict[str, Any]:
        return {
            "apiVersion": "solera.dev/v1alpha1",
            "kind": "LLMDeployment",
            "metadata": {
                "name": self.name,
                "namespace": "ml",
                "uid": "owner",
                "generation": self.generation,
                "resourceVersion": "1",
                "creationTimestamp": format_time(START),
                "annotations": dict(self.annotations),
            },
            "spec": duplicate(self.spec),
            "status": duplicate(self.status),
        }

    def _revisions(self) -> dict[str, ObservedRevision]:
        parts: dict[tuple[str, str], dict[str, Any]] = {}
        fields = {"ControllerRevision": "controller_revision", "Deployment": "deployment", "Service": "service"}
        for (kind, _), obj in self.objects.items():
            if kind in fields:
                labels = obj["metadata"]["labels"]
                of = labels["solera.dev/version"], labels["solera.dev/revision"]
                parts.setdefault(of, {})[fields[kind]] = duplicate(obj)
        for pod in self.pods.values():
            of = pod.version, pod.revision.rpartition("-")[2]
            mute = "no completion" if pod.uid in self.mute else None
            ready, answered = self._ready(pod), pod.uid in self.answered
            seen = ObservedPod(
                pod.uid,
                pod.uid,
                "10.0.0.1",
                ready,
                answered,
                started=pod.created,
                mute=mute,
                asked=answered or mute is not None,
            )
            parts.setdefault(of, {}).setdefault("pods", []).append(seen)
        out = {}
        for (version, digest), found in parts.items():
            name = f"{self.name}-{version}-{digest}"
            found["pods"] = tuple(found.get("pods", ()))
            ready = sum(p.ready for p in found["pods"]) if "service" in found else 0
            out[name] = ObservedRevision(name, version, digest, ready_endpoints=ready, **found)
        return out

    def _observe(self) -> Observation:
        resource = self.custom_resource()
        rollout = self.status.get("rollout") or {}
        record = self.objects.get(("RolloutRecord", self.name))
        route = duplicate(self.objects.get(("HTTPRoute", self.name)))
        if route is not None:
            generation = route["metadata"]["generation"] if self.now >= self.route_ready_at else 0
            accepted = [
                {"type": t, "status": "True", "observedGeneration": generation} for t in ("Accepted", "ResolvedRefs")
            ]
            route["status"] = {"parents": [{"conditions": accepted}]}
        if not rollout.get("id") or not rollout.get("from"):
            self.ledger = None
        else:
            if self.ledger is None or self.ledger.rollout_id != rollout["id"]:
                stored = (record or {}).get("data") or {}
                if stored.get("rolloutId") == rollout["id"]:
                    self.ledger = from_record(stored["ledger"])
                else:
                    self.ledger = new_ledger(rollout["id"], rollout["from"], rollout["to"], self.now)
            step = step_in_force(route, rollout["id"], rollout["to"] if self.status.get("candidate") else None)
            self.ledger = absorb(
                self.ledger,
                self.pending,
                step=step,
                begun=step_begun(route, rollout["id"]),
                now=self.now,
                alive=set(self.pods),
                limits=limits_of(self.spec),
                measures=measures_of(self.spec),
                risk=risk_of(self.spec),
            )
        self.pending = []
        return Observation(
            now=self.now,
            owner=Owner(self.name, "ml", "owner", self.generation, START),
            custom_resource=resource,
            revisions=self._revisions(),
            route=route,
            ledger=self.ledger,
            record=record,
            record_written_at=self.record_at,
            unreachable={} if self.scrape else {"engine": "Direct: Unreachable: cannot connect to 10.0.0.1:8000"},
        )

    # -- the cluster

    def _version(self, name: str) -> str:
        return name.removeprefix(f"{self.name}-").rpartition("-")[0]

    def _behaviour(self, version: str) -> Behaviour:
        return self.behaviours.get(version, Behaviour())

    def _ready(self, pod: Pod) -> bool:
        how = self._behaviour(pod.version)
        return not pod.dead and not how.never_ready and self.now >= pod.created + timedelta(seconds=how.start)

    def _kubelet(self) -> None:
        wanted = {n: o for (k, n), o in self.objects.items() if k == "Deployment"}
        for uid in [u for u, p in self.pods.items() if p.revision not in wanted or p.dead]:
            del self.pods[uid]
        for name, deployment in wanted.items():
            have = [u for u, p in self.pods.items() if p.revision == name]
            for uid in have[deployment["spec"]["replicas"] :]:
                del self.pods[uid]
            for _ in range(deployment["spec"]["replicas"] - len(have)):
                uid = f"pod-{len(self.served)}-{self.counter}-{self.random.random():.9f}"
                self.pods[uid] = Pod(uid, name, deployment["metadata"]["labels"]["solera.dev/version"], self.now)

    def _traffic(self, seconds: float) -> None:
        if self.now >= self.route_ready_at:
            self.route_in_force = live_weights(self.objects.get(("HTTPRoute", self.name)))
        ready = {n: [p for p in self.pods.values() if p.revision == n and self._ready(p)] for n in self.route_in_force}
        names, weights = list(self.route_in_force), list(self.route_in_force.values())
        for _ in range(int(self.requests_per_second * seconds) if names else 0):
            name = self.random.choices(names, weights)[0]
            if not ready[name]:
                self.lost += 1
                continue
            pod = self.random.choice(ready[name])
            if hangs := self._behaviour(pod.version).hangs:
                self.lost += 1
                pod.left += hangs == "leave"
                continue
            how = self._behaviour(pod.version)
            if how.slow and self.random.random() < how.slow:
                pod.running.append(self.now + timedelta(seconds=how.lasts))
                continue
            pod.requests += 1
            self.served[pod.version] = self.served.get(pod.version, 0) + 1
            for guardrail, share in self._behaviour(pod.version).bad.items():
                if self.random.random() < share:
                    pod.bad[guardrail] = pod.bad.get(guardrail, 0) + 1
        declared = self.spec.get("rollout", {}).get("guardrails", ())
        limits = {g["name"]: float(g["slowerThan"].rstrip("s")) for g in declared if "slowerThan" in g}
        for pod in self.pods.values():
            ended = sum(end <= self.now for end in pod.running)
            pod.running = [end for end in pod.running if end > self.now]
            pod.requests += ended
            self.slow_ended += ended
            for guardrail in limits:
                pod.bad[guardrail] = pod.bad.get(guardrail, 0) + ended
        if not self.scrape:
            return
        guardrails = [g["name"] for g in declared]
        for pod in self.pods.values():
            if pod.revision in self.measure and self._ready(pod):
                counters = {g: Counter(pod.requests, pod.bad.get(g, 0)) for g in guardrails}
                counters[""] = Counter(pod.requests + pod.left, 0)
                started = str(pod.created.timestamp())
                begun = pod.requests + len(pod.running)
                flights = {g: Flight(begun, pod.requests, s) for g, s in limits.items()} if self.in_flight else {}
                self.pending.append(Reading(self.now, "engine", pod.revision, pod.uid, started, counters, flights))


def manifest(serve: str = "v1", **rollout: Any) -> dict[str, Any]:
    """A spec with four versions and one guardrail; keyword arguments replace parts of ``rollout``."""
    engine = {"name": "vLLM", "version": "0.18.1", "image": "vllm/vllm-openai:v0.18.1"}
    steps = [{"weight": w, "minDuration": "10s", "minRequests": 20} for w in (10, 30, 60, 100)]
    return {
        "serve": serve,
        "template": {"engine": engine, "replicas": 2, "drainTimeout": "20s", "startupTimeout": "2m"},
        "versions": [{"name": n, "model": {"uri": f"image:///models/{n}"}} for n in ("v1", "v2", "v3", "v4")],
        "traffic": {"gateway": {"parentRefs": [{"name": "inference"}], "hostnames": ["chat.example.com"]}},
        "rollout": {
            "steps": steps,
            "guardrails": [{"name": "errors", "metric": "ErrorRate", "limit": "5%"}],
            "keepPrevious": "30s",
            **rollout,
        },
    }


def settled(version: str) -> Any:
    """The world rests with this version alone."""

    def check(world: World) -> bool:
        return world.weights() == {version: 100} and world.running() == {version} and world.status["state"] == "Idle"

    return check


def since(world: World, text: str) -> float:
    return (world.now - parse_time(text)).total_seconds()
