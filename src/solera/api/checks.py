"""The CEL rules of the CRD once more in Python, for objects that did not pass through them (a file, an older CRD, a ratcheted field).

They read the object as it stands in YAML, so that one field of the wrong form hides no other mistake; a rule says nothing about a
value that it cannot read, since the schema speaks of that one. `rules.py` holds the CEL side and the shared sentences. A test runs
both sides on the same objects.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from solera.api import rules as say
from solera.api.errors import InvalidSpec, InvalidValue
from solera.api.node import Node
from solera.api.scalars import parse_duration, parse_time
from solera.api.traffic import Action, Metric, Strategy

Findings = Iterator[InvalidSpec]


def broken_rules(obj: Mapping[str, Any]) -> Findings:
    """Every rule between fields that the object breaks, in the order in which a person would read the YAML."""
    spec = Node("", obj).at("spec")
    versions = list(spec.at("versions").items())
    names = [version.at("name").text for version in versions]
    yield from _distinct(spec.at("versions"))
    yield from _serve(spec.at("serve"), names)
    yield from _template(spec.at("template"))
    for version in versions:
        yield from _version(version)
    yield from _engine(spec, versions)
    yield from _successors(spec.at("versions"), names)
    for hostname in spec.at("traffic", "gateway", "hostnames").items():
        if re.match("^[0-9]{1,3}([.][0-9]{1,3}){3}$", hostname.text or ""):
            yield InvalidSpec(hostname.path, say.SAY_NOT_AN_ADDRESS)
    yield from _rollout(spec.at("rollout"))
    yield from _status(spec.at("versions"), Node("", obj).at("status"))


def _distinct(items: Node) -> Findings:
    seen: set[str] = set()
    for item in items.items():
        name = item.at("name").text
        if name is not None and name in seen:
            yield InvalidSpec(f"{item.path}.name", f"{name} is there twice: every name may be used once")
        seen.add(name or "")


def _serve(serve: Node, names: list[str | None]) -> Findings:
    # Of a version whose name cannot be read, nobody can say whether it is the one that is meant.
    if serve.text and names and None not in names and serve.text not in names:
        known = ", ".join(str(name) for name in names)
        yield InvalidSpec(serve.path, f"no version is named {serve.text}; spec.versions has {known}")


def _version(version: Node) -> Findings:
    model = version.at("model")
    revision = model.at("revision")
    hugging = (model.at("uri").text or "").startswith("hf://")
    if hugging and (revision.text or not revision.there) and not re.match(say.COMMIT, revision.text or ""):
        yield InvalidSpec(revision.path, say.SAY_HF_REVISION)
    yield from _lifecycle(version.at("lifecycle"))
    yield from _template(version.at("template"))


def _lifecycle(life: Node) -> Findings:
    deprecated, retires = life.at("deprecatedAt"), life.at("retiresAt")
    first, last = _time(deprecated), _time(retires)
    if first and last and last <= first:
        yield InvalidSpec(retires.path, f"retiresAt ({retires.text}) must be after deprecatedAt ({deprecated.text})")
    if life.at("onRetirement").text == "Redirect" and not life.at("successor").there:
        yield InvalidSpec(life.at("onRetirement").path, say.SAY_REDIRECT)


def _template(template: Node) -> Findings:
    yield from _distinct(template.at("env"))
    for item in template.at("env").items():
        if not isinstance(item.value, Mapping):
            continue
        if item.at("value").there == item.at("valueFrom").there:
            yield InvalidSpec(item.path, say.SAY_ONE_ENV_VALUE)
        if item.at("value").text and re.search(say.CONFIDENTIAL, item.at("name").text or ""):
            yield InvalidSpec(item.at("value").path, say.SAY_CONFIDENTIAL)
        source = item.at("valueFrom")
        if isinstance(source.value, Mapping) and source.at("secretKeyRef").there == source.at("configMapKeyRef").there:
            yield InvalidSpec(source.path, say.SAY_ONE_ENV_SOURCE)


def _engine(spec: Node, versions: list[Node]) -> Findings:
    for field, sentence in (("name", say.SAY_ENGINE_NAME), ("image", say.SAY_ENGINE_IMAGE)):
        if spec.at("template", "engine", field).there:
            continue
        missing = [v.at("name").text or v.path for v in versions if not v.at("template", "engine", field).there]
        if missing:
            yield InvalidSpec("spec.template", f"{sentence}; missing for {', '.join(missing)}")


def _successors(versions: Node, names: list[str | None]) -> Findings:
    leads = {
        name: successor
        for version in versions.items()
        if (name := version.at("name").text) and (successor := version.at("lifecycle", "successor").text)
    }
    wrong = [f"{n} -> {to}" for n, to in leads.items() if to == n or (to not in names and None not in names)]
    if wrong:
        yield InvalidSpec(versions.path, f"lifecycle.successor must name another version: {', '.join(wrong)}")
    members = {name for start in leads for name in _circle(leads, start)}
    circle = [name for name in leads if name in members and leads[name] != name]
    if circle:
        yield InvalidSpec(versions.path, f"successors form a circle: {', '.join(circle)}")


def _circle(leads: Mapping[str, str], start: str) -> list[str]:
    """The members of the circle into which the way from `start` leads; empty when it ends."""
    seen = [start]
    while (here := leads.get(seen[-1])) is not None:
        if here in seen:
            return seen[seen.index(here) :]
        seen.append(here)
    return []


def _rollout(rollout: Node) -> Findings:
    steps = list(rollout.at("steps").items())
    weights = [step.at("weight").number for step in steps]
    known = [weight for weight in weights if weight is not None]
    if len(known) == len(weights) and any(later <= earlier for earlier, later in pairwise(known)):
        yield InvalidSpec(rollout.at("steps").path, f"weights must rise from step to step: {known}")
    if weights and weights[-1] not in {100, None}:
        yield InvalidSpec(rollout.at("steps").path, say.SAY_LAST_WEIGHT)
    for step in steps:
        longest = _duration(step.at("maxDuration"))
        least = [_duration(step.at("minDuration")), _duration(step.at("pause", "until"))]
        if longest is not None and any(one is not None and longest <= one for one in least):
            yield InvalidSpec(step.at("maxDuration").path, say.SAY_STEP_TIMES)
    yield from _distinct(rollout.at("guardrails"))
    for guardrail in rollout.at("guardrails").items():
        yield from _guardrail(guardrail)
    yield from _strategy(rollout)


def _strategy(rollout: Node) -> Findings:
    strategy, budget = rollout.at("strategy"), rollout.at("risk", "maxHarmedRequests")
    adaptive = strategy.text == Strategy.ADAPTIVE
    if adaptive and not budget.there:
        yield InvalidSpec(budget.path, say.SAY_BUDGET)
    if budget.there and (not strategy.there or strategy.text == Strategy.STEPS):
        yield InvalidSpec(budget.path, say.SAY_NO_BUDGET)
    counted = [g for g in rollout.at("guardrails").items() if g.at("limit").there]
    if adaptive and not any(g.at("action").text in {None, Action.ROLL_BACK} for g in counted):
        yield InvalidSpec(rollout.at("guardrails").path, say.SAY_BUDGET_OF_WHAT)


def _guardrail(guardrail: Node) -> Findings:
    metric = guardrail.at("metric").text
    if metric in set(Metric):
        slower = guardrail.at("slowerThan")
        if (metric == "ErrorRate") == slower.there:
            yield InvalidSpec(slower.path, say.SAY_SLOWER_THAN)
    shown = guardrail.at("comparedToStable", "require").there
    if isinstance(guardrail.value, Mapping) and not guardrail.at("limit").there and not shown:
        yield InvalidSpec(guardrail.at("limit").path, say.SAY_BOUND)


def _status(versions: Node, status: Node) -> Findings:
    models = {name: v.at("model") for v in versions.items() if (name := v.at("name").text)}
    for record in status.at("versions").items():
        name, uri = record.at("name").text or "", record.at("uri").text
        model = models.get(name)
        if model is None or not uri:
            continue
        if (model.at("uri").value, model.at("revision").value) != (uri, record.at("modelRevision").value):
            yield InvalidSpec(versions.path, f"{name} was used for another model before; use a new name")
    stable = status.at("stable", "version").text
    if stable and stable not in models:
        yield InvalidSpec(
            versions.path,
            f"{stable} carries the traffic and cannot be removed; move spec.serve to another version and wait until it does",
        )
    warm = status.at("previous", "version").text
    if warm and warm not in models:
        yield InvalidSpec(
            versions.path,
            f"{warm} is kept warm, to go back to, and cannot be removed yet; wait until status.previous is gone",
        )


def _time(node: Node) -> datetime | None:
    try:
        return parse_time(node.text) if node.text else None
    except InvalidValue:
        return None


def _duration(node: Node) -> timedelta | None:
    try:
        return parse_duration(node.text) if node.text else None
    except InvalidValue:
        return None
