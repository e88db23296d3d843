"""Tables for a terminal: the same cells as everywhere, in colours, and wrapped where it is narrow."""

from __future__ import annotations

import re
from collections.abc import Iterable

from rich.table import Table
from rich.text import Text

from solera.cli.views.table import GAP

FLEXIBLE = frozenset({"NEXT", "MESSAGE", "REASON", "FORECAST", "MODEL", "DEPRECATED", "RETIRES", "AT"})
"""Columns that give way in a narrow terminal, by wrapping; a word such as a state is never broken."""

COLOURS = {
    "True": "green",
    "False": "red",
    "Unknown": "yellow",
    "Pass": "green",
    "Fail": "red",
    "NoData": "yellow",
    "SharedIncident": "yellow",
    "Held": "yellow",
    "RollingBack": "red",
    "Retiring": "yellow",
    "Deprecated": "yellow",
    "ClosedToNew": "yellow",
}


def colour(cell: str) -> str:
    """The style of a cell that is one of the known words, or begins with it: `Idle (RolledBack)`, `Held, step 2 of 4`."""
    if re.match(r"(Idle|Stalled) \(", cell):
        return "red"
    word = re.match(r"(\w+)($|,| \()", cell)
    return COLOURS.get(word[1], "") if word else ""


def coloured(header: Iterable[str], rows: Iterable[Iterable[str]]) -> Table:
    """The whole table for a terminal."""
    table = grid()
    for name in header:
        table.add_column(name, no_wrap=name not in FLEXIBLE, overflow="fold" if name in FLEXIBLE else "ellipsis")
    for row in rows:
        table.add_row(*(Text(cell, style=colour(cell)) for cell in row))
    return table


def grid(*, show_header: bool = True) -> Table:
    """A table without lines, as kubectl's."""
    return Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), show_header=show_header, header_style="bold")
