"""`get -w`: what is there now, then every change, over broken connections and expired resourceVersions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto

from solera.cli.cluster.client import Client, Object
from solera.cli.errors import CliError, Expired, Unreachable
from solera.cli.views.reading import read
from solera.cli.views.view import Deployment

BACKOFF_SECONDS = (1.0, 2.0, 4.0, 8.0, 15.0)


class Kind(Enum):
    """What one change is."""

    SHOWN = auto()
    DELETED = auto()
    LISTED = auto()  # all that is there has been told
    LOST = auto()  # no contact; `trouble` says why
    BACK = auto()


@dataclass(frozen=True, slots=True)
class Change:
    """One thing to show. `deployment` is set for SHOWN and DELETED, `trouble` for LOST."""

    kind: Kind
    deployment: Deployment | None = None
    trouble: str = ""


@dataclass(slots=True)
class Watcher:
    """Follows one LLMDeployment by name, or all of a namespace (None: of the cluster)."""

    client: Client
    namespace: str | None
    name: str | None
    sleep: Callable[[float], None]
    known: dict[tuple[str, str], Deployment] = field(default_factory=dict)
    since: str = ""
    failures: int = 0

    def changes(self) -> Iterator[Change]:
        """Every change, without end; ends only when the one that is followed by name is gone.

        A contact that is lost is told once and sought again for ever. Raises what the apiserver refuses (RBAC, no CRD), and
        `Unreachable` when there is no contact at the very start.
        """
        listed = current = False
        while True:
            try:
                if not current:
                    yield from self._list()
                    listed = current = True
                if self.name and not self.known:
                    return
                yield from self._watch()
            except Expired:
                current = False
            except Unreachable as error:
                if not listed:
                    raise
                current = False  # a list finds at once what was deleted meanwhile
                yield from self._lost(error)

    def _list(self) -> Iterator[Change]:
        listing = self.client.list_all(self.namespace, self.name)
        yield from self._contact()
        there = [read(item) for item in listing.items]
        for gone in set(self.known) - {_key(d) for d in there}:
            yield Change(Kind.DELETED, self.known.pop(gone))
        for d in there:
            yield from self._show(d)
        self.since = listing.resource_version
        yield Change(Kind.LISTED)

    def _watch(self) -> Iterator[Change]:
        silent = True
        for kind, obj in self.client.watch(self.namespace, self.name, self.since):
            silent = False
            self.since = _version(obj) or self.since
            if kind in {"ADDED", "MODIFIED"}:
                yield from self._show(read(obj))
            elif kind == "DELETED":
                gone = read(obj)
                self.known.pop(_key(gone), None)
                yield Change(Kind.DELETED, gone)
                if self.name:
                    return
        if silent:
            self.sleep(BACKOFF_SECONDS[0])  # a proxy that ends every watch at once must not make this a busy loop

    def _show(self, d: Deployment) -> Iterator[Change]:
        if self.known.get(_key(d)) != d:
            self.known[_key(d)] = d
            yield Change(Kind.SHOWN, d)

    def _contact(self) -> Iterator[Change]:
        if self.failures:
            self.failures = 0
            yield Change(Kind.BACK)

    def _lost(self, error: CliError) -> Iterator[Change]:
        if not self.failures:
            yield Change(Kind.LOST, trouble=error.message)
        pause = BACKOFF_SECONDS[min(self.failures, len(BACKOFF_SECONDS) - 1)]
        self.failures += 1
        self.sleep(pause)


def _key(d: Deployment) -> tuple[str, str]:
    return d.namespace, d.name


def _version(obj: Object) -> str:
    return str((obj.get("metadata") or {}).get("resourceVersion") or "")
