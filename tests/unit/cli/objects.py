"""LLMDeployments in every state that the operator reports, as raw objects. `test_cli_objects.py` holds them against the API's models."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta
from typing import Any

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def ago(**span: float) -> str:
    return (NOW - timedelta(**span)).strftime("%Y-%m-%dT%H:%M:%SZ")


def ahead(**span: float) -> str:
    return (NOW + timedelta(**span)).strftime("%Y-%m-%dT%H:%M:%SZ")


V1 = {"version": "v1", "revision": "support-assistant-v1-4f6h2k9q", "hash": "4f6h2k9q"}
V2 = {"version": "v2", "revision": "support-assistant-v2-b7d3m8xz", "hash": "b7d3m8xz"}

SPEC: dict[str, Any] = {
    "owner": {"team": "support-ai", "contact": "support-ai@example.com"},
    "serve": "v2",
    "template": {"engine": {"name": "vLLM", "version": "0.18.1", "image": "vllm/vllm-openai:v0.18.1"}},
    "versions": [
        {
            "name": "v1",
            "model": {"uri": "hf://Qwen/Qwen3-8B", "revision": "9c925d64d72725edaf899c6cb9c377fd0709d9c5"},
            "lifecycle": {
                "deprecatedAt": "2026-12-01T00:00:00Z",
                "retiresAt": "2027-03-01T00:00:00Z",
                "successor": "v2",
                "onRetirement": "Redirect",
            },
        },
        {
            "name": "v2",
            "model": {"uri": "hf://Qwen/Qwen3-14B-AWQ", "revision": "31c69efc29464b6bb0aee1398b5a7b50a99340c3"},
        },
    ],
    "traffic": {"gateway": {"parentRefs": [{"name": "inference", "namespace": "gateways"}]}},
    "rollout": {
        "steps": [{"weight": 5}, {"weight": 25}, {"weight": 50, "pause": {"until": "Approved"}}, {"weight": 100}],
        "guardrails": [
            {"name": "errors", "metric": "ErrorRate", "limit": "1%"},
            {"name": "ttft", "metric": "TimeToFirstToken", "slowerThan": "2.5s", "limit": "5%"},
        ],
    },
}

VERSIONS = [
    {
        "name": "v1",
        "uri": "hf://Qwen/Qwen3-8B",
        "modelRevision": "9c925d64d72725edaf899c6cb9c377fd0709d9c5",
        "phase": "Active",
        "deprecatedAt": "2026-12-01T00:00:00Z",
        "retiresAt": "2027-03-01T00:00:00Z",
    },
    {
        "name": "v2",
        "uri": "hf://Qwen/Qwen3-14B-AWQ",
        "modelRevision": "31c69efc29464b6bb0aee1398b5a7b50a99340c3",
        "phase": "Active",
    },
]

GUARDRAILS = [
    {
        "name": "errors",
        "metric": "ErrorRate",
        "verdict": "Continue",
        "estimate": "0.4%",
        "low": "0.1%",
        "high": "1.3%",
        "limit": "1%",
        "samples": 1240,
        "bad": 5,
        "source": "engine",
        "message": "5 of 1,240 requests bad (0.403%): not shown yet to keep the limit",
        "forecast": "Pass after about 1,400 more requests, about 20 min at the present rate, if the share stays as it is",
    },
    {
        "name": "ttft",
        "metric": "TimeToFirstToken",
        "verdict": "Pass",
        "estimate": "2.1%",
        "low": "1.2%",
        "high": "3.6%",
        "limit": "5%",
        "samples": 1240,
        "bad": 26,
        "source": "engine",
    },
]


def condition(kind: str, status: str, reason: str, message: str = "", since: str | None = None) -> dict[str, Any]:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": since or ago(minutes=30),
        "observedGeneration": 7,
    }


def weights(v1: int, v2: int) -> list[dict[str, Any]]:
    both = [{**V1, "weight": v1}, {**V2, "weight": v2}]
    return [{k: w[k] for k in ("version", "revision", "weight")} for w in both if w["weight"]]


def llmd(status: dict[str, Any] | None = None, *, name: str = "support-assistant", **meta: Any) -> dict[str, Any]:
    """An LLMDeployment of generation 7 with that status; None is what the CRD's default makes of no status."""
    metadata = {
        "name": name,
        "namespace": "ml",
        "uid": "7c0e2f9e-6f0f-4d0e-9d83-0f3f5f4c1a11",
        "resourceVersion": "100",
        "generation": 7,
        "creationTimestamp": ago(days=40),
    }
    return copy.deepcopy(
        {
            "apiVersion": "solera.dev/v1alpha1",
            "kind": "LLMDeployment",
            "metadata": metadata | meta,
            "spec": SPEC,
            "status": {"observedGeneration": -1} if status is None else {"observedGeneration": 7} | status,
        }
    )


def at_rest(**more: Any) -> dict[str, Any]:
    """The status of an LLMDeployment at which nothing moves."""
    return {
        "state": "Idle",
        "modelName": "support-assistant",
        "effectiveVersion": "v2",
        "stable": V2,
        "weight": 0,
        "weights": weights(0, 100),
        "versions": VERSIONS,
        "conditions": [
            condition("Ready", "True", "Serving", "v2 carries all traffic"),
            condition("RolloutComplete", "True", "Promoted", "v2 carries all traffic"),
        ],
    } | more


def rolling(
    state: str, reason: str, message: str, *, step: int | None = 1, weight: int = 25, **more: Any
) -> dict[str, Any]:
    """The status of a rollout from v1 to v2; `rollout` in `more` is merged into the rollout."""
    rollout: dict[str, Any] = {
        "id": "b7d3m8xz-1795430000",
        "from": V1["revision"],
        "to": V2["revision"],
        "startedAt": ago(minutes=42),
        "steps": 4,
        "reason": reason,
        "message": message,
        "evidenceAt": ago(seconds=8),
    }
    if step is not None:
        rollout |= {"step": step, "weight": weight, "stepStartedAt": ago(minutes=12), "observedShare": "24.6%"}
    return {
        "state": state,
        "modelName": "support-assistant",
        "effectiveVersion": "v2",
        "stable": V1,
        "candidate": V2,
        "weight": weight if step is not None else 0,
        "weights": weights(100 - weight, weight) if step is not None else weights(100, 0),
        "next": "50% to v2",
        "rollout": rollout | more.pop("rollout", {}),
        "guardrails": GUARDRAILS if step is not None else [],
        "versions": VERSIONS,
        "conditions": [
            condition("Ready", "True", reason, message),
            condition("RolloutComplete", "False", reason, message),
        ],
        "history": [
            {"at": ago(minutes=42), "event": "RolloutStarted", "message": "v1 → v2 (support-assistant-v2-b7d3m8xz)"}
        ],
    } | more


PAUSED = "step 2 of 4 (25%) is paused since 2026-11-23T11:54:00Z by alice@example.com"


def paused(**more: Any) -> dict[str, Any]:
    more["rollout"] = {
        "heldSince": ago(minutes=6),
        "holdReason": "Paused",
        "pausedAt": ago(minutes=6),
        "pausedBy": "alice@example.com",
    } | more.get("rollout", {})
    return rolling("Held", "Paused", PAUSED, next="50% to v2 after kubectl solera resume support-assistant", **more)


def waiting_for_approval(**more: Any) -> dict[str, Any]:
    more["rollout"] = {
        "heldSince": ago(minutes=3),
        "holdReason": "WaitingForApproval",
        "observedShare": "49.7%",
    } | more.get("rollout", {})
    return rolling(
        "Held",
        "WaitingForApproval",
        "step 3 of 4 (50%) waits for approval",
        step=2,
        weight=50,
        next="100% to v2 after kubectl solera promote support-assistant",
        **more,
    )
