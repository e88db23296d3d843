"""Conditions keep their times, and say to kstatus what is meant."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from solera.api.conditions import ABNORMAL, ConditionType, Finding, contract, find, kstatus, settle

NOW = datetime(2027, 3, 1, tzinfo=UTC)
READY = Finding(ConditionType.READY, True, "OnPlan", "all is well")
STALLED = Finding(ConditionType.STALLED, True, "InvalidSpec", "spec.serve: is required")
RECONCILING = Finding(ConditionType.RECONCILING, True, "Provisioning", "2 pods start")


def test_a_new_condition() -> None:
    assert settle([], [READY], NOW, 3) == [
        {
            "type": "Ready",
            "status": "True",
            "reason": "OnPlan",
            "message": "all is well",
            "lastTransitionTime": "2027-03-01T00:00:00Z",
            "observedGeneration": 3,
        }
    ]


def test_the_time_moves_only_with_the_status() -> None:
    before = settle([], [READY], NOW, 1)
    later = NOW + timedelta(hours=1)
    other_words = settle(before, [Finding(ConditionType.READY, True, "Idle", "still well")], later, 2)
    assert other_words[0]["lastTransitionTime"] == "2027-03-01T00:00:00Z"
    assert (other_words[0]["reason"], other_words[0]["observedGeneration"]) == ("Idle", 2)
    for status, text in ((False, "False"), (None, "Unknown")):
        (changed,) = settle(before, [Finding(ConditionType.READY, status, "Broken", "")], later, 2)
        assert (changed["status"], changed["lastTransitionTime"]) == (text, "2027-03-01T01:00:00Z")


def test_settling_twice_changes_nothing() -> None:
    once = settle([], contract(READY, RECONCILING), NOW, 1)
    assert settle(once, contract(READY, RECONCILING), NOW + timedelta(days=1), 1) == once


@pytest.mark.parametrize("kind", sorted(ABNORMAL))
def test_an_abnormal_condition_exists_only_while_it_is_true(kind: ConditionType) -> None:
    present = settle([], [Finding(kind, True, "Why", "")], NOW, 1)
    assert [condition["type"] for condition in present] == [kind.value]
    assert settle(present, [Finding(kind, False, "Why", "")], NOW, 1) == []
    assert settle(present, [], NOW, 1) == []


def test_the_order_is_fixed() -> None:
    complete = Finding(ConditionType.ROLLOUT_COMPLETE, False, "Shifting", "")
    types = [condition["type"] for condition in settle([], [complete, RECONCILING, READY], NOW, 1)]
    assert types == ["Ready", "Reconciling", "RolloutComplete"]


def test_a_long_message_is_cut() -> None:
    (condition,) = settle([], [Finding(ConditionType.READY, True, "Why", "x" * 5000)], NOW, 1)
    assert len(condition["message"]) == 1024
    assert condition["message"].endswith("x…")


def test_what_is_stalled_is_neither_ready_nor_in_progress() -> None:
    conditions = settle([], contract(READY, RECONCILING, STALLED), NOW, 1)
    assert [(c["type"], c["status"], c["reason"]) for c in conditions] == [
        ("Ready", "False", "InvalidSpec"),
        ("Stalled", "True", "InvalidSpec"),
    ]


@pytest.mark.parametrize(
    ("findings", "expected"),
    [
        (contract(READY), "Current"),
        (contract(READY, RECONCILING), "InProgress"),
        (contract(READY, RECONCILING, STALLED), "Failed"),
        (contract(Finding(ConditionType.READY, False, "NoPods", "")), "InProgress"),
        (contract(Finding(ConditionType.READY, None, "NoPods", "")), "InProgress"),
    ],
)
def test_what_kstatus_makes_of_it(findings: tuple[Finding, ...], expected: str) -> None:
    status = {"observedGeneration": 2, "conditions": settle([], findings, NOW, 2)}
    assert kstatus(2, status) == expected
    assert kstatus(3, status) == "InProgress"
    assert kstatus(2, status, deleting=True) == "Terminating"


def test_an_object_that_nobody_has_seen_is_in_progress_because_of_the_default_status() -> None:
    assert kstatus(1, {"observedGeneration": -1}) == "InProgress"
    assert kstatus(1, {}) == "Current"


def test_find() -> None:
    conditions = settle([], [READY], NOW, 1)
    assert find(conditions, "Ready") == conditions[0]
    assert find(conditions, "Stalled") is None
