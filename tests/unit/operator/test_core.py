"""All parts together on a real event loop, with an apiserver in memory in the place of HTTP and of kopf."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from solera.errors import Unavailable
from solera.kinds import Key
from solera.observe.resync import Resync
from solera.operator.core import DEAF, SILENT, STUCK, Operator
from solera.operator.leadership import Alone
from solera.operator.telemetry import Telemetry
from solera.plan.types import Apply, Observation, Plan
from twin.kube import MemoryKube
from twin.objects import NAME, NAMESPACE, child, llmdeployment

REVISION = "chat-v1-abcdefgh"


class FakeCollector:
    def __init__(self) -> None:
        self.running = False
        self.broken = asyncio.Event()

    def pending(self, key: Key) -> Sequence[Any]:
        return ()

    def answered(self, key: Key) -> Collection[str]:
        return ()

    def unreachable(self, key: Key) -> Mapping[str, str]:
        return {}

    def asked(self, key: Key) -> Collection[str]:
        return ()

    def mute(self, key: Key) -> Mapping[str, str]:
        return {}

    def unmeasurable(self, key: Key) -> Mapping[str, str]:
        return {}

    def follow(self, observation: Observation, plan: Plan) -> None:
        pass

    def forget(self, key: Key) -> None:
        pass

    async def run(self) -> None:
        self.running = True
        await self.broken.wait()
        raise ZeroDivisionError("oops")


def wants_a_service(observation: Observation) -> Plan:
    seen = observation.revisions.get(REVISION)
    if seen is None or seen.service is None:
        out = child("Service", REVISION, api_version="v1", owner=observation.owner.uid, of=observation.owner.name)
        out["metadata"]["labels"] |= {"solera.dev/version": "v1", "solera.dev/revision": "abcdefgh"}
        del out["metadata"]["uid"], out["metadata"]["resourceVersion"]
        return Plan((Apply(out, "create"),), {"observedGeneration": 1, "state": "Provisioning"})
    return Plan((), {"observedGeneration": observation.owner.generation, "state": "Idle"})


class Rig:
    def __init__(self) -> None:
        self.kube = MemoryKube()
        self.collector = FakeCollector()
        self.operator = Operator(
            self.kube, planner=wants_a_service, collector=self.collector, telemetry=Telemetry(), workers=2
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.Task[None]]:
        """With a feed in the place of kopf: a list, then events."""
        for obj in self.kube.of("LLMDeployment"):
            self.operator.heard(None, obj)
        self.kube.listeners.append(self._feed)
        task = asyncio.create_task(self.operator.run())
        try:
            async with asyncio.timeout(60):
                yield task
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError, ExceptionGroup):
                await task

    def _feed(self, event: str, obj: dict[str, Any]) -> None:
        if obj["kind"] == "LLMDeployment":
            self.operator.heard(event, obj)

    async def until(self, state: str) -> None:
        while True:
            live = self.kube.objects.get(("LLMDeployment", NAMESPACE, NAME))
            if live is not None and live["status"].get("state") == state:
                return
            await self.kube.settle()
            await asyncio.sleep(0.005)

    async def mended(self) -> None:
        while ("Service", NAMESPACE, REVISION) not in self.kube.objects:
            await self.kube.settle()
            await asyncio.sleep(0.005)


async def test_from_nothing_to_rest() -> None:
    rig = Rig()
    rig.kube.put(llmdeployment())
    assert rig.operator.not_ready() is not None
    async with rig.running():
        await rig.until("Idle")
        assert rig.collector.running
        assert rig.operator.not_ready() is None
        assert rig.operator.not_live() is None
        assert [w.kind for w in rig.kube.writes()] == ["Service", "LLMDeployment"]
        await asyncio.sleep(0.1)
        assert len(rig.kube.writes()) == 2


async def test_what_comes_later_is_seen_and_what_is_broken_is_mended() -> None:
    rig = Rig()
    async with rig.running():
        rig.kube.put(llmdeployment())
        await rig.until("Idle")
        rig.kube.remove("Service", NAMESPACE, REVISION)
        await rig.mended()
        await rig.until("Idle")


async def test_nothing_is_decided_before_every_kind_was_listed() -> None:
    rig = Rig()
    rig.kube.put(llmdeployment())
    rig.kube.unserved = {"HTTPRoute"}
    async with rig.running():
        await asyncio.sleep(0.3)
        assert rig.kube.writes() == []
        problem = rig.operator.not_ready()
        assert problem is not None
        assert "HTTPRoute (gateway.networking.k8s.io/v1) is not served by this cluster" in problem
        assert rig.operator.not_live() is None, "a restart would not help"
        rig.kube.unserved = set()
        await rig.until("Idle")


async def test_a_deleted_deployment_stays_deleted() -> None:
    rig = Rig()
    rig.kube.put(llmdeployment())
    async with rig.running():
        await rig.until("Idle")
        writes = len(rig.kube.writes())
        rig.kube.remove("LLMDeployment", NAMESPACE, NAME)
        await asyncio.sleep(0.1)
        assert ("Service", NAMESPACE, REVISION) not in rig.kube.objects
        assert len(rig.kube.writes()) == writes


async def test_an_outage_is_lived_through() -> None:
    rig = Rig()
    rig.kube.put(llmdeployment())
    async with rig.running():
        await rig.until("Idle")

        def away(verb: str, kind: str, _name: str) -> None:
            raise Unavailable(f"{verb} {kind}", "connection refused")

        rig.kube.fail = away
        await rig.kube.cut_streams()
        rig.kube.remove("Service", NAMESPACE, REVISION)
        while rig.operator.not_ready() is None:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.02)
        assert rig.operator.not_live() is None, "a restart would not bring the apiserver back"
        rig.kube.fail = lambda *_: None
        await rig.mended()
        await rig.until("Idle")
        while rig.operator.not_ready() is not None:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_a_part_that_breaks_ends_the_whole() -> None:
    rig = Rig()
    async with rig.running() as task:
        await rig.kube.settle()
        rig.collector.broken.set()
        with pytest.raises(ExceptionGroup) as error:
            await task
        assert error.group_contains(ZeroDivisionError)


async def test_ghosts_that_kopf_never_told_of_are_forgotten() -> None:
    rig = Rig()
    rig.kube.put(llmdeployment())
    async with rig.running():
        await rig.until("Idle")
        rig.kube.listeners.clear()
        rig.kube.remove("LLMDeployment", NAMESPACE, NAME)
        survivor = rig.kube.put(llmdeployment("survivor", uid="uid-2"))
        rig.operator.heard(None, survivor)  # kopf lists again after its 410
        while (NAMESPACE, NAME) in rig.operator.store.keys():  # noqa: ASYNC110, SIM118 - not a dict, and nothing tells
            await asyncio.sleep(0.02)


class StandsBy(Alone):
    def __init__(self) -> None:
        super().__init__()
        self.turn = asyncio.Event()

    async def acquire(self) -> None:
        await self.turn.wait()


async def test_who_takes_over_first_hears_of_what_the_last_leader_knew() -> None:
    rig = Rig()
    rig.kube.put(llmdeployment())
    leadership = rig.operator.leadership = StandsBy()
    async with rig.running():
        await rig.kube.settle()
        await asyncio.sleep(0.05)
        rig.kube.listeners.clear()
        edited = rig.kube.edit("LLMDeployment", NAMESPACE, NAME, lambda o: o["spec"].update(serve="v2"))
        leadership.turn.set()
        await asyncio.sleep(0.3)
        assert not rig.collector.running
        assert rig.kube.writes() == []
        rig.kube.listeners.append(rig._feed)
        rig.operator.heard("MODIFIED", edited)
        await rig.until("Idle")
        assert rig.collector.running


async def test_when_a_restart_would_help(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig()
    operator = rig.operator
    operator._working = True
    assert operator.not_live() is None
    operator.informers[0].last_alive -= SILENT + 1
    assert "the watch of ControllerRevision has been silent" in (operator.not_live() or "")
    operator.informers[0].last_alive += SILENT
    assert operator.not_live() is None
    monkeypatch.setattr(operator.queue, "stuck_for", lambda: STUCK + 1)
    assert "no look has ended" in (operator.not_live() or "")
    monkeypatch.setattr(operator.queue, "stuck_for", lambda: 0.0)
    operator.resync.synced.set()
    monkeypatch.setattr(Resync, "behind_since", operator.informers[1].last_alive - DEAF - 1)
    assert "have not been heard of" in (operator.not_live() or "")
    operator.resync.problem = "list LLMDeployment: connection refused"
    assert operator.not_live() is None, "who cannot ask does not know, and a restart would not bring the apiserver back"


async def test_children_in_other_namespaces_are_not_watched() -> None:
    kube = MemoryKube()
    operator = Operator(
        kube,
        planner=wants_a_service,
        collector=FakeCollector(),
        telemetry=Telemetry(),
        namespaces=("ml", "other"),
    )
    assert len(operator.informers) == 14
