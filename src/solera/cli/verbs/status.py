"""status and history: how things stand in one line, waiting until they stand as wished, and what was."""

from __future__ import annotations

from datetime import datetime

import click

from solera.cli.cluster.client import Client
from solera.cli.cluster.connect import Target
from solera.cli.cluster.find import fetch
from solera.cli.errors import Failed, Held, NotFound, TimedOut, Unreachable
from solera.cli.flags import DOCUMENTS, Environment, Seconds, connection_flags, output_flag
from solera.cli.views import output, table, times
from solera.cli.views.goal import Came, Goal, GoalError, Outcome, came, parse_goal, unknown_version
from solera.cli.views.past import Past, Run, past, together
from solera.cli.views.reading import read
from solera.cli.views.view import Deployment

POLL_SECONDS = 2.0


class GoalType(click.ParamType[Goal]):
    """`complete`, `ready`, `stable=VERSION` or `retired=VERSION`."""

    name = "goal"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Goal:
        """The goal."""
        try:
            return value if isinstance(value, Goal) else parse_goal(str(value))
        except GoalError as error:
            self.fail(str(error), param, ctx)


@click.command()
@click.argument("name")
@click.option("--for", "goal", type=GoalType(), help="Wait for it: complete, ready, stable=VERSION or retired=VERSION.")
@click.option("--timeout", "seconds", type=Seconds(), help="With --for: how long to wait; for ever when left out.")
@click.option("--or-held", is_flag=True, help="With --for: end, with 7, as soon as it waits for a person.")
@output_flag()
@connection_flags
@click.pass_obj
def status(
    env: Environment, target: Target, name: str, goal: Goal | None, seconds: float | None, or_held: bool, form: str
) -> None:
    """Say in one line how things stand, or wait until they stand as wished."""
    if goal is None and (seconds is not None or or_held):
        raise click.UsageError("--timeout and --or-held belong to --for: say what to wait for")
    client, namespace = env.open(target)
    d = read(fetch(client, namespace, name))
    if goal is None:
        click.echo(output.text(output.status(d, None, None), form) if form in DOCUMENTS else line(d))
        return
    if (unknown := unknown_version(d, goal)) is not None:
        raise NotFound(unknown)
    d, ended = Waiting(env, client, d, goal, quiet=form in DOCUMENTS).wait(seconds, or_held=or_held)
    if form in DOCUMENTS:
        click.echo(output.text(output.status(d, str(goal), ended), form))
    _end(d, goal, ended, seconds)


class Waiting:
    """Asks again and again, and tells what can be seen to change."""

    def __init__(self, env: Environment, client: Client, d: Deployment, goal: Goal, *, quiet: bool) -> None:
        """`quiet` leaves stdout to a document, and tells on stderr."""
        self.env, self.client, self.d, self.goal, self.quiet = env, client, d, goal, quiet
        self.told = ""

    def wait(self, seconds: float | None, *, or_held: bool) -> tuple[Deployment, Came]:
        """The newest state, and what came of it within `seconds` (None: without end).

        Raises:
            NotFound: it was deleted, or made anew, meanwhile.
        """
        ends = None if seconds is None else self.env.clock() + seconds
        now = came(self.d, self.goal)
        self._tell(line(self.d, name=False))
        while True:
            if now.outcome in {Outcome.REACHED, Outcome.FAILED} or (or_held and now.outcome is Outcome.HELD):
                return self.d, now
            left = POLL_SECONDS if ends is None else ends - self.env.clock()
            if left <= 0:
                return self.d, Came(Outcome.TIMED_OUT, now.message)
            self.env.sleep(min(POLL_SECONDS, left))
            now = self._look() or now

    def _look(self) -> Came | None:
        try:
            d = read(self.client.get(self.d.namespace, self.d.name))
        except Unreachable as error:
            self._tell(f"{error.message}; trying again", err=True)
            return None
        if d.uid != self.d.uid:
            raise NotFound(f"{d.name} was deleted and made anew meanwhile")
        self.d = d
        self._tell(line(d, name=False))
        return came(d, self.goal)

    def _tell(self, text: str, *, err: bool = False) -> None:
        if text != self.told:
            at = self.env.now().strftime("%H:%M:%SZ")
            click.echo(f"{at}  {text}", err=err or self.quiet)
        self.told = text


def _end(d: Deployment, goal: Goal, ended: Came, seconds: float | None) -> None:
    match ended.outcome:
        case Outcome.FAILED:
            raise Failed(f"{d.name}: {goal} will not come about: {ended.message}")
        case Outcome.HELD:
            raise Held(f"{d.name} waits for a person: {ended.message}\n  {d.next or ''}".rstrip())
        case Outcome.TIMED_OUT:
            raise TimedOut(f"{goal.version or d.name} is not {goal.kind} after {seconds:g}s: {ended.message}")


def line(d: Deployment, *, name: bool = True) -> str:
    """`support: Held, step 3 of 4 (50%), v1 50%, v2 50%: step 3 of 4 (50%) waits for approval`."""
    if not d.observed:
        seen = "" if d.observed_generation < 0 else f", last seen {d.observed_generation}"
        words = f"Unknown: the operator has not looked at generation {d.generation} yet{seen}"
    else:
        weights = ", ".join(f"{w.version} {w.weight}%" for w in d.weights)
        facts = ", ".join(part for part in (table.state(d), d.step_text, weights) if part)
        r, ready = d.rollout if d.in_rollout else None, d.condition("Ready")
        said = (r.message if r else None) or (ready.message if ready else None) or d.next
        words = f"{facts}: {said}" if said else facts
    return f"{d.name}: {words}" if name else words


@click.command()
@click.argument("name")
@output_flag()
@connection_flags
@click.pass_obj
def history(env: Environment, target: Target, name: str, form: str) -> None:
    """Show what happened: rollouts, decisions, requests, retirements, and what the last rollout counted."""
    client, namespace = env.open(target)
    d = read(fetch(client, namespace, name))
    found = past(d, client.record(d.namespace, d.name))
    if form in DOCUMENTS:
        click.echo(output.text(output.past(d, found), form))
        return
    for part in _history(found, env.now()):
        click.echo(part)


def _history(p: Past, now: datetime) -> list[str]:
    parts: list[str] = []
    if p.rollouts:
        rows = [
            [
                *(times.stamp(at) if at else "-" for at in (r.started_at, r.ended_at)),
                f"{r.from_ or '?'} → {r.to or '?'}",
                _took(r, now),
                r.result,
                r.message if r.result != "InProgress" else "-",
            ]
            for r in p.rollouts
        ]
        parts.append(table.plain(("BEGAN", "ENDED", "VERSIONS", "TOOK", "RESULT", "MESSAGE"), rows))
    if p.evidence:
        rows = [
            [
                guardrail or "(all requests)",
                source,
                *(_share(sides.get(side), guardrail) for side in ("candidate", "stable")),
            ]
            for (guardrail, source), sides in sorted(together(p.evidence.counts).items())
        ]
        head = f"COUNTED IN {p.evidence.rollout}"
        parts.append("\n" + table.plain((head, "SOURCE", "CANDIDATE", "STABLE"), rows))
    if p.pending:
        parts.append(f"\nnot handled yet: {p.pending}")
    rows = [[times.stamp(e.at) if e.at else "-", e.event, e.message or "-"] for e in p.events]
    parts.append(
        ("\n" if parts else "")
        + (table.plain(("AT", "EVENT", "MESSAGE"), rows) if rows else "Nothing has happened yet.")
    )
    return parts


def _took(r: Run, now: datetime) -> str:
    until = r.ended_at or (now if r.result == "InProgress" else None)
    return times.span(until - r.started_at) if r.started_at and until else "-"


def _share(numbers: tuple[int, int] | None, guardrail: str) -> str:
    if numbers is None:
        return "-"
    return f"{numbers[1]} of {numbers[0]} bad" if guardrail else str(numbers[0])
