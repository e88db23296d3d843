"""From a plan to what the collector should read: which pods, for which guardrails, from which source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from solera.api.defaults import model_name, resolve_rollout
from solera.api.llmdeployment import LLMDeployment, parse
from solera.api.traffic import Action
from solera.errors import SoleraError
from solera.observe.metrics import GuardrailQuery, Target
from solera.observe.probe import ProbeTarget
from solera.plan.types import Observation, ObservedPod, ObservedRevision, Plan

ENGINE_ANNOTATION = "solera.dev/engine"


@dataclass(frozen=True, slots=True)
class Request:
    """What is wanted for one LLMDeployment. ``source`` is the name in `spec.rollout.metrics.source`.

    ``alive`` are all its pods, by uid, each with the start of its engine's container (None while that does not run).
    """

    targets: tuple[Target, ...] = ()
    guardrails: tuple[GuardrailQuery, ...] = ()
    source: str = "Direct"
    probes: tuple[ProbeTarget, ...] = ()
    alive: Mapping[str, datetime | None] = field(default_factory=dict)


def request_of(observation: Observation, plan: Plan) -> Request:
    """Everything that ``plan`` wants measured or probed, as far as its pods run; nothing for a spec that cannot be read."""
    alive = {pod.uid: pod.started for revision in observation.revisions.values() for pod in revision.pods}
    if not plan.measure and not plan.probe:
        return Request(alive=alive)
    try:
        obj = parse(observation.custom_resource)
    except SoleraError:
        return Request(alive=alive)
    rollout = resolve_rollout(obj.spec.rollout)
    queries = tuple(
        GuardrailQuery(
            g.name,
            g.metric.value,
            None if g.slower_than is None else g.slower_than.total_seconds(),
            acts=g.action is not Action.OBSERVE,
        )
        for g in rollout.guardrails
    )
    return Request(
        targets=_answering([t for name in plan.measure for t in _targets(observation, name)]),
        guardrails=queries,
        source=rollout.metrics_source,
        probes=tuple(p for name in plan.probe for p in _probes(observation, name, obj, plan.probe_again)),
        alive=alive,
    )


def _targets(observation: Observation, name: str) -> Iterator[Target]:
    for revision, engine, port, pod, ip in _running(observation, name):
        yield Target(
            revision=revision.name,
            instance=pod.uid,
            ip=ip,
            port=port,
            namespace=observation.owner.namespace,
            service=revision.name,
            engine=engine,
            pod=pod.name,
            started=pod.started,
            answered=pod.answered,
            expected=pod.ready and not pod.terminating,
        )


def _answering(targets: Sequence[Target]) -> tuple[Target, ...]:
    """Of several pods with one address the newest: one whose node was lost keeps its own in its status when another pod has it."""
    newest: dict[str, datetime] = {}
    for target in targets:
        if target.started is not None:
            newest[target.ip] = max(target.started, newest.get(target.ip, target.started))
    return tuple(t for t in targets if t.started == newest.get(t.ip))


def _probes(observation: Observation, name: str, obj: LLMDeployment, again: timedelta | None) -> Iterator[ProbeTarget]:
    for _, _, port, pod, ip in _running(observation, name):
        if not pod.terminating:
            yield ProbeTarget(pod.uid, ip, port, model_name(obj), pod.name, pod.started, again)


def _running(observation: Observation, name: str) -> Iterator[tuple[ObservedRevision, str, int, ObservedPod, str]]:
    """The pods of a revision whose engine runs, with the engine's name and port as they were when the revision was rendered."""
    revision = observation.revisions.get(name)
    if revision is None:
        return
    if (kept := revision.controller_revision) is not None:
        template = kept["data"]["podTemplate"]
    elif revision.deployment is not None:  # somebody deleted what it was rendered from; it runs all the same
        template = revision.deployment["spec"]["template"]
    else:
        return
    engine = template["metadata"]["annotations"][ENGINE_ANNOTATION]
    port = template["spec"]["containers"][0]["ports"][0]["containerPort"]
    for pod in revision.pods:
        if pod.ip is not None and pod.started is not None:
            yield revision, engine, port, pod, pod.ip
