"""An LLMDeployment by name; where there is none, what may have been meant."""

from __future__ import annotations

from difflib import get_close_matches

from solera.cli.cluster.client import Client, Object
from solera.cli.errors import CliError, NotFound

ALIKE = 0.6
"""How alike two names must be (0 to 1, difflib's ratio) for one to be offered in place of the other."""


def fetch(client: Client, namespace: str, name: str) -> Object:
    """The raw object.

    Raises:
        NotFound: there is none; the message says where one of that name is, or which names are like it.
    """
    try:
        return client.get(namespace, name)
    except NotFound as error:
        raise NotFound(error.message + hint(client, namespace, name)) from None


def hint(client: Client, namespace: str, name: str) -> str:
    """What may have been meant by `name`; empty when nothing is like it, or lists may not be read."""
    here = _names(client, namespace)
    alike = get_close_matches(name, [n for _, n in here], n=3, cutoff=ALIKE)
    if alike:
        return f"; did you mean {' or '.join(alike)}?"
    elsewhere = sorted(ns for ns, _ in _names(client, None, name))
    if elsewhere:
        return f"; there is one in namespace {' and '.join(elsewhere[:3])}: add -n {elsewhere[0]}"
    if here:
        shown = sorted(n for _, n in here)
        return f"; there is {', '.join(shown[:5])}" + (f" and {len(shown) - 5} more" if len(shown) > 5 else "")
    return ""


def _names(client: Client, namespace: str | None, name: str | None = None) -> list[tuple[str, str]]:
    try:
        items = client.list_all(namespace, name).items
    except CliError:
        return []
    return [(str(o["metadata"].get("namespace")), str(o["metadata"].get("name"))) for o in items]
