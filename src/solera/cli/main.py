"""solera: the operator's own command line, and what needs no cluster; see docs/cli.md."""

from __future__ import annotations

import platform
from pathlib import Path

import click

from solera import __version__
from solera.cli.flags import Environment
from solera.cli.verbs import offline, power, replay
from solera.errors import SoleraError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Solera: a Kubernetes operator for the whole life of self-hosted language models."""
    ctx.obj = ctx.obj or Environment()


@cli.group()
def operator() -> None:
    """The operator itself."""


@operator.command()
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path),
    help="Configuration file (YAML): metric sources and limits that the administrator sets. Defaults without one.",
)
def run(config: Path | None) -> None:
    """Run the operator until it is told to stop (SIGTERM, SIGINT)."""
    from solera.operator.main import run as run_operator  # noqa: PLC0415 - kopf and the client are only needed here

    try:
        run_operator(config)
    except SoleraError as error:
        raise click.ClickException(str(error)) from error


@cli.command()
@click.option("--check", is_flag=True, help="Write nothing; end with 1 if the files in DIR are not up to date.")
@click.option(
    "--output",
    "folder",
    metavar="DIR",
    help="Write one file for each definition into DIR (with --check: read it; crds).",
)
def crd(check: bool, folder: str | None) -> None:
    """Print the CustomResourceDefinitions of this version, ready for `kubectl apply --server-side -f -`."""
    from solera.api import crd as definitions  # noqa: PLC0415 - the models are only needed here

    if not check and folder is None:
        click.echo("---\n".join(definitions.render().values()), nl=False)
        return
    arguments = [*(["--check"] if check else []), *([folder] if folder else [])]
    raise SystemExit(definitions.main(arguments))


@cli.command()
def version() -> None:
    """Print the version."""
    click.echo(f"solera {__version__} (Python {platform.python_version()})")


for verb in (offline.plan, offline.lint, replay.replay, power.power):
    cli.add_command(verb)


def main() -> None:
    """Entry point."""
    cli.main(prog_name="solera")


if __name__ == "__main__":
    main()
