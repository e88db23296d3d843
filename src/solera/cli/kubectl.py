"""kubectl-solera: the plugin's verbs. `kubectl solera get|explain|promote|abort`; see docs/kubectl-solera.md."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from solera import __version__
from solera.cli.cluster import request, who
from solera.cli.cluster.client import Client, Object
from solera.cli.cluster.connect import Target
from solera.cli.cluster.request import Outcome, Request
from solera.cli.cluster.watching import Watcher
from solera.cli.errors import EXIT_INTERRUPTED, NothingToDo, Refused, TimedOut
from solera.cli.flags import Environment, Seconds, connection_flags, json_flag
from solera.cli.views import output
from solera.cli.views.explain import explain as explain_object
from solera.cli.views.reading import read
from solera.cli.views.view import Deployment

EPILOG = """
Exit codes: 0 done, 1 error, 2 wrong usage, 3 not found, 4 nothing to do, 5 refused, 124 no answer in time, 130 interrupted.
"""


class Plugin(click.Group):
    """A group that ends with 130 on Ctrl-C, as shells expect, and not with click's 1."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb."""
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, click.Abort):
            ctx.exit(EXIT_INTERRUPTED)


@click.group(
    cls=Plugin, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@connection_flags
@click.version_option(__version__, prog_name="kubectl-solera")
@click.pass_context
def cli(ctx: click.Context, target: Target) -> None:
    """See and steer the rollouts of self-hosted language models (LLMDeployment)."""
    environment = ctx.obj or Environment()
    ctx.obj = replace(environment, target=target)


@cli.command()
@click.argument("name", required=False)
@click.option("-A", "--all-namespaces", is_flag=True, help="List all namespaces.")
@click.option("-w", "--watch", is_flag=True, help="Show every change, until Ctrl-C or until the named one is deleted.")
@click.option("-o", "--output", "form", type=click.Choice(["json", "wide"]), help="json, or wide for more columns.")
@connection_flags
@click.pass_obj
def get(
    env: Environment, target: Target, name: str | None, all_namespaces: bool, watch: bool, form: str | None
) -> None:
    """List LLMDeployments, or show one in full."""
    if name and all_namespaces:
        raise click.UsageError("a NAME is in one namespace: use -n instead of -A")
    from solera.cli.views import screen  # noqa: PLC0415 - only this verb draws, and drawing is slow to import

    client, namespace = env.open(target)
    scope = None if all_namespaces else namespace
    if watch:
        watcher = Watcher(client, scope, name, env.sleep)
        screen.show_changes(watcher, env.now, form=form)
    elif name:
        one = read(client.get(namespace, name))
        if form == "json":
            click.echo(output.text(output.deployment(one)))
        else:
            screen.print_detail(one, env.now(), wide=form == "wide")
    else:
        found = sorted((read(o) for o in client.list_all(scope).items), key=lambda d: (d.namespace, d.name))
        if form == "json":
            click.echo(output.text(output.listing(found)))
        elif found:
            screen.print_table(found, env.now(), wide=form == "wide", namespaces=all_namespaces)
        else:
            where = "" if all_namespaces else f" in namespace {namespace}"
            click.echo(f"There are no LLMDeployments{where}.", err=True)


@cli.command()
@click.argument("name")
@json_flag
@connection_flags
@click.pass_obj
def explain(env: Environment, target: Target, name: str, as_json: bool) -> None:
    """Say in one sentence why it moves or does not, then the evidence."""
    client, namespace = env.open(target)
    obj = client.get(namespace, name)
    answer = explain_object(obj, env.now())
    if as_json:
        click.echo(output.text(output.explanation(read(obj), answer)))
        return
    click.echo(answer.sentence)
    for line in answer.lines:
        click.echo(f"  {line}")
    if answer.command:
        click.echo(f"\n  {answer.command}")


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
    return wait(no_wait(json_flag(connection_flags(f))))


@cli.command()
@click.argument("name")
@click.option("--step", type=int, help="Approve only if this step is in force; steps count from 1.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@_request_flags
@click.pass_obj
def promote(
    env: Environment,
    target: Target,
    name: str,
    step: int | None,
    yes: bool,
    no_wait: bool,
    seconds: float,
    as_json: bool,
) -> None:
    """Approve the step that a rollout waits at, so that the candidate may get more requests."""
    client, namespace = env.open(target)
    obj = client.get(namespace, name)
    d = read(obj)
    asked = request.promote(d, step, env.nonce())
    if not yes:
        _confirm(d)
    _ask(env, client, obj, asked, seconds=0 if no_wait else seconds, as_json=as_json)


@cli.command()
@click.argument("name")
@_request_flags
@click.pass_obj
def abort(env: Environment, target: Target, name: str, no_wait: bool, seconds: float, as_json: bool) -> None:
    """Roll the candidate back: the stable version gets all requests again."""
    client, namespace = env.open(target)
    obj = client.get(namespace, name)
    _ask(env, client, obj, request.abort(read(obj), env.nonce()), seconds=0 if no_wait else seconds, as_json=as_json)


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
    click.echo(
        f"{candidate.version} ({candidate.hash}) is at {d.step_text}; the next step gives it {upcoming[0]}%."
        if upcoming
        else f"{candidate.version} ({candidate.hash}) is at {d.step_text}.",
        err=True,
    )
    for g in d.guardrails:
        click.echo(f"  {g.name}: {g.verdict or 'no verdict yet'}", err=True)
    if not click.confirm("Approve?", err=True):
        raise NothingToDo("not approved: nothing was written")


def _ask(env: Environment, client: Client, obj: Object, asked: Request, *, seconds: float, as_json: bool) -> None:
    meta = obj["metadata"]
    try:
        before = read(request.write(client, obj, asked, env.sleep))
    except Refused as refusal:
        raise Refused(_who_may(client, meta["namespace"], meta["name"], refusal.message)) from None
    if seconds:
        result = request.wait(client, before, asked, seconds=seconds, sleep=env.sleep, clock=env.clock)
    else:
        result = Outcome(asked, handled=False, accepted=None, message="written; not waited for an answer")
    if as_json:
        click.echo(output.text(output.outcome(before, result)))
    _tell(before, result, waited=bool(seconds), quiet=as_json)


def _tell(d: Deployment, result: Outcome, *, waited: bool, quiet: bool) -> None:
    verb = result.request.verb
    what, said = f"{verb} {d.name}", result.message.removeprefix(f"{verb}: ")
    if not result.handled and waited:
        raise TimedOut(
            f"{what}: {said}. The request stays and counts once the operator sees it; is the operator running?\n"
            "  kubectl get pods -A -l app.kubernetes.io/name=solera"
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


def main() -> None:
    """Entry point; the help says `kubectl solera` when kubectl is what runs it."""
    called = Path(sys.argv[0]).name
    cli.main(prog_name="kubectl solera" if called.startswith("kubectl-") else called)


if __name__ == "__main__":
    main()
