"""A bad day for what a rollout is judged by: its source of metrics fails, under live traffic that goes on.

What cannot be read is never a pass and never a fail. The rollout is held in its step with the source's own words, whatever time goes by, and goes
on to promotion when the source is back; unless `onInconclusive: RollBack` says what should become of it.
"""

from __future__ import annotations

import asyncio
import time
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from lab import live

from e2e.outages import promoted_as_planned, timeline
from e2e.scene import Scene, living
from e2e.shaky import Shaky
from e2e.test_rollout import QUICK, ROLLOUT

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("operator")]

FIRST = 14.0
"""Seconds of the first step: the source fails within it, and is missed before it is over."""
STEPS = [{"weight": w, "minDuration": f"{d:g}s", "minRequests": 20} for w, d in ((20, FIRST), (50, 4), (100, 4))]
ENGINE: dict[str, dict[str, Any]] = {
    "down": {"metrics_mode": "closed"},
    "slow": {"metrics_delay": 30},
    "empty": {"metrics_mode": "empty"},
    "nan": {"metrics_mode": "nan"},
    "gone": {"metrics_mode": "missing"},
}
VERSIONS = ("v1", "v2")


class Source:
    """What the rollout is judged by, failing in one way: the engines' own counters, or a Prometheus that has read them."""

    def __init__(self, kind: str, row: str) -> None:
        self.row = row
        self.shaky = Shaky(f"shaky-{row}") if kind == "prometheus" else None

    def scene(self, space: str, answers: Path, **rollout: Any) -> Scene:
        named = {"metrics": {"source": self.shaky.name}} if self.shaky else {}
        plan = {**ROLLOUT, "steps": STEPS, **named, **rollout}
        return Scene(space, answers, [live.sim(n, *QUICK) for n in VERSIONS], plan)

    async def fail(self, scene: Scene) -> None:
        if self.shaky:
            self.shaky.mode = "down" if self.row == "gone" else self.row
        for version in () if self.shaky else VERSIONS:
            await asyncio.to_thread(scene.put_faults, version, **ENGINE[self.row])

    async def mend(self, scene: Scene) -> None:
        if self.shaky:
            self.shaky.mode = "well"
        for version in () if self.shaky else VERSIONS:
            await asyncio.to_thread(scene.put_faults, version)


@asynccontextmanager
async def in_the_first_step(source: Source, scene: Scene) -> AsyncIterator[None]:
    """The first step is in force and evidence of it comes in when the block begins."""
    async with source.shaky.serving() if source.shaky else nullcontext(), living(scene, "v1"):
        scene.serve("v2")
        await live.until("the first step", lambda: scene.weights().get("v2") == 20 and evidence(scene) == {"known"}, 60)
        yield


def evidence(scene: Scene) -> set[str]:
    found = {g["verdict"] for g in scene.status.get("guardrails") or ()}
    return {{"NoData": "none", "Pass": "known", "Continue": "known"}.get(v, v) for v in found}


async def held(scene: Scene, words: str) -> None:
    """The rollout says that it is held and why."""

    def check() -> bool:
        rollout = scene.status.get("rollout") or {}
        return rollout.get("reason") == "GuardrailHolds" and words in rollout.get("message", "")

    await live.until(f"held: {words}", check, 30)
    assert scene.status["state"] == "Held"
    for kind in ("Ready", "RolloutComplete"):
        condition = scene.condition(kind)
        assert (condition["reason"], words in condition["message"]) == ("GuardrailHolds", True), condition
    assert evidence(scene) == {"none"}, scene.status["guardrails"]


async def held_and_then_promoted(space: str, answers: Path, source: Source, words: str) -> None:
    scene = source.scene(space, answers)
    async with in_the_first_step(source, scene):
        failed = time.time()
        await source.fail(scene)
        await held(scene, words)
        missed = time.time() - failed
        over = live.at(scene.status["rollout"]["stepStartedAt"]) + FIRST + 4
        await live.until("the step's time is long over", lambda: time.time() > over, FIRST + 10)
        assert scene.weights() == {"v1": 80, "v2": 20}
        assert (scene.status["state"], evidence(scene)) == ("Held", {"none"})
        mended = time.time()
        await source.mend(scene)
        await live.until("the next step", lambda: scene.weights().get("v2") == 50, 30)
        back = time.time() - mended
        await live.until("promoted", lambda: scene.stable() == "v2", 60)
    print(
        f"{timeline(scene, failed)}\nheld {missed:.1f} s after the source failed, next step {back:.1f} s after it was back"
    )
    promoted_as_planned(scene, [20, 50, 100])
    assert scene.lost() == []


@pytest.mark.parametrize(("kind", "words"), [("engine", "broke off"), ("prometheus", "shaky-down")])
async def test_metric_source_down(space: str, answers: Path, kind: str, words: str) -> None:
    await held_and_then_promoted(space, answers, Source(kind, "down"), words)


@pytest.mark.parametrize("kind", ["engine", "prometheus"])
async def test_metric_source_slow(space: str, answers: Path, kind: str) -> None:
    await held_and_then_promoted(space, answers, Source(kind, "slow"), "complete answer")


@pytest.mark.parametrize(
    ("kind", "words"),
    [("engine", "holds nothing of an engine"), ("prometheus", "NoData: Prometheus shaky-empty has no")],
)
async def test_metric_source_empty(space: str, answers: Path, kind: str, words: str) -> None:
    await held_and_then_promoted(space, answers, Source(kind, "empty"), words)


@pytest.mark.parametrize("kind", ["engine", "prometheus"])
async def test_metric_source_nan(space: str, answers: Path, kind: str) -> None:
    await held_and_then_promoted(space, answers, Source(kind, "nan"), "is nan, which no counter can be")


@pytest.mark.parametrize("source", ["Direct", "lab"])
async def test_metric_source_with_reset_counters(space: str, answers: Path, source: str) -> None:
    rollout = {**ROLLOUT, "steps": STEPS, "metrics": {"source": source}}
    scene = Scene(space, answers, [live.sim(n, *QUICK) for n in VERSIONS], rollout)
    async with living(scene, "v1"):
        scene.serve("v2")
        await live.until("the first step", lambda: scene.weights().get("v2") == 20 and evidence(scene) == {"known"}, 60)
        # Openly, as by a restart of the engine within its pod, and hidden, as no process should do it.
        for hidden in ("false", "true", "false", "true"):
            for version in VERSIONS:
                await asyncio.to_thread(reset, scene, version, hidden)
            await asyncio.sleep(1.5)
        await live.until("promoted", lambda: scene.stable() == "v2", 90)
        record = live.get("rolloutrecord", scene.name, space)
    promoted_as_planned(scene, [20, 50, 100])
    assert scene.lost() == []
    assert record is not None
    assert record["data"]["ledger"]["resets"] > 0, "the operator never met a reset"


def reset(scene: Scene, version: str, hidden: str) -> None:
    for pod in scene.pods(version):
        url = f"http://{pod['status']['podIP']}:8000/counters/reset?hidden={hidden}"
        with urllib.request.urlopen(urllib.request.Request(url, method="POST"), timeout=5) as answer:
            assert answer.status == 200


@pytest.mark.parametrize(("kind", "words"), [("engine", "404 at /metrics"), ("prometheus", "shaky-gone")])
async def test_metric_source_that_never_comes_back_rolls_back_when_the_rollout_says_so(
    space: str, answers: Path, kind: str, words: str
) -> None:
    source = Source(kind, "gone")
    steps = [{**step, "maxDuration": f"{FIRST + 4:g}s"} for step in STEPS]
    scene = source.scene(space, answers, steps=steps, onInconclusive="RollBack")
    async with in_the_first_step(source, scene):
        await source.fail(scene)
        await held(scene, words)
        assert not scene.status.get("rejected")
        await live.until("rolled back", lambda: scene.status.get("rejected"), 60)
        await live.until("v1 alone", lambda: scene.alone("v1"), 60, 0.5)
    reason = scene.status["rejected"][0]["reason"]
    assert f"inconclusive after {FIRST + 4:g}s" in reason
    assert words in reason
    assert scene.condition("Stalled")["reason"] == "RolledBack"
    assert scene.steps("v2") == [20]
    assert scene.lost() == []
