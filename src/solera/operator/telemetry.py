"""What the operator tells about itself: metrics for Prometheus and log lines."""

from __future__ import annotations

import json
import logging
import sys
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from solera import __version__
from solera.api.status import State

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each counter, which nobody reads

RECONCILE_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15)


class Telemetry:
    """All metrics, in a registry of their own so that two operators in one process do not meet."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        build = Gauge("solera_build_info", "1, with the operator's version.", ["version"], registry=self.registry)
        build.labels(__version__).set(1)
        self.queue_depth = Gauge(
            "solera_workqueue_depth", "LLMDeployments that wait for a worker.", registry=self.registry
        )
        self.reconcile_seconds = Histogram(
            "solera_reconcile_seconds",
            "Time of one look at one LLMDeployment, writes included.",
            buckets=RECONCILE_BUCKETS,
            registry=self.registry,
        )
        self._errors = Counter(
            "solera_reconcile_errors_total", "Looks that ended with an error.", ["reason"], registry=self.registry
        )
        self._writes = Counter(
            "solera_writes_total",
            "Writes that the apiserver accepted, those of the Lease left out.",
            ["kind", "verb"],
            registry=self.registry,
        )
        self.leader = Gauge("solera_leader", "1 while this process leads, else 0.", registry=self.registry)
        self._transitions = Counter(
            "solera_leader_transitions_total", "Changes of leader that this process saw.", registry=self.registry
        )
        self._restarts = Counter(
            "solera_watch_restarts_total",
            "Watch streams that ended and were opened again.",
            ["kind"],
            registry=self.registry,
        )
        self._scrapes = Counter(
            "solera_scrape_errors_total", "Reads of a metric source that failed.", ["source"], registry=self.registry
        )

    def leader_changed(self) -> None:
        """Count a change of leader."""
        self._transitions.inc()

    def error(self, reason: str) -> None:
        """Count a look that ended with an error."""
        self._errors.labels(reason).inc()

    def wrote(self, kind: str, verb: str) -> None:
        """Count a write."""
        self._writes.labels(kind, verb).inc()

    def watch_restarted(self, kind: str, _why: str) -> None:
        """Count a watch stream that ended."""
        self._restarts.labels(kind).inc()

    def scrape_failed(self, source: str) -> None:
        """Count a failed read of a metric source."""
        self._scrapes.labels(source).inc()

    def watch_states(self, states: Callable[[], Iterable[str]]) -> None:
        """Report, at each scrape, how many LLMDeployments are in each state."""
        self.registry.register(_States(states))


class _States(Collector):
    def __init__(self, states: Callable[[], Iterable[str]]) -> None:
        self._states = states

    def collect(self) -> Iterator[Metric]:
        family = GaugeMetricFamily("solera_llmdeployments", "LLMDeployments by state.", labels=["state"])
        counts = Tally(self._states())
        for state in (*(s.value for s in State), ""):
            family.add_metric([state or "New"], counts[state])
        yield family


_FIELDS = ("llmdeployment", "reason", "kind", "verb")


class TextFormatter(logging.Formatter):
    """One line: time, level, which LLMDeployment, what."""

    def format(self, record: logging.LogRecord) -> str:
        """Render ``record``; a traceback follows on lines of its own."""
        about = getattr(record, "llmdeployment", None)
        text = f"{_time(record)} {record.levelname} {f'{about}: ' if about else ''}{record.getMessage()}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


class JsonFormatter(logging.Formatter):
    """One JSON object in a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Render ``record``; a traceback goes into the field ``traceback``."""
        line = {"time": _time(record), "level": record.levelname.lower(), "logger": record.name}
        line |= {field: str(getattr(record, field)) for field in _FIELDS if getattr(record, field, None)}
        line["message"] = record.getMessage()
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


class OncePerOutage(logging.Filter):
    """Lets a logger's warnings and errors through only when the last one is ``quiet_for`` seconds old: one line for one outage."""

    def __init__(self, quiet_for: float = 30.0) -> None:
        super().__init__()
        self._quiet_for = quiet_for
        self._last = float("-inf")

    def filter(self, record: logging.LogRecord) -> bool:
        """Decide on ``record``; every swallowed one prolongs the silence."""
        if record.levelno < logging.WARNING:
            return True
        quiet = record.created - self._last < self._quiet_for
        self._last = record.created
        return not quiet


def set_up_logging(level: str, form: str) -> None:
    """Log to stderr; ``level`` and ``form`` as in the configuration ("info", "json")."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for talkative in ("kopf", "kopf.objects", "kubernetes", "asyncio", "aiohttp.access", "httpx", "httpcore"):
        logging.getLogger(talkative).setLevel(logging.WARNING)  # a line per watch event, request, or packet otherwise
    logging.getLogger("kopf._cogs.clients.watching").addFilter(OncePerOutage())
