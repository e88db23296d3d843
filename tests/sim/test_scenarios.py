"""How other progressive-delivery controllers are tested, asked of this one: the scenario's number stands in the name of its test.

The numbers are those of the scenario table in our survey of Flagger, Argo Rollouts and OpenKruise. Where we differ on purpose the name says *ours*.

| # | scenario | here |
|---|---|---|
| 1 | one failure too many | ours: no count of failed checks; a share at its limit is none, one above it is |
| 3 | only dry-run metrics fail | `action: Observe` |
| 4 | initial delay; the earliest of several is asked first | the next look is exactly when the first wait ends |
| 5 | restart with a measurement in flight | counted once, from raw counters |
| 7 | inconclusive | ours: held with its reason, one rollout; `onInconclusive: RollBack` ends it |
| 9 | secrets in queries | none can stand there: tokens are files of the administrator (tests/unit/observe/test_prometheus.py) |
| 10 | one of several metrics fails | yes |
| 11, 12 | linear steps, a list of weights | yes; a list that does not end at 100 is refused at admission (tests/cluster/test_crd.py) |
| 13 | promotion in steps back to a primary | ours: the candidate's own pods become stable, so promotion moves no traffic |
| 15, 22 | third version at 90/10; it has no pods yet | yes, without a request to a backend that is not ready |
| 17 | the spec returns to what serves | yes |
| 18 | a tracked ConfigMap changes | not tracked: what can change an answer stands in the spec, by value |
| 20 | the gateway has not taken the weight over | the step waits; at the end the old pods stay |
| 21 | the route cannot be written | no step advances; tried again |
| 24 | rollback to a stable with 3 of 4 pods | ours: stable keeps all its pods during a rollout, so 3 of 4 take the traffic of a *broken* candidate back at once; with none
  ready the weights stay |
| 26 | abort, retry, promotion | yes, events in this order |
| 27 | promote after an abort | ours: refused, it says what to do; what was aborted needs a retry and its evidence |
| 29 | a pause longer than the deadline | yes |
| 30 | scaled while paused at 25 % | ours: both sides have all replicas, the share is the gateway's |
| 33 | deleted, plan edited, v1 → v2 → v3 in mid-rollout | yes; a jump to a step is an edit of the steps |
| 34, 35 | finalizers, webhooks | there are none |
| 37 | counters of outcomes | the operator's metrics (tests/unit/operator) and `status.history` |

Of the complaints of their users those that are about rollouts are here as `test_complaint_N_...`, unless a test elsewhere says the same: 1 and 2
(no data) test_lives, 3 (one verdict) 7 below, 4 (unknown metric) tests/cluster/test_crd.py, 5 (evidence before traffic) test_lives: a gateway that takes
over late, 8, 15 and 16 (foreign rules) the route is wholly ours, 11 (retry) test_verbs, 14 and 17 (upgrades, redundant writes) test_upgrades and
test_chance, 18 (autoscalers) not yet, 20 (two leaders) tests/unit/operator and tests/cluster, 22 (deletion) 33 below, 23 (scale) benchmarks, 24 (why) tests/unit/cli.
"""

from __future__ import annotations

from typing import Any

import pytest

from sim.ends import rests
from sim.life import Life, manifest, settled
from sim.traffic import Behaviour
from solera.api.scalars import parse_time

ERRORS = {"name": "errors", "metric": "ErrorRate", "limit": "5%"}
SLOW = {"name": "slow", "metric": "TimeToFirstToken", "slowerThan": "2s", "limit": "10%"}


def steps(*weights: int, **more: Any) -> list[dict[str, Any]]:
    return [{"weight": w, "minDuration": "10s", "minRequests": 10, **more} for w in weights]


def serving(rate: float = 20.0, **rollout: Any) -> Life:
    life = Life(manifest(**rollout), {v: Behaviour(2) for v in ("v1", "v2", "v3", "v4")}, rate=rate)
    life.until(settled("v1"), 60)
    return life


def shifting(weight: int, **rollout: Any) -> Life:
    life = serving(**rollout)
    life.edit(serve="v2")
    life.until(lambda one: one.weights().get("v2", 0) >= weight, 600)
    return life


def weights_of(life: Life, version: str) -> list[int]:
    """Its weights in the order in which they were written."""
    out: list[int] = []
    for _, weights in life.witness.weights_seen:
        if weights.get(version, 0) != (out[-1] if out else 0):
            out.append(weights.get(version, 0))
    return out


def test_scenario_1_ours_a_share_at_its_limit_is_no_failure_and_one_far_above_it_is() -> None:
    life = shifting(10, steps=steps(10, 100, minRequests=100_000))
    life.behave("v2", Behaviour(2, bad={"errors": 0.05}))
    life.run(600)
    assert life.weights() == {"v1": 90, "v2": 10}
    life.behave("v2", Behaviour(2, bad={"errors": 0.5}))
    life.until(lambda one: bool(one.status.get("rejected")), 120)


def test_scenario_3_a_guardrail_that_only_observes_lets_pass_and_shows_its_failure() -> None:
    life = serving(guardrails=[{**ERRORS, "action": "Observe"}])
    life.behave("v2", Behaviour(2, bad={"errors": 0.5}))
    life.edit(serve="v2")
    life.until(lambda one: "Promoted" in one.witness.events)
    assert [g["verdict"] for g in life.status["guardrails"]] == ["Fail"]


def test_scenario_4_the_next_look_is_when_the_first_of_what_is_waited_for_is_over() -> None:
    life = shifting(10, steps=steps(10, 100, minRequests=0))
    life.traffic.rate = 0.0
    life.run(6)
    started = parse_time(life.status["rollout"]["stepStartedAt"])
    assert (parse_time(life.status["nextAt"]) - started).total_seconds() == 10
    assert life.operator is not None
    assert abs(life.operator.next_due() - (started - parse_time("2026-12-01T12:00:00Z")).total_seconds() - 10) <= 1


@pytest.mark.parametrize("after", [0.5, 3, 7])
def test_scenario_5_after_a_restart_every_request_counts_once(after: float) -> None:
    life = shifting(10, steps=steps(10, 100, minRequests=100_000))
    life.run(60 + after)
    life.kill_operator()
    life.run(90)
    counted, served = life.status["guardrails"][0]["samples"], life.traffic.served["v2"]
    assert served - 0.1 * 20 * 20 - 20 <= counted <= served  # the rest was served since the figures were written


@pytest.mark.parametrize("at_end", ["Hold", "RollBack"])
def test_scenario_7_ours_an_inconclusive_step_holds_with_its_reason_in_one_rollout_or_ends_it(at_end: str) -> None:
    life = shifting(10, steps=steps(10, 100, minRequests=100_000, maxDuration="60s"), onInconclusive=at_end)
    rollout = life.status["rollout"]["id"]
    life.run(600)
    if at_end == "Hold":
        assert (life.status["state"], life.waits_for) == ("Held", "Inconclusive")
        assert life.weights()["v2"] == 10
    else:
        assert "inconclusive" in life.status["rejected"][0]["reason"]
        assert life.running() == {"v1"}
    assert life.status["rollout"]["id"] == rollout
    assert life.witness.events.count("RolloutStarted") == 1


def test_scenario_10_one_guardrail_that_fails_is_enough() -> None:
    life = serving(guardrails=[ERRORS, SLOW])
    life.behave("v2", Behaviour(2, bad={"slow": 0.6}))
    life.edit(serve="v2")
    life.until(lambda one: bool(one.status.get("rejected")), 300)
    assert "slow" in life.status["rejected"][0]["reason"]
    verdicts = {g["name"]: g["verdict"] for g in life.status["guardrails"]}
    assert verdicts["slow"] == "Fail"
    assert verdicts["errors"] != "Fail"


@pytest.mark.parametrize("weights", [(20, 40, 60, 80, 100), (1, 2, 10, 80, 100)])
def test_scenarios_11_and_12_the_weights_are_those_of_the_steps_and_stable_has_the_rest(
    weights: tuple[int, ...],
) -> None:
    life = serving(steps=steps(*weights), rate=100.0)
    life.edit(serve="v2")
    life.until(settled("v2"))
    assert weights_of(life, "v2") == list(weights)
    assert weights_of(life, "v1")[1:] == [100 - w for w in weights]


def test_scenario_13_ours_promotion_moves_no_traffic_and_restarts_no_pod() -> None:
    life = shifting(100)
    pods, routes = {p.uid for p in life.pods("v2")}, len(life.witness.weights_seen)
    life.until(settled("v2"))
    assert {p.uid for p in life.pods("v2")} == pods
    assert len(life.witness.weights_seen) == routes


@pytest.mark.parametrize("at", [10, 60])
def test_scenario_15_a_third_version_at_90_10_returns_to_100_0_and_starts_at_step_one(at: int) -> None:
    life = shifting(at)
    life.edit(serve="v4")
    life.run(0.5)
    assert life.weights() == {"v1": 100}
    life.until(lambda one: "v4" in one.weights())
    assert life.weights() == {"v1": 90, "v4": 10}
    life.run(1)
    assert life.status["rollout"]["step"] == 0
    assert not life.status.get("guardrails") or life.status["guardrails"][0]["samples"] == 0
    life.until(settled("v4"))
    assert life.traffic.lost == 0


@pytest.mark.parametrize("at", [30, 60])
def test_scenario_22_a_third_version_without_pods_gets_nothing_and_the_second_loses_weight_before_its_pods(
    at: int,
) -> None:
    life = shifting(at)
    life.behave("v4", Behaviour(never_ready=True))
    life.edit(serve="v4")
    life.until(lambda one: "v2" not in one.running(), 120)
    gone = next(i for i, what in enumerate(life.witness.trace) if "delete Deployment chat-v2" in what)
    zero = next(
        i for i, what in enumerate(life.witness.trace) if "route {'chat-v1" in what and "v2" not in what and i > 15
    )
    assert zero < gone
    life.until(lambda one: bool(one.status.get("rejected")), 300)
    assert life.traffic.served.get("v4", 0) == life.traffic.lost == 0


def test_scenario_17_a_spec_that_returns_to_what_serves_starts_no_rollout() -> None:
    life = serving()
    template = life.spec["template"]
    life.edit_template(engine={**template["engine"], "args": ["--seed", "1"]})
    life.edit(template=template)
    life.run(60)
    assert "RolloutStarted" not in life.witness.events
    assert len([c for c in life.children() if c[0] == "ControllerRevision"]) == 1


def test_scenario_20_a_weight_that_the_gateway_has_not_taken_over_opens_no_step_and_ends_no_pods() -> None:
    life = shifting(30)
    life.cluster.gateway_delay = 10_000.0
    life.until(lambda one: one.weights().get("v2") == 60, 120)
    life.run(300)
    assert life.weights() == {"v1": 40, "v2": 60}
    assert life.waits_for == "WaitingForRoute"
    life.cluster.gateway_delay = 0.0
    life.cluster._reroute("MODIFIED", life.route)
    life.until(lambda one: one.weights() == {"v2": 100}, 300)
    life.cluster.gateway_delay = 10_000.0
    life.edit(serve="v1")
    life.run(300)
    assert life.weights() == {"v1": 100}
    assert life.running() == {"v1", "v2"}


def test_scenario_21_a_route_that_cannot_be_written_advances_no_step_and_is_tried_again() -> None:
    life = shifting(10)
    life.run(1)
    life.faults.down_until = life.timeline.t + 90
    life.run(89)
    assert life.weights() == {"v1": 90, "v2": 10}
    assert life.status["rollout"]["step"] == 0
    life.until(settled("v2"))
    assert [weight for _, _, weight in life.witness.steps] == [10, 30, 60, 100]


def test_scenario_24_ours_a_broken_candidate_loses_its_traffic_to_a_stable_with_three_of_four_pods() -> None:
    life = serving()
    life.edit_template(replicas=4)
    life.edit(serve="v2")
    life.until(lambda one: one.weights().get("v2", 0) == 30)
    assert len(life.pods("v1")) == 4
    life.behaviours["v1"] = Behaviour(start=500)
    life.cluster.kill(life.pods("v1")[0])
    life.behave("v2", Behaviour(2, bad={"errors": 0.6}))
    life.until(lambda one: one.weights() == {"v1": 100}, 60)
    assert life.traffic.lost == 0


def test_scenario_24_ours_a_stable_without_a_ready_pod_gets_nothing_back_until_it_has_one() -> None:
    life = shifting(30)
    life.behave("v1", Behaviour(never_ready=True))
    life.run(1)
    life.edit(serve="v1")
    life.run(100)
    assert life.weights() == {"v1": 70, "v2": 30}
    assert "v2" in life.running()
    life.behave("v1", Behaviour(3))
    life.until(settled("v1"), 120)


def test_scenario_26_abort_retry_promotion_in_this_order() -> None:
    life = shifting(30)
    candidate = life.status["candidate"]["hash"]
    life.ask("abort", "1")
    life.until(settled("v1"))
    assert life.condition("Stalled") == "True"
    life.ask("retry", "2", of=candidate)
    life.until(settled("v2"))
    told = [h["event"] for h in life.status["history"] if h["event"] != "Released"]
    assert told == ["Serving", "RolloutStarted", "Aborted", "Retried", "RolloutStarted", "Promoted"]
    assert life.condition("Ready") == "True"


def test_scenario_27_ours_promoting_what_was_aborted_is_refused_and_says_what_to_do() -> None:
    life = shifting(30)
    candidate = life.status["candidate"]["hash"]
    life.ask("abort", "1")
    life.until(settled("v1"))
    life.ask("promote", "2", of=candidate, step=0)
    life.run(60)
    assert settled("v1")(life)
    assert "retry" in life.status["history"][-1]["message"]
    assert life.status["history"][-1]["event"] == "RequestRefused"


def test_scenario_29_a_pause_longer_than_every_deadline_ends_nothing() -> None:
    plan = [{**steps(25)[0], "pause": {"until": "Approved"}, "maxDuration": "30s"}, *steps(100)]
    life = shifting(25, steps=plan, onInconclusive="RollBack")
    life.run(4 * 3600)
    assert (life.status["state"], life.waits_for) == ("Held", "WaitingForApproval")
    assert life.condition("Ready") == "True"
    life.ask("promote", "1")
    life.until(settled("v2"))


def test_scenario_30_ours_scaling_while_paused_scales_both_sides_and_keeps_the_share() -> None:
    life = shifting(25, steps=steps(25, 100))
    life.ask("pause", "1")
    for replicas in (8, 4):
        life.edit_template(replicas=replicas)
        life.run(30)
        assert (len(life.pods("v1")), len(life.pods("v2"))) == (replicas, replicas)
        assert life.weights() == {"v1": 75, "v2": 25}
    assert life.traffic.lost == 0


@pytest.mark.parametrize("weight", [0, 10, 60, 100])
def test_scenario_33_deleted_in_mid_rollout_nothing_is_left_and_nothing_more_is_written(weight: int) -> None:
    life = shifting(weight) if weight else serving()
    life.edit(serve="v2")
    life.run(0.2)
    life.delete()
    written = life.cluster.requests
    life.run(3600)
    assert life.children() == []
    assert life.cluster.requests == written


def test_scenario_33_versions_one_two_three_end_at_three_and_an_edited_plan_is_walked() -> None:
    life = shifting(10)
    life.edit(serve="v4")
    life.until(lambda one: one.weights().get("v4") == 30)
    life.edit_rollout(steps=steps(10, 30, 45, 100))
    life.until(settled("v4"))
    assert weights_of(life, "v4") == [10, 30, 45, 100]


# -- complaints


@pytest.mark.parametrize("weight", [0, 10, 30, 60, 100])
@pytest.mark.parametrize("paused", [False, True])
def test_complaint_9_abort_ends_at_weight_0_from_every_step_and_never_raises_it(weight: int, paused: bool) -> None:
    life = shifting(weight) if weight else serving()
    life.edit(serve="v2")
    life.run(0.2)
    if paused:
        life.ask("pause", "p")
        life.run(1)
    seen = len(life.witness.weights_seen)
    life.ask("abort", "1")
    life.kill_operator()
    life.until(lambda one: one.running() == {"v1"}, 120)
    assert all("v2" not in weights for _, weights in life.witness.weights_seen[seen:])
    rests(life)


def test_complaint_10_abort_with_nothing_in_progress_changes_nothing() -> None:
    life = serving()
    life.ask("abort", "1", of=life.status["stable"]["hash"])
    life.run(60)
    assert settled("v1")(life)
    assert life.status["history"][-1]["event"] == "RequestRefused"
    assert len(life.pods("v1")) == 2


@pytest.mark.parametrize("what", ["never ready", "hung", "lost its pods"])
def test_complaint_12_whatever_a_rollout_waits_for_has_an_end(what: str) -> None:
    if what == "lost its pods":
        life = shifting(30)
        life.behave("v2", Behaviour(never_ready=True))
    else:
        life = serving()
        life.behave("v2", Behaviour(2, never_ready=what == "never ready", hung=what == "hung"))
        life.edit(serve="v2")
    life.until(lambda one: bool(one.status.get("rejected")) and one.running() == {"v1"}, 400)
    assert life.weights() == {"v1": 100}


def test_complaint_13_a_version_that_breaks_right_after_its_promotion_gives_the_traffic_back_and_both_copies_stay_until_then() -> (
    None
):
    life = shifting(100, keepPrevious="10m")
    life.until(lambda one: "Promoted" in one.witness.events)
    life.behave("v2", Behaviour(2, bad={"errors": 0.6}))
    life.until(lambda one: one.weights() == {"v1": 100}, 120)
    assert life.traffic.lost == 0


@pytest.mark.parametrize("waiting", ["WaitingForApproval", "Paused", "MinDuration"])
def test_complaint_19_guardrails_watch_while_it_waits_for_whatever_it_waits_for(waiting: str) -> None:
    least = {"minDuration": "1h"} if waiting == "MinDuration" else {}
    approved = {"pause": {"until": "Approved"}} if waiting == "WaitingForApproval" else {}
    life = shifting(25, steps=[{**steps(25)[0], **least, **approved}, *steps(100)])
    if waiting == "Paused":
        life.ask("pause", "1")
    life.until(lambda one: one.waits_for == waiting, 120)
    life.run(30)
    life.behave("v2", Behaviour(2, bad={"errors": 0.6}))
    life.until(lambda one: bool(one.status.get("rejected")), 120)
    life.until(settled("v1"), 120)


def test_complaint_21_twenty_edits_in_a_minute_leave_two_revisions_at_most() -> None:
    life = serving()
    most = 0
    for seed in range(20):
        life.edit_template(engine={**life.spec["template"]["engine"], "args": ["--seed", str(seed)]})
        life.run(3)
        most = max(most, len([c for c in life.children() if c[0] == "Deployment"]))
    life.until(
        lambda one: "candidate" not in one.status and "draining" not in one.status and "previous" not in one.status
    )
    assert len([c for c in life.children() if c[0] == "ControllerRevision"]) == 1
    assert most <= 10  # drains of 20 s overlap, one revision every 3 s
    rests(life)
