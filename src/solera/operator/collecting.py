"""The collector with all sources that the configuration names."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from solera.config import DIRECT, Config, PrometheusSource
from solera.kinds import Key
from solera.observe import prometheus, prometheus_api
from solera.observe.collector import Collector, Source
from solera.observe.direct import DirectSource
from solera.observe.fetch import client
from solera.observe.gateway import GatewaySource
from solera.observe.metrics import GuardrailQuery, MetricSource, SourceResult, Target
from solera.observe.probe import Prober


@asynccontextmanager
async def collecting(
    config: Config,
    *,
    on_news: Callable[[Key], None],
    on_error: Callable[[str], None],
    clock: Callable[[], datetime],
) -> AsyncIterator[Collector]:
    """A collector, and its connections closed at the end. ``on_error`` is told the name of a source for each read that failed."""
    metrics, probe = config.metrics, config.probe
    timeout, limit = metrics.scrape_timeout.total_seconds(), metrics.max_body_bytes
    async with client(metrics.concurrency) as scraping, client(probe.concurrency) as probing:
        direct = DirectSource(scraping, timeout=timeout, max_bytes=limit, concurrency=metrics.concurrency)
        readers: dict[str, Source] = {DIRECT: Source(_Counted(DIRECT, direct, on_error), metrics.scrape_interval)}
        for gateway in metrics.gateways:
            reader = GatewaySource(gateway.name, gateway.endpoint, scraping, timeout=timeout, max_bytes=limit)
            readers[gateway.name] = Source(_Counted(gateway.name, reader, on_error), metrics.scrape_interval)
        for declared in metrics.prometheus_sources:
            counted = _Counted(declared.name, _prometheus(declared, limit), on_error)
            readers[declared.name] = Source(counted, declared.interval)
        yield Collector(
            readers,
            Prober(probing, timeout=probe.timeout.total_seconds(), concurrency=probe.concurrency, prompt=probe.prompt),
            on_news=on_news,
            clock=clock,
            gateways=[gateway.name for gateway in metrics.gateways],
            tick=min(metrics.scrape_interval, probe.interval),
            probing=probe,
        )


def _prometheus(declared: PrometheusSource, limit: int) -> prometheus.PrometheusSource:
    timeout = declared.timeout.total_seconds()
    ask = prometheus_api.connect(
        declared.name,
        declared.url,
        timeout=timeout,
        max_bytes=limit,
        token_file=declared.bearer_token_file,
        ca_file=declared.ca_file,
    )
    labels = prometheus.Labels(declared.namespace_label, declared.pod_label)
    return prometheus.PrometheusSource(declared.name, ask, timeout=timeout, labels=labels)


@dataclass(frozen=True, slots=True)
class _Counted:
    """A source whose failed reads are counted."""

    name: str
    reader: MetricSource
    on_error: Callable[[str], None]

    async def read(
        self, targets: Sequence[Target], guardrails: Sequence[GuardrailQuery], now: datetime
    ) -> SourceResult:
        result = await self.reader.read(targets, guardrails, now)
        for _ in result.errors:
            self.on_error(self.name)
        return result
