"""A bad day for pods: they die, never come up, or are healthy and never answer, under live traffic, every answer counted."""

from __future__ import annotations

from pathlib import Path

import pytest
from lab import live

from e2e.scene import NAME, Scene, living, told
from e2e.test_rollout import QUICK, ROLLOUT

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("operator")]

STEPS = [20, 50, 100]
# What a killed pod costs is counted against its version; these tests are about what comes after.
PATIENT = {**ROLLOUT, "guardrails": [{"name": "errors", "metric": "ErrorRate", "limit": "40%"}]}
HANGS = "--sim-hang-rate=1"
GONE = 3.0
"""Seconds after the death of a pod in which requests may still have gone to it."""


def fails_only_between(scene: Scene, since: float, until: float) -> None:
    """Every request that was sent before or after got its answer."""
    outside = [r for r in scene.unanswered() if r.done < since or r.sent > until]
    assert told(outside) == []


async def test_candidate_pods_killed_the_rollout_goes_on_where_it_was(space: str, answers: Path) -> None:
    steps = [{"weight": w, "minDuration": "6s", "minRequests": 20} for w in STEPS]
    scene = Scene(space, answers, [live.sim(n, *QUICK) for n in ("v1", "v2")], {**PATIENT, "steps": steps})
    async with living(scene, "v1"):
        scene.serve("v2")
        await live.until("answers of v2", lambda: scene.answers_of("v2") >= 15, 60)
        crashed = scene.kill("v2")
        await live.until("the weight is back at v1", lambda: scene.weights() == {"v1": 100}, 10, 0.05)
        await live.until("the step again", lambda: scene.weights().get("v2") == STEPS[0], 30)
        await live.until("the second step", lambda: scene.weights().get("v2") == STEPS[1], 60)
        enough = scene.answers_of("v2") + 15
        await live.until("answers of v2", lambda: scene.answers_of("v2") >= enough, 60)
        (pod,) = scene.pods("v2")
        deleted = scene.delete("pod", pod["metadata"]["name"], "--grace-period=0", "--force")
        await live.until("the weight is back at v1", lambda: scene.weights() == {"v1": 100}, 10, 0.05)
        await live.until("v2 alone", lambda: scene.alone("v2"), 120, 0.5)
    weights = [w.get("v2", 0) for w in scene.weights_between(crashed, scene.route.seen[-1][0])]
    assert weights == [20, 0, 20, 50, 0, 50, 100]
    outside = [
        r for r in scene.unanswered() if not any(at <= r.done and r.sent <= at + GONE for at in (crashed, deleted))
    ]
    assert told(outside) == []
    assert {scene.hashes.get(r.revision, "v2") for r in scene.unanswered()} <= {"v2"}
    assert scene.events().count("Promoted") == 1


@pytest.mark.parametrize(
    ("fault", "patience", "reason"),
    # An engine that ends has to have ended once, also where three scenes share two cores.
    [("--sim-startup-delay=3600", "12s", ""), ("--sim-startup-fail=true", "20s", "code 1")],
    ids=["loads_for_ever", "crashes_at_start"],
)
async def test_candidate_pods_never_ready_get_no_weight_and_are_rolled_back(
    space: str, answers: Path, fault: str, patience: str, reason: str
) -> None:
    versions = [live.sim("v1", *QUICK), live.sim("v2", *QUICK, fault)]
    scene = Scene(space, answers, versions, ROLLOUT, {"startupTimeout": patience})
    async with living(scene, "v1"):
        scene.serve("v2")
        await live.until("rolled back", lambda: scene.status.get("rejected"), 60)
        await live.until("v1 alone", lambda: scene.alone("v1"), 60, 0.5)
    assert scene.steps("v2") == []
    said = scene.condition("Stalled")
    assert (said["status"], said["reason"]) == ("True", "RolledBack")
    assert f"no answer within startupTimeout ({patience})" in said["message"]
    assert reason in said["message"]
    assert scene.lost() == []


async def test_candidate_ready_and_hung_is_never_routed(space: str, answers: Path) -> None:
    versions = [live.sim("v1", *QUICK), live.sim("v2", *QUICK, HANGS)]
    scene = Scene(space, answers, versions, ROLLOUT, {"startupTimeout": "12s"})
    async with living(scene, "v1"):
        scene.serve("v2")
        await live.until("ready", lambda: (scene.status.get("state")) == "Evaluating", 30)
        await live.until("rolled back", lambda: scene.status.get("rejected"), 60)
        await live.until("v1 alone", lambda: scene.alone("v1"), 60, 0.5)
    assert scene.steps("v2") == []
    assert "no answer within startupTimeout (12s)" in scene.condition("Stalled")["message"]
    assert scene.lost() == []


@pytest.mark.parametrize("patience", [5.0, 120.0], ids=["clients_give_up_soon", "clients_wait_for_long"])
async def test_candidate_hung_in_mid_rollout_is_rolled_back(space: str, answers: Path, patience: float) -> None:
    errors_alone = {**ROLLOUT, "guardrails": [{"name": "errors", "metric": "ErrorRate", "limit": "5%"}]}
    scene = Scene(space, answers, [live.sim(n, *QUICK) for n in ("v1", "v2")], errors_alone)
    async with living(scene, "v1", patience=patience):
        scene.serve("v2")
        await live.until("the first step", lambda: scene.weights().get("v2") == STEPS[0], 60)
        await live.until("answers of v2", lambda: scene.answers_of("v2") >= 5, 30)
        hung = scene.put_faults("v2", hang_rate=1.0)
        await live.until("rolled back", lambda: scene.status.get("rejected"), 90)
        rejected = scene.status["rejected"][0]
        await live.until("v1 alone", lambda: scene.weights() == {"v1": 100} and not scene.pods("v2"), 60, 0.5)
        left = scene.resource.seen[-1][0]
    assert "ready" in rejected["reason"]
    assert "completion" in rejected["reason"]
    # At most one step more may begin before the silence is long enough to mean something.
    assert scene.steps("v2") in ([20], [20, 50])
    assert {scene.hashes.get(r.revision, "v2") for r in scene.records() if r.lost} == {"v2"}
    fails_only_between(scene, hung, left)


async def test_stable_pods_killed_weights_stay_until_they_are_back(space: str, answers: Path) -> None:
    versions = [live.sim("v1", *QUICK, "--sim-startup-delay=3"), live.sim("v2", *QUICK)]
    scene = Scene(space, answers, versions, PATIENT)
    async with living(scene, "v1"):
        scene.serve("v2")
        await live.until("the second step", lambda: scene.weights().get("v2") == STEPS[1], 60)
        killed = scene.kill("v1")
        await live.until("v1 is away", lambda: not scene.ready("v1"), 10, 0.1)
        await live.until("v1 is back", lambda: scene.ready("v1"), 40, 0.1)
        back = max(killed, scene.route.seen[-1][0])
        await live.until("v2 alone", lambda: scene.alone("v2"), 120, 0.5)
    assert all(w.get("v2", 0) >= STEPS[1] for w in scene.weights_between(killed, back))
    assert scene.steps("v2") == STEPS
    assert {scene.hashes.get(r.revision, "v1") for r in scene.unanswered()} <= {"v1"}
    assert scene.events().count("Promoted") == 1


async def test_stable_pods_killed_nothing_shifts_back_to_them_before_they_can_carry_it(
    space: str, answers: Path
) -> None:
    steps = [{"weight": 50, "minDuration": "2s", "pause": {"until": "Approved"}}, {"weight": 100, "minDuration": "2s"}]
    versions = [live.sim("v1", *QUICK, "--sim-startup-delay=8"), live.sim("v2", *QUICK)]
    scene = Scene(space, answers, versions, {**PATIENT, "steps": steps})
    async with living(scene, "v1"):
        scene.serve("v2")
        await live.until("half", lambda: scene.weights() == {"v1": 50, "v2": 50}, 60)
        killed = scene.kill("v1")
        await live.until("v1 is away", lambda: not scene.ready("v1"), 10, 0.1)
        live.kubectl("solera", "abort", NAME, "-n", space)
        await live.until("aborted", lambda: scene.status.get("rejected"), 10)
        await live.until("held", lambda: scene.status.get("state") == "RollingBack", 10)
        await live.until("v1 is back", lambda: scene.ready("v1"), 40, 0.05)
        await live.until("v1 alone", lambda: scene.alone("v1"), 60, 0.5)
    shifted = next(at for at, route in scene.route.seen if at > killed and scene.by_version(route) == {"v1": 100})
    assert scene.weights_between(killed, shifted - 0.001) == [{"v1": 50, "v2": 50}]
    assert shifted - killed >= 8, "v1 got everything before it could have been ready"
    assert {scene.hashes.get(r.revision, "v1") for r in scene.unanswered()} <= {"v1"}
    fails_only_between(scene, killed, shifted + 1)
