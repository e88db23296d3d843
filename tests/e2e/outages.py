"""What the rows of a bad day ask of a rollout that came through it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from lab import live

from e2e.scene import Scene


def changes(watch: live.Watch, of: Callable[[live.Object | None], object]) -> Iterator[tuple[float, object]]:
    """What was seen of an object, as far as ``of`` it differs from what was seen before: a watch that begins again repeats itself."""
    last = None
    for at, obj in watch.seen:
        if (now := of(obj)) != last:
            last = now
            yield at, now


def told(obj: live.Object | None) -> tuple[str, str]:
    """The state and what the rollout waits for."""
    status = live.status(obj)
    return status.get("state", ""), (status.get("rollout") or {}).get("reason", "")


def timeline(scene: Scene, began: float) -> str:
    """State, reason and weights by the seconds since ``began``."""
    found = [(at, " ".join(map(str, what))) for at, what in changes(scene.resource, told)]
    found += [(at, str(what)) for at, what in changes(scene.route, scene.by_version)]
    return "\n".join(f"{at - began:8.1f} s  {what}" for at, what in sorted(found))


def counted_once(scene: Scene) -> None:
    """No guardrail passed on more requests than the candidate answered: what was counted again would be evidence from nothing."""
    status = scene.status
    until = live.at(status["rollout"]["evidenceAt"])
    answered = sum(1 for r in scene.records() if scene.hashes.get(r.revision) == "v2" and r.sent <= until + 1)
    probes = 5  # the operator's own completions count like any other
    for guardrail in status["guardrails"]:
        assert guardrail["verdict"] == "Pass", guardrail
        assert 0 < guardrail["samples"] <= answered + probes, (answered, guardrail)


def promoted_as_planned(scene: Scene, steps: list[int]) -> None:
    assert scene.steps("v2") == steps
    assert scene.events().count("Promoted") == 1
    assert "RolledBack" not in scene.events()
    counted_once(scene)
