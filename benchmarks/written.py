"""How figures come into benchmarks/results.json, and text into a page. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure and the bound that was set before anything was measured; ``least``: at least so much, otherwise at most."""

    name: str
    what: str
    value: float
    unit: str
    bound: float
    least: bool = False

    @property
    def holds(self) -> bool:
        return bool(self.value >= self.bound if self.least else self.value <= self.bound)

    @property
    def text(self) -> str:
        return f"{'>=' if self.least else '<='} {self.bound:.6g}"


def results(goals: Iterable[Goal], command: str, date: str, digits: int = 4) -> dict[str, dict[str, Any]]:
    """What goes into benchmarks/results.json, by name."""
    return {
        goal.name: {
            "value": round(goal.value, digits),
            "unit": goal.unit,
            "goal": f"{'>=' if goal.least else '<='} {goal.bound:.3g}",
            "holds": goal.holds,
            "command": command,
            "date": date,
        }
        for goal in goals
    }


def merged(known: Mapping[str, Any], new: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """``known`` with its names under ``prefix`` replaced by ``new``; the others stay as they are, all in order."""
    kept = {name: value for name, value in known.items() if not name.startswith(prefix)}
    return dict(sorted({**kept, **new}.items()))


def between(page: str, begin: str, end: str, text: str) -> str:
    """The page with ``text`` between two marks, in lines of its own.

    Raises:
        ValueError: the page has no such marks.
    """
    before, found, rest = page.partition(begin)
    _, ended, after = rest.partition(end)
    if not (found and ended):
        raise ValueError(f"the page has no {begin} … {end}")
    return f"{before}{begin}\n\n{text}\n\n{end}{after}"
