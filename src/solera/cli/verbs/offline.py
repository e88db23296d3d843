"""plan and lint: what a manifest leads to, and what is wrong with it, without a cluster."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from solera.cli.errors import CliError, Failed, NothingToDo
from solera.cli.flags import DOCUMENTS, Environment, output_flag
from solera.cli.views import output, times
from solera.plan.requests import REQUEST_ANNOTATION, REQUESTED_BY_ANNOTATION

# The models of the API take a while to import: no other verb waits for them.
if TYPE_CHECKING:
    from solera.cli.offline.concerns import Manifest
    from solera.cli.offline.files import Document, Unreadable
    from solera.cli.offline.linting import Finding, Report


class Moment(click.ParamType[datetime]):
    """A date (`2027-03-01`, midnight in UTC) or a point in time (`2027-03-01T00:00:00Z`)."""

    name = "date"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """The point in time, aware."""
        found = value if isinstance(value, datetime) else times.parse(value)
        if found is None:
            self.fail(f"{value!r} is no date: write 2027-03-01 or 2027-03-01T00:00:00Z", param, ctx)
        return found.astimezone(UTC)


at_option = click.option("--at", type=Moment(), help="Look at it at this moment; now when left out.")


@click.command()
@click.argument("file")
@at_option
@click.option("--from", "earlier", metavar="FILE", help="The manifest that is in force, to see what changes.")
@click.option("--name", help="Which LLMDeployment of FILE, if it has several.")
@click.option(
    "--requests-per-second", "rate", type=click.FloatRange(min=0, min_open=True), help="All requests, if known."
)
@output_flag()
@click.pass_obj
def plan(
    env: Environment,
    file: str,
    at: datetime | None,
    earlier: str | None,
    name: str | None,
    rate: float | None,
    form: str,
) -> None:
    """Show what the manifest in FILE (- for standard input) leads to: rollouts, dates, accelerators. Asks no cluster."""
    from solera.cli.offline.forecast import forecast  # noqa: PLC0415
    from solera.cli.offline.words import told  # noqa: PLC0415

    moment = at or env.now()
    if file == earlier == "-":
        raise click.UsageError("only one of FILE and --from can be standard input")
    chosen = pick(file, name)
    against = pick(earlier, chosen.name) if earlier else None
    before = valid(against, moment) if against else None
    after = valid(chosen, moment, against.content.get("status") if against else None)
    here, there = chosen.namespace, against.namespace if against else None
    if here and there and here != there:
        raise click.UsageError(f"these are two objects: {file} is in namespace {here}, {earlier} in {there}")
    found = forecast(after, before, rate)
    if form in DOCUMENTS:
        click.echo(output.text(output.document("Forecast", found), form))
    else:
        click.echo("\n\n".join(told(found)))
    refused = [change for change in found.changes or () if change.effect == "Refused"]
    if refused:
        raise Failed("\n".join(f"{change.path}: {change.message}" for change in refused))


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@at_option
@click.option("--strict", is_flag=True, help="Warnings fail, too.")
@click.option("--skip", multiple=True, metavar="RULE", help="Leave this warning out; may be given several times.")
@output_flag()
@click.pass_obj
def lint(
    env: Environment, files: tuple[str, ...], at: datetime | None, strict: bool, skip: tuple[str, ...], form: str
) -> None:
    """Tell everything that is wrong with manifests, in files, folders, or standard input (-). Asks no cluster."""
    from solera.cli.offline import linting  # noqa: PLC0415
    from solera.cli.offline.concerns import NAMES  # noqa: PLC0415

    if unknown := sorted(set(skip) - NAMES):
        raise click.UsageError(f"--skip {unknown[0]}: there is no such rule; there are {', '.join(sorted(NAMES))}")
    report = linting.lint(read_files(files), at or env.now(), frozenset(skip))
    if form in DOCUMENTS:
        click.echo(output.text(output.document("LintReport", report) | {"skipped": _skipped(report)}, form))
    else:
        for finding in report.findings:
            click.echo(line(finding))
    for place, kind in report.skipped if form not in DOCUMENTS else ():
        click.echo(f"{place}: skipped, a {kind}", err=True)
    errors, warnings = report.count(linting.ERROR), report.count(linting.WARNING)
    if not report.checked and not errors:
        raise NothingToDo("there is no LLMDeployment in what was given")
    words = f"{_count(report.checked, 'LLMDeployment')}: {_count(errors, 'mistake')}, {_count(warnings, 'warning')}"
    if errors or (strict and warnings):
        raise Failed(words)
    if form not in DOCUMENTS:
        click.echo(words, err=True)


def line(f: Finding) -> str:
    """`chat.yaml: error: spec.serve: no version is named v3; write one of v1, v2`."""
    path = f"{f.path}: " if f.path else ""
    return f"{f.place}: {f.level}: {path}{f.message}" + (f" ({f.rule})" if f.rule else "")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _skipped(report: Report) -> list[dict[str, str]]:
    return [{"place": place, "kind": kind} for place, kind in report.skipped]


def read_files(paths: tuple[str, ...]) -> list[Document | Unreadable]:
    """Every document of these files, folders, and of standard input for `-`; wrong usage if one is not there."""
    from solera.cli.offline.files import STDIN, MissingFileError, read_all  # noqa: PLC0415

    stdin = sys.stdin.read() if STDIN in paths else None
    try:
        return list(read_all(paths, stdin))
    except MissingFileError as error:
        raise click.UsageError(str(error)) from None


def pick(file: str, name: str | None) -> Document:
    """The one LLMDeployment of a file.

    Raises:
        Failed: the file is no YAML.
        CliError: there is none in it, or there are several and none was chosen.
    """
    from solera.cli.offline.files import Unreadable  # noqa: PLC0415

    found = read_files((file,))
    for document in found:
        if isinstance(document, Unreadable):
            where = f"{document.where}: " if document.where else ""
            raise Failed(f"{document.place}: {where}{document.message}")
    ours = [d for d in found if not isinstance(d, Unreadable) and d.ours]
    chosen = [d for d in ours if name is None or d.name == name]
    names = ", ".join(d.name for d in ours)
    if not chosen:
        raise NothingToDo(
            f"{file} has no LLMDeployment{f' {name}' if name else ''}" + (f"; it has {names}" if names else "")
        )
    if len(chosen) > 1:
        raise CliError(f"{file} has several LLMDeployments ({names}): choose one with --name")
    return chosen[0]


def valid(document: Document, at: datetime, status: object = None) -> Manifest:
    """What the document says, as if it were applied over an object with that `status`. A live object's requests do not matter here.

    Raises:
        Failed: it is not valid; everything that is wrong is told.
    """
    from solera.api.llmdeployment import parse  # noqa: PLC0415
    from solera.cli.offline.concerns import manifest  # noqa: PLC0415
    from solera.cli.offline.linting import mistakes  # noqa: PLC0415

    content = _without_requests(document.content)
    if status and isinstance(content, dict):
        content["status"] = status
    wrong = mistakes(content, at)
    if wrong:
        lines = "\n".join(f"  {path}: {message}" if path else f"  {message}" for path, message in wrong)
        raise Failed(f"{document.place} cannot be applied:\n{lines}")
    return manifest(parse(content), at)


def _without_requests(content: Any) -> Any:
    meta = content.get("metadata") if isinstance(content, dict) else None
    notes = meta.get("annotations") if isinstance(meta, dict) else None
    if not isinstance(content, dict) or not isinstance(meta, dict) or not isinstance(notes, dict):
        return dict(content) if isinstance(content, dict) else content
    kept = {key: value for key, value in notes.items() if key not in {REQUEST_ANNOTATION, REQUESTED_BY_ANNOTATION}}
    return content | {"metadata": meta | {"annotations": kept}}
