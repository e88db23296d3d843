"""Who may lead, decided from a Lease (coordination.k8s.io/v1) as it was seen; without I/O and without a clock.

Another holder's life is judged by our own monotonic clock since we saw its Lease change, never by the times that stand in it: clocks of
nodes differ. The holder, for its part, counts from the start of its last good renewal and gives up at two thirds of the duration, so that
it has ended before anybody else may begin. All times in here are seconds of one monotonic clock, except where "wall" is said.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from solera.kinds import LEASE

Manifest = dict[str, Any]

RELEASED = 1
"""leaseDurationSeconds of a Lease that was given back."""


@dataclass(frozen=True, slots=True)
class Timing:
    """How long a Lease lasts and how often it is renewed, in seconds; ``solera.config.LeaderElection`` keeps them in proportion."""

    duration: float = 15.0
    renew: float = 5.0
    retry: float = 2.0

    @property
    def deadline(self) -> float:
        """Seconds after the start of its last good attempt when the holder gives up: a third of the duration is left for what is under way."""
        return self.duration * 2 / 3

    @property
    def attempt(self) -> float:
        """Seconds that one attempt may take: two slow ones fit between a renewal that is due and the deadline."""
        return (self.deadline - self.renew) / 2


@dataclass(frozen=True, slots=True)
class Sight:
    """What a Lease said when it was last seen, and ``since`` when it has said so. ``holder`` "": given back; None: there is no Lease."""

    holder: str | None
    renewed: str
    lasts: float
    since: float


def sight(before: Sight | None, lease: Manifest | None, duration: float, now: float) -> Sight:
    """What is seen at ``now``, after ``before``. Our own ``duration`` counts where the Lease does not say how long it lasts.

    A Lease that is missing was deleted under a holder, for all that can be known: it is waited for as long as for a silent holder. So is
    one that is blank, as a chart makes it, where there was another before; a blank one at first sight was never held.
    """
    spec = (lease or {}).get("spec") or {}
    holder = None if lease is None else spec.get("holderIdentity") or ""
    lasts = float(spec.get("leaseDurationSeconds") or 0) or max(duration, before.lasts if before else 0.0)
    renewed = str(spec.get("renewTime") or "")
    if holder == "" and "leaseDurationSeconds" not in spec and before is not None and before.holder != "":
        holder = None
    if before is not None and (before.holder, before.renewed) == (holder, renewed):
        return Sight(holder, renewed, lasts, before.since)
    return Sight(holder, renewed, lasts, now)


def wait(seen: Sight, identity: str, pod: str | None, now: float) -> float:
    """Seconds until ``identity`` may take the Lease; 0: now.

    ``pod`` is the name of the pod that this process is alone in: the kubelet starts a container of a pod when the one before it has ended,
    so a holder from the same pod is dead, and its successor need not wait.
    """
    if seen.holder in ("", identity) or (pod and seen.holder and seen.holder.rpartition("_")[0] == pod):
        return 0.0
    return max(seen.since + seen.lasts - now, 0.0)


def taken(lease: Manifest | None, place: tuple[str, str], identity: str, timing: Timing, wall: datetime) -> Manifest:
    """The Lease at ``place`` (namespace, name) with ``identity`` as its new holder, over exactly the ``lease`` that was read."""
    spec = {
        "holderIdentity": identity,
        "leaseDurationSeconds": round(timing.duration),
        "acquireTime": _micro_time(wall),
        "renewTime": _micro_time(wall),
        "leaseTransitions": ((lease or {}).get("spec") or {}).get("leaseTransitions", -1) + 1,
    }
    if lease is None:
        metadata = {"namespace": place[0], "name": place[1], "labels": {"app.kubernetes.io/managed-by": "solera"}}
        return {"apiVersion": LEASE.api_version, "kind": LEASE.kind, "metadata": metadata, "spec": spec}
    return {**lease, "spec": {**(lease.get("spec") or {}), **spec}}


def remade(lost: Manifest, wall: datetime) -> Manifest:
    """A new Lease in the place of ``lost``, which its holder held when it was deleted; it belongs to the same release of a chart."""
    kept = {k: lost["metadata"][k] for k in ("namespace", "name", "labels", "annotations") if k in lost["metadata"]}
    return {**renewed(lost, wall), "metadata": kept}


def renewed(lease: Manifest, wall: datetime) -> Manifest:
    """``lease`` with a new renewTime, which differs from the last even when the wall clock stands still: others look for a change."""
    now = _micro_time(wall)
    if now == lease["spec"].get("renewTime"):
        now = _micro_time(wall + timedelta(microseconds=1))
    return {**lease, "spec": {**lease["spec"], "renewTime": now}}


def released(lease: Manifest, wall: datetime) -> Manifest:
    """``lease`` given back: anybody may take it at once."""
    gone = {"holderIdentity": "", "leaseDurationSeconds": RELEASED}
    kept = renewed(lease, wall)
    return {**kept, "spec": {**kept["spec"], **gone}}


def holder_of(lease: Manifest) -> str:
    """Identity of the holder; empty when there is none."""
    return (lease.get("spec") or {}).get("holderIdentity") or ""


def _micro_time(wall: datetime) -> str:
    return wall.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
