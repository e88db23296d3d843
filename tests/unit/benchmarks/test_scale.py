"""What the scale benchmark reads out of the audit log, and what it makes of it."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from benchmarks.peer.audit import Request
from benchmarks.scale import figures, objects, report

SPACE = "scale"


def request(at: float, user: str, verb: str, resource: str, name: str = "m-0000", code: int = 200) -> Request:
    return Request(at, user, verb, resource, SPACE, name, code)


def whole(name: str, at: float) -> list[Request]:
    """One object with its children, made by ``solera`` from ``at`` on, its last pod ready 5 s later."""
    out = [request(at, "creator", "create", "llmdeployments", name, 201)]
    for second, kind in enumerate(objects.CHILDREN, 1):
        child = name if kind == "httproutes" else f"{name}-v1-abcdefgh"
        out.append(request(at + second, "solera", "patch", kind, child, 201))
    out += [
        request(at + 4 + pod, "kwok", "patch", "pods/status", f"{name}-v1-abcdefgh-{pod}")
        for pod in range(objects.REPLICAS)
    ]
    return out


def test_made_is_when_the_last_child_is_there_and_the_last_pod_ready() -> None:
    made = figures.made([*whole("m-0000", 100), *whole("m-0001", 102)], SPACE, 2)
    assert (made.began, made.children, made.pods, made.missing) == (100, 106, 107, "")
    assert made.seconds == 7


def test_an_update_of_a_child_is_not_its_creation() -> None:
    later = request(200, "solera", "patch", "deployments", "m-0000-v1-abcdefgh", 200)
    assert figures.made([*whole("m-0000", 100), later], SPACE, 1).children == 104


@pytest.mark.parametrize("lost", [*objects.CHILDREN, "pods/status"])
def test_what_is_missing_is_told(lost: str) -> None:
    found = [one for one in whole("m-0000", 100) if one.resource != lost]
    word = "pods ready 0 of 2" if lost == "pods/status" else f"{lost} 0 of 1"
    assert figures.made(found, SPACE, 1).missing == word


def test_other_namespaces_do_not_count() -> None:
    elsewhere = [replace(one, namespace="bare") for one in whole("m-0000", 100)]
    assert figures.made(elsewhere, SPACE, 1).missing


def test_requests_are_sorted_and_the_lease_is_left_out() -> None:
    found = [
        request(1, "solera", "patch", "leases"),
        request(1, "solera", "get", "llmdeployments"),
        request(1, "solera", "patch", "llmdeployments/status"),
        request(1, "solera", "patch", "rolloutrecords"),
        request(1, "solera", "create", "events"),
        request(1, "else", "patch", "deployments"),
        request(9, "solera", "patch", "deployments"),
    ]
    asked = figures.asked(found, "solera", 0, 5)
    assert (asked.reads, asked.writes, asked.evidence, asked.events, asked.leases) == (1, 1, 1, 1, 1)
    assert asked.all == 4
    assert "patch leases" not in asked.kinds


def test_requests_of_one_object_and_its_children() -> None:
    names = ("m-0000", "m-0000-v1-abcdefgh", "m-0001")
    found = [request(1, "solera", "patch", "deployments", name) for name in names]
    assert figures.asked(found, "solera", 0, 5, only="m-0000").writes == 2


def test_a_change_is_followed_by_the_first_write_for_its_object() -> None:
    found = [
        request(1.0, "creator", "patch", "llmdeployments", "m-0000"),
        request(1.2, "creator", "patch", "llmdeployments", "m-0001"),
        request(1.3, "solera", "patch", "deployments", "m-0001-v1-abcdefgh"),
        request(1.4, "solera", "create", "events", "m-0000"),
        request(1.5, "solera", "patch", "deployments", "m-0000-v1-abcdefgh"),
        request(1.6, "solera", "patch", "llmdeployments/status", "m-0000"),
    ]
    assert figures.after_changes(found, "creator", "solera", 0, 5) == pytest.approx([0.1, 0.5])


def test_a_change_that_nothing_follows_is_never_answered() -> None:
    found = [request(1.0, "creator", "patch", "llmdeployments")]
    assert figures.after_changes(found, "creator", "solera", 0, 5) == [math.inf]


NOTHING = figures.Asked(0, 0, 0, 0, 1)


def run(**more: object) -> figures.Run:
    fields = {
        "count": 100,
        "bare": figures.Bare(100, 4.0, 5.0, 0.9),
        "seconds": 8.0,
        "settled": 9.0,
        "create": figures.Asked(0, 700, 100, 0, 2, {"patch deployments": 100}),
        "create_cpu": 3.0,
        "busy": 0.9,
        "memory_peak": 90.0,
        "memory_rest": 80.0,
        "rest_seconds": 60.0,
        "rest": NOTHING,
        "rest_cpu": 0.1,
        "restart": 3.0,
        "restart_cpu": 1.0,
        "restart_asked": NOTHING,
        "changes": [0.01, 0.02],
        "changes_cpu": 0.5,
    }
    return figures.Run(**(fields | more))  # type: ignore[arg-type]


def verdicts(found: figures.Run) -> dict[str, bool]:
    return {goal.name: goal.holds for goal in report.goals(found)}


def test_goals_hold_at_their_bounds_and_not_beyond() -> None:
    assert all(verdicts(run()).values())
    assert run().ratio == pytest.approx(0.625)
    assert not verdicts(run(seconds=9.0))["scale.ratio_to_raw_client"]
    assert not verdicts(run(create=figures.Asked(1, 700, 100, 0, 0)))["scale.requests_per_object"]
    assert not verdicts(run(rest=figures.Asked(0, 1, 0, 0, 9)))["scale.writes_at_rest"]
    assert not verdicts(run(changes=[0.01, math.inf]))["scale.event_to_write_p99_ms"]


def test_one_write_of_evidence_in_a_minute_of_a_rollout_is_left_out() -> None:
    found = run(rollouts=2, rollout=figures.Asked(4, 40, 6, 12, 1), rollout_seconds=70.0)
    [goal] = [g for g in report.goals(found) if g.name == "scale.requests_per_rollout"]
    assert goal.value == 25
    assert goal.holds


def test_the_section_replaces_the_old_one_and_leaves_the_rest() -> None:
    document = "# Benchmarks\n\nintroduction\n\n## Beside a peer\n\ntext\n"
    once = report.placed(document, report.section([run()], "make bench", "2026-11-24", "here", "K 1"))
    twice = report.placed(once, report.section([run(seconds=20.0)], "make bench", "2026-11-25", "here", "K 1"))
    assert twice.count(report.HEADING) == 1
    assert "2026-11-25" in twice
    assert "2026-11-24" not in twice
    assert "introduction" in twice
    assert twice.endswith("## Beside a peer\n\ntext\n")


def test_the_bare_client_makes_the_children_that_solera_makes() -> None:
    bodies = [json.loads(text) for text in objects.children(SPACE)]
    assert [body["kind"] for body in bodies] == ["ControllerRevision", "Service", "Deployment", "HTTPRoute"]
    assert {body["metadata"]["ownerReferences"][0]["uid"] for body in bodies} == {objects.UID}
    assert all(objects.owner_of(body["metadata"]["name"]) == objects.NAME for body in bodies)
    assert bodies[2]["spec"]["replicas"] == objects.REPLICAS
