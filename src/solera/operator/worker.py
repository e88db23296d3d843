"""Takes keys from the queue and reconciles them; whatever happens to one key, the others go on."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable

from solera.errors import Conflict, NotLeading, NotSafe, SoleraError, Throttled, Unavailable
from solera.kinds import Key
from solera.operator.telemetry import Telemetry
from solera.operator.workqueue import WorkQueue

log = logging.getLogger(__name__)

EXPECTED = (Conflict, NotLeading, NotSafe)
"""The world, or the Lease, has moved on between look and write; the next look sees it. Not worth a warning."""


AWAY_AT_MOST = 5.0
"""Longest pause (seconds) while the apiserver does not answer: what failed for its absence alone should not wait long once it is back."""


class Worker:
    """One of several workers of a queue. ``reconcile`` returns the seconds until the next look, None when the key is gone."""

    def __init__(
        self,
        queue: WorkQueue[Key],
        reconcile: Callable[[Key], Awaitable[float | None]],
        telemetry: Telemetry,
        told: dict[Key, str],
    ) -> None:
        self._queue = queue
        self._reconcile = reconcile
        self._telemetry = telemetry
        self._told = told

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            key = await self._queue.get()
            started = time.perf_counter()
            try:
                await self._look(key)
            finally:
                self._telemetry.reconcile_seconds.observe(time.perf_counter() - started)
                self._queue.done(key)

    async def _look(self, key: Key) -> None:
        try:
            pause = await self._reconcile(key)
        except Exception as error:
            self._failed(key, error)
            return
        self._queue.succeeded(key)
        self._told.pop(key, None)
        if pause is None:
            self._queue.forget(key)
        else:
            self._queue.add_after(key, pause)

    def _failed(self, key: Key, error: Exception) -> None:
        self._telemetry.error(type(error).__name__)
        delay = self._queue.retry(key)
        if isinstance(error, Throttled):
            delay = error.retry_after
            self._queue.forget(key)
            self._queue.add_after(key, delay)
        elif isinstance(error, Unavailable):
            delay = min(delay, AWAY_AT_MOST)
            self._queue.add_after(key, delay)
        about = {"llmdeployment": "/".join(key), "reason": type(error).__name__}
        text = f"{type(error).__name__}: {error}"
        if isinstance(error, EXPECTED) or self._told.get(key) == text:
            log.debug("%s; again in %.1f s", text, delay, extra=about)
            return
        self._told[key] = text
        if isinstance(error, SoleraError):
            log.warning("%s; again in %.1f s, told once", text, delay, extra=about)
        else:
            log.error("the look failed; again in %.1f s, told once", delay, extra=about, exc_info=error)
