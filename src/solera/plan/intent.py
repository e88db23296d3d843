"""What a spec asks for, with defaults applied and every revision named: what the planner compares the cluster with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Any

import orjson

from solera.api.defaults import (
    ResolvedGuardrail,
    ResolvedLifecycle,
    ResolvedStep,
    ResolvedVersion,
    model_name,
    resolve,
    resolve_rollout,
)
from solera.api.fields import identity
from solera.api.llmdeployment import LLMDeployment, parse
from solera.api.traffic import GatewayTraffic, OnInconclusive
from solera.plan.memory import RevisionRef
from solera.plan.ramp import ladder
from solera.plan.revision import operational_hash, revision_hash, revision_name
from solera.plan.verdict import GuardrailSpec


@dataclass(frozen=True, slots=True)
class VersionIntent:
    """One version of the manifest. ``ref`` names its revision, ``operational`` is the hash of its operational fields."""

    ref: RevisionRef
    resolved: ResolvedVersion
    identity: Mapping[str, Any]
    operational: str

    @property
    def life(self) -> ResolvedLifecycle:
        """The dates of the version's life."""
        return self.resolved.lifecycle


@dataclass(frozen=True, slots=True)
class Intent:
    """One manifest. ``versions`` keeps its order. Risks are probabilities. ``max_harmed`` is None unless the rollout is adaptive."""

    model_name: str
    serve: str
    versions: Mapping[str, VersionIntent]
    steps: tuple[ResolvedStep, ...]
    guardrails: tuple[GuardrailSpec, ...]
    false_rollback: float
    false_promotion: float
    max_harmed: int | None
    roll_back_when_inconclusive: bool
    keep_previous: timedelta
    gateway: GatewayTraffic

    @property
    def lives(self) -> dict[str, ResolvedLifecycle]:
        """The dates of every version."""
        return {name: version.life for name, version in self.versions.items()}


def guardrail_spec(guardrail: ResolvedGuardrail) -> GuardrailSpec:
    """One guardrail in the form in which it is judged."""
    return GuardrailSpec(
        name=guardrail.name,
        metric=guardrail.metric.value,
        limit=guardrail.limit,
        slower_than=None if guardrail.slower_than is None else guardrail.slower_than.total_seconds(),
        max_ratio=guardrail.max_ratio,
        ratio_requires_pass=guardrail.require_ratio,
        action=guardrail.action.value,
    )


def read_intent(obj: LLMDeployment) -> Intent:
    """Resolve a parsed object.

    Raises:
        InvalidSpec: a version has no engine or image.
    """
    rollout = resolve_rollout(obj.spec.rollout)
    name = model_name(obj)
    versions = {}
    for version in obj.spec.versions:
        resolved = resolve(obj.spec, version)
        content = revision_hash(obj.metadata.name, name, resolved)
        ref = RevisionRef(version.name, revision_name(obj.metadata.name, version.name, content), content)
        versions[version.name] = VersionIntent(ref, resolved, identity(resolved), operational_hash(resolved))
    steps = rollout.steps if rollout.max_harmed is None else ladder(rollout.steps)
    if not rollout.guardrails:  # without guardrails nothing is counted, so nothing can be asked of the counts
        steps = tuple(
            ResolvedStep(s.weight, s.min_duration, 0, s.max_duration, s.needs_approval) for s in rollout.steps
        )
    return Intent(
        model_name=name,
        serve=obj.spec.serve,
        versions=versions,
        steps=steps,
        guardrails=tuple(guardrail_spec(g) for g in rollout.guardrails),
        false_rollback=rollout.false_rollback,
        false_promotion=rollout.false_promotion,
        max_harmed=rollout.max_harmed,
        roll_back_when_inconclusive=rollout.on_inconclusive is OnInconclusive.ROLL_BACK,
        keep_previous=rollout.keep_previous,
        gateway=obj.spec.traffic.gateway,
    )


def intent_of(resource: Mapping[str, Any]) -> Intent:
    """The intent of a raw object. Most looks find the same spec again, so the newest readings are kept.

    Raises:
        InvalidSpec: it does not fit the schema or breaks a rule, or a version has no engine or image.
    """
    metadata, status = resource["metadata"], resource.get("status") or {}
    # All that is read of an object here, and of its status only what the rules compare the spec with.
    read: dict[str, Any] = {"metadata": {"name": metadata["name"]}, "spec": resource.get("spec")}
    read["status"] = {key: status[key] for key in ("stable", "versions") if key in status}
    for key in ("apiVersion", "kind"):
        if key in resource:
            read[key] = resource[key]
    return _intent_of(orjson.dumps(read))


@lru_cache(maxsize=1024)
def _intent_of(text: bytes) -> Intent:
    return read_intent(parse(orjson.loads(text)))
