"""A stored spec that an older definition let pass and today's rules refuse: the operator stands still where it is, and says why."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from sim.world import World, manifest, settled

DATE = "2026-12-24T12:00:00Z"


def without_limit(spec: dict[str, Any]) -> None:
    del spec["rollout"]["guardrails"][0]["limit"]


def out_of_range(spec: dict[str, Any]) -> None:
    spec["template"]["replicas"] = 5000


def unknown(spec: dict[str, Any]) -> None:
    spec["rollout"]["pace"] = "Fast"


OUTGROWN = [
    (without_limit, "spec.rollout.guardrails[0].limit: write limit, or comparedToStable with require: Pass"),
    (out_of_range, "spec.template.replicas: 5000 is too large: at most 1000"),
    (unknown, "spec.rollout.pace: is not a field of this version of the API: check its spelling, or update the operator"),
]  # fmt: skip


def at_30() -> World:
    world = World(manifest())
    world.until(settled("v1"), 90)
    world.edit(serve="v2")
    world.until(lambda w: w.weights().get("v2") == 30, 300)
    return world


@pytest.mark.parametrize(("change", "says"), OUTGROWN, ids=lambda value: getattr(value, "__name__", ""))
def test_in_mid_rollout_traffic_stays_as_it_is_and_the_rollout_goes_on_once_it_is_mended(
    change: Any, says: str
) -> None:
    world = at_30()
    right, objects, pods, told = copy.deepcopy(world.spec), copy.deepcopy(world.objects), set(world.pods), world.status
    change(world.spec)  # its generation is the same: it is the rules that are new
    before = len(world.writes)
    world.run(900)
    assert {write.split()[0] for write in world.writes[before:]} <= {"status"}
    assert world.objects == objects
    assert set(world.pods) == pods
    assert world.weights() == {"v1": 70, "v2": 30}
    stalled, ready = (next(c for c in world.status["conditions"] if c["type"] == t) for t in ("Stalled", "Ready"))
    assert stalled["reason"] == ready["reason"] == "InvalidSpec"
    assert (stalled["status"], ready["status"]) == ("True", "False")
    assert stalled["message"].startswith(says)
    assert stalled["message"] == ready["message"]
    for field in ("stable", "candidate", "weight", "weights", "rollout", "versions", "state"):
        assert world.status[field] == told[field], "what was remembered stays"
    assert world.status["next"] == f"nothing until {says.split(': ', maxsplit=1)[0]} is mended"
    assert "nextAt" not in world.status
    world.spec = right
    world.generation += 1
    world.until(settled("v2"), 600)
    assert world.condition("Stalled") is None
    assert [weight for _, _, weight in world.steps_seen] == [10, 30, 60, 100]
    assert world.lost == 0


def test_at_rest_what_serves_serves_on() -> None:
    world = World(manifest())
    world.until(settled("v1"), 90)
    served, objects = dict(world.served), copy.deepcopy(world.objects)
    world.spec = copy.deepcopy(world.spec)
    without_limit(world.spec)
    world.run(120)
    assert world.reason("Stalled") == "InvalidSpec"
    assert world.objects == objects
    assert sum(world.served.values()) - sum(served.values()) >= 120 * 19
    assert world.lost == 0
