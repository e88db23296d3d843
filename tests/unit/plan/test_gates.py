from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from solera.api.defaults import ResolvedStep
from solera.plan.gates import Gate, StepEvidence, split_matches, step_gate
from solera.plan.verdict import Judgement

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
) -> Gate:
    return step_gate(STEPS, index, SINCE, SINCE + timedelta(seconds=seconds), approved, StepEvidence(here, whole), said)


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
