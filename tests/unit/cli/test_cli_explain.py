from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solera.cli.views.explain import explain
from solera.cli.views.reading import read
from unit.cli.objects import (
    GUARDRAILS,
    NOW,
    PAUSED,
    V1,
    V2,
    VERSIONS,
    ago,
    ahead,
    at_rest,
    condition,
    llmd,
    paused,
    rolling,
    waiting_for_approval,
    weights,
)

FAILED = "v2 is rolled back: errors: 3.1% bad in 640 requests, above the limit of 1%"


def rejected(state: str, **more: Any) -> dict[str, Any]:
    """v2 failed; v1 serves, and the spec still asks for v2."""
    return (
        at_rest(
            state=state,
            stable=V1,
            weights=weights(100, 0),
            rollout={"id": "b7d3m8xz-1795430000", "reason": "RolledBack", "message": FAILED},
            rejected=[{"version": "v2", "hash": V2["hash"], "at": ago(hours=2, minutes=30), "reason": FAILED}],
            history=[{"at": ago(hours=2, minutes=30), "event": "RolledBack", "message": FAILED}],
            next="edit the version, name another one in spec.serve, or kubectl solera retry support-assistant",
            conditions=[
                condition("Ready", "False", "RolledBack", FAILED),
                condition("Stalled", "True", "RolledBack", FAILED),
                condition("RolloutComplete", "False", "RolledBack", FAILED),
            ],
        )
        | more
    )


def retiring(date: str, **more: Any) -> dict[str, Any]:
    versions = [VERSIONS[0] | {"retiresAt": date, "phase": "Deprecated"}, VERSIONS[1]]
    return at_rest(stable=V1, effectiveVersion="v1", weights=weights(100, 0), versions=versions) | more


OVERDUE = "v1 should have retired at 2026-11-23T09:00:00Z and keeps serving: the rollout to v2 is not finished"
HELD = "v1 should have retired at 2026-11-23T09:00:00Z; it keeps serving because onRetirement is Hold"
PODS = "0 of 2 pods of v2 are ready: Unschedulable: 0/4 nodes are available: 4 Insufficient nvidia.com/gpu"

CASES: dict[str, tuple[dict[str, Any], str, str, str | None]] = {
    # name: (object, cause, sentence, command)
    "no status at all": (
        {k: v for k, v in llmd().items() if k != "status"},
        "NotObserved",
        "The operator has not looked at support-assistant in the 40d since it was created: is the operator running?",
        "kubectl get pods -A -l app.kubernetes.io/name=solera",
    ),
    "the default of status": (
        llmd(),
        "NotObserved",
        "The operator has not looked at support-assistant in the 40d since it was created: is the operator running?",
        "kubectl get pods -A -l app.kubernetes.io/name=solera",
    ),
    "just created": (
        llmd(creationTimestamp=ago(seconds=3)),
        "NotObserved",
        "The operator has not looked at support-assistant yet, 3s old.",
        None,
    ),
    "last change not seen": (
        llmd(at_rest(observedGeneration=6)),
        "NotObserved",
        "The operator has not seen the last change of support-assistant (generation 7, it last saw 6): is the operator running?",
        "kubectl get pods -A -l app.kubernetes.io/name=solera",
    ),
    "being deleted": (
        llmd(at_rest(), deletionTimestamp=ago(seconds=40)),
        "Deleting",
        "support-assistant is being deleted, asked for 40s ago.",
        None,
    ),
    "stalled": (
        llmd(
            at_rest(
                conditions=[
                    condition("Ready", "False", "HostnameConflict", "a.example.com is claimed by ml/older"),
                    condition("Stalled", "True", "HostnameConflict", "a.example.com is claimed by ml/older"),
                ]
            )
        ),
        "Stalled",
        "support-assistant is stalled (HostnameConflict): a.example.com is claimed by ml/older",
        None,
    ),
    "stalled before any state": (
        llmd({"conditions": [condition("Stalled", "True", "InvalidSpec", "spec.rollout: x")]}),
        "Stalled",
        "support-assistant is stalled (InvalidSpec): spec.rollout: x",
        None,
    ),
    "first revision provisioning": (
        llmd(
            {
                "state": "Provisioning",
                "effectiveVersion": "v1",
                "next": "100% to v1 once it answers",
                "conditions": [
                    condition("Ready", "False", "Provisioning", "0 of 2 pods of v1 are ready: ErrImagePull: no such")
                ],
            }
        ),
        "Provisioning",
        "No version of support-assistant serves: 0 of 2 pods of v1 are ready: ErrImagePull: no such",
        None,
    ),
    "first revision awaits an answer": (
        llmd(
            {
                "state": "Evaluating",
                "conditions": [
                    condition("Ready", "False", "WaitingForAnswer", "v1 is ready; a real completion is awaited")
                ],
            }
        ),
        "Evaluating",
        "No version of support-assistant serves: v1 is ready; a real completion is awaited",
        None,
    ),
    "nothing serves on purpose": (
        llmd({"state": "Idle", "conditions": [condition("Ready", "False", "VersionRetired", "v1 has retired")]}),
        "NothingServes",
        "No version of support-assistant serves: v1 has retired",
        None,
    ),
    "provisioning with a pod problem": (
        llmd(rolling("Provisioning", "Provisioning", PODS, step=None)),
        "Provisioning",
        f"v2 gets no requests yet, its pods are being started: {PODS}",
        None,
    ),
    "evaluating": (
        llmd(rolling("Evaluating", "WaitingForAnswer", "a real completion is awaited", step=None)),
        "WaitingForAnswer",
        "v2 gets no requests yet, it is being tried out: a real completion is awaited",
        None,
    ),
    "waits for time": (
        llmd(rolling("Shifting", "MinDuration", "step 2 of 4 (25%) lasts until 2026-11-23T12:03:00Z at least")),
        "MinDuration",
        "v2 gets 25% of the requests: step 2 of 4 (25%) lasts until 2026-11-23T12:03:00Z at least",
        None,
    ),
    "waits for requests": (
        llmd(rolling("Shifting", "TooFewRequests", "step 2 of 4 (25%) waits for requests: 7 of 20")),
        "TooFewRequests",
        "v2 gets 25% of the requests: step 2 of 4 (25%) waits for requests: 7 of 20",
        None,
    ),
    "waits for requests on a step that will need approval": (
        llmd(rolling("Shifting", "TooFewRequests", "step 3 of 4 (50%) waits for requests: 7 of 20", step=2, weight=50)),
        "TooFewRequests",
        "v2 gets 50% of the requests: step 3 of 4 (50%) waits for requests: 7 of 20",
        "kubectl solera promote support-assistant -n ml",
    ),
    "paused until approved": (
        llmd(waiting_for_approval()),
        "WaitingForApproval",
        "v2 stays at 50% until a person approves it: step 3 of 4 (50%) waits for approval",
        "kubectl solera promote support-assistant -n ml",
    ),
    "held without data": (
        llmd(
            rolling(
                "Held",
                "GuardrailHolds",
                "step 2 of 4 (25%) holds: errors: no data from engine since 11:48",
                rollout={"heldSince": ago(minutes=12)},
                guardrails=[GUARDRAILS[0] | {"verdict": "NoData", "samples": 0, "bad": 0}],
            )
        ),
        "GuardrailHolds",
        "v2 is held at 25% for 12m (GuardrailHolds): step 2 of 4 (25%) holds: errors: no data from engine since 11:48",
        None,
    ),
    "promoting": (
        llmd(
            rolling("Promoting", "MinDuration", "v2 carries all traffic; step 4 of 4 (100%) lasts", step=3, weight=100)
        ),
        "MinDuration",
        "v2 is taking over all requests: v2 carries all traffic; step 4 of 4 (100%) lasts",
        None,
    ),
    "failed, traffic is leaving": (
        llmd(rejected("RollingBack", draining=[V2], next="0% to v2", weights=weights(75, 25))),
        "RollingBack",
        f"v2 is being taken out of the traffic: {FAILED}",
        None,
    ),
    "withdrawn": (
        llmd(
            at_rest(
                state="RollingBack",
                stable=V1,
                effectiveVersion="v1",
                draining=[V2],
                # what the last rollout said stays in status and must not be taken for the reason
                rollout={"id": "x", "reason": "MinDuration", "message": "step 1 of 4 (5%) lasts"},
                history=[{"at": ago(seconds=4), "event": "Withdrawn", "message": "v2 was withdrawn; v1 serves"}],
            )
        ),
        "RollingBack",
        "v2 is being taken out of the traffic: v2 was withdrawn; v1 serves",
        None,
    ),
    "paused by a person": (
        llmd(paused()),
        "Paused",
        f"v2 stays at 25% until a person lets it go on: {PAUSED}",
        "kubectl solera resume support-assistant -n ml",
    ),
    "rejected": (
        llmd(rejected("Idle")),
        "Rejected",
        f"v1 carries the requests, and v2 is not tried again: {FAILED}",
        "kubectl solera retry support-assistant -n ml",
    ),
    "rejected, still draining": (
        llmd(rejected("Draining", draining=[V2 | {"since": ago(seconds=20)}])),
        "Rejected",
        f"v1 carries the requests, and v2 is not tried again: {FAILED}",
        "kubectl solera retry support-assistant -n ml",
    ),
    "routed revisions are down": (
        llmd(
            rolling("Held", "StableUnavailable", "x")
            | {
                "conditions": [
                    condition("Ready", "False", "NoReadyEndpoint", "no revision that is routed has a ready endpoint")
                ]
            }
        ),
        "NotReady",
        "support-assistant is not ready (NoReadyEndpoint): no revision that is routed has a ready endpoint",
        None,
    ),
    "draining": (
        llmd(
            at_rest(
                state="Draining",
                draining=[V1 | {"since": ago(seconds=20)}],
                next="pods of v1 go at 2026-11-23T12:01:40Z",
            )
        ),
        "Draining",
        "v2 carries the requests, and v1 finishes the requests it has: pods of v1 go at 2026-11-23T12:01:40Z",
        None,
    ),
    "retirement upcoming": (
        llmd(retiring(ahead(days=12), next="v1 moves to v2 at 2026-12-05T11:00:00Z")),
        "RetirementUpcoming",
        "v1 carries the requests and retires in 12d: v1 moves to v2 at 2026-12-05T11:00:00Z",
        None,
    ),
    "retirement far away": (
        llmd(retiring(ahead(days=31))),
        "Idle",
        "Nothing moves, and nothing is asked for: v1 carries the requests.",
        None,
    ),
    "retirement held": (
        llmd(retiring(ago(hours=3), conditions=[condition("RetirementHeld", "True", "Hold", HELD)])),
        "RetirementHeld",
        f"A retirement is held (Hold): {HELD}",
        None,
    ),
    "retirement overdue": (
        llmd(retiring(ago(hours=3), conditions=[condition("RetirementOverdue", "True", "SuccessorNotReady", OVERDUE)])),
        "RetirementOverdue",
        f"A retirement is overdue (SuccessorNotReady): {OVERDUE}",
        None,
    ),
    "not begun": (
        llmd(at_rest(stable=V1)),
        "Waiting",
        "v1 carries the requests, and the rollout to v2 has not begun.",
        None,
    ),
    "idle with a warm previous": (
        llmd(at_rest(previous=V1 | {"since": ago(minutes=2), "until": ahead(minutes=8)})),
        "Idle",
        "Nothing moves: v2 carries the requests, v1 is kept warm for another 8m.",
        None,
    ),
    "idle": (llmd(at_rest()), "Idle", "Nothing moves, and nothing is asked for: v2 carries the requests.", None),
}


@pytest.mark.parametrize(("obj", "cause", "sentence", "command"), CASES.values(), ids=CASES)
def test_one_sentence_for_every_state(obj: dict[str, Any], cause: str, sentence: str, command: str | None) -> None:
    answer = explain(obj, NOW)
    assert (answer.sentence, answer.cause, answer.command) == (sentence, cause, command)


@pytest.mark.parametrize("obj", [case[0] for case in CASES.values()], ids=CASES)
def test_the_operators_own_words_are_told_unchanged_and_once(obj: dict[str, Any]) -> None:
    d = read(obj)
    answer = explain(obj, NOW)
    told = "\n".join((answer.sentence, *answer.lines))
    words = {
        c.message
        for c in d.conditions
        if c.status == "True" and c.type in {"Stalled", "RetirementHeld", "RetirementOverdue"}
    }
    if d.in_rollout and d.observed and not d.deleted_at and d.rollout and d.rollout.message:
        words.add(d.rollout.message)
    for text in words:
        assert text in told
        assert answer.sentence.count(text) <= 1


def test_evidence_of_a_step() -> None:
    answer = explain(CASES["waits for requests"][0], NOW)
    assert answer.lines == (
        "step 2 of 4 (25%), since 12m",
        "share: the candidate got 24.6% of the requests, the route says 25%",
        (
            "guardrail errors: Continue, 0.4% bad (0.1% to 1.3%), limit 1%, 1240 events from engine; "
            "5 of 1,240 requests bad (0.403%): not shown yet to keep the limit; Pass after about 1,400 more requests, about 20 min at the present rate, if the share stays as it is"
        ),
        "guardrail ttft: Pass, 2.1% bad (1.2% to 3.6%), limit 5%, 1240 events from engine",
        "figures are 8s old",
        "version v1 (Active, 75%): retires in 97d at 2027-03-01T00:00:00Z",
        "next: 50% to v2",
    )


def test_evidence_of_a_rejection_names_the_revision_and_what_to_do() -> None:
    answer = explain(CASES["rejected"][0], NOW)
    assert answer.lines[0] == "condition Ready=False, Stalled=True, RolloutComplete=False (RolledBack, since 30m)"
    assert "rejected 150m ago: v2 (b7d3m8xz)" in answer.lines
    assert (
        "next: edit the version, name another one in spec.serve, or kubectl solera retry support-assistant"
        in answer.lines
    )


def test_evidence_of_what_was_retired_and_of_a_pending_request() -> None:
    old = VERSIONS[0] | {"phase": "Retired", "retiredAt": ago(days=2), "lateBy": "40s"}
    obj = llmd(at_rest(versions=[old, VERSIONS[1]]), annotations={"solera.dev/request": "abort@b7d3m8xz/1#77"})
    lines = explain(obj, NOW).lines
    assert "version v1: retired 2d ago, 40s late" in lines
    assert "request not handled yet: abort@b7d3m8xz/1#77" in lines
    obj["status"]["lastHandledRequest"] = "abort@b7d3m8xz/1#77"
    assert not [line for line in explain(obj, NOW).lines if "request not handled" in line]


def test_a_date_that_has_passed_is_told_as_passed() -> None:
    lines = explain(CASES["retirement overdue"][0], NOW).lines
    assert "version v1 (Deprecated, 100%): should have retired 3h ago at 2026-11-23T09:00:00Z" in lines


def test_a_condition_that_is_not_the_answer_is_told_with_its_message() -> None:
    refused = condition("RouteAccepted", "Unknown", "Pending", "the gateway has not answered yet")
    lines = explain(llmd(at_rest(conditions=[refused])), NOW).lines
    assert "condition RouteAccepted=Unknown (Pending, since 30m): the gateway has not answered yet" in lines


def test_stale_status_is_marked_as_stale() -> None:
    assert explain(CASES["last change not seen"][0], NOW).lines[0] == "What follows is what it said before that change."


def test_what_a_container_wrote_cannot_steer_the_terminal() -> None:
    obj = llmd(
        rolling("Provisioning", "Provisioning", "v2: Error: \x1b[2J\x1b]0;owned\x07boom\r\nnext line\x9b1m", step=None)
    )
    answer = explain(obj, NOW)
    told = "".join((answer.sentence, *answer.lines))
    assert not [c for c in told if ord(c) < 32 or 127 <= ord(c) < 160]
    assert "boom next line" in answer.sentence


@given(st.sampled_from([case[0] for case in CASES.values()]), st.data())
def test_whatever_is_absent_there_is_an_answer(obj: dict[str, Any], data: st.DataObject) -> None:
    """An older operator, a hand-written status, a field that a later version adds: never a traceback."""
    thinned = copy.deepcopy(obj)
    status = thinned.get("status", {})
    for part in (
        status,
        status.get("rollout", {}),
        *status.get("guardrails", []),
        *status.get("versions", []),
        thinned["metadata"],
    ):
        keys = sorted(set(part) - {"observedGeneration"})
        for key in data.draw(st.sets(st.sampled_from(keys)) if keys else st.just(set())):
            del part[key]
    answer = explain(thinned, NOW)
    assert answer.sentence
    assert answer.cause
    assert "None" not in answer.sentence


def adaptive_obj() -> dict[str, Any]:
    status = rolling("Shifting", "WaitingForEvidence", "step 4 of 11 (5%) waits for evidence", step=3, weight=5)
    status["rollout"] |= {"harmedAtMost": 12, "steps": 11}
    obj = llmd(status)
    steps = [{"weight": 40, "pause": {"until": "Approved"}}, {"weight": 100}]
    obj["spec"]["rollout"] = {"strategy": "Adaptive", "risk": {"maxHarmedRequests": 50}, "steps": steps}
    return obj


def test_an_adaptive_rollout_says_what_its_budget_may_have_cost() -> None:
    said = explain(adaptive_obj(), NOW)
    assert "budget: at most 12 of 50 bad requests more than the limits allow so far" in said.lines
    fixed = adaptive_obj()
    fixed["spec"]["rollout"].pop("strategy")
    assert not [line for line in explain(fixed, NOW).lines if line.startswith("budget")]


def test_the_rungs_count_as_steps_when_an_approval_is_looked_for() -> None:
    d = read(adaptive_obj())
    assert d.step_weights == (1, 2, 3, 5, 8, 12, 18, 25, 35, 40, 50, 100)
    assert d.approval_steps == (9,)
    assert not d.waits_for_approval
