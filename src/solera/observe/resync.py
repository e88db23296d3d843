"""Keeps the LLMDeployments in the store honest by lists of their metadata.

kopf feeds them, and kopf does not report what was deleted while its watch was down. So: one list before the first decision, one a second
after kopf re-listed, and one every ten minutes. The same list shows when kopf itself has gone deaf.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from solera.errors import KubeError
from solera.kinds import LLM_DEPLOYMENT, Key
from solera.observe.store import Store

Manifest = dict[str, Any]

log = logging.getLogger(__name__)

PERIOD = 600.0
AFTER_RELIST = 1.0
RECHECK = 5.0
FIRST_RETRY = 0.2


class MetadataLister(Protocol):
    """The one read that this needs; ``solera.apply.kube.Kube`` has it."""

    async def list_page(
        self, kind: str, namespace: str | None = None, *, token: str = "", metadata_only: bool = False
    ) -> Manifest:
        """One page of a list."""


class Resync:
    """Compares the store with the apiserver and drops what is gone.

    ``behind_since`` (``clock``'s seconds) tells since when the store lacks something that the apiserver has had all along; None: it lacks
    nothing. ``problem`` says why the last list failed.
    """

    def __init__(
        self,
        source: MetadataLister,
        store: Store,
        *,
        namespaces: tuple[str, ...] = (),
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.problem: str | None = None
        self.synced = asyncio.Event()
        self._source = source
        self._store = store
        self._namespaces: tuple[str | None, ...] = namespaces or (None,)
        self._clock = clock
        self._sleep = sleep
        self._jitter = jitter
        self._relisted = asyncio.Event()
        self._lacking: dict[Key, tuple[Manifest, float]] = {}

    def relisted(self) -> None:
        """Kopf has listed the kind again: something may have vanished unseen. Cheap, to be called for each object of that list."""
        if self.synced.is_set():
            self._relisted.set()

    @property
    def behind_since(self) -> float | None:
        """See the class."""
        return min((since for _, since in self._lacking.values()), default=None)

    async def run(self) -> None:
        """Run until cancelled. Sets ``synced`` when the store has once held all that the apiserver had."""
        await self.catch_up()
        self.synced.set()
        while True:
            soon = self.behind_since is not None or self.problem is not None
            await self._wait(RECHECK if soon else PERIOD * (0.9 + 0.2 * self._jitter()))
            await self._try()

    async def catch_up(self) -> None:
        """Wait until the store holds all that the apiserver has now. What changes after the first list may still be on its way."""
        retry, listed = FIRST_RETRY, None
        while True:
            if await self._try():
                listed = self._clock() if listed is None else listed
                if self.behind_since is None or self.behind_since > listed:
                    return
            else:
                listed = None  # what is lacking counts from now on
            await self._sleep(retry)
            retry = min(retry * 2, RECHECK)

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._relisted.wait()
            await self._sleep(AFTER_RELIST)
            self._relisted.clear()
        except TimeoutError:
            pass

    async def _try(self) -> bool:
        try:
            await self.check()
        except KubeError as error:
            self.problem = str(error)
            self._lacking = {key: (metadata, self._clock()) for key, (metadata, _) in self._lacking.items()}
            return False
        self.problem = None
        return True

    async def check(self) -> None:
        """One list of each namespace, compared. What it lacks, and what is not newer than it, is dropped from the store."""
        lacking: dict[Key, tuple[Manifest, float]] = {}
        for namespace in self._namespaces:
            listed, version = await self._list(namespace)
            self._prune(namespace, listed, version)
            for key, metadata in listed.items():
                if self._lacks(key, metadata):
                    # One that changes again and again is heard of again and again, only not of its newest change.
                    before = self._lacking.get(key)
                    still = before is not None and self._lacks(key, before[0])
                    lacking[key] = before if before is not None and still else (metadata, self._clock())
        self._lacking = lacking

    def _prune(self, namespace: str | None, listed: dict[Key, Manifest], version: str) -> None:
        for key in self._store.keys():  # noqa: SIM118 - not a dict
            known = self._store.get(LLM_DEPLOYMENT.kind, *key)
            if known is None or key in listed or namespace not in (None, key[0]):
                continue
            if _at_most(known["metadata"]["resourceVersion"], version):
                about = {"llmdeployment": "/".join(key)}
                log.warning("deleted while the watch was down; forgotten now", extra=about)
                self._store.remove(LLM_DEPLOYMENT.kind, known)

    async def _list(self, namespace: str | None) -> tuple[dict[Key, Manifest], str]:
        found: dict[Key, Manifest] = {}
        token = ""
        while True:
            page = await self._source.list_page(LLM_DEPLOYMENT.kind, namespace, token=token, metadata_only=True)
            for item in page.get("items") or []:
                found[item["metadata"]["namespace"], item["metadata"]["name"]] = item["metadata"]
            token = page["metadata"].get("continue") or ""
            if not token:
                return found, page["metadata"]["resourceVersion"]

    def _lacks(self, key: Key, metadata: Manifest) -> bool:
        known = self._store.get(LLM_DEPLOYMENT.kind, *key)
        if known is None:
            return True
        same = known["metadata"]["uid"] == metadata["uid"]
        have, there = known["metadata"]["resourceVersion"], metadata["resourceVersion"]
        return (not same or have != there) and _at_most(have, there)


def _at_most(one: str, other: str) -> bool:
    """Whether resource version ``one`` is not newer than ``other``; where they are not numbers, only equal ones are known not to be."""
    if one.isdigit() and other.isdigit():
        return int(one) <= int(other)
    return one == other
