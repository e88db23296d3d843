"""A candidate of which some answers get very slow: it must not pass before they end."""

from __future__ import annotations

from typing import Any

import pytest

from sim.world import Behaviour, World, manifest, settled

SLOW_LATENCY = {"name": "latency", "metric": "RequestLatency", "slowerThan": "5s", "limit": "5%"}


def serving(
    slow: float, *, in_flight: bool = True, lasts: float = 3600, action: str = "RollBack", **more: Any
) -> World:
    rollout = {"guardrails": [{**SLOW_LATENCY, "action": action}], **more}
    good, bad = Behaviour(), Behaviour(slow=slow, lasts=lasts)
    world = World(manifest(**rollout), {"v1": good, "v2": bad, "v3": good}, in_flight=in_flight)
    world.until(settled("v1"), 120)
    return world


def test_without_knowing_what_is_in_flight_the_guardrail_of_such_a_candidate_passes() -> None:
    world = serving(0.3, in_flight=False)
    world.edit(serve="v2")
    world.until(lambda w: [g["verdict"] for g in w.status.get("guardrails", ())] == ["Pass"], 300)
    assert world.slow_ended == 0


@pytest.mark.parametrize("slow", [0.3, 0.6, 1.0])
def test_a_candidate_whose_answers_get_slow_is_rolled_back_before_they_end(slow: float) -> None:
    world = serving(slow)
    world.edit(serve="v2")
    world.until(lambda w: "RolledBack" in w.events, 300)
    assert world.slow_ended == 0
    assert "Promoted" not in world.events
    (rejected,) = world.status["rejected"]
    assert "of them still running after 5 s" in rejected["reason"]
    world.until(settled("v1"), 120)


def test_what_is_overdue_holds_where_a_guardrail_may_only_hold() -> None:
    world = serving(0.5, action="Hold")
    world.edit(serve="v2")
    world.run(200)
    assert world.slow_ended == 0
    assert world.status["rollout"]["heldSince"]
    assert not {"RolledBack", "Promoted"} & set(world.events)


def test_a_candidate_with_a_few_slow_answers_is_promoted() -> None:
    world = serving(0.01, lasts=20)
    world.edit(serve="v2")
    world.until(settled("v2"), 1800)
    assert "RolledBack" not in world.events


def test_an_operator_that_restarts_counts_no_slow_answer_twice() -> None:
    steps = [{"weight": 10, "minDuration": "10m"}, {"weight": 100}]  # nothing but the restart happens meanwhile
    world = serving(0.5, action="Observe", lasts=60, steps=steps)
    world.edit(serve="v2")
    world.until(lambda w: w.weights().get("v2") == 10, 300)
    world.run(70)
    world.ledger, world.pending = None, []  # what a crash leaves: the record
    world.run(80)
    ledger = world.ledger
    assert ledger is not None
    ours = [p for p in world.pods.values() if p.version == "v2"]
    ended = sum(p.bad.get("latency", 0) for p in ours)
    counted = ledger.total("engine", ledger.candidate, "latency").bad
    assert ended > 0
    assert ended <= counted <= ended + sum(len(p.running) for p in ours)
