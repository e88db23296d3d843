"""Guardrails that come to count something else in mid-rollout: no request is judged by what it was not counted as."""

from __future__ import annotations

from typing import Any

import pytest

from sim.life import Life, manifest, settled
from sim.traffic import Behaviour


def late(slower_than: str, limit: str = "10%") -> list[dict[str, Any]]:
    return [{"name": "late", "metric": "RequestLatency", "slowerThan": slower_than, "limit": limit}]


def shifting(v2: Behaviour, slower_than: str, **rollout: Any) -> Life:
    steps = [{"weight": w, "minDuration": "60s", "minRequests": 20} for w in (30, 60, 100)]
    spec = manifest(steps=steps, guardrails=late(slower_than), **rollout)
    life = Life(spec, {"v1": Behaviour(2.0, bad={"late>2s": 0.02}), "v2": v2})
    life.until(settled("v1"), 60)
    life.edit(serve="v2")
    life.until(lambda one: one.weights().get("v2") == 30, 60)
    life.run(40)
    return life


@pytest.mark.parametrize("broken", [None, "slow"])
@pytest.mark.parametrize("dies", [False, True])
def test_answers_that_were_slow_before_slow_was_said_do_not_roll_back(broken: str | None, dies: bool) -> None:
    cold = Behaviour(2.0, bad={"late>10s": 0.0, "late>2s": 0.6})
    life = shifting(cold, "10s")
    life.broken = broken  # readings come 30 s late: some were under way when the guardrail was edited
    life.behaviours["v2"] = Behaviour(2.0, bad={"late>10s": 0.0, "late>2s": 0.02})
    life.run(2)
    if dies:
        life.kill_operator()
    life.edit_rollout(guardrails=late("2s"))
    life.run(1)
    life.run(90)
    life.broken = None
    life.until(settled("v2"), 250)


def test_a_version_that_is_too_slow_by_the_new_time_is_rolled_back() -> None:
    life = shifting(Behaviour(2.0, bad={"late>10s": 0.0, "late>2s": 0.4}), "10s")
    life.edit_rollout(guardrails=late("2s"))
    life.until(lambda one: one.status.get("rejected"), 300)
    assert life.status["stable"]["version"] == "v1"


def test_a_guardrail_that_is_loosened_time_and_again_is_still_counted() -> None:
    life = shifting(
        Behaviour(2.0, bad={"late>2s": 0.2, "late>5s": 0.1, "late>10s": 0.05, "late>20s": 0.01}),
        "2s",
        risk={"falseRollback": "0.1%"},
    )
    for slower_than in ("5s", "10s", "20s"):
        life.edit_rollout(guardrails=late(slower_than, "30%"))
        life.run(15)
    life.until(settled("v2"), 900)


QUICK = Behaviour(2.0, bad={"late>10s": 0.0, "late>2s": 0.01})
WAITS = [
    {"weight": 50, "minDuration": "10s", "maxDuration": "2m", "pause": {"until": "Approved"}},
    {"weight": 100, "minDuration": "10s"},
]


def waiting(v2: Behaviour = QUICK) -> Life:
    spec = manifest(steps=WAITS, guardrails=late("10s"), onInconclusive="RollBack")
    life = Life(spec, {"v1": Behaviour(2.0), "v2": v2})
    life.until(settled("v1"), 60)
    life.edit(serve="v2")
    life.until(lambda one: (one.status.get("rollout") or {}).get("reason") == "WaitingForApproval", 120)
    life.run(300)
    return life


def test_an_edit_after_the_longest_time_of_a_step_that_waits_for_approval_ends_nothing() -> None:
    life = waiting()
    life.edit_rollout(guardrails=late("2s"))
    life.run(30)
    life.ask("promote")
    life.until(settled("v2"), 300)


@pytest.mark.parametrize("edited_at", [1, 100, 150])
def test_an_edit_before_or_in_a_pause_has_its_time_after_it(edited_at: int) -> None:
    life = waiting(Behaviour(2.0, bad={"late>10s": 0.0, "late>2s": 0.1}))  # neither proven nor refuted soon
    if edited_at == 1:
        life.edit_rollout(guardrails=late("2s"))
        life.run(1)
    life.ask("pause")
    for seconds in (100, 150, 50):
        life.run(seconds)
        if edited_at == seconds:
            life.edit_rollout(guardrails=late("2s"))
    life.ask("resume")
    life.run(30)
    life.ask("promote")
    life.run(60)
    assert life.status["rollout"]["reason"] == "WaitingForProof"
    life.run(60)
    assert life.status["rejected"]
