"""What is there of a revision: its pods, how many are ready, and what those lack that are not."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from solera.plan.intent import Intent, VersionIntent
from solera.plan.memory import RevisionRef
from solera.plan.types import Observation, ObservedRevision

UNSCHEDULABLE = "Unschedulable"
"""How the problem of a pod begins for which there is no node."""

CONTAINER = "container "
"""How the problem of a pod begins that runs and ends, or cannot be begun: not that of one which was evicted."""

QUOTA = "exceeded quota"
"""What the apiserver says of a pod that a ResourceQuota does not let in."""


@dataclass(frozen=True, slots=True)
class Pods:
    """The revisions as they were seen, beside what the manifest says of their versions."""

    observation: Observation
    intent: Intent

    def seen(self, ref: RevisionRef | None) -> ObservedRevision | None:
        """The live children of a revision; None when there are none."""
        return None if ref is None else self.observation.revisions.get(ref.revision)

    def version_of(self, ref: RevisionRef) -> VersionIntent | None:
        """What the manifest says of a revision's version; None when it has left the manifest."""
        return self.intent.versions.get(ref.version)

    def has_endpoint(self, ref: RevisionRef | None) -> bool:
        """One pod of a revision is ready at least."""
        seen = self.seen(ref)
        return seen is not None and seen.ready_endpoints > 0

    def all_ready(self, ref: RevisionRef | None) -> bool:
        """All replicas of a revision are ready."""
        return self._are_ready(ref, without=0)

    def all_there(self, ref: RevisionRef | None) -> bool:
        """All replicas of a revision are ready that have a node, or room in a quota."""
        return self._are_ready(ref, without=self._without_node(ref))

    def _are_ready(self, ref: RevisionRef | None, *, without: int) -> bool:
        seen, version = self.seen(ref), None if ref is None else self.version_of(ref)
        if seen is None or version is None:
            return False
        return seen.ready_endpoints >= max(1, version.resolved.replicas - without)

    def _without_node(self, ref: RevisionRef | None) -> int:
        """Pods of it that have no node, or are not made since a quota has no room for them. What pods on their way out leave is room soon."""
        seen, version = self.seen(ref), None if ref is None else self.version_of(ref)
        if seen is None:
            return 0
        missing = 0
        if version is not None and QUOTA in (seen.not_made or "") and not any(p.terminating for p in seen.pods):
            missing = max(0, version.resolved.replicas - sum(not p.ended for p in seen.pods))
        return missing + sum((p.problem or "").startswith(UNSCHEDULABLE) for p in seen.pods)

    def fully_serving(self, ref: RevisionRef | None) -> bool:
        """All replicas of a revision are ready, and one has answered a real completion."""
        seen = self.seen(ref)
        return seen is not None and seen.serving and self.all_ready(ref)

    def pods_ready(self, ref: RevisionRef) -> str:
        """`1 of 2 pods of v2 are ready`, with the problem of one that is not."""
        seen, version = self.seen(ref), self.version_of(ref)
        wanted = 1 if version is None else version.resolved.replicas
        problem = None if seen is None else seen.problem
        ready = 0 if seen is None else seen.ready_endpoints
        return f"{ready} of {wanted} pods of {ref.version} are ready" + (f": {problem}" if problem else "")

    def unasked(self, ref: RevisionRef) -> bool:
        """True while a ready pod of this revision was not asked for a completion yet: the operator has just started, or the pod has."""
        seen = self.seen(ref)
        return seen is not None and any(p.ready and not p.asked and not p.answered for p in seen.pods)

    def unscheduled(self, ref: RevisionRef) -> bool:
        """True while a pod of this revision lacks nothing but a node, or room in a quota: then time brings it. Not while another has a problem of its own."""
        seen = self.seen(ref)
        broken = seen is not None and any((p.problem or "").startswith(CONTAINER) for p in seen.pods)
        return not broken and self._without_node(ref) > 0

    def patience(self, ref: RevisionRef) -> timedelta:
        """How long a candidate may be away or start up, also one whose version has left the manifest."""
        version = self.version_of(ref)
        return timedelta(minutes=30) if version is None else version.resolved.startup_timeout
