"""Where the life of an LLMDeployment stands, and what happens next and when: the words that people read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from solera.api.scalars import format_time
from solera.api.spec import OnRetirement
from solera.api.status import State
from solera.plan.gates import PAUSED, paused_words
from solera.plan.lifecycle import moves_at
from solera.plan.policies import rejection
from solera.plan.routing import Routing, blocked
from solera.plan.situation import Situation
from solera.plan.traffic import AWAY, STABLE_UNAVAILABLE, refusal
from solera.plan.upkeep import drained_at

HOLDING_TRAFFIC = frozenset({*AWAY, STABLE_UNAVAILABLE})


@dataclass(frozen=True, slots=True)
class Outlook:
    """``reason`` and ``message`` say what is waited for, ``hold`` that it is waited for on purpose. ``at`` is None when no clock ends it."""

    state: State
    reason: str
    message: str
    next: str
    at: datetime | None
    hold: bool = False


def look_out(s: Situation, routing: Routing) -> Outlook:
    """Derive state and next event from what is seen; never from what the state was before."""
    if s.memory.stable is None:
        return _without_stable(s)
    if s.memory.candidate is not None:
        return _rollout(s, routing)
    leaving = [d for d in s.memory.draining if d.ref.revision in s.live]
    if leaving:
        name, why = leaving[0].ref.version, routing.traffic.message
        return Outlook(
            State.ROLLING_BACK,
            routing.traffic.held or "RollingBack",
            f"traffic leaves {name}" + (f"; {why}" if why else ""),
            f"0% to {name}",
            None,
            bool(routing.traffic.held),
        )
    if s.memory.draining:
        first = s.memory.draining[0]
        at = drained_at(s, first)
        when = f" at {format_time(at)}" if at and at > s.now else ""
        return Outlook(
            State.DRAINING, "Draining", f"{first.ref.version} drains", f"pods of {first.ref.version} go{when}", at
        )
    return _at_rest(s)


def _without_stable(s: Situation) -> Outlook:
    if s.target is None:
        reason, message = s.problem or ("NothingToServe", "nothing is asked to serve")
        state = State.DRAINING if s.memory.draining else State.IDLE
        return Outlook(state, reason, message, "", None)
    seen = s.seen(s.target)
    if seen is not None and seen.ready_endpoints:
        words = f"{s.target.version} is ready; a real completion is awaited"
        return Outlook(State.EVALUATING, "WaitingForAnswer", words, f"100% to {s.target.version} once it answers", None)
    words = s.pods_ready(s.target)
    return Outlook(State.PROVISIONING, "Provisioning", words, f"100% to {s.target.version} once it answers", None)


def _rollout(s: Situation, routing: Routing) -> Outlook:
    candidate = s.memory.candidate
    assert candidate is not None
    version = candidate.version
    if (refused := refusal(s.observation.route)) is not None:
        return Outlook(State.HELD, "RouteNotAccepted", refused, "the route must be accepted", None, hold=True)
    if s.paused and (s.progress is not None or blocked(s) is None):
        return _paused(s, version, routing)
    if s.progress is None or s.step is None:
        following = f"{_first(s)}% to {version} once it answers"
        seen = s.seen(candidate)
        if (block := blocked(s)) is not None:
            return Outlook(State.HELD, block[0], block[1], following, None, hold=True)
        if routing.traffic.held in HOLDING_TRAFFIC:
            return Outlook(State.HELD, routing.traffic.held or "", routing.traffic.message, following, None, hold=True)
        if seen is not None and seen.ready_endpoints and not s.fully_serving(candidate):
            return Outlook(
                State.EVALUATING,
                "WaitingForAnswer",
                f"{s.pods_ready(candidate)}; a real completion is awaited",
                following,
                None,
            )
        entry = s.entry
        if entry is not None and not entry.open and s.fully_serving(candidate):
            state = State.HELD if entry.hold else State.EVALUATING
            return Outlook(state, entry.reason, entry.message, following, None, entry.hold)
        return Outlook(State.PROVISIONING, "Provisioning", s.pods_ready(candidate), following, None)
    if routing.traffic.held in HOLDING_TRAFFIC:
        words = routing.traffic.message
        return Outlook(
            State.HELD, routing.traffic.held or "", words, f"{s.step.weight}% to {version} again", None, hold=True
        )
    return _in_step(s, version)


def _paused(s: Situation, version: str, routing: Routing) -> Outlook:
    """A person keeps it where it is. What else is in the way is said, too: pods that do not come do not wait for a person."""
    candidate, rollout = s.memory.candidate, s.memory.rollout
    assert candidate is not None
    assert rollout is not None
    assert rollout.paused_at is not None
    resume = f"after kubectl solera resume {s.observation.owner.name}"
    if s.gate is None or s.progress is None:
        words = f"{version} is {paused_words(rollout.paused_at, rollout.paused_by)}, before its first step"
        following = f"{_first(s)}% to {version}"
        trouble = "" if s.fully_serving(candidate) else s.pods_ready(candidate)
    else:
        words, trouble = s.gate.message, routing.traffic.message
        following = _upcoming(s, version)
    return Outlook(
        State.HELD, PAUSED, "; ".join(filter(None, (words, trouble))), f"{following} {resume}", None, hold=True
    )


def _first(s: Situation) -> str:
    entry = s.entry
    return str(s.steps[entry.to if entry is not None and entry.to is not None else 0].weight)


def _upcoming(s: Situation, version: str) -> str:
    assert s.progress is not None
    if s.at_last_step:
        return f"{version} becomes stable"
    if s.ramp is not None and s.gate is not None and s.gate.to is None:
        weight = s.steps[s.progress.step + 1].weight
        return f"{weight}%{' or more' if weight < 100 else ''} to {version}"
    following = None if s.gate is None else s.gate.to
    index = min(s.progress.step + 1, len(s.steps) - 1) if following is None else following
    return f"{s.steps[index].weight}% to {version}"


def _in_step(s: Situation, version: str) -> Outlook:
    gate, candidate = s.gate, s.memory.candidate
    assert gate is not None
    assert candidate is not None
    assert s.progress is not None
    assert s.step is not None
    upcoming = _upcoming(s, version)
    if not s.route_in_force or s.live.get(candidate.revision) != s.step.weight:
        words = f"the gateway takes over {s.step.weight}% to {version}"
        return Outlook(State.SHIFTING, "WaitingForRoute", words, upcoming, None)
    if s.at_last_step:
        words = f"{version} carries all traffic; {gate.message}"
        lacking = gate.hold and not s.fully_serving(candidate)
        return Outlook(State.HELD if lacking else State.PROMOTING, gate.reason, words, upcoming, gate.at, lacking)
    if gate.reason == "MinDuration" and gate.at is not None:
        upcoming += f" at {format_time(gate.at)} or later"
    elif gate.reason == "WaitingForApproval":
        upcoming += f" after kubectl solera promote {s.observation.owner.name}"
    state = State.HELD if gate.hold else State.SHIFTING
    return Outlook(state, gate.reason, gate.message, upcoming, gate.at, gate.hold)


def _at_rest(s: Situation) -> Outlook:
    stable = s.memory.stable
    assert stable is not None
    rejected = rejection(s) if s.target != stable else None
    if rejected is not None:
        way_out = (
            f"edit the version, name another one in spec.serve, or kubectl solera retry {s.observation.owner.name}"
        )
        return Outlook(State.IDLE, "RolledBack", rejected.reason, way_out, None)
    upcoming, at = _next_date(s)
    if s.problem is not None:
        return Outlook(State.IDLE, s.problem[0], s.problem[1], upcoming, at)
    if s.memory.previous is not None:
        previous = s.memory.previous
        until = s.kept_until(previous)
        if at is None or until < at:
            upcoming, at = f"pods of {previous.ref.version} go at {format_time(until)}", until
        if until <= s.now:
            upcoming, at = f"pods of {previous.ref.version} stay until {stable.version} has ready ones", None
    return Outlook(State.IDLE, "Serving", f"{stable.version} carries all traffic", upcoming, at)


def _next_date(s: Situation) -> tuple[str, datetime | None]:
    """The next declared date of the version that serves."""
    stable = s.memory.stable
    version = s.version_of(stable) if stable is not None else None
    if version is None or stable is None:
        return "", None
    life, name = version.life, stable.version
    entries: Mapping[str, datetime | None] = {
        f"{name} moves to {life.successor} at": moves_at(life),
        f"{name} is deprecated at": life.deprecated_at,
        f"{name} {_AT_DATE[life.on_retirement]} at": life.retires_at,
    }
    coming = [(at, words) for words, at in entries.items() if at is not None and at > s.now]
    if not coming:
        return "", None
    at, words = min(coming)
    return f"{words} {format_time(at)}", at


_AT_DATE = {
    OnRetirement.REDIRECT: "retires",
    OnRetirement.REFUSE: "retires (requests are refused)",
    OnRetirement.HOLD: "should retire (held)",
}
