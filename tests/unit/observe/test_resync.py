from __future__ import annotations

import asyncio
from typing import Any

import pytest

from solera.errors import Unavailable
from solera.observe.resync import Resync
from solera.observe.store import Store
from twin.kube import MemoryKube
from twin.objects import KEY, NAMESPACE, llmdeployment


class Rig:
    def __init__(self, **options: Any) -> None:
        self.kube = MemoryKube()
        self.store = Store(lambda _key: None)
        self.pauses: list[float] = []
        self.time = 50.0
        self.resync = Resync(
            self.kube, self.store, clock=lambda: self.time, sleep=self._sleep, jitter=lambda: 0.5, **options
        )

    async def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(0)

    def put(self, name: str = "chat", *, heard: bool = True, **kwargs: Any) -> dict[str, Any]:
        live = self.kube.put(llmdeployment(name, uid=f"uid-{name}", **kwargs))
        if heard:
            self.store.upsert("LLMDeployment", live)
        return live


async def test_what_was_deleted_unseen_is_forgotten() -> None:
    rig = Rig()
    rig.put("stays")
    rig.put("ghost")
    rig.kube.remove("LLMDeployment", NAMESPACE, "ghost")
    await rig.resync.check()
    assert rig.store.keys() == ((NAMESPACE, "stays"),)


async def test_what_is_newer_than_the_list_is_kept() -> None:
    rig = Rig()
    rig.put("stays")
    rig.store.upsert("LLMDeployment", llmdeployment("just-created", version="99999"))
    await rig.resync.check()
    assert set(rig.store.keys()) == {(NAMESPACE, "stays"), (NAMESPACE, "just-created")}


async def test_pages_are_put_together() -> None:
    rig = Rig()
    rig.kube.page = 2
    for name in ("a", "b", "c", "d", "e"):
        rig.put(name)
    await rig.resync.check()
    assert len(rig.store.keys()) == 5


async def test_only_the_own_namespaces_are_asked_and_pruned() -> None:
    rig = Rig(namespaces=("other",))
    rig.put("chat")
    rig.kube.remove("LLMDeployment", *KEY)
    await rig.resync.check()
    assert rig.store.keys() == (KEY,)


async def test_behind_since_the_first_look_that_saw_it() -> None:
    rig = Rig()
    live = rig.put(heard=False)
    await rig.resync.check()
    assert rig.resync.behind_since == 50.0
    rig.time = 70.0
    await rig.resync.check()
    assert rig.resync.behind_since == 50.0
    rig.store.upsert("LLMDeployment", live)
    await rig.resync.check()
    assert rig.resync.behind_since is None


async def test_an_object_that_changes_again_and_again_is_not_taken_for_deafness() -> None:
    rig = Rig()
    rig.put()
    for time in (50.0, 70.0, 90.0):
        rig.time = time
        live = rig.kube.edit("LLMDeployment", *KEY, lambda o, t=time: o.update(spec={"serve": f"v{t}"}))
        await rig.resync.check()
        assert rig.resync.behind_since == time, "of this change alone"
        rig.store.upsert("LLMDeployment", live)


async def test_a_list_that_failed_is_repeated_soon() -> None:
    rig = Rig()
    task = asyncio.create_task(rig.resync.run())
    async with asyncio.timeout(5):
        await rig.resync.synced.wait()
    waits: list[float] = []
    rig.kube.fail = lambda _verb, kind, _name: _refuse(kind)

    async def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            rig.kube.fail = lambda *_: None
        await asyncio.sleep(0 if len(waits) < 6 else 60)

    rig.resync._wait = wait  # type: ignore[method-assign]
    rig.resync.relisted()
    await rig.kube.settle()
    async with asyncio.timeout(5):
        while len(waits) < 4:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0)
    assert waits[:4] == [5.0, 5.0, 5.0, 600.0]
    task.cancel()


def _refuse(kind: str) -> None:
    raise Unavailable(f"list {kind}", "connection refused")


async def test_catching_up_does_not_wait_for_one_that_changes_all_the_time() -> None:
    rig = Rig()
    rig.put("busy", heard=False)

    def change(_seconds: float) -> None:
        rig.time += 1
        live = rig.kube.edit("LLMDeployment", NAMESPACE, "busy", lambda o: o.update(spec={"serve": f"v{rig.time}"}))
        rig.kube.edit("LLMDeployment", NAMESPACE, "busy", lambda o: o.update(spec={"serve": f"w{rig.time}"}))
        rig.store.upsert("LLMDeployment", live)

    async def sleep(seconds: float) -> None:
        change(seconds)
        await asyncio.sleep(0)

    rig.resync._sleep = sleep
    async with asyncio.timeout(5):
        await rig.resync.catch_up()
    assert rig.resync.behind_since is not None


async def test_catching_up_survives_a_list_that_fails_in_between() -> None:
    rig = Rig()
    live = rig.put(heard=False)
    sleeps = 0

    async def sleep(_seconds: float) -> None:
        nonlocal sleeps
        sleeps += 1
        rig.time += 1
        rig.kube.fail = (lambda _verb, kind, _name: _refuse(kind)) if sleeps == 1 else (lambda *_: None)
        if sleeps == 6:
            rig.store.upsert("LLMDeployment", live)
        await asyncio.sleep(0)

    rig.resync._sleep = sleep
    async with asyncio.timeout(5):
        await rig.resync.catch_up()
    assert sleeps == 6


async def test_time_in_which_nobody_could_ask_is_no_deafness() -> None:
    rig = Rig()
    rig.put(heard=False)
    await rig.resync._try()
    rig.kube.fail = lambda _verb, kind, _name: _refuse(kind)
    for rig.time in (60.0, 200.0, 350.0):
        await rig.resync._try()
    rig.kube.fail = lambda *_: None
    rig.time = 355.0
    await rig.resync._try()
    assert rig.resync.behind_since == 350.0


async def test_an_older_version_counts_as_behind() -> None:
    rig = Rig()
    rig.put()
    rig.kube.edit("LLMDeployment", *KEY, lambda o: o.update(spec={"serve": "v2"}))
    await rig.resync.check()
    assert rig.resync.behind_since is not None


async def test_synced_only_when_the_store_holds_all() -> None:
    rig = Rig()
    live = rig.put(heard=False)
    task = asyncio.create_task(rig.resync.run())
    for _ in range(10):
        await asyncio.sleep(0)
    assert not rig.resync.synced.is_set()
    rig.store.upsert("LLMDeployment", live)
    async with asyncio.timeout(5):
        await rig.resync.synced.wait()
    task.cancel()


async def test_an_apiserver_that_is_away_is_asked_again() -> None:
    rig = Rig()
    left = 3

    def fail(verb: str, kind: str, _name: str) -> None:
        nonlocal left
        if left:
            left -= 1
            raise Unavailable(f"list {kind}", "connection refused")

    rig.kube.fail = fail
    task = asyncio.create_task(rig.resync.run())
    async with asyncio.timeout(5):
        await rig.resync.synced.wait()
    assert rig.pauses == [0.2, 0.4, 0.8]
    assert rig.resync.problem is None
    task.cancel()


async def test_a_repeated_list_by_kopf_is_followed_by_a_look_one_second_later() -> None:
    rig = Rig()
    rig.put("ghost")
    rig.resync.relisted()  # before the first look: kopf's first list
    task = asyncio.create_task(rig.resync.run())
    async with asyncio.timeout(5):
        await rig.resync.synced.wait()
        rig.kube.remove("LLMDeployment", NAMESPACE, "ghost")
        lists = len(rig.kube.reads)
        rig.resync.relisted()
        rig.resync.relisted()
        await rig.kube.settle()
        assert rig.store.keys() == ()
    assert rig.pauses == [1.0]
    assert len(rig.kube.reads) == lists + 1
    task.cancel()


@pytest.mark.parametrize("version", ["abc", ""])
async def test_versions_that_are_no_numbers_prune_nothing_that_may_be_new(version: str) -> None:
    rig = Rig()
    rig.store.upsert("LLMDeployment", llmdeployment(version="xyz"))
    await rig.resync.check()
    assert rig.store.keys() == (KEY,)
