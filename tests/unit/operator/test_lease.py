"""Who may lead, decided on paper; the process on a real apiserver is in tests/cluster/test_leader.py."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from solera.operator.lease import Sight, Timing, released, remade, renewed, sight, taken, wait

WALL = datetime(2026, 1, 1, tzinfo=UTC)
PLACE = ("solera-system", "solera")
TIMING = Timing()


def lease(holder: str = "a_1", renewed_at: str = "2026-01-01T00:00:00.000000Z", duration: int = 15) -> dict[str, Any]:
    spec = {"holderIdentity": holder, "renewTime": renewed_at, "leaseDurationSeconds": duration}
    return {"metadata": {"name": "solera", "resourceVersion": "7"}, "spec": spec}


def test_a_holder_is_dead_when_its_lease_has_not_changed_for_its_duration_by_our_own_clock() -> None:
    seen = sight(None, lease(), 15, now=100.0)
    assert wait(seen, "b_1", None, 100.0) == 15
    later = sight(seen, lease(), 15, now=114.0)
    assert later.since == 100
    assert wait(later, "b_1", None, 114.9) == pytest.approx(0.1)
    assert wait(later, "b_1", None, 115.0) == 0
    alive = sight(later, lease(renewed_at="2020-01-01T00:00:00.000000Z"), 15, now=114.0)  # its clock says what it likes
    assert wait(alive, "b_1", None, 115.0) == 14


def test_the_duration_that_counts_is_the_holders() -> None:
    """While a new configuration is rolled out the replicas differ in theirs."""
    assert wait(sight(None, lease(duration=60), 3, 0.0), "b_1", None, 3.0) == 57
    assert wait(sight(None, lease(duration=3), 60, 0.0), "b_1", None, 3.0) == 0


@pytest.mark.parametrize(
    ("holder", "identity", "pod", "seconds"),
    [
        ("", "b_1", None, 0.0),
        ("b_1", "b_1", None, 0.0),  # our own write, whose answer was lost
        ("b_0", "b_1", "b", 0.0),  # the container before us in this very pod
        ("b_0", "b_1", None, 15.0),  # without a pod a name means nothing
        ("b-2_0", "b_1", "b", 15.0),
        ("a_b_0", "b_1", "b", 15.0),
        ("b", "b_1", "b", 15.0),
    ],
)
def test_who_need_not_wait(holder: str, identity: str, pod: str | None, seconds: float) -> None:
    assert wait(sight(None, lease(holder), 15, 0.0), identity, pod, 0.0) == seconds


def test_a_missing_lease_is_waited_for_as_long_as_a_silent_holder() -> None:
    missing = sight(None, None, 15, 0.0)
    assert wait(missing, "b_1", "b", 14.0) == 1
    held = sight(None, lease(duration=60), 15, 0.0)
    gone = sight(held, None, 15, 10.0)
    assert wait(gone, "b_1", "b", 15.0) == 55
    assert wait(sight(gone, None, 15, 20.0), "b_1", "b", 70.0) == 0


def test_a_blank_lease_is_free_at_first_sight_only() -> None:
    blank = {"metadata": {"name": "solera", "resourceVersion": "1"}, "spec": {}}
    assert wait(sight(None, blank, 15, 0.0), "b_1", "b", 0.0) == 0
    held = sight(None, lease(), 15, 0.0)
    made_anew = sight(held, blank, 15, 10.0)
    assert wait(made_anew, "b_1", "b", 10.0) == 15
    assert wait(sight(made_anew, blank, 15, 24.0), "b_1", "b", 24.0) == 1
    given_back = sight(None, released(lease(), WALL), 15, 0.0)
    assert wait(sight(given_back, blank, 15, 1.0), "b_1", "b", 1.0) == 0


def test_a_lease_is_written_over_exactly_what_was_read() -> None:
    made = taken(None, PLACE, "a_1", TIMING, WALL)
    assert (made["metadata"]["namespace"], made["metadata"]["name"]) == PLACE
    assert "resourceVersion" not in made["metadata"]
    assert made["spec"] == {
        "holderIdentity": "a_1",
        "leaseDurationSeconds": 15,
        "acquireTime": "2026-01-01T00:00:00.000000Z",
        "renewTime": "2026-01-01T00:00:00.000000Z",
        "leaseTransitions": 0,
    }
    live = {**made, "metadata": {"name": "solera", "resourceVersion": "7", "labels": {"mine": "yes"}}}
    over = taken(live, PLACE, "b_1", TIMING, WALL)
    assert over["metadata"] == live["metadata"]
    assert (over["spec"]["holderIdentity"], over["spec"]["leaseTransitions"]) == ("b_1", 1)
    blank = taken({"metadata": live["metadata"]}, PLACE, "b_1", TIMING, WALL)
    assert blank["spec"]["leaseTransitions"] == 0


def test_a_renewal_is_always_a_change_whatever_the_wall_clock_does() -> None:
    held = taken(None, PLACE, "a_1", TIMING, WALL)
    for wall in (WALL, WALL - timedelta(hours=1), WALL + timedelta(hours=1)):
        again = renewed(held, wall)
        assert again["spec"]["renewTime"] != held["spec"]["renewTime"]
        assert again["spec"]["acquireTime"] == held["spec"]["acquireTime"]


def test_made_again_it_belongs_to_whom_it_belonged() -> None:
    owned = {"labels": {"app.kubernetes.io/managed-by": "Helm"}, "annotations": {"meta.helm.sh/release-name": "solera"}}
    lost = taken(None, PLACE, "a_1", TIMING, WALL)
    lost["metadata"] = {"namespace": PLACE[0], "name": PLACE[1], "resourceVersion": "7", "uid": "u", **owned}
    again = remade(lost, WALL + timedelta(seconds=5))
    assert again["metadata"] == {"namespace": PLACE[0], "name": PLACE[1], **owned}, (
        "nothing that the apiserver would refuse"
    )
    assert again["spec"]["acquireTime"] == lost["spec"]["acquireTime"]
    assert again["spec"]["renewTime"] != lost["spec"]["renewTime"]
    assert again["spec"]["holderIdentity"] == "a_1"


def test_given_back_it_is_free_at_once() -> None:
    gone = released(taken(None, PLACE, "a_1", TIMING, WALL), WALL)
    assert (gone["spec"]["holderIdentity"], gone["spec"]["leaseDurationSeconds"]) == ("", 1)
    assert wait(sight(None, gone, 15, 0.0), "b_1", None, 0.0) == 0


def test_the_holder_has_given_up_before_anybody_else_may_begin() -> None:
    assert TIMING.deadline == 10
    assert TIMING.renew + 2 * TIMING.attempt <= TIMING.deadline
    assert Sight("a_1", "x", 15.0, 0.0).lasts > TIMING.deadline
