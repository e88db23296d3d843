"""Where it is printed: a terminal gets colours and is drawn anew in place, a pipe gets plain aligned lines."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from solera.cli.cluster.find import hint
from solera.cli.cluster.watching import Change, Kind, Watcher
from solera.cli.errors import NotFound
from solera.cli.views import output, table
from solera.cli.views.colours import coloured
from solera.cli.views.detail import detail
from solera.cli.views.view import Deployment

Clock = Callable[[], datetime]

WITHOUT_END = 10_000
"""A width at which nothing is wrapped: what reads a pipe wants whole lines."""


def print_table(deployments: Sequence[Deployment], now: datetime, *, wide: bool, namespaces: bool) -> None:
    """Print the list."""
    console = _console()
    header = table.headers(wide=wide, namespaces=namespaces)
    rows = [table.cells(d, now, wide=wide, namespaces=namespaces) for d in deployments]
    if console.is_terminal:
        console.print(coloured(header, rows))
    else:
        click.echo(table.plain(header, rows))


def print_detail(d: Deployment, now: datetime, *, wide: bool) -> None:
    """Print one in full."""
    console = _console()
    if console.is_terminal:
        console.print(detail(d, now, wide=wide))
    else:
        click.echo(plain(detail(d, now, wide=wide)))


def plain(what: RenderableType) -> str:
    """As a pipe gets it: no colours, no wrapping, no blanks at the ends of lines."""
    console = Console(width=WITHOUT_END, color_system=None, force_terminal=False, markup=False, highlight=False)
    with console.capture() as captured:
        console.print(what)
    return "\n".join(text.rstrip() for text in captured.get().splitlines())


def show_changes(watcher: Watcher, now: Clock, *, form: str) -> None:
    """Show changes until the one that is followed is gone. Ctrl-C goes through.

    Raises:
        NotFound: the one that was asked for by name is not there at the start.
    """
    console = _console()
    changes = _started(watcher)
    if form in {"json", "yaml"}:
        _documents(changes, form)
    elif console.is_terminal:
        _redraw(changes, watcher, now, console, wide=form == "wide")
    else:
        _lines(changes, watcher, now, wide=form == "wide")


def _started(watcher: Watcher) -> Iterator[Change]:
    first = True
    for change in watcher.changes():
        if first and change.kind is Kind.LISTED and watcher.name:
            meant = hint(watcher.client, watcher.namespace or "", watcher.name)
            raise NotFound(f"there is no LLMDeployment {watcher.name} in namespace {watcher.namespace}{meant}")
        first = False
        yield change


def _documents(changes: Iterator[Change], form: str) -> None:
    for change in changes:
        if change.deployment:
            kind = "Deleted" if change.kind is Kind.DELETED else "Shown"
            click.echo(output.text(output.change(kind, change.deployment), form, stream=True))
        else:
            _tell_contact(change)


def _lines(changes: Iterator[Change], watcher: Watcher, now: Clock, *, wide: bool) -> None:
    """One line for each change that can be seen in it; the age alone is none."""
    namespaces = watcher.namespace is None
    header = table.headers(wide=wide, namespaces=namespaces)
    age = header.index("AGE")
    columns: list[int] = []
    shown: dict[tuple[str, str], list[str]] = {}
    first: list[list[str]] = []
    for change in changes:
        d = change.deployment
        if change.kind is Kind.LISTED and not columns:
            columns = table.widths([header, *first])
            for row in [header, *first]:
                click.echo(table.line(row, columns))
        if d is None:
            _tell_contact(change)
            continue
        row = table.cells(d, now(), wide=wide, namespaces=namespaces)
        same = row[:age] + row[age + 1 :]
        if change.kind is Kind.DELETED:
            shown.pop((d.namespace, d.name), None)
            click.echo(f"{d.name} in namespace {d.namespace} was deleted", err=True)
        elif shown.get((d.namespace, d.name)) != same:
            shown[d.namespace, d.name] = same
            if columns:
                columns = [max(have, len(cell)) for have, cell in zip(columns, row, strict=True)]
                click.echo(table.line(row, columns))
            else:
                first.append(row)


def _tell_contact(change: Change) -> None:
    if change.kind is Kind.LOST:
        click.echo(f"{change.trouble}; trying again", err=True)
    elif change.kind is Kind.BACK:
        click.echo("the apiserver answers again", err=True)


@dataclass(slots=True)
class _Frame:
    """What the terminal shows now. Read by the thread that draws, written by the one that watches."""

    watcher: Watcher
    now: Clock
    wide: bool
    found: dict[tuple[str, str], Deployment] = field(default_factory=dict)
    trouble: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, change: Change) -> None:
        with self.lock:
            d = change.deployment
            if d and change.kind is Kind.SHOWN:
                self.found[d.namespace, d.name] = d
            elif d:
                self.found.pop((d.namespace, d.name), None)
            elif change.kind is Kind.LOST:
                self.trouble = f"{change.trouble}; trying again"
            elif change.kind is Kind.BACK:
                self.trouble = ""

    def draw(self) -> RenderableType:
        with self.lock:
            found, trouble = [self.found[key] for key in sorted(self.found)], self.trouble
        at, namespaces = self.now(), self.watcher.namespace is None
        if self.watcher.name:
            body: RenderableType = detail(found[0], at, wide=self.wide) if found else ""
        else:
            rows = [table.cells(d, at, wide=self.wide, namespaces=namespaces) for d in found]
            body = coloured(table.headers(wide=self.wide, namespaces=namespaces), rows)
        return Group(body, Text(trouble, style="yellow")) if trouble else body


def _redraw(changes: Iterator[Change], watcher: Watcher, now: Clock, console: Console, *, wide: bool) -> None:
    frame = _Frame(watcher, now, wide)
    last: Deployment | None = None
    with Live(console=console, get_renderable=frame.draw, refresh_per_second=1) as live:
        for change in changes:
            frame.take(change)
            last = change.deployment if change.kind is Kind.DELETED else None
            live.refresh()
    if last:
        click.echo(f"{last.name} in namespace {last.namespace} was deleted", err=True)


def _console() -> Console:
    return Console(markup=False, highlight=False, emoji=False)
