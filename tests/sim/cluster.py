"""The cluster around the operator: an apiserver in memory, and the controllers, kubelets and gateway that act on what is written.

Other hands act through the methods of ``MemoryKube`` (put, edit, remove); what the operator asks comes through ``apply``, ``apply_status``,
``delete`` and ``create_event``, and is shown to the witness.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sim.kubelet import NAMESPACE, Kubelet
from solera.plan.traffic import live_weights, routed_progress
from twin.kube import Manifest, Ref


class Cluster(Kubelet):
    """``in_force`` are the weights by which the gateway shares out requests; it takes a route over ``gateway_delay`` s after it was written.

    News of changes reach the operator ``lag`` s late. Children of a deleted LLMDeployment go ``collect_after`` s later.
    """

    def __init__(self, life: Any) -> None:
        super().__init__(life)
        self.lag = 0.0
        self.gateway_delay = 0.0
        self.collect_after = 0.5
        self.in_force: dict[str, int] = {}
        self.requests = 0
        self._heard_last: float = 0.0

    # -- requests of the operator

    async def get(self, kind: str, namespace: str, name: str) -> Manifest:
        self.life.faults.reading(kind)
        return await super().get(kind, namespace, name)

    async def apply(self, manifest: Manifest, *, resource_version: str | None = None) -> Manifest:
        return await self._request(
            manifest, lambda: super(Cluster, self).apply(manifest, resource_version=resource_version)
        )

    async def apply_status(self, manifest: Manifest, *, resource_version: str) -> Manifest:
        return await self._request(
            manifest, lambda: super(Cluster, self).apply_status(manifest, resource_version=resource_version), "status"
        )

    async def _request(self, manifest: Manifest, do: Callable[[], Any], what: str = "") -> Manifest:
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        self.life.faults.before(what or kind)
        old = self.objects.get((kind, NAMESPACE, name))
        live: Manifest = await do()
        self.requests += 1
        self.life.witness.wrote(what or kind, old, live)
        self.life.faults.after(what or kind)
        return live

    async def delete(self, kind: str, namespace: str, name: str, *, uid: str, resource_version: str) -> None:
        self.life.faults.before(f"delete {kind}")
        old = self.objects.get((kind, namespace, name))
        if old is not None and old["metadata"]["uid"] == uid:
            self.life.witness.deletes(kind, name, old)
        await super().delete(kind, namespace, name, uid=uid, resource_version=resource_version)
        self.requests += 1
        self.life.witness.deleted(kind, name)
        self.life.faults.after(f"delete {kind}")

    async def create_event(self, manifest: Manifest) -> None:
        self.life.faults.before("Event")
        self.requests += 1
        self.life.witness.event(manifest)
        self.life.faults.after("Event")

    # -- what follows from a change

    def _emit(self, event: str, obj: Manifest) -> None:
        kind, name = obj["kind"], obj["metadata"]["name"]
        if kind in {"Deployment", "Service"}:
            self.later(name)
        elif kind == "HTTPRoute" and event != "STATUS":
            self._reroute(event, obj)
        gone = obj["metadata"]["uid"] if kind == "LLMDeployment" and event == "DELETED" else self._orphaned(event, obj)
        if gone is not None:
            self.life.timeline.after(self.collect_after, lambda: self._collect(gone))
        self._deliver("MODIFIED" if event == "STATUS" else event, obj)

    def _deliver(self, event: str, obj: Manifest) -> None:
        timeline = self.life.timeline
        due = max(
            timeline.t + self.lag,
            self.life.faults.deaf_until,
            self._heard_last if self._heard_last > timeline.t else 0.0,
        )
        if due <= timeline.t:
            self.life.hear(event, obj)
            return
        self._heard_last = due
        self.life.witness.posted()

        def arrive() -> None:
            self.life.witness.arrived()
            self.life.hear(event, obj)

        timeline.at(due, arrive)

    def _orphaned(self, event: str, obj: Manifest) -> str | None:
        """The garbage collector notices, too, what is made for an owner that is gone already."""
        owners = obj["metadata"].get("ownerReferences") if event == "ADDED" else None
        owner = self.objects.get(("LLMDeployment", NAMESPACE, self.life.name))
        gone = [o["uid"] for o in owners or () if owner is None or owner["metadata"]["uid"] != o["uid"]]
        return gone[0] if gone else None

    def _collect(self, owner: str) -> None:
        for ref, obj in list(self.objects.items()):
            owners = obj["metadata"].get("ownerReferences") or ()
            if any(o["uid"] == owner for o in owners) and ref in self.objects:
                self.remove(*ref, collect=False)

    # -- the gateway

    def _reroute(self, event: str, route: Manifest) -> None:
        self.life.witness.routed(route if event != "DELETED" else None)
        if event == "DELETED":
            # What the gateway makes of it nobody can see: there is no route left to say so. The pods' own grace covers it.
            self.life.witness.weighed(self.in_force, {})
            self.life.timeline.after(self.gateway_delay, lambda: self._take_over(None))
        else:
            uid, generation = route["metadata"]["uid"], route["metadata"]["generation"]
            parents = (route.get("status") or {}).get("parents") or [{}]
            said = ((parents[0].get("conditions") or [{}])[0]).get("observedGeneration")
            if said != generation or event == "ADDED":
                self.life.timeline.after(self.gateway_delay, lambda: self._take_over((uid, generation)))
            else:
                self.life.witness.in_force(routed_progress(route))

    def _take_over(self, which: tuple[str, int] | None) -> None:
        ref: Ref = ("HTTPRoute", NAMESPACE, self.life.name)
        route = self.objects.get(ref)
        if which is None:
            if route is None:
                self._weigh({})
            return
        if route is None or (route["metadata"]["uid"], route["metadata"]["generation"]) != which:
            return
        self._weigh(live_weights(route))
        conditions = [
            {"type": t, "status": "True", "observedGeneration": which[1]} for t in ("Accepted", "ResolvedRefs")
        ]
        new = {**route, "metadata": dict(route["metadata"]), "status": {"parents": [{"conditions": conditions}]}}
        self._version += 1
        new["metadata"]["resourceVersion"] = str(self._version)
        self.objects[ref] = new
        self.life.witness.in_force(routed_progress(new))
        self._emit("STATUS", new)

    def _weigh(self, weights: dict[str, int]) -> None:
        self.life.witness.weighed(self.in_force, weights)
        self.in_force = weights
