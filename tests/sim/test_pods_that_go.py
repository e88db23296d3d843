"""Pods that go, come late, or are only a few: what carries the traffic, what is promoted, and how long is waited for them."""

from __future__ import annotations

from typing import Any

import pytest

from sim.kubelet import Pod
from sim.life import Life, manifest, settled
from sim.traffic import Behaviour


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


def unschedulable(life: Life, version: str) -> None:
    for pod in life.pods(version):
        waiting = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no GPU is free"}
        life.cluster.edit(
            "Pod", "ml", pod.uid, lambda o, w=waiting: o["status"].update(phase="Pending", conditions=[w])
        )


def test_the_wait_for_a_node_is_no_part_of_the_time_to_start_up() -> None:
    life = Life(manifest(), {"v1": Behaviour(2.0), "v2": Behaviour(2.0, never_ready=True)})
    life.until(settled("v1"), 60)
    life.edit(serve="v2")
    life.run(1)
    unschedulable(life, "v2")
    life.run(600)
    life.behaviours["v2"] = Behaviour(40.0)
    for pod in life.pods("v2"):
        life.cluster.restart(pod)
    life.until(settled("v2"), 300)
    assert "RolledBack" not in [h["event"] for h in life.status["history"]]


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
        assert life.waits_for == "Inconclusive"
    else:
        assert life.running() == {"v1"}
        assert life.reason("Stalled") == "RolledBack"
