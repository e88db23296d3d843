"""The operator's own time: it goes on evenly when the system clock is moved.

A clock that jumps ahead would end every wait at once: a start-up that has taken seconds would be given up, a step that still gathers
evidence would be inconclusive. One that jumps back would make all evidence come from the future. So time here goes by
the monotonic clock and is drawn towards the system clock a tenth faster or slower, until both agree.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

log = logging.getLogger(__name__)

AGREE = 1.0
"""Seconds between the two that are no jump: the system clock is followed, but never backwards."""
DRAWN = 0.1
"""Share by which time runs faster or slower until the clocks agree; a declared wait is never shorter than nine tenths by it."""
TOO_FAR = timedelta(days=1).total_seconds()
"""Seconds that would take too long to make up: a machine that began without knowing the time. A restart takes the system clock over."""


class SteadyClock:
    """Called, it gives the operator's time (aware, UTC), which never goes back. ``system`` and ``monotonic`` give seconds."""

    def __init__(
        self, system: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._system = system
        self._monotonic = monotonic
        self._read = monotonic()
        self._now = system()
        self._off = 0.0

    def __call__(self) -> datetime:
        """Now."""
        read, system = self._monotonic(), self._system()
        passed, self._read = max(read - self._read, 0.0), read
        off = system - (self._now + passed)
        if abs(off - self._off) > AGREE:
            log.warning(
                "the system clock was moved by %+.0f s; waits go on by the time that really passes, and a declared date has come when"
                " both clocks say so",
                off - self._off,
            )
        if abs(off) <= AGREE:
            self._now, self._off = max(self._now, system), 0.0
        else:
            drawn = min(abs(off), passed * DRAWN) * (1 if off > 0 else -1)
            self._now, self._off = self._now + passed + drawn, off - drawn
        return datetime.fromtimestamp(self._now, UTC)

    def system(self) -> datetime:
        """What the system clock says."""
        return datetime.fromtimestamp(self._system(), UTC)

    def problem(self) -> str | None:
        """Why only a restart can set this clock; None when it need not be set."""
        self()
        if abs(self._off) <= TOO_FAR:
            return None
        return f"the system clock was moved by {self._off / 3600:+.0f} h since the start"
