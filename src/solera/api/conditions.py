"""Conditions, and the contract on which kubectl, Flux and Argo CD read them (kstatus, sigs.k8s.io/cli-utils).

Kstatus asks in this order: is the object being deleted, is `status.observedGeneration` behind `metadata.generation` (in progress),
is `Reconciling` True (in progress), is `Stalled` True (failed); otherwise `Ready` decides. `Reconciling` and `Stalled` therefore
exist only while they are True.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from solera.api.scalars import format_time

MAX_MESSAGE = 1024


class ConditionType(StrEnum):
    """All conditions of an LLMDeployment."""

    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    ROLLOUT_COMPLETE = "RolloutComplete"
    ROUTE_ACCEPTED = "RouteAccepted"
    RETIREMENT_HELD = "RetirementHeld"
    RETIREMENT_OVERDUE = "RetirementOverdue"


ABNORMAL = frozenset(
    {
        ConditionType.RECONCILING,
        ConditionType.STALLED,
        ConditionType.RETIREMENT_HELD,
        ConditionType.RETIREMENT_OVERDUE,
    }
)
"""Conditions that exist only while they are True."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What should be said about one condition. `status` None means Unknown; `reason` is one CamelCase word."""

    type: ConditionType
    status: bool | None
    reason: str
    message: str


def settle(
    previous: Sequence[Mapping[str, Any]], findings: Sequence[Finding], now: datetime, generation: int
) -> list[dict[str, Any]]:
    """The conditions to write: those of `findings` in the order of `ConditionType`; a type without a finding is left out.

    `lastTransitionTime` moves only when the status of a condition changes. An abnormal condition that is not True is left out.
    `now` must be aware. `previous` are the conditions in the present status.
    """
    before = {condition.get("type"): condition for condition in previous}
    wanted = {finding.type: finding for finding in findings}
    out = []
    for kind in ConditionType:
        finding = wanted.get(kind)
        if finding is None or (kind in ABNORMAL and finding.status is not True):
            continue
        status = _text(finding.status)
        old = before.get(kind.value, {})
        since = old.get("lastTransitionTime") if old.get("status") == status else None
        out.append(
            {
                "type": kind.value,
                "status": status,
                "reason": finding.reason,
                "message": _clip(finding.message),
                "lastTransitionTime": since or format_time(now),
                "observedGeneration": generation,
            }
        )
    return out


def contract(ready: Finding, reconciling: Finding | None = None, stalled: Finding | None = None) -> tuple[Finding, ...]:
    """The three conditions of kstatus, made consistent: what is stalled is neither ready nor in progress.

    The causes of a stall are also those of Ready being False, so that a reader of only one of them learns the cause.
    """
    if stalled is not None and stalled.status is True:
        return Finding(ConditionType.READY, False, stalled.reason, stalled.message), stalled
    if reconciling is not None and reconciling.status is True:
        return ready, reconciling
    return (ready,)


def kstatus(generation: int, status: Mapping[str, Any], *, deleting: bool = False) -> str:
    """What kstatus makes of a status: `Terminating`, `InProgress`, `Failed` or `Current`."""
    conditions = {condition.get("type"): condition.get("status") for condition in status.get("conditions", ())}
    if deleting:
        return "Terminating"
    if "observedGeneration" in status and status["observedGeneration"] != generation:
        return "InProgress"
    if conditions.get("Reconciling") == "True":
        return "InProgress"
    if conditions.get("Stalled") == "True":
        return "Failed"
    if conditions.get("Ready") in {"False", "Unknown"}:
        return "InProgress"
    return "Current"


def find(conditions: Sequence[Mapping[str, Any]], kind: str) -> Mapping[str, Any] | None:
    """The condition of that type, or None."""
    return next((condition for condition in conditions if condition.get("type") == kind), None)


def _text(status: bool | None) -> str:
    return "Unknown" if status is None else str(status)


def _clip(text: str) -> str:
    return text if len(text) <= MAX_MESSAGE else text[: MAX_MESSAGE - 1] + "…"
