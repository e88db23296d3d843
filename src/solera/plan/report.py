"""The status that people and tools read, composed from one situation. Weights are the observed route's, never wishes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from solera.api.conditions import ConditionType, Finding, contract, settle
from solera.api.errors import FieldError
from solera.api.scalars import format_percent, format_time, parse_time
from solera.api.spec import OnRetirement
from solera.api.status import Phase, State
from solera.plan.lifecycle import phase
from solera.plan.memory import Memory, from_status, rollout_to_status, to_status, tombstone_to_status
from solera.plan.outlook import Outlook
from solera.plan.policies import rejection
from solera.plan.situation import Situation
from solera.plan.traffic import live_weights, refusal, route_accepted
from solera.plan.types import Observation
from solera.plan.verdict import GuardrailVerdict

FIGURES_EVERY = timedelta(seconds=15)
"""How old the figures in status may become while nothing else changes: each refresh is a write to the apiserver."""


def compose(s: Situation, outlook: Outlook) -> dict[str, Any]:
    """The whole status. Figures that alone have changed are carried over until they are ``FIGURES_EVERY`` old."""
    memory, old = s.memory, _old(s.observation)
    status: dict[str, Any] = {
        "observedGeneration": s.observation.owner.generation,
        "state": outlook.state.value,
        "modelName": s.intent.model_name,
        "effectiveVersion": s.effective,
        **to_status(memory),
        "weight": s.live.get(memory.candidate.revision, 0) if memory.candidate else 0,
        "weights": _weights(s.observation, memory),
        "next": outlook.next,
        "versions": list(_versions(s)),
        "conditions": settle(
            old.get("conditions") or (), list(_findings(s, outlook)), s.now, s.observation.owner.generation
        ),
    }
    if outlook.at is not None and outlook.at > s.now:
        status["nextAt"] = format_time(outlook.at)
    if memory.rollout is not None:
        status["rollout"] = _rollout(s, outlook)
        figures = [_guardrail(v, {g.name: g.metric for g in s.intent.guardrails}) for v in s.verdicts]
        if not figures and (old.get("rollout") or {}).get("id") == memory.rollout.id:
            figures = list(old.get("guardrails") or ())  # the rollout is over: what decided it stays readable
        status["guardrails"] = figures
    elif old.get("rollout"):
        status |= {k: old[k] for k in ("rollout", "guardrails") if old.get(k)}
    status = {k: v for k, v in status.items() if v not in ("", [], None)}
    return _with_old_figures(s, status, old)


def compose_invalid(observation: Observation, error: FieldError, reason: str = "InvalidSpec") -> dict[str, Any]:
    """The status for a spec that cannot be planned: what was remembered stays, nothing is acted on."""
    old = _old(observation)
    stalled = Finding(ConditionType.STALLED, True, reason, str(error))
    findings = contract(Finding(ConditionType.READY, False, reason, str(error)), stalled=stalled)
    generation = observation.owner.generation
    kept = [
        Finding(ConditionType(c["type"]), {"True": True, "False": False}.get(c["status"]), c["reason"], c["message"])
        for c in old.get("conditions") or ()
        if c["type"] not in {"Ready", "Reconciling", "Stalled"}
    ]
    conditions = settle(old.get("conditions") or (), [*findings, *kept], observation.now, generation)
    old.pop("nextAt", None)  # what was to come does not come now
    upcoming = f"nothing until {error.path or 'this'} is mended"
    # The route is seen whatever the spec says: a write that was under way when it became unreadable is told, too.
    carried = {key: value for key, value in old.items() if key not in {"weights", "weight"}}
    memory = from_status(old)
    if weights := _weights(observation, memory):
        carried["weights"] = weights
    if "weight" in old:
        candidate = "" if memory.candidate is None else memory.candidate.revision
        carried["weight"] = next((w["weight"] for w in weights if w["revision"] == candidate), 0)
    return {**carried, "observedGeneration": generation, "next": upcoming, "conditions": conditions}


def _old(observation: Observation) -> dict[str, Any]:
    return dict(observation.custom_resource.get("status") or {})


def _weights(observation: Observation, memory: Memory) -> list[dict[str, Any]]:
    known = memory.known()
    out = []
    for name, weight in sorted(live_weights(observation.route).items()):
        seen = observation.revisions.get(name)
        version = known[name].version if name in known else seen.version if seen else name
        out.append({"version": version, "revision": name, "weight": weight})
    return out


_KEPT = ("observedShare", "harmedAtMost")


def _rollout(s: Situation, outlook: Outlook) -> dict[str, Any]:
    rollout, candidate, stable = s.memory.rollout, s.memory.candidate, s.memory.stable
    assert rollout is not None
    old = _old(s.observation).get("rollout") or {}
    carried = {
        k: old[k]
        for k in ("from", "to", "step", "steps", "weight", "stepStartedAt", "reason", "message", *_KEPT)
        if k in old
    }
    out = {**(carried if old.get("id") == rollout.id else {}), **rollout_to_status(rollout)}
    if candidate is None or stable is None:  # it has ended: what it was stays, with the reason why it ended
        if s.verdicts:  # the old revision is still warm, so the figures still change
            out["evidenceAt"] = format_time(s.now)
        event, message = s.memory.history[-1][1:] if s.memory.history else ("Ended", "")
        return {**out, "reason": event, "message": message} if s.memory.history and _just_ended(s) else out
    out |= {
        "from": stable.revision,
        "to": candidate.revision,
        "steps": len(s.steps),
        "reason": outlook.reason,
        "message": outlook.message,
        "evidenceAt": format_time(s.now),
    }
    if s.progress is not None and s.step is not None:
        out |= {"step": s.progress.step, "weight": s.step.weight, "stepStartedAt": format_time(s.progress.since)}
        if (share := s.step_evidence.share) is not None:
            out["observedShare"] = format_percent(share, 1)
        if s.ramp is not None:
            out["harmedAtMost"] = math.ceil(s.ramp.spent)
    return out


def _just_ended(s: Situation) -> bool:
    return s.memory.history[-1][0] == s.now and s.memory.history[-1][1] in {"Promoted", "RolledBack", "Aborted"}


def _guardrail(v: GuardrailVerdict, metrics: Mapping[str, str]) -> dict[str, Any]:
    shares = {"estimate": v.estimate, "low": v.low, "high": v.high, "limit": v.limit}
    out: dict[str, Any] = {
        "name": v.name,
        "metric": metrics.get(v.name),
        "verdict": str(v.verdict),
        **{k: format_percent(share) for k, share in shares.items() if share is not None},
        "samples": v.samples,
        "bad": v.bad,
        "source": v.source,
        "message": v.reason,
        "forecast": v.forecast,
    }
    return {k: value for k, value in out.items() if value not in (None, "")}


def _versions(s: Situation) -> Iterator[dict[str, Any]]:
    """Every version of the manifest, then those that have left it: their names stay taken."""
    old = {v["name"]: v for v in _old(s.observation).get("versions") or ()}
    for name, version in s.intent.versions.items():
        life, model = version.life, version.resolved.model
        entry: dict[str, Any] = {
            "name": name,
            "uri": model.uri,
            "phase": phase(name, life, s.memory, s.observation.calendar).value,
        }
        if model.revision:
            entry["modelRevision"] = model.revision
        if life.deprecated_at:
            entry["deprecatedAt"] = format_time(life.deprecated_at)
        if life.retires_at:
            entry["retiresAt"] = format_time(life.retires_at)
        if (tombstone := s.memory.tombstone(name)) is not None:
            entry |= tombstone_to_status(tombstone)
        yield entry
    gone = [_left(s, entry) for name, entry in old.items() if name not in s.intent.versions]
    yield from gone[-(128 - len(s.intent.versions)) :]


def _left(s: Situation, entry: dict[str, Any]) -> dict[str, Any]:
    """A version that has left the manifest has retired when its date has come and it has no part in anything any more."""
    date, in_use = entry.get("retiresAt"), {ref.version for ref in s.memory.known().values()}
    if date is None or s.observation.calendar < parse_time(date) or entry["name"] in in_use:
        return entry
    return {**entry, "phase": Phase.RETIRED.value}


def _findings(s: Situation, outlook: Outlook) -> Iterator[Finding]:
    yield from contract(_ready(s, outlook), _reconciling(s, outlook), _stalled(s, outlook))
    yield _complete(s, outlook)
    accepted = route_accepted(s.observation.route)
    if s.observation.route is not None:
        words = refusal(s.observation.route) or (
            "all parents accept the route" if accepted else "the gateway has not answered yet"
        )
        reason = "Accepted" if accepted else "NotAccepted" if accepted is False else "Pending"
        yield Finding(ConditionType.ROUTE_ACCEPTED, accepted, reason, words)
    yield from _retirement(s)


def _ready(s: Situation, outlook: Outlook) -> Finding:
    stable = s.memory.stable
    if stable is None:
        if s.problem is not None:
            return Finding(ConditionType.READY, False, *s.problem)
        return Finding(ConditionType.READY, False, outlook.reason, outlook.message)
    if stable.revision not in s.live and s.memory.candidate is None:
        return Finding(ConditionType.READY, False, "WaitingForRoute", f"{stable.version} is not routed yet")
    if not any(s.observation.revisions[n].ready_endpoints for n in s.live if n in s.observation.revisions):
        return Finding(ConditionType.READY, False, "NoReadyEndpoint", "no revision that is routed has a ready endpoint")
    return Finding(ConditionType.READY, True, outlook.reason, outlook.message)


def _reconciling(s: Situation, outlook: Outlook) -> Finding | None:
    short = {State.PROMOTING, State.ROLLING_BACK}
    starting = s.memory.stable is None and s.target is not None
    if (
        starting
        or outlook.state in short
        or (s.memory.stable and s.memory.stable.revision not in s.live and not s.memory.candidate)
    ):
        return Finding(ConditionType.RECONCILING, True, outlook.reason, outlook.message)
    return None


def _stalled(s: Situation, outlook: Outlook) -> Finding | None:
    """What only a person can mend."""
    observation = s.observation
    if observation.name_taken:
        return Finding(ConditionType.STALLED, True, "NameTaken", "; ".join(observation.name_taken))
    if observation.hostname_conflicts:
        words = "; ".join(observation.hostname_conflicts) + "; choose another spec.traffic.gateway.hostnames"
        return Finding(ConditionType.STALLED, True, "HostnameConflict", words)
    if outlook.reason in {"MetricUnavailable", "RouteNotAccepted"}:
        return Finding(ConditionType.STALLED, True, outlook.reason, outlook.message)
    if (refused := refusal(observation.route)) is not None:
        return Finding(ConditionType.STALLED, True, "RouteNotAccepted", refused)
    if s.problem is not None and (not s.refusing or s.problem[0] == "RolledBack"):
        return Finding(ConditionType.STALLED, True, *s.problem)
    rejected = rejection(s) if s.target != s.memory.stable else None
    if rejected is not None:
        held = f"; {outlook.message}" if outlook.state is State.ROLLING_BACK and outlook.hold else ""
        return Finding(ConditionType.STALLED, True, "RolledBack", f"{rejected.reason}{held}")
    return None


def _complete(s: Situation, outlook: Outlook) -> Finding:
    stable = s.memory.stable
    if stable is not None and s.memory.candidate is None and s.target == stable and stable.revision in s.live:
        return Finding(ConditionType.ROLLOUT_COMPLETE, True, "Promoted", f"{stable.version} carries all traffic")
    rejected = rejection(s)
    if rejected is not None:
        return Finding(ConditionType.ROLLOUT_COMPLETE, False, "RolledBack", rejected.reason)
    return Finding(ConditionType.ROLLOUT_COMPLETE, False, outlook.reason, outlook.message)


def _retirement(s: Situation) -> Iterator[Finding]:
    stable = s.memory.stable
    version = s.version_of(stable) if stable is not None else None
    if (
        stable is None
        or version is None
        or version.life.retires_at is None
        or s.observation.calendar < version.life.retires_at
    ):
        return
    date = format_time(version.life.retires_at)
    if version.life.on_retirement is OnRetirement.HOLD and s.effective == stable.version:
        words = f"{stable.version} should have retired at {date}; it keeps serving because onRetirement is Hold"
        yield Finding(ConditionType.RETIREMENT_HELD, True, "Hold", words)
        return
    rejected = rejection(s)
    unfinished = "is paused" if s.paused else "is not finished"
    why = f": {rejected.reason}" if rejected else f": the rollout to {s.effective} {unfinished}"
    words = f"{stable.version} should have retired at {date} and keeps serving{why}"
    yield Finding(
        ConditionType.RETIREMENT_OVERDUE, True, "SuccessorRejected" if rejected else "SuccessorNotReady", words
    )


def _with_old_figures(s: Situation, status: dict[str, Any], old: Mapping[str, Any]) -> dict[str, Any]:
    """The old status again when only its figures differ and they are fresh enough: a write per second helps nobody."""
    rollout, before = status.get("rollout"), old.get("rollout") or {}
    if not rollout or before.get("id") != rollout.get("id") or not before.get("evidenceAt"):
        return status
    if "evidenceAt" not in rollout:
        rollout["evidenceAt"] = before["evidenceAt"]
    if not timedelta(0) <= s.now - parse_time(before["evidenceAt"]) < FIGURES_EVERY:
        return status
    return dict(old) if _essence(status) == _essence(old) else status


_FIGURES = frozenset({"message", "observedShare", "harmedAtMost", "evidenceAt", "timedFrom", "heldSince"})


def _essence(status: Mapping[str, Any]) -> dict[str, Any]:
    """A status without the figures that change with every request."""
    out = {k: v for k, v in status.items() if k not in {"rollout", "guardrails", "conditions"}}
    rollout = status.get("rollout") or {}
    out["rollout"] = {k: v for k, v in rollout.items() if k not in _FIGURES}
    out["guardrails"] = [(g["name"], g.get("verdict")) for g in status.get("guardrails") or ()]
    out["conditions"] = [{k: v for k, v in c.items() if k != "message"} for c in status.get("conditions") or ()]
    return out
