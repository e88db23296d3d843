"""A bad day for objects and intents: other hands edit and delete children, and people change their mind, under live traffic."""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
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
    """What another hand does to a child of v1, or to the route: a patch, or a deletion (None).

    ``costs`` are the statuses that requests may get until it is put right and, where pods went, new ones are ready.
    """

    kind: str
    patch: Callable[[Object, Scene], Object] | None
    costs: frozenset[int] = frozenset()

    def act(self, scene: Scene) -> Object:
        """Do it. Returns the object as it was before."""
        before = self.find(scene)
        assert before is not None
        name = before["metadata"]["name"]
        if self.patch is None:
            scene.delete(self.kind, name)
        else:
            scene.patch(self.kind, name, self.patch(before, scene))
        return before

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


def nearly_all_to_v2(route: Object, scene: Scene) -> Object:
    rules = copy.deepcopy(route["spec"]["rules"])
    for backend in rules[0]["backendRefs"]:
        backend["weight"] = 95 if backend["name"] == scene.child("v2") else 5
    return {"spec": {"rules": rules}}


NOT_ROUTED, UNAVAILABLE = frozenset({404}), frozenset({500, 502, 503})
HANDS = {
    "weights edited": Hand("httproute", nearly_all_to_v2),
    "route edited": Hand("httproute", lambda *_: {"spec": {"hostnames": ["elsewhere.example.com"]}}, NOT_ROUTED),
    "route deleted": Hand("httproute", None, NOT_ROUTED),
    "service edited": Hand("service", lambda *_: {"spec": {"selector": {"by": "hand"}}}, UNAVAILABLE),
    "service deleted": Hand("service", None, UNAVAILABLE),
    "deployment edited": Hand("deployment", lambda *_: {"spec": {"replicas": 0}}, UNAVAILABLE),
    "deployment deleted": Hand("deployment", None, UNAVAILABLE),
}
HEALED_WITHIN = 3.0
"""Seconds from a deed to its repair in the apiserver; two cores and two other scenes beside this one included."""
RELOAD = 1.0
"""Seconds until a gateway has heard of what is there again."""


async def test_what_other_hands_edit_and_delete_is_put_right_and_the_rollout_goes_on(space: str, answers: Path) -> None:
    held = {"weight": STEPS[0], "minDuration": "2s", "minRequests": 20, "pause": {"until": "Approved"}}
    steps = [held, *({"weight": w, "minDuration": "2s", "minRequests": 20} for w in STEPS[1:])]
    scene = Scene(space, answers, [live.sim(n, *QUICK) for n in ("v1", "v2")], {**PATIENT, "steps": steps})
    times: dict[str, tuple[float, float, float]] = {}
    async with living(scene, "v1"):
        scene.serve("v2")
        await live.until("held", lambda: _rollout(scene).get("reason") == "WaitingForApproval", 60)
        for name, hand in HANDS.items():
            acted = time.time()
            before = hand.act(scene)
            await live.until(f"{name}: it is as it was", partial(hand.healed, scene, before), 20, 0.05)
            healed = time.time()
            await live.until(f"{name}: v1 is ready", lambda: scene.ready("v1"), 30, 0.1)
            times[name] = acted, healed, time.time()
            await calm(scene)
        assert scene.weights() == {"v1": 80, "v2": STEPS[0]}
        live.kubectl("solera", "promote", NAME, "-n", space, "--yes")
        await live.until("v2 alone", lambda: scene.alone("v2"), 90, 0.5)
    missed = scene.unanswered()
    for name, (acted, healed, ready) in times.items():
        mine = [r for r in missed if acted <= r.done and r.sent <= ready + RELOAD]
        last = max((r.done - acted for r in mine), default=0.0)
        print(f"{name}: as it was after {healed - acted:.2f} s; {len(mine)} unanswered, the last after {last:.2f} s")
        assert healed - acted <= HEALED_WITHIN, name
        assert {r.status for r in mine} <= HANDS[name].costs, (name, told(mine))
        missed = [r for r in missed if r not in mine]
    assert told(missed) == []
    between = [times[name][1] for name in HANDS], [times[name][0] for name in list(HANDS)[1:]]
    for healed, acted in zip(*between, strict=False):
        assert scene.weights_between(healed + 0.9, acted) == [{"v1": 80, "v2": 20}]
    assert [w for w in scene.steps("v2") if w != 95] in ([20, 50, 100], [20, 20, 50, 100])
    assert scene.events().count("Promoted") == 1


def _rollout(scene: Scene) -> Object:
    return scene.status.get("rollout") or {}


async def calm(scene: Scene) -> None:
    """Wait until every request of one second was answered."""
    assert scene.traffic is not None
    totals = scene.traffic.totals
    for _ in range(20):
        before = totals.lost + totals.outcomes["client_error"]
        await asyncio.sleep(1)
        if totals.lost + totals.outcomes["client_error"] == before:
            return
    raise live.LiveError("requests go on failing")


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
    # In the moment in which its Service goes the gateway may cut a stream: seen once in two hundred runs, and with it no other.
    cut = [r for r in missed if r.outcome == "cut" and deleted <= r.done <= unrouted + 1]
    assert len(cut) <= 1, told(cut)
    missed = [r for r in missed if r not in cut]
    assert told(r for r in missed if r.status not in {404, 500, 503}) == []
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
