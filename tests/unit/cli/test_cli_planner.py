"""The plugin against the real planner: what one writes the other reads, and its answer is understood."""

from __future__ import annotations

from typing import Any

import pytest

from solera.cli.views import times
from solera.cli.views.explain import explain
from solera.plan.plan import plan
from solera.plan.types import Observation, Owner
from unit.cli.objects import NOW, V1, V2, at_rest, llmd, rolling, waiting_for_approval
from unit.cli.test_cli_get import Terminal


def decided(obj: dict[str, Any], route: dict[str, Any] | None = None) -> dict[str, Any]:
    """The status that the operator writes for this object; it sees no children."""
    meta = obj["metadata"]
    created = times.parse(meta["creationTimestamp"])
    assert created
    owner = Owner(meta["name"], meta["namespace"], meta["uid"], meta["generation"], created)
    return plan(Observation(NOW, owner, obj, route=route)).status


def operated(status: dict[str, Any], route: dict[str, Any] | None = None) -> Terminal:
    """A terminal behind which the planner answers."""
    t = Terminal(llmd(status))

    def operator(patched: dict[str, Any]) -> None:
        t.twin.put(patched | {"status": decided(patched, route)})

    t.twin.on_patch = operator
    return t


def test_an_approval_is_taken_and_its_answer_is_told() -> None:
    t = operated(waiting_for_approval())
    result = t.run("promote", "support-assistant", "--yes")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "promote support-assistant: step 3 of v2 is approved\n"
    assert t.run("promote", "support-assistant", "--yes").exit_code == 4


def test_an_approval_for_a_step_that_is_over_on_the_route_is_refused() -> None:
    """Status is a little behind the route here, as it is between two writes of the operator."""
    progress = f"{waiting_for_approval()['rollout']['id']}/3/2026-11-23T11:59:58Z"
    route = {"metadata": {"annotations": {"solera.dev/progress": progress}, "resourceVersion": "1"}}
    result = operated(waiting_for_approval(), route).run("promote", "support-assistant", "--yes")
    assert result.exit_code == 5
    assert "look again and repeat" in result.stderr


@pytest.mark.parametrize(
    "status", [waiting_for_approval(), rolling("Provisioning", "Provisioning", "0 of 2 pods", step=None)]
)
def test_an_abort_is_taken_in_every_state_and_then_there_is_no_rollout(status: dict[str, Any]) -> None:
    t = operated(status)
    result = t.run("abort", "support-assistant")
    assert (result.exit_code, result.stdout) == (0, "abort support-assistant: v2 was aborted by request\n")
    again = t.run("abort", "support-assistant")
    assert again.exit_code == 4
    assert again.stderr.startswith("Error: no rollout of support-assistant is in progress: ")


def test_an_abort_of_what_is_no_longer_the_candidate_is_refused() -> None:
    t = operated(waiting_for_approval())
    asked: list[str] = []

    def overtaken(patched: dict[str, Any]) -> None:
        asked.append(patched["metadata"]["annotations"]["solera.dev/request"])
        t.twin.put(patched | {"status": decided(patched | {"status": at_rest(stable=V2)})})

    t.twin.on_patch = overtaken
    result = t.run("abort", "support-assistant")
    assert result.exit_code == 5
    stands = f"no rollout is in progress, v2 ({V2['hash']}) carries the traffic"
    assert result.stderr == f"Error: abort support-assistant: {V2['hash']} is not the candidate: {stands}\n"
    assert asked == [f"abort@{V2['hash']}/2#1a2b3c4d"]


def test_explain_understands_what_the_planner_writes() -> None:
    """The first look at a new object, then an invalid one."""
    first = llmd({"observedGeneration": -1})
    answer = explain(first | {"status": decided(first)}, NOW)
    assert answer.cause == "Provisioning"
    assert answer.sentence == "No version of support-assistant serves: 0 of 1 pods of v2 are ready"
    broken = llmd(at_rest(stable=V1))
    broken["spec"]["rollout"]["steps"] = [{"weight": 5}]
    answer = explain(broken | {"status": decided(broken)}, NOW)
    assert answer.cause == "Stalled"
    assert "spec.rollout.steps" in answer.sentence
