"""The decisions that must be remembered before they are acted on: a chain of pure policies, the first that speaks wins.

Each takes a ``Situation`` and returns the new memory with the event that announces it, or None when it has nothing to say. The
operator writes the new memory to status and looks again: a crash before that write loses nothing, since the same situation leads to
the same decision; a crash after it finds the decision taken.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from solera.api.scalars import format_duration, format_time
from solera.plan.decision import Decision, Policy, decided, reject
from solera.plan.memory import Memory, Previous, Promoted, Rejected, RevisionRef, Rollout
from solera.plan.silence import Silence, hung
from solera.plan.situation import Situation
from solera.plan.target import target_with
from solera.plan.traffic import AWAY, routed_progress
from solera.plan.verbs import answer_request

FALLS = 2
"""So often what was promoted may lose all its pods and be let in anew; the next time it is rolled back."""


def adopt_routed(s: Situation) -> Decision | None:
    """Status was lost (a restore from a backup): what the route carries is what is stable, a candidate on its way in is not."""
    memory = s.memory
    if memory.stable or memory.candidate or memory.draining or memory.tombstones:
        return None
    routed = [r for n, r in s.observation.revisions.items() if n in s.live and r.deployment is not None]
    progress = routed_progress(s.observation.route)
    proven = [r for r in routed if progress is None or r.hash != progress.candidate] or routed
    if not proven:
        return None
    seen = max(proven, key=lambda r: (s.live[r.name], r.name))
    ref = RevisionRef(seen.version, seen.name, seen.hash)
    message = f"{seen.name} carries the traffic and is taken for stable"
    return decided(s, _promoted(s, replace(memory, stable=ref), ref), "Adopted", message)


def refuse_on_date(s: Situation) -> Decision | None:
    """onRetirement: Refuse, and the date has come: the serving revision goes, requests get the gateway's 404."""
    stable = s.memory.stable
    if not s.refusing or stable is None or s.memory.candidate is not None:
        return None
    memory = replace(s.memory, stable=None, rollout=None).drain(stable, None)
    if memory.previous is not None:
        memory = replace(memory.drain(memory.previous.ref, _weightless_since(s, memory.previous)), previous=None)
    return decided(s, memory, "Refusing", f"{stable.version} retires; requests are refused from now on", "Warning")


def leave_candidate(s: Situation) -> Decision | None:
    """The spec no longer asks for this candidate: it was withdrawn, or a third version has taken its place."""
    candidate, stable = s.memory.candidate, s.memory.stable
    if candidate is None or candidate == s.target:
        return None
    if stable is None:
        return None
    memory = replace(s.memory, candidate=None, rollout=None).drain(candidate, None)
    if s.target is None or s.target == stable:
        return decided(s, memory, "Withdrawn", f"{candidate.version} was withdrawn; {stable.version} serves")
    return decided(s, memory, "Replaced", f"{candidate.version} makes room for {s.target.version}")


def settle_first(s: Situation) -> Decision | None:
    """The first revision ever is stable as soon as it answers: there is nothing to compare it with."""
    if s.memory.stable is not None or s.target is None or not s.fully_serving(s.target):
        return None
    memory = replace(s.memory.keep(s.target), stable=s.target, candidate=None, rollout=None)
    return decided(s, _promoted(s, memory, s.target), "Serving", f"{s.target.version} serves: its first answer came")


def accept_candidate(s: Situation) -> Decision | None:
    """What the spec asks for is not what serves: let it in, once whatever left before has no traffic any more."""
    memory, target = s.memory, s.target
    if target is None or memory.stable is None or memory.candidate is not None or target == memory.stable:
        return None
    if s.observation.hostname_conflicts or rejection(s) is not None:
        return None
    if any(d.since is None and d.ref != target for d in memory.draining):
        return None
    rollout = Rollout(_rollout_id(s, target), s.now)
    memory = replace(memory.keep(target), candidate=target, rollout=rollout)
    if memory.previous is not None:
        previous, memory = memory.previous, replace(memory, previous=None)
        if previous.ref != target:
            memory = memory.drain(previous.ref, _weightless_since(s, previous))
    return decided(s, memory, "RolloutStarted", f"{memory.stable.version} → {target.version} ({target.revision})")  # type: ignore[union-attr]


def _rollout_id(s: Situation, target: RevisionRef) -> str:
    """Never that of the last rollout, whose step and evidence may still be around: a retry begins with nothing."""
    second = int(s.now.timestamp())
    last = s.memory.rollout
    return f"{target.hash}-{second + (last is not None and last.id == f'{target.hash}-{second}')}"


def rejection(s: Situation) -> Rejected | None:
    """The earlier rejection of what the spec asks for, if it still holds."""
    if s.target is None:
        return None
    version = s.version_of(s.target)
    return None if version is None else s.memory.is_rejected(s.target.hash, version.operational)


def reject_candidate(s: Situation) -> Decision | None:
    """The candidate failed a guardrail, never came up, stayed away, or could not be judged in time."""
    memory, candidate = s.memory, s.memory.candidate
    if candidate is None or memory.rollout is None:
        return None
    if s.judgement is not None and s.judgement.fail:
        return reject(s, "RolledBack", f"{candidate.version} is rolled back: {s.judgement.reason}")
    if s.silence is not None and (why := hung(s.seen(candidate))) is not None:
        return reject(s, "RolledBack", f"{candidate.version} is rolled back: {_silent(s.silence, why)}")
    if not s.paused and (why := _stayed_away(s, candidate, memory.rollout)) is not None:
        return reject(s, "RolledBack", f"{candidate.version} is rolled back: {why}")
    gate = s.gate
    # While the gateway takes over a route, what the step has shown is not there, and its time is about to begin.
    in_force = s.step is not None and s.route_in_force and s.live.get(candidate.revision) == s.step.weight
    if gate is not None and gate.inconclusive and in_force and s.intent.roll_back_when_inconclusive:
        return reject(s, "RolledBack", f"{candidate.version} is rolled back: {gate.message}")
    return None


def _stayed_away(s: Situation, candidate: RevisionRef, rollout: Rollout) -> str | None:
    """Why its patience with a candidate that is not all there is over; None while it is not, or while the pods have not been asked yet."""
    seen, patience = s.seen(candidate), s.patience(candidate)
    pods = () if seen is None else seen.pods
    if s.unscheduled(candidate):
        return None
    if s.fully_serving(candidate) or (s.all_ready(candidate) and s.unasked(candidate)):
        return None
    if s.progress is None:
        if s.now < rollout.clock(rollout.started_at) + patience:
            return None
        told = None if seen is None else next((p.mute for p in pods if p.mute), seen.problem)
        problem = f": {told}" if told else ""
        return f"no answer within startupTimeout ({format_duration(patience)}){problem}"
    held, lacks = rollout.held_since, AWAY.get(rollout.hold_reason or "")
    if held is None or lacks is None or s.now < held + patience:
        return None
    # The hold is from the last status, and may be over: after a time without an operator, for example.
    if rollout.hold_reason == "CandidateUnavailable" and s.has_endpoint(candidate):
        return None
    if rollout.hold_reason == "CandidateIncomplete" and not s.has_endpoint(s.memory.stable):
        return None
    return f"{lacks} since {format_time(held)}"


def _silent(silence: Silence, why: str) -> str:
    return f"requests went in and for {format_duration(silence.lasted)} none came out; {why}"


def promote_candidate(s: Situation) -> Decision | None:
    """All traffic is at the candidate, the gateway has taken it over, and the last step's time is over."""
    memory, candidate, stable = s.memory, s.memory.candidate, s.memory.stable
    if candidate is None or stable is None or s.progress is None or s.step is None:
        return None
    gate = s.gate
    if not s.at_last_step or dict(s.live) != {candidate.revision: 100} or not s.route_in_force:
        return None
    if gate is None or not gate.open:
        return None
    until = s.now + s.intent.keep_previous
    previous = Previous(stable, s.in_force_since(s.progress), until)
    previous = replace(previous, until=s.kept_until(previous))
    memory = replace(
        memory,
        stable=candidate,
        candidate=None,
        previous=previous,
        rejected=tuple(r for r in memory.rejected if r.hash != candidate.hash),
    )
    message = (
        f"{candidate.version} carries all traffic; {stable.version} stays warm until {format_time(previous.until)}"
    )
    if not memory.was_promoted(stable.hash):  # it served before there was such a list, or before that was lost
        memory = _promoted(s, memory, stable)
    return decided(s, _promoted(s, memory, candidate), "Promoted", message)


def _promoted(s: Situation, memory: Memory, ref: RevisionRef) -> Memory:
    others = tuple(p for p in memory.promoted if p.hash != ref.hash)
    return replace(memory, promoted=(*others, Promoted(ref.version, ref.hash, s.now)))


def roll_back_promoted(s: Situation) -> Decision | None:
    """The absolute limits keep watching while the old revision is warm: a late failure costs no start-up."""
    memory, previous, stable = s.memory, s.memory.previous, s.memory.stable
    if previous is None or stable is None or memory.candidate is not None or _released(s, previous):
        return None
    judged = s.observation.ledger is not None and s.observation.ledger.candidate == stable.revision
    why = s.judgement.reason if judged and s.judgement is not None and s.judgement.fail else None
    if why is None and s.silence is not None and (mute := hung(s.seen(stable))) is not None:
        why = _silent(s.silence, mute)
    if why is None or not s.fully_serving(previous.ref):
        return None
    message = f"{stable.version} is rolled back to {previous.ref.version} after its promotion: {why}"
    return _back_to_previous(s, previous, stable, message)


def _back_to_previous(s: Situation, previous: Previous, stable: RevisionRef, message: str) -> Decision:
    version, memory = s.version_of(stable), s.memory
    rejected = Rejected(stable.version, stable.hash, s.now, message, "" if version is None else version.operational)
    promoted = tuple(p for p in memory.promoted if p.hash != stable.hash)
    memory = replace(
        memory, stable=previous.ref, previous=None, promoted=promoted, rejected=(*memory.rejected, rejected)
    )
    return decided(s, memory.drain(stable, None), "RolledBack", message, "Warning")


def fall_back(s: Situation) -> Decision | None:
    """What was promoted has lost all its pods while the old revision is warm: that one answers, and the other is let in anew when it is back."""
    memory, previous, stable = s.memory, s.memory.previous, s.memory.stable
    if previous is None or stable is None or memory.candidate is not None:
        return None
    warm = s.seen(previous.ref)
    if s.has_endpoint(stable) or warm is None or not warm.serving:
        return None
    message = (
        f"{stable.version} has no ready endpoint after its promotion; {previous.ref.version}, still warm, answers again"
    )
    following = target_with(s.observation, s.intent, replace(memory, stable=previous.ref, previous=None))
    if following == stable and _fell_back_before(s, stable) >= FALLS:
        why = f"{message}; it has lost all its pods so {FALLS} times before"
        return _back_to_previous(s, previous, stable, f"{stable.version} is rolled back: {why}")
    if following != stable:  # nothing would let it in anew, so it is kept warm in its turn
        memory = replace(memory, stable=previous.ref, previous=replace(previous, ref=stable))
        return decided(s, memory, "FellBack", message, "Warning")
    by_steps = ((s.observation.custom_resource.get("status") or {}).get("rollout") or {}).get("steps", 0) > 1
    promoted = tuple(p for p in memory.promoted if p.hash != stable.hash or not by_steps)
    memory = replace(memory, stable=previous.ref, previous=None, rollout=None, promoted=promoted).drain(stable, None)
    return decided(s, memory, "FellBack", message, "Warning")


def _fell_back_before(s: Situation, ref: RevisionRef) -> int:
    """How often what was promoted has lost all its pods while the old revision was warm, as far as the history tells, since that came to an end or anybody asked to try again."""
    times, begun = 0, False
    for _, event, message in s.memory.history:
        if event == "RolloutStarted":
            begun = message.endswith(f"({ref.revision})")
        ended = event == "Retried" or (begun and event in {"RolledBack", "Released"})
        times = 0 if ended else times + (begun and event == "FellBack")
    return times


def _weightless_since(s: Situation, previous: Previous) -> datetime | None:
    """Since when a warm old revision has no weight; None while the gateway may still share out by a route that gave it some."""
    if s.observation.route is None:
        return previous.since
    if not s.route_in_force:
        return None
    return previous.since if s.progress is None else max(previous.since, s.in_force_since(s.progress))


def _released(s: Situation, previous: Previous) -> bool:
    """The time of a warm old revision is over: as it was set at the promotion, or by a date that was declared since."""
    return s.now >= previous.until or s.observation.calendar >= s.kept_until(previous)


def release_previous(s: Situation) -> Decision | None:
    """The time of the warm old revision is over. While it alone has ready pods it stays: it will be asked, and take over."""
    previous = s.memory.previous
    if previous is None or not _released(s, previous):
        return None
    if s.has_endpoint(previous.ref) and not s.has_endpoint(s.memory.stable):
        return None
    memory = replace(s.memory, previous=None).drain(previous.ref, _weightless_since(s, previous))
    return decided(s, memory, "Released", f"{previous.ref.version} is no longer kept warm")


CHAIN: tuple[Policy, ...] = (
    adopt_routed,
    answer_request,  # before everything that a person may have wanted to stop
    refuse_on_date,
    leave_candidate,  # before accept: at most two revisions in a rollout
    settle_first,
    reject_candidate,  # before promote: what is broken is never promoted
    promote_candidate,
    roll_back_promoted,
    fall_back,
    release_previous,
    accept_candidate,
)


def decide(s: Situation) -> Decision | None:
    """The first decision that the situation asks for."""
    return next((d for policy in CHAIN if (d := policy(s)) is not None), None)
