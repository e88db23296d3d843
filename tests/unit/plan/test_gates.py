from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from solera.api.defaults import ResolvedStep
from solera.plan.gates import Gate, StepEvidence, first_gate, split_matches, step_gate
from solera.plan.ledger import Counter
from solera.plan.ramp import Counted, Ramp, ladder
from solera.plan.verdict import GuardrailSpec, Judgement

SINCE = datetime(2026, 12, 1, tzinfo=UTC)
STEPS = (
    ResolvedStep(10, timedelta(seconds=60), 20, timedelta(minutes=10), needs_approval=False),
    ResolvedStep(50, timedelta(seconds=60), 20, timedelta(minutes=10), needs_approval=True),
    ResolvedStep(100, timedelta(seconds=60), 20, timedelta(minutes=10), needs_approval=False),
)
PASSED = Judgement(fail=False, hold=False, passed=True, no_data=False, reason="all pass")
OPEN = Judgement(fail=False, hold=False, passed=False, no_data=False, reason="errors: 1 of 300")
HELD = Judgement(fail=False, hold=True, passed=False, no_data=True, reason="errors: no data")


def gate(
    index: int,
    seconds: float,
    *,
    approved: bool = False,
    here: int = 100,
    whole: int = 1000,
    said: Judgement | None = PASSED,
    edited: float | None = None,
) -> Gate:
    now = SINCE + timedelta(seconds=seconds)
    counted_since = None if edited is None else SINCE + timedelta(seconds=edited)
    return step_gate(STEPS, index, SINCE, now, approved, StepEvidence(here, whole), said, counted_since=counted_since)


@pytest.mark.parametrize(
    ("got", "reason"),
    [
        (gate(0, 59), "MinDuration"),
        (gate(0, 61, here=19, whole=190), "TooFewRequests"),
        (gate(0, 61, here=300), "SplitMismatch"),
        (gate(0, 61, said=HELD), "GuardrailHolds"),
        (gate(1, 61, here=500), "WaitingForApproval"),
        (gate(1, 61, here=500, approved=True, said=OPEN), "WaitingForProof"),
        (gate(0, 601, here=0, whole=0), "Inconclusive"),
        (gate(0, 601, said=HELD), "Inconclusive"),
    ],
)
def test_what_keeps_a_step_closed(got: Gate, reason: str) -> None:
    assert not got.open
    assert got.reason == reason


def test_a_guardrail_that_was_edited_has_the_whole_time_for_its_evidence() -> None:
    for said, reason in ((HELD, "GuardrailHolds"), (OPEN, "WaitingForProof")):
        assert gate(1, 7000, here=500, approved=True, said=said).reason == "Inconclusive"
        assert gate(1, 7000, here=500, approved=True, said=said, edited=6999).reason == reason
        assert gate(1, 7000, here=500, approved=True, said=said, edited=6999).at == SINCE + timedelta(
            seconds=6999 + 600
        )
        assert gate(1, 7600, here=500, approved=True, said=said, edited=6999).reason == "Inconclusive"
        assert gate(1, 599, here=500, approved=True, said=said, edited=-50).at == SINCE + timedelta(seconds=600)
    assert gate(0, 60, edited=59).open  # no other condition begins anew


def test_a_step_opens_at_its_last_second_and_not_before() -> None:
    assert gate(0, 60).open
    assert gate(0, 59.9).at == SINCE + timedelta(seconds=60)


def test_a_step_holds_for_a_source_that_fell_silent_also_before_its_time_is_over() -> None:
    assert gate(0, 30, said=HELD).reason == "MinDuration"  # the first readings may still come
    silent = gate(0, 30, said=replace(HELD, fell_silent=True))
    assert (silent.open, silent.hold, silent.reason) == (False, True, "GuardrailHolds")


def test_an_intermediate_step_needs_no_proof_and_the_one_before_100_does() -> None:
    assert gate(0, 61, said=OPEN).open
    assert not gate(1, 61, here=500, approved=True, said=OPEN).open
    assert gate(1, 61, here=500, approved=True).open


def test_a_single_step_to_100_needs_proof_before_it_is_over() -> None:
    only = STEPS[2:]
    late = SINCE + timedelta(seconds=61)
    assert step_gate(only, 0, SINCE, late, False, StepEvidence(500, 500), OPEN).reason == "WaitingForProof"
    assert step_gate(only, 0, SINCE, late, False, StepEvidence(500, 500), PASSED).open


def test_waiting_for_a_person_is_never_inconclusive() -> None:
    waiting = gate(1, 6000, here=500)
    assert waiting.reason == "WaitingForApproval"
    assert not waiting.inconclusive


def test_without_guardrails_only_time_counts() -> None:
    free = tuple(ResolvedStep(s.weight, s.min_duration, 0, s.max_duration, needs_approval=False) for s in STEPS)
    assert step_gate(free, 1, SINCE, SINCE + timedelta(seconds=61), False, StepEvidence(0, 0), None).open


@pytest.mark.parametrize(
    ("here", "whole", "weight", "fits"),
    [
        (100, 1000, 10, True),
        (149, 1000, 10, True),
        (200, 1000, 10, False),
        (0, 0, 10, False),
        (3, 10, 10, True),
        (0, 200, 10, False),
        (0, 20, 10, True),
        (0, 400, 5, False),
        (52, 1000, 5, True),
        (0, 5000, 1, False),
        (900, 1000, 99, False),
    ],
)
def test_the_observed_split_must_fit_the_weight(here: int, whole: int, weight: int, fits: bool) -> None:
    assert split_matches(StepEvidence(here, whole), weight) is fits


# -- adaptive rollouts

RAMP_STEPS = ladder([STEPS[2]])
ERRORS = GuardrailSpec("errors", "ErrorRate", 0.01, None, None, False, "RollBack")
COUNTED = Counted(ERRORS, 0.01, Counter(830, 12), 1.0, 14.4, 20.0)


def ramp(weight: int, *, spent_out: bool = False, rate: float | None = 10.0) -> Ramp:
    return Ramp(20, (COUNTED,), rate, weight, spent_out, least=5)


def on_the_ramp(
    weight_now: int, allowed: Ramp, *, seconds: float = 31, said: Judgement = OPEN, share: float | None = None
) -> Gate:
    index = next(i for i, s in enumerate(RAMP_STEPS) if s.weight == weight_now)
    seen = StepEvidence(round(1000 * (weight_now / 100 if share is None else share)), 1000)
    now = SINCE + timedelta(seconds=seconds)
    return step_gate(RAMP_STEPS, index, SINCE, now, False, seen, said, allowed)


def weight_after(gate: Gate) -> int | None:
    return None if gate.to is None else RAMP_STEPS[gate.to].weight


@pytest.mark.parametrize(
    ("got", "weight"),
    [
        (on_the_ramp(2, ramp(40)), 35),
        (on_the_ramp(2, ramp(3)), 3),
        (on_the_ramp(2, ramp(100)), 50),
        (on_the_ramp(2, ramp(100), said=PASSED), 100),
        (on_the_ramp(2, ramp(99), said=PASSED), 50),
        (on_the_ramp(50, ramp(100), said=PASSED), 100),
    ],
)
def test_an_open_rung_says_to_which_the_budget_leads(got: Gate, weight: int) -> None:
    assert got.open
    assert weight_after(got) == weight


@pytest.mark.parametrize(
    ("got", "reason", "says"),
    [
        (on_the_ramp(2, ramp(40), seconds=29), "MinDuration", ""),
        (on_the_ramp(5, ramp(40), share=0.5), "SplitMismatch", ""),
        (on_the_ramp(5, ramp(5), share=0.0), "TooFewRequests", ""),
        (
            on_the_ramp(2, ramp(2)),
            "WaitingForEvidence",
            "3% could have cost 15 bad requests more than the limit of errors",
        ),
        (on_the_ramp(2, ramp(0, rate=None)), "WaitingForEvidence", "how many requests come is not known now"),
        (on_the_ramp(50, ramp(100)), "WaitingForProof", "errors: 1 of 300"),
        (on_the_ramp(50, ramp(60), said=PASSED), "WaitingForEvidence", "100% could have cost"),
        (on_the_ramp(2, ramp(2), seconds=9000), "Inconclusive", "inconclusive after 2h"),
    ],
)
def test_what_keeps_a_rung_closed(got: Gate, reason: str, says: str) -> None:
    assert (got.open, got.to, got.reason) == (False, None, reason)
    assert says in got.message


def test_a_spent_budget_is_inconclusive_at_once_whatever_else_is_waited_for() -> None:
    for seconds in (1, 31):
        spent = on_the_ramp(8, ramp(0, spent_out=True), seconds=seconds)
        assert (spent.reason, spent.hold, spent.inconclusive, spent.open) == ("BudgetSpent", True, True, False)
        assert "14 bad requests more than the limit of errors allows (12 of 830 requests bad (1.45%), limit 1%)" in (
            spent.message
        )
        assert "maxHarmedRequests is 20: raise that, wait for better evidence, or abort" in spent.message
    good = replace(COUNTED, counter=Counter(COUNTED.counter.total, 0))
    unknown = on_the_ramp(8, replace(ramp(0, spent_out=True), counted=(good,)))
    assert (unknown.reason, unknown.hold, unknown.inconclusive) == ("BudgetSpent", True, False)  # no answer was bad
    held = on_the_ramp(8, ramp(0, spent_out=True), said=HELD)
    assert held.reason == "BudgetSpent"  # what holds in the meantime ends nothing


def test_the_last_step_of_a_ramp_ends_in_the_promotion() -> None:
    last = on_the_ramp(100, ramp(100), seconds=61, said=PASSED)
    assert (last.open, last.to) == (True, None)
    assert on_the_ramp(100, ramp(0, spent_out=True), seconds=61).reason == "BudgetSpent"


def test_fixed_steps_lead_to_the_next() -> None:
    assert [gate(i, 61, approved=True, here=h).to for i, h in enumerate((100, 500, 1000))] == [1, 2, None]


def test_before_the_first_weight() -> None:
    assert RAMP_STEPS[first_gate(RAMP_STEPS, ramp(9)).to or 0].weight == 8
    unknown = first_gate(RAMP_STEPS, ramp(0, rate=None))
    assert (unknown.open, unknown.hold, unknown.reason) == (False, False, "WaitingForRate")
    blind = first_gate(RAMP_STEPS, ramp(0, rate=None), "Direct: Unreachable")
    assert (blind.hold, blind.message.endswith("of them are: Direct: Unreachable")) == (True, True)
    small = first_gate(RAMP_STEPS, ramp(0))
    assert (small.open, small.hold, small.reason) == (False, True, "BudgetTooSmall")
    assert "raise spec.rollout.risk.maxHarmedRequests to 5 or more, or wait for fewer requests" in small.message
