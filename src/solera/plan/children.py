"""Which child objects one LLMDeployment should have, and what must be written so that it has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from solera.api.errors import FieldError
from solera.plan.difference import difference, stamped
from solera.plan.intent import Intent, VersionIntent
from solera.plan.memory import RevisionRef
from solera.plan.revision import ALGORITHM
from solera.plan.types import Apply, Delete, Manifest, Observation, ObservedRevision, Owner
from solera.render.cache import claim
from solera.render.pods import controller_revision, deployment, overlay, pod_template
from solera.render.service import service


def apply_if_different(desired: Manifest, live: Manifest | None, why: str) -> Iterator[Apply]:
    """At most one write: none when the live object holds all that is wanted."""
    wanted = stamped(desired)
    if live is None:
        yield Apply(wanted, f"create {desired['kind']} {desired['metadata']['name']}: {why}")
    elif (path := difference(wanted, live)) is not None:
        yield Apply(wanted, f"update {desired['kind']} {desired['metadata']['name']}: {path} differs")


def revision_data(intent: Intent, version: VersionIntent, owner: Owner) -> dict[str, Any]:
    """What a ControllerRevision keeps for ever: the identity, and the pod template as it is rendered today."""
    return {
        "algorithm": ALGORITHM,
        "hash": version.ref.hash,
        "version": version.ref.version,
        "identity": dict(version.identity),
        "podTemplate": pod_template(version.resolved, llmdeployment=owner.name, model_name=intent.model_name),
    }


def cannot_be_rendered(observation: Observation, intent: Intent, version: VersionIntent) -> tuple[str, str] | None:
    """Why no pods of a new revision can be written down, as (reason, message); None when they can.

    Asked before a candidate is accepted. A revision that exists runs from what it holds and is never asked again.
    """
    seen = observation.revisions.get(version.ref.revision)
    if seen is not None and seen.controller_revision is not None:
        return None
    try:
        revision_data(intent, version, observation.owner)
    except FieldError as error:
        place = _place(observation.custom_resource["spec"].get("versions") or (), version.ref.version, error.path)
        return "InvalidSpec", f"{place}.{error.path}: {error.message}"
    return None


def _place(versions: Sequence[Mapping[str, Any]], name: str, path: str) -> str:
    """Where a field that was merged from template and version was written: `spec`, or the version's own place."""
    for index, entry in enumerate(versions):
        found: Any = entry if entry.get("name") == name else None
        for key in path.split("."):
            found = found.get(key.partition("[")[0]) if isinstance(found, Mapping) else None
        if found is not None:
            return f"spec.versions[{index}]"
    return "spec"


def desired_children(
    owner: Owner, intent: Intent, version: VersionIntent, ref: RevisionRef, seen: ObservedRevision | None, why: str
) -> Iterator[Apply]:
    """Writes that bring one revision's children into being or back into shape.

    The ControllerRevision comes first and alone: what runs is always rendered from what it holds, so that an upgrade of the
    operator that renders otherwise restarts nothing.
    """
    if seen is None or seen.controller_revision is None:
        if ref != version.ref:
            return  # somebody deleted it, and the manifest has moved on: what it held cannot be written again, what runs is left alone
        data = revision_data(intent, version, owner)
        yield Apply(
            controller_revision(owner, ref.revision, ref.version, ref.hash, data, owner.generation),
            f"create ControllerRevision {ref.revision}: {why}",
        )
        return
    template = overlay(seen.controller_revision["data"]["podTemplate"], version.resolved)
    cache = claim(owner, ref.version, version.resolved)
    if cache is not None:
        name = cache["metadata"]["name"]
        if name not in _mounted(seen.deployment) or _lacks(seen, name):
            yield Apply(cache, f"create PersistentVolumeClaim {name}: {why}")
    yield from apply_if_different(
        service(owner, ref.revision, ref.version, ref.hash, version.resolved), seen.service, why
    )
    workload = deployment(
        owner, ref.revision, ref.version, ref.hash, template, version.resolved, version.resolved.replicas
    )
    yield from apply_if_different(workload, seen.deployment, why)


def _mounted(workload: Manifest | None) -> set[str]:
    """Names of the claims that a live Deployment's pods mount: those are there, and are left as they are."""
    volumes = workload["spec"]["template"]["spec"].get("volumes") or [] if workload else []
    return {v["persistentVolumeClaim"]["claimName"] for v in volumes if "persistentVolumeClaim" in v}


def _lacks(seen: ObservedRevision, claim: str) -> bool:
    """Whether the scheduler says that a claim which the Deployment mounts is not there any more: nobody watches claims."""
    return any(f'persistentvolumeclaim "{claim}" not found' in (p.problem or "") for p in seen.pods)


def removals(seen: ObservedRevision, why: str) -> Iterator[Delete]:
    """Take a revision away: its Deployment first, the rest when no pod is left. Each is guarded against a stale view."""
    if seen.deployment is not None:
        if not seen.deployment["metadata"].get("deletionTimestamp"):
            yield _delete(seen.deployment, "Deployment", why, seen.name)
        return
    if seen.pods:
        return
    for kind, child in (("Service", seen.service), ("ControllerRevision", seen.controller_revision)):
        if child is not None and not child["metadata"].get("deletionTimestamp"):
            yield _delete(child, kind, why, seen.name)


def _delete(child: Manifest, kind: str, why: str, unrouted: str) -> Delete:
    meta = child["metadata"]
    return Delete(
        kind, meta["name"], meta["uid"], meta["resourceVersion"], f"delete {kind} {meta['name']}: {why}", unrouted
    )


def gone(seen: ObservedRevision | None) -> bool:
    """True when nothing of a revision is left on the cluster."""
    return seen is None or not (seen.controller_revision or seen.deployment or seen.service or seen.pods)
