"""Evidence from a Prometheus: the same raw counters of the same engines, read where somebody else has scraped them already.

One instant query for each metric and round, for the whole cluster, shared by all LLMDeployments that ask with the same ``now``. No
``rate()``: it reads samples again and extrapolates. Series are matched to pods by their namespace and pod labels; where a pod is scraped more than once (by
two jobs, by replicas that nobody deduplicates), all that is read of it comes from the fullest scrape, of equal ones the newest, since each of them counts the same requests.

All queries of a round are evaluated at one moment of the Prometheus's own clock. Otherwise a scrape that comes between two of them gives counters of one
process and the start of another. The moment lies SETTLED seconds back: a scrape is dated when it begins, and its samples are there when it is over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from solera.observe import engines, exposition
from solera.observe.engines import HISTOGRAMS, HTTP_REQUESTS, SGLANG_REQUESTS, SGLANG_RESPONSES, VLLM_FINISHED
from solera.observe.exposition import START_TIME, Families
from solera.observe.fetch import Unreachable
from solera.observe.metrics import GuardrailQuery, SourceResult, Target, Unreadable
from solera.observe.prometheus_api import Ask, Series
from solera.plan.evidence import Reading

COUNTERS = {"vLLM": (VLLM_FINISHED,), "SGLang": (SGLANG_RESPONSES, SGLANG_REQUESTS)}
"""The counters of requests that only an engine has."""

SHARED = {"vLLM": (HTTP_REQUESTS, START_TIME), "SGLang": (START_TIME,)}
"""What is read of an engine, too, and every web application or process has: an answer with all of the cluster's would be too long."""

MOST_PODS = 10_000

SETTLED = 1.0
"""Seconds after which a scrape is taken to be complete."""

SERVER_TIME = "vector(time())"

_EXPORTED = "exported_"
_SCRAPED_BY = ("job", "instance", "prometheus", "prometheus_replica", "replica", "receive", "receive_replica")
"""Labels of the target and of who scraped it (also with the Prometheus Operator, Thanos and Mimir); no engine has one of its own."""

Pod = tuple[str, str]
Scraped = tuple[str, ...]
_Found = dict[Pod, dict[Scraped, Families | Unreadable]]


@dataclass(frozen=True, slots=True)
class Labels:
    """What the administrator's Prometheus calls the namespace and the name of a pod."""

    namespace: str = "namespace"
    pod: str = "pod"


@dataclass(frozen=True, slots=True)
class Known:
    """The newest sample of a pod that was read, and whether any came with the start of its process, which is expected from then on."""

    at: datetime
    dated: bool


class PrometheusSource:
    """Reads pods through the query API of a Prometheus called ``name``. ``timeout`` (seconds) bounds the wait for one query."""

    def __init__(self, name: str, ask: Ask, *, timeout: float = 5.0, labels: Labels | None = None) -> None:
        self.name = name
        self._ask = ask
        self._timeout = timeout
        self._labels = labels or Labels()
        self._round: datetime | None = None
        self._answers: dict[tuple[str, float | None], asyncio.Task[Series]] = {}
        self._one_at_a_time = asyncio.Lock()
        # A thread of its own: one that hangs in a name look-up must not take those of others, and must not become many.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"prometheus-{name}")
        self._known: dict[str, Known] = {}

    async def read(
        self, targets: Sequence[Target], guardrails: Sequence[GuardrailQuery], now: datetime
    ) -> SourceResult:
        """See ``MetricSource``. A pod whose newest sample was read before gives no reading: nothing new is known of it."""
        if self._round != now:
            self._round, self._answers = now, {}
        shown = sorted({t.engine for t in targets} & set(COUNTERS))
        try:
            by_pod, sampled = await self._collect(shown, guardrails, now)
        except Unreachable as error:
            return SourceResult(errors={self.name: str(error)})
        except Unreadable as error:
            return SourceResult(errors={self.name: f"Unreadable: Prometheus {self.name}: {error}"})
        readings: list[Reading] = []
        errors: dict[str, str] = {}
        unmeasurable: dict[str, str] = {}
        for target in targets:
            if target.engine not in COUNTERS:
                unmeasurable.update((g.name, f"{target.engine} has no counters that are known") for g in guardrails)
                continue
            found, at = by_pod.get((target.namespace, target.pod)), sampled.get((target.namespace, target.pod))
            if isinstance(found, Unreadable):
                errors[target.instance] = f"Unreadable: {target.pod} in Prometheus {self.name}: {found}"
            elif found is None or at is None:
                errors[target.instance] = f"NoData: Prometheus {self.name} has no series of pod {target.pod}"
            else:
                try:
                    measured = engines.measure(found, target.engine, guardrails)
                except Unreadable as error:
                    errors[target.instance] = f"Unreadable: {target.pod} in Prometheus {self.name}: {error}"
                    continue
                absent = measured.absent
                unmeasurable.update(measured.unmeasurable)
                unmeasurable.update({g.name: absent[g.name] for g in guardrails if g.name in absent and not g.acts})
                if missing := [absent[g.name] for g in guardrails if g.name in absent and g.acts]:
                    errors[target.instance] = f"NoData: Prometheus {self.name}: {'; '.join(missing)}"
                begun, known = exposition.started(found), self._known.get(target.instance)
                if not begun and known is not None and known.dated:
                    # Another word for the start would make it another process, and the next one with the right word a third.
                    errors[target.instance] = (
                        f"NoData: Prometheus {self.name} has lost {START_TIME} of pod {target.pod}"
                    )
                elif measured.counters and self._is_new(target.instance, at, dated=bool(begun)):
                    begun = begun or (f"{target.started.timestamp():.2f}" if target.started else "")
                    readings.append(
                        Reading(at, "prometheus", target.revision, target.instance, begun, measured.counters)
                    )
        return SourceResult(tuple(readings), errors, unmeasurable)

    def close(self) -> None:
        """Give up the thread; a query in it ends by its own timeout."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _is_new(self, instance: str, at: datetime, *, dated: bool) -> bool:
        """True once for each sample of a pod. ``dated``: it came with the start of its process."""
        known = self._known.pop(instance, None)
        self._known[instance] = Known(at, dated or (known is not None and known.dated))
        if len(self._known) > MOST_PODS:
            del self._known[next(iter(self._known))]
        return known is None or known.at != at

    async def _collect(
        self, shown: Sequence[str], guardrails: Sequence[GuardrailQuery], now: datetime
    ) -> tuple[dict[Pod, Families | Unreadable], dict[Pod, datetime]]:
        found: _Found = {}
        sampled: dict[Pod, dict[Scraped, datetime]] = {}
        pods = f'{self._labels.namespace}!="",{self._labels.pod}!=""'
        moment = _moment(await self._query(SERVER_TIME, None))
        for engine in shown:
            own = COUNTERS[engine]
            for name in own:
                self._sort(found, name, await self._query(f"{name}{{{pods}}}", moment))
            engines_pods = " or ".join(f"{name}{{{pods}}}" for name in own)
            only = f"and on({self._labels.namespace}, {self._labels.pod}) ({engines_pods})"
            for name in SHARED[engine]:
                self._sort(found, name, await self._query(f"{name}{{{pods}}} {only}", moment))
            for histogram, seconds in _thresholds(engine, guardrails):
                await self._histogram(found, histogram, seconds, pods, moment)
            for name in own:
                for series in await self._query(f"timestamp({name}{{{pods}}})", moment):
                    at, scrapes = _time(name, series), sampled.setdefault(self._pod(series), {})
                    by = _scraped_by(series)
                    scrapes[by] = max(at, scrapes.get(by, at))
        by_pod: dict[Pod, Families | Unreadable] = {}
        times: dict[Pod, datetime] = {}
        for pod, scrapes in sampled.items():
            of_pod = found.get(pod, {})
            best = max(scrapes, key=lambda by: (_shows(of_pod.get(by)), scrapes[by], by))
            times[pod] = min(scrapes[best], now)
            if best in of_pod:
                by_pod[pod] = of_pod[best]
        return by_pod, times

    async def _histogram(
        self,
        by_pod: _Found,
        histogram: str,
        seconds: float,
        pods: str,
        moment: float | None,
    ) -> None:
        """The one bucket that is asked for and the count. All of them only where it does not exist, to say which do."""
        name = f"{histogram}_bucket"
        bounds = "|".join(sorted({repr(float(seconds)), f"{seconds:g}"})).replace(".", r"\\.")
        found = await self._query(f'{name}{{{pods},le=~"{bounds}|[+]Inf"}}', moment)
        exact = {self._pod(s) for s in found if s["metric"].get("le") != "+Inf"}
        if exact != {self._pod(s) for s in found}:
            found = await self._query(f"{name}{{{pods}}}", moment)
        self._sort(by_pod, name, found)

    def _sort(self, by_pod: _Found, name: str, result: Series) -> None:
        for series in result:
            scrapes, by = by_pod.setdefault(self._pod(series), {}), _scraped_by(series)
            families = scrapes.setdefault(by, Families())
            if isinstance(families, Families):
                try:
                    families.add(name, _as_exported(series["metric"]), _value(name, series))
                except Unreadable as error:
                    scrapes[by] = error

    def _pod(self, series: Mapping[str, Any]) -> Pod:
        metric = series["metric"]
        return metric.get(self._labels.namespace, ""), metric.get(self._labels.pod, "")

    async def _query(self, query: str, at: float | None) -> Series:
        """The answer of this round to ``query``; asked once, whoever needs it."""
        task = self._answers.get((query, at))
        if task is None:
            task = self._answers[query, at] = asyncio.create_task(self._ask_once(query, at))
        return await asyncio.shield(task)

    async def _ask_once(self, query: str, at: float | None) -> Series:
        # The time of a query runs from when it is asked, not while it waits for the thread.
        async with self._one_at_a_time:
            try:
                async with asyncio.timeout(self._timeout + 1.0):
                    return await asyncio.get_running_loop().run_in_executor(self._thread, self._ask, query, at)
            except TimeoutError:
                raise Unreachable(f"Prometheus {self.name} gave no complete answer within {self._timeout:g}s") from None


def _thresholds(engine: str, guardrails: Iterable[GuardrailQuery]) -> Iterable[tuple[str, float]]:
    for guardrail in guardrails:
        histogram = HISTOGRAMS[engine].get(guardrail.metric)
        if histogram is not None and guardrail.slower_than is not None:
            yield histogram, guardrail.slower_than


def _shows(families: Families | Unreadable | None) -> int:
    """How much a scrape tells: one whose rules drop some names must not take turns with one that has them all."""
    return sum(map(len, families.samples.values())) if isinstance(families, Families) else -1


def _scraped_by(series: Mapping[str, Any]) -> Scraped:
    """Which target a series is of, and who scraped it: one text for each label that can tell."""
    return tuple(series["metric"].get(label, "") for label in _SCRAPED_BY)


def _as_exported(labels: Mapping[str, str]) -> Mapping[str, str]:
    """The labels that the engine gave. A Prometheus that has one of the same name for the target (``endpoint`` of the Prometheus Operator) calls it ``exported_endpoint``."""
    exported = {name.removeprefix(_EXPORTED): value for name, value in labels.items() if name.startswith(_EXPORTED)}
    return {**labels, **exported} if exported else labels


def _moment(answer: Series) -> float | None:
    """When the queries of a round are evaluated; None, which is whenever each of them comes, where the server does not tell its time."""
    try:
        return float(answer[0]["value"][0]) - SETTLED
    except (KeyError, IndexError, TypeError, ValueError):
        return None


def _value(name: str, series: Mapping[str, Any]) -> float:
    try:
        return float(series["value"][1])
    except (KeyError, IndexError, TypeError, ValueError):
        raise Unreadable(f"{name} has no value") from None


def _time(name: str, series: Mapping[str, Any]) -> datetime:
    try:
        return datetime.fromtimestamp(_value(name, series), UTC)
    except (ValueError, OverflowError, OSError):
        raise Unreadable(f"the time of a sample of {name} is {series['value'][1]}, which is no time") from None
