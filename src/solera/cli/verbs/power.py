"""power: how many requests, and how long, until a guardrail passes or fails. Asks no cluster."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import click

from solera.cli.flags import DOCUMENTS, Percent, Seconds, output_flag
from solera.cli.views import output

RISK = "5%"

Part = tuple[int, timedelta | None]


class PlannedStep(click.ParamType[Part]):
    """`25:30m`: a weight in percent for a time; without a time it lasts until there is a verdict."""

    name = "weight[:time]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Part:
        """Weight in percent, and how long."""
        from solera.api.scalars import parse_duration  # noqa: PLC0415 - not needed for most verbs
        from solera.errors import SoleraError  # noqa: PLC0415

        if isinstance(value, tuple):
            return value
        found = re.fullmatch(r"([0-9]{1,3})%?(?::(.+))?", value)
        if not found or not 1 <= int(found[1]) <= 100:
            self.fail(
                f"{value!r} is no step: write a weight from 1% to 100% and how long it lasts, for example 25%:30m",
                param,
                ctx,
            )
        try:
            return int(found[1]), None if found[2] is None else parse_duration(found[2])
        except SoleraError as error:
            self.fail(str(error), param, ctx)


@click.command()
@click.option(
    "--requests-per-minute",
    "rate",
    type=click.FloatRange(min=0, min_open=True),
    required=True,
    help="All requests to the service.",
)
@click.option(
    "--weight",
    "steps",
    type=PlannedStep(),
    multiple=True,
    required=True,
    metavar="WEIGHT[:TIME]",
    help="Share of the requests that the candidate gets, for example 10%; several for steps: --weight 5%:10m --weight 25%.",
)
@click.option("--limit", type=Percent(), required=True, help="The guardrail's limit, for example 1%.")
@click.option(
    "--risk",
    "risks",
    multiple=True,
    metavar="KEY=VALUE",
    help="falseRollback=5% or falsePromotion=5%, which are the defaults.",
)
@click.option(
    "--guardrails",
    "tests",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="How many limits and ratios can roll back: falseRollback is divided over them.",
)
@click.option(
    "--true",
    "shares",
    type=Percent(zero=True),
    multiple=True,
    help="What is really bad; half the limit, the limit, 2 and 5 times it when left out.",
)
@click.option("--within", type=Seconds(), default="24h", show_default=True, help="How far to look ahead.")
@output_flag()
def power(
    rate: float,
    steps: tuple[Part, ...],
    limit: float,
    risks: tuple[str, ...],
    tests: int,
    shares: tuple[float, ...],
    within: float,
    form: str,
) -> None:
    """Say how many requests, and how long, it takes until a guardrail passes or fails. Asks no cluster."""
    from solera.cli.offline.expecting import power as reckoned  # noqa: PLC0415
    from solera.cli.offline.expecting import told  # noqa: PLC0415
    from solera.plan.power import SPREAD, Asked, Pace  # noqa: PLC0415

    risk = _risks(risks)
    asked = Asked(limit, risk["falseRollback"], risk["falsePromotion"], tests)
    wanted = tuple(dict.fromkeys(shares)) or tuple(factor * limit for factor in SPREAD if factor * limit < 1)
    if not within > 0:
        raise click.UsageError("--within must be longer than nothing, for example 24h")
    found = reckoned(asked, wanted, Pace(rate / 60, _pace(steps)), timedelta(seconds=within))
    if form in DOCUMENTS:
        click.echo(output.text(output.document("Power", found), form))
    else:
        click.echo("\n\n".join(told(found)))


def _pace(steps: tuple[Part, ...]) -> tuple[tuple[float, timedelta], ...]:
    """Shares and durations; the last one lasts.

    Raises:
        click.UsageError: another one than the last has no time, or the last one has.
    """
    *before, last = steps
    for weight, lasts in before:
        if lasts is None:
            raise click.UsageError(
                f"--weight {weight}% is not the last one: say how long it lasts, for example {weight}%:10m"
            )
    if last[1] is not None:
        raise click.UsageError(f"the last --weight lasts until there is a verdict: write {last[0]}%")
    return tuple((weight / 100, lasts or timedelta()) for weight, lasts in steps)


def _risks(risks: tuple[str, ...]) -> dict[str, float]:
    from solera.cli.offline.settings import RISKS, SettingError, read_risks  # noqa: PLC0415

    below_half = Percent(high=0.5)
    try:
        given = dict(read_risks(risks))
        return {name: below_half.convert(given.get(name, RISK), None, None) for name in RISKS}
    except SettingError as error:
        raise click.UsageError(str(error)) from None
    except click.BadParameter as error:
        raise click.UsageError(f"--risk: {error.message}") from None
