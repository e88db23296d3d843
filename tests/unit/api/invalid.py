"""The wrong manifests of examples/invalid: each file says who refuses it, in which words, and what to write instead."""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import yaml

from solera.api.documents import documents

FOLDER = Path(__file__).parents[3] / "examples" / "invalid"
WHO = {
    "kubectl says": "kubectl",
    "The apiserver says": "apiserver",
    "The operator says, in the condition Stalled": "operator",
    "The operator says, in status.history": "history",
    "Only kubectl solera lint says": "lint",
}
GROWN = "# Grown by the test: "
GONE = "(leave it out)"

Object = dict[str, Any]


@dataclass(frozen=True)
class Wrong:
    """One file. ``says`` are the lines of the message, ``instead`` what to write at which path (`GONE`: nothing)."""

    name: str
    who: str
    says: tuple[str, ...]
    instead: tuple[tuple[str, Any], ...]
    before: Object | None
    text: str
    grow: str

    @property
    def object(self) -> Object:
        """The wrong manifest, grown to its full size."""
        (obj,) = documents(self.text)
        for part in self.grow.split(", ") if self.grow else ():
            path, size, unit = re.fullmatch(r"(\S+) to (\d+) (items|characters)", part).groups()
            place, last = find(obj, path)
            place[last] = grown(place[last], int(size), unit)
        return obj

    @property
    def mended(self) -> Object:
        """The manifest with what the file says to write instead."""
        obj = copy.deepcopy(self.object)
        for path, value in self.instead:
            place, last = find(obj, path, make=True)
            if value == GONE:
                del place[last]
            elif isinstance(last, int):
                place[last:] = [value, *place[last + 1 :]]
            else:
                place[last] = value
        return obj


def grown(value: Any, size: int, unit: str) -> Any:
    if unit == "characters":
        return value + "x" * (size - len(value))
    more = [copy.deepcopy(value[-1]) for _ in range(size - len(value))]
    for i, item in enumerate(more):
        if isinstance(item, dict):
            item["name"] += f"-{i}"
    return [*value, *more]


def find(obj: Any, path: str, *, make: bool = False) -> tuple[Any, str | int]:
    """The container in which the path ends, and the last key."""
    parts = [int(part) if part.isdigit() else part for part in re.findall(r"[^.\[\]]+", path)]
    for part in parts[:-1]:
        obj = obj.setdefault(part, {}) if make and isinstance(obj, dict) else obj[part]
    return obj, parts[-1]


def read(path: Path) -> Wrong:
    """One file.

    The header: why it is wrong, `# WHO:` with the message below, and `# Write instead:` with lines of `path: value`. Two documents:
    what was there before, and the wrong edit of it.
    """
    text = path.read_text()
    header = list(takewhile(lambda line: line.startswith("#"), text.splitlines()))
    who, says, instead = "", [], []
    section: list[str] = []
    for line in header:
        if line.startswith("#   "):
            section.append(line[4:])
        elif line.rstrip(":")[2:] in WHO:
            who, section = WHO[line.rstrip(":")[2:]], says
        elif line == "# Write instead:":
            section = instead
    assert who, f"{path.name}: nobody refuses it"
    assert says, f"{path.name}: no message"
    *before, wrong = re.split(r"^---\n", text, flags=re.MULTILINE)
    return Wrong(
        name=path.stem,
        who=who,
        says=tuple(says),
        instead=tuple(pair(line) for line in instead),
        before=yaml.safe_load(before[0]) if before else None,
        text=wrong,
        grow=next((line.removeprefix(GROWN) for line in header if line.startswith(GROWN)), ""),
    )


def pair(line: str) -> tuple[str, Any]:
    path, _, value = line.partition(": ")
    return path, GONE if value == GONE else yaml.safe_load(value)


ALL = [read(path) for path in sorted(FOLDER.glob("*.yaml"))]


def of(*who: str) -> list[Wrong]:
    return [wrong for wrong in ALL if wrong.who in who]
