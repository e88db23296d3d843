"""The health script under a real Lua 5.1, without any library, as Argo CD runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lupa.lua51 import LuaRuntime

from solera.api.conditions import ConditionType, kstatus
from solera.api.status import State

SCRIPT = Path(__file__).parents[2] / "integrations" / "argocd" / "health.lua"
GENERATION = 4


def condition(kind: str, status: str, reason: str, message: str = "words") -> dict[str, Any]:
    return {"type": kind, "status": status, "reason": reason, "message": message, "observedGeneration": GENERATION}


READY = condition("Ready", "True", "Serving", "v1 carries all traffic")
COMPLETE = condition("RolloutComplete", "True", "Promoted")
UNDER_WAY = condition("RolloutComplete", "False", "MinDuration", "step 1 of 4 (5%) lasts until noon at least")


def status(*conditions: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"observedGeneration": GENERATION, "conditions": list(conditions), "state": "Idle", **fields}


def lua_table(lua: LuaRuntime, value: Any) -> Any:
    if isinstance(value, dict):
        return lua.table_from({key: lua_table(lua, inner) for key, inner in value.items()})
    if isinstance(value, list):
        return lua.table_from([lua_table(lua, inner) for inner in value])
    return value


def health(obj: dict[str, Any]) -> tuple[str, str]:
    lua = LuaRuntime(unpack_returned_tuples=True)
    # Only what gopher-lua's base library gives: a script that needs more would fail in Argo CD.
    lua.execute("os, io, string, table, math, debug, package, require = nil")
    lua.globals().obj = lua_table(lua, obj)
    result = lua.execute(SCRIPT.read_text())
    return result["status"], result["message"]


def deployment(observed: dict[str, Any] | None, **metadata: Any) -> dict[str, Any]:
    obj: dict[str, Any] = {
        "apiVersion": "solera.dev/v1alpha1",
        "kind": "LLMDeployment",
        "metadata": {"name": "chat", "generation": GENERATION, **metadata},
    }
    if observed is not None:
        obj["status"] = observed
    return obj


CASES = {
    "no status at all": (None, "Progressing", "waiting for the operator"),
    "empty status": ({}, "Progressing", "waiting for the operator"),
    "the schema's default": ({"observedGeneration": -1}, "Progressing", "waiting for the operator"),
    "no conditions yet": ({"observedGeneration": GENERATION}, "Progressing", "waiting for the operator"),
    "stale": ({**status(READY, COMPLETE), "observedGeneration": GENERATION - 1}, "Progressing", "waiting"),
    "stale, and stalled before": (
        {**status(condition("Stalled", "True", "InvalidSpec")), "observedGeneration": GENERATION - 1},
        "Progressing",
        "waiting",
    ),
    "serving": (status(READY, COMPLETE), "Healthy", "v1 carries all traffic"),
    "serving, with a date ahead": (
        status(READY, COMPLETE, next="v1 retires at 2027-03-01T00:00:00Z"),
        "Healthy",
        "next: v1 retires at 2027-03-01T00:00:00Z",
    ),
    "first pods start": (
        status(
            condition("Ready", "False", "Provisioning"),
            condition("Reconciling", "True", "Provisioning", "0 of 2 pods of v1 are ready"),
            state="Provisioning",
        ),
        "Progressing",
        "Provisioning: 0 of 2 pods of v1 are ready",
    ),
    "rollout on plan": (
        status(READY, UNDER_WAY, state="Shifting", next="25% to v2 at noon or later"),
        "Healthy",
        "next: 25% to v2 at noon or later",
    ),
    "rolling back right now": (
        status(READY, condition("Reconciling", "True", "RollingBack", "traffic leaves v2"), state="RollingBack"),
        "Progressing",
        "traffic leaves v2",
    ),
    "held for an approval": (
        status(
            READY,
            condition("RolloutComplete", "False", "WaitingForApproval"),
            state="Held",
            rollout={"id": "x", "reason": "WaitingForApproval", "message": "step 3 of 4 (50%) waits for approval"},
            next="100% to v2 after kubectl solera promote chat",
        ),
        "Suspended",
        "step 3 of 4 (50%) waits for approval; next: 100% to v2 after kubectl solera promote chat",
    ),
    "held, with no more words": (status(READY, state="Held"), "Suspended", "the rollout is held"),
    "held, words only in the condition": (status(READY, UNDER_WAY, state="Held"), "Suspended", "step 1 of 4"),
    "rolled back": (
        status(
            condition("Ready", "False", "RolledBack"),
            condition("Stalled", "True", "RolledBack", "v2 is rolled back: errors 3.1% above 1%"),
        ),
        "Degraded",
        "RolledBack: v2 is rolled back: errors 3.1% above 1%",
    ),
    "stalled beats held": (
        status(condition("Stalled", "True", "MetricUnavailable"), READY, state="Held"),
        "Degraded",
        "MetricUnavailable",
    ),
    "nothing answers": (
        status(condition("Ready", "False", "NoReadyEndpoint", "no revision that is routed has a ready endpoint")),
        "Degraded",
        "NoReadyEndpoint",
    ),
    "readiness unknown": (status(condition("Ready", "Unknown", "Unreachable")), "Progressing", "Unreachable"),
    "retired on its date, as asked": (
        status(condition("Ready", "False", "VersionRetired", "requests are refused")),
        "Suspended",
        "requests are refused",
    ),
    "retirement overdue": (
        status(READY, COMPLETE, condition("RetirementOverdue", "True", "SuccessorNotReady", "v1 keeps serving")),
        "Degraded",
        "SuccessorNotReady: v1 keeps serving",
    ),
    "retirement held": (
        status(READY, COMPLETE, condition("RetirementHeld", "True", "Hold", "it keeps serving")),
        "Suspended",
        "Hold: it keeps serving",
    ),
    "an abnormal condition that is over": (
        status(READY, COMPLETE, condition("Stalled", "False", "Fine"), condition("RetirementOverdue", "False", "Fine")),
        "Healthy",
        "v1 carries all traffic",
    ),
    "no message": (
        status({"type": "Ready", "status": "False", "reason": "NameTaken"}),
        "Degraded",
        "NameTaken",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_health(name):
    observed, expected, words = CASES[name]
    found, message = health(deployment(observed))
    assert found == expected
    assert words in message


def test_being_deleted():
    assert health(deployment(status(READY), deletionTimestamp="2026-11-23T00:00:00Z"))[0] == "Progressing"


@pytest.mark.parametrize("state", [state.value for state in State])
def test_every_state_of_a_sound_deployment(state):
    found, _ = health(deployment(status(READY, UNDER_WAY, state=state)))
    assert found == ("Suspended" if state == "Held" else "Healthy")


@pytest.mark.parametrize("kind", ["Stalled", "Reconciling", "RetirementHeld", "RetirementOverdue"])
def test_no_abnormal_condition_is_healthy(kind):
    assert kind in {known.value for known in ConditionType}
    assert health(deployment(status(READY, condition(kind, "True", "Why"))))[0] != "Healthy"


@pytest.mark.parametrize("name", CASES)
def test_agrees_with_kstatus_where_both_speak(name):
    """Flux and Argo CD on the same object: what one calls failed is never fine for the other."""
    observed = CASES[name][0] or {}
    found, _ = health(deployment(observed))
    other = kstatus(GENERATION, observed)
    if other == "Failed":
        assert found == "Degraded"
    if found == "Healthy":
        assert other == "Current"
