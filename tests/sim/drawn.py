"""What is declared in a life by chance, and how its versions behave."""

from __future__ import annotations

from random import Random
from typing import Any

from sim.traffic import Behaviour


def steps(by: Random) -> list[dict[str, Any]]:
    weights = by.choice([(100,), (50, 100), (5, 25, 50, 100), (10, 30, 60, 100), (1, 2, 90, 100)])
    return [step(by, weight) for weight in weights]


def step(by: Random, weight: int) -> dict[str, Any]:
    out: dict[str, Any] = {
        "weight": weight,
        "minDuration": f"{by.choice([0, 4, 10, 15])}s",
        "minRequests": by.choice([0, 5, 30]),
    }
    if by.random() < 0.15:
        out["pause"] = {"until": "Approved"}
    if by.random() < 0.2:
        out["maxDuration"] = f"{by.choice([30, 90])}s"
    return out


def guardrails(by: Random) -> list[dict[str, Any]]:
    errors: dict[str, Any] = {"name": "errors", "metric": "ErrorRate", "limit": by.choice(["3%", "5%", "10%"])}
    slow = {"name": "slow", "metric": "TimeToFirstToken", "slowerThan": "2.5s", "limit": "10%"}
    errors |= by.choice(
        [{}, {}, {}, {"action": "Hold"}, {"action": "Observe"}, {"comparedToStable": {"maxRatio": "1.5"}}]
    )
    return by.choice([[errors], [errors], [errors, slow], [slow], []])


def adaptive(by: Random) -> dict[str, Any]:
    """What replaces the same fields of a rollout, if it is to be adaptive."""
    limit = by.choice(["3%", "5%", "10%"])
    errors = {"name": "errors", "metric": "ErrorRate", "limit": limit}
    slow = {"name": "slow", "metric": "TimeToFirstToken", "slowerThan": "2.5s", "limit": "10%"}
    return {
        "strategy": "Adaptive",
        "risk": {"maxHarmedRequests": by.choice([5, 30, 30, 300])},
        "steps": by.choice([steps(by), [{"weight": 100, "minDuration": "10s", "minRequests": 5}]]),
        "guardrails": by.choice([[errors], [errors, slow], [{**errors, "action": "Observe"}, slow]]),
    }


def rollout(by: Random) -> dict[str, Any]:
    return {
        "steps": steps(by),
        "guardrails": guardrails(by),
        "keepPrevious": by.choice(["0s", "10s", "60s"]),
        "onInconclusive": by.choice(["Hold", "RollBack"]),
    }


def behaviour(by: Random) -> Behaviour:
    start = by.choice([1, 5, 5, 20])
    kind = by.choice(["good", "good", "good", "bad", "dead", "hung", "flaky", "slow"])
    shares = {"good": {}, "bad": {"errors": 0.5}, "flaky": {"errors": 0.04}, "slow": {"slow": 0.6}}
    return Behaviour(start, kind == "dead", kind == "hung", shares.get(kind, {}))
