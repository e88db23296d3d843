"""One LLMDeployment's life: the real operator, a simulated cluster, clock, traffic and metrics, and a witness of every write."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from sim.cluster import Cluster
from sim.collector import SimCollector
from sim.faults import Faults
from sim.kubelet import NAMESPACE, Pod
from sim.operator import Killed, SimOperator
from sim.timeline import Timeline
from sim.traffic import Behaviour, Traffic
from sim.witness import Witness
from solera.plan.traffic import live_weights
from solera.plan.types import Observation, Plan

Spec = dict[str, Any]
KIND = "LLMDeployment"


class Life:
    """Made with a spec; ``run`` and ``until`` let time pass. Everything that happens by chance comes from ``seed``."""

    namespace = NAMESPACE

    def __init__(
        self,
        spec: Spec,
        behaviours: dict[str, Behaviour] | None = None,
        *,
        rate: float = 20.0,
        seed: int = 0,
        sources: tuple[str, ...] = ("engine",),
        planner: Callable[[Observation], Plan] | None = None,
        name: str = "chat",
    ) -> None:
        self.name = name
        self.random = Random(seed)
        self.timeline = Timeline()
        self.behaviours = dict(behaviours or {})
        self.sources = sources
        self.broken: str | None = None
        self.planner = planner
        self.lost_evidence: list[str] = []
        self.errors: list[str] = []
        self.deaths = 0
        self.operator: SimOperator | None = None
        self.restart_after = 1.0
        self.witness = Witness(self)
        self.faults = Faults(self)
        self.cluster = Cluster(self)
        self.traffic = Traffic(self, rate)
        self.create(spec)
        self.operator = SimOperator(self)

    # -- parts that know each other only through here

    def make_collector(self, operator: Any) -> SimCollector:
        return SimCollector(self, operator)

    def behaviour(self, version: str) -> Behaviour:
        return self.behaviours.get(version) or Behaviour()

    def guardrails(self) -> list[str]:
        return [g["name"] for g in (self.spec.get("rollout") or {}).get("guardrails") or ()]

    def hear(self, event: str, obj: Any) -> None:
        if self.operator is not None:
            self.operator.hear(event, obj)

    # -- time

    def run(self, seconds: float) -> None:
        self.until(lambda _: False, seconds, must=False)

    def until(self, predicate: Callable[[Life], bool], limit: float = 3600.0, *, must: bool = True) -> None:
        ends = self.timeline.t + limit
        while True:
            self._turn()
            if predicate(self):
                return
            due = self.operator.next_due() if self.operator is not None else float("inf")
            following = min(self.timeline.next(), due)
            if following > ends:
                self._pass(ends)
                break
            self._pass(following)
            self.timeline.run_due()
        assert not must, f"not reached in {limit:.0f} s: {self.describe()}"

    def _pass(self, t: float) -> None:
        if t > self.timeline.t:
            self.witness.note()
            seconds, self.timeline.t = t - self.timeline.t, t
            self.traffic.flow(seconds)

    def _turn(self) -> None:
        if self.operator is None:
            return
        try:
            self.operator.turn()
        except Killed:
            self.kill_operator()

    def kill_operator(self) -> None:
        if self.operator is not None:
            self.operator = None
            self.deaths += 1
            self.faults.kill_at = None
            self.timeline.after(self.restart_after, self._start)

    def _start(self) -> None:
        if self.operator is None:
            self.operator = SimOperator(self)

    # -- what users do

    @property
    def resource(self) -> dict[str, Any]:
        return self.cluster.objects[KIND, NAMESPACE, self.name]

    @property
    def exists(self) -> bool:
        return (KIND, NAMESPACE, self.name) in self.cluster.objects

    @property
    def spec(self) -> Spec:
        return self.resource["spec"] if self.exists else {}

    @property
    def status(self) -> dict[str, Any]:
        return self.resource.get("status") or {} if self.exists else {}

    def create(self, spec: Spec) -> None:
        api = "solera.dev/v1alpha1"
        self.cluster.put(
            {"apiVersion": api, "kind": KIND, "metadata": {"name": self.name, "namespace": NAMESPACE}, "spec": spec}
        )
        self.witness.edited()

    def delete(self) -> None:
        self.cluster.remove(KIND, NAMESPACE, self.name, collect=False)
        self.witness.edited()

    def edit(self, **changes: Any) -> None:
        planned = self._planned()
        self.cluster.edit(KIND, NAMESPACE, self.name, lambda obj: obj["spec"].update(changes))
        self.witness.edited(steps=planned != self._planned())

    def _planned(self) -> tuple[Any, ...]:
        rollout = self.spec.get("rollout") or {}
        return rollout.get("steps"), self.guardrails(), rollout.get("strategy")

    def edit_template(self, **changes: Any) -> None:
        self.edit(template={**self.spec["template"], **changes})

    def edit_rollout(self, **changes: Any) -> None:
        self.edit(rollout={**self.spec["rollout"], **changes})

    def edit_version(self, name: str, **changes: Any) -> None:
        """``None`` removes a field."""
        versions = [{**v, **changes} if v["name"] == name else v for v in self.spec["versions"]]
        self.edit(versions=[{k: x for k, x in v.items() if x is not None} for v in versions])

    def ask(self, verb: str, nonce: str = "", *, of: str = "", step: int | None = None) -> str:
        """Write a request for the present candidate and step."""
        of = of or (self.status.get("candidate") or {}).get("hash", "zzzzzzzz")
        step = (self.status.get("rollout") or {}).get("step", 0) if step is None else step
        text = f"{verb}@{of}/{step}#{nonce or self.cluster.requests}"
        self.cluster.edit(
            KIND, NAMESPACE, self.name, lambda obj: obj["metadata"].update(annotations={"solera.dev/request": text})
        )
        return text

    def behave(self, version: str, how: Behaviour) -> None:
        """From now on pods of a version behave like this."""
        self.behaviours[version] = how
        for pod in [p for p in self.cluster.pods.values() if p.version == version]:
            if pod.ready and how.never_ready:
                self.cluster.set_ready(pod, False)
            elif not pod.ready and not how.never_ready:
                self.timeline.after(how.start, lambda pod=pod: self.cluster.get_ready(pod))

    # -- what can be seen

    @property
    def route(self) -> dict[str, Any] | None:
        return self.cluster.objects.get(("HTTPRoute", NAMESPACE, self.name))

    def version_of(self, revision: str) -> str:
        return revision.removeprefix(f"{self.name}-").rpartition("-")[0]

    def weights(self) -> dict[str, int]:
        """Weight by version; two revisions of one version count together."""
        out: dict[str, int] = {}
        for name, weight in live_weights(self.route).items():
            out[self.version_of(name)] = out.get(self.version_of(name), 0) + weight
        return out

    def running(self) -> set[str]:
        return {self.version_of(name) for (kind, _, name) in self.cluster.objects if kind == "Deployment"}

    def pods(self, version: str) -> list[Pod]:
        return [p for p in self.cluster.pods.values() if p.version == version]

    def children(self) -> list[tuple[str, str]]:
        kinds = {"ControllerRevision", "Deployment", "Service", "HTTPRoute", "Pod", "EndpointSlice", "RolloutRecord"}
        return sorted((kind, name) for (kind, _, name) in self.cluster.objects if kind in kinds)

    def condition(self, kind: str) -> str | None:
        return next((c["status"] for c in self.status.get("conditions", ()) if c["type"] == kind), None)

    def reason(self, kind: str) -> str | None:
        return next((c["reason"] for c in self.status.get("conditions", ()) if c["type"] == kind), None)

    @property
    def waits_for(self) -> str | None:
        """The reason for which a rollout in progress waits."""
        return (self.status.get("rollout") or {}).get("reason") if self.status.get("candidate") else None

    def describe(self) -> str:
        state = {k: self.status.get(k) for k in ("state", "next", "weights", "candidate", "draining", "rollout")}
        return f"t={self.timeline.t:.0f} running={self.running()} {state} {self.errors[-3:]} {self.witness.trace[-6:]}"


def settled(version: str) -> Callable[[Life], bool]:
    """The life rests with this version alone."""

    def check(life: Life) -> bool:
        if life.weights() != {version: 100} or life.running() != {version} or life.status.get("state") != "Idle":
            return False
        return not ({"previous", "draining", "candidate"} & life.status.keys())

    return check


def manifest(serve: str = "v1", *, versions: tuple[str, ...] = ("v1", "v2", "v3", "v4"), **rollout: Any) -> Spec:
    """A spec with some versions and one guardrail; keyword arguments replace parts of ``rollout``."""
    engine = {"name": "vLLM", "version": "0.18.1", "image": "vllm/vllm-openai:v0.18.1"}
    steps = [{"weight": w, "minDuration": "10s", "minRequests": 20} for w in (10, 30, 60, 100)]
    return {
        "serve": serve,
        "template": {"engine": engine, "replicas": 2, "drainTimeout": "20s", "startupTimeout": "2m"},
        "versions": [{"name": n, "model": {"uri": f"image:///models/{n}"}} for n in versions],
        "traffic": {"gateway": {"parentRefs": [{"name": "inference"}], "hostnames": ["chat.example.com"]}},
        "rollout": {
            "steps": steps,
            "guardrails": [{"name": "errors", "metric": "ErrorRate", "limit": "5%"}],
            "keepPrevious": "30s",
            **rollout,
        },
    }
