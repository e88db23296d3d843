"""What should be written to the HTTPRoute now: weights, and next to them the step that explains them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

from solera.plan.children import apply_if_different
from solera.plan.gates import WAITING_FOR_APPROVAL
from solera.plan.memory import PROGRESS_ANNOTATION, Progress
from solera.plan.situation import Situation
from solera.plan.traffic import AWAY, Traffic, desired_traffic
from solera.plan.types import Action, Apply, Delete
from solera.render.route import http_route


@dataclass(frozen=True, slots=True)
class Routing:
    """``action`` is the write that brings the route there, None when it is there."""

    traffic: Traffic
    progress: Progress | None
    action: Action | None


def blocked(s: Situation) -> tuple[str, str] | None:
    """Why a candidate that is ready may not get its first traffic."""
    watched = {g.name for g in s.intent.guardrails if g.action != "Observe"}
    for name, why in sorted(s.observation.unmeasurable.items()):
        if name in watched:
            return "MetricUnavailable", f"guardrail {name} cannot be measured here: {why}"
    return None


def _planned(s: Situation) -> tuple[int, Progress | None]:
    """The weight of the candidate in percent and the step that it belongs to, as if everything could carry it."""
    candidate, rollout = s.memory.candidate, s.memory.rollout
    if candidate is None or rollout is None:
        return 0, s.progress
    if s.progress is None:
        ready = s.fully_serving(candidate) and blocked(s) is None and not s.observation.hostname_conflicts
        entry, ready = s.entry, ready and not s.paused
        return _begin(s, rollout.id, 0 if entry is None else entry.to) if ready else (0, None)
    assert s.step is not None
    if s.paused:  # what the candidate has lost meanwhile it gets again when the rollout goes on
        return min(s.step.weight, s.live.get(candidate.revision, 0)), s.progress
    gate = s.gate
    in_force = s.live.get(candidate.revision) == s.step.weight and s.route_in_force
    if gate is not None and gate.open and gate.to is not None and in_force and s.fully_serving(candidate):
        return _begin(s, rollout.id, gate.to)
    return s.step.weight, s.progress


def _begin(s: Situation, rollout: str, index: int | None) -> tuple[int, Progress | None]:
    if index is None:
        return 0, None
    return s.steps[index].weight, Progress(rollout, index, s.now, s.steps[index].weight)


def route_now(s: Situation) -> Routing:
    """Decide the weights, and the one write that they need."""
    memory, revisions = s.memory, s.observation.revisions
    if memory.stable is None:
        return Routing(Traffic({}), s.progress, _removal(s))
    weight, progress = _planned(s)
    complete = s.all_there(memory.candidate)
    traffic = desired_traffic(memory.stable, memory.candidate, weight, revisions, s.live, complete=complete)
    if traffic.held and progress != s.progress:  # a step that cannot be carried is not begun
        weight, progress = (0, None) if s.progress is None or s.step is None else (s.step.weight, s.progress)
        kept = desired_traffic(memory.stable, memory.candidate, weight, revisions, s.live, complete=complete)
        traffic = Traffic(kept.weights, traffic.held, traffic.message)
    if not traffic.weights:
        return Routing(traffic, progress, None)
    if progress is not None and progress == s.progress and not traffic.held and s.live.keys() - traffic.weights.keys():
        # Until now one had requests that should have none by this step. Its drain must not be counted from before.
        progress = replace(progress, since=s.now)
    if progress is not None and progress == s.progress and s.stable_is_back:
        progress = replace(progress, since=s.now)
    progress = _with_lost(s, progress, traffic.weights)
    return Routing(traffic, progress, _write(s, traffic.weights, progress))


def _with_lost(s: Situation, progress: Progress | None, weights: Mapping[str, int]) -> Progress | None:
    """The same step, with what its time has lost to a candidate that loses all its pods again and again.

    The first time is free: a node may go. So is a wait for a node, a pause, and all until a person was asked to approve.
    """
    candidate, rollout = s.memory.candidate, s.memory.rollout
    same = s.progress is not None and progress is not None and progress.step == s.progress.step
    if candidate is None or rollout is None or progress is None or not same or s.paused:
        return progress
    there, will_be = bool(s.live.get(candidate.revision)), bool(weights.get(candidate.revision))
    if there and not will_be:
        gate = s.gate
        if s.lost is None or gate is None or gate.reason == WAITING_FOR_APPROVAL:
            return replace(progress, lost=timedelta(0))
        return replace(progress, lost=s.lost + s.lasted)
    if will_be and not there and progress.lost and rollout.held_since is not None and rollout.hold_reason in AWAY:
        return replace(progress, lost=progress.lost + (s.now - rollout.held_since))
    return progress


def _write(s: Situation, weights: Mapping[str, int], progress: Progress | None) -> Apply | None:
    observation = s.observation
    live = observation.route
    annotations = {}
    if progress is not None:
        annotations[PROGRESS_ANNOTATION] = progress.to_annotation()
    elif text := ((live or {}).get("metadata") or {}).get("annotations", {}).get(PROGRESS_ANNOTATION):
        annotations[PROGRESS_ANNOTATION] = text
    known = s.memory.known()
    backends = []
    newest = s.memory.candidate.revision if s.memory.candidate is not None else ""
    # The candidate first: gateways number their counters by the place of a backend, and at 100% it is the first anyway.
    for name, weight in sorted(weights.items(), key=lambda item: (item[0] != newest, item[0])):
        seen = observation.revisions.get(name)
        version = known[name].version if name in known else (seen.version if seen else "")
        backends.append((name, version, weight, _port(s, name)))
    desired = http_route(observation.owner, s.intent.gateway, backends, annotations)
    words = ", ".join(f"{name} {weight}%" for name, weight in sorted(weights.items()))
    version_of_live = None if live is None else live["metadata"]["resourceVersion"]
    return next(
        (Apply(a.manifest, f"{a.reason} ({words})", version_of_live) for a in apply_if_different(desired, live, words)),
        None,
    )


def _port(s: Situation, name: str) -> int:
    """The Service's own port, so that a route always fits what is there."""
    seen = s.observation.revisions.get(name)
    ports = ((seen.service or {}).get("spec") or {}).get("ports") or [] if seen else []
    return int(ports[0]["port"]) if ports else 8000


def _removal(s: Situation) -> Delete | None:
    """Nobody serves any more on purpose: the route goes, so that requests get the gateway's 404 rather than errors."""
    route = s.observation.route
    if route is None or route["metadata"].get("deletionTimestamp") or not s.refusing:
        return None
    if s.target is not None and s.target.revision in s.live:
        return None
    meta = route["metadata"]
    return Delete("HTTPRoute", meta["name"], meta["uid"], meta["resourceVersion"], "refuse requests: nothing serves")
