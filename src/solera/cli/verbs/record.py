"""record: one rollout as a file, to be decided again without the cluster (`solera replay`)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from solera import __version__
from solera.cli.cluster.connect import Target
from solera.cli.cluster.find import fetch
from solera.cli.errors import CliError, NothingToDo
from solera.cli.flags import DOCUMENTS, Environment, connection_flags

# The models of the API take a while to import: no other verb waits for them.
if TYPE_CHECKING:
    from solera.plan.ledger import Ledger


@click.command()
@click.argument("name")
@click.option(
    "-o",
    "--output",
    "where",
    default="yaml",
    show_default=True,
    metavar="json|yaml|FILE",
    help="json or yaml on standard output, or a file: JSON if its name ends with .json, else YAML.",
)
@connection_flags
@click.pass_obj
def record(env: Environment, target: Target, name: str, where: str) -> None:
    """Write the counts and settings of the newest rollout, for `solera replay`. No requests, no names of pods."""
    from solera.api.errors import FieldError  # noqa: PLC0415
    from solera.api.llmdeployment import parse  # noqa: PLC0415
    from solera.plan.recorder import recorded  # noqa: PLC0415

    client, namespace = env.open(target)
    obj = fetch(client, namespace, name)
    ledger = _ledger(client.evidence(namespace, name), f"{name} in namespace {namespace}")
    try:
        document = recorded(parse(obj), obj.get("status") or {}, ledger)
    except FieldError as error:
        raise CliError(f"the spec of {name} cannot be read, so the settings in force are not known: {error}") from None
    _write(document, where)
    for note in document["notes"]:
        click.echo(f"note: {note}", err=True)
    if where not in DOCUMENTS:
        click.echo(f"{name}: {len(ledger.ring)} intervals of rollout {ledger.rollout_id} are in {where}", err=True)


def _ledger(data: dict[str, Any] | None, what: str) -> Ledger:
    """The evidence in the data of a RolloutRecord.

    Raises:
        NothingToDo: there is none, or nothing was counted.
        CliError: it cannot be read.
    """
    from solera.plan.evidence import EvidenceError, from_record  # noqa: PLC0415

    written = (data or {}).get("ledger")
    if not isinstance(written, dict):
        raise NothingToDo(
            f"nothing to record: there is no RolloutRecord of {what}. The operator writes it when a rollout has evidence and "
            "keeps it until the next one has; it goes with its LLMDeployment, or when somebody deletes it"
        )
    try:
        ledger = from_record(written)
    except EvidenceError as error:
        raise CliError(
            f"the RolloutRecord of {what} cannot be read by version {__version__}, another one may have written it: {error}"
        ) from None
    if not any(ledger.total(*series).total for series in ledger.totals):
        raise NothingToDo(f"nothing to record: rollout {ledger.rollout_id} of {what} has counted no requests")
    return ledger


def _write(document: dict[str, Any], where: str) -> None:
    if where == "json" or where.endswith(".json"):
        text = json.dumps(document, ensure_ascii=False, indent=2) + "\n"
    else:
        import yaml  # noqa: PLC0415 - slow to import

        # One line for each interval.
        text = yaml.safe_dump(document, allow_unicode=True, sort_keys=False, default_flow_style=None, width=1_000_000)
    if where in DOCUMENTS:
        click.echo(text, nl=False)
        return
    try:
        Path(where).write_text(text, encoding="utf-8")
    except OSError as error:
        raise CliError(f"cannot write {where}: {error.strerror or error}") from None
