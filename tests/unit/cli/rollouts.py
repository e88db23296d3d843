"""Rollouts as the real planner leaves them: the LLMDeployment and its RolloutRecord, for what is recorded and decided again."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from sim.world import Behaviour, World, manifest, settled
from unit.cli.test_cli_get import Terminal

GOOD = Behaviour(bad={"errors": 0.01})
SETTINGS: dict[str, Any] = {
    "guardrails": [
        {"name": "errors", "metric": "ErrorRate", "limit": "5%", "comparedToStable": {"maxRatio": "3"}},
        {"name": "ttft", "metric": "TimeToFirstToken", "slowerThan": "2.5s", "limit": "20%"},
    ],
    "risk": {"falseRollback": "1%"},
}


@dataclass(frozen=True)
class Past:
    """One object and the data of its record, at one moment."""

    obj: dict[str, Any]
    data: dict[str, Any]
    world: World

    def terminal(self, change: Callable[[dict[str, Any]], None] = lambda _obj: None) -> Terminal:
        obj = copy.deepcopy(self.obj)
        change(obj)
        t = Terminal(obj)
        t.twin.records["ml", "chat"] = copy.deepcopy(self.data)
        return t

    def recording(self) -> dict[str, Any]:
        result = self.terminal().run("record", "chat", "-o", "json")
        assert result.exit_code == 0, result.stderr
        return json.loads(result.stdout)


def kept(world: World) -> Past:
    return Past(world.custom_resource(), copy.deepcopy(world.objects["RolloutRecord", "chat"]["data"]), world)


def begun(to: str, rate: float = 20.0, **rollout: Any) -> World:
    world = World(
        manifest(**SETTINGS | rollout),
        {"v1": GOOD, "v2": GOOD, "v3": Behaviour(bad={"errors": 0.3})},
        requests_per_second=rate,
    )
    world.until(settled("v1"), 120)
    world.edit(serve=to)
    return world


@cache
def rolled_back(share: float = 0.3, seed: int = 0) -> Past:
    world = begun("v3")
    world.random.seed(seed)
    world.behaviours["v3"] = Behaviour(bad={"errors": share})
    world.until(lambda w: "RolledBack" in w.events)
    world.run(90)
    return kept(world)


@cache
def promoted() -> Past:
    """Paused for a minute at its first step, approved at its third, and long enough for intervals to be put together."""
    steps = [{"weight": w, "minDuration": "20s", "minRequests": 20} for w in (10, 30, 60, 100)]
    steps[2] |= {"pause": {"until": "Approved"}}
    world = begun("v2", steps=steps)
    world.until(lambda w: w.weights().get("v2") == 10)
    world.run(10)
    ask(world, "pause", 0)
    world.run(60)
    ask(world, "resume", 0)
    world.until(lambda w: w.weights().get("v2") == 60)
    world.run(400)
    ask(world, "promote", 2)
    world.until(settled("v2"))
    return kept(world)


@cache
def going_on() -> Past:
    world = begun("v2")
    world.until(lambda w: w.weights().get("v2") == 30)
    world.run(5)
    return kept(world)


def ask(world: World, verb: str, step: int) -> None:
    world.request(f"{verb}@{world.status['candidate']['hash']}/{step}#{len(world.events)}")
    world.run(2)


@cache
def rolled_back_late() -> Past:
    """Promoted, and broken while the old version was kept warm."""
    world = begun("v2", keepPrevious="5m")
    world.until(lambda w: "Promoted" in w.events)
    world.behaviours["v2"] = Behaviour(bad={"errors": 0.5})
    world.until(lambda w: "RolledBack" in w.events)
    world.run(60)
    return kept(world)


@cache
def both_bad() -> Past:
    """Stable breaks the limit as the candidate does: held, and then aborted."""
    world = begun("v3")
    world.behaviours["v1"] = world.behaviours["v3"]
    world.until(lambda w: any(g["verdict"] == "SharedIncident" for g in w.status.get("guardrails", ())))
    world.run(30)
    ask(world, "abort", world.status["rollout"]["step"])
    world.run(60)
    return kept(world)
