"""What the evidence says of the rollout in progress, or of what was promoted while the old revision is warm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from solera.plan.intent import Intent
from solera.plan.memory import Memory, Progress
from solera.plan.ramp import Ramp, climb
from solera.plan.types import Observation
from solera.plan.verdict import (
    NO_DATA,
    SHARED_INCIDENT,
    GuardrailSpec,
    GuardrailVerdict,
    Judgement,
    conclude,
    judge,
)


def ramp_of(
    observation: Observation,
    intent: Intent,
    memory: Memory,
    progress: Progress | None,
    verdicts: Sequence[GuardrailVerdict],
) -> Ramp | None:
    """What the budget of an adaptive rollout allows; None for any other."""
    candidate, rollout, ledger = memory.candidate, memory.rollout, observation.ledger
    if intent.max_harmed is None or candidate is None or rollout is None or memory.was_promoted(candidate.hash):
        return None
    weight = 0 if progress is None else intent.steps[min(progress.step, len(intent.steps) - 1)].weight
    known = ledger if ledger is not None and ledger.rollout_id == rollout.id else None
    ramp = climb(
        intent.guardrails, known, budget=intent.max_harmed, false_promotion=intent.false_promotion, weight=weight
    )
    # What cannot be seen now, and what happens to stable as well, is no reason to end a rollout: they hold it.
    excused = any(v.verdict in (NO_DATA, SHARED_INCIDENT) for v in verdicts)
    return replace(ramp, spent_out=False) if excused else ramp


def absolute_only(specs: Sequence[GuardrailSpec]) -> tuple[GuardrailSpec, ...]:
    """What is still asked of guardrails when stable gets no requests to compare with."""
    return tuple(replace(g, max_ratio=None, ratio_requires_pass=False) for g in specs if g.limit is not None)


def judgement_of(
    observation: Observation, intent: Intent, memory: Memory
) -> tuple[tuple[GuardrailVerdict, ...], Judgement | None]:
    """The verdicts of all guardrails, and what they say together; None where no guardrail is asked."""
    candidate, ledger, rollout = memory.candidate, observation.ledger, memory.rollout
    watching = candidate is not None or memory.previous is not None
    if not watching or rollout is None or not intent.guardrails:
        return (), None
    if candidate is not None and memory.was_promoted(candidate.hash):
        return (), None
    specs = intent.guardrails
    if candidate is None:  # after promotion: the old revision gets no requests, so only the absolute limits speak
        specs = absolute_only(specs)
    if ledger is None or ledger.rollout_id != rollout.id or not specs:
        return (), Judgement(fail=False, hold=False, passed=False, no_data=True, reason="no evidence yet")
    verdicts = judge(
        specs,
        ledger,
        false_rollback=intent.false_rollback,
        false_promotion=intent.false_promotion,
        unreachable=observation.unreachable,
    )
    return verdicts, conclude(verdicts, specs)
