"""The pods of a revision: what it is (rendered once and kept for ever) and how it runs (laid over it from the spec of today).

The two halves never mix: `pod_template` reads identity fields only, `overlay` operational ones only. Whatever the overlay must know about
the identity it reads from the stored template, since the spec of today may already describe the next revision of the same version.
"""

from __future__ import annotations

from typing import Any

from solera.api.defaults import ResolvedVersion
from solera.api.errors import InvalidSpec
from solera.api.spec import EngineName, EnvVar, Headroom
from solera.kinds import CONTROLLER_REVISION, DEPLOYMENT, LABEL_LLMDEPLOYMENT, LABEL_REVISION
from solera.render.cache import claim_name
from solera.render.engines import CACHE_MOUNT, MODEL_MOUNT, invocation, openai_environment, source
from solera.render.operation import overlay, seconds
from solera.render.owner import Manifest, Owner, labels, metadata

CONTAINER = "engine"
PORT_NAME = "http"
CACHE_VOLUME = "cache"

# Their presence would make the engine refuse the operator's own checks, or move what Solera has placed.
_RESERVED_ENV = {
    "HF_HOME": "downloads are kept in template.cache",
    "VLLM_API_KEY": "requests are authenticated at the Gateway",
    "LLAMA_API_KEY": "requests are authenticated at the Gateway",
}


def pod_template(resolved: ResolvedVersion, *, llmdeployment: str, model_name: str) -> Manifest:  # noqa: ARG001
    """The identity part of a revision's pods: ``{metadata: {annotations}, spec}`` without labels and operational fields.

    Args:
        resolved: the version.
        llmdeployment: name of the LLMDeployment; nothing in a pod depends on it, labels carry it.
        model_name: the name under which the model is asked for.

    Raises:
        InvalidSpec: the engine cannot serve this, or a field of the user contradicts what Solera writes. The path is relative to the
            version with the template merged into it.
    """
    run = invocation(resolved, model_name)
    container: Manifest = {"name": CONTAINER, "image": resolved.image}
    if run.command:
        container["command"] = list(run.command)
    if run.args:
        container["args"] = list(run.args)
    container |= {
        "env": _environment(resolved, model_name),
        "ports": [{"name": PORT_NAME, "containerPort": resolved.port, "protocol": "TCP"}],
        "startupProbe": _probe(run.health, period=1, timeout=2, failures=1),  # the overlay writes how many
        "readinessProbe": _probe(run.health, period=1, timeout=2, failures=2),
        # Gentle: a restart loads the model again, and a server that is only busy would come back busier.
        "livenessProbe": _probe(run.health, period=10, timeout=5, failures=6),
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    if resolved.gpus:
        count = {resolved.gpu_resource: str(resolved.gpus)}
        container["resources"] = {"requests": dict(count), "limits": dict(count)}
    volumes, mounts = _storage(resolved, shared_memory=run.shared_memory)
    if mounts:
        container["volumeMounts"] = mounts
    spec: Manifest = {
        "containers": [container],
        # A Service named like the engine would set variables such as VLLM_PORT=tcp://..., which the engine reads.
        "enableServiceLinks": False,
        "automountServiceAccountToken": False,
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
    }
    if volumes:
        spec["volumes"] = volumes
    annotations = {"solera.dev/engine": str(resolved.engine), "solera.dev/model": resolved.model.uri}
    if resolved.engine_version:
        annotations["solera.dev/engine-version"] = resolved.engine_version
    return {"metadata": {"annotations": annotations}, "spec": spec}


def deployment(
    owner: Owner,
    revision: str,
    version: str,
    hash: str,  # noqa: A002 - the word of the design
    template: Manifest,
    resolved: ResolvedVersion,
    replicas: int,
) -> Manifest:
    """The Deployment of a revision. ``template`` is `overlay`'s result; it gets its labels and its cache here.

    Never percentages: with one replica 25 % and 25 % become surge 1, unavailable 0, and without a spare GPU nothing moves.
    """
    child_labels = labels(owner, version=version, hash=hash)
    spec = dict(template["spec"])
    if resolved.cache is not None and resolved.cache.persistent_volume_claim is not None and spec.get("volumes"):
        mounted = {"name": CACHE_VOLUME, "persistentVolumeClaim": {"claimName": claim_name(owner.name, version)}}
        spec["volumes"] = [mounted if volume["name"] == CACHE_VOLUME else volume for volume in spec["volumes"]]
    return {
        "apiVersion": DEPLOYMENT.api_version,
        "kind": DEPLOYMENT.kind,
        "metadata": metadata(owner, revision, child_labels),
        "spec": {
            "replicas": replicas,
            "minReadySeconds": 0,
            "revisionHistoryLimit": 1,
            "progressDeadlineSeconds": max(seconds(resolved.startup_timeout), 1),
            "strategy": _strategy(resolved.headroom, replicas),
            "selector": {"matchLabels": selector(owner, hash)},
            "template": {
                "metadata": {"labels": dict(child_labels), "annotations": dict(template["metadata"]["annotations"])},
                "spec": spec,
            },
        },
    }


def selector(owner: Owner, hash: str) -> dict[str, str]:  # noqa: A002 - the word of the design
    """The labels that tell one revision's pods from all others in the namespace."""
    return {LABEL_LLMDEPLOYMENT: owner.name, LABEL_REVISION: hash}


def controller_revision(
    owner: Owner,
    revision: str,
    version: str,
    hash: str,  # noqa: A002 - the word of the design
    data: dict[str, Any],
    number: int,
) -> Manifest:
    """The immutable content of a revision. ``number`` is for readers only: the apiserver lets it change."""
    return {
        "apiVersion": CONTROLLER_REVISION.api_version,
        "kind": CONTROLLER_REVISION.kind,
        "metadata": metadata(owner, revision, labels(owner, version=version, hash=hash)),
        "data": data,
        "revision": number,
    }


def _storage(resolved: ResolvedVersion, *, shared_memory: bool) -> tuple[list[Manifest], list[Manifest]]:
    """Volumes and their mounts. The cache is an empty one here; which volume stands behind it is operational."""
    model = source(resolved)
    volumes: list[Manifest] = []
    mounts: list[Manifest] = []
    if shared_memory:
        volumes.append({"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": _shared_memory(resolved.gpus)}})
        mounts.append({"name": "shm", "mountPath": "/dev/shm"})  # noqa: S108 - where NCCL and torch look for it
    if model.claim is not None:
        volumes.append({"name": "model", "persistentVolumeClaim": {"claimName": model.claim, "readOnly": True}})
        mounts.append({"name": "model", "mountPath": MODEL_MOUNT, "readOnly": True})
    if model.remote:
        volumes.append({"name": CACHE_VOLUME, "emptyDir": {}})
        mounts.append({"name": CACHE_VOLUME, "mountPath": CACHE_MOUNT})
    return volumes, mounts


def _environment(resolved: ResolvedVersion, model_name: str) -> list[Manifest]:
    for index, item in enumerate(resolved.env):
        what = _RESERVED_ENV.get(item.name)
        if what is None and item.name.startswith("SOLERA_"):
            what = "names that begin with SOLERA_ are written by the operator"
        if what is None and item.name == "HF_TOKEN" and resolved.token_secret_ref is not None:
            what = "template.tokenSecretRef writes it already"
        if what is not None:
            path = f"template.env[{index}].name"
            raise InvalidSpec(path, f"version {resolved.name}: {item.name} cannot be set here; {what}")
    # By the downward API, not by value: a revision's own hash cannot be part of what is hashed.
    label = {"fieldRef": {"apiVersion": "v1", "fieldPath": f"metadata.labels['{LABEL_REVISION}']"}}
    env: list[Manifest] = [{"name": "SOLERA_REVISION", "valueFrom": label}]
    if resolved.engine is EngineName.OPENAI:
        env += [{"name": k, "value": v} for k, v in openai_environment(resolved, model_name).items()]
    if source(resolved).remote:
        env.append({"name": "HF_HOME", "value": CACHE_MOUNT})
    return env + [_variable(item) for item in resolved.env]


def _variable(item: EnvVar) -> Manifest:
    if item.value_from is None:
        return {"name": item.name, "value": item.value or ""}
    return {"name": item.name, "valueFrom": item.value_from.dump()}


def _probe(path: str, *, period: int, timeout: int, failures: int) -> Manifest:
    return {
        "httpGet": {"path": path, "port": PORT_NAME, "scheme": "HTTP"},
        "periodSeconds": period,
        "timeoutSeconds": timeout,
        "failureThreshold": failures,
    }


def _shared_memory(gpus: int) -> str:
    """Enough for the collectives of so many accelerators. It is charged to the container's memory only as far as it is used."""
    return "2Gi" if gpus <= 1 else f"{max(8, 2 * gpus)}Gi"


def _strategy(headroom: Headroom, replicas: int) -> Manifest:
    if headroom is Headroom.NONE and replicas <= 1:
        return {"type": "Recreate"}  # waits until the old pod is really gone, and its accelerator with it
    surge, unavailable = (1, 0) if headroom is Headroom.SURGE else (0, 1)
    return {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}


__all__ = ["controller_revision", "deployment", "overlay", "pod_template", "selector"]
