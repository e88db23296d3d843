"""A gateway's own counters of each backend. It sees what no engine can: requests to a pod that died, refused or never answered.

Traefik (3.2 and later) names the backend of a Gateway API route ``<route>-svc-<namespace>-<service>-<number>@kubernetesgateway``, older
ones ``<namespace>-<service>-<port>@kubernetesgateway``: one series for each rule and backend. A series appears with its first request.
When a new configuration no longer has its name it goes away, after somebody has read it once more, and may begin again from 0 later. So
each series is an instance of its own, what it counted in its former lives is added, and one that was not in the process's previous
answer had counted nothing more then.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import urlsplit

import httpx

from solera.observe import exposition
from solera.observe.exposition import START_TIME, Families, slower_than, total
from solera.observe.fetch import Unreachable, authority, fetch, host_and_port
from solera.observe.metrics import GuardrailQuery, SourceResult, Target, Unreadable
from solera.plan.evidence import ALL_REQUESTS, Counter, Reading

REQUESTS = "traefik_service_requests_total"
DURATION = "traefik_service_request_duration_seconds"

SEEN = frozenset({"ErrorRate", "RequestLatency"})
"""What a gateway can count: it sees requests begin and end, and nothing of what an engine does in between."""

PROVIDER = "@kubernetesgateway"
MOST_LABELS = 2000
MOST_LIVES = 32
MANY_BYTES = 256 << 10  # from here on sorting the lines would hold up the event loop for more than a few milliseconds

_NAMES = (REQUESTS, f"{DURATION}_bucket", f"{DURATION}_count")
_STARTS = tuple(f"{name}{{" for name in _NAMES)
_NUMBER = re.compile(r"-\d+$")
_SERVICE = re.compile(r'[{,]service="((?:[^"\\]|\\.)*)"')

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


async def resolve(host: str, port: int) -> Sequence[str]:
    """Every address of a host, in order; an address is its own.

    Raises:
        OSError: the name is not known.
    """
    try:
        return (str(ipaddress.ip_address(host)),)
    except ValueError:
        infos = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return tuple(sorted({str(info[4][0]) for info in infos}))


@dataclass(frozen=True, slots=True)
class _Page:
    """One answer of one gateway process: its lines by the label of their service.

    ``before`` is when the same process answered last, and which labels it showed then; ``former`` the last lines of each life that
    a label has ended.
    """

    at: datetime
    started: str
    lines: Mapping[str, list[str]]
    before: tuple[datetime, frozenset[str]] | None = None
    former: Mapping[str, tuple[list[str], ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Look:
    """What all instances said at one time."""

    pages: dict[str, _Page] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)


class GatewaySource:
    """Reads each instance behind ``endpoint`` once for all LLMDeployments that ask with the same ``now``."""

    def __init__(
        self,
        name: str,
        endpoint: str,
        http: httpx.AsyncClient,
        *,
        timeout: float = 2.0,
        max_bytes: int = 4 << 20,
        resolve_host: Resolve = resolve,
    ) -> None:
        self.name = name
        self._endpoint = endpoint
        self._http = http
        self._timeout = timeout
        self._max_bytes = max_bytes
        self._resolve = resolve_host
        self._look: tuple[datetime, asyncio.Task[_Look]] | None = None
        self._pages: dict[str, _Page] = {}
        self._wanted: dict[str, None] = {}  # labels that somebody reads, the newest last

    async def read(
        self, targets: Sequence[Target], guardrails: Sequence[GuardrailQuery], now: datetime
    ) -> SourceResult:
        """See ``MetricSource``. Errors are by the gateway's address; a backend without a series has no reading."""
        if self._look is None or self._look[0] != now:
            self._look = (now, asyncio.create_task(self._look_at_all(now)))
        look = await asyncio.shield(self._look[1])
        errors = dict(look.errors)
        unmeasurable = {
            g.name: f"a gateway sees whole answers and no {g.metric}; let metrics.source be Direct"
            for g in guardrails
            if g.metric not in SEEN
        }
        wanted = [g for g in guardrails if g.name not in unmeasurable]
        backends = {f"{t.namespace}-{t.service}": t.revision for t in targets}
        readings: list[Reading] = []
        for address, page in look.pages.items():
            try:
                unmeasurable.update(_unfit(page, wanted))
                fit = [g for g in wanted if g.name not in unmeasurable]
                for label, revision in _ours(page.lines, backends):
                    readings += self._readings(address, page, label, revision, fit)
            except Unreadable as error:
                errors[address] = f"Unreadable: gateway {self.name} at {address}: {error}"
        return SourceResult(tuple(readings), errors, unmeasurable)

    def _readings(
        self, address: str, page: _Page, label: str, revision: str, guardrails: Sequence[GuardrailQuery]
    ) -> Iterator[Reading]:
        self._wanted.pop(label, None)
        self._wanted[label] = None
        if len(self._wanted) > MOST_LABELS:
            del self._wanted[next(iter(self._wanted))]
        former = [_counters(_families(lines), guardrails) for lines in page.former.get(label, ())]
        counters = _sum([_counters(_families(page.lines[label]), guardrails), *former])
        series = hashlib.blake2s(label.encode(), digest_size=4).hexdigest()
        instance = f"{self.name}/{address}/{page.started}/{series}"
        if page.before is not None and label not in page.before[1]:
            then = dict.fromkeys(counters, Counter(0, 0)) | _sum(former)
            yield Reading(page.before[0], "gateway", revision, instance, page.started, then)
        yield Reading(page.at, "gateway", revision, instance, page.started, counters)

    async def _look_at_all(self, now: datetime) -> _Look:
        look = _Look()
        host, port = host_and_port(self._endpoint)
        try:
            async with asyncio.timeout(self._timeout):
                addresses = await self._resolve(host, port)
        except (OSError, TimeoutError) as error:
            why = getattr(error, "strerror", None) or "no answer in time"
            look.errors[host] = f"Unreachable: gateway {self.name}: the name {host} cannot be resolved: {why}"
            return look
        results = await asyncio.gather(*(self._page(host, a, port, now) for a in addresses), return_exceptions=True)
        for address, result in zip((authority(a, port) for a in addresses), results, strict=True):
            if isinstance(result, _Page):
                look.pages[address] = result
            elif isinstance(result, Unreachable):
                look.errors[address] = f"{result} (gateway {self.name})"
            elif isinstance(result, Unreadable):
                look.errors[address] = f"Unreadable: gateway {self.name} at {address}: {result}"
            else:
                raise result
        self._pages = {a: p for a, p in self._pages.items() if a in look.errors} | look.pages
        return look

    async def _page(self, host: str, address: str, port: int, now: datetime) -> _Page:
        where = authority(address, port)
        url = urlsplit(self._endpoint)._replace(netloc=where).geturl()
        # The certificate and the virtual host are those of the name, whatever address answers.
        headers = {} if host == address else {"Host": authority(host, port)}
        extensions = {"sni_hostname": host} if url.startswith("https:") and host != address else None
        answer = await fetch(
            self._http, url, within=self._timeout, max_bytes=self._max_bytes, headers=headers, extensions=extensions
        )
        if answer.status != 200:
            raise Unreachable(f"{where} answers {answer.status} at {urlsplit(url).path or '/'}")
        sort = asyncio.to_thread(_sorted, answer.text) if len(answer.text) > MANY_BYTES else None
        started, lines = _sorted(answer.text) if sort is None else await sort
        last = self._pages.get(where)
        if last is None or last.started != started:
            return _Page(now, started, lines)
        former = dict(last.former)
        for label in (last.lines.keys() - lines.keys()) & self._wanted.keys():
            former[label] = (*former.get(label, ()), last.lines[label])[-MOST_LIVES:]
        return _Page(now, started, lines, (last.at, frozenset(last.lines)), former)


def _sorted(text: str) -> tuple[str, dict[str, list[str]]]:
    """The start of the process, and the lines of backends by the label of their service.

    Raises:
        Unreadable: the text is cut off, or does not tell when the process started.
    """
    if not text.endswith("\n"):
        raise Unreadable("the answer is cut off in the middle of a line")
    started = exposition.started(exposition.parse(text, (START_TIME,)))
    if started is None:
        raise Unreadable(f"no {START_TIME}, so a restart could not be told from a fall")
    lines: dict[str, list[str]] = {}
    for line in text.split("\n"):
        if line.startswith(_STARTS):
            service = _SERVICE.search(line)
            if service and service[1].endswith(PROVIDER):
                lines.setdefault(service[1], []).append(line)
    return started, lines


def _ours(labels: Mapping[str, object], backends: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The labels that mean one of the backends (``<namespace>-<service>``), each with its revision."""
    for label in labels:
        for name in _may_mean(label):
            if name in backends:
                yield label, backends[name]
                break


def _may_mean(label: str) -> Iterator[str]:
    stem = _NUMBER.sub("", label.removesuffix(PROVIDER))
    at = stem.find("-svc-")
    while at >= 0:  # names may hold "-svc-" themselves
        yield stem[at + 5 :]
        at = stem.find("-svc-", at + 1)
    yield stem
    yield stem.removesuffix("-http")


def _families(lines: Sequence[str]) -> Families:
    return exposition.parse("\n".join(lines) + "\n", _NAMES)


def _unfit(page: _Page, guardrails: Sequence[GuardrailQuery]) -> dict[str, str]:
    """Which latencies cannot be counted here: all series of a gateway have the same buckets, so any one of them tells."""
    unfit: dict[str, str] = {}
    latencies = [g for g in guardrails if g.metric == "RequestLatency" and g.slower_than is not None]
    lines = next(iter(page.lines.values()), None)
    if lines is None or not latencies:
        return unfit
    found = _families(lines)
    for guardrail in latencies:
        result = slower_than(DURATION, found, guardrail.slower_than or 0.0)
        if isinstance(result, str):
            unfit[guardrail.name] = f"{result}, or add it to the gateway's --metrics.prometheus.buckets"
    return unfit


def _counters(found: Families, guardrails: Sequence[GuardrailQuery]) -> dict[str, Counter]:
    """Bad and all events of one series. 499 is a client that left: it tells nothing about errors."""
    requests = found[REQUESTS]
    every = total(requests)
    left = total(requests, lambda labels: labels.get("code") == "499")
    errors = total(requests, lambda labels: labels.get("code", "").startswith("5"))
    counters = {ALL_REQUESTS: Counter(every, 0)}
    for guardrail in guardrails:
        if guardrail.metric == "ErrorRate":
            counters[guardrail.name] = Counter(every - left, errors)
        elif guardrail.slower_than is not None:
            result = slower_than(DURATION, found, guardrail.slower_than)
            if isinstance(result, Counter):
                counters[guardrail.name] = result
    return counters


def _sum(parts: Sequence[Mapping[str, Counter]]) -> dict[str, Counter]:
    """Guardrail by guardrail; one that a part does not count has no sum."""
    names = set.intersection(*(set(part) for part in parts)) if parts else set()
    return {n: Counter(sum(p[n].total for p in parts), sum(p[n].bad for p in parts)) for n in names}
