"""Everything that is true when a field is left out, and the merge of the template with a version's overrides.

None of this stands in the CRD: a default there is stored in users' objects and would change the hash of everyone's revisions.
Nor does the identity of a revision see these values (fields.py looks at what was declared), so they may change with a release.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from solera.api.errors import InvalidSpec
from solera.api.llmdeployment import LLMDeployment, LLMDeploymentSpec
from solera.api.rules import SAY_ENGINE_IMAGE, SAY_ENGINE_NAME
from solera.api.scalars import parse_duration, parse_percent, parse_ratio, parse_time
from solera.api.spec import (
    Cache,
    EngineName,
    EnvVar,
    Headroom,
    KeySelector,
    Lifecycle,
    Model,
    OnRetirement,
    PullPolicy,
    Template,
    Toleration,
    Version,
)
from solera.api.traffic import Action, Guardrail, Metric, OnInconclusive, Rollout, Step, Strategy

REPLICAS = 1
PORT = 8000
GPU_RESOURCE = "nvidia.com/gpu"
STARTUP_TIMEOUT = timedelta(minutes=30)
DRAIN_TIMEOUT = timedelta(seconds=30)
HEADROOM = Headroom.SURGE
MIGRATE_BEFORE = timedelta(hours=1)
STEP_WEIGHTS = (5, 25, 50, 100)
MIN_DURATION = timedelta(minutes=2)
MIN_REQUESTS = 20
MAX_DURATION = timedelta(hours=2)
RISK = 0.05
GUARDRAIL_ACTION = Action.ROLL_BACK
ON_INCONCLUSIVE = OnInconclusive.HOLD
KEEP_PREVIOUS = timedelta(minutes=10)
METRICS_SOURCE = "Direct"


@dataclass(frozen=True, slots=True)
class ResolvedLifecycle:
    """The dates of a version's life. Times are aware and keep the user's offset."""

    deprecated_at: datetime | None
    retires_at: datetime | None
    successor: str | None
    on_retirement: OnRetirement
    migrate_before: timedelta


@dataclass(frozen=True, slots=True)
class ResolvedVersion:
    """One version with the template merged in and every default applied.

    `declared` is the merge without defaults: what the user said, and what the identity is computed from.
    `gpus` 0 means that none is asked for. `cpu` and `memory` are quantities as text.
    """

    name: str
    model: Model
    declared: Template
    engine: EngineName
    engine_version: str | None
    image: str
    command: tuple[str, ...]
    args: tuple[str, ...]
    replicas: int
    gpus: int
    gpu_resource: str
    cpu: str | None
    memory: str | None
    cache: Cache | None
    port: int
    env: tuple[EnvVar, ...]
    startup_timeout: timedelta
    drain_timeout: timedelta
    node_selector: Mapping[str, str]
    tolerations: tuple[Toleration, ...]
    priority_class_name: str | None
    image_pull_secrets: tuple[str, ...]
    image_pull_policy: PullPolicy | None
    service_account_name: str | None
    run_as_user: int | None
    headroom: Headroom
    token_secret_ref: KeySelector | None
    lifecycle: ResolvedLifecycle


@dataclass(frozen=True, slots=True)
class ResolvedStep:
    """One planned weight (percent). `max_duration` does not run while a person's approval is awaited.

    `rung`: nobody declared it, an adaptive rollout has it between those that were declared, and may pass over it.
    """

    weight: int
    min_duration: timedelta
    min_requests: int
    max_duration: timedelta
    needs_approval: bool
    rung: bool = False


@dataclass(frozen=True, slots=True)
class ResolvedGuardrail:
    """One guardrail. `limit` is a share in (0, 1) or None; `max_ratio` is above 1 or None; `slower_than` None for ErrorRate."""

    name: str
    metric: Metric
    limit: float | None
    slower_than: timedelta | None
    max_ratio: float | None
    require_ratio: bool
    action: Action


@dataclass(frozen=True, slots=True)
class ResolvedRollout:
    """How a candidate is let in. Risks are probabilities in (0, 0.5). `max_harmed` is None unless the strategy is Adaptive."""

    steps: tuple[ResolvedStep, ...]
    max_harmed: int | None
    guardrails: tuple[ResolvedGuardrail, ...]
    false_rollback: float
    false_promotion: float
    on_inconclusive: OnInconclusive
    keep_previous: timedelta
    metrics_source: str


def model_name(obj: LLMDeployment) -> str:
    """The name under which all versions are asked for."""
    return obj.spec.model_name or obj.metadata.name


def find(spec: LLMDeploymentSpec, name: str) -> Version:
    """The version of that name.

    Raises:
        InvalidSpec: there is none.
    """
    for version in spec.versions:
        if version.name == name:
            return version
    raise InvalidSpec("spec.versions", f"no version is named {name}")


def merge(shared: Template | None, override: Template | None) -> Template:
    """What is declared for a version: its own value per field, else the template's; env by name; other lists as a whole."""
    ours = (shared or Template()).dump()
    theirs = (override or Template()).dump()
    return Template.model_validate(_merge(ours, theirs))


def _merge(ours: dict[str, Any], theirs: dict[str, Any], path: str = "") -> dict[str, Any]:
    out = dict(ours)
    for key, value in theirs.items():
        here = f"{path}{key}"
        if here == "env":
            by_name = {item["name"]: item for item in [*ours.get("env", ()), *value]}
            out[key] = list(by_name.values())
        elif here in _MERGED and key in ours:
            out[key] = _merge(ours[key], value, f"{here}.")
        else:
            out[key] = value
    return out


# References ({name, key}) and maps that the user fills (nodeSelector) are one value: half of each would be nobody's wish.
_MERGED = frozenset({"engine", "resources", "cache", "cache.persistentVolumeClaim"})


def resolve(spec: LLMDeploymentSpec, version: Version) -> ResolvedVersion:
    """Template and version merged, with every default applied.

    Raises:
        InvalidSpec: neither of the two names an engine or an image.
    """
    declared = merge(spec.template, version.template)
    engine, resources = declared.engine, declared.resources
    if engine is None or engine.name is None:
        raise InvalidSpec("spec.template", f"{SAY_ENGINE_NAME}; missing for {version.name}")
    if engine.image is None:
        raise InvalidSpec("spec.template", f"{SAY_ENGINE_IMAGE}; missing for {version.name}")
    return ResolvedVersion(
        name=version.name,
        model=version.model,
        declared=declared,
        engine=engine.name,
        engine_version=engine.version,
        image=engine.image,
        command=engine.command or (),
        args=engine.args or (),
        replicas=REPLICAS if declared.replicas is None else declared.replicas,
        gpus=(resources.gpus or 0) if resources else 0,
        gpu_resource=(resources and resources.gpu_resource) or GPU_RESOURCE,
        cpu=str(resources.cpu) if resources and resources.cpu is not None else None,
        memory=str(resources.memory) if resources and resources.memory is not None else None,
        cache=declared.cache,
        port=declared.port or PORT,
        env=declared.env or (),
        startup_timeout=_duration(declared.startup_timeout, STARTUP_TIMEOUT),
        drain_timeout=_duration(declared.drain_timeout, DRAIN_TIMEOUT),
        node_selector=declared.node_selector or {},
        tolerations=declared.tolerations or (),
        priority_class_name=declared.priority_class_name,
        image_pull_secrets=declared.image_pull_secrets or (),
        image_pull_policy=declared.image_pull_policy,
        service_account_name=declared.service_account_name,
        run_as_user=declared.run_as_user,
        headroom=declared.headroom or HEADROOM,
        token_secret_ref=declared.token_secret_ref,
        lifecycle=resolve_lifecycle(version.lifecycle),
    )


def resolve_lifecycle(life: Lifecycle | None) -> ResolvedLifecycle:
    """Dates parsed; without a successor there is nowhere to redirect to, so the default is to keep serving and say so."""
    life = life or Lifecycle()
    return ResolvedLifecycle(
        deprecated_at=parse_time(life.deprecated_at) if life.deprecated_at else None,
        retires_at=parse_time(life.retires_at) if life.retires_at else None,
        successor=life.successor,
        on_retirement=life.on_retirement or (OnRetirement.REDIRECT if life.successor else OnRetirement.HOLD),
        migrate_before=_duration(life.migrate_before, MIGRATE_BEFORE),
    )


def resolve_rollout(rollout: Rollout | None) -> ResolvedRollout:
    """Steps and guardrails with every default applied."""
    rollout = rollout or Rollout()
    risk, adaptive = rollout.risk, rollout.strategy is Strategy.ADAPTIVE
    weights = (100,) if adaptive else STEP_WEIGHTS
    return ResolvedRollout(
        steps=tuple(_step(step) for step in rollout.steps or (Step(weight=weight) for weight in weights)),
        max_harmed=risk.max_harmed_requests if adaptive and risk else None,
        guardrails=tuple(_guardrail(guardrail) for guardrail in rollout.guardrails or ()),
        false_rollback=parse_percent(risk.false_rollback) if risk and risk.false_rollback else RISK,
        false_promotion=parse_percent(risk.false_promotion) if risk and risk.false_promotion else RISK,
        on_inconclusive=rollout.on_inconclusive or ON_INCONCLUSIVE,
        keep_previous=_duration(rollout.keep_previous, KEEP_PREVIOUS),
        metrics_source=(rollout.metrics and rollout.metrics.source) or METRICS_SOURCE,
    )


def _step(step: Step) -> ResolvedStep:
    approval = step.pause is not None and step.pause.until == "Approved"
    longest = parse_duration(step.max_duration) if step.max_duration else None
    # Who allows a minute at most does not mean the two minutes at least that others get.
    least = _duration(step.min_duration, MIN_DURATION if longest is None else min(MIN_DURATION, longest))
    if step.pause and not approval:
        least = max(least, parse_duration(step.pause.until))
    return ResolvedStep(
        weight=step.weight,
        min_duration=least,
        min_requests=MIN_REQUESTS if step.min_requests is None else step.min_requests,
        # A step that may take two hours by default, but must take a day, has a day and two hours.
        max_duration=least + MAX_DURATION if longest is None else longest,
        needs_approval=approval,
    )


def _guardrail(guardrail: Guardrail) -> ResolvedGuardrail:
    compared = guardrail.compared_to_stable
    return ResolvedGuardrail(
        name=guardrail.name,
        metric=guardrail.metric,
        limit=parse_percent(guardrail.limit) if guardrail.limit else None,
        slower_than=parse_duration(guardrail.slower_than) if guardrail.slower_than else None,
        max_ratio=parse_ratio(compared.max_ratio) if compared else None,
        require_ratio=bool(compared and compared.require),
        action=guardrail.action or GUARDRAIL_ACTION,
    )


def _duration(text: str | None, default: timedelta) -> timedelta:
    return default if text is None else parse_duration(text)
