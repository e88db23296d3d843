"""A raw LLMDeployment -> `view.Deployment`, tolerant of everything that is absent.

Only what the operator wrote is shown; nothing is decided here. Taken from spec is what status does not repeat: the owner,
each version's successor, and which steps wait for an approval.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from solera.cli.views import times
from solera.cli.views.view import (
    Condition,
    Deployment,
    Event,
    Guardrail,
    Promoted,
    Ref,
    Rejected,
    Rollout,
    Version,
    Weight,
)
from solera.plan.requests import REQUEST_ANNOTATION
from solera.plan.rungs import RUNGS

Manifest = Mapping[str, Any]

# Messages may quote a container's last words: nothing in them may steer the terminal.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def clean(text: object) -> str | None:
    """A text without control characters (tabs and line ends become spaces); None when it is absent or empty."""
    if not isinstance(text, str) or not text:
        return None
    return _CONTROL.sub("", re.sub(r"[\t\r\n]+", " ", text))


def read(obj: Manifest) -> Deployment:
    """Read a raw LLMDeployment."""
    meta, spec, status = _map(obj, "metadata"), _map(obj, "spec"), _map(obj, "status")
    owner, rollout = _map(spec, "owner"), _map(spec, "rollout")
    steps = _steps(rollout)
    weights = tuple(
        Weight(clean(w.get("version")) or "", clean(w.get("revision")) or "", int(w.get("weight") or 0))
        for w in _items(status, "weights")
    )
    return Deployment(
        namespace=clean(meta.get("namespace")) or "default",
        name=clean(meta.get("name")) or "",
        uid=str(meta.get("uid") or ""),
        resource_version=str(meta.get("resourceVersion") or ""),
        generation=int(meta.get("generation") or 0),
        observed_generation=int(status.get("observedGeneration", -1)),
        created_at=times.parse(meta.get("creationTimestamp")),
        deleted_at=times.parse(meta.get("deletionTimestamp")),
        team=clean(owner.get("team")),
        contact=clean(owner.get("contact")),
        serve=clean(spec.get("serve")),
        approval_steps=tuple(i for i, s in enumerate(steps) if _map(s, "pause").get("until") == "Approved"),
        step_weights=tuple(_weight(s) for s in steps),
        max_harmed=_map(rollout, "risk").get("maxHarmedRequests") if rollout.get("strategy") == "Adaptive" else None,
        conditions=tuple(_condition(c) for c in _items(status, "conditions")),
        state=clean(status.get("state")),
        model_name=clean(status.get("modelName")),
        effective_version=clean(status.get("effectiveVersion")),
        stable=_ref(status.get("stable")),
        candidate=_ref(status.get("candidate")),
        previous=_ref(status.get("previous")),
        draining=tuple(ref for d in _items(status, "draining") if (ref := _ref(d))),
        weight=status.get("weight"),
        weights=weights,
        next=clean(status.get("next")),
        next_at=times.parse(status.get("nextAt")),
        rollout=_rollout(_map(status, "rollout")),
        guardrails=tuple(_guardrail(g) for g in _items(status, "guardrails")),
        versions=_versions(status, spec, weights),
        rejected=tuple(
            Rejected(
                clean(r.get("version")) or "",
                clean(r.get("hash")) or "",
                times.parse(r.get("at")),
                clean(r.get("reason")),
            )
            for r in _items(status, "rejected")
        ),
        promoted=tuple(
            Promoted(clean(p.get("version")) or "", clean(p.get("hash")) or "", times.parse(p.get("at")))
            for p in _items(status, "promoted")
        ),
        history=tuple(
            Event(times.parse(h.get("at")), clean(h.get("event")) or "", clean(h.get("message")) or "")
            for h in _items(status, "history")
        ),
        request=clean(_map(meta, "annotations").get(REQUEST_ANNOTATION)),
        last_handled_request=clean(status.get("lastHandledRequest")),
    )


def _steps(rollout: Manifest) -> list[Manifest]:
    """The steps as status counts them: an adaptive rollout has rungs between those that were declared."""
    declared = _items(rollout, "steps")
    if rollout.get("strategy") != "Adaptive":
        return declared
    declared = declared or [{"weight": 100}]
    taken = {_weight(step) for step in declared}
    return sorted([*declared, *({"weight": weight} for weight in RUNGS if weight not in taken)], key=_weight)


def _weight(step: Manifest) -> int:
    return int(step.get("weight") or 0)


def _condition(raw: Manifest) -> Condition:
    return Condition(
        clean(raw.get("type")) or "",
        clean(raw.get("status")) or "Unknown",
        clean(raw.get("reason")) or "",
        clean(raw.get("message")) or "",
        times.parse(raw.get("lastTransitionTime")),
    )


def _ref(raw: object) -> Ref | None:
    if not isinstance(raw, Mapping) or not raw:
        return None
    return Ref(
        clean(raw.get("version")) or "",
        clean(raw.get("revision")) or "",
        clean(raw.get("hash")) or "",
        times.parse(raw.get("since")),
        times.parse(raw.get("until")),
    )


def _rollout(raw: Manifest) -> Rollout | None:
    if not raw:
        return None
    return Rollout(
        id=clean(raw.get("id")) or "",
        from_=clean(raw.get("from")),
        to=clean(raw.get("to")),
        started_at=times.parse(raw.get("startedAt")),
        step=raw.get("step"),
        steps=raw.get("steps"),
        weight=raw.get("weight"),
        step_started_at=times.parse(raw.get("stepStartedAt")),
        approved_steps=tuple(raw.get("approvedSteps") or ()),
        reason=clean(raw.get("reason")),
        message=clean(raw.get("message")),
        observed_share=clean(raw.get("observedShare")),
        harmed_at_most=raw.get("harmedAtMost"),
        held_since=times.parse(raw.get("heldSince")),
        paused_at=times.parse(raw.get("pausedAt")),
        paused_by=clean(raw.get("pausedBy")),
        timed_from=times.parse(raw.get("timedFrom")),
        evidence_at=times.parse(raw.get("evidenceAt")),
    )


def _guardrail(raw: Manifest) -> Guardrail:
    return Guardrail(
        name=clean(raw.get("name")) or "",
        metric=clean(raw.get("metric")),
        verdict=clean(raw.get("verdict")),
        estimate=clean(raw.get("estimate")),
        low=clean(raw.get("low")),
        high=clean(raw.get("high")),
        limit=clean(raw.get("limit")),
        samples=raw.get("samples"),
        bad=raw.get("bad"),
        source=clean(raw.get("source")),
        reason=clean(raw.get("reason")),
        message=clean(raw.get("message")),
        forecast=clean(raw.get("forecast")),
    )


def _versions(status: Manifest, spec: Manifest, weights: Iterable[Weight]) -> tuple[Version, ...]:
    """Versions in the order of spec, then those that only status still knows."""
    declared = {v.get("name"): v for v in _items(spec, "versions")}
    known = {v.get("name"): v for v in _items(status, "versions")}
    found = []
    for name in dict.fromkeys([*declared, *known]):
        life, model = _map(declared.get(name, {}), "lifecycle"), _map(declared.get(name, {}), "model")
        seen = known.get(name, {})
        found.append(
            Version(
                name=clean(name) or "",
                phase=clean(seen.get("phase")),
                weight=sum(w.weight for w in weights if w.version == name),
                uri=clean(seen.get("uri")) or clean(model.get("uri")),
                model_revision=clean(seen.get("modelRevision")) or clean(model.get("revision")),
                deprecated_at=times.parse(seen.get("deprecatedAt")) or times.parse(life.get("deprecatedAt")),
                retires_at=times.parse(seen.get("retiresAt")) or times.parse(life.get("retiresAt")),
                retired_at=times.parse(seen.get("retiredAt")),
                late_by=clean(seen.get("lateBy")),
                successor=clean(life.get("successor")),
                on_retirement=clean(life.get("onRetirement")),
                message=clean(seen.get("message")),
            )
        )
    return tuple(found)


def _map(raw: Manifest, key: str) -> Manifest:
    value = raw.get(key)
    return value if isinstance(value, Mapping) else {}


def _items(raw: Manifest, key: str) -> list[Manifest]:
    value = raw.get(key)
    return [v for v in value if isinstance(v, Mapping)] if isinstance(value, (list, tuple)) else []
