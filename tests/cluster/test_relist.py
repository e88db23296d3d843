"""After a 410 kopf lists again and says nothing of what vanished: ghosts for whoever listens to its events alone, none in our stores.

Everything here is real but the cut: the apiserver, its lists, its watches, and its 410 as well. While the watches are down the objects are deleted; when
they come back the proxy asks for them from resourceVersion 1, which the apiserver itself has long forgotten, so that it answers "too old
resource version". Nothing of the apiserver is disturbed, and nobody else's watch.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Self

import kopf
import pytest
from kubernetes.aio import config as kube_config
from kubernetes.aio.client import ApiClient, Configuration

from cluster.conftest import Kube
from cluster.operator_process import until
from cluster.proxy import ApiProxy, connections_gone
from solera.apply.kube import KubeClient
from solera.kinds import LABEL_LLMDEPLOYMENT, LLM_DEPLOYMENT, ROLLOUT_RECORD
from solera.observe.informer import Informer, trim
from solera.observe.resync import Resync
from solera.observe.store import Store
from solera.operator.main import _Login, _settings

pytestmark = pytest.mark.cluster

NAMES = ("stays", "goes", "goes-too")


class Forgetful(ApiProxy):
    """Asks for the next watch of each plural in ``aged`` from resourceVersion 1. ``gone`` are the apiserver's own answers to that."""

    def __init__(self) -> None:
        super().__init__()
        self.aged: set[str] = set()
        self.gone: list[str] = []

    async def start(self) -> None:
        await super().start()
        ask = self._session.request

        async def aged(method: str, url: str, **how: Any) -> Any:
            path, _, query = url.partition("?")
            plural = path.rsplit("/", 1)[-1]
            if plural not in self.aged or "watch=" not in query or "sendInitialEvents" in query:
                return await ask(method, url, **how)
            self.aged.discard(plural)
            old = "&".join(part for part in query.split("&") if not part.startswith("resourceVersion="))
            async with await ask(method, f"{path}?{old}&resourceVersion=1", **how) as answer:
                text = await answer.text()
                self.gone.append(text)
                return _Answer(answer.status, text.encode(), dict(answer.headers))

        self._session.request = aged  # type: ignore[method-assign, assignment]


class _Answer:
    """What the apiserver has said, to be passed on."""

    def __init__(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.status, self.headers, self._body = status, headers, body
        self.content = self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def read(self) -> bytes:
        return self._body

    async def iter_any(self) -> AsyncIterator[bytes]:
        yield self._body


@pytest.fixture
async def proxy(cluster: Kube) -> AsyncIterator[Forgetful]:
    proxy = Forgetful()
    await proxy.start()
    yield proxy
    await proxy.stop()
    await connections_gone()


def llmdeployment(name: str) -> dict[str, Any]:
    engine = {"name": "vLLM", "version": "0.18.1", "image": "localhost/none:0"}
    spec = {
        "serve": "v1",
        "template": {"engine": engine},
        "versions": [{"name": "v1", "model": {"uri": "image:///models/v1"}}],
        "traffic": {"gateway": {"parentRefs": [{"name": "inference"}]}},
    }
    return {"apiVersion": "solera.dev/v1alpha1", "kind": "LLMDeployment", "metadata": {"name": name}, "spec": spec}


def record(name: str) -> dict[str, Any]:
    """A child whose history begins with its definition: of a built-in kind a young apiserver still has all of it."""
    metadata = {"name": name, "labels": {LABEL_LLMDEPLOYMENT: name}}
    spec = {"llmdeployment": name, "rolloutId": "none-1"}
    return {"apiVersion": "solera.dev/v1alpha1", "kind": "RolloutRecord", "metadata": metadata, "spec": spec}


async def test_a_410_leaves_ghosts_with_kopfs_events_alone_and_none_in_our_stores(
    kube: Kube, proxy: Forgetful, tmp_path: Path
) -> None:
    for name in NAMES:
        kube.create(llmdeployment(name))
        kube.create(record(name))
    configuration = Configuration()
    await kube_config.load_kube_config(config_file=str(proxy.kubeconfig(tmp_path)), client_configuration=configuration)
    client = KubeClient(ApiClient(configuration))
    alone, ours, children = Store(lambda _: None), Store(lambda _: None), Store(lambda _: None)
    heard: list[tuple[str | None, str]] = []
    resync = Resync(client, ours, namespaces=(kube.namespace,))
    informer = Informer(client, ROLLOUT_RECORD, children, namespace=kube.namespace, trim=trim)
    registry, stop, ready = kopf.OperatorRegistry(), asyncio.Event(), asyncio.Event()

    async def hear(event: Any, **_: Any) -> None:
        kind, obj = event["type"], {**event["object"], "metadata": dict(event["object"]["metadata"])}
        heard.append((kind, obj["metadata"]["name"]))
        if kind is None:
            resync.relisted()
        for store in (alone, ours):
            if kind == "DELETED":
                store.remove(LLM_DEPLOYMENT.kind, obj)
            else:
                store.upsert(LLM_DEPLOYMENT.kind, obj)

    login = _Login(configuration)

    async def log_in(**_: Any) -> kopf.ConnectionInfo:
        return await login()

    kopf.on.login(registry=registry)(log_in)
    kopf.on.event("solera.dev", "v1alpha1", "llmdeployments", registry=registry)(hear)
    tasks = [asyncio.create_task(resync.run()), asyncio.create_task(informer.run())]
    tasks.append(
        asyncio.create_task(
            kopf.operator(
                registry=registry, settings=_settings(), identity="test", standalone=True, namespaces=[kube.namespace],
                stop_flag=stop, ready_flag=ready,
            )
        )
    )  # fmt: skip

    def known(store: Store, kind: str) -> set[str]:
        return {o["metadata"]["name"] for o in store.objects(kind)}

    def all_known() -> bool:
        found = known(alone, "LLMDeployment"), known(ours, "LLMDeployment"), known(children, "RolloutRecord")
        return resync.synced.is_set() and found == (set(NAMES),) * 3

    try:
        await until("everything is known", all_known)
        proxy.down = True
        proxy.cut()
        kube.run("delete", "llmdep", *NAMES[1:])
        kube.run("delete", "rolloutrecord", *NAMES[1:])
        heard.clear()
        proxy.aged |= {"llmdeployments", "rolloutrecords"}
        proxy.down = False
        await until(
            "our stores hold what there is",
            lambda: known(ours, "LLMDeployment") == known(children, "RolloutRecord") == {"stays"},
        )
        assert len(proxy.gone) == 2
        assert all('"code":410' in text and "too old resource version" in text for text in proxy.gone), proxy.gone
        assert (None, "stays") in heard, "kopf has listed again"
        assert "DELETED" not in {kind for kind, _ in heard}
        assert known(alone, "LLMDeployment") == set(NAMES), "by its events alone the two would stay for ever"
        kube.run("delete", "llmdep", "stays")
        await until("what is deleted under a watch is heard of", lambda: not known(ours, "LLMDeployment"))
        assert known(alone, "LLMDeployment") == set(NAMES[1:])
    finally:
        stop.set()
        for task in tasks[:2]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await client.aclose()
