"""What goes into a decision and what comes out of it: plain frozen data, no behaviour that needs a cluster.

``Observation`` is everything that the planner may know, the time included. ``Plan`` is everything that it wants done.
Manifests are raw Kubernetes objects (dicts as the apiserver's JSON), because that is what server-side apply takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from solera.plan.evidence import Ledger

Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Owner:
    """The LLMDeployment that is being planned, as far as its children need it."""

    name: str
    namespace: str
    uid: str
    generation: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ObservedPod:
    """One pod of a revision. ``started`` is the start of its engine container, None while it is not running."""

    name: str
    uid: str
    ip: str | None
    ready: bool
    answered: bool  # a real completion came back from this very pod
    terminating: bool = False
    started: datetime | None = None
    problem: str | None = None  # why it does not run, in the kubelet's or scheduler's words
    asked: bool = False  # for a completion, by this operator, whatever came of it
    ended: bool = False  # it will never run again, and stays as an object only; another is made in its place
    mute: str | None = None  # why it gave no completion when it was asked last, although it is healthy


@dataclass(frozen=True, slots=True)
class ObservedRevision:
    """The live children that carry one revision's name; a missing child is None."""

    name: str
    version: str
    hash: str
    controller_revision: Manifest | None = None
    deployment: Manifest | None = None
    service: Manifest | None = None
    ready_endpoints: int = 0
    pods: tuple[ObservedPod, ...] = ()
    not_made: str | None = None  # why its pods may not be made, in the apiserver's words: a quota, an admission policy

    @property
    def problem(self) -> str | None:
        """What is wrong with its pods; of those that have ended, and were followed by others, only if nothing else is."""
        told = [p.problem for p in self.pods if not p.ended], [self.not_made], [p.problem for p in self.pods if p.ended]
        return next((why for part in told for why in part if why), None)

    @property
    def serving(self) -> bool:
        """True when a ready endpoint of it has answered a real completion."""
        return self.ready_endpoints > 0 and any(p.ready and p.answered and not p.terminating for p in self.pods)


@dataclass(frozen=True, slots=True)
class Observation:
    """Everything known about one LLMDeployment at ``now`` (aware, UTC).

    ``custom_resource`` is the raw LLMDeployment. ``name_taken`` lists the objects that carry a child's name but belong to another
    owner ("Deployment/x is controlled by uid ..."). ``hostname_conflicts`` lists "host is claimed by ns/name (older)".
    ``ledger`` is None when no evidence was ever collected for the present rollout. ``record`` is the live RolloutRecord.
    ``record_written_at`` is when the record's data was last written. ``unreachable`` maps a source of the ledger to why its newest
    look told nothing of a revision. ``wall`` is the system clock where it may differ from ``now``.
    """

    now: datetime
    owner: Owner
    custom_resource: Manifest
    revisions: Mapping[str, ObservedRevision] = field(default_factory=dict)
    route: Manifest | None = None
    ledger: Ledger | None = None
    record: Manifest | None = None
    record_written_at: datetime | None = None
    unreachable: Mapping[str, str] = field(default_factory=dict)
    unmeasurable: Mapping[str, str] = field(default_factory=dict)  # guardrail name -> why no source can measure it
    name_taken: tuple[str, ...] = ()
    hostname_conflicts: tuple[str, ...] = ()
    operator_version: str = ""
    wall: datetime | None = None

    @property
    def calendar(self) -> datetime:
        """The time that declared dates are compared with: a date has come when both clocks say so, since what it does cannot be undone."""
        return self.now if self.wall is None else min(self.now, self.wall)


@dataclass(frozen=True, slots=True)
class Apply:
    """Server-side apply of ``manifest`` (field manager solera, force).

    With ``resource_version`` the write is refused (409) unless the live object still has it: used for the route, so that a
    weight is never computed from a stale one.
    """

    manifest: Manifest
    reason: str
    resource_version: str | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete one object, only while it still has ``uid`` and ``resource_version``.

    ``unrouted`` names a Service that the live HTTPRoute must not send traffic to: it is read again, from the apiserver, first.
    """

    kind: str
    name: str
    uid: str
    resource_version: str
    reason: str
    unrouted: str | None = None


Action = Apply | Delete


@dataclass(frozen=True, slots=True)
class PlannedEvent:
    """A Kubernetes Event about the LLMDeployment. ``type`` is Normal or Warning; equal ones are written once."""

    type: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now, what to write into status, and when to look again even if nothing happens.

    ``actions`` run in order and stop at the first that fails; status is then not written and the key is retried.
    ``status`` is the whole new status; it is written only if it differs from the live one. ``record`` is the data that the
    RolloutRecord should hold now, None when it need not be written. ``measure`` are the revisions whose evidence is needed, ``probe``
    those that must answer a real completion, ``probe_again`` the time after which pods that did are asked once more (None: never).
    ``look_again_at`` <= now means at once.
    """

    actions: tuple[Action, ...]
    status: dict[str, Any]
    look_again_at: datetime | None = None
    events: tuple[PlannedEvent, ...] = ()
    record: dict[str, Any] | None = None
    measure: tuple[str, ...] = ()
    probe: tuple[str, ...] = ()
    probe_again: timedelta | None = None
    reasons: tuple[str, ...] = ()
