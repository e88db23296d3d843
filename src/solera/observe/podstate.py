"""Reading pods and EndpointSlices: what runs, since when, and why not."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from solera.api.scalars import parse_time
from solera.plan.types import ObservedPod

Manifest = dict[str, Any]

ENGINE_CONTAINER = "engine"
SKEW = timedelta(seconds=2)
"""How far the clocks of two apiservers may differ, whole seconds included."""
_ADOPTED = frozenset({"FoundNewReplicaSet", "NewReplicaSetAvailable"})
"""What the deployment controller says of a ReplicaSet that it found, and of one whose pods were all there once: both stay while none is ready."""
_STARTING = frozenset({"ContainerCreating", "PodInitializing"})  # not a problem, only not there yet


def observed_pod(
    pod: Manifest, answered: Collection[str], mute: Mapping[str, str] | None = None, asked: Collection[str] = ()
) -> ObservedPod:
    """One pod as the planner sees it. ``answered`` are the uids of pods that gave a real completion, ``mute`` of healthy ones that gave none, ``asked`` of all that were asked."""
    meta, status = pod["metadata"], pod.get("status") or {}
    ready = _condition(status, "Ready")
    terminating = bool(meta.get("deletionTimestamp"))
    return ObservedPod(
        name=meta["name"],
        uid=meta["uid"],
        ip=status.get("podIP") or None,
        ready=ready.get("status") == "True",
        answered=meta["uid"] in answered,
        asked=meta["uid"] in asked,
        terminating=terminating,
        started=engine_started(status),
        problem=None if terminating else problem(status),
        ended=status.get("phase") in {"Failed", "Succeeded"},
        mute=(mute or {}).get(meta["uid"]),
    )


def engine_started(status: Manifest) -> datetime | None:
    """When the engine's container began to run; None while it does not."""
    for container in status.get("containerStatuses") or []:
        if container.get("name") == ENGINE_CONTAINER:
            running = (container.get("state") or {}).get("running") or {}
            return parse_time(running["startedAt"]) if running.get("startedAt") else None
    return None


def problem(status: Manifest) -> str | None:
    """Why a pod does not run, in the words of the kubelet or the scheduler; None when nothing is wrong (yet)."""
    if status.get("phase") == "Failed":
        return _sentence(status.get("reason") or "Failed", status.get("message"))
    scheduled = _condition(status, "PodScheduled")
    if scheduled.get("status") == "False":
        return _sentence(scheduled.get("reason", "Unschedulable"), scheduled.get("message"))
    for container in (*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])):
        state = container.get("state") or {}
        waiting, ended = state.get("waiting") or {}, state.get("terminated") or {}
        if waiting.get("reason") and waiting["reason"] not in _STARTING:
            last = _ended((container.get("lastState") or {}).get("terminated") or {})
            return f"container {container['name']}: {_sentence(waiting['reason'], last or waiting.get('message'))}"
        if not ended and container.get("restartCount") and not container.get("ready"):
            # It runs once more; what ended it before will end it again.
            ended = (container.get("lastState") or {}).get("terminated") or {}
        if ended.get("exitCode"):
            return f"container {container['name']}: {_ended(ended)}"
    return None


def of_an_earlier_one(pod: Manifest, deployment: Manifest | None, owner_since: datetime) -> bool:
    """Whether a pod belongs to a Deployment that is gone, and is about to go itself.

    What follows a deleted Deployment, or a deleted LLMDeployment, has the same name and labels; its pods are younger than it is. But a Deployment
    adopts older pods that were orphaned, and counts them in its status then.
    """
    created = pod["metadata"].get("creationTimestamp")
    if not created:
        return False
    if deployment is None:
        return parse_time(created) < owner_since
    status = deployment.get("status") or {}
    if status.get("readyReplicas") or _condition(status, "Progressing").get("reason") in _ADOPTED:
        return False
    return parse_time(created) + SKEW < parse_time(deployment["metadata"]["creationTimestamp"])


def not_made(deployment: Manifest) -> str | None:
    """Why pods of a Deployment may not be made, in the words of the apiserver; None when nothing stands against it."""
    failure = _condition(deployment.get("status") or {}, "ReplicaFailure")
    return (
        _sentence(failure.get("reason", "FailedCreate"), failure.get("message"))
        if failure.get("status") == "True"
        else None
    )


def _ended(terminated: Manifest) -> str | None:
    if not terminated:
        return None
    words = f"ended with code {terminated.get('exitCode', '?')}, {terminated.get('reason', 'no reason')}"
    message = (terminated.get("message") or "").strip()
    return f"{words}: {message}" if message else words


def _sentence(reason: str, message: str | None) -> str:
    return f"{reason}: {message.strip()}" if message and message.strip() else reason


def _condition(status: Manifest, kind: str) -> Manifest:
    return next((c for c in status.get("conditions") or [] if c.get("type") == kind), {})


def ready_endpoints(slices: Iterable[Manifest]) -> int:
    """How many pods the EndpointSlices of one Service offer: ready (absent counts as ready, discovery/v1) and not terminating."""
    return len(set(_ready(slices)))


def _ready(slices: Iterable[Manifest]) -> Iterator[str]:
    for endpoints in slices:
        for endpoint in endpoints.get("endpoints") or []:
            conditions = endpoint.get("conditions") or {}
            if conditions.get("ready") is not False and not conditions.get("terminating"):
                # A pod with two address families stands in two slices.
                yield (endpoint.get("targetRef") or {}).get("uid") or (endpoint.get("addresses") or [""])[0]
