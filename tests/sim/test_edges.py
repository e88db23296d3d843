"""What lives by chance and readers of the code have found, each once more by name."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from sim.ends import phase
from sim.life import Life, manifest, settled
from sim.timeline import START
from sim.traffic import Behaviour
from solera.api.scalars import format_time


def shifting(weight: int = 30, **rollout: Any) -> Life:
    life = Life(manifest(**rollout))
    life.until(settled("v1"), 60)
    life.edit(serve="v2")
    life.until(lambda one: one.weights().get("v2", 0) >= weight, 300)
    return life


def test_a_spec_that_cannot_be_read_does_not_keep_status_from_telling_the_weights_that_are() -> None:
    life = shifting(30)
    life.edit_rollout(steps=[{"weight": 50}, {"weight": 20}])
    life.run(1)
    assert life.reason("Stalled") == "InvalidSpec"
    for weights in ({"v1": 50, "v2": 50}, {"v1": 100}):
        backends = [b for b in life.route["spec"]["rules"][0]["backendRefs"] if life.version_of(b["name"]) in weights]
        rule = {"backendRefs": [{**b, "weight": weights[life.version_of(b["name"])]} for b in backends]}
        life.cluster.edit("HTTPRoute", "ml", "chat", lambda route, rule=rule: route["spec"].update(rules=[rule]))
        life.run(1)
        assert {w["version"]: w["weight"] for w in life.status["weights"]} == weights
        assert life.status["weight"] == weights.get("v2", 0)


def test_what_was_made_for_an_owner_that_is_gone_does_not_keep_the_next_one_from_serving() -> None:
    life = Life(manifest())
    life.until(settled("v1"), 60)
    life.cluster.lag = 10.0
    life.edit_template(replicas=3)
    life.run(9.9)
    spec = life.spec
    life.delete()
    life.create(spec)
    life.cluster.lag = 0.0
    life.until(settled("v1"), 300)
    assert len(life.pods("v1")) == 3


def test_an_operator_whose_clock_is_ahead_buries_nobody_early_and_is_there_on_the_date() -> None:
    life = Life(manifest())
    life.until(settled("v1"), 60)
    life.timeline.set_clock(600.0)
    life.kill_operator()
    life.run(5)
    life.timeline.set_clock(0.0)
    life.run(5)
    date = life.timeline.t + 200
    at = format_time(START + timedelta(seconds=date))
    life.edit_version("v1", lifecycle={"retiresAt": at, "successor": "v2", "migrateBefore": "150s"})
    life.until(settled("v2"), 190)
    life.run(date - life.timeline.t - 1.0)
    assert phase(life, "v1") == "ClosedToNew"
    life.until(lambda one: phase(one, "v1") == "Retired", 5)


def failing_later(share: float = 0.3) -> Life:
    life = shifting(10)
    life.behave("v2", Behaviour(2.0, bad={"errors": share}))
    return life


def refuse_deployments(life: Life) -> None:
    """A policy forbids what an edit asks of them."""
    life.faults.refused = {"Deployment"}
    life.edit_template(nodeSelector={"accelerator": "l40s"})


def put_back(life: Life, route: dict[str, Any] | None) -> None:
    """Another hand writes the backends of a former route."""
    assert route is not None
    life.cluster.edit("HTTPRoute", "ml", "chat", lambda live: live["spec"].update(rules=route["spec"]["rules"]))


def test_a_rollback_reaches_the_route_although_a_deployment_is_refused() -> None:
    life = failing_later()
    refuse_deployments(life)
    life.until(lambda one: one.weights() == {"v1": 100}, 120)
    life.run(30)
    assert life.reason("Stalled") == "Refused"
    life.faults.refused = set()
    life.until(lambda one: one.running() == {"v1"} and one.reason("Stalled") == "RolledBack", 120)


def test_a_candidate_gets_no_more_weight_while_a_deployment_is_refused() -> None:
    life = shifting(10)
    refuse_deployments(life)
    life.run(300)
    assert life.weights() == {"v1": 90, "v2": 10}
    assert life.reason("Stalled") == "Refused"
    life.faults.refused = set()
    life.until(settled("v2"), 300)


def test_a_rollback_does_not_wait_for_evidence_that_may_not_be_written() -> None:
    life = failing_later()
    life.faults.refused = {"RolloutRecord"}
    life.until(lambda one: one.weights() == {"v1": 100}, 120)
    life.until(lambda one: one.running() == {"v1"}, 120)


def test_a_drain_begins_anew_for_a_revision_that_another_hand_has_put_back() -> None:
    life = shifting(60)
    before = life.route
    life.edit(serve="v1")
    life.until(lambda one: one.weights() == {"v1": 100}, 60)
    life.run(18)
    put_back(life, before)
    life.until(lambda one: one.weights() == {"v1": 100}, 5)
    again = life.timeline.t
    life.until(lambda one: one.running() == {"v1"}, 120)
    assert life.timeline.t >= again + 20, "the drain of 20 s began with the last request"


def test_an_old_version_that_another_hand_has_put_back_gets_its_drain_time() -> None:
    life = shifting(60)
    before = life.route
    life.until(lambda one: one.weights() == {"v2": 100} and "previous" in one.status, 120)
    life.run(25)
    put_back(life, before)
    life.until(lambda one: one.weights() == {"v2": 100}, 5)
    again = life.timeline.t
    life.until(lambda one: one.running() == {"v2"}, 120)
    assert life.timeline.t >= again + 20


def test_a_drain_that_begins_anew_is_written_down_also_while_a_child_is_refused() -> None:
    life = shifting(60)
    before = life.route
    life.edit(serve="v1")
    life.until(lambda one: one.weights() == {"v1": 100}, 60)
    life.run(10)
    refuse_deployments(life)
    life.run(5)
    put_back(life, before)
    life.until(lambda one: one.weights() == {"v1": 100}, 90)


def test_a_route_that_is_gone_comes_back_although_a_deployment_is_refused() -> None:
    life = shifting(10)
    refuse_deployments(life)
    life.run(5)
    life.cluster.remove("HTTPRoute", "ml", "chat", collect=False)
    life.until(lambda one: one.weights() == {"v1": 90, "v2": 10}, 90)


def test_a_request_that_is_too_long_is_refused_once_and_stops_nothing() -> None:
    life = failing_later()
    text = "promote@" + "x" * 400
    life.cluster.edit(
        "LLMDeployment", "ml", "chat", lambda o: o["metadata"].update(annotations={"solera.dev/request": text})
    )
    life.until(lambda one: one.weights() == {"v1": 100}, 120)
    life.run(60)
    assert [h["event"] for h in life.status["history"]].count("RequestRefused") == 1
    assert life.errors == []


def test_a_date_by_mistake_buries_no_version_that_never_served() -> None:
    life = Life(manifest(), {"v2": Behaviour(2.0, never_ready=True)})
    life.until(settled("v1"), 60)
    life.edit(serve="v2")
    life.run(10)
    past, later = (format_time(START + timedelta(seconds=s)) for s in (-86400, 86400 * 365))
    life.edit_version("v2", lifecycle={"retiresAt": past})
    life.until(lambda one: one.running() == {"v1"}, 120)
    life.run(60)
    life.behave("v2", Behaviour(2.0))
    life.edit_version("v2", lifecycle={"retiresAt": later})
    life.until(settled("v2"), 300)


def test_a_date_that_is_declared_while_a_version_is_kept_warm_counts() -> None:
    life = Life(manifest(keepPrevious="24h"))
    life.until(settled("v1"), 60)
    life.edit(serve="v2")
    life.until(lambda one: "previous" in one.status, 300)
    date = life.timeline.t + 100
    life.edit_version("v1", lifecycle={"retiresAt": format_time(START + timedelta(seconds=date))})
    life.until(lambda one: phase(one, "v1") == "Retired", 130)
    assert life.running() == {"v2"}
    assert life.timeline.t >= date


def test_a_pause_does_not_shorten_a_step_that_the_gateway_took_over_late() -> None:
    life = Life(manifest(steps=[{"weight": 30, "minDuration": "100s", "minRequests": 10}, {"weight": 100}]))
    life.until(settled("v1"), 60)
    life.cluster.gateway_delay = 60.0
    life.edit(serve="v2")
    life.until(lambda one: len(one.cluster.in_force) == 2, 300)
    begun = life.timeline.t
    life.cluster.gateway_delay = 0.0
    life.run(5)
    life.ask("pause")
    life.run(60)
    life.ask("resume")
    life.until(lambda one: one.weights() == {"v2": 100}, 300)
    assert life.timeline.t >= begun + 160


@pytest.mark.parametrize("kept", ["30s", "65s"])
def test_an_old_version_that_was_put_back_drains_from_when_a_slow_gateway_lets_it_go(kept: str) -> None:
    life = shifting(60, keepPrevious=kept)
    before = life.route
    life.until(lambda one: one.weights() == {"v2": 100} and "previous" in one.status, 120)
    life.run(10)
    life.cluster.lag = 2.0
    put_back(life, before)
    life.run(1)
    life.cluster.lag, life.cluster.gateway_delay = 0.0, 40.0
    life.until(lambda one: one.running() == {"v2"}, 300)


@pytest.mark.parametrize("when", ["before its date", "in its drain"])
def test_a_version_that_leaves_the_manifest_retires_on_its_date_all_the_same(when: str) -> None:
    spec = manifest(keepPrevious="5s")
    spec["versions"][0]["lifecycle"] = {
        "retiresAt": format_time(START + timedelta(seconds=600)),
        "migrateBefore": "400s",
        "successor": "v2",
    }
    life = Life(spec, {})
    life.until(settled("v1"), 60)
    if when == "before its date":
        life.until(settled("v2"), 590)
    else:
        life.until(lambda one: one.status.get("draining"), 590)
    life.edit(serve="v2", versions=life.spec["versions"][1:])
    life.run(700)
    assert phase(life, "v1") == "Retired"
    assert life.running() == {"v2"}
