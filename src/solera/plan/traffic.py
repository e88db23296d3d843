"""Which share of the requests each revision gets, decided on what can carry it.

The rules, in the order of their strength:
1. the traffic is never taken from every revision that can answer;
2. weight is added only for a revision with a ready endpoint that has answered a real completion;
3. weight is never moved back to a stable revision that cannot carry it: then it stays where it is;
4. a candidate that has no ready endpoint left gives its weight back at once.

Backends at weight 0 are left out of the route, because some gateways leak requests to them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from solera.plan.memory import PROGRESS_ANNOTATION, Progress, RevisionRef, parse_progress
from solera.plan.types import Manifest, ObservedRevision

STABLE_UNAVAILABLE = "StableUnavailable"
"""The hold of what stable, without pods, cannot carry or be compared with."""

AWAY = {
    "CandidateUnavailable": "no ready endpoint",
    "CandidateUnproven": "no answer",
    "CandidateIncomplete": "not all pods ready",
}
"""Holds that a candidate may keep for its startupTimeout, and what it lacks meanwhile."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """Weights by revision name, in percent, adding up to 100 (or empty: no route). ``held`` says why they are not as planned."""

    weights: Mapping[str, int]
    held: str | None = None
    message: str = ""


def live_weights(route: Manifest | None) -> dict[str, int]:
    """What the live route gives to each backend, in percent of all; weights of 0 are left out.

    Gateway API v1: a missing weight counts as 1, and a share is the weight over the sum of the weights.
    """
    totals: dict[str, int] = {}
    for rule in ((route or {}).get("spec") or {}).get("rules") or []:
        for backend in rule.get("backendRefs") or []:
            weight = backend.get("weight", 1)
            totals[backend.get("name", "")] = totals.get(backend.get("name", ""), 0) + weight
    whole = sum(totals.values())
    if whole <= 0:
        return {}
    return {name: round(100 * weight / whole) for name, weight in totals.items() if weight > 0}


def route_accepted(route: Manifest | None) -> bool | None:
    """Whether every parent accepted the route at its present generation; None while one has not said so yet.

    Gateway API v1 ``RouteParentStatus``: conditions Accepted and ResolvedRefs, each with its own observedGeneration.
    """
    parents = ((route or {}).get("status") or {}).get("parents") or []
    wanted = ((route or {}).get("spec") or {}).get("parentRefs") or []
    generation = ((route or {}).get("metadata") or {}).get("generation", 0)
    if not parents or len(parents) < len(wanted):
        return None
    answer: bool | None = True
    for parent in parents:
        conditions = {c.get("type"): c for c in parent.get("conditions") or []}
        for kind in ("Accepted", "ResolvedRefs"):
            condition: dict[str, Any] = conditions.get(kind) or {}
            if not condition or condition.get("observedGeneration", 0) < generation:
                answer = None if answer is not False else answer
            elif condition.get("status") != "True":
                answer = False
    return answer


def routed_progress(route: Manifest | None) -> Progress | None:
    """The step that stands on the route."""
    annotations = ((route or {}).get("metadata") or {}).get("annotations") or {}
    return parse_progress(annotations.get(PROGRESS_ANNOTATION))


BEFORE_ANY_STEP = -1


def step_in_force(route: Manifest | None, rollout: str, candidate: str | None) -> int:
    """Index of the step of ``rollout`` by which the gateway shares out requests now; BEFORE_ANY_STEP before the first.

    A route that the gateway has not taken over yet leaves the step before in force: requests that still follow the old weights say nothing
    about the new ones. So does one without ``candidate`` (the revision's name), which has lost its pods: the step begins anew when it is back. None after the
    rollout.
    """
    progress = routed_progress(route)
    if progress is None or progress.rollout != rollout:
        return BEFORE_ANY_STEP
    there = candidate is None or bool(live_weights(route).get(candidate))
    return progress.step if there and route_accepted(route) else progress.step - 1


def step_begun(route: Manifest | None, rollout: str) -> datetime | None:
    """When the step of ``rollout`` was begun by which the gateway shares out requests now; None where that is not known."""
    progress = routed_progress(route)
    known = progress is not None and progress.rollout == rollout and route_accepted(route)
    return progress.since if progress is not None and known else None


def refusal(route: Manifest | None) -> str | None:
    """The gateway's own words for not accepting the route, with the fix where it is known; None when it did not refuse."""
    for parent in ((route or {}).get("status") or {}).get("parents") or []:
        for condition in parent.get("conditions") or []:
            if condition.get("type") in {"Accepted", "ResolvedRefs"} and condition.get("status") == "False":
                reason, words = condition.get("reason", ""), condition.get("message", "")
                name = (parent.get("parentRef") or {}).get("name", "")
                fix = _FIXES.get(reason, "")
                return f"Gateway {name} does not accept the route: {reason} {words}".strip() + (
                    f" ({fix})" if fix else ""
                )
    return None


_FIXES = {
    "NotAllowedByListeners": "set allowedRoutes.namespaces of the Gateway's listener so that this namespace is let in",
    "NoMatchingListenerHostname": "spec.traffic.gateway.hostnames must lie within the listener's hostname",
    "NoMatchingParent": "spec.traffic.gateway.parentRefs names a Gateway, section or port that does not exist",
    "BackendNotFound": "the Service is not there yet or has no endpoints",
}


def _ready(revisions: Mapping[str, ObservedRevision], name: str) -> bool:
    return name in revisions and revisions[name].ready_endpoints > 0


def _serving(revisions: Mapping[str, ObservedRevision], name: str) -> bool:
    return name in revisions and revisions[name].serving


def desired_traffic(
    stable: RevisionRef | None,
    candidate: RevisionRef | None,
    candidate_weight: int,
    revisions: Mapping[str, ObservedRevision],
    live: Mapping[str, int],
    *,
    complete: bool = True,
) -> Traffic:
    """The weights to write now. ``candidate_weight`` is the planned one in percent, ``live`` what the route carries.

    ``complete`` tells that all pods of the candidate are ready that can be: the first must not get back what was meant for all.
    """
    if stable is None:
        return Traffic({})
    if candidate is None or candidate_weight == 0:
        return _to_stable(stable, revisions, live)
    name = candidate.revision
    if not _ready(revisions, name):
        back = _to_stable(stable, revisions, live)
        return Traffic(
            back.weights, back.held or "CandidateUnavailable", back.message or f"{name} has no ready endpoint"
        )
    kept = dict(live) or dict(_to_stable(stable, revisions, live).weights)
    if candidate_weight > live.get(name, 0) and not _serving(revisions, name):
        return Traffic(kept, "CandidateUnproven", f"{name} has not answered a real completion yet")
    if not live.get(name) and not complete and any(_ready(revisions, other) for other in kept):
        return Traffic(kept, "CandidateIncomplete", f"not all pods of {name} are ready")
    carries = _ready if live.get(stable.revision) else _serving
    if 100 - candidate_weight > live.get(stable.revision, 0) and not carries(revisions, stable.revision):
        return Traffic(dict(live), STABLE_UNAVAILABLE, f"{stable.revision} cannot carry traffic now")
    weights = {stable.revision: 100 - candidate_weight, name: candidate_weight}
    return Traffic({n: w for n, w in weights.items() if w > 0})


def _to_stable(stable: RevisionRef, revisions: Mapping[str, ObservedRevision], live: Mapping[str, int]) -> Traffic:
    if set(live) == {stable.revision}:
        return Traffic({stable.revision: 100})  # a sole revision that loses its pods stays routed
    if _ready(revisions, stable.revision) if live.get(stable.revision) else _serving(revisions, stable.revision):
        return Traffic({stable.revision: 100})
    # A new route waits for its first answer; weights that are there stay, also when nobody can answer just now.
    words = "cannot carry the traffic now; weights stay" if live else "is not ready"
    return Traffic(dict(live), STABLE_UNAVAILABLE, f"{stable.revision} {words}")
