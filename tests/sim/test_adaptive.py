"""Adaptive rollouts: the weight rises as fast as the budget allows, stops where it was told to, and is safe in edits, crashes and odd traffic."""

from __future__ import annotations

from typing import Any

import pytest

from sim.ends import rests
from sim.life import Life, manifest, settled
from sim.traffic import Behaviour

ERRORS = {"name": "errors", "metric": "ErrorRate", "limit": "5%"}
LAST = {"weight": 100, "minDuration": "10s", "minRequests": 20}


def adaptive(budget: int = 50, **rollout: Any) -> dict[str, Any]:
    return {"strategy": "Adaptive", "risk": {"maxHarmedRequests": budget}, "steps": [LAST]} | rollout


def serving(rate: float = 20.0, seed: int = 0, **rollout: Any) -> Life:
    versions = {v: Behaviour(2) for v in ("v1", "v2", "v3", "v4")}
    life = Life(manifest(**(rollout or adaptive())), versions, rate=rate, seed=seed)
    life.until(settled("v1"), 60)
    return life


def letting_in(bad: float = 0.0, rate: float = 20.0, seed: int = 0, **rollout: Any) -> Life:
    life = serving(rate, seed, **rollout)
    life.behave("v2", Behaviour(2, bad={"errors": bad}))
    life.edit(serve="v2")
    return life


def weight(life: Life) -> int:
    return life.weights().get("v2", 0)


def steps_of(life: Life) -> list[int]:
    """Weights of the steps in the order in which they began."""
    return [of for _, _, of in life.witness.steps]


def harm(life: Life, bad: float, limit: float = 0.05) -> float:
    sent = sum(n for name, n in life.traffic.sent.items() if life.version_of(name) == "v2")
    return sent * (bad - limit)


def test_a_good_version_has_all_requests_in_two_minutes_by_fewer_steps_than_there_are_rungs() -> None:
    life = letting_in(0.01)
    began = life.timeline.t
    life.until(lambda one: weight(one) == 100, 400)
    assert life.timeline.t - began < 160
    assert steps_of(life) == sorted(steps_of(life))
    assert 3 <= len(steps_of(life)) <= 6
    life.until(settled("v2"))
    rests(life)
    assert life.traffic.lost == 0


@pytest.mark.parametrize("bad", [0.1, 0.25, 1.0])
@pytest.mark.parametrize("rate", [2.0, 20.0])
def test_a_bad_version_is_rolled_back_within_its_budget(bad: float, rate: float) -> None:
    life = letting_in(bad, rate, seed=3, **adaptive(60))
    life.until(lambda one: bool(one.status.get("rejected")) and one.running() == {"v1"}, 6000)
    assert harm(life, bad) <= 60


def test_with_hardly_any_requests_it_begins_where_the_budget_allows_and_waits_for_evidence() -> None:
    life = letting_in(rate=0.1)
    life.until(lambda one: weight(one) > 0, 120)
    assert weight(life) == 50
    life.run(600)
    assert (weight(life), life.waits_for) == (50, "WaitingForProof")
    life.until(settled("v2"), 7200)


def test_without_any_requests_it_does_not_begin() -> None:
    life = letting_in(rate=0.0)
    life.run(600)
    assert (weight(life), life.waits_for) == (0, "WaitingForRate")
    assert "requests must be counted for 30s first" in life.status["rollout"]["message"]
    life.traffic.rate = 20.0
    life.until(settled("v2"), 600)


def test_far_more_requests_than_before_are_no_spent_budget() -> None:
    life = letting_in(rate=0.1)
    life.until(lambda one: weight(one) == 50, 120)
    life.run(100)
    life.traffic.rate = 300.0
    life.run(1)
    assert life.waits_for != "BudgetSpent"
    life.until(settled("v2"), 600)
    assert "BudgetSpent" not in " ".join(life.witness.trace)


def test_too_many_requests_for_the_budget_are_told_before_the_first_one_and_a_larger_budget_lets_it_begin() -> None:
    life = letting_in(rate=500.0)
    life.run(60)
    assert (life.status["state"], life.waits_for, weight(life)) == ("Held", "BudgetTooSmall", 0)
    least = life.status["rollout"]["message"].split("maxHarmedRequests to ")[1].split()[0]
    life.edit_rollout(risk={"maxHarmedRequests": int(1.1 * int(least))})
    life.until(lambda one: weight(one) == 1, 60)
    life.until(settled("v2"), 600)


def test_nothing_begins_while_it_is_not_known_how_many_requests_come() -> None:
    life = serving()
    life.broken = "empty"
    life.edit(serve="v2")
    life.run(300)
    assert (weight(life), life.waits_for) == (0, "WaitingForRate")
    life.broken = None
    life.until(settled("v2"), 600)


def test_a_spent_budget_holds_with_its_numbers_and_goes_on_when_it_is_raised() -> None:
    life = letting_in(0.045, seed=10, **adaptive(24))
    life.until(lambda one: one.waits_for == "BudgetSpent", 3000)
    held = weight(life)
    assert life.status["state"] == "Held"
    assert "maxHarmedRequests is 24: raise that" in life.status["rollout"]["message"]
    assert 12 < life.status["rollout"]["harmedAtMost"] <= 40
    life.run(20)
    assert weight(life) == held  # held, not lowered
    life.edit_rollout(risk={"maxHarmedRequests": 400})
    life.until(lambda one: weight(one) > held or one.waits_for != "BudgetSpent", 100)
    life.until(lambda one: weight(one) == 50, 1000)


def test_a_spent_budget_rolls_back_where_that_was_asked_for() -> None:
    life = letting_in(0.045, seed=10, **adaptive(24, onInconclusive="RollBack"))
    life.until(lambda one: bool(one.status.get("rejected")), 3000)
    assert "maxHarmedRequests is 24" in life.status["rejected"][0]["reason"]
    life.until(settled("v1"), 120)


def test_a_budget_that_is_lowered_below_what_is_spent_holds_at_once() -> None:
    life = letting_in(0.04)
    life.until(lambda one: weight(one) >= 18, 300)
    life.run(10)
    assert life.status["rollout"]["harmedAtMost"] > 1
    before = weight(life)
    life.edit_rollout(risk={"maxHarmedRequests": 1})
    life.run(2)
    assert (life.waits_for, weight(life)) == ("BudgetSpent", before)


def test_declared_steps_are_stops_with_all_that_they_ask_for() -> None:
    stops = [
        {"weight": 5, "minDuration": "90s", "minRequests": 30},
        {"weight": 40, "minDuration": "10s", "minRequests": 20, "pause": {"until": "Approved"}},
        LAST,
    ]
    life = letting_in(**adaptive(steps=stops))
    life.until(lambda one: weight(one) == 5, 200)
    at = life.timeline.t
    life.until(lambda one: weight(one) > 5, 200)
    assert life.timeline.t - at >= 90
    life.until(lambda one: one.waits_for == "WaitingForApproval", 600)
    life.run(3600)
    assert weight(life) == 40
    assert "after kubectl solera promote" in life.status["next"]
    life.ask("promote", "1")
    life.until(settled("v2"), 600)
    assert {5, 40, 100} <= set(steps_of(life))


def test_a_pause_keeps_it_where_it_is_also_before_the_first_weight() -> None:
    life = letting_in()
    life.run(5)
    life.ask("pause", "1")
    life.run(300)
    assert (weight(life), life.waits_for) == (0, "Paused")
    life.ask("resume", "2")
    life.until(lambda one: weight(one) > 1, 60)
    life.ask("pause", "3")
    life.run(1)
    here = weight(life)
    life.run(300)
    assert weight(life) == here
    life.ask("resume", "4")
    life.until(settled("v2"), 600)


@pytest.mark.parametrize("at", [1, 12, 50])
def test_fixed_steps_in_mid_rollout_go_on_at_the_heaviest_that_adds_no_weight(at: int) -> None:
    life = letting_in(rate=10.0)
    life.until(lambda one: weight(one) >= at, 600)
    before = weight(life)
    kept = {k: v for k, v in life.spec["rollout"].items() if k not in {"strategy", "risk", "steps"}}
    life.edit(
        rollout={**kept, "steps": [{"weight": w, "minDuration": "10s", "minRequests": 5} for w in (1, 10, 60, 100)]}
    )
    life.run(3)
    assert weight(life) == max(w for w in (1, 10, 60, 100) if w <= before)
    life.until(settled("v2"), 2000)
    assert life.traffic.lost == 0


@pytest.mark.parametrize("at", [10, 30, 60])
def test_a_ramp_in_mid_rollout_goes_on_from_the_rung_below(at: int) -> None:
    life = serving(onInconclusive="Hold")
    life.edit(serve="v2")
    life.until(lambda one: weight(one) >= at, 600)
    kept = {k: v for k, v in life.spec["rollout"].items() if k != "steps"}
    life.edit(rollout={**kept, **adaptive()})
    life.run(3)
    assert weight(life) == {10: 8, 30: 25, 60: 50}[at]
    life.until(settled("v2"), 2000)


def test_a_version_that_was_promoted_before_comes_back_without_a_ramp() -> None:
    life = letting_in()
    life.until(settled("v2"), 600)
    life.edit(serve="v1")
    life.until(settled("v1"), 200)
    assert steps_of(life)[-1] == 100


def test_a_slow_gateway_makes_no_rung_shorter_and_passes_over_none_unseen() -> None:
    life = serving()
    life.cluster.gateway_delay = 40.0
    life.edit(serve="v2")
    life.until(settled("v2"), 3000)
    assert steps_of(life)[-1] == 100
    assert life.traffic.lost == 0


def test_killed_at_any_write_of_a_ramp_it_ends_as_if_it_had_not_been() -> None:
    whole = letting_in(rate=30.0)
    writes = whole.faults.count
    whole.until(settled("v2"), 600)
    last = whole.faults.count
    for answered in (False, True):
        for at in range(writes + 1, last, 3):
            life = letting_in(rate=30.0)
            life.faults.kill_at, life.faults.answered = at, answered
            life.until(settled("v2"), 900)
            assert life.deaths == 1
            assert steps_of(life) == sorted(set(steps_of(life))), at
            assert life.status["stable"]["version"] == "v2"
