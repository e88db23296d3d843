"""Flags that all verbs share, and what a verb takes from outside: the cluster, the time, a nonce."""

from __future__ import annotations

import functools
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import click

from solera.cli.cluster.client import Client
from solera.cli.cluster.connect import Connection, Target, connect


@dataclass(frozen=True, slots=True)
class Environment:
    """Everything that a verb does not decide itself; tests put their own in its place."""

    connect: Callable[[Target], Connection] = connect
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    nonce: Callable[[], str] = lambda: secrets.token_hex(4)
    target: Target = field(default_factory=Target)

    def open(self, target: Target) -> tuple[Client, str]:
        """The way to the cluster and the namespace; flags after the verb win over those before it."""
        merged = Target(
            target.kubeconfig or self.target.kubeconfig,
            target.context or self.target.context,
            target.namespace or self.target.namespace,
        )
        connection = self.connect(merged)
        return Client(connection.transport), connection.namespace


def connection_flags(f: Callable[..., Any]) -> Callable[..., Any]:
    """--kubeconfig, --context and --namespace, given to the function as one `target`."""

    @click.option("--kubeconfig", metavar="FILE", help="Kubeconfig to use instead of $KUBECONFIG or ~/.kube/config.")
    @click.option(
        "--context", "kube_context", metavar="NAME", help="Context of the kubeconfig; its current one otherwise."
    )
    @click.option("-n", "--namespace", metavar="NAME", help="Namespace; that of the context otherwise.")
    @functools.wraps(f)
    def wrapped(
        *args: Any, kubeconfig: str | None, kube_context: str | None, namespace: str | None, **kwargs: Any
    ) -> Any:
        return f(*args, target=Target(kubeconfig, kube_context, namespace), **kwargs)

    return wrapped


def output_flag(*more: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """-o, given to the function as `form`: text, json, yaml, or one of `more`."""
    forms = ["text", *more, "json", "yaml"]
    option = click.option(
        "-o",
        "--output",
        "form",
        type=click.Choice(forms),
        default="text",
        show_default=True,
        help="text for people, json or yaml for programs.",
    )

    def add(f: Callable[..., Any]) -> Callable[..., Any]:
        return option(f)

    return add


DOCUMENTS = frozenset({"json", "yaml"})
"""Forms in which a document is printed."""


class Percent(click.ParamType[float]):
    """A percentage as in manifests (`1%`), from 0% or above to below `high` (a share)."""

    name = "percentage"

    def __init__(self, *, zero: bool = False, high: float = 1.0) -> None:
        """`zero`: 0% is allowed."""
        self.zero, self.high = zero, high

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The share."""
        from solera.api.scalars import parse_percent  # noqa: PLC0415 - not needed for most verbs
        from solera.errors import SoleraError  # noqa: PLC0415

        if isinstance(value, float):
            return value
        try:
            share = parse_percent(value)
        except SoleraError as error:
            self.fail(str(error), param, ctx)
        if share >= self.high or (share == 0 and not self.zero):
            least = "from 0%" if self.zero else "above 0%"
            self.fail(f"{value} is out of range: write a percentage {least} and below {self.high:.0%}", param, ctx)
        return share


class Seconds(click.ParamType[float]):
    """A duration as in the API (`10s`, `2m`, `500ms`), or a bare number of seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The duration in seconds."""
        from solera.api.scalars import parse_duration  # noqa: PLC0415 - not needed for most verbs
        from solera.errors import SoleraError  # noqa: PLC0415

        if isinstance(value, (int, float)):
            return float(value)
        try:
            return float(value) if value.replace(".", "", 1).isdigit() else parse_duration(value).total_seconds()
        except SoleraError as error:
            self.fail(str(error), param, ctx)
