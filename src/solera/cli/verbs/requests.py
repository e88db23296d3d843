"""promote, abort, pause, resume, retry: each carries one request to the operator and brings its answer back."""

from __future__ import annotations

import sys
from collections.abc import Callable

import click

from solera.cli.cluster import request, who
from solera.cli.cluster.client import Client, Object
from solera.cli.cluster.connect import Target
from solera.cli.cluster.find import fetch
from solera.cli.cluster.request import Outcome, Request
from solera.cli.errors import NothingToDo, Refused, TimedOut
from solera.cli.flags import DOCUMENTS, Environment, Seconds, connection_flags, output_flag
from solera.cli.views import output
from solera.cli.views.explain import FIND_OPERATOR
from solera.cli.views.reading import read
from solera.cli.views.view import Deployment


def _request_flags(f: Callable[..., None]) -> Callable[..., None]:
    wait = click.option(
        "--timeout",
        "seconds",
        type=Seconds(),
        default="10s",
        show_default=True,
        help="How long to wait for the operator's answer.",
    )
    no_wait = click.option("--no-wait", is_flag=True, help="Do not wait for the operator's answer.")
    return wait(no_wait(output_flag()(connection_flags(f))))


@click.command()
@click.argument("name")
@click.option("--step", type=int, help="Approve only if this step is in force; steps count from 1.")
@click.option(
    "--candidate", metavar="HASH", help="Approve only if this is the candidate: candidate.hash of `get NAME -o json`."
)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@_request_flags
@click.pass_obj
def promote(
    env: Environment,
    target: Target,
    name: str,
    step: int | None,
    candidate: str | None,
    yes: bool,
    no_wait: bool,
    seconds: float,
    form: str,
) -> None:
    """Approve the step that a rollout waits at, so that the candidate may get more requests."""
    client, namespace = env.open(target)
    obj = fetch(client, namespace, name)
    d = read(obj)
    asked = request.promote(d, step, env.nonce(), candidate)
    if not yes:
        _confirm(d)
    _ask(env, client, obj, asked, seconds=0 if no_wait else seconds, form=form)


def _simple(name: str, make: Callable[[Deployment, str], Request], summary: str) -> click.Command:
    """A verb that takes nothing but a name."""

    @click.command(name, help=summary)
    @click.argument("name")
    @_request_flags
    @click.pass_obj
    def verb(env: Environment, target: Target, name: str, no_wait: bool, seconds: float, form: str) -> None:
        client, namespace = env.open(target)
        obj = fetch(client, namespace, name)
        _ask(env, client, obj, make(read(obj), env.nonce()), seconds=0 if no_wait else seconds, form=form)

    return verb


abort = _simple("abort", request.abort, "Roll the candidate back: the stable version gets all requests again.")
pause = _simple("pause", request.pause, "Keep the rollout where it is: no more requests, no further step.")
resume = _simple("resume", request.resume, "Let a paused rollout go on.")
retry = _simple(
    "retry", request.retry, "Let in anew what was rolled back, from the first step, with evidence from zero."
)


def _is_terminal() -> bool:
    return sys.stdin.isatty()


def _confirm(d: Deployment) -> None:
    if not _is_terminal():
        raise click.UsageError("there is nobody to ask here: pass --yes")
    r, candidate = d.rollout, d.candidate
    assert r is not None
    assert candidate is not None
    assert r.step is not None
    upcoming = d.step_weights[r.step + 1 : r.step + 2]
    more = " or more" if d.max_harmed is not None and upcoming and upcoming[0] < 100 else ""
    click.echo(
        f"{candidate.version} ({candidate.hash}) is at {d.step_text}; the next step gives it {upcoming[0]}%{more}."
        if upcoming
        else f"{candidate.version} ({candidate.hash}) is at {d.step_text}.",
        err=True,
    )
    for g in d.guardrails:
        click.echo(f"  {g.name}: {g.verdict or 'no verdict yet'}", err=True)
    if not click.confirm("Approve?", err=True):
        raise NothingToDo("not approved: nothing was written")


def _ask(env: Environment, client: Client, obj: Object, asked: Request, *, seconds: float, form: str) -> None:
    meta = obj["metadata"]
    try:
        before = read(request.write(client, obj, asked, env.sleep))
    except Refused as refusal:
        raise Refused(_who_may(client, meta["namespace"], meta["name"], refusal.message)) from None
    if seconds:
        result = request.wait(client, before, asked, seconds=seconds, sleep=env.sleep, clock=env.clock)
    else:
        result = Outcome(asked, handled=False, accepted=None, message="written; not waited for an answer")
    if form in DOCUMENTS:
        click.echo(output.text(output.outcome(before, result), form))
    _tell(before, result, waited=bool(seconds), quiet=form in DOCUMENTS)


def _tell(d: Deployment, result: Outcome, *, waited: bool, quiet: bool) -> None:
    verb = result.request.verb
    what, said = f"{verb} {d.name}", result.message.removeprefix(f"{verb}: ")
    if not result.handled and waited:
        raise TimedOut(
            f"{what}: {said}. The request stays and counts once the operator sees it; is the operator running?\n"
            f"  {FIND_OPERATOR}"
        )
    if result.accepted is False:
        raise Refused(f"{what}: {said}")
    if not quiet:
        click.echo(f"{what}: {said}")


def _who_may(client: Client, namespace: str, name: str, refusal: str) -> str:
    people, complete = who.who_may(client, namespace, name)
    lines = [refusal]
    if people:
        lines += ["Who may (RBAC verb promote on llmdeployments.solera.dev):", *(f"  {p}" for p in people)]
        if not complete:
            lines.append("  and perhaps others: you may not read all role bindings")
    else:
        lines.append("It takes the RBAC verbs get, patch and promote on llmdeployments.solera.dev; check yours with")
        lines.append(f"  kubectl auth can-i promote llmdeployments.solera.dev/{name} -n {namespace}")
    return "\n".join(lines)
