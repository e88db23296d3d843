"""Every invariant can fail: an operator that is wrong on purpose breaks the one that it should, and the right one breaks none.

``WRONG`` are planners around the real one. Each sees something that is not so, or wants something that must not be.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest

from sim.ends import rests
from sim.invariants import Broken
from sim.life import Life, manifest, settled
from sim.traffic import Behaviour
from solera.api.scalars import format_time
from solera.plan.memory import PROGRESS_ANNOTATION
from solera.plan.plan import plan
from solera.plan.traffic import live_weights
from solera.plan.types import Apply, Delete, Observation, ObservedPod, Plan
from twin.kube import duplicate

Planner = Callable[[Observation], Plan]


# -- the lives in which they show


def promotion(life: Life) -> None:
    life.until(settled("v1"), 60)
    life.edit(serve="v2")
    life.until(settled("v2"), 600)
    rests(life)


def withdrawal(life: Life) -> None:
    """Stable breaks down, and then its candidate is withdrawn."""
    life.until(settled("v1"), 60)
    life.edit(serve="v2")
    life.until(lambda one: one.weights().get("v2", 0) >= 30, 600)
    life.behave("v1", Behaviour(never_ready=True))
    life.run(2)
    life.edit(serve="v1")
    life.run(30)
    life.behave("v1", Behaviour())
    life.until(settled("v1"), 600)


def retirement(life: Life) -> None:
    date = format_time(life.timeline.now() + timedelta(seconds=300))
    life.edit_version("v1", lifecycle={"retiresAt": date, "successor": "v2", "migrateBefore": "100s"})
    life.until(settled("v2"), 600)
    life.until(lambda one: one.status["versions"][0]["phase"] == "Retired", 600)


def silence(life: Life) -> None:
    """No metrics at all, for ten minutes."""
    life.until(settled("v1"), 60)
    life.broken = "empty"
    life.edit(serve="v2")
    life.run(600)


def third(life: Life) -> None:
    life.until(settled("v1"), 60)
    life.edit(serve="v2")
    life.until(lambda one: one.weights().get("v2", 0) >= 30, 600)
    life.edit(serve="v4")
    life.until(settled("v4"), 600)


# -- operators that see what is not so


def seeing(change: Callable[[dict[str, Any]], None]) -> Planner:
    """Reads another spec than the one that stands there."""

    def planner(observation: Observation) -> Plan:
        resource = duplicate(observation.custom_resource)
        change(resource["spec"])
        return plan(replace(observation, custom_resource=resource))

    return planner


def no_step(**field: Any) -> Planner:
    return seeing(lambda spec: spec["rollout"].update(steps=[{**s, **field} for s in spec["rollout"]["steps"]]))


def sometimes(wrong: Planner, when: Callable[[Observation], bool]) -> Planner:
    return lambda observation: wrong(observation) if when(observation) else plan(observation)


def everything_answers(observation: Observation) -> Plan:
    pod = ObservedPod("p", "p", "10.0.0.1", ready=True, answered=True)
    revisions = {
        name: replace(seen, ready_endpoints=2, pods=(pod, replace(pod, uid="q"))) if seen.deployment else seen
        for name, seen in observation.revisions.items()
    }
    return plan(replace(observation, revisions=revisions))


def tomorrow(observation: Observation) -> Plan:
    later = timedelta(days=1)
    return plan(replace(observation, now=observation.now + later, wall=observation.now + later))


# -- operators that want what must not be


def rerouting(change: Callable[[dict[str, Any], Observation], None], *, when: Callable[[Observation], bool]) -> Planner:
    """Writes the route otherwise, whenever ``when`` holds."""

    def planner(observation: Observation) -> Plan:
        wanted = plan(observation)
        actions = []
        for action in wanted.actions:
            if isinstance(action, Apply) and action.manifest["kind"] == "HTTPRoute" and when(observation):
                route = duplicate(action.manifest)
                change(route, observation)
                actions.append(replace(action, manifest=route))
            else:
                actions.append(action)
        return replace(wanted, actions=tuple(actions))

    return planner


def backends(route: dict[str, Any]) -> list[dict[str, Any]]:
    return route["spec"]["rules"][0]["backendRefs"]


def two(observation: Observation) -> bool:
    return len(live_weights(observation.route)) == 2


def empty(route: dict[str, Any], _observation: Observation) -> None:
    backends(route).clear()


def undeclared(route: dict[str, Any], _observation: Observation) -> None:
    for backend, weight in zip(backends(route), (77, 23), strict=False):
        backend["weight"] = weight


def a_step_further(route: dict[str, Any], _observation: Observation) -> None:
    notes = route["metadata"]["annotations"]
    rollout, step, since, _ = notes[PROGRESS_ANNOTATION].split("/")
    weights = (10, 30, 60, 100, 100)
    notes[PROGRESS_ANNOTATION] = f"{rollout}/{int(step) + 1}/{since}/{weights[int(step) + 1]}"
    for backend, weight in zip(backends(route), (weights[int(step) + 1], 100 - weights[int(step) + 1]), strict=False):
        backend["weight"] = weight


def everybody(route: dict[str, Any], observation: Observation) -> None:
    """All that have pods share the traffic."""
    there = {b["name"] for b in backends(route)}
    backends(route).extend(
        {**backends(route)[0], "name": n, "weight": 1}
        for n, seen in observation.revisions.items()
        if n not in there and seen.pods
    )


def removing(kind: str, *, when: Callable[[Observation], bool]) -> Planner:
    """Deletes what still has weight, and forbids the executor to look."""

    def planner(observation: Observation) -> Plan:
        wanted = plan(observation)
        routed = next(iter(live_weights(observation.route)), "")
        seen = observation.revisions.get(routed)
        victim = observation.route if kind == "HTTPRoute" else seen.deployment if seen is not None else None
        if victim is None or not when(observation):
            return wanted
        meta = victim["metadata"]
        return replace(wanted, actions=(Delete(kind, meta["name"], meta["uid"], meta["resourceVersion"], "wrong"),))

    return planner


def saying(change: Callable[[dict[str, Any], Observation], None]) -> Planner:
    """Writes another status than the true one."""

    def planner(observation: Observation) -> Plan:
        wanted = plan(observation)
        status = duplicate(wanted.status)
        if status.get("stable"):
            change(status, observation)
        return replace(wanted, status=status)

    return planner


def one_percent_more(status: dict[str, Any], _observation: Observation) -> None:
    for entry in status.get("weights", ()):
        entry["weight"] += 1 if entry["weight"] < 100 else -1


def the_time(status: dict[str, Any], observation: Observation) -> None:
    status["next"] = f"at {format_time(observation.now)}"


def a_prejudice(status: dict[str, Any], observation: Observation) -> None:
    candidate = status.get("candidate")
    if candidate:
        one = {"version": candidate["version"], "hash": candidate["hash"], "at": format_time(observation.now)}
        status["rejected"] = [{**one, "reason": "errors: 9 of 10 requests bad"}]


def somebody_else(status: dict[str, Any], observation: Observation) -> None:
    name = next((n for n, seen in observation.revisions.items() if seen.version == "v1"), "")
    if status["stable"]["version"] == "v1" and name:
        status["candidate"] = {"version": "v3", "revision": "chat-v3-xxxxxxxx", "hash": "xxxxxxxx"}


@dataclass(frozen=True)
class Wrong:
    number: int
    planner: Planner
    live: Callable[[Life], None]
    rate: float = 20.0
    says: str = ""
    rollout: dict[str, Any] = field(default_factory=dict)


LIMIT_1 = {"guardrails": [{"name": "errors", "metric": "ErrorRate", "limit": "1%"}]}
NO_REQUESTS = {"steps": [{"weight": w, "minDuration": "10s", "minRequests": 0} for w in (10, 100)]}
ADAPTIVE: dict[str, Any] = {
    "strategy": "Adaptive",
    "risk": {"maxHarmedRequests": 30},
    "steps": [{"weight": w, "minDuration": "10s", "minRequests": 5} for w in (5, 100)],
}
WRONG = {
    "weight before the first answer": Wrong(1, everything_answers, promotion),
    "a route to nobody": Wrong(2, rerouting(empty, when=two), promotion),
    "a weight that no step declares": Wrong(3, rerouting(undeclared, when=two), promotion),
    "requests of a step not waited for": Wrong(3, no_step(minRequests=0), promotion, 3.0, "requests of"),
    "a limit not shown": Wrong(
        3, seeing(lambda s: s["rollout"].update(guardrails=[{"name": "errors", "metric": "ErrorRate", "limit": "60%"}])),
        promotion, 20.0, "samples", LIMIT_1),
    "pods deleted under traffic": Wrong(4, removing("Deployment", when=two), promotion, says="gives it"),
    "a drain cut short": Wrong(4, seeing(lambda s: s["template"].update(drainTimeout="1s")), third, says="after its last"),
    "back to a stable that is down": Wrong(5, sometimes(everything_answers, two), withdrawal),
    "retired before the date": Wrong(6, sometimes(tomorrow, lambda o: bool(live_weights(o.route))), retirement, says="date"),
    "the route removed with nobody to be refused": Wrong(6, removing("HTTPRoute", when=two), promotion, says="refused"),
    "a version that nobody asked for": Wrong(6, saying(somebody_else), promotion, says="nobody asked"),
    "three at once": Wrong(7, rerouting(everybody, when=lambda o: len(o.revisions) > 2), third),
    "a status that is not so": Wrong(8, saying(one_percent_more), promotion, says="claims"),
    "a write at rest": Wrong(8, saying(the_time), promotion, says="at rest"),
    "more at once than the budget allows": Wrong(
        3, seeing(lambda s: s["rollout"].update(risk={"maxHarmedRequests": 100_000})), promotion, 40.0, "nothing is known",
        {**ADAPTIVE, "steps": ADAPTIVE["steps"][1:]}),
    "a stop of the ramp passed over": Wrong(
        10, seeing(lambda s: s["rollout"].update(steps=s["rollout"]["steps"][1:])), promotion, 5.0, "begins at", ADAPTIVE),
    "no data for a pass": Wrong(
        9, seeing(lambda s: s["rollout"].update(guardrails=[])), silence, says="without any", rollout=NO_REQUESTS),
    "no data for a fail": Wrong(9, saying(a_prejudice), silence),
    "a step skipped": Wrong(10, rerouting(a_step_further, when=two), promotion, says="skipped"),
    "a step cut short": Wrong(10, no_step(minDuration="1s"), promotion, 200.0, "lasted"),
}  # fmt: skip


def born(wrong: Wrong, planner: Planner | None) -> Life:
    return Life(
        manifest(**wrong.rollout),
        {"v1": Behaviour(2), "v2": Behaviour(2), "v4": Behaviour(2)},
        rate=wrong.rate,
        planner=planner,
    )


@pytest.mark.parametrize("name", WRONG)
def test_an_operator_that_is_wrong_breaks_the_invariant(name: str) -> None:
    wrong = WRONG[name]
    with pytest.raises(Broken) as broken:
        wrong.live(born(wrong, wrong.planner))
    assert broken.value.number == wrong.number, broken.value
    assert wrong.says in str(broken.value)


@pytest.mark.parametrize("name", WRONG)
def test_the_same_life_with_the_real_operator_breaks_none(name: str) -> None:
    WRONG[name].live(born(WRONG[name], None))


def test_every_invariant_is_broken_by_somebody() -> None:
    assert {wrong.number for wrong in WRONG.values()} == set(range(1, 11))
