"""replay: a recorded rollout decided again with other settings, without a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from solera.cli.errors import Failed, NothingToDo
from solera.cli.flags import DOCUMENTS, Environment, output_flag
from solera.cli.verbs.offline import pick, read_files, valid
from solera.cli.views import output

# The models of the API take a while to import: no other verb waits for them.
if TYPE_CHECKING:
    from solera.api.defaults import ResolvedRollout
    from solera.plan.recording import Recording


@click.command()
@click.argument("file")
@click.option("--manifest", metavar="FILE", help="Take steps, guardrails and risk from this LLMDeployment.")
@click.option("--name", help="Which LLMDeployment of --manifest, if it has several.")
@click.option(
    "--set",
    "sets",
    multiple=True,
    metavar="KEY=OF=VALUE",
    help="limit=errors=2%, maxRatio=errors=1.5, minRequests=2=100 …",
)
@click.option("--risk", "risks", multiple=True, metavar="KEY=VALUE", help="falseRollback=1% or falsePromotion=1%.")
@output_flag()
@click.pass_obj
def replay(
    env: Environment,
    file: str,
    manifest: str | None,
    name: str | None,
    sets: tuple[str, ...],
    risks: tuple[str, ...],
    form: str,
) -> None:
    """Decide the rollout recorded in FILE (- for standard input) again, with other settings. Asks no cluster."""
    from solera.api.errors import FieldError  # noqa: PLC0415
    from solera.cli.offline.replaying import report, told  # noqa: PLC0415
    from solera.plan.replay import comparable  # noqa: PLC0415
    from solera.plan.replay import replay as decide_again  # noqa: PLC0415

    if file == manifest == "-":
        raise click.UsageError("only one of FILE and --manifest can be standard input")
    if name and not manifest:
        raise click.UsageError("--name belongs to --manifest")
    recording = _recording(file)
    wanted = _settings(env, recording, manifest, name, sets, risks)
    try:
        wanted, notes = comparable(recording, wanted)
    except FieldError as error:
        raise Failed(f"{manifest or file} cannot be replayed: {error}") from None
    try:
        after = decide_again(recording, wanted)
        before = after if wanted == recording.settings else decide_again(recording, recording.settings)
    except FieldError as error:
        raise Failed(f"{file} cannot be replayed: {error}") from None
    found = report(recording, wanted, before, after, notes)
    if form in DOCUMENTS:
        click.echo(output.text(output.document("Replay", found), form))
    else:
        click.echo("\n\n".join(told(found, len(wanted.steps))))


def _recording(file: str) -> Recording:
    """The one recording of a file.

    Raises:
        Failed: the file is no YAML, or the recording is spoilt.
        NothingToDo: there is none in it, or more than one.
    """
    from solera.api.errors import FieldError  # noqa: PLC0415
    from solera.api.recording import is_recording  # noqa: PLC0415
    from solera.cli.offline.files import Unreadable  # noqa: PLC0415
    from solera.plan.recording import read  # noqa: PLC0415

    found = read_files((file,))
    for document in found:
        if isinstance(document, Unreadable):
            raise Failed(f"{document.place}: {document.where}: {document.message}")
    ours = [d for d in found if not isinstance(d, Unreadable) and is_recording(d.content)]
    if len(ours) != 1:
        raise NothingToDo(
            f"{file} has {len(ours) or 'no'} RolloutRecording{'s: give one' if ours else ''}"
            + ("" if ours else "; kubectl solera record NAME -o FILE writes one")
        )
    try:
        return read(ours[0].content)
    except FieldError as error:
        raise Failed(f"{ours[0].place} cannot be read: {error}") from None


def _settings(
    env: Environment,
    recording: Recording,
    manifest: str | None,
    name: str | None,
    sets: tuple[str, ...],
    risks: tuple[str, ...],
) -> ResolvedRollout:
    """The recorded settings, or those of the manifest, with the flags on top of them."""
    from solera.api.defaults import resolve_rollout  # noqa: PLC0415
    from solera.api.errors import FieldError  # noqa: PLC0415
    from solera.api.recording import read_settings, spelled_out  # noqa: PLC0415
    from solera.cli.offline.settings import SettingError, changed  # noqa: PLC0415

    settings = recording.settings
    if manifest:
        settings = resolve_rollout(valid(pick(manifest, name), env.now()).obj.spec.rollout)
    if not (sets or risks):
        return settings
    try:
        return read_settings(changed(spelled_out(settings), sets, risks))
    except SettingError as error:
        raise click.UsageError(str(error)) from None
    except FieldError as error:
        raise click.UsageError(f"with --set and --risk applied, {error}") from None
