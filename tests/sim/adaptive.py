"""What an adaptive rollout may do, said once more and in another way than the planner does: by the truth of the simulated world."""

from __future__ import annotations

from typing import Any

from solera.api.scalars import parse_percent

Object = dict[str, Any]

RUNGS = (1, 2, 3, 5, 8, 12, 18, 25, 35, 50)
SOON = 16.0
"""Seconds in which nothing can be known yet of what was sent; the planner reckons with more."""


def planned(rollout: Object) -> list[Object]:
    """The steps of a rollout as they were declared, with the rungs between them if it is adaptive."""
    declared = list(rollout.get("steps") or ())
    if rollout.get("strategy") != "Adaptive":
        return declared
    declared = declared or [{"weight": 100, "minDuration": "2m"}]
    taken = {step["weight"] for step in declared}
    rungs = [{"weight": w, "minDuration": "30s", "minRequests": 1, "rung": True} for w in RUNGS if w not in taken]
    return sorted([*declared, *rungs], key=lambda step: step["weight"])


def follows(plan: list[Object], last: int, new: int) -> bool:
    """Whether step ``new`` may come after ``last``: only rungs may be passed over."""
    return last < new and all(step.get("rung") for step in plan[last + 1 : new])


def over_budget(w: Any, name: str, weight: int, rollout: Object) -> str | None:
    """Why a rise to ``weight`` is more than the budget allows by any estimate; None when it is not."""
    if rollout.get("strategy") != "Adaptive":
        return None
    budget = rollout["risk"]["maxHarmedRequests"]
    for guardrail in rollout["guardrails"]:
        if guardrail.get("action", "RollBack") != "RollBack" or "limit" not in guardrail:
            continue
        limit, called = parse_percent(guardrail["limit"]), guardrail["name"]
        seen = [(source, c[called]) for (source, of, _), (_, c) in w.valid.items() if of == name and called in c]
        for source in {source for source, _ in seen} or {""}:
            total = sum(c.total for of, c in seen if of == source)
            bad = sum(c.bad for of, c in seen if of == source)
            if bad - limit * total > budget:
                return f"{bad} of {total} were bad already, {budget} beyond the limit are allowed"
            soon = w.steadily() * weight / 100 * SOON
            if not total and soon * (1 - limit) > 1.2 * budget:
                return f"nothing is known, and {soon:.0f} of the next requests may be bad; {budget} are allowed"
    return None
