"""Pods and their endpoints: what the workload controllers, a kubelet and the endpoint controller do with Deployments and Services."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from sim.timeline import START
from solera.api.scalars import format_time
from solera.kinds import LABEL_VERSION
from twin.kube import Manifest, MemoryKube

NAMESPACE = "ml"


@dataclass
class Pod:
    """The truth about one pod."""

    uid: str
    revision: str
    version: str
    template: bytes
    created: float
    started: datetime
    ready: bool = False
    proven: bool = False
    requests: int = 0
    bad: dict[str, int] = field(default_factory=dict)


class Kubelet(MemoryKube):
    """An apiserver whose Deployments have pods. ``pods`` is the truth about them, by uid."""

    def __init__(self, life: Any) -> None:
        super().__init__(now=life.timeline.now)
        self.life = life
        self.pods: dict[str, Pod] = {}
        self._ready: dict[str, list[Pod]] = {}
        self._born = 0
        self._syncing: set[str] = set()
        self.refuses: dict[str, str] = {}
        """Version -> why no pod of it may be made: a quota, an admission policy."""

    def later(self, name: str) -> None:
        """Controllers see it a moment later."""
        if name not in self._syncing:
            self._syncing.add(name)
            self.life.timeline.after(0.01, lambda: self._sync(name))

    def revisions(self) -> list[str]:
        """Those that have or had ready pods."""
        return list(self._ready)

    def ready_pods(self, revision: str) -> list[Pod]:
        return self._ready.get(revision, [])

    def endpoints(self, revision: str) -> int:
        """Ready endpoints as a gateway sees them: there must be a Service."""
        return len(self.ready_pods(revision)) if ("Service", NAMESPACE, revision) in self.objects else 0

    def proven(self, revision: str) -> bool:
        return self.endpoints(revision) > 0 and any(p.proven for p in self.ready_pods(revision))

    def of_revision(self, revision: str) -> list[Pod]:
        return [p for p in self.pods.values() if p.revision == revision]

    def _sync(self, name: str) -> None:
        """Deployment, ReplicaSet and endpoint controllers for one revision."""
        self._syncing.discard(name)
        deployment = self.objects.get(("Deployment", NAMESPACE, name))
        mine = self.of_revision(name)
        if deployment is None:
            for pod in mine:
                self._end(pod)
        else:
            spec = deployment["spec"]
            template, replicas = orjson.dumps(spec["template"]), spec["replicas"]
            new = [p for p in mine if p.template == template]
            old = [p for p in mine if p.template != template]
            for pod in sorted(new, key=lambda p: (p.ready, -p.created))[: max(0, len(new) - replicas)]:
                self._end(pod)
            room = replicas + (1 if old else 0) - len(old) - len(new)
            missing = max(0, min(replicas - len(new), max(room, 1 if old else room)))
            why = self.refuses.get(deployment["metadata"]["labels"][LABEL_VERSION]) if missing else None
            self._tell(deployment, why)
            for _ in range(missing if why is None else 0):
                new.append(self._start(deployment, template))
            spare = sum(p.ready for p in (*old, *new)) - replicas
            for pod in sorted(old, key=lambda p: p.ready):
                if not pod.ready or spare > 0 or not replicas:
                    spare -= pod.ready
                    self._end(pod)
        self.publish(name)

    def _tell(self, deployment: Manifest, why: str | None) -> None:
        """What the deployment controller says of pods that the apiserver refuses."""
        failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": why}
        status = {} if why is None else {"conditions": [failure]}
        if (deployment.get("status") or {}) != status:
            name = deployment["metadata"]["name"]
            self.edit("Deployment", NAMESPACE, name, lambda obj: obj.update(status=status))

    def _start(self, deployment: Manifest, template: bytes) -> Pod:
        self._born += 1
        labels = deployment["metadata"]["labels"]
        t = self.life.timeline.t
        pod = Pod(f"pod-{self._born}", deployment["metadata"]["name"], labels[LABEL_VERSION], template, t, self.now())
        self.pods[pod.uid] = pod
        self.show(pod, labels)
        self.life.timeline.after(self.life.behaviour(pod.version).start, lambda: self.get_ready(pod))
        return pod

    def get_ready(self, pod: Pod) -> None:
        how = self.life.behaviour(pod.version)
        if pod.uid not in self.pods or pod.ready or how.never_ready:
            return
        if self.life.timeline.t + 1e-6 < (pod.started - START).total_seconds() + how.start:
            return  # it was restarted meanwhile
        self.set_ready(pod, True)

    def set_ready(self, pod: Pod, ready: bool) -> None:
        self.life.witness.note()
        pod.ready = ready
        self.show(pod)
        self.later(pod.revision)
        self.publish(pod.revision)

    def restart(self, pod: Pod) -> None:
        """The engine's container ends and starts again: counters begin at zero."""
        self.life.witness.note()
        pod.started, pod.requests, pod.bad, pod.proven = self.now(), 0, {}, False
        self.set_ready(pod, False)
        self.life.timeline.after(self.life.behaviour(pod.version).start, lambda: self.get_ready(pod))

    def kill(self, pod: Pod) -> None:
        """Somebody deletes the pod; its Deployment makes another."""
        self._end(pod)
        self.publish(pod.revision)
        self.later(pod.revision)

    def refuse(self, pod: Pod) -> None:
        """The kubelet does not take it: its Deployment makes another, and its object stays."""
        stays = copy.deepcopy(self.objects["Pod", NAMESPACE, pod.uid])
        self.kill(pod)
        why = {"reason": "UnexpectedAdmissionError", "message": "Allocate failed due to no healthy devices present"}
        stays["metadata"] |= {"name": "failed", "uid": "failed"}
        self._store(("Pod", NAMESPACE, "failed"), {**stays, "status": {"phase": "Failed", **why}}, None)

    def _end(self, pod: Pod) -> None:
        self.life.witness.note()
        if self.pods.pop(pod.uid, None) is not None:
            self.remove("Pod", NAMESPACE, pod.uid, collect=False)

    def show(self, pod: Pod, labels: Any = None) -> None:
        """The pod as an object."""
        ref = ("Pod", NAMESPACE, pod.uid)
        old = self.objects.get(ref)
        labels = labels or (old or {"metadata": {"labels": {}}})["metadata"]["labels"]
        started = format_time(pod.started)
        self._store(
            ref,
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": pod.uid, "namespace": NAMESPACE, "uid": pod.uid, "labels": labels},
                "status": {
                    "phase": "Running",
                    "podIP": "10.0.0.1",
                    "conditions": [{"type": "Ready", "status": "True" if pod.ready else "False"}],
                    "containerStatuses": [{"name": "engine", "state": {"running": {"startedAt": started}}}],
                },
            },
            old,
        )

    def publish(self, revision: str) -> None:
        """The EndpointSlice of a revision's Service."""
        pods = self.of_revision(revision)
        self._ready[revision] = [p for p in pods if p.ready]
        ref = ("EndpointSlice", NAMESPACE, f"{revision}-s")
        service, old = self.objects.get(("Service", NAMESPACE, revision)), self.objects.get(ref)
        if service is None:
            if old is not None:
                self.remove(*ref, collect=False)
            return
        endpoints = [
            {"addresses": ["10.0.0.1"], "conditions": {"ready": p.ready}, "targetRef": {"uid": p.uid}} for p in pods
        ]
        if old is not None and old["endpoints"] == endpoints:
            return
        labels = {**service["metadata"]["labels"], "kubernetes.io/service-name": revision}
        meta = {"name": ref[2], "namespace": NAMESPACE, "uid": ref[2], "labels": labels}
        slice_ = {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": meta,
            "endpoints": endpoints,
        }
        self._store(ref, slice_, old)
