"""Small Kubernetes objects for tests."""

from __future__ import annotations

from typing import Any

Manifest = dict[str, Any]

NAMESPACE = "ml"
NAME = "chat"
KEY = (NAMESPACE, NAME)
UID = "uid-owner"
CREATED = "2026-01-01T00:00:00Z"


def llmdeployment(
    name: str = NAME,
    *,
    uid: str = UID,
    version: str = "1",
    namespace: str = NAMESPACE,
    created: str = CREATED,
    **extra: Any,
) -> Manifest:
    """A raw LLMDeployment; ``extra`` goes in at the top (spec, status)."""
    metadata = {
        "name": name,
        "namespace": namespace,
        "uid": uid,
        "resourceVersion": version,
        "generation": 1,
        "creationTimestamp": created,
    }
    return {"apiVersion": "solera.dev/v1alpha1", "kind": "LLMDeployment", "metadata": metadata, "spec": {}, **extra}


def child(
    kind: str,
    name: str,
    *,
    api_version: str = "apps/v1",
    of: str | None = NAME,
    owner: str | None = UID,
    uid: str | None = None,
    version: str = "1",
    labels: dict[str, str] | None = None,
    **extra: Any,
) -> Manifest:
    """A child of the LLMDeployment ``of`` with the controller ``owner``; None leaves label or reference out."""
    metadata: Manifest = {
        "name": name,
        "namespace": NAMESPACE,
        "uid": uid or f"uid-{kind}-{name}",
        "resourceVersion": version,
        "labels": {**({"solera.dev/llmdeployment": of} if of else {}), **(labels or {})},
    }
    if owner is not None:
        metadata["ownerReferences"] = [
            {
                "apiVersion": "solera.dev/v1alpha1",
                "kind": "LLMDeployment",
                "name": of or NAME,
                "uid": owner,
                "controller": True,
                "blockOwnerDeletion": False,
            }
        ]
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **extra}


def revision_labels(version: str, digest: str) -> dict[str, str]:
    """The labels of one revision's children."""
    return {"solera.dev/version": version, "solera.dev/revision": digest}


def route(
    weights: dict[str, int], *, version: str = "1", annotations: dict[str, str] | None = None, **extra: Any
) -> Manifest:
    """The HTTPRoute with one rule and these backends."""
    backends = [{"name": n, "port": 8000, "weight": w} for n, w in weights.items()]
    api = "gateway.networking.k8s.io/v1"
    out = child(
        "HTTPRoute", NAME, api_version=api, version=version, spec={"rules": [{"backendRefs": backends}]}, **extra
    )
    if annotations:
        out["metadata"]["annotations"] = annotations
    return out
