"""The text format 0.0.4 of Prometheus -> samples, counters and histograms. Pure, and strict about what it reads.

Only the families that are asked for are parsed: an engine shows several hundred lines, and a general parser of them all takes ten to
twenty times as long, once a second for every pod.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from solera.observe.metrics import Unreadable
from solera.plan.evidence import Counter

START_TIME = "process_start_time_seconds"

_RANKS = ("tp_rank", "pp_rank", "moe_ep_rank")  # each rank repeats the same requests
_REST = re.compile(r'^[ \t]*(?:\{((?:[^"}]|"(?:[^"\\]|\\.)*")*)\})?[ \t]*([^\s{]\S*)(?:[ \t]+-?\d+)?[ \t\r]*$')
_LABEL = re.compile(r'[ \t]*([a-zA-Z_][a-zA-Z0-9_]*)[ \t]*=[ \t]*"((?:[^"\\]|\\.)*)"[ \t]*(?:,|$)')
_ESCAPE = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True)
class Sample:
    """One line: its labels and its value (finite and at least 0)."""

    labels: Mapping[str, str]
    value: float


@dataclass(slots=True)
class Families:
    """What a text holds of the names asked for. A name is ``declared`` when a TYPE line or a sample of it is there.

    ``spoilt`` are names that may be missing and of which a sample cannot be used.
    """

    samples: dict[str, list[Sample]] = field(default_factory=dict)
    declared: set[str] = field(default_factory=set)
    spoilt: set[str] = field(default_factory=set)

    def __getitem__(self, name: str) -> list[Sample]:
        return self.samples.get(name, [])

    def add(self, name: str, labels: Mapping[str, str], value: float) -> None:
        """Raises ``Unreadable`` for a value that no counter can have."""
        if not math.isfinite(value) or value < 0:
            raise Unreadable(f"{name} is {value:g}, which no counter can be")
        self.samples.setdefault(name, []).append(Sample(labels, value))
        self.declared.add(name)


def parse(text: str, names: Iterable[str], optional: Collection[str] = ()) -> Families:
    """Read the samples called ``names`` out of a text. One of ``optional`` that cannot be read spoils its name and nothing else.

    Raises:
        Unreadable: the text is cut off, or a line that matters is not in the format, or its value is not one of a counter.
    """
    if text and not text.endswith("\n"):
        raise Unreadable("the answer is cut off in the middle of a line")
    wanted = frozenset(names)
    starts = (*sorted(wanted), "# TYPE ")
    found = Families()
    for line in text.split("\n"):
        if not line.startswith(starts):
            continue
        if line.startswith("# TYPE "):
            family = line[7:].split(maxsplit=1)[0] if line[7:].strip() else ""
            family_names = (family, f"{family}_total", f"{family}_bucket", f"{family}_count")
            found.declared.update(n for n in family_names if n in wanted)
            continue
        end = line.find("{")
        name = (line[:end] if end >= 0 else line.split(maxsplit=1)[0]).rstrip()
        if name in wanted:
            try:
                labels, value = parse_sample(name, line[len(name) :])
                found.add(name, labels, value)
            except Unreadable:
                if name not in optional:
                    raise
                found.spoilt.add(name)
    return found


def parse_sample(name: str, rest: str) -> tuple[dict[str, str], float]:
    """Read what follows the name in a line: labels and value.

    Raises:
        Unreadable: it is not in the format.
    """
    match = _REST.match(rest)
    if match is None:
        raise Unreadable(f"a line of {name} is not in the Prometheus text format")
    text, number = match.groups()
    labels: dict[str, str] = {}
    at = 0
    while text and at < len(text):
        label = _LABEL.match(text, at)
        if label is None:
            raise Unreadable(f"the labels of {name} are not in the Prometheus text format")
        labels[label[1]] = _ESCAPE.sub(_unescaped, label[2])
        at = label.end()
    try:
        return labels, float(number)
    except ValueError:
        raise Unreadable(f"{name} is {number[:40]!r}, which is not a number") from None


def _unescaped(match: re.Match[str]) -> str:
    return "\n" if match[1] == "n" else match[1]


def total(samples: Iterable[Sample], chosen: Callable[[Mapping[str, str]], bool] = lambda _: True) -> int:
    """Sum of the samples whose labels are chosen. Ranks that repeat the same requests count once.

    Raises:
        Unreadable: a value is not whole, so it does not count requests.
    """
    groups: dict[tuple[tuple[str, str], ...], float] = {}
    for sample in samples:
        if chosen(sample.labels):
            key = tuple(sorted((k, v) for k, v in sample.labels.items() if k not in _RANKS))
            groups[key] = max(groups.get(key, 0.0), sample.value)
    result = sum(groups.values())
    if result != round(result):
        raise Unreadable(f"a counter of requests is {result:g}, which is not a whole number")
    return round(result)


def slower_than(name: str, found: Families, seconds: float) -> Counter | str:
    """Count the events of histogram ``name`` that took longer than ``seconds``, or say which bounds could be used.

    A threshold between two bounds cannot be counted, only guessed; so it must be a bound. Without any observation yet there may be no
    buckets at all: then nothing was slow.

    Raises:
        Unreadable: a bucket holds more than the count.
    """
    buckets = found[f"{name}_bucket"]
    bounds = sorted({_bound(name, s.labels) for s in buckets})
    finite = [b for b in bounds if math.isfinite(b)]
    exact = next((b for b in finite if math.isclose(b, seconds, rel_tol=1e-9)), None)
    if finite and exact is None:
        low = max((bound for bound in finite if bound < seconds), default=None)
        high = min((bound for bound in finite if bound > seconds), default=None)
        use = " or ".join(f"{bound:g}s" for bound in (low, high) if bound is not None)
        return f"slowerThan {seconds:g}s is not a bucket of {name}; use {use}"
    if exact is None:
        return Counter(total=0, bad=0)
    within = total(buckets, lambda labels: _bound(name, labels) == exact)
    infinite = [s for s in buckets if math.isinf(_bound(name, s.labels))]
    events = total(infinite) if infinite else total(found[f"{name}_count"])
    if within > events:
        raise Unreadable(f"{name} counts {events} events, but {within} of them took at most {exact:g}s")
    return Counter(total=events, bad=events - within)


def _bound(name: str, labels: Mapping[str, str]) -> float:
    try:
        return float(labels["le"])
    except (KeyError, ValueError):
        raise Unreadable(f"a bucket of {name} has no bound") from None


def started(found: Families) -> str | None:
    """When the process began, as a text that is equal for equal times; None when the text does not tell."""
    samples = found[START_TIME]
    return f"{samples[0].value:.2f}" if samples else None
