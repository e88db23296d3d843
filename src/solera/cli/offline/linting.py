"""Everything that is wrong with manifests, or seldom meant, in one run without a cluster. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from solera.api.errors import FieldError
from solera.api.llmdeployment import LLMDeployment, parse
from solera.api.manifest import check
from solera.cli.offline.concerns import Manifest, concerns, manifest
from solera.cli.offline.files import Document, Unreadable
from solera.plan.children import cannot_be_rendered
from solera.plan.types import Observation, Owner

ERROR, WARNING = "error", "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """One mistake or warning. `rule` names a warning; it is None for a mistake. `path` is empty for the whole object."""

    place: str
    name: str | None
    level: str
    path: str
    message: str
    rule: str | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What a run found, in the order of the files. `skipped` are places and kinds of other objects."""

    checked: int
    findings: tuple[Finding, ...]
    skipped: tuple[tuple[str, str], ...]

    def count(self, level: str) -> int:
        """How many findings there are of a level."""
        return sum(f.level == level for f in self.findings)


def lint(found: Iterable[Document | Unreadable], at: datetime, skip: frozenset[str] = frozenset()) -> Report:
    """Look at every document, at a moment (aware); warnings named in `skip` are left out."""
    findings: list[Finding] = []
    skipped: list[tuple[str, str]] = []
    valid: list[tuple[Document, Manifest]] = []
    checked = 0
    for document in found:
        if isinstance(document, Unreadable):
            where = f"{document.where}: " if document.where else ""
            findings.append(Finding(document.place, None, ERROR, "", f"{where}{document.message}"))
        elif not document.ours:
            skipped.append((document.place, document.kind))
        else:
            checked += 1
            wrong = list(_mistakes(document, at))
            findings += wrong
            if not wrong:
                valid.append((document, manifest(parse(document.content), at)))
                findings += _warnings(*valid[-1])
    findings += _together(valid)
    return Report(checked, tuple(f for f in findings if f.rule is None or f.rule not in skip), tuple(skipped))


def mistakes(content: Any, at: datetime) -> list[tuple[str, str]]:
    """Path and message of everything that admission or the operator would refuse."""
    found = [(problem.path, problem.message) for problem in check(content)]
    return found or list(_not_rendered(content, at))


def _mistakes(document: Document, at: datetime) -> Iterator[Finding]:
    for path, message in mistakes(document.content, at):
        yield Finding(document.place, document.name, ERROR, path, message)


def _not_rendered(content: Any, at: datetime) -> Iterator[tuple[str, str]]:
    """What only the one who writes the pods knows: reserved arguments, sizes that do not fit."""
    obj = parse(content)
    try:
        intent = manifest(obj, at).intent
    except FieldError as error:
        yield error.path, error.message
        return
    nobody = Owner(obj.metadata.name or "x", obj.metadata.namespace or "default", "", 1, at)
    told: set[str] = set()
    for version in intent.versions.values():
        problem = cannot_be_rendered(Observation(at, nobody, content), intent, version)
        if problem is not None and problem[1] not in told:
            told.add(problem[1])
            path, _, message = problem[1].partition(": ")
            yield path, message


def _warnings(document: Document, m: Manifest) -> Iterator[Finding]:
    for concern in concerns(m):
        yield Finding(document.place, document.name, WARNING, concern.path, concern.message, concern.rule)


def _together(valid: list[tuple[Document, Manifest]]) -> Iterator[Finding]:
    """What only shows when several manifests are looked at side by side."""
    names: dict[tuple[str, str], str] = {}
    hosts: dict[tuple[str, str], str] = {}
    for document, m in valid:
        me = m.obj.metadata.namespace or "", m.obj.metadata.name or ""
        if me in names:
            words = f"{me[1]} is in {names[me]}, too: the one that is applied last wins"
            yield Finding(document.place, me[1], WARNING, "metadata.name", words, "name-twice")
            continue
        names[me] = document.place
        for index, host in enumerate(m.intent.gateway.hostnames or ()):
            for gateway in _gateways(m.obj):
                if (other := hosts.setdefault((host, gateway), document.place)) != document.place:
                    words = f"{host} belongs to the model in {other}, too: the younger of the two is stalled (HostnameConflict)"
                    path = f"spec.traffic.gateway.hostnames[{index}]"
                    yield Finding(document.place, me[1], WARNING, path, words, "hostname-twice")


def _gateways(obj: LLMDeployment) -> Iterator[str]:
    for ref in obj.spec.traffic.gateway.parent_refs:
        yield f"{ref.namespace or obj.metadata.namespace or ''}/{ref.name}"
