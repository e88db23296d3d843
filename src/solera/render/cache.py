"""The volume that keeps the downloaded weights of one version between pods."""

from __future__ import annotations

from solera.api.defaults import ResolvedVersion
from solera.render.engines import source
from solera.render.owner import Manifest, Owner, labels, metadata


def claim_name(llmdeployment: str, version: str) -> str:
    """At most 33 + 1 + 20 + 6 characters."""
    return f"{llmdeployment}-{version}-cache"


def claim(owner: Owner, version: str, resolved: ResolvedVersion) -> Manifest | None:
    """The PersistentVolumeClaim of a version's cache; None when nothing is downloaded or no claim is declared.

    All revisions of the version share it, so it carries no revision label. Access by many nodes is asked for as soon as there is more than
    one replica; with one replica any storage class will do.
    """
    wanted = resolved.cache and resolved.cache.persistent_volume_claim
    if not wanted or not source(resolved).remote:
        return None
    spec: Manifest = {
        "accessModes": ["ReadWriteMany" if resolved.replicas > 1 else "ReadWriteOnce"],
        "resources": {"requests": {"storage": str(wanted.size)}},
    }
    if wanted.storage_class_name is not None:
        spec["storageClassName"] = wanted.storage_class_name
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": metadata(owner, claim_name(owner.name, version), labels(owner, version=version)),
        "spec": spec,
    }
