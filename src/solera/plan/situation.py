"""One look at one LLMDeployment, with everything derived from it that more than one decision needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from solera.api.defaults import ResolvedStep
from solera.api.scalars import parse_time
from solera.plan.clock import memory_at, progress_at
from solera.plan.gates import (
    MIN_DURATION,
    OF_EVIDENCE,
    STUCK,
    WAITING_FOR_APPROVAL,
    WAITING_FOR_PODS,
    Gate,
    StepEvidence,
    first_gate,
    paused_gate,
    pods_gate,
    silent_gate,
    stable_gate,
    step_gate,
)
from solera.plan.intent import Intent
from solera.plan.judging import judgement_of, ramp_of
from solera.plan.memory import Memory, Previous, Progress, RevisionRef
from solera.plan.pods import Pods
from solera.plan.ramp import Ramp
from solera.plan.silence import Silence, silence
from solera.plan.target import effective_of, target_of
from solera.plan.traffic import STABLE_UNAVAILABLE, live_weights, route_accepted, routed_progress
from solera.plan.types import Observation
from solera.plan.verdict import GuardrailVerdict, Judgement

AT_ONCE = (ResolvedStep(100, timedelta(0), 0, timedelta(hours=2), needs_approval=False),)
"""The plan for a revision that has carried all traffic here before: as soon as it is ready, without gates."""

EVENTS_ARE_ANSWERS = frozenset({"ErrorRate", "TimeToFirstToken"})
"""Metrics whose events are answers of the engine. RequestLatency has an event for a client that gave up, too."""


@dataclass(frozen=True, slots=True)
class Situation(Pods):
    """``target`` is the revision that should carry the traffic, None with ``problem`` saying why there is none.

    ``live`` are the weights of the live route in percent, ``progress`` the step in force, ``verdicts`` and ``judgement`` what the
    evidence says (None without guardrails), ``ramp`` what the budget allows (None unless the rollout is adaptive).
    """

    memory: Memory
    effective: str
    target: RevisionRef | None
    problem: tuple[str, str] | None
    refusing: bool
    live: Mapping[str, int]
    progress: Progress | None
    verdicts: tuple[GuardrailVerdict, ...]
    judgement: Judgement | None
    ramp: Ramp | None

    @property
    def now(self) -> datetime:
        """The time of this look."""
        return self.observation.now

    @property
    def steps(self) -> tuple[ResolvedStep, ...]:
        """The steps of the rollout in progress."""
        candidate = self.memory.candidate
        return AT_ONCE if candidate and self.memory.was_promoted(candidate.hash) else self.intent.steps

    @property
    def step(self) -> ResolvedStep | None:
        """The step in force; the last one if the list was shortened meanwhile."""
        if self.progress is None:
            return None
        return self.steps[min(self.progress.step, len(self.steps) - 1)]

    @property
    def paused(self) -> bool:
        """True while a person keeps the rollout in progress where it is."""
        rollout = self.memory.rollout
        return self.memory.candidate is not None and rollout is not None and rollout.paused_at is not None

    @property
    def at_last_step(self) -> bool:
        """True when no further step is planned."""
        return self.progress is not None and self.progress.step >= len(self.steps) - 1

    def kept_until(self, previous: Previous) -> datetime:
        """Until when the revision that served before is kept warm: not beyond its own date, whenever that was declared."""
        version = self.version_of(previous.ref)
        date = None if version is None else version.life.retires_at
        return previous.until if date is None else min(previous.until, date)

    @property
    def step_evidence(self) -> StepEvidence:
        """Requests counted while the step in force was in force."""
        ledger, candidate, progress = self.observation.ledger, self.memory.candidate, self.progress
        if ledger is None or candidate is None or progress is None or ledger.step != progress.step:
            return StepEvidence(0, 0)
        if ledger.step_since is not None and ledger.step_since < progress.since:
            return StepEvidence(
                0, 0
            )  # the step begins anew, and what was counted belongs to the one that had its number
        here = ledger.requests(candidate.revision, progress.step)
        return StepEvidence(here, here + ledger.requests(ledger.stable, progress.step))

    @property
    def gate(self) -> Gate | None:
        """The gate of the step in force, None without one."""
        if self.memory.candidate is None or self.memory.rollout is None or self.progress is None:
            return None
        index, rollout = min(self.progress.step, len(self.steps) - 1), self.memory.rollout
        if rollout.paused_at is not None:
            return paused_gate(self.steps, index, rollout.paused_at, rollout.paused_by)
        since, stable = rollout.clock(self.in_force_since(self.progress)), self.memory.stable
        since = max(since, self.asked_until or since)
        if self.silence is not None and not self.at_last_step:
            return silent_gate(self.steps, index, self._held_for(STUCK), self.now)
        gate = step_gate(
            self.steps,
            index,
            since,
            self.now,
            index in rollout.approved,
            self.step_evidence,
            self.judgement,
            self.ramp,
            self.counted_since,
            self.lost or timedelta(0),
        )
        away = stable is not None and (not self.has_endpoint(stable) or self.stable_is_back)
        step = self.steps[index]
        # The share is asked for when the least time is over: what stable did not get until then would spoil it.
        waits = gate.reason in OF_EVIDENCE or (gate.reason == MIN_DURATION and step.min_requests > 0)
        if stable is not None and away and waits and step.weight < 100:
            return stable_gate(gate, stable.version)
        if not gate.open or self.fully_serving(self.memory.candidate):
            return gate
        held = self._held_for(WAITING_FOR_PODS)
        return pods_gate(gate, self.steps, index, held, self.now, self.pods_ready(self.memory.candidate))

    @property
    def asked_until(self) -> datetime | None:
        """From when the times of a step count for which a person was asked until this look; its least time was over before. None where nobody was."""
        rollout, step = self.memory.rollout, self.step
        if rollout is None or step is None or rollout.hold_reason != WAITING_FOR_APPROVAL:
            return None
        return (self.now - step.min_duration).replace(microsecond=0)

    @property
    def stable_is_back(self) -> bool:
        """Stable had no pods and has some: what the step has seen meanwhile was no comparison, so it is to begin anew."""
        rollout, progress = self.memory.rollout, self.progress
        if self.memory.candidate is None or rollout is None or progress is None or self.paused:
            return False
        held = rollout.held_since if rollout.hold_reason == STABLE_UNAVAILABLE else None
        return held is not None and progress.since < held and self.has_endpoint(self.memory.stable)

    @property
    def counted_since(self) -> datetime | None:
        """Since when the guardrail that was edited or added last in this rollout counts; None where none was."""
        ledger = self.observation.ledger
        anew = {} if ledger is None else ledger.anew
        return max((anew[g.name] for g in self.intent.guardrails if g.name in anew), default=None)

    @property
    def lost(self) -> timedelta | None:
        """What the step in force has lost of its time. What was edited since begins with the whole of it."""
        if self.progress is None or not self.progress.lost:
            return None if self.progress is None else self.progress.lost
        edited = self.counted_since
        return timedelta(0) if edited and edited > self.in_force_since(self.progress) else self.progress.lost

    @property
    def lasted(self) -> timedelta:
        """How long the step has been in force since its candidate came, or came back; nothing while the gateway has not taken it over."""
        rollout, progress, ledger = self.memory.rollout, self.progress, self.observation.ledger
        if rollout is None or progress is None or (ledger is not None and ledger.step != progress.step):
            return timedelta(0)
        begun = rollout.clock(self.in_force_since(progress))
        return max(self.now - max(begun, self.counted_since or begun), timedelta(0))

    def _held_for(self, reason: str) -> datetime:
        """Since when the rollout is held for this reason; now, if it was not."""
        rollout = self.memory.rollout
        held = rollout.held_since if rollout is not None and rollout.hold_reason == reason else None
        return held or self.now

    @property
    def entry(self) -> Gate | None:
        """The gate before the first step; None when nothing but a ready candidate is asked for."""
        blind = "; ".join(self.observation.unreachable.values())
        return None if self.ramp is None else first_gate(self.steps, self.ramp, blind)

    @property
    def watched(self) -> RevisionRef | None:
        """The revision whose failure leads back to another: the candidate, or what was promoted while the old one is warm."""
        return self.memory.candidate or (None if self.memory.previous is None else self.memory.stable)

    @property
    def silence(self) -> Silence | None:
        """How long nothing has come out of the revision that is watched although it was due; None while it is not silent."""
        ref, ledger, progress = self.watched, self.observation.ledger, self.progress
        if ref is None or ledger is None or progress is None or ledger.candidate != ref.revision:
            return None
        answers = [g.name for g in self.intent.guardrails if g.metric in EVENTS_ARE_ANSWERS]
        return silence(ledger, answers, self.live.get(ref.revision, 0), self.in_force_since(progress))

    def in_force_since(self, progress: Progress) -> datetime:
        """From when the step's weight was shared out: a gateway that takes over late must not make a step shorter."""
        ledger = self.observation.ledger
        if ledger is None or ledger.step != progress.step or ledger.step_since is None:
            return progress.since
        return max(progress.since, ledger.step_since)

    @property
    def route_in_force(self) -> bool:
        """The gateway has taken over the route as it stands now."""
        return route_accepted(self.observation.route) is True

    def with_memory(self, memory: Memory) -> Situation:
        """The same look with another memory."""
        return replace(self, memory=memory)


def gather(observation: Observation, intent: Intent, memory: Memory) -> Situation:
    """Derive everything that the policies read."""
    now, calendar = observation.now, observation.calendar
    memory = memory_at(memory, now)
    effective = effective_of(intent, memory, calendar)
    target, problem, refusing = target_of(observation, intent, memory, effective)
    progress = progress_at(_progress(observation, memory), now)
    if memory.candidate is not None and not memory.was_promoted(memory.candidate.hash):
        progress = _in_plan(progress, intent.steps, now)
    verdicts, judgement = judgement_of(observation, intent, memory)
    return Situation(
        observation,
        intent,
        memory,
        effective,
        target,
        problem,
        refusing,
        live_weights(observation.route),
        progress,
        verdicts,
        judgement,
        ramp_of(observation, intent, memory, progress, verdicts),
    )


def _progress(observation: Observation, memory: Memory) -> Progress | None:
    """From the route, where it stands next to its weight; from status when somebody took the route away."""
    if memory.rollout is None:
        return None
    progress = routed_progress(observation.route)
    if progress is not None and progress.rollout == memory.rollout.id:
        return progress
    rollout = (observation.custom_resource.get("status") or {}).get("rollout") or {}
    if rollout.get("id") == memory.rollout.id and rollout.get("stepStartedAt") is not None:
        return Progress(
            rollout["id"], rollout.get("step", 0), parse_time(rollout["stepStartedAt"]), rollout.get("weight")
        )
    return None


def _in_plan(progress: Progress | None, steps: Sequence[ResolvedStep], now: datetime) -> Progress | None:
    """The same progress while its step still has its weight. Steps that were edited go on at the heaviest that adds no weight.

    Otherwise an edit of the steps could raise the weight without what a step must show before.
    """
    if progress is None or progress.weight is None:
        return progress
    last = len(steps) - 1
    if steps[min(progress.step, last)].weight == progress.weight:
        return progress if progress.step <= last else replace(progress, step=last)
    index = max((i for i, step in enumerate(steps) if step.weight <= progress.weight), default=0)
    return Progress(progress.rollout, index, now, steps[index].weight)
