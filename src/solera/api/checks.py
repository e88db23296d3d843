"""The CEL rules of the CRD once more in Python, for objects that did not pass through them (an older CRD, a ratcheted field).

`rules.py` holds the CEL side and the shared sentences. A test runs both sides on the same objects.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise
from typing import TYPE_CHECKING

from solera.api import rules as say
from solera.api.errors import InvalidSpec
from solera.api.scalars import parse_duration, parse_time

if TYPE_CHECKING:
    from solera.api.llmdeployment import LLMDeployment, LLMDeploymentSpec
    from solera.api.spec import EnvVar, Lifecycle, Model, Template, Version
    from solera.api.status import LLMDeploymentStatus
    from solera.api.traffic import Guardrail, Rollout, Step


def check(obj: LLMDeployment) -> None:
    """Raise `InvalidSpec` for the first broken rule, in the order in which a person would read the YAML."""
    spec = obj.spec
    names = [version.name for version in spec.versions]
    _distinct("spec.versions", names)
    if spec.serve not in names:
        raise InvalidSpec("spec.serve", f"no version is named {spec.serve}; spec.versions has {', '.join(names)}")
    _template("spec.template", spec.template)
    for i, version in enumerate(spec.versions):
        _version(f"spec.versions[{i}]", version)
    _engine(spec)
    _successors(spec.versions)
    _hostnames(spec)
    if spec.rollout:
        _rollout(spec.rollout)
    _status(spec, obj.status)


def _distinct(path: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for i, name in enumerate(names):
        if name in seen:
            raise InvalidSpec(f"{path}[{i}].name", f"{name} is there twice: every name may be used once")
        seen.add(name)


def _version(path: str, version: Version) -> None:
    _model(f"{path}.model", version.model)
    if version.lifecycle:
        _lifecycle(f"{path}.lifecycle", version.lifecycle)
    _template(f"{path}.template", version.template)


def _model(path: str, model: Model) -> None:
    if model.uri.startswith("hf://") and not re.match(say.COMMIT, model.revision or ""):
        raise InvalidSpec(f"{path}.revision", say.SAY_HF_REVISION)


def _lifecycle(path: str, life: Lifecycle) -> None:
    if life.deprecated_at and life.retires_at and parse_time(life.retires_at) <= parse_time(life.deprecated_at):
        raise InvalidSpec(
            f"{path}.retiresAt", f"retiresAt ({life.retires_at}) must be after deprecatedAt ({life.deprecated_at})"
        )
    if life.on_retirement == "Redirect" and not life.successor:
        raise InvalidSpec(f"{path}.onRetirement", say.SAY_REDIRECT)


def _template(path: str, template: Template | None) -> None:
    if template is None or template.env is None:
        return
    _distinct(f"{path}.env", [item.name for item in template.env])
    for i, item in enumerate(template.env):
        _env(f"{path}.env[{i}]", item)


def _env(path: str, item: EnvVar) -> None:
    if (item.value is None) == (item.value_from is None):
        raise InvalidSpec(path, say.SAY_ONE_ENV_VALUE)
    source = item.value_from
    if source and (source.secret_key_ref is None) == (source.config_map_key_ref is None):
        raise InvalidSpec(f"{path}.valueFrom", say.SAY_ONE_ENV_SOURCE)


def _engine(spec: LLMDeploymentSpec) -> None:
    for field, sentence in (("name", say.SAY_ENGINE_NAME), ("image", say.SAY_ENGINE_IMAGE)):
        if _engine_field(spec.template, field):
            continue
        missing = [version.name for version in spec.versions if not _engine_field(version.template, field)]
        if missing:
            raise InvalidSpec("spec.template", f"{sentence}; missing for {', '.join(missing)}")


def _engine_field(template: Template | None, field: str) -> bool:
    return bool(template and template.engine and getattr(template.engine, field))


def _successors(versions: tuple[Version, ...]) -> None:
    leads = {v.name: v.lifecycle.successor for v in versions if v.lifecycle and v.lifecycle.successor}
    names = {version.name for version in versions}
    wrong = [f"{name} -> {to}" for name, to in leads.items() if to == name or to not in names]
    if wrong:
        raise InvalidSpec("spec.versions", f"lifecycle.successor must name another version: {', '.join(wrong)}")
    for start in leads:
        seen = [start]
        while (here := leads.get(seen[-1])) is not None:
            if here in seen:
                raise InvalidSpec("spec.versions", f"successors form a circle: {', '.join(seen[seen.index(here) :])}")
            seen.append(here)


def _hostnames(spec: LLMDeploymentSpec) -> None:
    for i, hostname in enumerate(spec.traffic.gateway.hostnames or ()):
        if re.match("^[0-9]{1,3}([.][0-9]{1,3}){3}$", hostname):
            raise InvalidSpec(f"spec.traffic.gateway.hostnames[{i}]", say.SAY_NOT_AN_ADDRESS)


def _rollout(rollout: Rollout) -> None:
    if rollout.steps is not None:
        weights = [step.weight for step in rollout.steps]
        if any(later <= earlier for earlier, later in pairwise(weights)):
            raise InvalidSpec("spec.rollout.steps", f"weights must rise from step to step: {weights}")
        if weights and weights[-1] != 100:
            raise InvalidSpec("spec.rollout.steps", say.SAY_LAST_WEIGHT)
        for i, step in enumerate(rollout.steps):
            _step(f"spec.rollout.steps[{i}]", step)
    _distinct("spec.rollout.guardrails", [guardrail.name for guardrail in rollout.guardrails or ()])
    for i, guardrail in enumerate(rollout.guardrails or ()):
        _guardrail(f"spec.rollout.guardrails[{i}]", guardrail)


def _step(path: str, step: Step) -> None:
    least = [step.min_duration, step.pause.until if step.pause and step.pause.until != "Approved" else None]
    longest = step.max_duration
    if longest and any(text and parse_duration(longest) <= parse_duration(text) for text in least):
        raise InvalidSpec(f"{path}.maxDuration", say.SAY_STEP_TIMES)


def _guardrail(path: str, guardrail: Guardrail) -> None:
    if (guardrail.metric == "ErrorRate") != (guardrail.slower_than is None):
        raise InvalidSpec(f"{path}.slowerThan", say.SAY_SLOWER_THAN)
    shown = guardrail.compared_to_stable and guardrail.compared_to_stable.require
    if guardrail.limit is None and not shown:
        raise InvalidSpec(f"{path}.limit", say.SAY_BOUND)


def _status(spec: LLMDeploymentSpec, status: LLMDeploymentStatus) -> None:
    models = {version.name: version.model for version in spec.versions}
    for record in status.versions or ():
        model = models.get(record.name)
        if model and record.uri and (model.uri, model.revision) != (record.uri, record.model_revision):
            raise InvalidSpec("spec.versions", f"{record.name} was used for another model before; use a new name")
    if status.stable and status.stable.version not in models:
        raise InvalidSpec(
            "spec.versions",
            f"{status.stable.version} carries the traffic and cannot be removed; "
            "move spec.serve to another version and wait until it does",
        )
