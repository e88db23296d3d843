"""What a policy answers: the new memory, and the event that announces it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from solera.plan.memory import Memory, Rejected
from solera.plan.situation import Situation
from solera.plan.types import PlannedEvent


@dataclass(frozen=True, slots=True)
class Decision:
    """A new memory, and what to tell people about it."""

    memory: Memory
    event: PlannedEvent


Policy = Callable[[Situation], Decision | None]


def decided(s: Situation, memory: Memory, reason: str, message: str, kind: str = "Normal") -> Decision:
    """The decision for ``memory``, told in its history and as an event."""
    return Decision(memory.tell(s.now, reason, message), PlannedEvent(kind, reason, message))


def reject(s: Situation, reason: str, message: str) -> Decision:
    """Send the candidate on its way out, and remember not to try this very revision again. A pause ends with its rollout."""
    candidate, rollout = s.memory.candidate, s.memory.rollout
    assert candidate is not None
    version = s.version_of(candidate)
    rejected = Rejected(
        candidate.version, candidate.hash, s.now, message, "" if version is None else version.operational
    )
    others = tuple(r for r in s.memory.rejected if r.hash != candidate.hash)
    memory = replace(
        s.memory,
        candidate=None,
        rollout=None if rollout is None else replace(rollout, paused_at=None, paused_by=None),
        rejected=(*others, rejected),
    )
    return decided(s, memory.drain(candidate, None), reason, message, "Warning")
