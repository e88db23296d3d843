"""What is made: N LLMDeployments of two pods, and for the bare client the same children as text with two gaps. Pure."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from benchmarks.peer import manifests

from solera.api.llmdeployment import parse
from solera.plan.children import apply_if_different, desired_children, revision_data
from solera.plan.intent import read_intent
from solera.plan.types import ObservedRevision, Owner
from solera.render.pods import controller_revision
from solera.render.route import http_route
from solera.render.service import SERVICE_PORT

Object = dict[str, Any]

REPLICAS = 2
CHILDREN = ("controllerrevisions", "deployments", "services", "httproutes")
NAME, UID = "m-name", "00000000-0000-0000-0000-000000000000"  # the gaps, as long as what fills them


def names(count: int) -> list[str]:
    """`m-0000`, `m-0001`, …: all equally long, so that a child's name begins with its owner's and with no other's."""
    return [f"m-{number:04d}" for number in range(count)]


def owner_of(child: str) -> str:
    """The name of the LLMDeployment that a child's name begins with."""
    return child[: len(NAME)]


def llmdeployment(name: str, space: str) -> Object:
    """Serves v1 with two pods; v2 is declared, and would be let in by the six steps of the comparison with a peer."""
    obj = manifests.solera(name, space, "v1")
    obj["spec"]["template"]["replicas"] = REPLICAS
    return obj


def children(space: str) -> list[str]:
    """The bodies of the four applies that Solera makes for one object, in its order, with NAME and UID in them."""
    return [json.dumps(child) for child in _children(space)]


def _children(space: str) -> list[Object]:
    owner = Owner(NAME, space, UID, 1, datetime(2026, 1, 1, tzinfo=UTC))
    obj = llmdeployment(NAME, space)
    obj["metadata"] |= {"uid": UID, "generation": 1}
    intent = read_intent(parse(obj))
    version = intent.versions["v1"]
    ref = version.ref
    data = revision_data(intent, version, owner)
    kept = controller_revision(owner, ref.revision, ref.version, ref.hash, data, owner.generation)
    seen = ObservedRevision(ref.revision, ref.version, ref.hash, controller_revision=kept)
    rest = [a.manifest for a in desired_children(owner, intent, version, ref, seen, "bench")]
    backends = [(ref.revision, ref.version, 100, SERVICE_PORT)]
    [route] = apply_if_different(http_route(owner, intent.gateway, backends, {}), None, "bench")
    return [kept, *rest, route.manifest]


def status(space: str) -> str:
    """The body of the one status write: what Solera says in the end of an object at rest, without the version to be let in."""
    ref = {"version": "v1", "revision": f"{NAME}-v1-00000000", "hash": "00000000"}
    since = "2026-01-01T00:00:00Z"
    conditions = [
        {
            "type": kind,
            "status": value,
            "reason": "Serving",
            "message": "v1 serves",
            "lastTransitionTime": since,
            "observedGeneration": 1,
        }
        for kind, value in (("Ready", "True"), ("Reconciling", "False"), ("RolloutComplete", "True"))
    ]
    return json.dumps(
        {
            "apiVersion": "solera.dev/v1alpha1",
            "kind": "LLMDeployment",
            "metadata": {"name": NAME, "namespace": space},
            "status": {
                "observedGeneration": 1,
                "state": "Idle",
                "modelName": NAME,
                "effectiveVersion": "v1",
                "stable": ref,
                "weights": [{"version": "v1", "revision": ref["revision"], "weight": 100}],
                "conditions": conditions,
            },
        }
    )
