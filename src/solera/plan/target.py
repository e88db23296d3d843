"""Which version should carry the traffic by the manifest, its dates and what was rolled back, and why none can."""

from __future__ import annotations

from datetime import datetime

from solera.plan.children import cannot_be_rendered
from solera.plan.intent import Intent
from solera.plan.lifecycle import effective_version, may_start, refuses
from solera.plan.memory import Memory, Rejected, RevisionRef
from solera.plan.types import Observation


def effective_of(intent: Intent, memory: Memory, now: datetime) -> str:
    """The version that is asked for at ``now``. Stable serves on when that was rolled back; its own dates still count, and so does its successor."""
    lives, stable = intent.lives, memory.stable
    effective = effective_version(intent.serve, lives, memory, now)
    if stable is None or stable.version not in lives or _rejection(intent, memory, effective) is None:
        return effective
    following = effective_version(stable.version, lives, memory, now)
    if following == stable.version:
        return following if refuses(following, lives[following], memory, now) else effective
    return following if _rejection(intent, memory, following) is None else effective


def target_with(observation: Observation, intent: Intent, memory: Memory) -> RevisionRef | None:
    """The revision that should carry the traffic if ``memory`` were what is remembered; None when none can."""
    return target_of(observation, intent, memory, effective_of(intent, memory, observation.calendar))[0]


def _rejection(intent: Intent, memory: Memory, version: str) -> Rejected | None:
    asked = intent.versions[version]
    return memory.is_rejected(asked.ref.hash, asked.operational)


def target_of(
    observation: Observation, intent: Intent, memory: Memory, effective: str
) -> tuple[RevisionRef | None, tuple[str, str] | None, bool]:
    """The revision of the ``effective`` version; else None with the reason and what to do. The third says that requests are refused."""
    version = intent.versions[effective]
    serves_already = memory.stable is not None and memory.stable.version == effective
    if refuses(effective, version.life, memory, observation.calendar):
        message = f"{effective} has retired and onRetirement is Refuse: requests are refused; set spec.serve to another version"
        return None, ("VersionRetired", message), serves_already or memory.stable is None
    if serves_already or may_start(effective, version.life, memory, observation.calendar):
        if memory.stable is None and (rejected := _rejection(intent, memory, effective)) is not None:
            # Nothing serves that it could be compared with, so nothing would stop it again.
            words = f"{rejected.reason}; change {effective}, name another version in spec.serve, or kubectl solera retry {observation.owner.name}"
            return None, ("RolledBack", words), True
        problem = cannot_be_rendered(observation, intent, version)
        return (version.ref, None, False) if problem is None else (None, problem, False)
    if memory.tombstone(effective) is not None:
        return (
            None,
            ("VersionRetired", f"spec.serve: {effective} has retired; name a version that is still in service"),
            False,
        )
    message = (
        f"spec.serve: retiresAt of {effective} has passed before it ever served; name another version or move its date"
    )
    return None, ("RetirementDatePassed", message), False
