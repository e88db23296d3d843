"""What the operator must remember between two looks, read from and written to ``status``.

Everything that can be seen on the cluster is not here. The step in force and its start stand on the HTTPRoute, next to the weight
that they explain, so that a crash between two writes cannot part them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from solera.api.scalars import format_duration, format_time, parse_duration, parse_time
from solera.errors import SoleraError

PROGRESS_ANNOTATION = "solera.dev/progress"
MAX_LIST = 32
LONGEST = 10**9  # seconds: more cannot be taken from every time
MAX_HISTORY = 20

BEGINS = "RolloutStarted"
ENDS = frozenset({"Promoted", "RolledBack", "Aborted", "Withdrawn", "Replaced"})
"""The events in the history with which a rollout begins and ends."""


@dataclass(frozen=True, slots=True)
class RevisionRef:
    """One revision by its version, its children's name and its hash."""

    version: str
    revision: str
    hash: str

    def to_status(self) -> dict[str, Any]:
        """The form in status."""
        return {"version": self.version, "revision": self.revision, "hash": self.hash}


@dataclass(frozen=True, slots=True)
class Progress:
    """The step in force: written on the route in the same apply as its weight.

    ``weight`` is what the step planned in percent when it was begun, so that an edit of the steps is seen; None if it was not written.
    ``lost`` is None until the candidate has lost all its pods in this step. From its return on the step has its whole time anew, once: what of that was
    over when the pods went again.
    """

    rollout: str
    step: int
    since: datetime
    weight: int | None = None
    lost: timedelta | None = None

    @property
    def candidate(self) -> str:
        """The hash of the rollout's candidate, with which the id of every rollout begins."""
        return self.rollout.partition("-")[0]

    def to_annotation(self) -> str:
        """`<rollout id>/<step>/<RFC 3339 since>/<weight>/<seconds lost>`."""
        weight = "" if self.weight is None else f"/{self.weight}"
        lost = "" if self.weight is None or self.lost is None else f"/{math.ceil(self.lost.total_seconds())}"
        return f"{self.rollout}/{self.step}/{format_time(self.since)}{weight}{lost}"


def parse_progress(text: str | None) -> Progress | None:
    """The inverse of ``Progress.to_annotation``; None for anything that this operator did not write."""
    parts = (text or "").split("/")
    if len(parts) not in (3, 4, 5) or not all(part.isdecimal() for part in (parts[1], *parts[3:])):
        return None
    try:
        weight = int(parts[3]) if len(parts) > 3 else None
        lost = timedelta(seconds=min(int(parts[4][:10]), LONGEST)) if len(parts) > 4 else None
        return Progress(parts[0], int(parts[1]), parse_time(parts[2]), weight, lost)
    except SoleraError:
        return None


@dataclass(frozen=True, slots=True)
class Rollout:
    """One rollout from candidate accepted on. ``approved`` are the indices of steps that a person let pass.

    ``paused_at`` is None unless a person has paused it. ``timed_from`` is from when times are counted that did not run for a while (a pause, a wait for
    a node): it lies before the start of every later step, so the later of the two starts is always the one that counts.
    """

    id: str
    started_at: datetime
    approved: tuple[int, ...] = ()
    held_since: datetime | None = None
    hold_reason: str | None = None
    paused_at: datetime | None = None
    paused_by: str | None = None
    timed_from: datetime | None = None

    def clock(self, start: datetime) -> datetime:
        """From when the time since ``start`` is counted: later, if it was paused meanwhile."""
        return start if self.timed_from is None else max(start, self.timed_from)


@dataclass(frozen=True, slots=True)
class Previous:
    """The revision that carried the traffic before, kept warm until ``until``. Its weight is 0 since ``since``."""

    ref: RevisionRef
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Draining:
    """A revision on its way out. ``since`` is when the route last gave it weight 0; None while it still has some."""

    ref: RevisionRef
    since: datetime | None


@dataclass(frozen=True, slots=True)
class Rejected:
    """A hash that was rolled back. It is tried again after a retry or an edit of its operational fields."""

    version: str
    hash: str
    at: datetime
    reason: str
    operational: str


@dataclass(frozen=True, slots=True)
class Promoted:
    """A hash that has carried all traffic here once."""

    version: str
    hash: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A version that has been retired. ``late_by`` runs from its declared date to the moment its weight was 0."""

    version: str
    retired_at: datetime
    late_by: timedelta


@dataclass(frozen=True, slots=True)
class Memory:
    """Everything above together. Replaced as a whole, never changed."""

    stable: RevisionRef | None = None
    candidate: RevisionRef | None = None
    previous: Previous | None = None
    rollout: Rollout | None = None
    draining: tuple[Draining, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    promoted: tuple[Promoted, ...] = ()
    tombstones: tuple[Tombstone, ...] = ()
    history: tuple[tuple[datetime, str, str], ...] = ()
    last_request: str | None = None

    def known(self) -> dict[str, RevisionRef]:
        """Every revision that has a role, by its name."""
        refs: Iterable[RevisionRef | None] = (
            self.stable,
            self.candidate,
            self.previous.ref if self.previous else None,
            *(d.ref for d in self.draining),
        )
        return {r.revision: r for r in refs if r is not None}

    def is_rejected(self, revision_hash: str, operational: str) -> Rejected | None:
        """The rejection of this hash, unless its operational fields were edited since."""
        return next((r for r in self.rejected if r.hash == revision_hash and r.operational == operational), None)

    def was_promoted(self, revision_hash: str) -> bool:
        """True when this hash has carried all traffic here once."""
        return any(p.hash == revision_hash for p in self.promoted)

    def tombstone(self, version: str) -> Tombstone | None:
        """The tombstone of a version, None while it lives."""
        return next((t for t in self.tombstones if t.version == version), None)

    def drain(self, ref: RevisionRef, since: datetime | None) -> Memory:
        """Send a revision on its way out; a second call changes nothing."""
        if any(d.ref == ref for d in self.draining):
            return self
        return replace(self, draining=(*self.draining, Draining(ref, since)))

    def keep(self, ref: RevisionRef) -> Memory:
        """Take a revision back from its way out."""
        return replace(self, draining=tuple(d for d in self.draining if d.ref != ref))

    def tell(self, now: datetime, event: str, message: str) -> Memory:
        """Add a line to the history, the newest last."""
        return replace(self, history=(*self.history, (now, event, message))[-MAX_HISTORY:])


def _ref(raw: Mapping[str, Any] | None) -> RevisionRef | None:
    if not raw or not all(isinstance(raw.get(k), str) for k in ("version", "revision", "hash")):
        return None
    return RevisionRef(raw["version"], raw["revision"], raw["hash"])


def _time(text: str | None) -> datetime | None:
    return parse_time(text) if text else None


def from_status(status: Mapping[str, Any]) -> Memory:
    """Read the memory back. Anything that is missing or was never written is simply not remembered."""
    rollout = status.get("rollout") or {}
    previous = status.get("previous")
    previous_ref = _ref(previous)
    return Memory(
        stable=_ref(status.get("stable")),
        candidate=_ref(status.get("candidate")) if rollout.get("id") else None,  # without a rollout it starts again
        previous=Previous(previous_ref, parse_time(previous["since"]), parse_time(previous["until"]))
        if previous_ref and previous and previous.get("since") and previous.get("until")
        else None,
        rollout=Rollout(
            rollout["id"],
            parse_time(rollout["startedAt"]),
            tuple(rollout.get("approvedSteps") or ()),
            _time(rollout.get("heldSince")),
            rollout.get("holdReason"),
            _time(rollout.get("pausedAt")),
            rollout.get("pausedBy"),
            _time(rollout.get("timedFrom")),
        )
        if rollout.get("id")
        else None,
        draining=tuple(
            Draining(ref, _time(d.get("since"))) for d in status.get("draining") or () if (ref := _ref(d)) is not None
        ),
        rejected=tuple(
            Rejected(r["version"], r["hash"], parse_time(r["at"]), r.get("reason", ""), r.get("operational", ""))
            for r in status.get("rejected") or ()
        ),
        promoted=tuple(Promoted(p["version"], p["hash"], parse_time(p["at"])) for p in status.get("promoted") or ()),
        tombstones=tuple(
            Tombstone(v["name"], parse_time(v["retiredAt"]), parse_duration(v.get("lateBy") or "0s"))
            for v in status.get("versions") or ()
            if v.get("retiredAt")
        ),
        history=tuple((parse_time(h["at"]), h["event"], h["message"]) for h in status.get("history") or ()),
        last_request=status.get("lastHandledRequest"),
    )


def to_status(memory: Memory) -> dict[str, Any]:
    """The remembered part of ``status``; what is empty is left out. Tombstones are written with the versions."""
    status: dict[str, Any] = {}
    if memory.stable:
        status["stable"] = memory.stable.to_status()
    if memory.candidate:
        status["candidate"] = memory.candidate.to_status()
    if memory.previous:
        status["previous"] = {
            **memory.previous.ref.to_status(),
            "since": format_time(memory.previous.since),
            "until": format_time(memory.previous.until),
        }
    if memory.draining:
        status["draining"] = [
            {**d.ref.to_status(), **({"since": format_time(d.since)} if d.since else {})} for d in memory.draining
        ]
    if memory.rejected:
        status["rejected"] = [
            {"version": r.version, "hash": r.hash, "at": format_time(r.at), "reason": r.reason}
            | ({"operational": r.operational} if r.operational else {})
            for r in memory.rejected[-MAX_LIST:]
        ]
    if memory.promoted:
        status["promoted"] = [
            {"version": p.version, "hash": p.hash, "at": format_time(p.at)} for p in memory.promoted[-MAX_LIST:]
        ]
    if memory.history:
        status["history"] = [{"at": format_time(at), "event": e, "message": m} for at, e, m in memory.history]
    if memory.last_request:
        status["lastHandledRequest"] = memory.last_request
    return status


def rollout_to_status(rollout: Rollout) -> dict[str, Any]:
    """The remembered part of ``status.rollout``."""
    out: dict[str, Any] = {"id": rollout.id, "startedAt": format_time(rollout.started_at)}
    if rollout.approved:
        out["approvedSteps"] = list(rollout.approved)
    if rollout.held_since:
        out["heldSince"] = format_time(rollout.held_since)
    if rollout.hold_reason:
        out["holdReason"] = rollout.hold_reason
    if rollout.paused_at:
        out["pausedAt"] = format_time(rollout.paused_at)
    if rollout.paused_by:
        out["pausedBy"] = rollout.paused_by
    if rollout.timed_from:
        out["timedFrom"] = format_time(rollout.timed_from)
    return out


def tombstone_to_status(tombstone: Tombstone) -> dict[str, Any]:
    """The tombstone's part of `status.versions[]`."""
    return {"retiredAt": format_time(tombstone.retired_at), "lateBy": format_duration(tombstone.late_by)}
