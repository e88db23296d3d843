"""Which LLMDeployment to look at next: each key at most once in the queue, at most one worker per key, delays, backoff.

``Schedule`` decides, without a clock; ``WorkQueue`` waits. Nothing is lost when a key is added while it is being worked on: it comes again.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections import deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

FIRST_BACKOFF = 0.2
LAST_BACKOFF = 60.0


class Schedule(Generic[K]):
    """The queue's state. All times are seconds of one monotonic clock, given as arguments."""

    def __init__(self) -> None:
        self._ready: deque[K] = deque()
        self._ready_since: dict[K, float] = {}
        self._working: dict[K, float] = {}
        self._dirty: set[K] = set()
        self._due: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._order = 0
        self._failures: dict[K, int] = {}

    def add(self, key: K, now: float) -> None:
        """Work on ``key`` as soon as possible; if it is being worked on, once more afterwards."""
        if key in self._working:
            self._dirty.add(key)
        elif key not in self._ready_since:
            self._ready_since[key] = now
            self._ready.append(key)

    def add_at(self, key: K, due: float) -> None:
        """Work on ``key`` at ``due`` at the latest: of several times the earliest counts, and any work on it clears them."""
        if due >= self._due.get(key, float("inf")):
            return
        self._due[key] = due
        self._order += 1
        heapq.heappush(self._heap, (due, self._order, key))

    def retry_at(self, key: K, now: float) -> float:
        """Work on ``key`` again after its backoff, which doubles with each failure up to ``LAST_BACKOFF``. Returns the delay."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delay = min(FIRST_BACKOFF * 2.0 ** min(failures, 30), LAST_BACKOFF)
        self.add_at(key, now + delay)
        return delay

    def succeeded(self, key: K) -> None:
        """Forget the failures of ``key``."""
        self._failures.pop(key, None)

    def forget(self, key: K) -> None:
        """Forget all plans for ``key``: it is gone."""
        self._failures.pop(key, None)
        self._due.pop(key, None)

    def take(self, now: float) -> K | None:
        """The next key, now being worked on; None when nothing is ready."""
        while self._heap and self._heap[0][0] <= now:
            due, _, key = heapq.heappop(self._heap)
            if self._due.get(key) == due:
                del self._due[key]
                self.add(key, now)
        if not self._ready:
            return None
        key = self._ready.popleft()
        del self._ready_since[key]
        self._due.pop(key, None)
        self._working[key] = now
        return key

    def done(self, key: K, now: float) -> None:
        """Work on ``key`` has ended."""
        del self._working[key]
        if key in self._dirty:
            self._dirty.discard(key)
            self.add(key, now)

    def next_due(self) -> float | None:
        """When the earliest delayed key is due; None when none is."""
        while self._heap and self._due.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def depth(self) -> int:
        """How many keys wait to be worked on now."""
        return len(self._ready)

    def oldest(self) -> float | None:
        """Since when the longest waiting or longest worked-on key is in that state; None when there is neither."""
        return min((*self._ready_since.values(), *self._working.values()), default=None)


class WorkQueue(Generic[K]):
    """A ``Schedule`` on a running event loop, for any number of workers."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._schedule: Schedule[K] = Schedule()
        self._clock = clock
        self._last_done = clock()
        self._wakers: set[asyncio.Future[None]] = set()

    def add(self, key: K) -> None:
        """See ``Schedule.add``."""
        self._schedule.add(key, self._clock())
        self._wake()

    def add_after(self, key: K, delay: float) -> None:
        """See ``Schedule.add_at``; ``delay`` in seconds from now."""
        self._schedule.add_at(key, self._clock() + max(delay, 0.0))
        self._wake()

    def retry(self, key: K) -> float:
        """See ``Schedule.retry_at``."""
        delay = self._schedule.retry_at(key, self._clock())
        self._wake()
        return delay

    def succeeded(self, key: K) -> None:
        """See ``Schedule.succeeded``."""
        self._schedule.succeeded(key)

    def forget(self, key: K) -> None:
        """See ``Schedule.forget``."""
        self._schedule.forget(key)

    async def get(self) -> K:
        """Wait for the next key. The caller must call ``done`` when it has worked on it."""
        while True:
            key = self._schedule.take(self._clock())
            if key is not None:
                return key
            due = self._schedule.next_due()
            waker: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._wakers.add(waker)
            try:
                # Not asyncio.wait_for: before Python 3.12 it drops a cancellation that comes together with the news.
                async with asyncio.timeout(None if due is None else max(due - self._clock(), 0.0)):
                    await waker
            except TimeoutError:
                pass
            finally:
                self._wakers.discard(waker)

    def done(self, key: K) -> None:
        """See ``Schedule.done``."""
        self._last_done = self._clock()
        self._schedule.done(key, self._last_done)
        self._wake()

    def begin(self) -> None:
        """Work begins now; nobody was expected to take anything before."""
        self._last_done = self._clock()

    def depth(self) -> int:
        """See ``Schedule.depth``."""
        return self._schedule.depth()

    def stuck_for(self) -> float:
        """Seconds since any worker finished, as far as there was something to do: a long queue that moves is not stuck."""
        oldest = self._schedule.oldest()
        return 0.0 if oldest is None else max(self._clock() - max(oldest, self._last_done), 0.0)

    def _wake(self) -> None:
        for waker in self._wakers:
            if not waker.done():
                waker.set_result(None)
