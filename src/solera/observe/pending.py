"""Readings that wait to be taken. Bounded: counters are cumulative, so of many readings of one process the newest is enough."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from solera.plan.evidence import Counter, Reading

MOST = 1000
"""From so many readings on only the newest of each process is kept. What is lost is when exactly something was counted, not that it was."""

_Process = tuple[str, str, str, str]


class Pending:
    """The readings of one LLMDeployment since they were last taken."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._waiting: list[Reading] = []
        self._last: dict[_Process, Mapping[str, Counter]] = {}

    def add(self, readings: Iterable[Reading]) -> bool:
        """Keep ``readings``; True when one of them counts something that the last of its process did not, or has requests in flight.

        Time alone makes those overdue, so they are news as long as they last.
        """
        news = False
        for reading in readings:
            process = _process(reading)
            waits = any(flight.started > flight.done for flight in reading.flights.values())
            news = news or waits or self._last.get(process) != reading.counters
            self._last.pop(process, None)  # the newest stands last
            self._last[process] = reading.counters
            self._waiting.append(reading)
        if len(self._waiting) > self._most:
            newest = {_process(reading): reading for reading in self._waiting}
            self._waiting = list(newest.values())[-self._most :]
        while len(self._last) > self._most:
            del self._last[next(iter(self._last))]
        return news

    def drain(self) -> tuple[Reading, ...]:
        """Everything that waits, in the order in which it was read; then nothing waits any more."""
        taken, self._waiting = tuple(self._waiting), []
        return taken


def _process(reading: Reading) -> _Process:
    return (reading.source, reading.revision, reading.instance, reading.started)
