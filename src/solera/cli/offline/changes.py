"""What an edited manifest changes: a new revision, which is a rollout, or only how the one that runs is run. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from solera.api.fields import Role, role
from solera.cli.offline.concerns import Manifest
from solera.plan.intent import VersionIntent
from solera.render.operation import overlay
from solera.render.pods import pod_template

REFUSED, ROLLOUT, RESTART, IN_PLACE, PLAN = "Refused", "NewRevision", "Restart", "InPlace", "Plan"
"""What a change means: the apiserver refuses it; a new revision; pods start anew one by one; nothing restarts; how and when things go on."""


@dataclass(frozen=True, slots=True)
class Change:
    """One changed field. `path` is as in YAML, with the version's name in brackets; `effect` is one of the words above."""

    path: str
    effect: str
    message: str


def changes(before: Manifest, after: Manifest) -> list[Change]:
    """What is different, in the order of the manifest; equal values in another form are none."""
    found = list(_spec(before, after))
    for name, version in after.intent.versions.items():
        old = before.intent.versions.get(name)
        found += (
            [Change(_at(name), PLAN, f"{name} is new")] if old is None else _version(before, after, name, old, version)
        )
    for name in before.intent.versions:
        if name not in after.intent.versions:
            found.append(_removed(before, name))
    return found


def _at(name: str, path: str = "") -> str:
    return f"spec.versions[{name}]{path}"


def _spec(before: Manifest, after: Manifest) -> Iterator[Change]:
    old, new = before.obj.spec, after.obj.spec
    if old.serve != new.serve:
        yield Change("spec.serve", PLAN, f"{old.serve} → {new.serve}")
    if before.intent.model_name != after.intent.model_name:
        words = f"{before.intent.model_name} → {after.intent.model_name}: every version becomes a new revision"
        yield Change("spec.modelName", ROLLOUT, words)
    plain = (
        ("spec.owner", old.owner, new.owner, "only shown"),
        ("spec.traffic", old.traffic, new.traffic, "the route is written anew at once"),
        ("spec.rollout", old.rollout, new.rollout, "holds for a rollout in progress, too: from the next look on"),
    )
    for path, was, is_, words in plain:
        for field in sorted(_differences(_dump(was), _dump(is_))):
            yield Change(f"{path}.{field}" if field else path, PLAN, words)


def _removed(before: Manifest, name: str) -> Change:
    if name == before.running:
        words = (
            f"{name} carries the traffic and cannot be removed; move spec.serve first, and wait until another one does"
        )
        return Change(_at(name), REFUSED, words)
    return Change(_at(name), PLAN, f"{name} is gone; what is left of it is drained and removed")


def _version(before: Manifest, after: Manifest, name: str, old: VersionIntent, new: VersionIntent) -> Iterator[Change]:
    restarts = _restarts(before, old, new)
    was, is_ = _declared(old), _declared(new)
    for field in sorted(_differences(was, is_)):
        path = _at(name, f".{field}")
        if field.startswith("model."):
            words = "a published model never changes: add a new version, and name it in spec.serve"
            yield Change(path, REFUSED, words)
        elif name != before.running:
            yield Change(path, PLAN, f"{name} does not carry the traffic: counts when it is let in")
        elif role(field) is Role.IDENTITY:
            yield Change(path, ROLLOUT, f"can change an answer: a new revision of {name}")
        elif restarts and field != "template.replicas":
            surge = "one more pod first" if new.resolved.headroom == "Surge" else "one pod fewer meanwhile"
            yield Change(path, RESTART, f"cannot change an answer: pods of {name} start anew one by one, {surge}")
        else:
            yield Change(path, IN_PLACE, "cannot change an answer: no pod starts anew")
    for field in sorted(_differences(_dump(_life(before, name)), _dump(_life(after, name)))):
        yield Change(_at(name, f".lifecycle.{field}"), PLAN, "dates are obeyed from the next look on")


def _life(m: Manifest, name: str) -> Any:
    return next(v.lifecycle for v in m.obj.spec.versions if v.name == name)


def _declared(version: VersionIntent) -> dict[str, Any]:
    return {"model": version.resolved.model.dump(), "template": version.resolved.declared.dump()}


def _dump(model: Any) -> dict[str, Any]:
    return {} if model is None else dict(model.dump())


def _restarts(before: Manifest, old: VersionIntent, new: VersionIntent) -> bool:
    """Would pods of the same revision be written otherwise? The template of a revision stays as it was; only the overlay is new."""
    if old.ref.hash != new.ref.hash:
        return False  # a new revision has pods of its own
    name, model = before.obj.metadata.name, before.intent.model_name
    template = pod_template(old.resolved, llmdeployment=name, model_name=model)
    return overlay(template, old.resolved) != overlay(template, new.resolved)


def _differences(was: Any, is_: Any, path: str = "") -> set[str]:
    """Paths of the values that differ. Lists are one value; empty equals absent."""
    if isinstance(was, Mapping) and isinstance(is_, Mapping):
        found: set[str] = set()
        for key in {*was, *is_}:
            found |= _differences(was.get(key), is_.get(key), f"{path}.{key}" if path else str(key))
        return found
    if isinstance(was, Mapping) or isinstance(is_, Mapping):
        return _differences(was or {}, is_ or {}, path)
    return set() if was == is_ or (was in _EMPTY and is_ in _EMPTY) else {path}


_EMPTY: tuple[Any, ...] = (None, "", [], ())
