from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from solera.errors import Forbidden, KubeError, NotFound, Unavailable
from solera.kinds import DEPLOYMENT, HTTP_ROUTE, POD
from solera.observe.informer import Informer, trim, trim_pod
from solera.observe.store import Store
from twin.kube import MemoryKube
from twin.objects import CREATED, KEY, NAMESPACE, child, route


class Rig:
    """A store kept by one informer from an apiserver in memory; its pauses are recorded and take no time."""

    def __init__(self, kind: Any = DEPLOYMENT, **options: Any) -> None:
        self.kube = MemoryKube()
        self.woken: list[tuple[str, str]] = []
        self.store = Store(self.woken.append)
        self.pauses: list[float] = []
        self.restarts: list[tuple[str, str]] = []
        self.time = 1000.0
        self.informer = Informer(
            self.kube,
            kind,
            self.store,
            trim=options.pop("trim", trim),
            on_restart=lambda *args: self.restarts.append(args),
            clock=lambda: self.time,
            sleep=self._sleep,
            jitter=lambda: 0.5,
            **options,
        )

    async def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(0)

    def names(self) -> list[str]:
        return sorted(d["metadata"]["name"] for d in self.store.children(KEY, self.informer.kind))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.informer.run())
        try:
            async with asyncio.timeout(5):
                await self.informer.synced.wait()
                yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def deployment(name: str, **kwargs: Any) -> dict[str, Any]:
    return child("Deployment", name, **kwargs)


@pytest.mark.parametrize("streamed", [True, False])
async def test_it_lists_and_then_follows(streamed: bool) -> None:
    rig = Rig()
    rig.kube.streamed_lists = streamed
    rig.kube.page = 2
    for name in ("a", "b", "c"):
        rig.kube.put(deployment(name))
    rig.kube.put(deployment("not-ours", of=None))
    async with rig.running():
        assert rig.names() == ["a", "b", "c"]
        rig.kube.put(deployment("d"))
        rig.kube.remove("Deployment", NAMESPACE, "a")
        rig.kube.edit("Deployment", NAMESPACE, "b", lambda o: o.update(spec={"replicas": 7}))
        await rig.kube.settle()
        assert rig.names() == ["b", "c", "d"]
        assert rig.store.get("Deployment", NAMESPACE, "b")["spec"] == {"replicas": 7}  # type: ignore[index]
        assert rig.informer.problem is None
    kinds = [verb for verb, _, _ in rig.kube.reads]
    assert kinds == (["watch"] if streamed else ["watch", "list", "list", "watch"])


async def test_listed_objects_say_what_they_are() -> None:
    rig = Rig()
    rig.kube.streamed_lists = False
    rig.kube.put(deployment("a"))
    async with rig.running():
        seen = rig.store.get("Deployment", NAMESPACE, "a")
        assert seen is not None
        assert (seen["apiVersion"], seen["kind"]) == ("apps/v1", "Deployment")


async def test_after_a_gap_with_410_what_vanished_is_forgotten() -> None:
    rig = Rig()
    rig.kube.put(deployment("stays"))
    rig.kube.put(deployment("ghost"))
    async with rig.running():
        rig.kube.remove("Deployment", NAMESPACE, "ghost")
        rig.kube.forget_history()
        rig.woken.clear()
        await rig.kube.cut_streams()
        await rig.kube.settle()
        assert rig.names() == ["stays"]
        assert rig.woken == [KEY]
    assert any("too old" in why for _, why in rig.restarts)


async def test_a_stream_that_ends_is_resumed_without_a_list() -> None:
    rig = Rig()
    rig.kube.streamed_lists = False
    async with rig.running():
        lists = sum(verb == "list" for verb, _, _ in rig.kube.reads)
        rig.kube.put(deployment("during"))
        await rig.kube.cut_streams()
        rig.kube.put(deployment("after"))
        await rig.kube.settle()
        assert rig.names() == ["after", "during"]
        assert sum(verb == "list" for verb, _, _ in rig.kube.reads) == lists
    assert rig.restarts[-1] == ("Deployment", "the stream ended")


async def test_backoff_grows_to_five_seconds_and_starts_anew_after_success() -> None:
    rig = Rig()
    failures = 8

    def fail(verb: str, kind: str, _name: str) -> None:
        nonlocal failures
        if verb == "watch" and failures:
            failures -= 1
            raise Unavailable(f"watch {kind}", "connection refused")

    rig.kube.fail = fail
    async with rig.running():
        assert rig.pauses == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]
        assert rig.informer.problem is None
        rig.pauses.clear()
        await rig.kube.cut_streams()
        await rig.kube.settle()
        assert rig.pauses == [0.2]


async def test_a_kind_that_is_not_served_is_named_and_tried_again() -> None:
    rig = Rig(HTTP_ROUTE)
    rig.kube.unserved = {"HTTPRoute"}
    task = asyncio.create_task(rig.informer.run())
    await rig.kube.settle()
    assert rig.informer.problem == (
        "HTTPRoute (gateway.networking.k8s.io/v1) is not served by this cluster: install its CustomResourceDefinition"
    )
    assert not rig.informer.synced.is_set()
    rig.kube.unserved = set()
    rig.kube.put(route({"x": 1}))
    async with asyncio.timeout(5):
        await rig.informer.synced.wait()
    assert rig.names() == ["chat"]
    task.cancel()


@pytest.mark.parametrize("error", [Forbidden("watch Deployment", "no right"), NotFound("watch Deployment", "gone")])
async def test_what_is_known_stays_while_the_stream_is_down(error: KubeError) -> None:
    rig = Rig()
    rig.kube.put(deployment("a"))
    async with rig.running():

        def fail(verb: str, _kind: str, _name: str) -> None:
            raise error

        rig.kube.fail = fail
        await rig.kube.cut_streams()
        await rig.kube.settle()
        assert rig.names() == ["a"]
        assert rig.informer.problem is not None
        rig.kube.fail = lambda *_: None
        await rig.kube.settle()
        assert rig.informer.problem is None, "an open stream is enough, an event may be a minute away"


async def test_an_apiserver_that_went_back_in_time_is_listed_anew() -> None:
    rig = Rig()
    rig.kube.put(deployment("a", spec={"replicas": 1}))
    async with rig.running():
        told = False

        def fail(verb: str, kind: str, _name: str) -> None:
            nonlocal told
            if verb == "watch" and not told:
                told = True
                raise Unavailable(f"watch {kind}", "Too large resource version: 900, current: 7", status=504)

        rig.kube.fail = fail
        rig.kube._events.clear()
        rig.kube._version = 0
        rig.kube.objects.clear()
        rig.kube.put(deployment("b"))
        await rig.kube.cut_streams()
        await rig.kube.settle()
        await rig.kube.settle()
        assert told
        assert rig.names() == ["b"], rig.restarts


async def test_every_byte_and_every_try_counts_as_life() -> None:
    rig = Rig()
    async with rig.running():
        rig.time = 1060.0
        rig.kube.put(deployment("a"))
        await rig.kube.settle()
        assert rig.informer.last_alive == 1060.0
        rig.time = 1090.0
        await rig.kube.cut_streams()
        await rig.kube.settle()
        assert rig.informer.last_alive == 1090.0


async def test_one_namespace_alone() -> None:
    rig = Rig(namespace=NAMESPACE)
    rig.kube.put(deployment("a"))
    elsewhere = deployment("b")
    elsewhere["metadata"]["namespace"] = "elsewhere"
    rig.kube.put(elsewhere)
    async with rig.running():
        assert [o["metadata"]["name"] for o in rig.store.objects("Deployment")] == ["a"]


async def test_pods_are_trimmed_to_what_is_read() -> None:
    rig = Rig(POD, trim=trim_pod)
    pod = child("Pod", "p", api_version="v1", spec={"nodeName": "n", "containers": [{"name": "engine", "env": [1]}]})
    pod["metadata"]["managedFields"] = [{"manager": "kubelet"}]
    pod["metadata"] |= {"annotations": {"a": "b"}, "creationTimestamp": CREATED}
    pod["status"] = {"podIP": "10.0.0.1", "qosClass": "Burstable", "conditions": []}
    rig.kube.put(pod)
    async with rig.running():
        seen = rig.store.get("Pod", NAMESPACE, "p")
        assert seen is not None
        assert seen["spec"] == {"nodeName": "n", "containers": [{"name": "engine", "ports": []}]}
        assert seen["status"] == {"podIP": "10.0.0.1", "conditions": []}
        assert seen["metadata"].pop("creationTimestamp") == CREATED
        assert set(seen["metadata"]) == {"name", "namespace", "uid", "resourceVersion", "labels", "ownerReferences"}


def test_managed_fields_are_dropped() -> None:
    assert trim({"metadata": {"name": "a", "managedFields": [1]}}) == {"metadata": {"name": "a"}}
