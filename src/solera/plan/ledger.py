"""What is known about one rollout: totals per step, raw counters to go on from, and pairs of both arms. Frozen data and questions to it.

All counts are events since the rollout began, all times are aware datetimes, all shares lie in [0, 1].
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import reduce

from solera.stats.dispersion import Spread
from solera.stats.failure_share import Interval, RatioProfile
from solera.stats.interval_bets import Bets

ALL_REQUESTS = ""
"""The guardrail name under which a reading carries the count of all requests."""

MAX_FALLS = 3
"""A process whose counters fell this often is not one process (a load-balanced address): nothing more of it is counted."""

SOURCES = ("gateway", "engine", "prometheus")
"""Where counts come from, the one that sees most of what users see first."""


@dataclass(frozen=True, slots=True)
class Counter:
    """Events and the bad ones among them: cumulative since process start in a reading, a difference in a ledger."""

    total: int
    bad: int


ZERO = Counter(0, 0)


@dataclass(frozen=True, slots=True)
class Measure:
    """What is counted under a guardrail's name: a value of ``api.traffic.Metric``, and from how many seconds on an answer is bad (None for ErrorRate).

    ``since`` is when the name came to stand for it in mid-rollout; None where it did from the begin.
    """

    metric: str
    slower_than: float | None = None
    since: datetime | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Flight:
    """What one process tells about the requests of a latency guardrail that it has not finished: both numbers since it began.

    ``started`` requests had begun, and ``done`` at least had their end (or first token), in whatever way and order. So the
    difference of a former ``started`` and ``done`` is never more than what is left of those. ``slower_than`` is in seconds.
    """

    started: int
    done: int
    slower_than: float


@dataclass(frozen=True, slots=True)
class Reading:
    """One scrape of one counter source: an engine's pod, or one backend of one gateway instance.

    ``at`` is when the counters had these values. ``source`` is "engine", "gateway" or "prometheus". ``revision`` is the child name
    <llmdep>-<version>-<hash>. ``instance`` is the pod uid, or the gateway's instance id. ``started`` is the process start as
    text (seconds since 1970, or RFC 3339): a change is a restart that counts from zero. ``counters`` maps a guardrail's name to
    its counter, and "" to all requests (with 0 bad). A counter that could not be read is left out, never 0. ``flights`` are what is
    known of requests in flight, by guardrail; a source that does not tell leaves them out. ``by`` is when the values were read at the
    latest, where that is later than ``at``. ``measures`` is what was asked to be counted under each name; a name that is left out is taken
    for what the ledger counts.
    """

    at: datetime
    source: str
    revision: str
    instance: str
    started: str
    counters: Mapping[str, Counter]
    flights: Mapping[str, Flight] = field(default_factory=dict)
    by: datetime | None = None
    measures: Mapping[str, Measure] = field(default_factory=dict)


Series = tuple[str, str, str]
"""Source, revision, guardrail."""

InstanceKey = tuple[str, str, str]
"""Source, revision, instance."""


@dataclass(frozen=True, slots=True)
class Instance:
    """The raw counters of one process at its newest accepted reading: the baseline of the next difference.

    ``falls`` counts readings that no single process could have given (a counter fell, or an earlier start came back), ``quarantine`` the
    readings that must still follow on each other after the last of them before differences count again. ``earlier`` are former values of
    ``started``. ``gone`` marks a pod that is no longer alive. ``ahead`` are bad events by guardrail that were counted before they were in
    ``counters``.
    """

    started: str
    at: datetime
    counters: Mapping[str, Counter]
    falls: int = 0
    quarantine: int = 0
    earlier: tuple[str, ...] = ()
    gone: bool = False
    ahead: Mapping[str, int] = field(default_factory=dict)

    @property
    def given_up(self) -> bool:
        """Whether nothing more of it is counted."""
        return self.falls >= MAX_FALLS


@dataclass(frozen=True, slots=True)
class Flown:
    """The requests in flight of one process and guardrail, as far back as it matters (``solera.plan.overdue``).

    ``points`` are pairs of a time and how many requests at least had begun by then, the newest last; the numbers never fall. ``overdue``
    is how many at least were in flight for longer than ``slower_than`` seconds at the newest reading.
    """

    slower_than: float
    points: tuple[tuple[datetime, int], ...]
    overdue: int = 0


@dataclass(frozen=True, slots=True)
class Unobserved:
    """A pod that went away: what it did after ``last_read`` was never counted."""

    source: str
    revision: str
    instance: str
    last_read: datetime


NOTHING = Interval(0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Pairing:
    """Candidate and stable in the same spans of time, for one source and guardrail.

    ``waiting`` is what was counted since both arms last had a request, from ``waiting_since`` on.
    """

    profile: RatioProfile = field(default_factory=RatioProfile)
    steps: Mapping[int, Interval] = field(default_factory=dict)
    waiting: Interval = NOTHING
    waiting_since: datetime | None = None

    @property
    def whole(self) -> Interval:
        """What both arms did in the whole rollout, where both had requests in the same spans."""
        return reduce(join, self.steps.values(), NOTHING)


@dataclass(frozen=True, slots=True)
class Slice:
    """What was counted between two looks, ``start`` excluded and ``end`` included; only series in which something happened."""

    start: datetime
    end: datetime
    step: int
    counts: Mapping[Series, Counter]


@dataclass(frozen=True, slots=True)
class Ledger:
    """All evidence of one rollout.

    ``now`` is the time of the newest look, ``step`` the step then in force (None before the first), ``step_since`` the first look that found it so.
    ``totals`` holds a series from its first valid reading on, with 0 when that only gave a baseline: a series that is absent was never
    measured. ``read_at`` is its newest valid reading. ``resets`` counts the falls of all instances, ``refused`` the
    readings and counters that were not counted, by reason. A process that started after ``from_zero_after`` is counted from zero.
    ``gathered`` is what the interval in progress has counted since ``gathered_since``; ``spreads`` and, by source and guardrail of the candidate,
    ``bets`` are about the intervals before it (``solera.plan.intervals``). ``measures`` is what all of this counts, by guardrail; None where
    nobody said. ``flown`` is not written down: it is known again in the time that
    a request may take.
    """

    rollout_id: str
    stable: str
    candidate: str
    began: datetime
    now: datetime
    from_zero_after: datetime
    step: int | None = None
    step_since: datetime | None = None
    totals: Mapping[Series, Mapping[int, Counter]] = field(default_factory=dict)
    read_at: Mapping[Series, datetime] = field(default_factory=dict)
    instances: Mapping[InstanceKey, Instance] = field(default_factory=dict)
    pairings: Mapping[tuple[str, str], Pairing] = field(default_factory=dict)
    ring: tuple[Slice, ...] = ()
    gathered: Mapping[Series, Counter] = field(default_factory=dict)
    gathered_since: datetime | None = None
    spreads: Mapping[Series, Spread] = field(default_factory=dict)
    bets: Mapping[tuple[str, str], Bets] = field(default_factory=dict)
    unobserved: tuple[Unobserved, ...] = ()
    unobserved_total: int = 0
    resets: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)
    measures: Mapping[str, Measure] | None = None
    flown: Mapping[InstanceKey, Mapping[str, Flown]] = field(default_factory=dict, compare=False)

    @property
    def anew(self) -> Mapping[str, datetime]:
        """The guardrails that were edited or added in mid-rollout, and since when they count."""
        return {name: m.since for name, m in (self.measures or {}).items() if m.since is not None}

    def sources(self, revision: str, guardrail: str = ALL_REQUESTS) -> tuple[str, ...]:
        """The sources that ever measured this guardrail for this revision."""
        known = {source for source, of, name in self.totals if of == revision and name == guardrail}
        return tuple(
            sorted(known, key=lambda source: (SOURCES.index(source) if source in SOURCES else len(SOURCES), source))
        )

    def steps(self, source: str, revision: str, guardrail: str = ALL_REQUESTS) -> tuple[tuple[int, Counter], ...]:
        """Counts per step, in the order of the steps."""
        return tuple(sorted(self.totals.get((source, revision, guardrail), {}).items()))

    def total(self, source: str, revision: str, guardrail: str = ALL_REQUESTS) -> Counter:
        """Counts over the whole rollout."""
        counters = self.totals.get((source, revision, guardrail), {}).values()
        return Counter(sum(c.total for c in counters), sum(c.bad for c in counters))

    def given_up(self, source: str, revision: str) -> bool:
        """Whether nothing more is counted of any process of this revision that is not gone."""
        there = [i for (of, name, _), i in self.instances.items() if (of, name) == (source, revision) and not i.gone]
        return bool(there) and all(instance.given_up for instance in there)

    def requests(self, revision: str, step: int | None = None) -> int:
        """Requests of a revision in ``step`` (default: the step in force), by the source that observed most of both arms."""
        source = self._traffic_source(step)
        return 0 if source is None else self._in_step(source, revision, step)

    def observed_share(self, revision: str, step: int | None = None) -> float | None:
        """The revision's share of the requests of both arms in ``step`` (default: the step in force); None without requests."""
        source = self._traffic_source(step)
        if source is None:
            return None
        both = self._in_step(source, self.stable, step) + self._in_step(source, self.candidate, step)
        return self._in_step(source, revision, step) / both

    def _in_step(self, source: str, revision: str, step: int | None) -> int:
        wanted = self.step if step is None else step
        if wanted is None:
            return 0
        series = (source, revision, ALL_REQUESTS)
        return self.totals.get(series, {}).get(wanted, ZERO).total - self._before(series, wanted)

    def _before(self, series: Series, step: int) -> int:
        """Requests under the number of the step in force that were counted before it began: the steps were edited, and another had its number."""
        if step != self.step or self.step_since is None:
            return 0
        old = (p for p in self.ring if p.step == step and p.end < self.step_since and series in p.counts)
        return sum(part.counts[series].total for part in old)

    def _traffic_source(self, step: int | None) -> str | None:
        """The gateway sees requests that no engine ever answered; another source serves only where it is not measured."""
        for source in SOURCES:
            if self._in_step(source, self.stable, step) + self._in_step(source, self.candidate, step) > 0:
                return source
        return None


def add(one: Counter, other: Counter) -> Counter:
    """Both counts together."""
    return Counter(one.total + other.total, one.bad + other.bad)


def together(one: Mapping[Series, Counter], other: Mapping[Series, Counter]) -> dict[Series, Counter]:
    """The counts of both, by series."""
    both = dict(one)
    for series, counter in other.items():
        both[series] = add(both.get(series, ZERO), counter)
    return both


def join(one: Interval, other: Interval) -> Interval:
    """Two spans of time as one."""
    return Interval(
        one.candidate + other.candidate,
        one.candidate_failures + other.candidate_failures,
        one.stable + other.stable,
        one.stable_failures + other.stable_failures,
    )
