"""What the collector knows about one LLMDeployment between two looks, and how it tells what is wrong."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from solera.observe.metrics import SourceResult
from solera.observe.pending import Pending
from solera.observe.wanted import Request

PROBE = "Probe"
"""Under this name `errors` tells of engines that are healthy and never answer."""

Unit = tuple[str, str]
"""(source, pod uid), with an empty uid for a source that is read as a whole."""


@dataclass(slots=True)
class Try:
    """The probing of one pod: when to try again, and how it went."""

    started: datetime | None
    next_at: datetime
    wait: timedelta
    answered: bool = False
    problem: str | None = None


@dataclass(slots=True)
class Followed:
    """What is known about one LLMDeployment.

    ``results`` are the newest looks, without their readings; ``gave`` the units whose newest look gave any. ``told`` are the errors that the
    log has heard of.
    """

    request: Request = field(default_factory=Request)
    pending: Pending = field(default_factory=Pending)
    results: dict[Unit, SourceResult] = field(default_factory=dict)
    gave: set[Unit] = field(default_factory=set)
    due: dict[Unit, datetime] = field(default_factory=dict)
    tries: dict[str, Try] = field(default_factory=dict)
    told: dict[str, str] = field(default_factory=dict)


def errors(known: Followed) -> dict[str, str]:
    """Source to its error, and ``Probe`` to that of a healthy pod; of many alike the first is told."""
    silent = {t.instance for t in known.request.targets if not t.expected}
    texts: dict[str, list[str]] = {}
    for (name, _), result in sorted(known.results.items()):
        texts.setdefault(name, []).extend(text for of, text in sorted(result.errors.items()) if of not in silent)
    texts[PROBE] = [one.problem for _, one in sorted(known.tries.items()) if one.problem is not None]
    more = {name: f" (and {len(of) - 1} more like it)" if len(of) > 1 else "" for name, of in texts.items()}
    return {name: f"{of[0]}{more[name]}" for name, of in texts.items() if of}


def unreachable(known: Followed) -> dict[str, str]:
    """Source to why its newest look told nothing at all of a revision whose pods should answer.

    One pod of several that cannot be read is no reason: the others speak for the revision.
    """
    uids = {t.instance for t in known.request.targets}
    whole: dict[str, str] = {}
    by_pod: dict[str, dict[str, str]] = {}
    for (name, uid), result in sorted(known.results.items()):
        reasons = dict(result.errors)
        if uid and not reasons and result.unmeasurable and (name, uid) not in known.gave:
            reasons = {uid: next(iter(result.unmeasurable.values()))}  # it answers, but no longer with what it counted
        by_pod.setdefault(name, {}).update((of, text) for of, text in reasons.items() if of in uids)
        of_source = [text for of, text in sorted(reasons.items()) if of not in uids]
        if of_source and (name, uid) not in known.gave:  # one gateway of several is like one pod of several
            whole[name] = of_source[0]
    expected: dict[str, list[str]] = {}
    for target in known.request.targets:
        if target.expected:
            expected.setdefault(target.revision, []).append(target.instance)
    for name, reasons in by_pod.items():
        silent = [pods for pods in expected.values() if all(pod in reasons for pod in pods)]
        if silent:
            whole.setdefault(name, reasons[silent[0][0]])
    return whole


def unmeasurable(known: Followed, names: Sequence[str], declared: Collection[str]) -> dict[str, str]:
    """Guardrail to why none of the sources ``names`` can measure it. ``declared`` are the sources that there are."""
    reasons: dict[str, dict[str, str]] = {}
    for name in names:
        if name not in declared:
            choice = ", ".join(declared)
            why = f"spec.rollout.metrics.source: no source is named {name}; write one of {choice}"
            for guardrail in known.request.guardrails:
                reasons.setdefault(guardrail.name, {})[name] = why
    for (name, _), result in sorted(known.results.items()):
        for guardrail_name, why in result.unmeasurable.items():
            reasons.setdefault(guardrail_name, {}).setdefault(name, why)
    return {
        guardrail: next(iter(by.values())) if len(names) == 1 else "; ".join(f"{n}: {by[n]}" for n in names)
        for guardrail, by in reasons.items()
        if all(name in by for name in names)
    }
