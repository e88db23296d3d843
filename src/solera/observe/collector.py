"""Reads, tick by tick, what the plans want read, and keeps it until the next look at each LLMDeployment.

Every pod, gateway and Prometheus is read by a task of its own that is never started twice at a time, so a slow one delays nobody. Whatever
happens in a task ends there, as one line in the log when it begins and one when it is over.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from solera.config import DIRECT, Probe
from solera.kinds import Key
from solera.observe.followed import PROBE, Followed, Try, Unit, errors, unmeasurable, unreachable
from solera.observe.metrics import MetricSource, SourceResult, Target
from solera.observe.probe import Prober, ProbeResult, ProbeTarget
from solera.observe.wanted import Request, request_of
from solera.plan.evidence import Reading
from solera.plan.ledger import Measure
from solera.plan.types import Observation, Plan

log = logging.getLogger("solera.collector")

_GONE = object()
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Source:
    """A source and how often it is read."""

    reader: MetricSource
    every: timedelta


class Collector:
    """The evidence of every LLMDeployment that is followed.

    ``sources`` are the administrator's, by the name that specs use, ``Direct`` among them; ``gateways`` the names of those that are read along
    with Direct, since they see the requests that no engine answered. ``on_news`` is called, in the event loop, when something
    was learned that a new look should know.
    """

    def __init__(
        self,
        sources: Mapping[str, Source],
        prober: Prober,
        *,
        on_news: Callable[[Key], None],
        clock: Callable[[], datetime],
        gateways: Sequence[str] = (),
        tick: timedelta = timedelta(seconds=1),
        probing: Probe | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._sources = dict(sources)
        self._prober = prober
        self._on_news = on_news
        self._clock = clock
        self._gateways = tuple(gateways)
        self._every = tick
        self._probing = probing or Probe()
        self._sleep = sleep
        self._followed: dict[Key, Followed] = {}
        self._tasks: dict[tuple[Key, Unit], asyncio.Task[None]] = {}

    # What the reconciler asks and tells.

    def follow(self, observation: Observation, plan: Plan) -> None:
        """From now on measure ``plan.measure`` and probe ``plan.probe``, with the pods that were observed."""
        self.want((observation.owner.namespace, observation.owner.name), request_of(observation, plan))

    def want(self, key: Key, request: Request) -> None:
        """From now on read what ``request`` says for ``key``; what is no longer wanted is forgotten."""
        known = self._followed.setdefault(key, Followed())
        if known.request == request:
            return
        known.request = request
        units = set(self._units(request))
        known.results = {unit: result for unit, result in known.results.items() if unit in units}
        known.gave &= units
        known.due = {unit: at for unit, at in known.due.items() if unit in units}
        # A pod that is no longer probed stays answered, until its container ends.
        known.tries = {uid: one for uid, one in known.tries.items() if one.started == request.alive.get(uid, _GONE)}

    def forget(self, key: Key) -> None:
        """The LLMDeployment is gone."""
        self._followed.pop(key, None)

    def pending(self, key: Key) -> Sequence[Reading]:
        """The readings since the last call; they are handed out once."""
        known = self._followed.get(key)
        return known.pending.drain() if known else ()

    def answered(self, key: Key) -> Collection[str]:
        """Uids of the pods that gave a real completion since their engine's container started."""
        known = self._followed.get(key)
        return frozenset(uid for uid, one in known.tries.items() if one.answered) if known else frozenset()

    def asked(self, key: Key) -> Collection[str]:
        """Uids of the pods that were asked for a completion since their engine's container started, whatever came of it."""
        known = self._followed.get(key)
        return frozenset(known.tries) if known else frozenset()

    def mute(self, key: Key) -> Mapping[str, str]:
        """Uids of the pods that are healthy and gave no completion when they were asked last, each with why."""
        known = self._followed.get(key)
        return {uid: one.problem for uid, one in known.tries.items() if one.problem is not None} if known else {}

    def errors(self, key: Key) -> Mapping[str, str]:
        """Metric source to why it cannot be read now, and ``Probe`` to why a healthy pod gives no completion."""
        known = self._followed.get(key)
        return errors(known) if known else {}

    def unreachable(self, key: Key) -> Mapping[str, str]:
        """Source as the ledger names it to why its newest look told nothing of a revision."""
        known = self._followed.get(key)
        kinds = {DIRECT: "engine"} | dict.fromkeys(self._gateways, "gateway")
        found = unreachable(known).items() if known else ()
        return {kinds.get(name, "prometheus"): f"{name}: {why}" for name, why in found}

    def unmeasurable(self, key: Key) -> Mapping[str, str]:
        """Guardrail to why none of its sources can measure it."""
        known = self._followed.get(key)
        return unmeasurable(known, self._names(known.request), self._sources) if known else {}

    # The loop.

    async def run(self) -> None:
        """Tick until cancelled."""
        trouble: str | None = None
        try:
            while True:
                try:
                    self.tick(self._clock())
                    trouble = None
                except Exception as error:
                    if str(error) != trouble:
                        log.exception("a round of readings could not be started")
                    trouble = str(error)
                await self._sleep(self._every.total_seconds())
        finally:
            await self.stop()

    def tick(self, now: datetime) -> None:
        """Start every reading and probe that is due and not still running."""
        for key, known in list(self._followed.items()):
            for unit in self._units(known.request):
                if known.due.get(unit, now) <= now and self._start(key, unit, self._measure(key, unit, now)):
                    known.due[unit] = _next(now, self._sources[unit[0]].every) - self._every / 2
            for target in known.request.probes:
                one = known.tries.get(target.instance)
                if one is None or (one.next_at <= now and not (one.answered and target.again is None)):
                    self._start(key, (PROBE, target.instance), self._probe(key, target))

    async def settle(self) -> None:
        """Wait until nothing is being read or probed."""
        while self._tasks:
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def stop(self) -> None:
        """End everything that is running."""
        for task in list(self._tasks.values()):
            task.cancel()
        await self.settle()

    def _names(self, request: Request) -> tuple[str, ...]:
        return (DIRECT, *self._gateways) if request.source == DIRECT else (request.source,)

    def _units(self, request: Request) -> list[Unit]:
        if not request.targets:
            return []
        names = [name for name in self._names(request) if name in self._sources]
        pods = [(DIRECT, t.instance) for t in request.targets if DIRECT in names]
        return pods + [(name, "") for name in names if name != DIRECT]

    def _start(self, key: Key, unit: Unit, work: Coroutine[Any, Any, None]) -> bool:
        if (key, unit) in self._tasks:
            work.close()
            return False
        task = asyncio.get_running_loop().create_task(work)
        self._tasks[key, unit] = task
        task.add_done_callback(lambda _: self._tasks.pop((key, unit), None))
        return True

    async def _measure(self, key: Key, unit: Unit, now: datetime) -> None:
        known = self._followed.get(key)
        if known is None:
            return
        request = known.request
        name, uid = unit
        targets = [self._as_known(known, t) for t in request.targets if uid in ("", t.instance)]
        try:
            result = await self._sources[name].reader.read(targets, request.guardrails, now)
        except Exception as error:
            log.debug("reading %s failed", name, exc_info=True)
            result = SourceResult(errors={uid or name: f"Failed: {type(error).__name__}: {error}"})
        if self._followed.get(key) is not known or unit not in self._units(known.request):
            return
        before = self._troubles(key)
        by = self._clock()
        measures = {g.name: Measure(g.metric, g.slower_than) for g in request.guardrails}
        counted = known.pending.add(
            replace(r, measures=measures, by=by if r.flights and by > r.at else r.by) for r in result.readings
        )
        known.results[unit] = replace(result, readings=())
        known.gave = known.gave | {unit} if result.readings else known.gave - {unit}
        self._tell(key, known)
        if counted or before != self._troubles(key):
            self._on_news(key)

    def _troubles(self, key: Key) -> tuple[Mapping[str, str], ...]:
        return self.errors(key), self.unreachable(key), self.unmeasurable(key)

    @staticmethod
    def _as_known(known: Followed, target: Target) -> Target:
        one = known.tries.get(target.instance)
        return target if one is None else replace(target, answered=one.answered)

    async def _probe(self, key: Key, target: ProbeTarget) -> None:
        try:
            result = await self._prober.probe(target)
        except Exception as error:
            log.debug("probing %s failed", target.pod, exc_info=True)
            result = ProbeResult(answered=False, healthy=True, problem=f"{type(error).__name__}: {error}")
        known = self._followed.get(key)
        if known is None or all(
            (p.instance, p.started) != (target.instance, target.started) for p in known.request.probes
        ):
            return
        before = self.errors(key)
        one = known.tries.get(target.instance)
        wait = (
            self._probing.interval
            if one is None or not result.healthy
            else min(one.wait * 2, self._probing.max_interval)
        )
        if result.answered and target.again is not None:
            wait = target.again
        problem = (
            f"{target.pod or target.instance}: {result.problem}" if result.healthy and not result.answered else None
        )
        known.tries[target.instance] = Try(target.started, self._clock() + wait, wait, result.answered, problem)
        if result.answered:
            # Read it before anybody hears that it answers: what cannot be measured must be known before the first traffic.
            await self._measure_afresh(key, (DIRECT, target.instance))
        self._tell(key, known)
        if result.answered or before != self.errors(key):
            self._on_news(key)

    async def _measure_afresh(self, key: Key, unit: Unit) -> None:
        """One reading from now on, whatever is being read already."""
        if (running := self._tasks.get((key, unit))) is not None:
            await asyncio.wait([running])
        known = self._followed.get(key)
        if known is not None and unit in self._units(known.request):
            self._start(key, unit, self._measure(key, unit, self._clock()))
            await asyncio.wait([self._tasks[key, unit]])

    def _tell(self, key: Key, known: Followed) -> None:
        """One line in the log for what is new, none for what goes on."""
        now_told = errors(known)
        for name, text in now_told.items():
            if known.told.get(name) != text:
                log.warning("%s/%s: %s: %s", *key, name, text)
        for name in known.told.keys() - now_told.keys():
            log.info("%s/%s: %s: well again", *key, name)
        known.told = now_told


def _next(now: datetime, every: timedelta) -> datetime:
    """The next whole multiple of ``every``: all LLMDeployments come to a source at the same time, and share its answer.

    The caller takes half a tick off: one that comes a little early must not become a reading left out.
    """
    return _EPOCH + ((now - _EPOCH) // every + 1) * every
