"""kubectl-solera: the plugin `kubectl solera`. Its verbs are in `verbs/`; see docs/kubectl-solera.md."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from solera import __version__
from solera.cli.cluster.connect import Target
from solera.cli.errors import EXIT_INTERRUPTED
from solera.cli.flags import Environment, connection_flags
from solera.cli.verbs import get, offline, power, record, replay, requests, status

EPILOG = """
Exit codes: 0 done, 1 error, 2 wrong usage, 3 not found, 4 nothing to do, 5 refused, 6 failed, 7 waits for a person, 124 not in time,
130 interrupted.
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


VERBS = (
    get.get,
    get.explain,
    status.status,
    status.history,
    record.record,
    requests.promote,
    requests.abort,
    requests.pause,
    requests.resume,
    requests.retry,
    offline.plan,
    offline.lint,
    replay.replay,
    power.power,
)
for verb in VERBS:
    cli.add_command(verb)


def main() -> None:
    """Entry point; the help says `kubectl solera` when kubectl is what runs it."""
    called = Path(sys.argv[0]).name
    cli.main(prog_name="kubectl solera" if called.startswith("kubectl-") else called)


if __name__ == "__main__":
    main()
