"""What to do with times that lie in the future: they were written by a clock that was ahead, or that has been put back since.

Waited for, such a time would stop a rollout for as long as the clocks differ. It is taken for now instead, and written anew like that: what
has lasted so far counts for nothing, and the step in force counts its requests anew, so no wait becomes shorter than it was declared. What verdicts are
made of stays.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from solera.plan.ledger import Ledger
from solera.plan.memory import Memory, Progress

AHEAD = timedelta(seconds=5)
"""Clocks of nodes differ by less; so far a time may lie in the future and is simply waited for."""


def ahead(at: datetime, now: datetime) -> bool:
    """Whether ``at`` cannot be the time of something that has happened."""
    return at > now + AHEAD


def memory_at(memory: Memory, now: datetime) -> Memory:
    """``memory`` without times that are ahead of ``now``; the very same when there are none."""
    rollout, previous, draining = memory.rollout, memory.previous, memory.draining
    if rollout is not None:
        rollout = replace(
            rollout,
            started_at=_back(rollout.started_at, now),
            held_since=rollout.held_since and _back(rollout.held_since, now),
            paused_at=rollout.paused_at and _back(rollout.paused_at, now),
            timed_from=rollout.timed_from and _back(rollout.timed_from, now),
        )
    if previous is not None and ahead(previous.since, now):
        previous = replace(previous, since=now, until=now + (previous.until - previous.since))
    draining = tuple(replace(d, since=_back(d.since, now)) if d.since is not None else d for d in draining)
    if (rollout, previous, draining) == (memory.rollout, memory.previous, memory.draining):
        return memory
    return replace(memory, rollout=rollout, previous=previous, draining=draining)


def progress_at(progress: Progress | None, now: datetime) -> Progress | None:
    """The same step, begun now if it was begun in the future."""
    if progress is None or not ahead(progress.since, now):
        return progress
    return replace(progress, since=now)


def ledger_at(ledger: Ledger, now: datetime) -> Ledger:
    """The same counts, with all times moved back together so that the newest look was now: readings are compared with them."""
    if not ahead(ledger.now, now):
        return ledger
    by = now - ledger.now
    return replace(
        ledger,
        began=ledger.began + by,
        now=now,
        step_since=None if ledger.step_since is None else ledger.step_since + by,
        from_zero_after=ledger.from_zero_after + by,
        read_at={series: at + by for series, at in ledger.read_at.items()},
        instances={key: replace(one, at=one.at + by) for key, one in ledger.instances.items()},
        pairings={
            key: replace(one, waiting_since=one.waiting_since + by) if one.waiting_since is not None else one
            for key, one in ledger.pairings.items()
        },
        gathered_since=None if ledger.gathered_since is None else ledger.gathered_since + by,
        ring=tuple(replace(part, start=part.start + by, end=part.end + by) for part in ledger.ring),
        measures=ledger.measures
        and {name: m if m.since is None else replace(m, since=m.since + by) for name, m in ledger.measures.items()},
        unobserved=tuple(replace(one, last_read=one.last_read + by) for one in ledger.unobserved),
        flown={},
    )


def _back(at: datetime, now: datetime) -> datetime:
    return now if ahead(at, now) else at
