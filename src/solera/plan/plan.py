"""Observation → Plan: the one entry into what decides.

Three passes, in this order. *Decide*: a chain of policies; if one speaks, its decision is only written down, and acted on at the next
look. *Keep up*: what follows from what is seen. *Act*: the writes that bring the cluster to where the memory says it should be,
removals last. A plan for a cluster that is where it should be holds no action and the status that is already there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from solera.api.errors import FieldError
from solera.plan.children import desired_children, removals
from solera.plan.evidence import to_record
from solera.plan.gates import WAITING_FOR_APPROVAL
from solera.plan.intent import intent_of
from solera.plan.lifecycle import next_date
from solera.plan.memory import Memory, RevisionRef, from_status
from solera.plan.outlook import Outlook, look_out
from solera.plan.policies import decide
from solera.plan.report import FIGURES_EVERY, compose, compose_invalid
from solera.plan.routing import Routing, route_now
from solera.plan.situation import Situation, gather
from solera.plan.traffic import AWAY
from solera.plan.types import Action, Observation, Plan
from solera.plan.upkeep import drained_at, first_written, keep_up
from solera.plan.verdict import BLIND_AFTER, FAIL, PASS, SHARED_INCIDENT

RECORD_EVERY = timedelta(seconds=60)
"""How often evidence is written while no step, verdict or hold changes."""
SHOWN = frozenset({PASS, FAIL, SHARED_INCIDENT})
"""Verdicts that say something; going to and fro between the others at the start of each step is no news."""


def plan(observation: Observation) -> Plan:
    """Decide what to do for one LLMDeployment. Pure: equal observations give equal plans."""
    try:
        intent = intent_of(observation.custom_resource)
    except FieldError as error:
        return Plan((), compose_invalid(observation, error))
    memory = from_status(observation.custom_resource.get("status") or {})
    situation = gather(observation, intent, memory)
    decision = None if observation.name_taken else decide(situation)
    if decision is not None:
        decided = gather(observation, intent, decision.memory)
        if not decided.verdicts and _id(decision.memory) == _id(memory):
            decided = replace(decided, verdicts=situation.verdicts)  # what decided it is told with the decision
        routing = route_now(decided)
        outlook = look_out(decided, replace(routing, action=None))
        return Plan(
            (),
            compose(decided, outlook),
            observation.now,
            (decision.event,),
            _record(decided, outlook),
            _measure(decision.memory),
            _probe(decided),
            reasons=(decision.event.message,),
        )
    situation = situation.with_memory(keep_up(situation))
    routing = route_now(situation)
    unwritten = first_written(memory, situation)
    if unwritten:
        routing = replace(routing, action=None)
    outlook = look_out(situation, routing)
    situation = situation.with_memory(_with_hold(situation, outlook))
    actions = () if observation.name_taken or unwritten else tuple(_actions(situation, routing))
    # A status composed before the route is written would speak of weights that the route no longer carries.
    rerouted = routing.action is not None and routing.action in actions
    status = dict(observation.custom_resource.get("status") or {}) if rerouted else compose(situation, outlook)
    return Plan(
        actions,
        status,
        _look_again(situation, outlook),
        (),
        _record(situation, outlook),
        _measure(situation.memory),
        _probe(situation),
        None if situation.silence is None else situation.silence.period,
        tuple(action.reason for action in actions),
    )


def _id(memory: Memory) -> str | None:
    return None if memory.rollout is None else memory.rollout.id


def _with_hold(s: Situation, outlook: Outlook) -> Memory:
    """Since when it is held, and why. What the candidate lacks may change, it is away all the same; while there is no node for it that time does not run."""
    memory, rollout = s.memory, s.memory.rollout
    if rollout is None or memory.candidate is None:
        return memory
    if rollout.hold_reason == WAITING_FOR_APPROVAL != outlook.reason and s.asked_until is not None:
        rollout = replace(rollout, timed_from=s.asked_until)
    if not outlook.hold:
        return replace(memory, rollout=replace(rollout, held_since=None, hold_reason=None))
    away = outlook.reason in AWAY
    same = rollout.hold_reason == outlook.reason or (away and rollout.hold_reason in AWAY)
    since = rollout.held_since if same and not (away and s.unscheduled(memory.candidate)) else None
    return replace(memory, rollout=replace(rollout, held_since=since or s.now, hold_reason=outlook.reason))


def _actions(s: Situation, routing: Routing) -> Iterator[Action]:
    """Children first, so that the route never names what is not there; then the route; what goes, goes last."""
    memory = s.memory
    wanted: list[RevisionRef | None] = [memory.stable, memory.candidate]
    if memory.previous is not None:
        wanted.append(memory.previous.ref)
    if memory.stable is None and not s.observation.hostname_conflicts:
        wanted.append(s.target)
    for ref in wanted:
        version = None if ref is None else s.version_of(ref)
        if ref is not None and version is not None:
            role = "stable" if ref == memory.stable else "candidate" if ref == memory.candidate else "kept or first"
            yield from desired_children(s.observation.owner, s.intent, version, ref, s.seen(ref), role)
    if routing.action is not None:
        yield routing.action
    for draining in memory.draining:
        seen, at = s.seen(draining.ref), drained_at(s, draining)
        if seen is not None and at is not None and at <= s.now:
            yield from removals(seen, f"{draining.ref.version} has drained")


def _measure(memory: Memory) -> tuple[str, ...]:
    """Revisions whose counters are needed: both sides of a rollout, then the promoted one while the old one is warm."""
    if memory.stable is None:
        return ()
    if memory.candidate is not None:
        return (memory.stable.revision, memory.candidate.revision)
    return (memory.stable.revision,) if memory.previous is not None else ()


def _probe(s: Situation) -> tuple[str, ...]:
    """Revisions that must show a real completion before weight is added to them."""
    memory = s.memory
    first = s.target if memory.stable is None else None
    moving = memory.candidate is not None or (memory.stable is not None and memory.stable.revision not in s.live)
    refs = [first, memory.candidate, memory.stable if moving else None]
    refs += [memory.previous.ref] if memory.previous is not None else []
    names = []
    for ref in refs:
        seen = s.seen(ref)
        if ref is not None and seen is not None and seen.ready_endpoints and not seen.serving:
            names.append(ref.revision)
    if s.silence is not None and s.watched is not None and s.watched.revision not in names:
        names.append(s.watched.revision)
    return tuple(names)


def _record(s: Situation, outlook: Outlook) -> dict[str, Any] | None:
    """The evidence to write: when a step, a verdict or a hold has changed, else at most once a minute."""
    observation, ledger, rollout = s.observation, s.observation.ledger, s.memory.rollout
    if ledger is None or rollout is None or ledger.rollout_id != rollout.id:
        return None
    step = "-" if s.progress is None else str(s.progress.step)
    shown = ",".join(f"{v.name}={v.verdict}" for v in s.verdicts if v.verdict in SHOWN)
    mark = f"{step}/{outlook.reason if outlook.hold else ''}/{shown}"
    data = (observation.record or {}).get("data") or {}
    written = observation.record_written_at
    if data.get("rolloutId") == rollout.id and data.get("mark") == mark:
        ended = s.memory.candidate is None and s.memory.previous is None
        if ended or (written is not None and observation.now - written < RECORD_EVERY):
            return None
    return {"rolloutId": rollout.id, "mark": mark, "ledger": to_record(ledger)}


def _date(s: Situation) -> datetime | None:
    """When to look for the next declared date. A clock that is ahead of the calendar runs a tenth slower until both agree."""
    now, calendar = s.now, s.observation.calendar
    date = next_date(s.intent.lives, s.memory, calendar)
    if date is None or calendar == now:
        return date
    return now + (date - calendar) * 0.9


def _look_again(s: Situation, outlook: Outlook) -> datetime | None:
    """The next instant at which the clock alone changes something."""
    memory, now = s.memory, s.now
    times = [_date(s), outlook.at]
    times += [drained_at(s, draining) for draining in memory.draining]
    if memory.previous is not None:
        times.append(s.kept_until(memory.previous))
    if memory.rollout is not None and memory.candidate is not None:
        begun = memory.rollout.held_since or memory.rollout.clock(memory.rollout.started_at)
        times.append(begun + s.patience(memory.candidate))
        times.append(now + FIGURES_EVERY)
        if s.observation.unreachable:  # nobody brings news of a silence
            times.append(now + BLIND_AFTER)
    return min((at for at in times if at is not None and at > now), default=None)
