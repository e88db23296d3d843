"""What the run must know of each side: its objects, its words for ready and done, and the weight of the new version on a route. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.peer import manifests, traffic

Object = dict[str, Any]
Change = tuple[str, str, Object, bool]  # kind, name, patch, whether it is a strategic one


@dataclass(frozen=True, slots=True)
class Contender:
    """One controller. ``resource`` is the kind that says how far it is; ``user`` is who it is in the audit log."""

    name: str
    user: str
    space: str
    resource: str
    objects: Callable[[str], list[Object]]
    change: Callable[[str], Change]
    ready: Callable[[Object], bool]
    promoted: Callable[[Object], bool]
    failed: Callable[[Object], str | None]
    weight: Callable[[Object], int]


def _condition(obj: Object, kind: str) -> str:
    """Its status, "" when it is absent or of an older generation."""
    for condition in obj.get("status", {}).get("conditions", []):
        if condition["type"] == kind:
            current = (
                condition.get("observedGeneration", obj["metadata"]["generation"]) == obj["metadata"]["generation"]
            )
            return str(condition["status"]) if current else ""
    return ""


def _stable(obj: Object, version: str) -> bool:
    return (obj.get("status", {}).get("stable") or {}).get("version") == version


def _weight(route: Object, new: Callable[[str], bool]) -> int:
    parts = [(service[1], weight) for service, weight in traffic.backends(route)]
    whole = sum(weight for _, weight in parts)
    return round(100 * sum(weight for name, weight in parts if new(name)) / whole) if whole else 0


def solera(space: str) -> Contender:
    """Ready: the first version is stable, and the resource says Ready. Promoted: the second one is, and the rollout complete."""

    def failed(obj: Object) -> str | None:
        rejected = obj.get("status", {}).get("rejected")
        return f"rejected: {rejected[0]}" if rejected else None

    return Contender(
        name="Solera",
        user="solera",
        space=space,
        resource="LLMDeployment",
        objects=lambda name: [manifests.solera(name, space, "v1")],
        change=lambda name: ("LLMDeployment", name, manifests.solera_change(), False),
        ready=lambda obj: _stable(obj, "v1") and _condition(obj, "Ready") == "True",
        promoted=lambda obj: _stable(obj, "v2") and _condition(obj, "RolloutComplete") == "True",
        failed=failed,
        weight=lambda route: _weight(route, lambda name: "-v2-" in name),
    )


def flagger(space: str) -> Contender:
    """Ready: Initialized. Promoted: Succeeded, which it says when the primary has the new version and all traffic."""

    def phase(obj: Object) -> str:
        return str(obj.get("status", {}).get("phase", ""))

    return Contender(
        name="Flagger",
        user="flagger",
        space=space,
        resource="Canary",
        objects=lambda name: [manifests.deployment(name, space, "v1"), manifests.canary(name, space)],
        change=lambda name: ("Deployment", name, manifests.deployment_change(), True),
        ready=lambda obj: phase(obj) == "Initialized",
        promoted=lambda obj: phase(obj) == "Succeeded",
        failed=lambda obj: "phase Failed" if phase(obj) == "Failed" else None,
        weight=lambda route: _weight(route, lambda name: name.endswith("-canary")),
    )
