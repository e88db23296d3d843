"""The HTTPRoute of one LLMDeployment, owned as a whole: ``rules`` is an atomic list, so one weight in it cannot be shared.

Gateway API v1. Every default is written out, so that what was applied is what is read back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from solera.api.traffic import GatewayTraffic
from solera.kinds import HTTP_ROUTE
from solera.render.owner import Manifest, Owner, labels, metadata

Backend = tuple[str, str, int, int]
"""(revision name, version, weight in percent, port of the Service)."""


def http_route(
    owner: Owner,
    gateway: GatewayTraffic,
    backends: Sequence[Backend],
    annotations: Mapping[str, str],
    headers: Mapping[str, Mapping[str, str]] | None = None,
) -> Manifest:
    """One rule with the backends that get requests, heaviest first named as given.

    Args:
        owner: the LLMDeployment; the route has its name.
        gateway: parents and host names from the spec.
        backends: a backend at weight 0 is left out, because some gateways leak requests to it. With none at all the rule refuses
            every request.
        annotations: written on the route in the same apply as the weights.
        headers: more response headers by version, for example `Deprecation`.
    """
    meta = metadata(owner, owner.name, labels(owner))
    if annotations:
        meta["annotations"] = dict(annotations)
    rule: Manifest = {"matches": [{"path": {"type": "PathPrefix", "value": "/"}}]}
    routed = [_backend(backend, (headers or {}).get(backend[1], {})) for backend in backends if backend[2] > 0]
    if routed:
        rule["backendRefs"] = routed
    spec: Manifest = {"parentRefs": [_parent(ref.dump()) for ref in gateway.parent_refs], "rules": [rule]}
    if gateway.hostnames:
        spec["hostnames"] = list(gateway.hostnames)
    return {"apiVersion": HTTP_ROUTE.api_version, "kind": HTTP_ROUTE.kind, "metadata": meta, "spec": spec}


def _parent(reference: Manifest) -> Manifest:
    return {"group": "gateway.networking.k8s.io", "kind": "Gateway", **reference}


def _backend(backend: Backend, headers: Mapping[str, str]) -> Manifest:
    revision, version, weight, port = backend
    identity = {"x-solera-revision": revision.rpartition("-")[2], "x-solera-version": version}
    return {
        "group": "",
        "kind": "Service",
        "name": revision,
        "port": port,
        "weight": weight,
        "filters": [
            {
                "type": "ResponseHeaderModifier",
                "responseHeaderModifier": {
                    "set": [{"name": name, "value": value} for name, value in {**identity, **headers}.items()]
                },
            }
        ],
    }
