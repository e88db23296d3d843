"""Versions leave on their dates, under live traffic."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from lab import live

from e2e.scene import Scene, living
from e2e.test_rollout import QUICK, ROLLOUT

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("operator")]


def entry(scene: Scene, version: str) -> live.Object:
    return next((v for v in scene.status.get("versions") or () if v["name"] == version), {})


async def test_a_version_hands_over_to_its_successor_and_is_gone_by_its_date(space: str, answers: Path) -> None:
    retires = live.rfc3339(time.time() + 75)
    life = {"retiresAt": retires, "migrateBefore": "60s", "successor": "v2"}
    scene = Scene(space, answers, [live.sim("v1", *QUICK, lifecycle=life), live.sim("v2", *QUICK)], ROLLOUT)
    async with living(scene, "v1"):
        await live.until("v1 retired", lambda: entry(scene, "v1").get("retiredAt"), 150)
        assert scene.alone("v2")
    assert entry(scene, "v1")["phase"] == "Retired"
    assert entry(scene, "v1")["lateBy"] == "0s"
    assert live.at(entry(scene, "v1")["retiredAt"]) <= live.at(retires) + 10
    assert scene.resource.last is not None
    assert scene.resource.last["spec"]["serve"] == "v1"
    assert scene.status["effectiveVersion"] == "v2"
    assert scene.lost() == []


async def test_refuse_answers_404_from_the_date_on(space: str, answers: Path) -> None:
    retires = time.time() + 40
    life = {"retiresAt": live.rfc3339(retires), "onRetirement": "Refuse"}
    scene = Scene(space, answers, [live.sim("v1", *QUICK, lifecycle=life)], ROLLOUT)
    async with living(scene, "v1", rate=20):
        await live.until("v1 retired", lambda: entry(scene, "v1").get("retiredAt"), 90)
    records = scene.records()
    before = [r for r in records if r.done < retires - 1]
    after = [r for r in records if r.sent > retires + 3]
    assert before
    assert {r.status for r in before} == {200}
    assert after
    assert {r.status for r in after} == {404}
    assert scene.lost() == []


async def test_hold_keeps_serving_and_says_so(space: str, answers: Path) -> None:
    life = {"retiresAt": live.rfc3339(time.time() + 30), "onRetirement": "Hold"}
    scene = Scene(space, answers, [live.sim("v1", *QUICK, lifecycle=life)], ROLLOUT)
    async with living(scene, "v1", rate=10):
        await live.until("held", lambda: scene.condition("RetirementHeld").get("status") == "True", 60)
        assert scene.weights() == {"v1": 100}
    assert scene.lost() == []
