"""Lives of one candidate beside one stable version, judged by the operator's own code: one look every 5 seconds.

Requests come evenly, which of them are bad is chance, drawn from a seed. Shares lie in [0, 1], times are in seconds since the rollout began.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from solera.plan.evidence import new_ledger
from solera.plan.ledger import Counter, Slice
from solera.plan.slices import count_slice
from solera.plan.verdict import GuardrailSpec, GuardrailVerdict, judge, number_of_tests

SECONDS = 5
"""Between two looks: the shortest interval of evidence."""

BEGAN = datetime(2026, 1, 1, 12, tzinfo=UTC)
STABLE, CANDIDATE, SOURCE = "chat-v1-aaaaaaaa", "chat-v2-bbbbbbbb", "engine"


@dataclass(frozen=True, slots=True)
class Incident:
    """From ``begins`` to ``ends`` both arms have this share of bad requests."""

    begins: int
    ends: int
    share: float


@dataclass(frozen=True, slots=True)
class World:
    """Requests a minute and the true share of bad ones, of both arms."""

    per_minute: float
    share: float
    stable_per_minute: float
    stable_share: float
    incident: Incident | None = None

    def shares(self, second: int) -> tuple[float, float]:
        """Of the candidate and of stable, in the interval that ends at ``second``."""
        there = self.incident
        if there is not None and there.begins < second <= there.ends:
            return there.share, there.share
        return self.share, self.stable_share


@dataclass(frozen=True, slots=True)
class Look:
    """What one look saw. ``stable`` counts from the beginning of the rollout."""

    second: int
    verdict: GuardrailVerdict
    stable: Counter


def guardrail(limit: float | None, max_ratio: float | None = None) -> GuardrailSpec:
    """`errors`, which rolls back."""
    return GuardrailSpec("errors", "ErrorRate", limit, None, max_ratio, ratio_requires_pass=False, action="RollBack")


def looks(
    world: World,
    spec: GuardrailSpec,
    seed: str,
    *,
    false_rollback: float = 0.05,
    false_promotion: float = 0.05,
    intervals: bool = False,
) -> Iterator[Look]:
    """One look after the other, without end. ``seed`` gives the same life on every machine; ``intervals`` are only needed for a picture."""
    rng = random.Random(seed)
    limits = {} if spec.limit is None else {spec.name: spec.limit}
    risk = false_rollback / number_of_tests([spec])
    ledger, second, stable = new_ledger("r1", STABLE, CANDIDATE, BEGAN), 0, Counter(0, 0)
    while True:
        second += SECONDS
        shares = world.shares(second)
        ours = _interval(rng, world.per_minute, shares[0], second)
        theirs = _interval(rng, world.stable_per_minute, shares[1], second)
        stable = Counter(stable.total + theirs.total, stable.bad + theirs.bad)
        counts = {(SOURCE, CANDIDATE, spec.name): ours, (SOURCE, STABLE, spec.name): theirs}
        part = Slice(
            BEGAN + timedelta(seconds=second - SECONDS),
            BEGAN + timedelta(seconds=second),
            0,
            {series: counter for series, counter in counts.items() if counter.total},
        )
        ledger = count_slice(ledger, part, limits, risk)
        verdict = judge(
            [spec], ledger, false_rollback=false_rollback, false_promotion=false_promotion, intervals=intervals
        )
        yield Look(second, verdict[0], stable)


def _interval(rng: random.Random, per_minute: float, share: float, second: int) -> Counter:
    total = math.floor(per_minute * second / 60) - math.floor(per_minute * (second - SECONDS) / 60)
    return Counter(total, _bad(rng, total, share))


def _bad(rng: random.Random, total: int, share: float) -> int:
    """Binomial, by the gaps between bad requests."""
    if share <= 0:
        return 0
    bad, at = 0, -1
    while True:
        at += 1 + math.floor(math.log(1 - rng.random()) / math.log1p(-share))
        if at >= total:
            return bad
        bad += 1
