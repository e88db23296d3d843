"""The default source: the operator reads each pod's own /metrics. Needs no server and no set-up beyond a network path to the pods."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime

import httpx

from solera.observe import engines, exposition, inflight
from solera.observe.fetch import Answer, Unreachable, authority, fetch
from solera.observe.metrics import GuardrailQuery, SourceResult, Target, Unreadable
from solera.plan.evidence import Reading

NO_METRICS = {
    "SGLang": "start it with --enable-metrics",
    "llama.cpp": "start it with --metrics",
    "vLLM": "remove --disable-log-stats and what else hides /metrics",
}


MOST_SLOW = 10_000
NO_SUCH_PATH = frozenset({404, 501})


class DirectSource:
    """Reads pods over HTTP: only those it is given, at most ``concurrency`` at a time.

    A pod that did not answer in time is read in a lane of its own until it does, so that pods which hang take no place from others.
    """

    def __init__(
        self, http: httpx.AsyncClient, *, timeout: float = 2.0, max_bytes: int = 4 << 20, concurrency: int = 20
    ) -> None:
        self._http = http
        self._timeout = timeout
        self._max_bytes = max_bytes
        self._lane = asyncio.Semaphore(concurrency)
        self._slow_lane = asyncio.Semaphore(max(1, concurrency // 4))
        self._slow: set[str] = set()

    async def read(
        self, targets: Sequence[Target], guardrails: Sequence[GuardrailQuery], now: datetime
    ) -> SourceResult:
        """See ``MetricSource``. Errors are by pod uid."""
        results = await asyncio.gather(*(self._read_one(target, guardrails, now) for target in targets))
        return merge(results)

    async def _read_one(self, target: Target, guardrails: Sequence[GuardrailQuery], now: datetime) -> SourceResult:
        try:
            answer = await self._fetch(target)
            if answer.status in NO_SUCH_PATH:
                hint = NO_METRICS.get(target.engine, "export Prometheus metrics at /metrics")
                why = f"{target.engine} answers {answer.status} at /metrics: {hint}, or name a gateway as the source of metrics"
                return SourceResult(unmeasurable={g.name: why for g in guardrails})
            found = exposition.parse(answer.text, engines.names(), optional=inflight.NAMES)
            measured = engines.measure(found, engines.shown_in(answer.text), guardrails)
        except Unreachable as error:
            return SourceResult(errors={target.instance: str(error)})
        except Unreadable as error:
            where = authority(target.ip, target.port)
            return SourceResult(errors={target.instance: f"Unreadable: /metrics of {where}: {error}"})
        begun = exposition.started(found) or (f"{target.started.timestamp():.2f}" if target.started else "")
        reading = Reading(
            at=now,
            source="engine",
            revision=target.revision,
            instance=target.instance,
            started=begun,
            counters=measured.counters,
            flights=measured.flights,
        )
        return SourceResult(
            readings=(reading,) if measured.counters else (),
            unmeasurable={**measured.unmeasurable, **(measured.absent if target.answered else {})},
        )

    async def _fetch(self, target: Target) -> Answer:
        slow = target.instance in self._slow
        async with self._slow_lane if slow else self._lane:
            try:
                url = f"http://{authority(target.ip, target.port)}/metrics"
                answer = await fetch(self._http, url, within=self._timeout, max_bytes=self._max_bytes)
            except Unreachable:
                if len(self._slow) >= MOST_SLOW:  # most of them have long been deleted
                    self._slow.clear()
                self._slow.add(target.instance)
                raise
        self._slow.discard(target.instance)
        if answer.status not in {200, *NO_SUCH_PATH}:
            raise Unreachable(f"{authority(target.ip, target.port)} answers {answer.status} at /metrics")
        return answer


def merge(results: Sequence[SourceResult]) -> SourceResult:
    """All of them as one; of several reasons for one guardrail the first is kept."""
    errors: dict[str, str] = {}
    unmeasurable: dict[str, str] = {}
    for result in results:
        errors.update(result.errors)
        for name, why in result.unmeasurable.items():
            unmeasurable.setdefault(name, why)
    return SourceResult(tuple(r for result in results for r in result.readings), errors, unmeasurable)
