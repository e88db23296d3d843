"""When silence means that requests went in and none came out, and when it does not."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from solera.plan.evidence import new_ledger
from solera.plan.silence import LEAST, hung, silence
from solera.plan.types import ObservedPod, ObservedRevision
from unit.plan.scrapes import CANDIDATE, STABLE, T0, Process, Traffic, at


def silent(traffic: Traffic, weight: int = 20, since: float = 0.0):
    return silence(traffic.ledger, ["errors"], weight, at(since))


def test_a_candidate_that_answers_is_not_silent() -> None:
    traffic = Traffic()
    for _ in range(20):
        traffic.run((10, 0.0), (40, 0.0))
        assert silent(traffic) is None


def test_no_answer_while_ten_were_due_is_silence() -> None:
    traffic = Traffic()
    traffic.run((10, 0.0), (40, 0.0))
    traffic.run((0, 0.0), (40, 0.0))  # 10 were due, but 5 seconds are none
    assert silent(traffic) is None
    traffic.run((0, 0.0), (40, 0.0))
    found = silent(traffic)
    assert found is not None
    assert found.lasted == timedelta(seconds=10)
    assert found.due == pytest.approx(20)
    assert found.period == LEAST


def test_little_traffic_takes_longer_and_the_pods_are_asked_as_seldom() -> None:
    traffic = Traffic()
    traffic.run((1, 0.0), (4, 0.0))
    for _ in range(9):  # every 5 seconds 4 at stable: one was due
        traffic.run((0, 0.0), (4, 0.0))
        assert silent(traffic) is None
    traffic.run((0, 0.0), (4, 0.0))
    found = silent(traffic)
    assert found is not None
    assert found.period == timedelta(seconds=50)


def test_silence_on_both_sides_is_no_traffic() -> None:
    traffic = Traffic()
    traffic.run((10, 0.0), (40, 0.0))
    for _ in range(50):
        traffic.run((0, 0.0), (0, 0.0))
    assert silent(traffic) is None


def test_a_candidate_that_never_answered_is_silent_from_the_begin_of_the_step() -> None:
    traffic = Traffic()
    for _ in range(10):
        traffic.run((0, 0.0), (40, 0.0), step=-1)  # before its first weight
    began = traffic.seconds
    traffic.run((0, 0.0), (40, 0.0))
    assert silent(traffic, since=began) is None
    traffic.run((0, 0.0), (40, 0.0))
    found = silent(traffic, since=began)
    assert found is not None
    assert found.due == pytest.approx(20)


def test_a_candidate_owes_nothing_for_the_time_without_its_pods() -> None:
    traffic = Traffic()
    traffic.run((10, 0.0), (40, 0.0))
    for _ in range(6):  # stable has all requests
        traffic.run((0, 0.0), (50, 0.0), step=-1)
    back = traffic.seconds
    for _ in range(2):
        assert silent(traffic, since=back) is None
        traffic.run((0, 0.0), (40, 0.0))
    found = silent(traffic, since=back)
    assert found is not None
    assert found.lasted == timedelta(seconds=10)
    assert found.due == pytest.approx(20)


def test_clients_that_left_are_no_answers() -> None:
    traffic = Traffic()
    traffic.run((10, 0.0), (40, 0.0))
    for _ in range(2):
        traffic.new.counters[""][0] += 10  # all requests count them, those with an answer do not
        traffic.run((0, 0.0), (40, 0.0))
    assert silence(traffic.ledger, [], 20, T0) is None
    assert silent(traffic) is not None


def test_at_full_weight_the_traffic_before_tells_what_was_due() -> None:
    traffic = Traffic()
    for _ in range(12):
        traffic.run((50, 0.0))
    traffic.run((0, 0.0))
    traffic.run((0, 0.0))
    found = silent(traffic, weight=100)
    assert found is not None
    assert found.due == pytest.approx(600 * 10 / 75)


def test_a_source_that_is_not_read_says_nothing() -> None:
    traffic = Traffic()
    traffic.run((10, 0.0), (40, 0.0))
    ledger = replace(traffic.ledger, now=at(traffic.seconds + 600))
    assert silence(ledger, ["errors"], 20, T0) is None
    assert silence(new_ledger("r1", STABLE, CANDIDATE, T0), ["errors"], 20, T0) is None


def test_a_gateway_has_no_series_of_a_backend_before_its_first_answer() -> None:
    traffic = Traffic(old=Process(STABLE, "gw/a", -60.0, "gateway"), new=Process(CANDIDATE, "pod-1", source="other"))
    ledger = traffic.ledger
    ledger = replace(ledger, totals={s: c for s, c in ledger.totals.items() if s[1] == STABLE})
    traffic.ledger = replace(ledger, read_at={s: r for s, r in ledger.read_at.items() if s[1] == STABLE})
    for seconds in (10.0, 15.0, 20.0):
        traffic.old.serve(40)
        traffic.ledger = _absorbed(traffic, seconds)
    found = silent(traffic)
    assert found is not None
    assert found.lasted == timedelta(seconds=20)


def _absorbed(traffic: Traffic, seconds: float):
    from solera.plan.evidence import absorb  # noqa: PLC0415

    return absorb(traffic.ledger, [traffic.old.read(seconds)], step=0, now=at(seconds))


def revision(*pods: ObservedPod) -> ObservedRevision:
    return ObservedRevision("chat-v2-aaaaaaaa", "v2", "aaaaaaaa", ready_endpoints=len(pods), pods=pods)


def pod(name: str, mute: str | None, **more: bool) -> ObservedPod:
    return ObservedPod(
        name,
        name,
        "10.0.0.1",
        ready=more.get("ready", True),
        answered=mute is None,
        mute=mute,
        terminating=more.get("terminating", False),
    )


def test_only_a_revision_whose_ready_pods_all_gave_no_completion_is_hung() -> None:
    said = hung(revision(pod("a", "a: why"), pod("b", "b: why")))
    assert said == "2 of 2 pods are ready and none gives a completion: a: why"
    assert hung(revision(pod("a", "a: why"), pod("b", None))) is None
    assert hung(revision(pod("a", "a: why"), pod("b", None, terminating=True), pod("c", None, ready=False))) is not None
    assert hung(revision(pod("a", None))) is None
    assert hung(revision()) is None
    assert hung(None) is None
