"""Lives with the edits, mistakes and hands of others that a long life sees: none of them may lose traffic or get stuck."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from sim.world import START, Behaviour, World, manifest, settled
from solera.api.scalars import format_time

GOOD = Behaviour()
BAD = Behaviour(bad={"errors": 0.5})


def serving(**rollout: Any) -> World:
    world = World(manifest(**rollout), {"v3": BAD}, requests_per_second=10)
    world.until(settled("v1"), 60)
    return world


def shifting(weight: int = 30, **rollout: Any) -> World:
    world = serving(**rollout)
    world.edit(serve="v2")
    world.until(lambda w: w.weights().get("v2", 0) >= weight, 300)
    return world


def retiring(seconds: int, **life: str) -> World:
    spec = manifest()
    spec["versions"][0]["lifecycle"] = {"retiresAt": date(seconds), **life}
    return World(spec, {"v3": BAD}, requests_per_second=10)


def date(seconds: int) -> str:
    return format_time(START + timedelta(seconds=seconds))


def move_date(world: World, seconds: int | None, **life: str) -> None:
    first = {k: v for k, v in world.spec["versions"][0].items() if k != "lifecycle"}
    if seconds is not None:
        first["lifecycle"] = {"retiresAt": date(seconds), **life}
    world.edit(versions=[first, *world.spec["versions"][1:]])


def rests(world: World, seconds: float = 40) -> None:
    """Nothing is written any more."""
    before = len(world.writes)
    world.run(seconds)
    assert world.writes[before:] == []


def steps_of(*weights: int) -> list[dict[str, Any]]:
    return [{"weight": w, "minDuration": "10s", "minRequests": 20} for w in weights]


def rollout_edit(world: World, **changes: Any) -> None:
    world.edit(rollout={**world.spec["rollout"], **changes})


# -- status


@pytest.mark.parametrize("weight", [10, 30, 60, 100])
def test_a_lost_status_never_makes_an_unproven_candidate_stable(weight: int) -> None:
    world = shifting(weight)
    world.status = {"observedGeneration": -1}
    world.reconcile()
    if weight < 100:
        assert world.status["stable"]["version"] == "v1"
    world.until(settled("v2"))
    assert world.lost == 0


def test_a_status_lost_at_rest_while_draining_and_after_a_rollback_ends_where_it_would_have() -> None:
    world = serving()
    world.status = {"observedGeneration": -1}
    world.run(5)
    assert settled("v1")(world)
    world.edit(serve="v3")
    world.until(lambda w: "RolledBack" in w.events and w.running() == {"v1"})
    world.edit(serve="v2")
    world.until(lambda w: w.weights() == {"v2": 100} and w.status.get("draining"))
    world.status = {"observedGeneration": -1}
    world.run(1)
    world.until(settled("v2"))
    rests(world)
    assert world.lost == 0


def test_a_candidate_whose_rollout_was_lost_from_status_starts_again() -> None:
    world = shifting(30)
    world.status = {k: v for k, v in world.status.items() if k != "rollout"}
    world.until(settled("v2"))


# -- spec edited in the middle


def test_fewer_steps_in_the_middle_never_raise_the_weight_without_its_gate() -> None:
    world = shifting(30)
    world.scrape = False
    rollout_edit(world, steps=steps_of(60, 100))
    world.run(30)
    assert world.weights().get("v2", 0) <= 60
    world.scrape = True
    world.until(settled("v2"))


def test_one_step_left_in_the_middle_waits_for_the_proof() -> None:
    world = shifting(30)
    world.scrape = False
    rollout_edit(world, steps=steps_of(20, 100))
    world.run(30)
    assert world.weights().get("v2", 0) <= 30


def test_a_raised_weight_of_the_step_in_force_waits_for_its_gate() -> None:
    world = shifting(10)
    world.scrape = False
    rollout_edit(world, steps=steps_of(10, 20, 30, 100))
    world.run(5)
    world.scrape = True
    world.until(lambda w: w.weights().get("v2", 0) == 30)
    world.scrape = False
    rollout_edit(world, steps=steps_of(10, 20, 90, 100))
    world.run(8)
    assert world.weights()["v2"] == 20
    world.scrape = True
    world.until(settled("v2"))


def test_more_steps_in_the_middle_are_walked() -> None:
    world = shifting(60)
    rollout_edit(world, steps=steps_of(10, 30, 60, 70, 80, 100))
    world.until(settled("v2"))
    assert [w for _, _, w in world.steps_seen] == [10, 30, 60, 70, 80, 100]


def test_guardrails_removed_and_added_in_the_middle() -> None:
    world = shifting(10)
    rollout_edit(world, guardrails=[])
    world.until(lambda w: w.weights().get("v2", 0) >= 30)
    rollout_edit(world, guardrails=[{"name": "late", "metric": "ErrorRate", "limit": "5%"}])
    world.until(settled("v2"))
    assert world.lost == 0


def test_serve_edited_twice_in_one_second_starts_from_the_first_step() -> None:
    world = shifting(30)
    world.edit(serve="v1")
    world.reconcile()
    world.edit(serve="v2")
    world.reconcile()
    assert world.weights().get("v2", 0) <= 10
    world.until(settled("v2"))


def test_serve_there_and_back_in_one_second_leaves_nothing() -> None:
    world = serving()
    world.edit(serve="v2")
    world.reconcile()
    world.edit(serve="v1")
    world.reconcile()
    world.edit(serve="v2")
    world.reconcile()
    world.edit(serve="v1")
    world.until(settled("v1"))
    rests(world)


def test_the_candidates_own_template_edited_in_the_middle_replaces_it() -> None:
    world = shifting(30)
    versions = [dict(v) for v in world.spec["versions"]]
    versions[1]["template"] = {"engine": {"args": ["--max-model-len", "4096"]}}
    world.edit(versions=versions)
    world.until(settled("v2"))
    assert [w for _, _, w in world.steps_seen][-4:] == [10, 30, 60, 100]
    assert world.lost == 0


def test_a_version_removed_while_it_is_kept_warm_goes_the_ordinary_way() -> None:
    world = serving()
    world.edit(serve="v2")
    world.until(lambda w: "Promoted" in w.events)
    world.edit(versions=world.spec["versions"][1:])
    world.until(settled("v2"))
    assert world.lost == 0
    rests(world)


def test_a_version_removed_while_it_drains_keeps_its_drain_time() -> None:
    world = serving(keepPrevious="0s")
    world.edit(template={**world.spec["template"], "drainTimeout": "90s"}, serve="v2")
    world.until(lambda w: "Released" in w.events)
    world.edit(versions=world.spec["versions"][1:])
    world.until(settled("v2"))


def test_a_candidate_without_replicas_is_given_up_and_says_why() -> None:
    world = serving()
    versions = [dict(v) for v in world.spec["versions"]]
    versions[1]["template"] = {"replicas": 0}
    world.edit(versions=versions, serve="v2")
    world.until(lambda w: "RolledBack" in w.events, 300)
    world.until(lambda w: w.running() == {"v1"})
    assert world.weights() == {"v1": 100}


def test_stable_scaled_to_nothing_by_its_owner_stays_routed_and_comes_back() -> None:
    world = serving()
    world.edit(template={**world.spec["template"], "replicas": 0})
    world.run(10)
    assert world.weights() == {"v1": 100}
    world.edit(template={**world.spec["template"], "replicas": 2})
    world.run(20)
    assert len(world.pods) == 2
    rests(world)


def test_no_times_at_all() -> None:
    steps = [{"weight": w, "minDuration": "0s", "minRequests": 0} for w in (50, 100)]
    world = World(manifest(steps=steps, guardrails=[], keepPrevious="0s"))
    world.spec["template"]["drainTimeout"] = "0s"
    world.until(settled("v1"), 60)
    world.edit(serve="v2")
    world.until(settled("v2"), 60)
    assert world.lost == 0
    rests(world)


def test_figures_are_not_written_at_every_look_while_the_old_revision_is_warm() -> None:
    world = serving(keepPrevious="10m")
    world.edit(serve="v2")
    world.until(lambda w: "Promoted" in w.events)
    before = world.status_writes
    world.run(150)
    assert world.status_writes - before <= 12


# -- other hands


@pytest.mark.parametrize("weight", [10, 60, 100])
def test_a_route_deleted_by_hand_comes_back_as_it_was(weight: int) -> None:
    world = shifting(weight)
    before = world.weights()
    del world.objects["HTTPRoute", "chat"]
    world.reconcile()
    assert world.weights() == before
    world.until(settled("v2"))


def test_a_route_deleted_by_hand_while_a_rollback_is_under_way() -> None:
    world = shifting(30)
    world.request(f"abort@{world.status['candidate']['hash']}/1#1")
    del world.objects["HTTPRoute", "chat"]
    world.until(lambda w: w.running() == {"v1"})
    assert world.weights() == {"v1": 100}


@pytest.mark.parametrize("kind", ["Deployment", "Service", "ControllerRevision"])
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_child_deleted_by_hand_comes_back(kind: str, version: str) -> None:
    world = shifting(30)
    name = next(n for k, n in world.objects if k == kind and f"-{version}-" in n)
    del world.objects[kind, name]
    world.until(settled("v2"))


def test_a_deployment_scaled_by_hand_is_put_right_once() -> None:
    world = serving()
    name = next(n for k, n in world.objects if k == "Deployment")
    world.objects["Deployment", name]["spec"]["replicas"] = 5
    world.run(3)
    assert world.objects["Deployment", name]["spec"]["replicas"] == 2
    rests(world)


def test_a_route_edited_by_hand_is_put_right() -> None:
    world = shifting(30)
    refs = world.objects["HTTPRoute", "chat"]["spec"]["rules"][0]["backendRefs"]
    for ref in refs:
        ref["weight"] = 50
    world.reconcile()
    assert world.weights() == {"v1": 70, "v2": 30}


# -- pods


def test_a_candidate_that_loses_one_pod_for_good_says_what_it_waits_for() -> None:
    world = shifting(30)
    world.edit(template={**world.spec["template"], "replicas": 9})
    world.behaviours["v2"] = Behaviour(start=10_000)
    for pod in [p for p in world.pods.values() if p.version == "v2"][:1]:
        pod.created -= timedelta(seconds=20_000)
    world.run(60)
    assert world.status["rollout"]["reason"] == "WaitingForPods"
    assert "1 of 9 pods of v2" in world.status["rollout"]["message"]


def test_a_candidate_that_dies_for_good_in_the_middle_is_rolled_back() -> None:
    world = shifting(30)
    world.behaviours["v2"] = Behaviour(never_ready=True)
    world.run(5)
    assert world.weights() == {"v1": 100}
    assert world.status["rollout"]["reason"] == "CandidateUnavailable"
    world.until(lambda w: "RolledBack" in w.events, 300)


def test_a_candidate_that_comes_back_gets_its_step_again() -> None:
    world = shifting(30)
    for pod in world.pods.values():
        pod.dead = pod.version == "v2"
    world.until(settled("v2"))
    assert [w for _, _, w in world.steps_seen] == [10, 30, 60, 100]


def test_all_pods_gone_at_once_changes_no_weight() -> None:
    world = shifting(30)
    before = world.weights()
    for pod in world.pods.values():
        pod.dead = True
    world.run(3)
    assert world.weights() == before
    world.until(settled("v2"))


# -- dates


def test_a_date_moved_later_while_refusing_lets_the_version_serve_again() -> None:
    world = retiring(30, onRetirement="Refuse")
    world.until(lambda w: "Refusing" in w.events)
    world.run(1)
    move_date(world, 1000, onRetirement="Refuse")
    world.until(settled("v1"), 120)
    assert not world.status.get("draining")
    rests(world)


def test_a_date_removed_while_refusing_lets_the_version_serve_again() -> None:
    world = retiring(30, onRetirement="Refuse")
    world.until(lambda w: "Refusing" in w.events)
    move_date(world, None)
    world.until(settled("v1"), 120)
    rests(world)


def test_after_a_refusal_another_version_serves() -> None:
    world = retiring(30, onRetirement="Refuse")
    world.until(lambda w: not w.running() and "Refusing" in w.events)
    world.edit(serve="v2")
    world.until(settled("v2"), 120)
    assert world.condition("Stalled") is None
    rests(world)


def test_another_version_named_at_the_very_moment_of_the_refusal() -> None:
    world = retiring(30, onRetirement="Refuse")
    world.until(lambda w: w.now >= START + timedelta(seconds=29))
    world.edit(serve="v2")
    world.until(settled("v2"))
    rests(world)


def test_a_date_in_the_past_by_mistake_can_be_moved() -> None:
    world = retiring(-3600, onRetirement="Hold")
    world.run(20)
    assert world.reason("Stalled") == "RetirementDatePassed"
    move_date(world, 5000, onRetirement="Hold")
    world.until(settled("v1"), 120)


def test_a_date_moved_earlier_starts_the_move_at_once() -> None:
    world = retiring(100_000, successor="v2", migrateBefore="10s")
    world.until(settled("v1"))
    move_date(world, 60, successor="v2", migrateBefore="10s")
    world.until(settled("v2"))
    assert world.status["effectiveVersion"] == "v2"


def test_a_date_removed_in_the_middle_of_the_move_withdraws_the_successor() -> None:
    world = retiring(300, successor="v2", migrateBefore="270s")
    world.until(lambda w: w.weights().get("v2", 0) >= 30)
    move_date(world, None)
    world.until(settled("v1"))
    rests(world)


def test_a_rollback_after_promotion_on_the_day_of_retirement_keeps_somebody_serving() -> None:
    world = retiring(200, successor="v2", migrateBefore="190s")
    world.spec["rollout"]["keepPrevious"] = "10m"
    world.until(lambda w: "Promoted" in w.events)
    world.behaviours["v2"] = BAD
    world.until(lambda w: "RolledBack" in w.events)
    world.run(300)
    assert world.weights() == {"v1": 100}
    assert world.condition("RetirementOverdue") == "True"
    assert world.lost == 0


# -- clocks


@pytest.mark.parametrize("jump", [-600, -5, 5, 600, 100_000])
def test_a_clock_that_jumps_in_the_middle_only_costs_time(jump: int) -> None:
    world = shifting(30)
    world.now += timedelta(seconds=jump)
    for pod in world.pods.values():
        pod.created += timedelta(seconds=jump)
    world.run(1200, 5)
    world.until(lambda w: w.weights() == {"v2": 100} or "RolledBack" in w.events)
    assert world.lost == 0


def test_what_was_rolled_back_is_not_let_in_without_a_gate_because_nothing_serves_any_more() -> None:
    world = retiring(900, onRetirement="Refuse")
    world.until(settled("v1"))
    world.edit(serve="v3")
    world.until(lambda w: "RolledBack" in w.events, 300)
    world.edit(serve="v1")
    world.until(lambda w: not w.running(), 1200)
    world.edit(serve="v3")
    world.run(120)
    assert world.running() == set()
    assert not world.weights()
    assert (world.condition("Ready"), world.reason("Ready")) == ("False", "RolledBack")
    assert "kubectl solera retry" in next(c["message"] for c in world.status["conditions"] if c["type"] == "Stalled")
    world.request(f"retry@{world.status['rejected'][0]['hash']}/0#1")
    world.until(lambda w: w.running() == {"v3"}, 120)


def test_a_refusal_comes_on_its_date_although_serve_names_a_version_that_was_rolled_back() -> None:
    world = retiring(600, onRetirement="Refuse")
    world.until(settled("v1"))
    world.edit(serve="v3")
    world.until(lambda w: "RolledBack" in w.events, 300)
    world.until(lambda w: not w.running(), 900)
    assert world.now >= START + timedelta(seconds=600)
    assert not world.weights()
    world.run(60)
    assert next(v["phase"] for v in world.status["versions"] if v["name"] == "v1") == "Retired"
    assert world.running() == set()
    rests(world)
