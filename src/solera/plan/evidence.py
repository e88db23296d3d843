"""From raw counters to evidence: differences that are counted once, whatever happens to pods, sources and the operator itself.

Pure bookkeeping. What can not be counted with certainty is not counted, and says so in the ledger: a verdict may come later for it, but
never from events that did not happen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from solera.api.defaults import RISK
from solera.plan.ledger import (
    ALL_REQUESTS,
    MAX_FALLS,
    SOURCES,
    ZERO,
    Counter,
    Flight,
    Flown,
    Instance,
    InstanceKey,
    Ledger,
    Measure,
    Reading,
    Series,
    Slice,
    Unobserved,
    add,
)
from solera.plan.ledger_record import EvidenceError, from_record, to_record
from solera.plan.measures import as_asked, redefined
from solera.plan.overdue import ahead_of, counted, follow
from solera.plan.slices import add_slice, count_slice

__all__ = [
    "ALL_REQUESTS",
    "SOURCES",
    "Counter",
    "EvidenceError",
    "Flight",
    "Ledger",
    "Reading",
    "absorb",
    "count_slice",
    "from_record",
    "new_ledger",
    "to_record",
]

FUTURE = timedelta(seconds=5)
"""How far a reading may lie ahead of the operator's clock."""

SKEW = timedelta(seconds=60)
"""How far a node's clock, which dates process starts, may lie behind the operator's."""

QUARANTINE = 2
"""After a fall, so many readings must follow on each other before differences count again."""

MAX_EARLIER = 4
MAX_INSTANCES = 256
MAX_SERIES = 256
MAX_UNOBSERVED = 32
LARGEST = 10**12
"""No process ever counts as many requests, and logarithms of gamma functions still have some digits left."""


def new_ledger(rollout_id: str, stable: str, candidate: str, now: datetime) -> Ledger:
    """An empty ledger for a rollout that begins ``now`` (aware). ``stable`` and ``candidate`` are the revisions' child names."""
    if now.utcoffset() is None:
        raise EvidenceError("now needs a time zone")
    if stable == candidate:
        raise EvidenceError(f"stable and candidate must differ, both are {stable!r}")
    return Ledger(rollout_id, stable, candidate, began=now, now=now, from_zero_after=now)


def absorb(
    ledger: Ledger,
    readings: Sequence[Reading],
    *,
    step: int,
    now: datetime,
    begun: datetime | None = None,
    alive: AbstractSet[str] | None = None,
    limits: Mapping[str, float] | None = None,
    measures: Mapping[str, Measure] | None = None,
    risk: float = RISK,
) -> Ledger:
    """The ledger after one look: ``readings`` in any order, repeated or not, counted for ``step``.

    ``begun`` is when that step was begun, None where that is not known. Call it at each look, without readings too: only so can a verdict tell that a source fell silent. ``alive`` are the uids of the pods that
    exist now; None means unknown. It is not asked about gateway instances. ``limits`` are the guardrails' limits as shares: with them the evidence
    against each goes on from look to look, without them a verdict has to gather it anew. ``measures`` are what the
    guardrails count; what was counted under the name of one as something else is dropped. ``risk`` is how often one test may wrongly find a candidate to be bad. Never raises for what a reading holds.
    """
    now = max(now, ledger.now)
    ledger = ledger if measures is None else redefined(ledger, measures, now)
    look = _Look(ledger, step, now)
    scrapes: dict[tuple[InstanceKey, datetime, str], Reading] = {}
    for r in (as_asked(ledger, r) for r in readings if look.admits(r)):
        scrape = ((r.source, r.revision, r.instance), r.at, r.started)
        # One scrape may come in parts, one per metric; of two equal parts the first is as good as the second.
        seen = scrapes.get(scrape, r)
        parts = {**r.counters, **seen.counters}, {**r.flights, **seen.flights}
        scrapes[scrape] = replace(seen, counters=parts[0], flights=parts[1])
    for reading in sorted(scrapes.values(), key=lambda r: r.at):
        look.take(reading)
    if alive is not None:
        look.compare(alive)
    return look.close(limits or {}, risk, begun)


class _Look:
    """The mutable side of one ``absorb``: copies what it changes, and is gone afterwards."""

    def __init__(self, ledger: Ledger, step: int, now: datetime) -> None:
        self.ledger = ledger
        self.anew = ledger.anew
        self.step = step
        self.now = now
        self.instances = dict(ledger.instances)
        self.flown = dict(ledger.flown)
        self.totals = dict(ledger.totals)
        self.read_at = dict(ledger.read_at)
        self.refused = dict(ledger.refused)
        self.unobserved = ledger.unobserved
        self.unobserved_total = ledger.unobserved_total
        self.resets = ledger.resets
        self.from_zero_after = ledger.from_zero_after
        self.counted: dict[Series, Counter] = {}

    def refuse(self, reason: str) -> None:
        self.refused[reason] = self.refused.get(reason, 0) + 1

    def admits(self, reading: Reading) -> bool:
        """Whether the reading is about this rollout, and its time can be compared at all."""
        if reading.revision not in (self.ledger.stable, self.ledger.candidate):
            return False
        if reading.at.utcoffset() is None:
            self.refuse("no time zone")
        elif reading.at > self.now + FUTURE:
            self.refuse("from the future")
        elif reading.at < self.ledger.began:
            self.refuse("from before the rollout")
        else:
            return True
        return False

    def take(self, reading: Reading) -> None:
        """Count what is new in one reading, and make it the baseline of the next."""
        key = (reading.source, reading.revision, reading.instance)
        counters = self.valid(reading)
        known = self.instances.get(key)
        if known is not None and reading.at <= known.at:
            self.refuse("repeated or late")
            return
        former = self.flown.pop(key, {})  # the history of a process ends where it restarts, falls or tells nothing
        if known is None:
            if self.room():
                self.count(reading, counters, {}, from_zero=_after(reading.started, self.from_zero_after) is True)
                self.instances[key] = Instance(reading.started, reading.at, counters)
                self.flown[key] = follow({}, reading, counters)
        elif reading.started != known.started:
            self.restarted(key, known, reading, counters)
            self.flown[key] = follow({}, reading, counters)
        else:
            self.went_on(key, known, reading, counters, former)

    def went_on(
        self,
        key: InstanceKey,
        known: Instance,
        reading: Reading,
        counters: Mapping[str, Counter],
        former: Mapping[str, Flown],
    ) -> None:
        old = known.counters
        if any(_fell(old[name], counter) for name, counter in counters.items() if name in old):
            self.resets += 1
            raw, falls = {**old, **counters}, known.falls + 1
            self.instances[key] = replace(known, at=reading.at, counters=raw, falls=falls, quarantine=QUARANTINE)
            return
        # Scraped halfway through an update, more can be bad than there were events: both wait for the next reading.
        whole = {n: c for n, c in counters.items() if n not in old or c.bad - old[n].bad <= c.total - old[n].total}
        counts = not (known.given_up or known.quarantine)
        flown = follow(former, reading, whole) if counts else {}
        ahead = ahead_of(known.ahead, old, whole, flown)
        if counts:
            self.flown[key] = flown
            from_zero = _after(reading.started, self.from_zero_after) is True
            self.count(reading, counted(whole, ahead), counted(old, known.ahead), from_zero=from_zero)
        quarantine, raw = max(known.quarantine - 1, 0), {**old, **whole}
        self.instances[key] = replace(known, at=reading.at, counters=raw, quarantine=quarantine, ahead=ahead)

    def restarted(self, key: InstanceKey, known: Instance, reading: Reading, counters: Mapping[str, Counter]) -> None:
        returned = reading.started in known.earlier
        # Where the start cannot be dated, a new text is all there is to know; a start from before the last reading is another process.
        genuine = not returned and _after(reading.started, known.at - SKEW) is not False
        falls = MAX_FALLS if returned else known.falls + (not genuine)
        self.resets += not genuine
        if genuine and falls < MAX_FALLS:
            self.count(reading, counters, {}, from_zero=True)
        earlier = (*(s for s in known.earlier if s != reading.started), known.started)[-MAX_EARLIER:]
        quarantine = 0 if genuine else QUARANTINE
        self.instances[key] = Instance(reading.started, reading.at, counters, falls, quarantine, earlier, known.gone)

    def count(
        self, reading: Reading, counters: Mapping[str, Counter], old: Mapping[str, Counter], *, from_zero: bool
    ) -> None:
        """Add the differences to ``old``. A counter seen for the first time counts only if its process began in this rollout."""
        for name, counter in counters.items():
            series = (reading.source, reading.revision, name)
            base = old.get(name, ZERO if from_zero and self.from_its_begin(name, reading) else counter)
            more = Counter(counter.total - base.total, counter.bad - base.bad)
            self.totals[series] = {self.step: ZERO, **self.totals.get(series, {})}  # measured, if only as a baseline
            self.read_at[series] = max(reading.at, self.read_at.get(series, reading.at))
            if more.total:
                self.counted[series] = add(self.counted.get(series, ZERO), more)

    def from_its_begin(self, name: str, reading: Reading) -> bool:
        """Whether the name has counted the same since the process began: what was answered before an edit is no news of this moment."""
        since = self.anew.get(name)
        return since is None or _after(reading.started, since) is not False

    def valid(self, reading: Reading) -> dict[str, Counter]:
        """The counters that are counts: whole, finite, not negative, no more bad than there were events."""
        counters = {}
        for name, counter in reading.counters.items():
            total, bad = _whole(counter.total), _whole(counter.bad)
            if total is None or bad is None or bad > total:
                self.refuse("not a count")
            elif (reading.source, reading.revision, name) not in self.totals and len(self.totals) >= MAX_SERIES:
                self.refuse("too many series")
            else:
                counters[name] = Counter(total, bad)
        return counters

    def room(self) -> bool:
        """Make room for one more instance. Those that are gone go first, those of live ones are never given up."""
        if len(self.instances) < MAX_INSTANCES:
            return True
        gone = [(instance.at, key) for key, instance in self.instances.items() if instance.gone]
        if not gone:
            self.refuse("too many instances")
            return False
        at, key = min(gone)
        del self.instances[key]
        self.flown.pop(key, None)
        # Should it come back after all, it must not be taken for a new process and counted again from zero.
        self.from_zero_after = max(self.from_zero_after, at)
        return True

    def compare(self, alive: AbstractSet[str]) -> None:
        """Note the pods that vanished since they were last read, and take back those that were only missing from a list."""
        for key, instance in self.instances.items():
            source, revision, name = key
            gone = source != "gateway" and name not in alive
            if gone == instance.gone:
                continue
            self.instances[key] = replace(instance, gone=gone)
            self.flown.pop(key, None)
            entry = Unobserved(source, revision, name, instance.at)
            if gone:
                self.unobserved = (*self.unobserved, entry)[-MAX_UNOBSERVED:]
                self.unobserved_total += 1
            else:
                self.unobserved = tuple(u for u in self.unobserved if (u.source, u.revision, u.instance) != key)
                self.unobserved_total -= 1

    def close(self, limits: Mapping[str, float], risk: float, begun: datetime | None) -> Ledger:
        seen = replace(
            self.ledger,
            from_zero_after=self.from_zero_after,
            totals=self.totals,
            read_at=self.read_at,
            instances=self.instances,
            unobserved=self.unobserved,
            unobserved_total=self.unobserved_total,
            resets=self.resets,
            refused=self.refused,
            flown={key: flown for key, flown in self.flown.items() if flown},
        )
        return add_slice(seen, Slice(self.ledger.now, self.now, self.step, self.counted), limits, risk, begun)


def _after(started: str, moment: datetime) -> bool | None:
    """Whether a process start lies at or after ``moment``; None when the text is no time."""
    try:
        seconds = float(started)
    except ValueError:
        try:
            start = datetime.fromisoformat(started)
        except ValueError:
            return None
        return None if start.utcoffset() is None else start >= moment
    if not (math.isfinite(seconds) and 0 < seconds < 1e11):
        return None
    return datetime.fromtimestamp(seconds, UTC) >= moment


def _whole(value: object) -> int | None:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST else None


def _fell(old: Counter, new: Counter) -> bool:
    return new.total < old.total or new.bad < old.bad
