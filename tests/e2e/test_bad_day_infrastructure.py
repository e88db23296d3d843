"""A bad day for what everything stands on: a part of the cluster goes away in the middle of a rollout, under live traffic.

Whatever is away, the rollout ends as if nothing had happened: promoted, by exactly its steps, each weight written once, every request answered
that the missing part itself did not refuse.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from lab import live, outage, paths
from lab.outage import Outage
from lab.traffic_record import Record

from e2e.outages import changes, promoted_as_planned, timeline
from e2e.scene import Scene, living
from e2e.test_rollout import QUICK, ROLLOUT

pytestmark = [pytest.mark.e2e, pytest.mark.disruptive, pytest.mark.usefixtures("operator", "_lab_as_before")]

STEPS = [int(step["weight"]) for step in ROLLOUT["steps"]]
SELECTOR = "app.kubernetes.io/name=solera"


@pytest.fixture
def _lab_as_before() -> Iterator[None]:
    """Whatever became of the test, all parts of the lab run after it."""
    yield
    outage.mend()


def operators() -> dict[str, live.Object]:
    """Pod's uid → the status of its container."""
    pods = [p for p in live.items("pods", live.SYSTEM, SELECTOR) if not p["metadata"].get("deletionTimestamp")]
    return {p["metadata"]["uid"]: p["status"]["containerStatuses"][0] for p in pods}


def ended_by_itself_at_most_once(before: dict[str, live.Object]) -> None:
    """The one that led may end when its Lease has run out; nobody else ends it, and it is not ended again while the outage goes on."""
    after = operators()
    assert set(after) == set(before)
    for uid, container in after.items():
        restarts = container["restartCount"] - before[uid]["restartCount"]
        assert restarts <= 1
        if restarts:
            ended = container["lastState"]["terminated"]
            assert ended["exitCode"] == 1, f"128 and more is a signal of the kubelet or the kernel: {ended}"


def route_writes(space: str) -> list[live.Object]:
    """The operator's writes of the route that the apiserver accepted, from its audit log."""
    found = []
    with paths.AUDIT_LOG.open() as lines:
        for line in lines:
            if f'"{space}"' not in line or '"httproutes"' not in line:
                continue
            entry = json.loads(line)
            ours = entry["user"]["username"].startswith(f"system:serviceaccount:{live.SYSTEM}:")
            if ours and entry["verb"] not in {"get", "list", "watch"} and entry["responseStatus"]["code"] < 300:
                found.append(entry)
    return found


@asynccontextmanager
async def half_way(space: str, answers: Path) -> AsyncIterator[Scene]:
    """A rollout whose first step is in force when the block begins, and that has ended, its old version gone, when it ends."""
    scene = Scene(space, answers, [live.sim(n, *QUICK) for n in ("v1", "v2")], ROLLOUT)
    async with living(scene, "v1"):
        scene.serve("v2")
        await live.until("the first step", lambda: scene.weights().get("v2") == STEPS[0], 60)
        began = time.time()
        try:
            yield scene
            # Gateway, kube-proxy and controller manager each wait up to a minute before they watch again.
            await live.until("v2 alone", lambda: scene.stable() == "v2" and scene.alone("v2"), 240, 0.5)
        finally:
            print(timeline(scene, began))


def first_write(scene: Scene, after: float) -> float:
    """Seconds from ``after`` until the route or the status changed for the first time."""
    routes = [at for at, _ in changes(scene.route, live.weights) if at > after]
    states = [at for at, _ in changes(scene.resource, lambda o: live.status(o).get("rollout")) if at > after]
    return min(routes + states) - after


def as_if_nothing_had_happened(scene: Scene) -> None:
    promoted_as_planned(scene, STEPS)
    route = live.get("httproute", scene.name, scene.space)
    assert route is not None
    assert route["metadata"]["generation"] == len(STEPS) + 1, "a weight was written twice"
    assert len(route_writes(scene.space)) <= len(STEPS) + 1, "a weight was written twice"


def tell(what: str, scene: Scene, away: Outage) -> None:
    print(
        f"{what}: away for {away.started - away.told:.1f} s, well {away.well - away.started:.1f} s after its start, "
        f"next write {first_write(scene, away.started):.1f} s after its start"
    )


async def test_apiserver_restarted_in_the_middle_of_a_rollout(space: str, answers: Path) -> None:
    before = operators()
    async with half_way(space, answers) as scene:
        away = await outage.away("kube-apiserver")
    as_if_nothing_had_happened(scene)
    assert scene.unanswered() == []
    ended_by_itself_at_most_once(before)
    tell("apiserver restarted", scene, away)


async def test_apiserver_away_for_a_minute_in_the_middle_of_a_rollout(space: str, answers: Path) -> None:
    before = operators()
    async with half_way(space, answers) as scene:
        away = await outage.away("kube-apiserver", 60, kill=True)
    as_if_nothing_had_happened(scene)
    assert scene.unanswered() == []
    ended_by_itself_at_most_once(before)
    tell("apiserver away", scene, away)


async def test_etcd_away_for_half_a_minute_in_the_middle_of_a_rollout(space: str, answers: Path) -> None:
    before = operators()
    async with half_way(space, answers) as scene:
        away = await outage.away("etcd", 30, kill=True)
    as_if_nothing_had_happened(scene)
    assert scene.unanswered() == []
    ended_by_itself_at_most_once(before)
    tell("etcd away", scene, away)


def refused_by(record: Record, away: Outage) -> bool:
    """An answer that a gateway which is away explains: nobody listened, or it listened and had not read its routes yet."""
    during = away.told - 0.1 <= record.sent <= away.well + 3
    return during and (record.outcome == "connection" or record.status == 404)


async def test_gateway_restarted_in_the_middle_of_a_rollout(space: str, answers: Path) -> None:
    async with half_way(space, answers) as scene:
        away = await outage.away("traefik")
        told = len(scene.resource.seen)
    as_if_nothing_had_happened(scene)
    records = scene.records()
    unexplained = [r for r in records if (r.lost or r.outcome != "ok") and not refused_by(r, away)]
    assert unexplained == []
    holds = {(live.status(o).get("rollout") or {}).get("reason") for _, o in scene.resource.seen[told:]}
    assert "SplitMismatch" not in holds, "the counters that began again were taken for another share"
    tell("gateway restarted", scene, away)
    print(f"{sum(refused_by(r, away) for r in records)} of {len(records)} requests found no gateway")
