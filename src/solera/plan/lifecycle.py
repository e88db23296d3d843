"""Dates become phases here, and phases decide which version should carry the traffic.

A phase is a pure function of the declared dates, the time and the tombstones, computed anew at every look. Nothing but the
tombstone is remembered: timers only say when to look next. A clock that jumps back therefore cannot bring a retired version back.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from solera.api.defaults import ResolvedLifecycle
from solera.api.spec import OnRetirement
from solera.api.status import Phase
from solera.plan.memory import Memory


def moves_at(life: ResolvedLifecycle) -> datetime | None:
    """When the move to the successor begins; None when none is declared."""
    if life.retires_at is None or life.successor is None or life.on_retirement is not OnRetirement.REDIRECT:
        return None
    return life.retires_at - life.migrate_before


def served(version: str, memory: Memory) -> bool:
    """True for a version that has or had a part in the traffic. Any other has nothing to take away when its date comes."""
    return version in {ref.version for ref in memory.known().values()} | {p.version for p in memory.promoted}


def phase(version: str, life: ResolvedLifecycle, memory: Memory, now: datetime) -> Phase:
    """The phase of one version at ``now``."""
    if memory.tombstone(version):
        return Phase.RETIRED
    if life.retires_at is not None and now >= life.retires_at:
        return Phase.RETIRING if served(version, memory) else Phase.RETIRED
    move = moves_at(life)
    if move is not None and now >= move:
        return Phase.CLOSED_TO_NEW
    if life.deprecated_at is not None and now >= life.deprecated_at:
        return Phase.DEPRECATED
    return Phase.ACTIVE


def effective_version(serve: str, lives: Mapping[str, ResolvedLifecycle], memory: Memory, now: datetime) -> str:
    """The version that should carry the traffic: ``serve``, followed along successors whose time to take over has come.

    A circle (refused at admission, but a stored object may be older than the rule) ends where it began.
    """
    seen = {serve}
    version = serve
    while (life := lives.get(version)) is not None and (move := moves_at(life)) is not None:
        successor = life.successor
        if now < move and memory.tombstone(version) is None:
            break
        if successor is None or successor in seen or successor not in lives:
            break
        version = successor
        seen.add(version)
    return version


def may_start(version: str, life: ResolvedLifecycle, memory: Memory, now: datetime) -> bool:
    """False for a version that would have to go as soon as it came: no GPU is taken for it."""
    return memory.tombstone(version) is None and (life.retires_at is None or now < life.retires_at)


def refuses(version: str, life: ResolvedLifecycle, memory: Memory, now: datetime) -> bool:
    """True when requests to the version are to be refused from its date on, whoever else could serve."""
    if life.on_retirement is not OnRetirement.REFUSE or life.retires_at is None:
        return False
    return now >= life.retires_at or memory.tombstone(version) is not None


def next_date(lives: Mapping[str, ResolvedLifecycle], memory: Memory, now: datetime) -> datetime | None:
    """The next declared instant at which something may change."""
    dates = [
        at
        for version, life in lives.items()
        if memory.tombstone(version) is None
        for at in (life.deprecated_at, moves_at(life), life.retires_at)
        if at is not None and at > now
    ]
    return min(dates, default=None)
