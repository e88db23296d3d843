"""Requests that nobody sends: routes and endpoints in, counters of every engine out. Pure; times are arguments (seconds).

Fifty models with real traffic would cost more than what is measured, so each route gets a steady rate, split by its weights exactly, and
every engine behind it counts its part as if it had answered: no error, first token at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Object = dict[str, Any]
Service = tuple[str, str]  # namespace, name

RATE = 100.0  # requests a second to each model
FIRST_TOKEN_SECONDS = 0.05


def backends(route: Object) -> list[tuple[Service, int]]:
    """The Services of an HTTPRoute with their weights (1 where none is said)."""
    namespace = route["metadata"]["namespace"]
    return [
        ((ref.get("namespace", namespace), ref["name"]), int(ref.get("weight", 1)))
        for rule in route.get("spec", {}).get("rules", [])
        for ref in rule.get("backendRefs", [])
    ]


def ready(endpoint_slice: Object) -> tuple[Service, tuple[str, ...]]:
    """The Service of an EndpointSlice and the addresses that are ready in it."""
    metadata = endpoint_slice["metadata"]
    service = (metadata["namespace"], metadata.get("labels", {}).get("kubernetes.io/service-name", ""))
    addresses = [
        address
        for endpoint in endpoint_slice.get("endpoints") or []
        if (endpoint.get("conditions") or {}).get("ready") is not False
        for address in endpoint["addresses"]
    ]
    return service, tuple(addresses)


@dataclass
class Traffic:
    """``rate`` requests a second to each route. ``lost`` are those to a Service without a ready engine."""

    rate: float
    window: float = 10.0
    answered: dict[str, int] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=dict)
    _routes: dict[Service, list[tuple[Service, int]]] = field(default_factory=dict)
    _slices: dict[Service, tuple[Service, tuple[str, ...]]] = field(default_factory=dict)
    _owed: dict[tuple[Service, Service], float] = field(default_factory=dict)
    _turn: dict[Service, int] = field(default_factory=dict)
    _recent: dict[Service, deque[tuple[float, int]]] = field(default_factory=dict)

    def route(self, key: Service, obj: Object | None) -> None:
        """The HTTPRoute ``key`` is now so, None when it is gone."""
        if obj is None:
            self._routes.pop(key, None)
        else:
            self._routes[key] = backends(obj)

    def endpoints(self, key: Service, obj: Object | None) -> None:
        """The EndpointSlice ``key`` is now so, None when it is gone."""
        if obj is None:
            self._slices.pop(key, None)
        else:
            self._slices[key] = ready(obj)

    def pass_time(self, now: float, seconds: float) -> None:
        """Let every route have the requests of ``seconds`` that end at ``now``."""
        addresses: dict[Service, list[str]] = {}
        for service, found in self._slices.values():
            addresses.setdefault(service, []).extend(found)
        for key, parts in self._routes.items():
            for service, count in self._split(key, parts, self.rate * seconds):
                self._answer(service, addresses.get(service, ()), count, now)

    def count(self, address: str) -> None:
        """One request was really sent to this engine."""
        self.answered[address] = self.answered.get(address, 0) + 1

    def recent(self, service: Service, now: float) -> int:
        """Requests that ``service`` answered in the last ``window`` seconds."""
        return sum(count for at, count in self._recent.get(service, ()) if at > now - self.window)

    def _split(
        self, key: Service, parts: Sequence[tuple[Service, int]], requests: float
    ) -> Iterable[tuple[Service, int]]:
        whole = sum(weight for _, weight in parts)
        for service, weight in parts:
            if weight:
                owed = self._owed.get((key, service), 0.0) + requests * weight / whole
                count = int(owed + 1e-9)
                self._owed[key, service] = owed - count
                yield service, count

    def _answer(self, service: Service, addresses: Sequence[str], count: int, now: float) -> None:
        if not addresses:
            self.lost[service[0]] = self.lost.get(service[0], 0) + count
            return
        for _ in range(count):
            turn = self._turn[service] = self._turn.get(service, -1) + 1
            self.count(addresses[turn % len(addresses)])
        recent = self._recent.setdefault(service, deque())
        recent.append((now, count))
        while recent and recent[0][0] <= now - self.window:
            recent.popleft()


def filler(page: str, names: Iterable[str]) -> str:
    """``page`` without the samples of ``names``: what a reader of those has to skip."""
    dropped = tuple(names)
    kept = [
        line
        for line in page.splitlines()
        if not (
            line.startswith(dropped) or line.startswith(tuple(f"# {k} {n}" for k in ("HELP", "TYPE") for n in dropped))
        )
    ]
    return "".join(f"{line}\n" for line in kept)


COUNTED = ("vllm:request_success", "vllm:time_to_first_token_seconds")


def counters(answered: int, bounds: Sequence[float]) -> str:
    """What an engine that answered so many requests shows of ``COUNTED``, in vLLM's names."""
    label = 'engine="0",model_name="m"'
    lines = ["# TYPE vllm:request_success_total counter"]
    for reason in ("stop", "length", "abort", "error"):
        value = answered if reason == "stop" else 0
        lines.append(f'vllm:request_success_total{{{label},finished_reason="{reason}"}} {value}')
    name = "vllm:time_to_first_token_seconds"
    lines.append(f"# TYPE {name} histogram")
    for bound in bounds:
        value = answered if bound >= FIRST_TOKEN_SECONDS else 0
        lines.append(f'{name}_bucket{{{label},le="{bound:g}"}} {value}')
    lines.append(f'{name}_bucket{{{label},le="+Inf"}} {answered}')
    lines.append(f"{name}_sum{{{label}}} {answered * FIRST_TOKEN_SECONDS:g}")
    lines.append(f"{name}_count{{{label}}} {answered}")
    return "".join(f"{line}\n" for line in lines)


def vector(value: float | None, now: float) -> Mapping[str, Any]:
    """An answer of Prometheus's query API; None is the empty vector."""
    result = [] if value is None else [{"metric": {}, "value": [now, f"{value:g}"]}]
    return {"status": "success", "data": {"resultType": "vector", "result": result}}
