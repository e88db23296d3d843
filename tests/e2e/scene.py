"""One LLMDeployment under live traffic, with its resource and route watched."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from lab import live
from lab.life import Life
from lab.live import Object
from lab.traffic import Plan, Traffic, running
from lab.traffic_record import Record, read_records

NAME = "chat"


class Scene(Life):
    """A life in a namespace of its own, with the versions that it may serve and the file of its answers."""

    def __init__(self, space: str, answers: Path, versions: list[Object], rollout: Object) -> None:
        super().__init__(NAME, space)
        self.answers, self.versions, self.rollout = answers, versions, rollout
        self.traffic: Traffic | None = None

    def condition(self, kind: str) -> Object:
        return live.condition(self.resource.last, kind)

    def serve(self, version: str, **template: Any) -> None:
        live.apply(live.llmdeployment(NAME, self.space, version, self.versions, self.rollout, template))

    def alone(self, version: str) -> bool:
        """This version carries everything and nothing else is left."""
        if self.weights() != {version: 100} or self.stable() != version or self.status.get("state") != "Idle":
            return False
        kinds = "pods,deployments,services,controllerrevisions"
        found = live.items(kinds, self.space, "solera.dev/llmdeployment=" + NAME)
        return {o["metadata"]["labels"]["solera.dev/version"] for o in found} == {version}

    def records(self) -> list[Record]:
        return list(read_records(self.answers))

    def lost(self) -> list[str]:
        return [f"{r.outcome} {r.status} {r.error} {r.revision}" for r in self.records() if r.lost]


@contextlib.asynccontextmanager
async def living(
    scene: Scene, first: str, rate: float = 30.0, seconds: float = 600.0, stream_share: float = 0.25
) -> AsyncIterator[Scene]:
    """``first`` serves and traffic flows when the block begins; every answer is in the file when it ends."""
    scene.serve(first)
    plan = Plan(
        live.GATEWAY,
        NAME,
        host=scene.host,
        rate=rate,
        duration=seconds,
        timeout=15,
        prompt_length=150,
        stream_share=stream_share,
    )
    async with live.watching(scene.resource, scene.route):
        await live.until(f"{first} serves", lambda: scene.stable() == first and scene.weights(), 120)
        await asyncio.sleep(1)
        async with running(plan, scene.answers) as traffic:
            scene.traffic = traffic
            await asyncio.sleep(2)
            yield scene
            await asyncio.sleep(1)
