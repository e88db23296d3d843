from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import Any

import pytest
from scrapes import CANDIDATE, STABLE, Process, at, ledger, stable

from solera.plan.evidence import Ledger, absorb, from_record, to_record
from solera.plan.guardrail import GuardrailSpec
from solera.plan.intervals import bets_on, limits_of, risk_of, rollback_level, spread_of
from solera.plan.showing import Evidence, Levels, worse_than_stable
from solera.stats.interval_bets import Bets

KEY = ("engine", "errors")
LEVEL = rollback_level(0.05, 1)


def life(looks: int, each: float, limits: dict[str, float] | None, *, record: bool = False, seed: int = 0) -> Ledger:
    of, new, old, rng = ledger(), Process(), stable(), random.Random(seed)
    for look in range(looks):
        for pod in (new, old):
            total = rng.randrange(20)
            pod.serve(total, sum(rng.random() < 0.1 for _ in range(total)))
        now = 2 + each * look
        of = absorb(of, [new.read(now), old.read(now)], step=look // 20, now=at(now), limits=limits)
        if record:
            of = from_record(to_record(of))
    return of


def test_looks_within_an_interval_are_one_piece_of_evidence() -> None:
    of, pod, bets = ledger(), Process(), Bets(0.01)
    for second in range(1, 21):
        pod.serve(10, second % 3 == 0)
        of = absorb(of, [pod.read(second)], step=0, now=at(second), limits={"errors": 0.01})
    assert of.gathered == {}
    for bad in (1, 2, 2, 1):  # seconds 1-5, 6-10, 11-15, 16-20
        bets = bets.add(bad, 50)
    assert of.bets[KEY] == bets
    assert spread_of(of, "engine", CANDIDATE, "errors").bad == 6
    assert spread_of(of, "engine", CANDIDATE, "errors").squares == 4 * 50**2


def test_an_interval_ends_by_the_clock_also_without_requests() -> None:
    pod = Process()
    pod.serve(10, 5)
    of = absorb(ledger(), [pod.read(1)], step=0, now=at(1), limits={"errors": 0.01})
    assert of.gathered
    assert not of.bets
    of = absorb(of, [], step=0, now=at(6), limits={"errors": 0.01})
    assert not of.gathered
    assert of.bets[KEY] == Bets(0.01).add(5, 10)


def test_a_look_that_is_longer_than_an_interval_is_one() -> None:
    of = life(10, 15.0, {"errors": 0.05})
    assert not of.gathered
    assert spread_of(of, "engine", STABLE, "errors").total == of.total("engine", STABLE, "errors").total


@pytest.mark.parametrize("each", [1.0, 2.5, 7.0])
def test_bets_made_anew_are_those_that_were_kept(each: float) -> None:
    kept, none = life(60, each, {"errors": 0.05}), life(60, each, None)
    assert none.bets == {}
    assert bets_on(kept, *KEY, 0.05, LEVEL) is kept.bets[KEY]
    assert bets_on(none, *KEY, 0.05, LEVEL) == kept.bets[KEY]


def test_an_edited_limit_is_bet_on_from_the_first_slice_on() -> None:
    of = life(60, 1.0, {"errors": 0.05})
    assert bets_on(of, *KEY, 0.02, LEVEL) == bets_on(life(60, 1.0, {"errors": 0.02}), *KEY, 0.02, LEVEL)
    more = absorb(of, [], step=3, now=at(70), limits={"errors": 0.02})
    assert more.bets[KEY].limit == 0.02


def test_an_operator_that_restarts_at_every_look_ends_with_the_same_evidence() -> None:
    limits = {"errors": 0.05, "ttft": 0.1}
    assert life(60, 1.3, limits, record=True) == life(60, 1.3, limits)


def test_a_record_without_intervals_is_counted_from_its_slices() -> None:
    of = life(60, 1.0, {"errors": 0.05})
    old = {key: value for key, value in to_record(of).items() if key != "intervals"}
    read = from_record(old)
    assert bets_on(read, *KEY, 0.05, LEVEL) == of.bets[KEY]
    assert read.spreads == of.spreads
    assert replace(read, spreads={}) == replace(of, spreads={}, bets={}, gathered={}, gathered_since=None)


@pytest.mark.parametrize(
    "damage",
    [
        {"bets": [["engine", "errors", 0.05, 0.5, 1.0, 1.0]]},
        {"bets": [["engine", "errors", 2.0, 0.5, 1.0, 3.0, 0.0, *[0] * 10]]},
        {"bets": [["engine", "errors", 0.05, 0.0, 1.0, 3.0, 0.0, *[0] * 10]]},
        {"bets": [["engine", "errors", 0.05, 0.5, 1.0, 3.0, 0.0, *[0] * 9]]},
        {"spreads": [["engine", "candidate", "errors", -1, 5, 0, 0]]},
        {"gathered": [["engine", "candidate", "errors", 1, 5]]},
    ],
)
def test_intervals_changed_by_hand_are_refused(damage: dict[str, Any]) -> None:
    record = to_record(life(60, 1.3, {"errors": 0.05}))
    record["intervals"] |= damage
    with pytest.raises(Exception, match="delete it to start the evidence anew"):
        from_record(record)


@pytest.mark.parametrize(
    ("spec", "limits"),
    [
        ({}, {}),
        ({"rollout": None}, {}),
        ({"rollout": {"guardrails": [{"name": "a", "limit": "1%"}, {"name": "b"}]}}, {"a": 0.01}),
        ({"rollout": {"guardrails": [{"name": "a", "limit": "nonsense"}, {"limit": "1%"}, "text", None]}}, {}),
        ({"rollout": {"guardrails": [{"name": "a", "limit": "0%"}, {"name": "b", "limit": "100%"}]}}, {}),
    ],
)
def test_limits_are_read_from_a_raw_spec(spec: dict[str, Any], limits: dict[str, float]) -> None:
    assert limits_of(spec) == limits


def test_another_level_is_tested_from_then_on() -> None:
    limits, higher = {"errors": 0.05}, rollback_level(0.01, 1)
    of = life(60, 1.0, limits)
    more = absorb(of, [], step=3, now=at(70), limits=limits, risk=0.01)
    assert of.bets[KEY].level == LEVEL
    assert more.bets[KEY].level == higher
    assert bets_on(of, *KEY, 0.05, higher).log_e == of.bets[KEY].log_e


@pytest.mark.parametrize(
    ("rollout", "risk"),
    [
        ({}, 0.05),
        (None, 0.05),
        ("text", 0.05),
        ({"risk": {"falseRollback": "2%"}}, 0.02),
        ({"risk": {"falseRollback": "nonsense"}, "guardrails": "text"}, 0.05),
        ({"risk": {"falseRollback": "0%"}}, 0.05),
        ({"guardrails": [{"limit": "1%"}, {"limit": "1%", "comparedToStable": {"maxRatio": "1.5"}}]}, 0.05 / 3),
        ({"guardrails": [{"limit": "1%"}, {"limit": "1%", "action": "Observe"}, None]}, 0.05),
    ],
)
def test_the_risk_of_one_test_is_read_from_a_raw_spec(rollout: Any, risk: float) -> None:
    assert risk_of({"rollout": rollout}) == pytest.approx(risk)


def test_a_burst_in_the_interval_in_progress_is_known_for_one_at_every_look() -> None:
    """Both arms keep the ratio of 2; the candidate fails by eight at a time, once in the first interval."""
    new, old = Process(), stable()
    of = absorb(ledger(), [old.read(0.5)], step=0, now=at(0.5), limits={})
    spec = GuardrailSpec("errors", "ErrorRate", None, None, 2.0, False, "RollBack")
    for second in range(1, 6):
        old.serve(320, 3)
        new.serve(16, 8 * (second == 3))
        of = absorb(of, [old.read(second), new.read(second)], step=0, now=at(second), limits={})
        evidence = Evidence(spec, of, "engine", Levels(math.log(20), math.log(20)))
        assert evidence.size > 6  # assumed, and then seen
        assert not worse_than_stable(evidence, 2.0)
    assert of.pairings["engine", "errors"].profile.log_e_above(2.0) > math.log(20)  # one by one it would be
