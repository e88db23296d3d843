"""May the rollout leave its step? What it still waits for, in one word, one sentence and a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from solera.api.defaults import ResolvedStep
from solera.api.scalars import format_duration, format_percent, format_time
from solera.plan.ramp import BURST, WATCH, Ramp, onward
from solera.plan.traffic import STABLE_UNAVAILABLE
from solera.plan.verdict import Judgement
from solera.plan.verdict_text import counts, share
from solera.stats.split import log_e_off


@dataclass(frozen=True, slots=True)
class StepEvidence:
    """What was counted while the present step was in force."""

    candidate_requests: int
    all_requests: int

    @property
    def share(self) -> float | None:
        """The candidate's share of all requests, in [0, 1]; None without any."""
        return self.candidate_requests / self.all_requests if self.all_requests else None


@dataclass(frozen=True, slots=True)
class Gate:
    """``open``: the step may be left now. ``hold``: waiting on purpose although time and requests were enough.

    ``reason`` is one word, ``message`` a sentence. ``at`` is when it may change by the clock alone.
    ``inconclusive`` is True when the step's longest time is over without a verdict, or its budget spent. ``to`` is the index of the step
    that may follow an open one, None after the last.
    """

    open: bool
    reason: str
    message: str
    at: datetime | None = None
    hold: bool = False
    inconclusive: bool = False
    to: int | None = None


SPLIT_TOLERANCE = 0.05
"""Gateways promise weights to within 5 percentage points (Gateway API conformance). Of a small weight half is still expected."""

SPLIT_RISK = 0.05
"""The chance that a split within the tolerance is ever taken for another, in one step."""


def split_matches(evidence: StepEvidence, weight: int) -> bool:
    """Is the observed split what the route says? False only when it is shown not to be, at any look, or without requests."""
    if not evidence.all_requests:
        return False
    planned = weight / 100
    tolerance = min(SPLIT_TOLERANCE, planned / 2, (1 - planned) / 2)
    return log_e_off(evidence.candidate_requests, evidence.all_requests, planned, tolerance) < -math.log(SPLIT_RISK)


PAUSED = "Paused"
STUCK = "Stuck"
MIN_DURATION = "MinDuration"
WAITING_FOR_PODS = "WaitingForPods"
WAITING_FOR_APPROVAL = "WaitingForApproval"
BUDGET_SPENT = "BudgetSpent"
OF_EVIDENCE = frozenset(
    {"GuardrailHolds", "TooFewRequests", "SplitMismatch", "WaitingForProof", "WaitingForEvidence", "Inconclusive"}
)
"""What a step waits for that requests will tell."""


def paused_words(since: datetime, by: str | None) -> str:
    """`paused since 2026-12-01T12:00:00Z by alice`."""
    return f"paused since {format_time(since)}" + (f" by {by}" if by else "")


def step_name(steps: Sequence[ResolvedStep], index: int) -> str:
    """`step 2 of 4 (25%)`: for people steps count from 1."""
    return f"step {index + 1} of {len(steps)} ({steps[index].weight}%)"


def paused_gate(steps: Sequence[ResolvedStep], index: int, since: datetime, by: str | None) -> Gate:
    """The gate of a step that a person keeps in force: no clock opens it, and none makes it inconclusive."""
    return Gate(False, PAUSED, f"{step_name(steps, index)} is {paused_words(since, by)}", hold=True)


def silent_gate(steps: Sequence[ResolvedStep], index: int, held: datetime, now: datetime) -> Gate:
    """The gate of a step while answers are overdue: shut until its pods have shown whether they still answer. It holds since ``held``."""
    words = (
        f"{step_name(steps, index)} holds: requests go to the candidate and no answers come; its pods are asked for one"
    )
    return _held_too_long(steps[index], held, now, Gate(False, STUCK, words, hold=True))


def pods_gate(gate: Gate, steps: Sequence[ResolvedStep], index: int, held: datetime, now: datetime, pods: str) -> Gate:
    """The gate of a step that could be left if all pods of the candidate were ready. ``pods`` says how many are; it holds since ``held``."""
    words = f"{gate.message}; {pods}"
    return _held_too_long(steps[index], held, now, Gate(False, WAITING_FOR_PODS, words, hold=True))


def stable_gate(gate: Gate, version: str) -> Gate:
    """The same gate while stable has no pods: what is compared with it says nothing, and no time makes that the candidate's fault."""
    words = f"{gate.message}; {version}, which the rest of the requests is for, has no ready endpoint"
    return Gate(False, STABLE_UNAVAILABLE, words, gate.at, hold=True)


def step_gate(
    steps: Sequence[ResolvedStep],
    index: int,
    since: datetime,
    now: datetime,
    approved: bool,
    evidence: StepEvidence,
    judgement: Judgement | None,
    ramp: Ramp | None = None,
    counted_since: datetime | None = None,
    lost: timedelta = timedelta(0),
) -> Gate:
    """The gate of step ``index``, in force since ``since``. ``judgement`` is None when the rollout has no guardrails, ``ramp`` unless it is adaptive.

    ``counted_since`` is when the newest guardrail began to count, if that was in mid-rollout: from then on its evidence has the whole ``maxDuration``.
    ``lost`` is what of that is over already for a candidate that has lost its pods more than once.
    Every condition is checked in the order in which a person would ask: broken, time, requests, share, approval, proof.
    """
    step = steps[index]
    name = step_name(steps, index)
    ready_at = since + step.min_duration
    # The first readings are still to come; that there are none any more is told at once.
    silent = judgement is not None and judgement.no_data and not judgement.fell_silent and now < ready_at
    if ramp is not None and ramp.spent_out:
        # Not knowing better is a reason to wait; only bad answers are one to end a rollout.
        bad = any(c.counter.bad for c in ramp.counted)
        return Gate(False, BUDGET_SPENT, f"{name} holds: {_spent_words(ramp)}", hold=True, inconclusive=bad)
    begun = (since if counted_since is None else max(since, counted_since)) - lost
    if judgement is not None and judgement.hold and not silent:
        return _late(step, begun, now, Gate(False, "GuardrailHolds", f"{name} holds: {judgement.reason}", hold=True))
    if now < ready_at:
        why = "; the candidate has lost all its pods again and again" if lost else ""
        lasts = Gate(False, MIN_DURATION, f"{name} lasts until {format_time(ready_at)} at least{why}", ready_at)
        return _late(step, begun, now, lasts) if lost else lasts
    if evidence.candidate_requests < step.min_requests:
        waits = f"{name} waits for requests: {evidence.candidate_requests} of {step.min_requests}"
        return _late(step, begun, now, Gate(False, "TooFewRequests", waits))
    if step.min_requests and step.weight < 100 and not split_matches(evidence, step.weight):
        seen = format_percent(evidence.share or 0.0, 1)
        waits = f"{name} waits: the candidate gets {seen} of {evidence.all_requests} requests, the route says {step.weight}%"
        return _late(step, begun, now, Gate(False, "SplitMismatch", waits, hold=True))
    if step.needs_approval and not approved:
        return Gate(False, WAITING_FOR_APPROVAL, f"{name} waits for approval", hold=True)
    proven = judgement is None or judgement.passed
    to = (
        onward(steps, index, ramp, proven=proven) if ramp is not None else index + 1 if index + 1 < len(steps) else None
    )
    # A plan of one step has no step before 100%: there the proof is asked before stable is given up.
    before_all = len(steps) == 1 or (index + 1 < len(steps) and steps[index + 1].weight == 100)
    if judgement is not None and not judgement.passed and before_all and (ramp is None or to is None):
        waits = f"{name} waits for proof before 100%: {judgement.reason}"
        return _late(step, begun, now, Gate(False, "WaitingForProof", waits))
    if ramp is not None and to is None and index + 1 < len(steps):
        waits = f"{name} waits for evidence: {_more_words(ramp, steps[index + 1].weight)}"
        return _late(step, begun, now, Gate(False, "WaitingForEvidence", waits))
    return Gate(True, "StepComplete", f"{name} is complete", to=to)


def first_gate(steps: Sequence[ResolvedStep], ramp: Ramp, blind: str = "") -> Gate:
    """May an adaptive rollout begin? Not before the requests are counted, nor when even 1% of them could be more than the budget.

    ``blind`` is why a source tells nothing.
    """
    if ramp.rate is None:
        words = f"requests must be counted for {format_duration(WATCH)} first, to know how many {steps[0].weight}% of them are"
        return Gate(False, "WaitingForRate", f"{words}: {blind}" if blind else words, hold=bool(blind))
    to = onward(steps, -1, ramp, proven=False)
    if to is not None:
        return Gate(True, "StepComplete", f"{steps[to].weight}% keeps to the budget", to=to)
    mend = f"raise spec.rollout.risk.maxHarmedRequests to {ramp.least} or more, or wait for fewer requests"
    return Gate(False, "BudgetTooSmall", f"{_more_words(ramp, steps[0].weight)}; {mend}", hold=True)


def _spent_words(ramp: Ramp) -> str:
    worst = ramp.worst
    assert worst is not None
    return (
        f"it may have cost {ramp.spent:.0f} bad requests more than the limit of {worst.spec.name} allows ({counts(worst.counter)}, limit "
        f"{share(worst.limit)}), and maxHarmedRequests is {ramp.budget}: raise that, wait for better evidence, or abort"
    )


def _more_words(ramp: Ramp, weight: int) -> str:
    costliest = ramp.costliest(weight)
    if ramp.rate is None or costliest is None:
        return "how many requests come is not known now"
    cost, known = costliest.cost(BURST * ramp.rate, weight), format_duration(timedelta(seconds=costliest.until_known))
    return (
        f"{weight}% could have cost {cost:.0f} bad requests more than the limit of {costliest.spec.name} allows before that is known "
        f"({known}), so far {costliest.spent:.0f} may have; maxHarmedRequests is {ramp.budget}"
    )


def _held_too_long(step: ResolvedStep, held: datetime, now: datetime, gate: Gate) -> Gate:
    """The same gate, inconclusive when it has held for the step's longest time.

    It counts from the hold and not from the step: what comes late, after an approval for example, gets its time all the same.
    """
    if now < held + step.max_duration:
        return replace(gate, at=held + step.max_duration)
    return replace(
        gate, message=f"{gate.message}; inconclusive after {format_duration(step.max_duration)}", inconclusive=True
    )


def _late(step: ResolvedStep, since: datetime, now: datetime, gate: Gate) -> Gate:
    """The same gate, with what the step's longest time adds to it."""
    ends = since + step.max_duration
    if now < ends:
        at = ends if gate.at is None else min(gate.at, ends)
        return Gate(gate.open, gate.reason, gate.message, at, gate.hold)
    message = f"{gate.message}; inconclusive after {format_duration(step.max_duration)}"
    return Gate(False, "Inconclusive", message, None, hold=True, inconclusive=True)
