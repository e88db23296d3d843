"""Processes that count requests, and the readings that a scrape of them gives: what the tests of evidence feed on."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from solera.plan.evidence import Counter, Ledger, Reading, absorb, new_ledger

T0 = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
STABLE, CANDIDATE = "chat-v1-aaaaaaaa", "chat-v2-bbbbbbbb"


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def epoch(seconds: float) -> str:
    return f"{at(seconds).timestamp():.2f}"


def ledger() -> Ledger:
    return new_ledger("r1", STABLE, CANDIDATE, T0)


@dataclass
class Process:
    """One engine or gateway process. ``began`` is in seconds from the begin of the rollout; before it, negative."""

    revision: str = CANDIDATE
    instance: str = "pod-1"
    began: float = 1.0
    source: str = "engine"
    counters: dict[str, list[int]] = field(default_factory=lambda: {"": [0, 0], "errors": [0, 0]})

    def serve(self, total: int, bad: int = 0) -> None:
        for name, counter in self.counters.items():
            counter[0] += total
            counter[1] += bad if name else 0

    def restart(self, began: float) -> None:
        self.began = began
        self.counters = {name: [0, 0] for name in self.counters}

    def read(self, seconds: float) -> Reading:
        counters = {name: Counter(*counter) for name, counter in self.counters.items()}
        return Reading(at(seconds), self.source, self.revision, self.instance, epoch(self.began), counters)


def stable(instance: str = "pod-0", source: str = "engine") -> Process:
    """A process of the stable revision that has been running for an hour, with a past of its own."""
    process = Process(STABLE, instance, -3600.0, source)
    process.serve(50_000, 4_000)
    return process


@dataclass
class Traffic:
    """Both arms under load, looked at every 5 seconds."""

    ledger: Ledger = field(default_factory=ledger)
    old: Process = field(default_factory=stable)
    new: Process = field(default_factory=Process)
    seconds: float = 0.0
    rng: random.Random = field(default_factory=lambda: random.Random(0))
    limits: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        self.look()

    def look(self, step: int = 0) -> Ledger:
        self.seconds += 5
        readings = [self.old.read(self.seconds), self.new.read(self.seconds)]
        self.ledger = absorb(self.ledger, readings, step=step, now=at(self.seconds), limits=self.limits)
        return self.ledger

    def run(self, candidate: tuple[int, float], stable: tuple[int, float] = (0, 0.0), *, step: int = 0) -> Ledger:
        """One look after so many requests with such a chance to be bad, in each arm."""
        for process, (total, share) in ((self.new, candidate), (self.old, stable)):
            process.serve(total, sum(self.rng.random() < share for _ in range(total)))
        return self.look(step)
