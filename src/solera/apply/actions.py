"""Runs the actions of a plan, in order, and looks again before whatever cannot be taken back.

The store may be seconds old. A create is therefore refused by the apiserver where an object of that name is, and is preceded by a live look
for the owner when a child of it has vanished; an update names the uid that it means; a deletion is preceded by live looks at the owner
and at the route.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from solera.apply.kube import Kube
from solera.errors import Conflict, NameTaken, NotFound, NotSafe
from solera.kinds import (
    HTTP_ROUTE,
    LABEL_LLMDEPLOYMENT,
    LLM_DEPLOYMENT,
    PERSISTENT_VOLUME_CLAIM,
    ROLLOUT_RECORD,
    Key,
    controlled_by,
    controller_uid,
)
from solera.plan.traffic import live_weights
from solera.plan.types import Action, Apply, Delete, Observation, Owner

Manifest = dict[str, Any]
Children = Mapping[tuple[str, str], Manifest]
"""(kind, name) -> the child as observed."""

ABSENT = "1"
"""A resource version that no object has, since a store's first revision belongs to no object. An apply that names it creates or is refused
with 409; without one it would be an update of whatever carries the name (seen on Kubernetes 1.36; tests/cluster holds it to that)."""

log = logging.getLogger(__name__)


class Writes(Protocol):
    """Where it is remembered what the store does not know, or what it makes doubtful; ``solera.observe.store.Store`` is one."""

    def upsert(self, kind: str, obj: Manifest) -> None:
        """An object was seen live."""

    def wrote(self, key: Key, live: Manifest) -> None:
        """The apiserver answered a write of ours with ``live``."""

    def deleted(self, key: Key, kind: str, namespace: str, name: str, uid: str) -> None:
        """The apiserver accepted a deletion of ours."""

    def doubtful(self, key: Key) -> bool:
        """Whether a child vanished that was not deleted here, since the owner was last seen alive."""

    def alive(self, key: Key) -> None:
        """The owner was seen alive."""


@dataclass(slots=True)
class _Owner:
    """The owner in one run of actions: looked at live once, before the first that needs it, since a run takes a fraction of a second."""

    kube: Kube
    owner: Owner
    seen: bool = False

    async def lives(self) -> None:
        """Raise ``NotSafe`` unless the owner exists, is the one that was observed, and is not being deleted."""
        if self.seen:
            return
        namespace, name = self.owner.namespace, self.owner.name
        live = await live_or_none(self.kube, LLM_DEPLOYMENT.kind, namespace, name)
        if live is None or live["metadata"]["uid"] != self.owner.uid or live["metadata"].get("deletionTimestamp"):
            raise NotSafe(f"LLMDeployment {namespace}/{name} is gone or being deleted; its children are left alone")
        self.seen = True


async def live_or_none(kube: Kube, kind: str, namespace: str, name: str) -> Manifest | None:
    """One live object; None when there is none."""
    try:
        return await kube.get(kind, namespace, name)
    except NotFound:
        return None


@dataclass(frozen=True, slots=True)
class Executor:
    """Runs actions against ``kube`` and tells ``writes`` what was answered."""

    kube: Kube
    writes: Writes

    async def run(self, observation: Observation, actions: Iterable[Action]) -> int:
        """Run ``actions``, deletions last, and stop at the first that fails. Returns how many writes were made.

        Raises:
            NameTaken: someone else owns an object that carries a child's name.
            NotSafe: a deletion's reason no longer holds.
            KubeError: the apiserver refused or did not answer.
        """
        children = _children(observation)
        owner = _Owner(self.kube, observation.owner)
        done = 0
        for action in sorted(actions, key=lambda a: isinstance(a, Delete)):
            if isinstance(action, Apply):
                await self._apply(owner, action, children)
            else:
                await self._delete(owner, action)
            done += 1
            _tell(observation.owner, action)
        return done

    async def _apply(self, of: _Owner, action: Apply, children: Children) -> None:
        owner, manifest = of.owner, action.manifest
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        known = children.get((kind, name))
        if known is None:
            known = await self._create(of, manifest)
            if known is None or kind == PERSISTENT_VOLUME_CLAIM.kind:
                return  # made; or a claim, which is made once: the apiserver refuses nearly every change of one
        # With a uid the apiserver refuses to create anew what was deleted meanwhile.
        manifest = {**manifest, "metadata": {**manifest["metadata"], "uid": known["metadata"]["uid"]}}
        if scales_to_zero(manifest, known):
            await of.lives()
        live = await self.kube.apply(manifest, resource_version=action.resource_version)
        self.writes.wrote((owner.namespace, owner.name), live)

    async def _create(self, of: _Owner, manifest: Manifest) -> Manifest | None:
        """Make an object that is not known. Returns None, or the one of ours that is there already."""
        owner = of.owner
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        key = (owner.namespace, owner.name)
        # A child may have vanished because its owner has: the garbage collector can be faster than the news of the owner's end. What is
        # made for an owner that is gone is collected, but not what has no owner on purpose.
        if controller_uid(manifest) is None or self.writes.doubtful(key):
            await of.lives()
            self.writes.alive(key)
        try:
            self.writes.wrote(key, await self.kube.apply(manifest, resource_version=ABSENT))
        except Conflict:
            known = await live_or_none(self.kube, kind, owner.namespace, name)
            if known is None:
                raise
        else:
            return None
        if not _ours(known, manifest):
            raise NameTaken(controlled_by(known))
        if kind == HTTP_ROUTE.kind:
            # A weight must never be decided without the route that is in force.
            self.writes.upsert(kind, known)
            raise Conflict(
                f"apply {kind} {owner.namespace}/{name}", "it exists, and was not known when this was decided"
            )
        await of.lives()
        return known

    async def _delete(self, of: _Owner, action: Delete) -> None:
        owner = of.owner
        await of.lives()
        if action.unrouted is not None:
            route = await live_or_none(self.kube, HTTP_ROUTE.kind, owner.namespace, owner.name)
            if action.unrouted in live_weights(route):
                raise NotSafe(
                    f"{action.kind}/{action.name} is not deleted: the live route still sends requests to {action.unrouted}"
                )
        try:
            await self.kube.delete(
                action.kind, owner.namespace, action.name, uid=action.uid, resource_version=action.resource_version
            )
        except NotFound:
            log.debug(
                "%s/%s was gone already",
                action.kind,
                action.name,
                extra={"llmdeployment": f"{owner.namespace}/{owner.name}"},
            )
        self.writes.deleted((owner.namespace, owner.name), action.kind, owner.namespace, action.name, action.uid)


def _tell(owner: Owner, action: Action) -> None:
    kind = action.kind if isinstance(action, Delete) else action.manifest["kind"]
    # Evidence is written every minute of a rollout, and is no news.
    level = logging.DEBUG if kind == ROLLOUT_RECORD.kind else logging.INFO
    verb = "delete" if isinstance(action, Delete) else "apply"
    about = {"llmdeployment": f"{owner.namespace}/{owner.name}", "kind": kind, "verb": verb}
    log.log(level, "%s", action.reason, extra=about)


def scales_to_zero(manifest: Manifest, known: Manifest | None) -> bool:
    """Whether an apply takes the last pods of a workload away."""
    if known is None or "replicas" not in (manifest.get("spec") or {}):
        return False
    return not manifest["spec"]["replicas"] and bool((known.get("spec") or {}).get("replicas", 1))


def _ours(live: Manifest, manifest: Manifest) -> bool:
    """Whether an object that exists is the one that ``manifest`` means. What has no owner on purpose is known by its label."""
    if controller_uid(live) != controller_uid(manifest):
        return False
    labels = [(o["metadata"].get("labels") or {}).get(LABEL_LLMDEPLOYMENT) for o in (live, manifest)]
    return controller_uid(manifest) is not None or labels[0] == labels[1]


def _children(observation: Observation) -> Children:
    found = [observation.route, observation.record]
    for revision in observation.revisions.values():
        found += [revision.controller_revision, revision.deployment, revision.service]
    return {(c["kind"], c["metadata"]["name"]): c for c in found if c is not None}
