"""Takes the Lease, keeps it, gives it back, and answers at any moment whether this process may write."""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Protocol

from solera.errors import Conflict, KubeError, NotFound, NotLeading
from solera.kinds import LEASE
from solera.operator.leadership import LeaseLost
from solera.operator.lease import Sight, Timing, holder_of, released, remade, renewed, sight, taken, wait

Manifest = dict[str, Any]

log = logging.getLogger(__name__)


class Leases(Protocol):
    """The requests that this needs; ``solera.apply.kube.KubeClient`` has them. All raise ``KubeError``s."""

    async def get(self, kind: str, namespace: str, name: str) -> Manifest:
        """One live object."""

    async def create_lease(self, manifest: Manifest) -> Manifest:
        """Create one Lease; ``Conflict`` when it exists."""

    async def replace_lease(self, manifest: Manifest) -> Manifest:
        """Replace exactly the version that ``manifest`` names."""


def _wall() -> datetime:
    return datetime.now(UTC)


class Election:
    """Leadership by the Lease at ``place`` (namespace, name).

    ``identity`` is of this process alone, and begins with the name of its ``pod`` and "_" where it has one. ``on_change`` is
    called for each change of the holder that is seen. ``clock`` is monotonic, in seconds.
    """

    def __init__(
        self,
        leases: Leases,
        place: tuple[str, str],
        identity: str,
        *,
        pod: str | None = None,
        timing: Timing | None = None,
        on_change: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], datetime] = _wall,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._leases = leases
        self._place = place
        self._identity = identity
        self._pod = pod
        self._timing = timing or Timing()
        self._on_change = on_change
        self._clock = clock
        self._wall = wall
        self._sleep = sleep
        self._jitter = jitter
        self._seen: Sight | None = None
        self._holder = ""  # the last one that was seen; a Lease that is free has none for a while
        self._lease: Manifest | None = None
        self._good = -math.inf  # start of the last attempt that made or renewed the Lease
        self._trouble = ""
        self._closed = False
        self._released = False
        self._one = asyncio.Lock()

    @property
    def leading(self) -> bool:
        """Whether the Lease is ours and this process may write."""
        return not self._closed and self._holds()

    def _holds(self) -> bool:
        return self._clock() < self._good + self._timing.deadline

    def may_write(self) -> float:
        """Seconds that a write which begins now may take: they end when another process may begin. Raises ``NotLeading``."""
        now = self._clock()
        if self._closed:
            raise NotLeading("this process is about to stop")
        if now >= self._good + self._timing.deadline:
            raise NotLeading("this process does not hold the Lease, or not for certain")
        return self._good + self._timing.duration - now

    def told(self) -> str:
        """Who leads, in words."""
        if self.leading:
            return f"leading as {self._identity}"
        holder = self._seen.holder if self._seen else None
        return f"standing by; {holder or 'nobody'} leads"

    def problem(self) -> str | None:
        """See ``Leadership.problem``."""
        return self._trouble or None

    async def acquire(self) -> None:
        """Wait until the Lease is ours. What the apiserver refuses is tried again."""
        told = ""
        while True:
            pause = await self._guarded(self._try_to_take)
            if self._holds():
                log.info("leading as %s", self._identity)
                return
            text = self._trouble or self.told()
            if text != told:
                log.log(logging.WARNING if self._trouble else logging.INFO, "%s", text)
                told = text
            await self._sleep(min(pause, self._timing.retry * (0.9 + 0.2 * self._jitter())))

    async def hold(self) -> None:
        """Renew the Lease until cancelled. Raises ``LeaseLost`` when another holds it, or when it was not renewed in time."""
        due = self._good + self._timing.renew
        while True:
            await self._sleep(max(min(due, self._good + self._timing.deadline) - self._clock(), 0.0))
            if self._released:
                await asyncio.Event().wait()
            started = self._clock()
            if not self._holds():
                raise LeaseLost(
                    f"the Lease {'/'.join(self._place)} was last renewed {started - self._good:.1f} s ago"
                    f" and {self._timing.deadline:.1f} s is the limit: {self._trouble or 'this process was not running'}"
                )
            await self._guarded(self._renew)
            good = self._good >= started
            due = started + self._timing.renew if good else max(started + self._timing.retry, self._clock())

    def close(self) -> None:
        """See ``Leadership.close``."""
        self._closed = True

    async def release(self) -> None:
        """Give the Lease back if it is ours; an attempt that is under way ends first."""
        self._closed = self._released = True
        async with self._one:
            if self._lease is None or not self._holds():
                return
            self._good = -math.inf
            try:
                async with asyncio.timeout(self._timing.attempt):
                    await self._leases.replace_lease(released(self._lease, self._wall()))
            except (KubeError, TimeoutError) as error:
                log.warning("the Lease is not given back, it runs out by itself: %s", _words(error))
            else:
                log.info("the Lease is given back")

    async def _guarded(self, attempt: Callable[[float], Awaitable[float]]) -> float:
        """One attempt, on its own and limited in time. Returns the seconds that nothing will change by itself."""
        async with self._one:
            started = self._clock()
            limit = min(self._timing.attempt, self._good + self._timing.deadline - started)
            if self._released:
                return self._timing.retry
            try:
                async with asyncio.timeout(limit if limit > 0 else self._timing.attempt):
                    pause = await attempt(started)
            except (KubeError, TimeoutError) as error:
                self._trouble = _words(error)
                return self._timing.retry
            self._trouble = ""
            return pause

    async def _try_to_take(self, started: float) -> float:
        live = await self._look()
        assert self._seen is not None
        if (pause := wait(self._seen, self._identity, self._pod, self._clock())) > 0:
            return pause
        manifest = taken(live, self._place, self._identity, self._timing, self._wall())
        try:
            made = await (self._leases.create_lease(manifest) if live is None else self._leases.replace_lease(manifest))
        except Conflict:
            return self._timing.retry  # somebody was faster
        self._ours(made, started)
        return 0.0

    async def _renew(self, started: float) -> float:
        assert self._lease is not None
        try:
            made = await self._leases.replace_lease(renewed(self._lease, self._wall()))
        except (Conflict, NotFound):
            await self._renew_what_is_there(await self._look(), started)
        else:
            self._ours(made, started)
        return 0.0

    async def _renew_what_is_there(self, live: Manifest | None, started: float) -> None:
        if live is None:  # deleted by another hand, and nobody else takes it before we must have given up
            assert self._lease is not None
            self._ours(await self._leases.create_lease(remade(self._lease, self._wall())), started)
            log.warning("the Lease was deleted; made again")
        elif (holder := holder_of(live)) == self._identity:
            self._ours(await self._leases.replace_lease(renewed(live, self._wall())), started)
        else:
            self._good = -math.inf
            raise LeaseLost(f"the Lease {'/'.join(self._place)} is held by {holder or 'nobody'} now")

    async def _look(self) -> Manifest | None:
        try:
            live = await self._leases.get(LEASE.kind, *self._place)
        except NotFound:
            live = None
        self._notice(live)
        return live

    def _ours(self, made: Manifest, started: float) -> None:
        self._lease, self._good = made, started
        self._notice(made)

    def _notice(self, live: Manifest | None) -> None:
        self._seen = sight(self._seen, live, self._timing.duration, self._clock())
        holder = self._seen.holder
        if not holder or holder == self._holder:
            return
        if self._holder or holder == self._identity:
            self._on_change()
        self._holder = holder


def _words(error: BaseException) -> str:
    return str(error) or "no answer in time"
