"""Steps that are edited in mid-rollout: a number that another step had before brings nothing of that one along."""

from __future__ import annotations

from typing import Any

from sim.life import Life, manifest, settled
from sim.traffic import Behaviour


def step(weight: int, seconds: int = 10, requests: int = 20, **more: Any) -> dict[str, Any]:
    return {"weight": weight, "minDuration": f"{seconds}s", "minRequests": requests, **more}


def shifting(weight: int, *steps: dict[str, Any], **rollout: Any) -> Life:
    life = Life(manifest(steps=list(steps), **rollout), {v: Behaviour(2.0) for v in ("v1", "v2")})
    life.until(settled("v1"), 60)
    life.edit(serve="v2")
    life.until(lambda one: one.weights().get("v2", 0) == weight, 300)
    return life


def test_requests_of_the_step_that_had_its_number_do_not_count() -> None:
    life = shifting(35, step(30, 60), step(35), step(100))
    life.run(2)
    at = life.timeline.t
    life.edit_rollout(steps=[step(35, requests=1000), step(100)])
    life.until(lambda one: one.weights() == {"v2": 100}, 600)
    assert life.timeline.t - at > 1000 / (20 * 0.35) * 0.9


def test_a_split_is_judged_by_the_requests_of_this_step_alone() -> None:
    life = shifting(50, step(5, 60), step(25, 60), step(50, 60), step(100), onInconclusive="RollBack")
    life.run(10)
    life.edit_rollout(steps=[step(50, 30, maxDuration="2m"), step(100)])
    life.until(settled("v2"), 600)


def test_requests_before_the_edit_of_the_very_step_in_force_do_not_count_for_the_new_one() -> None:
    life = shifting(30, step(30, 600), step(60), step(100))
    life.run(120)
    life.edit_rollout(steps=[step(20, 10, 400), step(60), step(100)])
    life.until(lambda one: one.weights().get("v2") == 20, 10)
    at = life.timeline.t
    life.until(lambda one: one.weights().get("v2") == 60, 600)
    assert life.timeline.t - at > 400 / (20 * 0.2) * 0.9


def test_an_approval_counts_for_a_step_whose_number_has_become_another() -> None:
    life = shifting(100, step(10), step(30), step(60), step(100, 600))
    life.run(5)
    life.edit_rollout(steps=[step(50), step(100, 600, pause={"until": "Approved"})])
    life.run(5)
    assert life.status["rollout"]["step"] == 1
    life.ask("promote")
    life.until(lambda one: one.status["stable"]["version"] == "v2", 700)


def test_an_approval_of_another_step_with_the_same_number_lets_nothing_pass() -> None:
    life = shifting(30, step(10), step(30, pause={"until": "Approved"}), step(60, 600), step(100))
    life.run(1)
    life.ask("promote")
    life.until(lambda one: one.weights().get("v2") == 60, 120)
    life.edit_rollout(steps=[step(60, 0, 0), step(100, 10, pause={"until": "Approved"})])
    life.run(300)
    assert life.status["stable"]["version"] == "v1"
    life.ask("promote")
    life.until(lambda one: one.status["stable"]["version"] == "v2", 60)
