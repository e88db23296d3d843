"""What is remembered without being decided: how far revisions on their way out have come, and which versions are buried.

Unlike a decision these follow from what is seen alone; losing one write of them costs at most a longer drain.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from solera.api.defaults import DRAIN_TIMEOUT
from solera.plan.children import gone
from solera.plan.clock import AHEAD
from solera.plan.lifecycle import served
from solera.plan.memory import Draining, Memory, Previous, RevisionRef, Tombstone
from solera.plan.situation import Situation
from solera.plan.traffic import routed_progress

WHOLE_SECONDS = timedelta(seconds=1)
"""Times in status are cut to whole seconds, so a moment read from there may have been almost so much later."""


def drain_timeout(s: Situation, ref: RevisionRef) -> timedelta:
    """The time that requests in flight get, also for a version that has left the manifest."""
    version, seen = s.version_of(ref), s.seen(ref)
    if version is not None:
        return version.resolved.drain_timeout
    pod = seen.deployment["spec"]["template"]["spec"] if seen is not None and seen.deployment is not None else {}
    return max(DRAIN_TIMEOUT, timedelta(seconds=pod.get("terminationGracePeriodSeconds") or 0))


def drained_at(s: Situation, draining: Draining) -> datetime | None:
    """When its pods may go; None while the route still gives it weight or the gateway has not taken over the route."""
    if draining.since is None or draining.ref.revision in s.live:
        return None
    if s.observation.route is not None and not s.route_in_force:
        return None
    return draining.since + WHOLE_SECONDS + drain_timeout(s, draining.ref)


def keep_up(s: Situation) -> Memory:
    """The memory with drains and tombstones brought up to what is seen now."""
    memory = _with_approvals(s, _with_start(s, _with_orphans(s)))
    drains = tuple(_look(s, d) for d in memory.draining)
    left = tuple(d for d in drains if not gone(s.observation.revisions.get(d.ref.revision)) or d.since is None)
    ended = {d.ref.version: d.since for d in drains if d not in left}
    memory = replace(memory, draining=left, previous=_warm(s, memory.previous))
    for tombstone in _burials(s, memory, ended):
        memory = replace(memory, tombstones=(*memory.tombstones, tombstone))
        late = f", {tombstone.late_by.total_seconds():.0f} s late" if tombstone.late_by else ""
        memory = memory.tell(s.now, "Retired", f"{tombstone.version} is retired{late}; nothing of it is left")
    return memory


def first_written(memory: Memory, s: Situation) -> bool:
    """Whether what is remembered now, and not in ``memory``, must be written down before anything is done about it, or the next look would go by what status still says.

    A revision whose drain had begun, or that is kept warm, was found with weight again, so its drain begins anew. Or an approval belongs to no step any more.
    """
    now = s.memory
    if memory.rollout is not None and now.rollout is not None and memory.rollout.approved != now.rollout.approved:
        return True
    begun = {d.ref for d in memory.draining if d.since is not None}
    warm = now.previous is not None and now.previous != memory.previous and now.previous.ref.revision in s.live
    return warm or any(d.since is None and d.ref in begun for d in now.draining)


def _look(s: Situation, draining: Draining) -> Draining:
    if draining.ref.revision in s.live:
        return replace(draining, since=None)
    # Until the gateway has taken the route over, requests still arrive: none of that time is theirs to finish in.
    shared_out = s.observation.route is None or s.route_in_force
    return draining if draining.since is not None or not shared_out else replace(draining, since=s.now)


def _warm(s: Situation, previous: Previous | None) -> Previous | None:
    """Kept warm, it has no weight; another hand that gives it some makes its last request a later one. How much later is known when the gateway has taken over the route that is put right."""
    if previous is None or previous.ref.revision not in s.live or previous.since >= s.now:
        return previous
    return replace(previous, since=(s.now + AHEAD).replace(microsecond=0))


def _with_start(s: Situation, memory: Memory) -> Memory:
    """While there is no node for a candidate, or it is ready and was not asked, or something else is waited for, its time to start up does not run."""
    candidate, rollout = memory.candidate, memory.rollout
    if candidate is None or rollout is None or s.progress is not None or s.paused:
        return memory
    unasked = s.all_ready(candidate) and s.unasked(candidate)
    if not (s.unscheduled(candidate) or s.fully_serving(candidate) or unasked):
        return memory
    return replace(memory, rollout=replace(rollout, timed_from=s.now))


def _with_approvals(s: Situation, memory: Memory) -> Memory:
    """Nobody can approve a step before it is in force: an approval beyond it was meant for one that had the number before the steps were edited."""
    rollout, routed = memory.rollout, routed_progress(s.observation.route)
    if memory.candidate is None or rollout is None or not rollout.approved:
        return memory
    step = 0 if s.progress is None else s.progress.step
    same = routed is None or s.progress is None or (routed.step, routed.weight) == (s.progress.step, s.progress.weight)
    approved = tuple(index for index in rollout.approved if index < step or (index == step and same))
    return replace(memory, rollout=replace(rollout, approved=approved))


def _with_orphans(s: Situation) -> Memory:
    """Children that no role explains (a crash between two writes, a version that came and went) go the ordinary way out."""
    memory = s.memory
    if memory.stable is None and s.target is not None:
        memory = memory.keep(s.target)  # its date was moved before the last of it had gone
    known = memory.known()
    if s.target is not None and (memory.stable is None or memory.candidate == s.target):
        known[s.target.revision] = s.target
    for name, seen in sorted(s.observation.revisions.items()):
        if name not in known and not gone(seen):
            memory = memory.drain(RevisionRef(seen.version, seen.name, seen.hash), None)
    return memory


def _burials(s: Situation, memory: Memory, ended: dict[str, datetime | None]) -> Iterator[Tombstone]:
    """Versions that served, are past their date, and of which nothing is left. ``ended`` has those whose last revision has just gone.

    One that never served has nothing to bury: its date may be a mistake, and can still be moved.
    """
    in_use = {ref.version for ref in memory.known().values()}
    in_use |= {seen.version for seen in s.observation.revisions.values() if not gone(seen)}
    for name, version in s.intent.versions.items():
        date = version.life.retires_at
        if date is None or s.observation.calendar < date or name in in_use or memory.tombstone(name) is not None:
            continue
        if not served(name, memory):
            continue
        weightless = ended.get(name) or date
        yield Tombstone(name, s.now, max(weightless - date, timedelta(0)))
