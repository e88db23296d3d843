"""List and watch one kind, for ever: what the apiserver has, given to a sink, with nothing that vanished left behind.

kopf's own watching is not used for children: after a 410 it does not report what vanished in the gap, and it costs several times as much.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, Protocol

from solera.errors import Gone, Invalid, KubeError, NotFound
from solera.kinds import LABEL_LLMDEPLOYMENT, Resource

Manifest = dict[str, Any]

FIRST_BACKOFF = 0.2
LAST_BACKOFF = 5.0
INITIAL_EVENTS_END = "k8s.io/initial-events-end"
_FUTURE = "Too large resource version"  # the server went back in time: restored from a backup


class ListWatch(Protocol):
    """The two reads that an informer needs; ``solera.apply.kube.Kube`` has them."""

    async def list_page(
        self, kind: str, namespace: str | None = None, *, selector: str = "", limit: int = 500, token: str = ""
    ) -> Manifest:
        """One page of a list."""

    def watch(
        self,
        kind: str,
        namespace: str | None = None,
        *,
        selector: str = "",
        resource_version: str = "",
        initial_events: bool = False,
    ) -> AsyncGenerator[Manifest, None]:
        """Watch events until the stream ends; an OPENED without object tells that the server accepted."""


class Sink(Protocol):
    """Where the objects go; ``solera.observe.store.Store`` is one."""

    def upsert(self, kind: str, obj: Manifest) -> None:
        """Take an object as it is now."""

    def remove(self, kind: str, obj: Manifest) -> None:
        """Forget an object that was deleted."""

    def replace(self, kind: str, objects: list[Manifest], namespace: str | None = None) -> int:
        """Take ``objects`` for all that there are (in ``namespace``); returns how many others were forgotten."""


class Informer:
    """Keeps ``sink`` equal to the apiserver's objects of one kind (in one namespace) that carry the label of an LLMDeployment.

    ``synced`` is set once the first list is complete. ``problem`` says why the stream is down now, None while it is up.
    ``last_alive`` (``clock``'s seconds) is the last time that a byte came or a new try began.
    """

    def __init__(
        self,
        source: ListWatch,
        resource: Resource,
        sink: Sink,
        *,
        namespace: str | None = None,
        selector: str = LABEL_LLMDEPLOYMENT,
        trim: Callable[[Manifest], Manifest],
        on_restart: Callable[[str, str], None] = lambda _kind, _why: None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.kind = resource.kind
        self.synced = asyncio.Event()
        self.problem: str | None = None
        self.last_alive = clock()
        self._api_version = resource.api_version
        self._source = source
        self._sink = sink
        self._namespace = namespace
        self._selector = selector
        self._trim = trim
        self._on_restart = on_restart
        self._clock = clock
        self._sleep = sleep
        self._jitter = jitter
        self._version = ""  # "" means: list before the next watch
        self._streamed_list = True
        self._backoff = FIRST_BACKOFF

    async def run(self) -> None:
        """Run until cancelled; every error of the apiserver is retried."""
        while True:
            self.last_alive = self._clock()
            try:
                await self._list_then_watch()
                why = "the stream ended"
                self._backoff = FIRST_BACKOFF
            except Gone as error:
                self._version, why = "", str(error)
            except KubeError as error:
                why = self.problem = self._explain(error)
                if isinstance(error, Invalid) and not self._version:
                    self._streamed_list = False  # before Kubernetes 1.34, or switched off
                elif _FUTURE in error.message:
                    self._version = ""
            self._on_restart(self.kind, why)
            await self._sleep(self._backoff * (0.5 + self._jitter()))
            self._backoff = min(self._backoff * 2, LAST_BACKOFF)

    async def _list_then_watch(self) -> None:
        if not self._version and not self._streamed_list:
            self._take(*await self._paged_list())
        initial: list[Manifest] | None = None if self._version else []
        events = self._source.watch(
            self.kind,
            self._namespace,
            selector=self._selector,
            resource_version=self._version,
            initial_events=initial is not None,
        )
        async with aclosing(events) as stream:
            async for event in stream:
                self.last_alive = self._clock()
                if event["type"] == "OPENED":
                    self.problem = None
                    continue
                obj: Manifest = event["object"]
                metadata = obj["metadata"]
                if initial is None:
                    self._version = metadata["resourceVersion"]
                    self._backoff = FIRST_BACKOFF
                    self._pass_on(event["type"], obj)
                elif event["type"] != "BOOKMARK":
                    initial.append(self._trim(obj))
                elif (metadata.get("annotations") or {}).get(INITIAL_EVENTS_END) == "true":
                    self._take(initial, metadata["resourceVersion"])
                    initial = None

    async def _paged_list(self) -> tuple[list[Manifest], str]:
        objects: list[Manifest] = []
        token = ""
        while True:
            page = await self._source.list_page(self.kind, self._namespace, selector=self._selector, token=token)
            self.last_alive = self._clock()
            what = {"apiVersion": self._api_version, "kind": self.kind}  # items of a list do not say what they are
            objects += [self._trim({**item, **what}) for item in page.get("items") or []]
            token = page["metadata"].get("continue") or ""
            if not token:
                return objects, page["metadata"]["resourceVersion"]

    def _take(self, objects: list[Manifest], version: str) -> None:
        self._sink.replace(self.kind, objects, self._namespace)
        self._version = version
        self._backoff = FIRST_BACKOFF
        self.problem = None
        self.synced.set()

    def _pass_on(self, event: str, obj: Manifest) -> None:
        if event == "DELETED":
            self._sink.remove(self.kind, obj)
        elif event in {"ADDED", "MODIFIED"}:
            self._sink.upsert(self.kind, self._trim(obj))

    def _explain(self, error: KubeError) -> str:
        if isinstance(error, NotFound):
            return (
                f"{self.kind} ({self._api_version}) is not served by this cluster: install its CustomResourceDefinition"
            )
        return str(error)


def trim(obj: Manifest) -> Manifest:
    """Without ``managedFields``: half of an object's size, and nobody reads them here."""
    obj["metadata"].pop("managedFields", None)
    return obj


_POD_METADATA = (
    *("name", "namespace", "uid", "resourceVersion", "labels", "creationTimestamp", "deletionTimestamp"),
    "ownerReferences",
)
_POD_STATUS = ("phase", "podIP", "conditions", "reason", "message", "containerStatuses", "initContainerStatuses")


def trim_pod(pod: Manifest) -> Manifest:
    """What the planner and the collector read of a pod: 5.8 kB become less than 2."""
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {k: pod["metadata"][k] for k in _POD_METADATA if k in pod["metadata"]},
        "spec": {
            "nodeName": spec.get("nodeName", ""),
            "containers": [{"name": c["name"], "ports": c.get("ports") or []} for c in spec.get("containers") or []],
        },
        "status": {k: status[k] for k in _POD_STATUS if k in status},
    }
