"""One LLMDeployment under live traffic, with its resource and route watched."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab import live
from lab.live import Object, Watch
from lab.traffic import Plan, Traffic, running
from lab.traffic_record import Record, read_records

NAME = "chat"


@dataclass
class Scene:
    space: str
    answers: Path
    versions: list[Object]
    rollout: Object
    resource: Watch = field(init=False)
    route: Watch = field(init=False)
    traffic: Traffic | None = None
    hashes: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.resource = Watch("llmdep", NAME, self.space, on_change=self._learn)
        self.route = Watch("httproute", NAME, self.space)

    def _learn(self, obj: Object | None) -> None:
        for role in ("stable", "candidate", "previous"):
            if ref := live.status(obj).get(role):
                self.hashes[ref["hash"]] = ref["version"]

    @property
    def status(self) -> Object:
        return live.status(self.resource.last)

    def condition(self, kind: str) -> Object:
        return live.condition(self.resource.last, kind)

    def serve(self, version: str, **template: Any) -> None:
        live.apply(live.llmdeployment(NAME, self.space, version, self.versions, self.rollout, template))

    def weights(self) -> dict[str, int]:
        return self._by_version(self.route.last)

    def steps(self, version: str) -> list[int]:
        """The weights of one version, in order, without repetition."""
        out: list[int] = []
        for _, route in self.route.seen:
            weight = self._by_version(route).get(version, 0)
            if weight and (not out or out[-1] != weight):
                out.append(weight)
        return out

    def _by_version(self, route: Object | None) -> dict[str, int]:
        return {n.removeprefix(f"{NAME}-").rpartition("-")[0]: w for n, w in live.weights(route).items()}

    def stable(self) -> str:
        return (self.status.get("stable") or {}).get("version", "")

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
    host = f"{NAME}.{scene.space}.example.com"
    plan = Plan(
        live.GATEWAY,
        NAME,
        host=host,
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
