"""Pods that go, come late, or are only a few: what carries the traffic, what is promoted, and how long is waited for them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from sim.kubelet import Pod
from sim.life import Life, manifest, settled
from sim.timeline import START
from sim.traffic import Behaviour
from solera.api.scalars import format_time

ERRORS = {"name": "errors", "metric": "ErrorRate", "limit": "5%"}


def shifting(weight: int, *, replicas: int = 2, **rollout: Any) -> Life:
    spec = manifest(**rollout)
    spec["template"]["replicas"] = replicas
    life = Life(spec, {v: Behaviour(2.0) for v in ("v1", "v2", "v3")})
    life.until(settled("v1"), 60)
    life.edit(serve="v2")
    life.until(lambda one: one.weights().get("v2", 0) >= weight, 300)
    return life


def promoted(**rollout: Any) -> Life:
    life = shifting(100, **rollout)
    life.until(lambda one: (one.status.get("previous") or {}).get("version") == "v1", 60)
    return life


def break_for_good(pods: list[Pod], life: Life) -> None:
    for pod in pods:
        pod.started = life.timeline.now()
        life.cluster.set_ready(pod, False)


def mend(pods: list[Pod], life: Life) -> None:
    for pod in pods:
        life.cluster.set_ready(pod, True)


def test_a_promoted_version_without_pods_gives_way_to_the_old_one_that_is_still_warm() -> None:
    life = promoted(keepPrevious="5m")
    life.run(20)
    life.behave("v2", Behaviour(2.0, never_ready=True))
    life.until(lambda one: one.weights() == {"v1": 100}, 5)
    lost = life.traffic.lost
    life.run(60)
    assert life.traffic.lost == lost
    assert life.status["candidate"]["version"] == "v2", "it is let in anew when it is back"
    life.behave("v2", Behaviour(2.0))
    life.until(settled("v2"), 600)
    assert life.witness.weights_seen[-1][1] == {"v2": 100}
    assert {w.get("v2") for _, w in life.witness.weights_seen} >= {10, 30, 60, 100}


def test_a_promoted_version_that_never_comes_back_is_rolled_back_in_the_end() -> None:
    life = promoted(keepPrevious="5m")
    life.behave("v2", Behaviour(2.0, never_ready=True))
    life.until(lambda one: one.running() == {"v1"}, 300)
    assert life.weights() == {"v1": 100}
    assert life.reason("Stalled") == "RolledBack"


def test_the_old_version_is_not_let_go_while_it_alone_has_pods() -> None:
    life = promoted(keepPrevious="30s")
    life.behave("v1", Behaviour(2.0, hung=True))  # ready, but it will not answer the operator that starts now
    life.kill_operator()
    life.behave("v2", Behaviour(2.0, never_ready=True))
    life.run(120)
    assert life.pods("v1")
    life.behave("v1", Behaviour(2.0))
    life.until(lambda one: one.weights() == {"v1": 100}, 60)


def test_nothing_is_promoted_with_a_part_of_its_pods() -> None:
    life = shifting(100, replicas=4, keepPrevious="0s")
    broken = life.pods("v2")[1:]
    break_for_good(broken, life)
    life.run(120)
    assert life.status["stable"]["version"] == "v1"
    assert life.status["state"] == "Held"
    assert "1 of 4 pods of v2 are ready" in life.status["rollout"]["message"]
    assert len(life.pods("v1")) == 4
    mend(broken, life)
    life.until(settled("v2"), 60)


def test_weight_that_was_lost_comes_back_to_all_pods_and_not_to_the_first() -> None:
    life = shifting(60, replicas=4, steps=[{"weight": 60, "minDuration": "60s"}, {"weight": 100}])
    pods = life.pods("v2")
    break_for_good(pods, life)
    life.until(lambda one: one.weights() == {"v1": 100}, 5)
    mend(pods[:1], life)
    life.run(30)
    assert life.weights() == {"v1": 100}
    assert life.waits_for == "CandidateIncomplete"
    mend(pods[1:], life)
    life.until(lambda one: one.weights() == {"v1": 40, "v2": 60}, 15)


def test_a_route_that_is_taken_away_comes_back_whole_pods_or_not() -> None:
    life = shifting(30, replicas=4)
    break_for_good(life.pods("v2")[1:], life)
    life.run(2)
    life.cluster.remove("HTTPRoute", "ml", "chat", collect=False)
    life.until(lambda one: one.weights() == {"v1": 100}, 5)


def unschedulable(pods: list[Pod], life: Life) -> None:
    for pod in pods:
        waiting = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no GPU is free"}
        life.cluster.edit(
            "Pod", "ml", pod.uid, lambda o, w=waiting: o["status"].update(phase="Pending", conditions=[w])
        )


def test_the_wait_for_a_node_is_no_part_of_the_time_to_start_up() -> None:
    life = Life(manifest(), {"v1": Behaviour(2.0), "v2": Behaviour(2.0, never_ready=True)})
    life.until(settled("v1"), 60)
    life.edit(serve="v2")
    life.run(1)
    unschedulable(life.pods("v2"), life)
    life.run(600)
    life.behaviours["v2"] = Behaviour(40.0)
    for pod in life.pods("v2"):
        life.cluster.restart(pod)
    life.until(settled("v2"), 300)
    assert "RolledBack" not in [h["event"] for h in life.status["history"]]


def test_pods_that_may_not_be_made_are_waited_for_and_the_reason_is_told() -> None:
    why = 'pods "chat-v2" is forbidden: exceeded quota: gpus, requested: requests.nvidia.com/gpu=1'
    life = Life(manifest(), {v: Behaviour(2.0) for v in ("v1", "v2")})
    life.until(settled("v1"), 60)
    life.cluster.refuses["v2"] = why
    life.edit(serve="v2")
    life.run(1200)
    assert f"0 of 2 pods of v2 are ready: FailedCreate: {why}" in life.status["rollout"]["message"]
    assert life.weights() == {"v1": 100}
    life.cluster.refuses.clear()
    life.cluster.later(life.status["candidate"]["revision"])
    life.until(settled("v2"), 300)
    assert "RolledBack" not in [h["event"] for h in life.status["history"]]


@pytest.mark.parametrize("stays", [False, True])
def test_pods_that_a_quota_keeps_out_are_waited_for_beside_one_that_failed(stays: bool) -> None:
    life = Life(manifest(), {v: Behaviour(2.0, never_ready=v == "v2") for v in ("v1", "v2")})
    life.until(settled("v1"), 60)
    life.edit(serve="v2")
    life.run(1)
    _, second = life.pods("v2")
    life.cluster.refuses["v2"] = "exceeded quota"
    (life.cluster.refuse if stays else life.cluster.kill)(second)
    life.run(1200)
    assert not life.status.get("rejected")


@pytest.mark.parametrize("stays", [False, True])
def test_pods_that_a_quota_keeps_out_keep_no_weight_from_those_that_came_back(stays: bool) -> None:
    life = shifting(30, replicas=2, steps=[{"weight": 30, "minDuration": "60s"}, {"weight": 100}])
    first, second = life.pods("v2")
    life.cluster.refuses["v2"] = "exceeded quota"
    (life.cluster.refuse if stays else life.cluster.kill)(second)
    break_for_good([first], life)
    life.until(lambda one: one.weights() == {"v1": 100}, 5)
    life.run(20)
    mend([first], life)
    life.until(lambda one: one.weights() == {"v1": 70, "v2": 30}, 15)


def test_an_evicted_pod_does_not_end_the_wait_for_a_node_of_the_one_in_its_place() -> None:
    life = Life(manifest(), {"v1": Behaviour(2.0), "v2": Behaviour(2.0, never_ready=True)})
    life.until(settled("v1"), 60)
    life.edit(serve="v2")
    life.run(1)
    first, second = life.pods("v2")
    unschedulable([first], life)
    evicted = {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."}
    life.cluster.edit("Pod", "ml", second.uid, lambda o: o["status"].update(evicted))
    life.run(600)
    assert life.status["candidate"]
    assert not life.status.get("rejected")


@pytest.mark.parametrize("broken", [False, True])
def test_a_candidate_is_rolled_back_for_what_time_does_not_mend(broken: bool) -> None:
    life = Life(manifest(), {v: Behaviour(2.0, never_ready=v == "v2") for v in ("v1", "v2")})
    life.until(settled("v1"), 60)
    if not broken:
        life.cluster.refuses["v2"] = "violates PodSecurity"
    life.edit(serve="v2")
    life.run(1)
    if broken:
        life.cluster.refuses["v2"] = "exceeded quota"
        first, second = life.pods("v2")
        life.cluster.kill(second)
        crash = {"name": "engine", "restartCount": 1, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}
        life.cluster.edit("Pod", "ml", first.uid, lambda o: o["status"].update(containerStatuses=[crash]))
    life.until(lambda one: one.status.get("rejected"), 300)
    why = "CrashLoopBackOff" if broken else "FailedCreate: violates PodSecurity"
    assert why in life.status["rejected"][0]["reason"]


def test_an_operator_that_was_away_while_pods_started_asks_them_before_it_judges() -> None:
    life = Life(manifest(), {"v1": Behaviour(2.0), "v2": Behaviour(100.0)})
    life.until(settled("v1"), 60)
    life.edit(serve="v2")
    life.run(5)
    life.restart_after = 150.0
    life.kill_operator()
    life.until(settled("v2"), 600)
    assert "RolledBack" not in [h["event"] for h in life.status["history"]]


def test_a_candidate_that_was_away_and_is_back_is_not_judged_by_how_long_nobody_looked() -> None:
    life = shifting(30, steps=[{"weight": 30, "minDuration": "30s", "minRequests": 0}, {"weight": 100}])
    life.behave("v2", Behaviour(2.0, never_ready=True))
    life.until(lambda one: one.waits_for == "CandidateUnavailable", 10)
    life.restart_after = 150.0
    life.kill_operator()
    life.run(20)
    life.behave("v2", Behaviour(2.0))
    life.until(settled("v2"), 600)
    assert "RolledBack" not in [h["event"] for h in life.status["history"]]


@pytest.mark.parametrize("how", ["Hold", "RollBack"])
def test_a_wait_for_pods_has_an_end(how: str) -> None:
    life = shifting(
        30, steps=[{"weight": 30, "minDuration": "10s", "maxDuration": "5m"}, {"weight": 100}], onInconclusive=how
    )
    break_for_good(life.pods("v2")[1:], life)
    life.until(lambda one: one.waits_for == "WaitingForPods", 120)
    life.run(400)
    if how == "Hold":
        assert life.weights() == {"v1": 70, "v2": 30}
        assert "inconclusive after 5m" in life.status["rollout"]["message"]
    else:
        assert life.running() == {"v1"}
        assert life.reason("Stalled") == "RolledBack"


def test_what_comes_after_a_late_approval_gets_its_time_all_the_same() -> None:
    steps = [
        {"weight": 30, "minDuration": "5s", "maxDuration": "60s", "pause": {"until": "Approved"}},
        {"weight": 100, "minDuration": "5s"},
    ]
    life = shifting(30, steps=steps, onInconclusive="RollBack")
    life.run(300)
    assert life.waits_for == "WaitingForApproval"
    one = life.pods("v2")[:1]
    break_for_good(one, life)
    life.ask("promote")
    life.run(2)
    assert life.waits_for == "WaitingForPods"
    mend(one, life)
    life.until(settled("v2"), 120)


def test_what_fell_back_while_something_else_is_asked_for_takes_over_again() -> None:
    life = promoted(keepPrevious="10m")
    life.edit_version("v3", lifecycle={"retiresAt": "2026-01-01T00:00:00Z"})
    life.edit(serve="v3")
    life.run(5)
    pods = life.pods("v2")
    break_for_good(pods, life)
    life.until(lambda one: one.weights() == {"v1": 100}, 5)
    mend(pods, life)
    life.run(60)
    assert life.weights() == {"v1": 100}
    assert len(life.pods("v2")) == 2
    break_for_good(life.pods("v1"), life)
    life.until(lambda one: one.weights() == {"v2": 100}, 5)


def test_more_pods_that_find_no_node_do_not_keep_the_weight_from_coming_back() -> None:
    life = shifting(60, steps=[{"weight": 60, "minDuration": "10m"}, {"weight": 100}])
    old = life.pods("v2")
    life.behaviours["v2"] = Behaviour(2.0, never_ready=True)
    life.edit_template(replicas=4)
    life.run(2)
    unschedulable([pod for pod in life.pods("v2") if pod not in old], life)
    break_for_good(old, life)
    life.until(lambda one: one.weights() == {"v1": 100}, 5)
    mend(old, life)
    life.until(lambda one: one.weights() == {"v1": 40, "v2": 60}, 15)


def test_a_weight_that_another_hand_has_lowered_is_put_right_with_the_pods_that_are_there() -> None:
    life = shifting(30, steps=[{"weight": 30, "minDuration": "10m"}, {"weight": 100}])
    break_for_good(life.pods("v2")[:1], life)

    def lower(route: Any) -> None:
        for backend in route["spec"]["rules"][0]["backendRefs"]:
            backend["weight"] = 1 if "-v2-" in backend["name"] else 99

    life.cluster.edit("HTTPRoute", "ml", "chat", lower)
    life.until(lambda one: one.weights() == {"v1": 70, "v2": 30}, 5)


def test_an_edit_of_the_steps_moves_nothing_back_to_a_stable_that_is_dead() -> None:
    life = shifting(60, steps=[{"weight": 60, "minDuration": "10m"}, {"weight": 100}])
    life.behave("v1", Behaviour(2.0, never_ready=True))
    life.run(2)
    life.edit_rollout(steps=[{"weight": 5, "minDuration": "10m"}, {"weight": 100}])
    life.run(30)
    assert life.weights() == {"v1": 40, "v2": 60}
    assert life.waits_for == "StableUnavailable"
    life.behave("v1", Behaviour(2.0))
    life.until(lambda one: one.weights() == {"v1": 95, "v2": 5}, 30)


def test_a_candidate_that_loses_its_node_in_a_step_has_its_time_when_it_gets_another() -> None:
    life = shifting(30, steps=[{"weight": 30, "minDuration": "10m"}, {"weight": 100}])
    life.behave("v2", Behaviour(40.0, never_ready=True))
    unschedulable(life.pods("v2"), life)
    life.run(600)
    life.behaviours["v2"] = Behaviour(40.0)
    for pod in life.pods("v2"):
        life.cluster.restart(pod)
    life.until(lambda one: one.weights() == {"v1": 70, "v2": 30}, 60)


def test_a_pod_without_a_node_does_not_let_the_first_of_the_others_take_all() -> None:
    life = shifting(60, replicas=4, steps=[{"weight": 60, "minDuration": "10m"}, {"weight": 100}])
    pods = life.pods("v2")
    break_for_good(pods, life)
    life.run(1)
    unschedulable(pods[:1], life)
    mend(pods[1:2], life)
    life.run(10)
    assert life.weights() == {"v1": 100}
    mend(pods[2:], life)
    life.until(lambda one: one.weights() == {"v1": 40, "v2": 60}, 15)


def test_one_dead_pod_and_another_that_flaps_are_away_all_the_same() -> None:
    life = shifting(30, steps=[{"weight": 30, "minDuration": "10m"}, {"weight": 100}], guardrails=[])
    dead, flaps = life.pods("v2")
    break_for_good([dead, flaps], life)
    for _ in range(30):
        life.run(5)
        if life.reason("Stalled") == "RolledBack":
            break
        life.cluster.set_ready(flaps, not flaps.ready)
    assert life.reason("Stalled") == "RolledBack"


@pytest.mark.parametrize("what", ["pods", "hostname"])
def test_a_route_that_is_taken_over_after_a_long_wait_for_approval_ends_nothing(what: str) -> None:
    steps = [
        {"weight": 30, "minDuration": "30s", "maxDuration": "60s", "pause": {"until": "Approved"}},
        {"weight": 100, "minDuration": "5s"},
    ]
    life = shifting(30, steps=steps, onInconclusive="RollBack")
    life.run(300)
    life.cluster.gateway_delay = 5.0
    if what == "pods":
        pods = life.pods("v2")
        break_for_good(pods, life)
        life.run(3)
        mend(pods, life)
    else:
        gateway = {"parentRefs": [{"name": "inference"}], "hostnames": ["other.example.com"]}
        life.edit(traffic={"gateway": gateway})
    life.run(60)
    assert life.weights() == {"v1": 70, "v2": 30}
    life.ask("promote")
    life.until(settled("v2"), 200)


def test_a_candidate_that_the_operator_cannot_reach_is_rolled_back_in_time() -> None:
    life = Life(manifest(), {"v1": Behaviour(2.0), "v2": Behaviour(2.0, cut_off=True)})
    life.until(settled("v1"), 60)
    life.edit(serve="v2")
    life.until(lambda one: one.reason("Stalled") == "RolledBack", 200)
    assert "no answer within startupTimeout" in life.status["rejected"][0]["reason"]


def test_with_stable_dead_the_first_pod_of_the_candidate_gets_its_weight_back() -> None:
    life = shifting(60, steps=[{"weight": 60, "minDuration": "10m"}, {"weight": 100}])
    pods = life.pods("v2")
    break_for_good(pods, life)
    life.until(lambda one: one.weights() == {"v1": 100}, 5)
    break_for_good(life.pods("v1"), life)
    mend(pods[:1], life)
    life.until(lambda one: one.weights().get("v2", 0) > 0, 10)


@pytest.mark.parametrize("delay", [0.0, 2.0])
def test_time_without_pods_is_no_time_of_the_step(delay: float) -> None:
    life = shifting(30, steps=[{"weight": 30, "minDuration": "60s"}, {"weight": 100}])
    life.cluster.gateway_delay = delay
    life.run(50)
    break_for_good(life.pods("v2"), life)
    life.until(lambda one: one.weights() == {"v1": 100}, 5)
    life.run(15)
    mend(life.pods("v2"), life)
    life.until(lambda one: one.weights() == {"v1": 70, "v2": 30}, 15)
    back = life.timeline.t
    life.until(lambda one: one.weights() == {"v2": 100}, 300)
    assert life.timeline.t - back > 55


def loses_all(life: Life) -> list[Pod]:
    """All pods of v2 go, and v1 carries everything."""
    pods = life.pods("v2")
    break_for_good(pods, life)
    life.until(lambda one: one.weights() == {"v1": 100}, 5)
    return pods


def crash_loop(life: Life, *, there: float, away: float) -> None:
    """All pods of the candidate go and come back, once."""
    for pod in loses_all(life):
        pod.requests, pod.bad = 0, {}
    life.run(away)
    if life.status.get("candidate"):
        mend(life.pods("v2"), life)
        life.run(there)


@pytest.mark.parametrize("how", ["Hold", "RollBack"])
@pytest.mark.parametrize(("there", "minimum"), [(50.0, "60s"), (50.0, "5s"), (3.0, "60s")])
def test_a_candidate_that_loses_all_its_pods_again_and_again_is_inconclusive_in_the_end(
    how: str, there: float, minimum: str
) -> None:
    guardrail = {"name": "errors", "metric": "ErrorRate", "limit": "0.1%"}
    step = {"weight": 30, "minDuration": minimum, "maxDuration": "5m"}
    life = shifting(30, steps=[step, {"weight": 100}], onInconclusive=how, guardrails=[guardrail])
    seen = set()
    for _ in range(12):
        crash_loop(life, there=there, away=50.0)
        seen.add(life.waits_for)
    if how == "Hold":
        assert "Inconclusive" in seen
        assert life.status["candidate"]
    else:
        assert life.reason("Stalled") == "RolledBack"
        assert "inconclusive after 5m" in life.status["rejected"][0]["reason"]


def test_a_candidate_that_loses_its_pods_once_has_the_whole_time_of_its_step_again() -> None:
    guardrail = {"name": "errors", "metric": "ErrorRate", "limit": "0.1%"}
    step = {"weight": 30, "minDuration": "5s", "maxDuration": "5m"}
    life = shifting(30, steps=[step, {"weight": 100}], onInconclusive="RollBack", guardrails=[guardrail])
    life.run(280)
    crash_loop(life, there=290.0, away=60.0)
    assert life.status["candidate"]
    life.until(lambda one: one.reason("Stalled") == "RolledBack", 30)


def test_waits_for_a_node_again_and_again_are_no_time_of_the_step() -> None:
    guardrail = {"name": "errors", "metric": "ErrorRate", "limit": "0.1%"}
    step = {"weight": 30, "minDuration": "5s", "maxDuration": "5m"}
    life = shifting(30, steps=[step, {"weight": 100}], onInconclusive="RollBack", guardrails=[guardrail])
    for _ in range(4):
        break_for_good(life.pods("v2"), life)
        unschedulable(life.pods("v2"), life)
        life.run(400)
        for pod in life.pods("v2"):
            life.cluster.set_ready(pod, True)
        life.run(30)
        assert life.weights() == {"v1": 70, "v2": 30}


def test_what_waits_for_approval_loses_no_time_with_its_pods() -> None:
    step = {"weight": 30, "minDuration": "5s", "maxDuration": "60s", "pause": {"until": "Approved"}}
    life = shifting(30, steps=[step, {"weight": 100, "minDuration": "5s"}], onInconclusive="RollBack")
    for _ in range(4):
        crash_loop(life, there=200.0, away=20.0)
    assert life.waits_for == "WaitingForApproval"
    life.ask("promote")
    life.until(settled("v2"), 200)


def test_a_candidate_is_not_rolled_back_for_a_stable_that_has_no_pods() -> None:
    step = {"weight": 30, "minDuration": "30s", "maxDuration": "5m"}
    life = shifting(30, steps=[step, {"weight": 100, "minDuration": "5s"}], onInconclusive="RollBack")
    life.behave("v1", Behaviour(2.0, never_ready=True))
    life.run(600)
    assert life.weights() == {"v1": 70, "v2": 30}
    assert life.waits_for == "StableUnavailable"
    assert "v1, which the rest of the requests is for, has no ready endpoint" in life.status["rollout"]["message"]
    life.behave("v1", Behaviour(2.0))
    life.until(settled("v2"), 300)


def test_a_stable_that_was_away_in_the_least_time_of_a_step_is_not_held_against_the_candidate() -> None:
    step = {"weight": 30, "minDuration": "100s", "maxDuration": "200s"}
    life = shifting(30, steps=[step, {"weight": 100, "minDuration": "5s"}], onInconclusive="RollBack")
    life.run(5)
    life.behave("v1", Behaviour(2.0, never_ready=True))
    life.run(80)
    assert life.waits_for == "StableUnavailable"
    life.behave("v1", Behaviour(2.0))
    life.until(settled("v2"), 400)


def test_a_wait_for_approval_leaves_the_whole_time_to_what_comes_after_it() -> None:
    """The metric source is away for seconds, long after maxDuration would have been over."""
    step = {"weight": 30, "minDuration": "5s", "maxDuration": "60s", "pause": {"until": "Approved"}}
    life = shifting(30, steps=[step, {"weight": 100, "minDuration": "5s"}], onInconclusive="RollBack")
    life.run(300)
    assert life.waits_for == "WaitingForApproval"
    life.broken = "down"
    life.run(15)
    assert life.waits_for == "GuardrailHolds"
    life.broken = None
    life.run(15)
    life.ask("promote")
    life.until(settled("v2"), 200)


def test_what_is_promoted_and_loses_its_pods_again_and_again_is_rolled_back_in_the_end() -> None:
    life = Life(
        manifest(steps=[{"weight": 100, "minDuration": "5s"}], guardrails=[], keepPrevious="10m"),
        {v: Behaviour(2.0) for v in ("v1", "v2")},
    )
    life.until(settled("v1"), 60)
    life.edit(serve="v2")
    for falls in range(1, 4):
        life.until(lambda one: (one.status.get("previous") or {}).get("version") == "v1", 120)
        life.run(60)
        pods = loses_all(life)
        assert (life.reason("Stalled") == "RolledBack") == (falls == 3)
        life.run(30)
        mend(pods, life)
    life.until(lambda one: one.running() == {"v1"}, 120)
    # Once it is changed it is another try.
    life.edit_template(resources={**life.spec["template"].get("resources", {}), "memory": "9Gi"})
    life.until(lambda one: (one.status.get("previous") or {}).get("version") == "v1", 300)
    life.run(5)
    mend(loses_all(life), life)
    life.until(lambda one: (one.status.get("previous") or {}).get("version") == "v1", 120)
    assert not life.status.get("rejected")


def test_a_successor_that_loses_its_pods_again_and_again_is_rolled_back_also_when_serve_names_another() -> None:
    spec = manifest(steps=[{"weight": 100, "minDuration": "5s"}], keepPrevious="10m", guardrails=[ERRORS])
    spec["versions"][0]["lifecycle"] = {
        "retiresAt": format_time(START + timedelta(hours=4)),
        "migrateBefore": "3h50m",
        "successor": "v2",
    }
    life = Life(spec, {"v1": Behaviour(2.0), "v2": Behaviour(2.0), "v3": Behaviour(2.0, bad={"errors": 0.6})})
    life.until(settled("v1"), 60)
    life.edit(serve="v3")
    life.until(lambda one: one.reason("Stalled") == "RolledBack", 300)
    for falls in range(1, 4):
        life.until(lambda one: (one.status.get("previous") or {}).get("version") == "v1", 700)
        life.run(60)
        pods = loses_all(life)
        assert ("v2" in {r["version"] for r in life.status.get("rejected") or ()}) == (falls == 3)
        life.run(30)
        mend(pods, life)


@pytest.mark.parametrize("how", ["abort", "withdraw"])
def test_what_keeps_the_requests_at_a_version_that_should_go_is_told(how: str) -> None:
    life = shifting(60, steps=[{"weight": 60, "minDuration": "10m"}, {"weight": 100}])
    life.behave("v1", Behaviour(2.0, never_ready=True))
    life.run(5)
    if how == "abort":
        life.ask("abort")
    else:
        life.edit(serve="v1")
    life.run(600)
    assert life.weights() == {"v1": 40, "v2": 60}
    assert any("cannot carry the traffic now" in c["message"] for c in life.status["conditions"])
    life.behave("v1", Behaviour(2.0))
    life.until(settled("v1"), 120)
