"""From what was seen to the figures of the table. Pure; times are seconds."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.peer.audit import Count


def percentile(values: Iterable[float], share: float) -> float:
    """The smallest value that at least ``share`` (0 to 1) of all do not exceed; NaN of none."""
    ordered = sorted(values)
    if not ordered:
        return math.nan
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


@dataclass
class Weights:
    """When each route first showed each weight of the new version: ``seen[name] = [(time, weight), …]`` in order."""

    seen: dict[str, list[tuple[float, int]]] = field(default_factory=dict)

    def note(self, name: str, at: float, weight: int) -> None:
        """The route of ``name`` was seen with this weight; the same again is nothing new."""
        steps = self.seen.setdefault(name, [])
        if not steps or steps[-1][1] != weight:
            steps.append((at, weight))

    def rising(self, name: str, weights: Sequence[int]) -> list[float]:
        """The times of the declared weights, in order. Shorter when the route did not show them all, one after the other."""
        times: list[float] = []
        for at, weight in self.seen.get(name, []):
            if len(times) < len(weights) and weight == weights[len(times)]:
                times.append(at)
        return times

    def followed(self, name: str, weights: Sequence[int]) -> bool:
        """Were exactly these weights shown, in this order? What came before the first and after the last is not looked at."""
        shown = [weight for _, weight in self.seen.get(name, [])]
        while shown and shown[0] == 0:
            shown.pop(0)
        return shown[: len(weights)] == list(weights)


def lateness(times: Iterable[Sequence[float]], step_seconds: float) -> list[float]:
    """For each step after the first: how much later than its declared length after the step before it came."""
    return [after - before - step_seconds for steps in times for before, after in itertools.pairwise(steps)]


@dataclass(frozen=True)
class Side:
    """One controller's figures. Counts are of the whole run of ``objects``; CPU in seconds, memory in MiB.

    ``busy`` is how much of the machine all programs together used while objects were made and while they were rolled out, 0 to 1.
    """

    name: str
    version: str
    objects: int
    init_seconds: float
    init: Count
    init_cpu: float
    rest_seconds: float
    rest: Count
    rest_cpu: float
    first_weight: list[float]
    full_weight: list[float]
    promoted: list[float]
    settled: float
    rollout: Count
    rollout_cpu: float
    late: list[float]
    in_order: int
    peak_mib: float
    metric_reads: int
    lost: int
    busy: list[float]

    @property
    def rest_per_minute(self) -> Count:
        scale = 60.0 / self.rest_seconds
        return Count(*(round(getattr(self.rest, part) * scale) for part in ("reads", "writes", "events", "refused")))

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def side_from(raw: Mapping[str, Any]) -> Side:
    """What ``to_json`` wrote."""
    counts = {}
    for part in ("init", "rest", "rollout"):
        count = dict(raw[part])
        count["by_kind"] = tuple((kind, number) for kind, number in count["by_kind"])
        counts[part] = Count(**count)
    return Side(**{**raw, **counts})


def busy(before: Sequence[int], after: Sequence[int]) -> float:
    """The part of the machine's time that was not idle between two first lines of /proc/stat (without their name); 0 to 1."""
    spent = [late - early for early, late in zip(before, after, strict=True)]
    whole = sum(spent[:8])  # guests are counted in user time already
    return 1 - (spent[3] + spent[4]) / whole if whole else 0.0


def ratio(ours: float, theirs: float) -> float:
    """``ours / theirs``; NaN when there is nothing to divide by."""
    return ours / theirs if theirs else math.nan
