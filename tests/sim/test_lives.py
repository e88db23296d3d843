"""Whole lives in the simulated world: the invariants are checked inside it, at every write."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest

from sim.world import START, Behaviour, World, manifest, settled
from solera.api.scalars import format_time


def phase(world: World, version: str) -> str:
    return next(v["phase"] for v in world.status.get("versions", ()) if v["name"] == version)


GOOD = Behaviour(bad={"errors": 0.02})
BAD = Behaviour(bad={"errors": 0.3})


def serving(**rollout: object) -> World:
    world = World(manifest(**rollout), {"v1": GOOD, "v2": GOOD, "v3": BAD, "v4": GOOD})
    world.until(settled("v1"), 120)
    return world


def test_the_first_version_serves_after_its_first_answer_and_nothing_is_written_at_rest() -> None:
    world = serving()
    assert world.condition("Ready") == "True"
    assert world.condition("RolloutComplete") == "True"
    before = len(world.writes)
    world.run(300)
    assert world.writes[before:] == []
    assert world.lost == 0


def test_a_good_candidate_is_promoted_by_its_steps_and_the_old_one_goes() -> None:
    world = serving()
    world.edit(serve="v2")
    world.until(settled("v2"))
    assert [w for _, _, w in world.steps_seen] == [10, 30, 60, 100]
    assert world.status["stable"]["version"] == "v2"
    assert world.lost == 0
    assert world.condition("RolloutComplete") == "True"
    assert "Promoted" in world.events


def test_a_bad_candidate_is_rolled_back_and_is_not_tried_again() -> None:
    world = serving()
    world.edit(serve="v3")
    world.until(lambda w: "RolledBack" in w.events)
    world.until(lambda w: w.running() == {"v1"})
    assert world.weights() == {"v1": 100}
    assert world.reason("Stalled") == "RolledBack"
    assert [g["verdict"] for g in world.status["guardrails"]] == ["Fail"]
    assert world.condition("RolloutComplete") == "False"
    world.run(120)
    assert world.running() == {"v1"}
    assert "Promoted" not in world.events
    assert world.lost == 0


def test_an_operational_edit_lets_a_rejected_version_in_again() -> None:
    world = serving()
    world.edit(serve="v3")
    world.until(lambda w: w.reason("Stalled") == "RolledBack" and w.running() == {"v1"})
    world.behaviours["v3"] = GOOD
    world.edit(template={**world.spec["template"], "replicas": 3})
    world.until(settled("v3"))


def test_a_gateway_that_takes_over_late_makes_no_step_shorter_and_its_old_weights_count_for_no_new_step() -> None:
    world = serving()
    world.route_delay = 40
    began = world.now
    world.edit(serve="v2")
    reasons = set()

    def promoted(w: World) -> bool:
        reasons.add((w.status.get("rollout") or {}).get("reason"))
        return w.status["stable"]["version"] == "v2"

    world.until(promoted)
    weights = [(at, shares["v2"]) for at, shares in world.weights_seen if at >= began and shares.get("v2")]
    assert [w for _, w in weights] == [10, 30, 60, 100]
    assert all(later - at >= timedelta(seconds=50) for (at, _), (later, _) in pairwise(weights))
    assert world.now - weights[-1][0] >= timedelta(seconds=50)
    assert "SplitMismatch" not in reasons
    assert world.now - began < timedelta(seconds=4 * 50 + 60)


def test_an_outage_of_the_metrics_holds_within_seconds_and_the_rollout_goes_on_after_it() -> None:
    world = serving()
    world.edit(serve="v2")
    world.until(lambda w: w.weights().get("v2") == 30)
    world.run(3)
    assert world.status["state"] == "Shifting"
    world.scrape = False
    world.run(6)
    rollout = world.status["rollout"]
    assert (world.status["state"], rollout["reason"]) == ("Held", "GuardrailHolds")
    assert "Direct: Unreachable: cannot connect to 10.0.0.1:8000" in rollout["message"]
    assert world.last_plan is not None
    assert world.last_plan.look_again_at is not None
    assert world.last_plan.look_again_at <= world.now + timedelta(seconds=5)  # nobody brings news of a silence
    world.run(300)
    assert world.weights() == {"v1": 70, "v2": 30}
    world.scrape = True
    world.until(settled("v2"))
    assert [w for _, _, w in world.steps_seen] == [10, 30, 60, 100]
    assert world.lost == 0


def test_no_evidence_is_neither_a_pass_nor_a_fail() -> None:
    world = serving()
    world.scrape = False
    world.edit(serve="v2")
    world.run(600)
    assert world.weights() == {"v1": 90, "v2": 10}
    assert "Promoted" not in world.events
    assert "RolledBack" not in world.events
    world.scrape = True
    world.until(settled("v2"))


def test_withdrawal_takes_the_traffic_back_and_forgets_the_candidate() -> None:
    world = serving()
    world.edit(serve="v2")
    world.until(lambda w: w.weights().get("v2", 0) >= 30)
    world.edit(serve="v1")
    world.until(settled("v1"))
    assert "Withdrawn" in world.events
    assert world.status.get("rejected") is None
    assert world.lost == 0


def test_a_third_version_replaces_the_candidate_whose_weight_goes_first() -> None:
    world = serving()
    world.edit(serve="v2")
    world.until(lambda w: w.weights().get("v2", 0) >= 30)
    world.edit(serve="v4")
    most = 0
    while not settled("v4")(world):
        world.run(1)
        most = max(most, len(world.weights()))
    assert most == 2
    assert world.lost == 0


def test_a_pause_waits_for_an_approval_of_this_candidate_and_this_step() -> None:
    steps = [{"weight": 50, "minDuration": "5s", "pause": {"until": "Approved"}}, {"weight": 100, "minDuration": "5s"}]
    world = serving(steps=steps)
    world.edit(serve="v2")
    world.until(lambda w: (w.status.get("rollout") or {}).get("reason") == "WaitingForApproval")
    candidate = world.status["candidate"]["hash"]
    world.request("promote@zzzzzzzz/0#1")
    world.run(60)
    assert world.weights()["v2"] == 50
    assert world.status["lastHandledRequest"] == "promote@zzzzzzzz/0#1"
    world.request(f"promote@{candidate}/0#2")
    world.until(settled("v2"))


def test_abort_rolls_back() -> None:
    world = serving()
    world.edit(serve="v2")
    world.until(lambda w: w.weights().get("v2", 0) >= 10)
    world.request(f"abort@{world.status['candidate']['hash']}/0#1")
    world.until(lambda w: w.weights() == {"v1": 100} and w.running() == {"v1"})
    assert world.status["rejected"][0]["version"] == "v2"


def test_going_back_to_what_was_promoted_before_skips_the_steps() -> None:
    world = serving()
    world.edit(serve="v2")
    world.until(settled("v2"))
    world.edit(serve="v1")
    began = world.now
    world.until(settled("v1"))
    assert world.now - began < timedelta(seconds=90)
    assert [w for _, _, w in world.steps_seen][4:] == [100]


def test_a_late_failure_rolls_back_to_the_warm_old_revision() -> None:
    world = serving(keepPrevious="10m")
    world.edit(serve="v2")
    world.until(lambda w: "Promoted" in w.events)
    world.behaviours["v2"] = Behaviour(bad={"errors": 0.5})
    world.until(lambda w: w.weights() == {"v1": 100})
    world.until(lambda w: w.running() == {"v1"})
    assert world.lost == 0


def test_a_candidate_that_never_comes_up_is_given_up_without_any_traffic() -> None:
    world = serving()
    world.behaviours["v2"] = Behaviour(never_ready=True)
    world.edit(serve="v2")
    world.until(lambda w: "RolledBack" in w.events)
    world.until(lambda w: w.running() == {"v1"})
    assert world.served.get("v2", 0) == 0


def test_an_edited_template_of_the_serving_version_is_a_rollout() -> None:
    world = serving()
    engine = {**world.spec["template"]["engine"], "args": ["--max-model-len", "4096"]}
    world.edit(template={**world.spec["template"], "engine": engine})
    world.until(lambda w: len(w.weights_seen[-1][1]) == 1 and "Promoted" in w.events)
    assert [w for _, _, w in world.steps_seen] == [10, 30, 60, 100]


def test_an_operational_edit_is_no_rollout() -> None:
    world = serving()
    world.edit(template={**world.spec["template"], "replicas": 4})
    world.run(30)
    assert world.steps_seen == []
    assert len(world.pods) == 4


def retiring(on: str | None, seconds: int = 300, before: str = "200s", successor: str | None = "v2") -> World:
    spec = manifest()
    life = {"retiresAt": format_time(START + timedelta(seconds=seconds)), "migrateBefore": before}
    life |= {"successor": successor} if successor else {}
    life |= {"onRetirement": on} if on else {}
    spec["versions"][0]["lifecycle"] = life
    return World(spec, {"v1": GOOD, "v2": GOOD, "v3": BAD, "v4": GOOD})


def test_a_version_retires_on_its_date_with_its_successor_serving_and_serve_untouched() -> None:
    world = retiring(None)
    world.until(lambda w: settled("v2")(w) and phase(w, "v1") == "Retired")
    tombstone = next(v for v in world.status["versions"] if v["name"] == "v1")
    assert tombstone["lateBy"] == "0s"
    assert world.spec["serve"] == "v1"
    assert world.status["effectiveVersion"] == "v2"
    assert world.now <= START + timedelta(seconds=310)
    assert world.lost == 0
    world.run(300)
    assert world.running() == {"v2"}
    assert world.condition("Ready") == "True"


def test_a_retired_version_stays_retired_when_the_clock_jumps_back() -> None:
    world = retiring(None)
    world.until(lambda w: settled("v2")(w) and phase(w, "v1") == "Retired")
    world.now -= timedelta(hours=1)
    world.run(60)
    assert world.running() == {"v2"}


def test_refuse_removes_the_route_then_the_pods() -> None:
    world = retiring("Refuse", seconds=60)
    world.run(59)
    assert world.weights() == {"v1": 100}
    world.until(lambda w: not w.running(), 60)
    world.run(5)
    assert ("HTTPRoute", world.name) not in world.objects
    assert phase(world, "v1") == "Retired"
    before = len(world.writes)
    world.run(100)
    assert world.writes[before:] == []


def test_hold_keeps_serving_and_says_so() -> None:
    world = retiring("Hold", seconds=60)
    world.run(120)
    assert world.weights() == {"v1": 100}
    assert world.condition("RetirementHeld") == "True"


def test_a_failed_successor_leaves_the_old_version_serving_and_overdue() -> None:
    world = retiring(None, successor="v3")
    world.run(500)
    assert world.weights() == {"v1": 100}
    assert world.condition("RetirementOverdue") == "True"
    assert world.lost == 0


def test_the_successor_takes_over_on_the_date_although_serve_names_a_rejected_version() -> None:
    world = retiring(None, seconds=500, before="200s", successor="v4")
    world.until(settled("v1"))
    world.edit(serve="v3")
    world.until(lambda w: w.reason("Stalled") == "RolledBack" and w.running() == {"v1"})
    world.until(lambda w: settled("v4")(w) and phase(w, "v1") == "Retired")
    assert world.now <= START + timedelta(seconds=510)
    world.run(100)
    assert world.running() == {"v4"}
    assert world.lost == 0


def test_a_version_past_its_date_is_never_started() -> None:
    world = retiring("Hold", seconds=-10, successor=None)
    world.run(30)
    assert world.running() == set()
    assert world.condition("Stalled") == "True"


def test_a_date_missed_while_the_operator_was_down_is_walked_through() -> None:
    world = retiring(None, seconds=300)
    world.until(settled("v1"))
    world.now = START + timedelta(seconds=400)
    world.until(settled("v2"))
    late = next(v for v in world.status["versions"] if v["name"] == "v1")["lateBy"]
    assert late not in {"0s", ""}
    assert world.lost == 0


@pytest.mark.parametrize("how", ["replaced", "promoted"])
def test_a_drain_begins_when_the_gateway_has_taken_the_weight_away(how: str) -> None:
    steps = [
        {"weight": 50, "minDuration": "9s", "minRequests": 0},
        {"weight": 100, "minDuration": "0s", "minRequests": 0},
    ]
    world = serving(steps=steps, guardrails=[], keepPrevious="0s")
    world.edit(serve="v2")
    world.until(lambda w: w.weights().get("v2", 0) == 50)
    world.run(2)
    world.route_delay = 15
    if how == "replaced":
        world.edit(serve="v4")
    leaving = "v2" if how == "replaced" else "v1"
    world.until(lambda w: leaving not in w.weights())
    taken_over = world.route_ready_at
    world.until(lambda w: leaving not in w.running())
    assert world.now >= taken_over + timedelta(seconds=20)
