"""Has it come about what is waited for, can it still, or does it wait for a person? Read from status alone. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from solera.cli.views.view import Condition, Deployment

PASSING = frozenset({"RouteNotAccepted", "NameTaken", "HostnameConflict", "Refused"})
"""Stalls that may end without anybody changing the spec: a gateway that is being mended, children of a namesake that are on their way out, another owner
of the host name, a quota or a policy."""

UNSEEN = frozenset({"InvalidSpec", "Refused"})
"""Stalls beside which the other conditions still tell of an earlier generation."""


class Outcome(StrEnum):
    """How the waiting stands, or ended."""

    WAITING = "Waiting"
    REACHED = "Reached"
    FAILED = "Failed"
    HELD = "Held"
    TIMED_OUT = "TimedOut"


@dataclass(frozen=True, slots=True)
class Came:
    """What came of it so far, and one sentence that says why."""

    outcome: Outcome
    message: str


class GoalError(ValueError):
    """What is to be waited for is not one of the forms; the text says which there are."""


@dataclass(frozen=True, slots=True)
class Goal:
    """`complete`, `ready`, `stable=<version>` or `retired=<version>`."""

    kind: str
    version: str | None = None

    def __str__(self) -> str:
        return self.kind if self.version is None else f"{self.kind}={self.version}"


def parse_goal(text: str) -> Goal:
    """Read `--for`.

    Raises:
        GoalError: it is none of the forms.
    """
    kind, _, version = text.partition("=")
    bare = kind in {"complete", "ready"}
    known = kind in {"complete", "ready", "stable", "retired"}
    if not known or bare == bool(version) or text.count("=") != (0 if bare else 1):
        raise GoalError(f"{text!r} is nothing to wait for: write complete, ready, stable=VERSION or retired=VERSION")
    return Goal(kind, version or None)


def unknown_version(d: Deployment, goal: Goal) -> str | None:
    """Why the version that is waited for can never be seen: there is none of that name."""
    known = [v.name for v in d.versions]
    if goal.version is None or goal.version in known:
        return None
    return f"{d.name} has no version {goal.version}; it has {', '.join(known) or 'none'}"


def waits_for_person(d: Deployment) -> bool:
    """True when nothing moves until somebody approves, resumes, or changes something."""
    return _hold(d) is not None or (_stall(d) is not None)


def came(d: Deployment, goal: Goal) -> Came:
    """How the waiting for `goal` stands, by the newest status."""
    if d.deleted_at:
        return Came(Outcome.FAILED, f"{d.name} is being deleted")
    if not d.observed:
        return Came(Outcome.WAITING, f"the operator has not looked at generation {d.generation} of {d.name} yet")
    if goal.kind == "retired":
        return _retired(d, goal.version or "")
    if goal.kind != "stable":
        if (stalled := d.is_true("Stalled")) is not None and stalled.reason in UNSEEN:
            outcome = Outcome.WAITING if stalled.reason in PASSING else Outcome.FAILED
            return Came(outcome, f"{stalled.reason}: {stalled.message}")
        if (gone := _refuses(d)) is not None:
            return Came(Outcome.FAILED, gone)
    if goal.kind == "complete":
        found = d.is_true("RolloutComplete")
    elif goal.kind == "ready":
        found = d.is_true("Ready")
    else:
        return _stable(d, goal.version or "")
    return Came(Outcome.REACHED, found.message or found.reason) if found else _not_yet(d)


def _refuses(d: Deployment) -> str | None:
    """Why nothing will serve: the version that was asked for has retired and leads to no other."""
    ready = d.condition("Ready")
    return ready.message if ready is not None and (ready.status, ready.reason) == ("False", "VersionRetired") else None


def _stable(d: Deployment, version: str) -> Came:
    moving = d.candidate is not None and d.candidate.version == version
    if d.stable is not None and d.stable.version == version and not moving:
        return Came(Outcome.REACHED, f"{version} is stable")
    if not moving and version not in _asked_for(d):
        return Came(Outcome.FAILED, f"nothing asks for {version}: spec.serve is {d.serve}")
    return _not_yet(d)


def _asked_for(d: Deployment) -> set[str]:
    """What spec.serve names, and where its successors lead, but for what has retired."""
    follows = {v.name: v.successor for v in d.versions}
    passed: set[str] = set()
    name = d.serve
    while name and name not in passed:
        passed.add(name)
        name = follows.get(name)
    return passed - {v.name for v in d.versions if v.has_retired}


def _retired(d: Deployment, version: str) -> Came:
    v = next((v for v in d.versions if v.name == version), None)
    if v is not None and v.has_retired:
        return Came(Outcome.REACHED, f"{version} is retired")
    if v is None or v.retires_at is None:
        return Came(Outcome.FAILED, f"{version} never retires: its lifecycle has no retiresAt")
    for kind in ("RetirementHeld", "RetirementOverdue"):
        if (found := d.is_true(kind)) and v.weight:
            outcome = Outcome.WAITING if found.reason == "SuccessorNotReady" and _hold(d) is None else Outcome.HELD
            return Came(outcome, found.message)
    return Came(Outcome.WAITING, d.next or f"{version} has not retired yet")


def _not_yet(d: Deployment) -> Came:
    if (stall := _stall(d)) is not None:
        return Came(Outcome.FAILED, f"{stall.reason}: {stall.message}")
    if (hold := _hold(d)) is not None:
        return Came(Outcome.HELD, hold)
    ready, r = d.condition("Ready"), d.rollout if d.in_rollout else None
    said = (r.message if r else None) or (ready.message if ready and ready.status != "True" else None) or d.next
    return Came(Outcome.WAITING, said or "nothing is said about it yet")


def _stall(d: Deployment) -> Condition | None:
    """What only a change of the spec, or a retry, mends."""
    found = d.is_true("Stalled")
    return None if found is None or found.reason in PASSING else found


def _hold(d: Deployment) -> str | None:
    """What a person has to let go on."""
    r = d.rollout
    if r is None or not d.in_rollout:
        return None
    if d.paused or (d.waits_for_approval and r.reason == "WaitingForApproval"):
        return r.message or r.reason
    return None
