"""All parts of the operator put together, without kopf: whoever watches the LLMDeployments tells them to ``Operator.heard``."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import time
from collections.abc import Callable, Coroutine, Iterator
from datetime import timedelta
from typing import Any, Protocol

from solera import __version__
from solera.apply.actions import Executor
from solera.apply.events import Events
from solera.apply.kube import Kube
from solera.kinds import CHILDREN, LLM_DEPLOYMENT, POD, Key
from solera.observe.informer import Informer, trim, trim_pod
from solera.observe.observation import Observer
from solera.observe.resync import Resync
from solera.observe.store import Store
from solera.operator.clock import SteadyClock
from solera.operator.leadership import Alone, Leadership
from solera.operator.reconcile import Collector, Reconciler
from solera.operator.telemetry import Telemetry
from solera.operator.worker import Worker
from solera.operator.workqueue import WorkQueue
from solera.plan.types import Observation, Plan

Manifest = dict[str, Any]

SILENT = 180.0
"""Seconds without a byte or a new try after which a watch is dead: bookmarks come within 75 s, dead connections end after 90 s."""
STUCK = 300.0
"""Seconds without a finished look, while there is something to do, after which the workers are dead: every request has a time limit."""
DEAF = 60.0
"""Seconds after which an LLMDeployment that the apiserver lists must have been heard of."""

log = logging.getLogger(__name__)


class RunningCollector(Collector, Protocol):
    """A collector that works in the background."""

    async def run(self) -> None:
        """Collect until cancelled."""


class Operator:
    """Watches, decides and acts, from ``run`` until that is cancelled.

    ``wake`` makes a key be looked at soon (the collector calls it for new evidence). Every replica watches; decisions, readings and writes
    begin when every kind has been listed once and ``leadership`` is won, and end for good when it is lost.
    """

    def __init__(
        self,
        kube: Kube,
        *,
        planner: Callable[[Observation], Plan],
        collector: RunningCollector,
        telemetry: Telemetry,
        leadership: Leadership | None = None,
        namespaces: tuple[str, ...] = (),
        workers: int = 8,
        resync: timedelta = timedelta(minutes=10),
        clock: SteadyClock | None = None,
    ) -> None:
        self._clock = clock = clock or SteadyClock()
        self.queue: WorkQueue[Key] = WorkQueue()
        self.store = Store(self.wake)
        self.telemetry = telemetry
        self.resync = Resync(kube, self.store, namespaces=namespaces)
        self.informers = tuple(
            Informer(
                kube,
                resource,
                self.store,
                namespace=namespace,
                trim=trim_pod if resource is POD else trim,
                on_restart=self._watch_restarted,
            )
            for resource in CHILDREN
            for namespace in (namespaces or (None,))
        )
        self.collector = collector
        self.leadership = leadership or Alone()
        self._working = False
        self._workers = workers
        self._reconciler = Reconciler(
            store=self.store,
            observer=Observer(self.store, self.collector, operator_version=__version__, on_lost=log.error),
            collector=self.collector,
            planner=planner,
            executor=Executor(kube, self.store),
            events=Events(kube, instance=socket.gethostname()),
            clock=clock,
            resync=resync,
            wall=clock.system,
        )
        telemetry.queue_depth.set_function(lambda: self.queue.depth() if self._working else 0)
        telemetry.leader.set_function(lambda: self._working and self.leadership.leading)
        telemetry.watch_states(self._states)

    def wake(self, key: Key) -> None:
        """Look at an LLMDeployment soon."""
        self.queue.add(key)

    def heard(self, event: str | None, obj: Manifest) -> None:
        """Take a watch event about an LLMDeployment; ``event`` None: it stood in a list."""
        obj = trim({**obj, "metadata": dict(obj["metadata"])})
        if event is None:
            self.resync.relisted()
        if event == "DELETED":
            self.store.remove(LLM_DEPLOYMENT.kind, obj)
        else:
            self.store.upsert(LLM_DEPLOYMENT.kind, obj)

    async def run(self) -> None:
        """Run until cancelled. Raises the first error that a part did not handle itself, ``LeaseLost`` among them, in a group."""
        async with asyncio.TaskGroup() as parts:
            for informer in self.informers:
                parts.create_task(_for_ever(informer.run(), f"watch of {informer.kind}"))
            parts.create_task(_for_ever(self.resync.run(), "resync"))
            await asyncio.gather(*(informer.synced.wait() for informer in self.informers), self.resync.synced.wait())
            log.info("all kinds are listed, %d LLMDeployments", len(self.store.keys()))
            # What is stored now stays: the collector of garbage need not walk through it each time.
            gc.collect()
            gc.freeze()
            await self.leadership.acquire()
            parts.create_task(_for_ever(self.leadership.hold(), "hold on the Lease"))
            # It may have stood by for days, and what kopf has not heard of yet the last leader may have acted on.
            await self.resync.catch_up()
            parts.create_task(_for_ever(self.collector.run(), "collector"))
            self.queue.begin()
            self._working = True
            told: dict[Key, str] = {}
            for number in range(self._workers):
                worker = Worker(self.queue, self._reconciler.reconcile, self.telemetry, told)
                parts.create_task(_for_ever(worker.run(), f"worker {number}"))

    def not_live(self) -> str | None:
        """What only a restart would heal; None when there is no such thing."""
        now = time.monotonic()
        for informer in self.informers:
            if now - informer.last_alive > SILENT:
                return f"the watch of {informer.kind} has been silent for {now - informer.last_alive:.0f} s"
        if self._working and self.queue.stuck_for() > STUCK:
            return f"no look has ended for {self.queue.stuck_for():.0f} s"
        deaf_since = self.resync.behind_since if self.resync.problem is None else None
        if self.resync.synced.is_set() and deaf_since is not None and now - deaf_since > DEAF:
            return f"changes of LLMDeployments have not been heard of for {now - deaf_since:.0f} s"
        return self._clock.problem()

    def not_ready(self) -> str | None:
        """What keeps the operator from its work; None when nothing does."""
        problems = list(dict.fromkeys(self._problems()))
        return "\n".join(problems) or None

    def _problems(self) -> Iterator[str]:
        for informer in self.informers:
            if informer.problem is not None:
                yield informer.problem
            elif not informer.synced.is_set():
                yield f"{informer.kind} is not listed yet"
        if self.resync.problem is not None:
            yield self.resync.problem
        elif not self.resync.synced.is_set():
            yield "LLMDeployments are not listed yet"
        if (problem := self.leadership.problem()) is not None:
            yield problem

    def _watch_restarted(self, kind: str, why: str) -> None:
        self.telemetry.watch_restarted(kind, why)
        log.debug("watch of %s: %s", kind, why)

    def _states(self) -> Iterator[str]:
        if not self._working:
            return  # the leader tells them; a sum over all replicas would count them twice
        for obj in self.store.objects(LLM_DEPLOYMENT.kind):
            yield (obj.get("status") or {}).get("state") or ""


async def _for_ever(part: Coroutine[Any, Any, None], what: str) -> None:
    await part
    raise RuntimeError(f"the {what} ended by itself")
