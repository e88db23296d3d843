"""A small registry of counters, gauges and histograms, written as the Prometheus text format 0.0.4.

Values and label order are printed as ``prometheus_client`` prints them (``1.0``, labels sorted), because that is what
the parsers of vLLM's page are used to. Counters and histograms may carry their ``_created`` gauges, as they do there.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Labels = tuple[tuple[str, str], ...]


def labels(given: Mapping[str, str]) -> Labels:
    return tuple(sorted(given.items()))


@dataclass(slots=True)
class _Distribution:
    counts: list[int]
    total: float = 0.0


@dataclass(slots=True)
class Family:
    """One metric: its series by label set. ``name`` is without ``_total``, ``_bucket`` and so on."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    text: str
    buckets: tuple[float, ...] = ()
    values: dict[Labels, float] = field(default_factory=dict)
    distributions: dict[Labels, _Distribution] = field(default_factory=dict)

    def start(self, series: Labels) -> None:
        """Show the series at zero, before its first event."""
        if self.kind == "histogram":
            self._distribution(series)
        else:
            self.values.setdefault(series, 0.0)

    def add(self, series: Labels, amount: float = 1.0) -> None:
        self.values[series] = self.values.get(series, 0.0) + amount

    def set(self, series: Labels, value: float) -> None:
        self.values[series] = value

    def observe(self, series: Labels, value: float, times: int = 1) -> None:
        distribution = self._distribution(series)
        distribution.counts[bisect_left(self.buckets, value)] += times
        distribution.total += value * times

    def zero(self) -> None:
        """Back to zero, as after a restart; the series stay."""
        self.values = dict.fromkeys(self.values, 0.0)
        self.distributions = {s: _Distribution([0] * (len(self.buckets) + 1)) for s in self.distributions}

    def _distribution(self, series: Labels) -> _Distribution:
        found = self.distributions.get(series)
        if found is None:
            found = self.distributions[series] = _Distribution([0] * (len(self.buckets) + 1))
        return found

    def lines(self, created: float | None) -> Iterable[str]:
        """The family's lines; ``created`` (seconds since 1970) adds the ``_created`` gauges, None leaves them out."""
        shown = f"{self.name}_total" if self.kind == "counter" else self.name
        yield f"# HELP {shown} {self.text}"
        yield f"# TYPE {shown} {self.kind}"
        for series, value in self.values.items():
            yield f"{shown}{_braces(series)} {_number(value)}"
        for series, distribution in self.distributions.items():
            yield from self._histogram_lines(series, distribution)
        if created is not None and self.kind != "gauge":
            yield f"# HELP {self.name}_created {self.text}"
            yield f"# TYPE {self.name}_created gauge"
            for series in (*self.values, *self.distributions):
                yield f"{self.name}_created{_braces(series)} {_number(created)}"

    def _histogram_lines(self, series: Labels, distribution: _Distribution) -> Iterable[str]:
        running = 0
        for bound, count in zip((*self.buckets, math.inf), distribution.counts, strict=True):
            running += count
            yield f"{self.name}_bucket{_braces(tuple(sorted((*series, ('le', _number(bound))))))} {_number(running)}"
        yield f"{self.name}_count{_braces(series)} {_number(running)}"
        yield f"{self.name}_sum{_braces(series)} {_number(distribution.total)}"


def page(families: Iterable[Family], created: float | None = None) -> str:
    """The text of ``/metrics``. A family without series prints its HELP and TYPE only, as ``prometheus_client`` does."""
    return "\n".join(line for family in families for line in family.lines(created)) + "\n"


def without_numbers(text: str) -> str:
    """A page on which every value is NaN."""
    lines = (line if line.startswith("#") else f"{line.rpartition(' ')[0]} NaN" for line in text.splitlines())
    return "\n".join(lines) + "\n"


def _braces(series: Labels) -> str:
    return "{" + ",".join(f'{name}="{_escape(value)}"' for name, value in series) + "}" if series else ""


def _escape(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _number(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return repr(float(value))
