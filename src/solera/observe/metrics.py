"""Where evidence comes from: one protocol, so that pods, gateways and Prometheus look alike to the collector.

A source gives raw cumulative counters. It never divides, never takes a rate, never guesses: what it could not read is an error
with a text, what can never be read from it is unmeasurable with a reason, and neither is ever a number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from solera.errors import SoleraError
from solera.plan.evidence import Reading


class Unreadable(SoleraError):  # noqa: N818 - an answer came, but it cannot be believed
    """An answer cannot be turned into counters: cut off, not numbers, falling short of itself."""


@dataclass(frozen=True, slots=True)
class Target:
    """One pod whose evidence is wanted.

    ``revision`` is the revision's name, which is also that of its Service; ``instance`` the pod's uid; ``engine`` the engine's name as
    in the spec; ``started`` the start of the engine's container, None when it is not known. While it has not ``answered`` a completion, an
    engine may not show all its metrics yet. A pod that is starting or leaving is not ``expected`` to answer: its silence is no error.
    """

    revision: str
    instance: str
    ip: str
    port: int
    namespace: str
    service: str
    engine: str
    pod: str = ""
    started: datetime | None = None
    answered: bool = True
    expected: bool = True


@dataclass(frozen=True, slots=True)
class GuardrailQuery:
    """What to count for one guardrail: a value of ``api.traffic.Metric``; ``slower_than`` is in seconds, None for ErrorRate.

    ``acts``: something is decided by it, so that a source without it is not to be relied on.
    """

    name: str
    metric: str
    slower_than: float | None = None
    acts: bool = True


@dataclass(frozen=True, slots=True)
class SourceResult:
    """What one look at a source gave.

    ``errors`` maps an instance (or the source itself) to why it could not be read this time; ``unmeasurable`` maps a guardrail's name
    to why this source can never measure it as things are.
    """

    readings: tuple[Reading, ...] = ()
    errors: Mapping[str, str] = field(default_factory=dict)
    unmeasurable: Mapping[str, str] = field(default_factory=dict)


class MetricSource(Protocol):
    """Something that can be read. Looks that share one ``now`` may share one request."""

    async def read(
        self, targets: Sequence[Target], guardrails: Sequence[GuardrailQuery], now: datetime
    ) -> SourceResult:
        """Read the counters of ``targets``. Never raises for what the other side does; cancelling it is safe."""
