"""Dates become phases here, and phases decide which version should carry the traffic.

A phase is a pure function of the declared dates, the time and the tombstones, computed anew at every look. Nothing but the
tombstone is remembered: timers only say when to look next. A clock that jumps back therefore cannot bring a retired version back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from solera.api.spec import OnRetirement
from solera.api.status import Phase
from solera.plan.memory import Memory


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """The declared life of one version. ``retires_at`` is the first instant at which it no longer serves."""

    version: str
    deprecated_at: datetime | None = None
    retires_at: datetime | None = None
    successor: str | None = None
    on_retirement: OnRetirement = OnRetirement.HOLD
    migrate_before: timedelta = timedelta(hours=1)

    @property
    def moves_at(self) -> datetime | None:
        """When the move to the successor begins; None when none is declared."""
        if self.retires_at is None or self.successor is None or self.on_retirement is not OnRetirement.REDIRECT:
            return None
        return self.retires_at - self.migrate_before


def phase(life: Lifecycle, memory: Memory, now: datetime) -> Phase:
    """The phase of one version at ``now``."""
    if memory.tombstone(life.version):
        return Phase.RETIRED
    if life.retires_at is not None and now >= life.retires_at:
        return Phase.RETIRING
    if life.moves_at is not None and now >= life.moves_at:
        return Phase.CLOSED_TO_NEW
    if life.deprecated_at is not None and now >= life.deprecated_at:
        return Phase.DEPRECATED
    return Phase.ACTIVE


def effective_version(serve: str, lives: Mapping[str, Lifecycle], memory: Memory, now: datetime) -> str:
    """The version that should carry the traffic: ``serve``, followed along successors whose time to take over has come.

    A circle (refused at admission, but a stored object may be older than the rule) ends where it began.
    """
    seen = {serve}
    version = serve
    while (life := lives.get(version)) is not None and life.moves_at is not None and life.successor is not None:
        if now < life.moves_at and memory.tombstone(version) is None:
            break
        if life.successor in seen or life.successor not in lives:
            break
        version = life.successor
        seen.add(version)
    return version


def may_start(life: Lifecycle, memory: Memory, now: datetime) -> bool:
    """False for a version that would have to go as soon as it came: no GPU is taken for it."""
    return memory.tombstone(life.version) is None and (life.retires_at is None or now < life.retires_at)


def refuses(life: Lifecycle, memory: Memory, now: datetime) -> bool:
    """True when requests to the version are to be refused from its date on, whoever else could serve."""
    if life.on_retirement is not OnRetirement.REFUSE or life.retires_at is None:
        return False
    return now >= life.retires_at or memory.tombstone(life.version) is not None


def next_date(lives: Mapping[str, Lifecycle], memory: Memory, now: datetime) -> datetime | None:
    """The next declared instant at which something may change."""
    dates = [
        at
        for life in lives.values()
        if memory.tombstone(life.version) is None
        for at in (life.deprecated_at, life.moves_at, life.retires_at)
        if at is not None and at > now
    ]
    return min(dates, default=None)
