"""What people ask for in the middle of a life: pause, resume, retry, and requests that come too late."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from sim.world import Behaviour, World, manifest, settled, since
from solera.api.scalars import format_time, parse_time

BAD = Behaviour(bad={"errors": 0.5})


def serving(**rollout: Any) -> World:
    world = World(manifest(**rollout), requests_per_second=10)
    world.until(settled("v1"), 60)
    return world


def shifting(weight: int = 30, **rollout: Any) -> World:
    world = serving(**rollout)
    world.edit(serve="v2")
    world.until(lambda w: w.weights().get("v2", 0) >= weight, 300)
    return world


def ask(world: World, verb: str, nonce: str = "1", *, by: str | None = None, of: str | None = None) -> str:
    """The request goes out, and the operator's answer comes back."""
    text = f"{verb}@{of or world.status['candidate']['hash']}/{world.status['rollout'].get('step', 0)}#{nonce}"
    world.annotations = {"solera.dev/request": text} | ({"solera.dev/requested-by": f"{text} {by}"} if by else {})
    world.run(1)
    assert world.status["lastHandledRequest"] == text
    answers = {"RequestRefused", "Approved", "Aborted", "Paused", "Resumed", "Retried"}
    return next(h["message"] for h in reversed(world.status["history"]) if h["event"] in answers)


def reason(world: World) -> str:
    return world.status["rollout"]["reason"]


def test_a_pause_holds_weight_and_step_and_outlives_the_operator() -> None:
    world = shifting(30)
    step = world.status["rollout"]["step"]
    assert ask(world, "pause", by="alice@example.com") == "v2 is paused at step 2 of 4 (30%) by alice@example.com"
    for _ in range(10):
        world.run(60)
        world.ledger, world.answered, world.measure = None, set(), ()  # the operator starts anew
        assert world.weights() == {"v1": 70, "v2": 30}
        assert world.status["rollout"]["step"] == step
    assert (world.status["state"], reason(world)) == ("Held", "Paused")
    assert world.status["rollout"]["pausedBy"] == "alice@example.com"
    at = world.status["rollout"]["pausedAt"]
    assert world.status["rollout"]["message"] == f"step 2 of 4 (30%) is paused since {at} by alice@example.com"
    assert world.status["next"] == "60% to v2 after kubectl solera resume chat"
    assert world.condition("Ready") == "True"
    assert world.reason("RolloutComplete") == "Paused"
    assert ask(world, "resume", "2") == "v2 goes on after a pause of 10m1s"
    assert "pausedAt" not in world.status["rollout"]
    world.until(settled("v2"))
    assert world.lost == 0


def test_paused_time_does_not_count_for_the_least_time_of_a_step() -> None:
    steps = [{"weight": 10, "minDuration": "100s", "minRequests": 1}, {"weight": 100, "minDuration": "1s"}]
    world = shifting(10, steps=steps)
    world.run(30)
    started = world.status["rollout"]["stepStartedAt"]
    ask(world, "pause")
    world.run(300)
    ask(world, "resume", "2")
    ask(world, "pause", "3")
    world.run(500)
    ask(world, "resume", "4")
    assert world.status["rollout"]["stepStartedAt"] == started
    ready = parse_time(started) + timedelta(seconds=100 + 301 + 501)
    assert reason(world) == "MinDuration"
    assert abs(since(world, world.status["nextAt"]) + (ready - world.now).total_seconds()) <= 2
    world.until(lambda w: w.weights() == {"v2": 100})
    assert 0 <= (world.now - ready).total_seconds() <= 5


@pytest.mark.parametrize("at_end", ["Hold", "RollBack"])
def test_paused_time_makes_no_step_inconclusive(at_end: str) -> None:
    steps = [{"weight": 10, "minDuration": "1s", "maxDuration": "60s", "minRequests": 100_000}, {"weight": 100}]
    world = shifting(10, steps=steps, onInconclusive=at_end)
    world.run(20)
    ask(world, "pause")
    world.run(600)
    assert reason(world) == "Paused"
    assert world.weights()["v2"] == 10
    ask(world, "resume", "2")
    world.run(30)
    assert reason(world) == "TooFewRequests"
    world.run(20)
    assert reason(world) == ("Inconclusive" if at_end == "Hold" else "RolledBack")


def test_a_guardrail_that_fails_during_a_pause_rolls_back_and_ends_the_pause() -> None:
    world = shifting(30)
    ask(world, "pause")
    world.run(30)
    assert world.weights()["v2"] == 30
    world.behaviours["v2"] = BAD
    world.until(lambda w: w.weights() == {"v1": 100} and w.running() == {"v1"})
    assert world.status["rejected"][0]["version"] == "v2"
    assert "pausedAt" not in world.status["rollout"]
    assert reason(world) == "RolledBack"
    assert [g["verdict"] for g in world.status["guardrails"]] == ["Fail"]


def test_a_pause_before_the_first_step_gives_no_request_and_lets_pods_come() -> None:
    world = serving()
    world.behaviours["v2"] = Behaviour(start=40)
    world.edit(serve="v2")
    world.run(3)
    assert ask(world, "pause") == "v2 is paused before its first step"
    world.run(3)
    assert "0 of 2 pods of v2 are ready" in world.status["rollout"]["message"]
    assert world.status["next"] == "10% to v2 after kubectl solera resume chat"
    world.run(600)
    assert world.weights() == {"v1": 100}
    assert world.running() == {"v1", "v2"}
    ask(world, "resume", "2")
    world.until(settled("v2"))


def test_the_time_to_start_up_does_not_run_during_a_pause() -> None:
    world = serving()
    world.behaviours["v2"] = Behaviour(never_ready=True)
    world.edit(serve="v2")
    world.run(60)
    ask(world, "pause")
    world.run(600)
    ask(world, "resume", "2")
    world.run(50)
    assert world.status.get("candidate") is not None
    world.run(20)
    assert "no answer within startupTimeout" in world.status["rejected"][0]["reason"]


def test_weight_that_a_candidate_lost_during_a_pause_comes_back_only_after_it() -> None:
    world = shifting(30)
    ask(world, "pause")
    for pod in world.pods.values():
        pod.dead = pod.version == "v2"
    world.run(2)
    assert world.weights() == {"v1": 100}
    world.run(300)  # longer than startupTimeout
    assert world.weights() == {"v1": 100}
    assert world.status["state"] == "Held"
    ask(world, "resume", "2")
    world.run(2)
    assert world.weights()["v2"] == 30
    world.until(settled("v2"))


def test_a_pause_at_100_percent_keeps_stable_until_it_goes_on() -> None:
    world = shifting(100)
    ask(world, "pause")
    world.run(300)
    assert world.running() == {"v1", "v2"}
    assert world.status["stable"]["version"] == "v1"
    assert world.status["next"] == "v2 becomes stable after kubectl solera resume chat"
    ask(world, "resume", "2")
    world.until(settled("v2"))


def test_lighter_steps_are_obeyed_during_a_pause_and_heavier_ones_after_it() -> None:
    world = shifting(60)
    ask(world, "pause")
    steps = [{"weight": w, "minDuration": "10s", "minRequests": 20} for w in (20, 80, 100)]
    world.edit(rollout={**world.spec["rollout"], "steps": steps})
    world.run(100)
    assert world.weights()["v2"] == 20
    ask(world, "resume", "2")
    world.until(settled("v2"))


def test_approving_and_aborting_count_during_a_pause() -> None:
    steps = [{"weight": 50, "minDuration": "5s", "pause": {"until": "Approved"}}, {"weight": 100, "minDuration": "5s"}]
    world = shifting(50, steps=steps)
    world.until(lambda w: reason(w) == "WaitingForApproval")
    ask(world, "pause")
    said = ask(world, "promote", "2", by="bob")
    assert said == "step 1 of v2 is approved by bob; it counts when the rollout goes on, which is paused"
    world.run(60)
    assert world.weights()["v2"] == 50
    ask(world, "resume", "3")
    world.until(settled("v2"))

    world = shifting(30)
    ask(world, "pause")
    assert ask(world, "abort", "2", by="bob") == "v2 was aborted by bob"
    world.until(lambda w: w.running() == {"v1"})
    assert "pausedAt" not in world.status["rollout"]


def test_an_edit_of_serve_ends_a_paused_rollout_and_the_next_is_not_paused() -> None:
    world = shifting(30)
    ask(world, "pause")
    world.edit(serve="v4")
    world.until(settled("v4"))
    assert world.status.get("rejected") is None


def test_a_retirement_that_waits_for_a_paused_rollout_says_so() -> None:
    world = shifting(30)
    ask(world, "pause")
    life = {"retiresAt": format_time(world.now + timedelta(seconds=30)), "successor": "v2"}
    world.edit(versions=[{**v, "lifecycle": life} if v["name"] == "v1" else v for v in world.spec["versions"]])
    world.run(60)
    assert world.condition("RetirementOverdue") == "True"
    overdue = next(c for c in world.status["conditions"] if c["type"] == "RetirementOverdue")
    assert overdue["message"].endswith("and keeps serving: the rollout to v2 is paused")


# -- retry


def rolled_back() -> World:
    world = serving()
    world.behaviours["v2"] = BAD
    world.edit(serve="v2")
    world.until(lambda w: w.status.get("rejected") and w.running() == {"v1"})
    world.run(60)
    assert world.weights() == {"v1": 100}
    return world


def test_a_retry_starts_anew_with_evidence_from_zero() -> None:
    world = rolled_back()
    before, wanted = world.status["rollout"]["id"], world.status["rejected"][0]["hash"]
    world.behaviours.clear()
    steps_before = len(world.steps_seen)
    assert ask(world, "retry", of=wanted, by="carol") == f"v2 ({wanted}) is let in anew, asked for by carol"
    assert world.status.get("rejected") is None
    world.until(lambda w: w.weights().get("v2") == 60)
    assert world.status["rollout"]["id"] != before
    assert world.status["guardrails"][0]["bad"] == 0
    world.until(settled("v2"))
    assert [s[2] for s in world.steps_seen[steps_before:]] == [10, 30, 60, 100]


def test_a_retry_while_it_still_drains_counts_nothing_of_before() -> None:
    world = serving()
    world.behaviours["v2"] = BAD
    world.edit(serve="v2")
    world.until(lambda w: bool(w.status.get("rejected")))
    assert "v2" in world.running()
    world.behaviours.clear()
    old = next(p for p in world.pods.values() if p.version == "v2")
    assert old.bad["errors"] > 0
    ask(world, "retry", of=world.status["rejected"][0]["hash"])
    world.until(lambda w: (w.status.get("guardrails") or [{}])[0].get("samples", 0) > 20)
    assert old.uid in world.pods
    assert world.status["guardrails"][0]["bad"] == 0
    world.until(settled("v2"))


def test_a_retry_of_what_was_rolled_back_after_its_promotion() -> None:
    world = serving(keepPrevious="120s")
    world.edit(serve="v2")
    world.until(lambda w: w.status["stable"]["version"] == "v2")
    world.behaviours["v2"] = BAD
    world.until(lambda w: w.status["stable"]["version"] == "v1" and w.running() == {"v1"})
    world.behaviours.clear()
    ask(world, "retry", of=world.status["rejected"][0]["hash"])
    world.until(settled("v2"))


def test_a_retry_in_the_second_in_which_its_rollout_began_is_another_rollout() -> None:
    world = shifting(30)
    candidate, first = world.status["candidate"]["hash"], world.status["rollout"]["id"]
    began = parse_time(world.status["rollout"]["startedAt"])
    world.now = began
    for verb in ("abort", "retry"):
        world.request(f"{verb}@{candidate}/1#{verb}")
        world.reconcile()
    assert world.status["rollout"]["id"] not in {first, ""}
    assert world.status["candidate"]["hash"] == candidate


REFUSALS = {
    "nothing was rolled back": (
        serving,
        "retry",
        "7777777b",
        "retry: 7777777b was not rolled back, so there is nothing to retry: no rollout is in progress, v1 ({v1}) carries the traffic",
    ),
    "it is being let in": (
        lambda: shifting(10),
        "retry",
        "{candidate}",
        "retry: v2 ({candidate}) is being let in already",
    ),
    "another is being let in": (
        lambda: shifting(10),
        "abort",
        "7777777b",
        "abort: 7777777b is not the candidate: v2 ({candidate}) is; look again and repeat",
    ),
    "not paused": (lambda: shifting(10), "resume", "{candidate}", "resume: the rollout of v2 is not paused"),
    "nothing in progress": (
        serving,
        "pause",
        "7777777b",
        "pause: 7777777b is not the candidate: no rollout is in progress, v1 ({v1}) carries the traffic",
    ),
}


@pytest.mark.parametrize("case", REFUSALS.values(), ids=REFUSALS)
def test_what_cannot_be_done_is_refused_with_how_things_stand(case: Any) -> None:
    make, verb, of, words = case
    world = make()
    names = {"v1": world.status["stable"]["hash"], "candidate": (world.status.get("candidate") or {}).get("hash")}
    before = world.weights()
    text = f"{verb}@{of.format(**names)}/0#1"
    world.request(text)
    world.reconcile()
    assert world.status["history"][-1]["event"] == "RequestRefused"
    assert world.status["history"][-1]["message"] == words.format(**names)
    assert world.status["lastHandledRequest"] == text
    assert world.weights() == before


def test_a_second_pause_is_refused_and_a_second_click_is_answered_again() -> None:
    world = shifting(30)
    ask(world, "pause", by="alice")
    at = world.status["rollout"]["pausedAt"]
    assert ask(world, "pause", "2") == f"pause: v2 is paused since {at} by alice already"
    assert ask(world, "pause", "3") == f"pause: v2 is paused since {at} by alice already"
    assert world.status["rollout"]["pausedAt"] == at


def test_verbs_while_it_is_rolled_back_say_that() -> None:
    world = shifting(30)
    candidate = world.status["candidate"]["hash"]
    ask(world, "abort")
    said = ask(world, "pause", "2", of=candidate)
    assert said == f"pause: {candidate} is not the candidate: v2 has no requests any more and drains"
    world.until(lambda w: "draining" not in w.status)
    said = ask(world, "resume", "3", of=candidate)
    at = world.status["rejected"][0]["at"]
    tail = f"v2 was rolled back at {at}; kubectl solera retry chat tries it again"
    assert said == f"resume: {candidate} is not the candidate: {tail}"


def test_a_retry_of_what_the_spec_no_longer_asks_for_is_refused() -> None:
    world = rolled_back()
    wanted = world.status["rejected"][0]["hash"]
    world.edit(serve="v1")
    world.run(5)
    v1 = world.status["stable"]["hash"]
    said = ask(world, "retry", of=wanted)
    assert said == f"retry: the spec asks for v1 ({v1}) now, not for v2 ({wanted}): name it in spec.serve first"
    assert world.status["rejected"][0]["hash"] == wanted


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("write", range(1, 5))
def test_killed_around_a_pause_and_a_resume_it_ends_the_same(write: int, after: bool) -> None:
    world = shifting(30)
    candidate = world.status["candidate"]["hash"]
    for verb in ("pause", "resume"):
        world.crash_at_write, world.crash_after_answer = world.counter + write, after
        world.request(f"{verb}@{candidate}/1#{verb}")
        world.run(40)
        assert world.status["lastHandledRequest"] == f"{verb}@{candidate}/1#{verb}"
        if verb == "pause":
            assert world.weights()["v2"] == 30
        told = [h["event"] for h in world.status["history"]]
        assert told.count("Paused") == 1
    world.until(settled("v2"))
    assert [h["event"] for h in world.status["history"]].count("Resumed") == 1
