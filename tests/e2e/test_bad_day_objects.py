"""A bad day for objects and intents: other hands edit and delete children, and people change their mind, under live traffic."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
from lab import live
from lab.live import Object, Watch

from e2e.scene import CHILDREN, NAME, OF_NAME, Scene, living, told
from e2e.test_rollout import QUICK, ROLLOUT

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("operator")]

STEPS = [20, 50, 100]
# What another hand breaks is counted against the version that it hits; these tests are about what comes after.
PATIENT = {**ROLLOUT, "guardrails": [{"name": "errors", "metric": "ErrorRate", "limit": "40%"}]}


@dataclass(frozen=True)
class Hand:
    """What another hand does to a child of v1, or to the route.

    ``costs`` are the statuses that requests may get until it is put right, and ``within`` the seconds in which that must be so: the
    news of it, the write, the gateway's reload and, where pods went, the start of new ones.
    """

    kind: str
    patch: Object | None
    costs: frozenset[int]
    within: float

    def act(self, scene: Scene) -> float:
        name = NAME if self.kind == "httproute" else scene.child("v1")
        return scene.delete(self.kind, name) if self.patch is None else scene.patch(self.kind, name, self.patch)

    def find(self, scene: Scene) -> Object | None:
        found = live.get(self.kind, NAME if self.kind == "httproute" else scene.child("v1"), scene.space)
        return None if found is None or found["metadata"].get("deletionTimestamp") else found

    def healed(self, scene: Scene, before: Object) -> bool:
        now = self.find(scene)
        anew = now is not None and now["metadata"]["uid"] != before["metadata"]["uid"]
        return now is not None and anew == (self.patch is None) and wanted(now) == wanted(before)


def wanted(obj: Object) -> object:
    """What the operator writes of a child, without what the apiserver gives each object anew."""
    spec = {k: v for k, v in obj["spec"].items() if k not in {"clusterIP", "clusterIPs"}}
    return spec, obj["metadata"]["labels"], obj["metadata"]["ownerReferences"][0]["uid"]


NOT_ROUTED, UNAVAILABLE = frozenset({404}), frozenset({500, 502, 503})
HANDS = {
    "route_edited": Hand("httproute", {"spec": {"hostnames": ["elsewhere.example.com"]}}, NOT_ROUTED, 2.0),
    "route_deleted": Hand("httproute", None, NOT_ROUTED, 2.0),
    "service_edited": Hand("service", {"spec": {"selector": {"by": "hand"}}}, UNAVAILABLE, 3.0),
    "service_deleted": Hand("service", None, UNAVAILABLE, 4.0),
    "deployment_edited": Hand("deployment", {"spec": {"replicas": 0}}, UNAVAILABLE, 6.0),
    "deployment_deleted": Hand("deployment", None, UNAVAILABLE, 6.0),
}


@pytest.mark.parametrize("hand", HANDS.values(), ids=HANDS)
async def test_another_hand_is_put_right_and_the_rollout_goes_on(space: str, answers: Path, hand: Hand) -> None:
    scene = Scene(space, answers, [live.sim(n, *QUICK) for n in ("v1", "v2")], PATIENT)
    async with living(scene, "v1"):
        scene.serve("v2")
        await live.until("the first step", lambda: scene.weights().get("v2") == STEPS[0], 60)
        before = hand.find(scene)
        assert before is not None
        acted = hand.act(scene)
        await live.until("it is as it was", lambda: hand.healed(scene, before), 20, 0.05)
        healed = time.time()
        await live.until("v2 alone", lambda: scene.alone("v2"), 120, 0.5)
    missed = scene.unanswered()
    took = max((r.done for r in missed), default=acted) - acted
    print(f"as it was after {healed - acted:.2f} s; {len(missed)} requests unanswered, the last after {took:.2f} s")
    assert told(r for r in missed if not acted - 0.5 <= r.done <= acted + hand.within) == []
    assert {r.status for r in missed} <= hand.costs
    assert healed - acted <= hand.within
    assert scene.steps("v2") == STEPS
    assert scene.events().count("Promoted") == 1


async def test_weights_edited_by_another_hand_are_put_right_at_once(space: str, answers: Path) -> None:
    scene = Scene(space, answers, [live.sim(n, *QUICK) for n in ("v1", "v2")], PATIENT)
    async with living(scene, "v1"):
        scene.serve("v2")
        await live.until("the first step", lambda: scene.weights().get("v2") == STEPS[0], 60)
        route = live.get("httproute", NAME, space)
        assert route is not None
        rules = route["spec"]["rules"]
        for backend in rules[0]["backendRefs"]:
            backend["weight"] = 95 if backend["name"] == scene.child("v2") else 5
        acted = scene.patch("httproute", NAME, {"spec": {"rules": rules}})
        await live.until("v2 alone", lambda: scene.alone("v2"), 120, 0.5)
    seen = [(at, scene.by_version(route)) for at, route in scene.route.seen]
    wrong = next(at for at, weights in seen if weights == {"v1": 5, "v2": 95})
    right = next(at for at, weights in seen if at > wrong and weights == {"v1": 80, "v2": 20})
    print(f"wrong for {right - wrong:.2f} s, patched at {acted:.2f}")
    assert right - wrong <= 2.0
    assert [w.get("v2", 0) for w in scene.weights_between(wrong, seen[-1][0])] == [95, 20, 50, 100]
    assert scene.lost() == []


@pytest.mark.parametrize("again", [False, True], ids=["gone_for_good", "created_again_at_once"])
async def test_the_resource_deleted_in_mid_rollout(space: str, answers: Path, *, again: bool) -> None:
    scene = Scene(space, answers, [live.sim(n, *QUICK) for n in ("v1", "v2")], ROLLOUT)
    async with living(scene, "v1"):
        scene.serve("v2")
        await live.until("the first step", lambda: scene.weights().get("v2") == STEPS[0], 60)
        old = scene.resource.last["metadata"]["uid"]
        deleted = scene.delete("llmdep", NAME)
        if again:
            scene.serve("v2")
            await live.until("a new life", lambda: _uid(scene) not in {None, old} and scene.alone("v2"), 90, 0.5)
        else:
            await live.until("nothing is left", lambda: _children(scene) == [], 60, 0.5)
            await asyncio.sleep(2)  # with requests that find nothing
    missed = scene.unanswered()
    unrouted = next(at for at, route in scene.route.seen if at > deleted and route is None)
    # Children go in no order, so until the route has gone the gateway may find a route without its Service: 500.
    assert {r.status for r in missed} <= {404, 500, 503}
    assert told(r for r in missed if r.sent < deleted or (r.status != 404 and r.sent > unrouted + 1)) == []
    print(f"without a route after {unrouted - deleted:.2f} s; {len(missed)} requests refused")
    if again:
        routed = next(at for at, route in scene.route.seen if at > unrouted and route is not None)
        assert told(r for r in missed if r.sent > routed + 2) == []
        children = [o for o in _children(scene) if o["kind"] not in OWNED_BY_OTHERS]
        assert {o["metadata"]["ownerReferences"][0]["uid"] for o in children} == {_uid(scene)}
        assert scene.weights_between(routed, scene.route.seen[-1][0]) == [{"v2": 100}]
        assert "RolloutStarted" not in scene.events(), "a new life begins with its first version, whatever was before"
    else:
        late = [r for r in scene.records() if r.sent > unrouted + 1]
        assert late
        assert {r.status for r in late} == {404}


OWNED_BY_OTHERS = frozenset({"Pod", "ReplicaSet", "EndpointSlice"})


def _children(scene: Scene) -> list[Object]:
    return live.items(CHILDREN + ",replicasets,endpointslices,httproutes,rolloutrecords", scene.space, OF_NAME)


def _uid(scene: Scene) -> str | None:
    return None if scene.resource.last is None else scene.resource.last["metadata"]["uid"]


async def test_a_third_version_in_mid_rollout_starts_at_step_one(space: str, answers: Path) -> None:
    scene = Scene(space, answers, [live.sim(n, *QUICK) for n in ("v1", "v2", "v3")], ROLLOUT)
    async with living(scene, "v1"):
        scene.serve("v2")
        await live.until("the second step", lambda: scene.weights().get("v2") == STEPS[1], 60)
        second = Watch("deployment", scene.child("v2"), space)
        async with live.watching(second):
            scene.serve("v3")
            await live.until("v3 alone", lambda: scene.alone("v3"), 120, 0.5)
    drained(scene, second, "v2")
    assert scene.steps("v2") == STEPS[:2]
    assert scene.steps("v3") == STEPS
    assert all(not ({"v2", "v3"} <= scene.by_version(route).keys()) for _, route in scene.route.seen)
    assert [e for e in scene.events() if e in {"Replaced", "RolloutStarted", "Promoted"}] == [
        "RolloutStarted",
        "Replaced",
        "RolloutStarted",
        "Promoted",
    ]
    assert scene.lost() == []


async def test_serve_set_back_in_mid_rollout_withdraws_the_candidate(space: str, answers: Path) -> None:
    scene = Scene(space, answers, [live.sim(n, *QUICK) for n in ("v1", "v2")], ROLLOUT)
    async with living(scene, "v1"):
        scene.serve("v2")
        await live.until("the second step", lambda: scene.weights().get("v2") == STEPS[1], 60)
        second = Watch("deployment", scene.child("v2"), space)
        async with live.watching(second):
            withdrawn = time.time()
            scene.serve("v1")
            await live.until("v1 alone", lambda: scene.alone("v1"), 60, 0.5)
    drained(scene, second, "v2")
    back = next(at for at, route in scene.route.seen if at > withdrawn and scene.by_version(route) == {"v1": 100})
    assert back - withdrawn <= 3
    assert scene.events().count("Withdrawn") == 1
    assert not scene.status.get("rejected")
    assert scene.condition("RolloutComplete")["status"] == "True"
    assert scene.condition("Stalled").get("status") != "True"
    assert scene.lost() == []


def drained(scene: Scene, deployment: Watch, version: str) -> None:
    """Its pods went only after the drain time (5 s in the scenes) without any weight."""
    gone = next(at for at, obj in deployment.seen if obj is None or obj["metadata"].get("deletionTimestamp"))
    seen = [(at, version in scene.by_version(route)) for at, route in scene.route.seen]
    weightless = max(at for (_, had), (at, has) in pairwise(seen) if had and not has)
    assert gone - weightless >= 5, f"{version} had {gone - weightless:.2f} s to drain"
