"""How many requests, and how long, until a guardrail passes or fails? What can be expected of a rollout before it begins.

The chances are those of requests that are bad independently of each other with a fixed chance, by forward recursion (``solera.stats.first_passage``),
for the rule that judges live rollouts: ``verdict_rule`` is the one place that knows it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from solera.plan.evidence import new_ledger
from solera.plan.intervals import EVIDENCE_INTERVAL, rollback_level
from solera.plan.ledger import Counter
from solera.plan.verdict import FAIL, PASS, ROLL_BACK, GuardrailSpec, judge
from solera.stats.dispersion import Spread
from solera.stats.first_passage import (
    Boundary,
    FirstPassage,
    Region,
    boundary,
    first_passage,
    least_good,
    look_schedule,
)
from solera.stats.share import far_above
from solera.stats.typical_bets import typical_bets

MOST_BAD = 2000
"""How far it is reckoned: until so many bad events are due at the limit. A share that is not decided by then is as good as at the limit."""

MOST_GOOD = 1 << 26
"""A guardrail that needs more good requests than this is not reckoned with."""

SPREAD = (0.5, 1.0, 2.0, 5.0)
"""The true shares that are looked at unless others are named, in limits."""

MEDIAN, NINETY = 0.5, 0.9

_AT = datetime(2026, 1, 1, tzinfo=UTC)
_STABLE, _CANDIDATE = "stable", "candidate"


@dataclass(frozen=True, slots=True)
class Asked:
    """One guardrail as it is reckoned with.

    ``limit`` is a share, the risks are probabilities over the whole rollout, ``tests`` is over how many tests false_rollback is divided: the
    limits and ratios of all guardrails that can roll back, times the sources of counts.
    """

    limit: float
    false_rollback: float
    false_promotion: float
    tests: int = 1


@dataclass(frozen=True, slots=True)
class Wait:
    """Requests of the candidate, and how long they take to come; ``time`` is None where the rate is not known."""

    requests: int
    time: timedelta | None


@dataclass(frozen=True, slots=True)
class Expectation:
    """What comes of a guardrail if ``share`` of the candidate's requests is bad.

    ``passed`` and ``failed`` are chances by the ``horizon``; ``median`` and ``ninety`` when a verdict has come in half and in nine tenths of all
    cases, None if that is not by then.
    """

    share: float
    passed: float
    failed: float
    horizon: Wait
    median: Wait | None
    ninety: Wait | None
    curve: FirstPassage

    @property
    def undecided(self) -> float:
        """The chance that there is no verdict by the horizon."""
        return max(0.0, 1 - self.passed - self.failed)


@dataclass(frozen=True, slots=True)
class Pace:
    """How requests come to the candidate: all requests per second, and steps of weight (a share) and duration. The last one lasts."""

    rate: float
    steps: tuple[tuple[float, timedelta], ...]

    def requests_by(self, time: timedelta) -> int:
        """Whole requests of the candidate within ``time``."""
        left, requests = time, 0.0
        for index, (weight, lasts) in enumerate(self.steps):
            here = left if index == len(self.steps) - 1 else min(left, lasts)
            requests += self.rate * weight * here.total_seconds()
            left -= here
        return math.floor(requests + 1e-9)

    def time_of(self, requests: int) -> timedelta:
        """When the candidate has had so many requests, to the second above; at most a thousand years."""
        return timedelta(seconds=min(math.ceil(self._seconds(requests) - 1e-9), _LONGEST))

    def requests_each(self, requests: int, span: timedelta) -> int:
        """Requests of the candidate in each ``span``, on average over its first so many; 1 if fewer come, since an empty span tells nothing."""
        return max(1, round(requests * span.total_seconds() / self._seconds(requests)))

    def _seconds(self, requests: int) -> float:
        left, seconds = float(requests), 0.0
        for index, (weight, lasts) in enumerate(self.steps):
            per_second, here = self.rate * weight, lasts.total_seconds()
            if index == len(self.steps) - 1 or per_second * here >= left:
                return seconds + left / per_second
            left -= per_second * here
            seconds += here
        raise AssertionError("the last step lasts")


_LONGEST = 1000 * 365 * 86400


def verdict_rule(asked: Asked, pace: Pace | None) -> tuple[Region, Region]:
    """The operator's own rule: whether so many bad ones among so many requests pass, and whether they fail. Counted as one step and one source.

    That rule also asks when bad ones came, in intervals of time. They are taken to have come by chance, at that ``pace``; one by one without it.
    """
    spec = GuardrailSpec("asked", "ErrorRate", asked.limit, None, None, ratio_requires_pass=False, action=ROLL_BACK)
    empty = new_ledger("asked", _STABLE, _CANDIDATE, _AT)
    series = ("engine", _CANDIDATE, spec.name)
    # Divided by the number of tests here, as ``judge`` divides it for guardrails that it sees.
    false_rollback = asked.false_rollback / asked.tests
    level = rollback_level(false_rollback, 1)

    @lru_cache(maxsize=1 << 14)
    def verdict(bad: int, total: int) -> str:
        each = 1 if pace is None else pace.requests_each(total, EVIDENCE_INTERVAL)
        # A share that is not above the limit shows nothing above it: the mean of a logarithm is not more than the logarithm of the mean.
        over = bad > total * asked.limit
        ledger = replace(
            empty,
            step=0,
            totals={series: {0: Counter(total, bad)}},
            read_at={series: _AT},
            spreads={series: Spread(bad, total, pairs=0, squares=total * each)},
            bets={(series[0], spec.name): typical_bets(bad, total, asked.limit, each, level)} if over else {},
        )
        return judge(
            (spec,), ledger, false_rollback=false_rollback, false_promotion=asked.false_promotion, intervals=False
        )[0].verdict

    def passes(bad: int, total: int) -> bool:
        # What is under the limit by this little can not pass, which is quickly seen.
        far = far_above(total - bad, total, 1 - asked.limit, -math.log(asked.false_promotion))
        return far and verdict(bad, total) == PASS

    def fails(bad: int, total: int) -> bool:
        return bad > total * asked.limit and verdict(bad, total) == FAIL

    return passes, fails


Rule = Callable[[Asked, Pace | None], tuple[Region, Region]]


def good_requests(asked: Asked, pace: Pace | None = None, *, rule: Rule = verdict_rule) -> int | None:
    """How many requests of the candidate show that the limit is kept, if none is bad; None: too many to be reckoned with."""
    return least_good(rule(asked, pace)[0], MOST_GOOD)


def expectations(
    asked: Asked,
    shares: Sequence[float],
    pace: Pace | None = None,
    *,
    within: timedelta | None = None,
    most_bad: int = MOST_BAD,
    every: int = 1,
    rule: Rule = verdict_rule,
) -> tuple[Expectation, ...]:
    """What can be expected at each of ``shares``, looked at each ``every`` requests at first (see ``look_schedule``).

    The rule asks for more than how many were bad. So it may fail in up to a fifth less requests than is told; when it passes is told to the interval.

    It is reckoned until ``most_bad`` bad events are due at the limit, or until ``within`` is over at that ``pace``.

    Raises:
        GuardrailError: the limit or a risk makes no test.
        ArgumentError: a share is not in [0, 1], or ``every`` is no whole number of at least 1.
    """
    most = math.ceil(most_bad / asked.limit)
    if pace is not None and within is not None:
        most = max(1, min(most, pace.requests_by(within)))
    edge = _boundary(asked, pace, most, every, rule)
    return tuple(_expectation(edge, share, pace) for share in shares)


@lru_cache(maxsize=64)
def _boundary(asked: Asked, pace: Pace | None, most: int, every: int, rule: Rule) -> Boundary:
    if pace is not None:  # between two ends of intervals the rule says nothing new
        every = max(every, pace.requests_each(1, EVIDENCE_INTERVAL))
    return boundary(*rule(asked, pace), look_schedule(most, every))


def _expectation(edge: Boundary, share: float, pace: Pace | None) -> Expectation:
    def wait(requests: int | None) -> Wait | None:
        return None if requests is None else waited(requests, pace)

    curve = first_passage(edge, share)
    median, ninety = (wait(curve.quantile(chance)) for chance in (MEDIAN, NINETY))
    return Expectation(share, curve.passed[-1], curve.failed[-1], waited(curve.looks[-1], pace), median, ninety, curve)


def waited(requests: int, pace: Pace | None) -> Wait:
    """So many requests of the candidate, at that pace."""
    return Wait(requests, None if pace is None else pace.time_of(requests))
