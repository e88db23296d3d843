"""Which field can change an answer: the one table that decides what makes a new revision.

An identity field is part of a revision's hash: changing it starts a rollout. An operational field is laid over the pods of the
revision that runs. A field that is not listed is identity, so forgetting one can cost a rollout but never let a change in ungated.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from solera.api.defaults import ResolvedVersion


class Role(StrEnum):
    """What a change of a field means."""

    IDENTITY = "identity"
    OPERATIONAL = "operational"


_I, _O = Role.IDENTITY, Role.OPERATIONAL

ROLES: Mapping[str, Role] = {
    "model.uri": _I,
    "model.revision": _I,
    "model.quantization": _I,
    "template.engine.name": _I,
    "template.engine.version": _I,
    "template.engine.image": _I,
    "template.engine.command": _I,
    "template.engine.args": _I,
    # Another number or make of accelerators computes in another order, and answers differ.
    "template.resources.gpus": _I,
    "template.resources.gpuResource": _I,
    "template.resources.cpu": _O,
    "template.resources.memory": _O,
    "template.port": _I,  # stands in the pod, the Service and the route alike: only a new revision moves all three safely
    "template.env": _I,
    "template.replicas": _O,
    "template.cache.persistentVolumeClaim.size": _O,
    "template.cache.persistentVolumeClaim.storageClassName": _O,
    "template.startupTimeout": _O,
    "template.drainTimeout": _O,
    "template.nodeSelector": _O,
    "template.tolerations": _O,
    "template.priorityClassName": _O,
    "template.imagePullSecrets": _O,
    "template.imagePullPolicy": _O,
    "template.serviceAccountName": _O,
    "template.runAsUser": _O,
    "template.headroom": _O,
    "template.tokenSecretRef": _O,
}
"""Path below a version (with the template merged into it) -> role. Lists, maps and references are one value."""


def role(path: str) -> Role:
    """The role of a field: that of the path itself or of the nearest listed parent; identity when nothing is listed."""
    while path:
        if path in ROLES:
            return ROLES[path]
        path = path.rpartition(".")[0]
    return Role.IDENTITY


def identity(version: ResolvedVersion) -> dict[str, Any]:
    """What was declared of the identity fields, as nested dicts with YAML's keys; empty equals absent.

    Two versions with equal results give the same answers. Defaults are not in it, see defaults.py.
    """
    return _select(_declared(version), Role.IDENTITY)


def operational(version: ResolvedVersion) -> dict[str, Any]:
    """What was declared of the operational fields, in the form of `identity`."""
    return _select(_declared(version), Role.OPERATIONAL)


def _declared(version: ResolvedVersion) -> dict[str, Any]:
    return {"model": version.model.dump(), "template": version.declared.dump()}


def _select(value: Mapping[str, Any], wanted: Role, prefix: str = "") -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, inner in value.items():
        path = f"{prefix}{key}"
        below = isinstance(inner, dict) and any(listed.startswith(f"{path}.") for listed in ROLES)
        kept = _select(inner, wanted, f"{path}.") if below else inner if role(path) is wanted else None
        if kept not in (None, "", [], {}):
            out[key] = kept
    return out
