"""Healthy pods that never answer, at any time of a rollout: rolled back, and never taken for a lack of data."""

from __future__ import annotations

import pytest

from sim.test_lives import GOOD, serving
from sim.world import Behaviour, World, settled


def hang(world: World, version: str, how: str) -> None:
    world.behaviours[version] = Behaviour(bad=dict(GOOD.bad), hangs=how)


@pytest.mark.parametrize("how", ["wait", "leave"])
@pytest.mark.parametrize("weight", [10, 30, 60, 100])
def test_a_candidate_that_hangs_at_any_step_is_rolled_back(how: str, weight: int) -> None:
    world = serving()
    world.edit(serve="v2")
    world.until(lambda w: w.weights().get("v2") == weight, 300)
    world.run(3)
    hang(world, "v2", how)
    world.until(lambda w: "RolledBack" in w.events, 60)
    world.until(settled("v1"), 120)
    steps = [10, 30, 60, 100]
    allowed = steps[: steps.index(weight) + 2]  # a step may have been complete before the silence meant anything
    assert [w for _, _, w in world.steps_seen] in (allowed, allowed[:-1])
    assert "2 of 2 pods are ready and none gives a completion" in world.status["rejected"][0]["reason"]


@pytest.mark.parametrize("how", ["wait", "leave"])
def test_a_promoted_version_that_hangs_while_the_old_one_is_warm_is_rolled_back(how: str) -> None:
    world = serving(keepPrevious="5m")
    world.edit(serve="v2")
    world.until(lambda w: "Promoted" in w.events, 300)
    hang(world, "v2", how)
    world.until(lambda w: w.weights() == {"v1": 100}, 60)
    assert "after its promotion" in world.status["rejected"][0]["reason"]


def test_a_night_without_traffic_holds_nothing_against_a_candidate() -> None:
    world = serving()
    world.edit(serve="v2")
    world.until(lambda w: w.weights().get("v2") == 30, 300)
    world.run(5)
    world.requests_per_second = 0
    world.run(3600)
    assert "RolledBack" not in world.events
    world.requests_per_second = 20
    world.until(settled("v2"), 300)
    assert world.lost == 0


def test_a_candidate_that_recovers_when_it_is_asked_goes_on() -> None:
    world = serving()
    world.edit(serve="v2")
    world.until(lambda w: w.weights().get("v2") == 10, 300)
    world.run(3)
    hang(world, "v2", "wait")
    world.run(8)
    world.behaviours["v2"] = GOOD
    world.until(settled("v2"), 300)
    assert "RolledBack" not in world.events


def test_no_step_begins_while_answers_are_overdue() -> None:
    world = serving()
    world.edit(serve="v2")
    world.until(lambda w: w.weights().get("v2") == 10, 300)
    hang(world, "v2", "leave")
    world._probe = lambda _name, *, again: None  # the pods are slow to say whether they answer
    world.run(120)
    assert [w for _, _, w in world.steps_seen] == [10]
    assert world.status["rollout"]["reason"] == "Stuck"
