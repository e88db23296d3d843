"""Time in a simulated life: nothing passes but what somebody waits for."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

START = datetime(2026, 12, 1, 12, 0, 0, tzinfo=UTC)


class Timeline:
    """``t`` are seconds since START. ``skew`` is how far the operator's system clock is off."""

    def __init__(self) -> None:
        self.t = 0.0
        self.skew = 0.0
        self.skewed_at = -1.0
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0

    def at(self, t: float, do: Callable[[], None]) -> None:
        self._order += 1
        heapq.heappush(self._heap, (max(t, self.t), self._order, do))

    def after(self, seconds: float, do: Callable[[], None]) -> None:
        self.at(self.t + seconds, do)

    def next(self) -> float:
        return self._heap[0][0] if self._heap else float("inf")

    def run_due(self) -> None:
        while self._heap and self._heap[0][0] <= self.t:
            heapq.heappop(self._heap)[2]()

    def now(self) -> datetime:
        return START + timedelta(seconds=self.t)

    def system(self) -> float:
        """The operator's system clock, seconds since 1970."""
        return START.timestamp() + self.t + self.skew

    def set_clock(self, skew: float) -> None:
        self.skew, self.skewed_at = skew, self.t
