"""What `-o json` prints: a shape of its own, the same for every release of this apiVersion. Pure.

Every key is always there; what is not known is null or an empty list. Keys may be added, none is renamed or taken away.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime, timedelta
from typing import Any

from solera.cli.cluster.request import Outcome
from solera.cli.views import times
from solera.cli.views.explain import Explanation
from solera.cli.views.goal import Came, waits_for_person
from solera.cli.views.past import Past
from solera.cli.views.view import Deployment

API_VERSION = "cli.solera.dev/v1"

_LEFT_OUT = frozenset({"uid", "resource_version", "approval_steps", "step_weights", "max_harmed", "rollout"})


def text(document: Any, form: str = "json", *, stream: bool = False) -> str:
    """A document as `-o json` or `-o yaml` prints it; in a `stream` on one line, or with the mark that parts YAML documents."""
    if form == "yaml":
        import yaml  # noqa: PLC0415 - slow to import

        body = yaml.safe_dump(document, allow_unicode=True, sort_keys=False, width=1_000_000).rstrip()
        return f"---\n{body}" if stream else str(body)
    return json.dumps(document, ensure_ascii=False, indent=None if stream else 2)


def deployment(d: Deployment) -> dict[str, Any]:
    """One LLMDeployment, kind `LLMDeploymentView`. `rollout` is null unless one is in progress; its `step` counts from 1."""
    body = {_camel(f.name): _plain(getattr(d, f.name)) for f in fields(d) if f.name not in _LEFT_OUT}
    return {"apiVersion": API_VERSION, "kind": "LLMDeploymentView", "ready": d.ready, **body, "rollout": _rollout(d)}


def listing(deployments: Iterable[Deployment]) -> dict[str, Any]:
    """Several of them, kind `LLMDeploymentViewList`."""
    return {"apiVersion": API_VERSION, "kind": "LLMDeploymentViewList", "items": [deployment(d) for d in deployments]}


def change(kind: str, d: Deployment) -> dict[str, Any]:
    """One line of `get -w -o json`, kind `Change`: `type` is Shown or Deleted."""
    return {"apiVersion": API_VERSION, "kind": "Change", "type": kind, "object": deployment(d)}


def explanation(d: Deployment, e: Explanation) -> dict[str, Any]:
    """The answer of explain, kind `Explanation`."""
    return {
        **_about("Explanation", d),
        "cause": e.cause,
        "sentence": e.sentence,
        "evidence": list(e.lines),
        "command": e.command,
    }


def outcome(d: Deployment, o: Outcome) -> dict[str, Any]:
    """The answer of the verbs that ask something of the operator, kind `RequestResult`. `accepted` is null while the operator has not answered."""
    return {
        **_about("RequestResult", d),
        "verb": str(o.request.verb),
        "version": o.request.version,
        "hash": o.request.hash,
        "candidate": _plain(d.candidate),
        "step": o.request.step + 1,
        "request": str(o.request),
        "handled": o.handled,
        "accepted": o.accepted,
        "message": o.message,
    }


def status(d: Deployment, goal: str | None, came: Came | None) -> dict[str, Any]:
    """How things stand, kind `Status`; `outcome` is null when nothing was waited for."""
    r = d.rollout if d.in_rollout else None
    ready = d.condition("Ready")
    return {
        **_about("Status", d),
        "observed": d.observed,
        "ready": d.ready,
        "complete": bool(d.observed and d.is_true("RolloutComplete")),
        "state": d.state,
        "reason": (r.reason if r else None) or (ready.reason if ready else None),
        "message": (r.message if r else None) or (ready.message if ready else None),
        "stable": d.stable.version if d.stable else None,
        "candidate": d.candidate.version if d.candidate else None,
        "weight": d.weight if d.candidate else None,
        "step": r.step + 1 if r and r.step is not None else None,
        "steps": r.steps if r else None,
        "waitsForPerson": waits_for_person(d),
        "next": d.next,
        "nextAt": _plain(d.next_at),
        "goal": goal,
        "outcome": came.outcome.value if came else None,
        "outcomeMessage": came.message if came else None,
    }


def past(d: Deployment, p: Past) -> dict[str, Any]:
    """What happened, kind `History`; `evidence` is null when there is no record, or it may not be read."""
    return {
        **_about("History", d),
        "rollouts": _plain(p.rollouts),
        "events": _plain(p.events),
        "pendingRequest": p.pending,
        "evidence": _plain(p.evidence),
    }


def document(kind: str, value: Any) -> dict[str, Any]:
    """Any frozen dataclass as a document of that kind."""
    body: dict[str, Any] = _plain(value)
    return {"apiVersion": API_VERSION, "kind": kind, **body}


def _about(kind: str, d: Deployment) -> dict[str, Any]:
    """The head of a document of that kind about one LLMDeployment."""
    return {"apiVersion": API_VERSION, "kind": kind, "namespace": d.namespace, "name": d.name}


def _rollout(d: Deployment) -> dict[str, Any] | None:
    r = d.rollout
    if r is None or not d.in_rollout:
        return None
    body: dict[str, Any] = _plain(r)
    return body | {
        "step": None if r.step is None else r.step + 1,
        "approvedSteps": [s + 1 for s in r.approved_steps],
        "maxHarmedRequests": d.max_harmed,
        "waitsForApproval": d.waits_for_approval,
    }


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return times.stamp(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {_camel(f.name): _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, timedelta):
        return times.exact(value)
    return dict(value) if isinstance(value, Mapping) else value


def _camel(name: str) -> str:
    head, *rest = name.rstrip("_").split("_")
    return head + "".join(part.capitalize() for part in rest)
