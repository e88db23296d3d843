"""get and explain: what is there, and why it moves or does not."""

from __future__ import annotations

import click

from solera.cli.cluster.connect import Target
from solera.cli.cluster.find import fetch
from solera.cli.cluster.watching import Watcher
from solera.cli.flags import DOCUMENTS, Environment, connection_flags, output_flag
from solera.cli.views import output
from solera.cli.views.explain import explain as explain_object
from solera.cli.views.reading import read


@click.command()
@click.argument("name", required=False)
@click.option("-A", "--all-namespaces", is_flag=True, help="List all namespaces.")
@click.option("-w", "--watch", is_flag=True, help="Show every change, until Ctrl-C or until the named one is deleted.")
@output_flag("wide")
@connection_flags
@click.pass_obj
def get(env: Environment, target: Target, name: str | None, all_namespaces: bool, watch: bool, form: str) -> None:
    """List LLMDeployments, or show one in full."""
    if name and all_namespaces:
        raise click.UsageError("a NAME is in one namespace: use -n instead of -A")
    from solera.cli.views import screen  # noqa: PLC0415 - only this verb draws, and drawing is slow to import

    client, namespace = env.open(target)
    scope = None if all_namespaces else namespace
    if watch:
        screen.show_changes(Watcher(client, scope, name, env.sleep), env.now, form=form)
    elif name:
        one = read(fetch(client, namespace, name))
        if form in DOCUMENTS:
            click.echo(output.text(output.deployment(one), form))
        else:
            screen.print_detail(one, env.now(), wide=form == "wide")
    else:
        found = sorted((read(o) for o in client.list_all(scope).items), key=lambda d: (d.namespace, d.name))
        if form in DOCUMENTS:
            click.echo(output.text(output.listing(found), form))
        elif found:
            screen.print_table(found, env.now(), wide=form == "wide", namespaces=all_namespaces)
        else:
            where = "" if all_namespaces else f" in namespace {namespace}"
            click.echo(f"There are no LLMDeployments{where}.", err=True)


@click.command()
@click.argument("name")
@output_flag()
@connection_flags
@click.pass_obj
def explain(env: Environment, target: Target, name: str, form: str) -> None:
    """Say in one sentence why it moves or does not, then the evidence."""
    client, namespace = env.open(target)
    obj = fetch(client, namespace, name)
    answer = explain_object(obj, env.now())
    if form in DOCUMENTS:
        click.echo(output.text(output.explanation(read(obj), answer), form))
        return
    click.echo(answer.sentence)
    for line in answer.lines:
        click.echo(f"  {line}")
    if answer.command:
        click.echo(f"\n  {answer.command}")
