"""What is allowed, but seldom meant: warnings about a valid manifest, each with its field and what to write instead. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from solera.api.llmdeployment import LLMDeployment
from solera.api.scalars import format_duration, format_time
from solera.api.spec import EngineName, Headroom, OnRetirement
from solera.plan.intent import Intent, VersionIntent, read_intent
from solera.plan.lifecycle import effective_version, moves_at
from solera.plan.memory import Memory
from solera.plan.ramp import RUNG_DURATION

SMALL_BUDGET = 50
"""With 20 and many requests, every other version with hardly a bad answer spends them (benchmarks/ramp.py)."""


@dataclass(frozen=True, slots=True)
class Concern:
    """One warning. `rule` is its stable name, by which it can be left out; `blocking` when what is declared will not come about."""

    rule: str
    path: str
    message: str
    blocking: bool = False


@dataclass(frozen=True, slots=True)
class Manifest:
    """A valid manifest, what it asks for, and the moment at which it is looked at.

    `stable` is what carries the traffic, where the manifest is a live object that says so.
    """

    obj: LLMDeployment
    intent: Intent
    at: datetime
    stable: str | None = None

    @property
    def effective(self) -> str:
        """The version that should carry the traffic at that moment."""
        return effective_version(self.intent.serve, self.intent.lives, Memory(), self.at)

    @property
    def running(self) -> str:
        """The version that carries the traffic, as far as the manifest tells."""
        return self.stable if self.stable in self.intent.versions and self.stable else self.effective

    def each(self) -> Iterator[tuple[str, str, VersionIntent]]:
        """Path, name and meaning of every version."""
        for index, (name, version) in enumerate(self.intent.versions.items()):
            yield f"spec.versions[{index}]", name, version


def manifest(obj: LLMDeployment, at: datetime) -> Manifest:
    """Read a valid object at a moment (aware)."""
    stable = obj.status.stable
    return Manifest(obj, read_intent(obj), at, stable.version if stable else None)


def concerns(m: Manifest) -> list[Concern]:
    """Every warning, in the order of the manifest's fields."""
    return [concern for rule in RULES for concern in rule(m)]


def least(m: Manifest) -> timedelta:
    """The least time of all steps together, without start-up and approvals."""
    declared = [step for step in m.intent.steps if not step.rung]
    rungs = [RUNG_DURATION] if len(declared) == 1 and m.intent.max_harmed is not None else []
    return sum((step.min_duration for step in declared), sum(rungs, timedelta()))


def _owner(m: Manifest) -> Iterator[Concern]:
    owner = m.obj.spec.owner
    if owner is None or not (owner.team or owner.contact):
        yield Concern("no-owner", "spec.owner", "nobody is named who answers for this model: write team and contact")


def _dates(m: Manifest) -> Iterator[Concern]:
    for path, name, version in m.each():
        life, at = version.life, f"{path}.lifecycle"
        if life.retires_at is None:
            words = f"{name} has no date on which it retires, so it is kept for ever: write retiresAt, for example a year ahead"
            yield Concern("no-retires-at", f"{at}.retiresAt", words)
            continue
        date = format_time(life.retires_at)
        if life.on_retirement is OnRetirement.HOLD:
            why = "onRetirement is Hold" + ("" if life.successor else ", as it is when no successor is named")
            words = f"{name} keeps serving after {date}: {why}; name a successor, or write onRetirement: Refuse"
            yield Concern("retirement-held", f"{at}.onRetirement", words, blocking=True)
        if m.at >= life.retires_at and name == m.effective:
            words = f"{name} should serve, but its date {date} has passed: it is not started any more; move the date or spec.serve"
            yield Concern("retired-already", f"{at}.retiresAt", words, blocking=True)


def _handovers(m: Manifest) -> Iterator[Concern]:
    for path, name, version in m.each():
        move, life = moves_at(version.life), version.life
        if move is None or life.retires_at is None or life.successor is None or m.at >= life.retires_at:
            continue
        field, successor = f"{path}.lifecycle.migrateBefore", m.intent.versions[life.successor]
        end = successor.life.retires_at
        if end is not None and end <= life.retires_at and moves_at(successor.life) is None:
            words = f"{life.successor} retires at {format_time(end)}, before {name} ({format_time(life.retires_at)}) could hand over to it"
            yield Concern("successor-retires-first", f"{path}.lifecycle.successor", words, blocking=True)
        steps, start = least(m), successor.resolved.startup_timeout
        given = format_duration(life.migrate_before)
        if steps > life.migrate_before:
            words = (
                f"{given} before it retires {name} begins to hand over to {life.successor}, which takes {format_duration(steps)} "
                f"at least for the steps alone: write {format_duration(steps + start)} or more, start-up included"
            )
            yield Concern("too-late-to-hand-over", field, words, blocking=True)
        elif steps + start > life.migrate_before:
            words = (
                f"{given} is enough for the steps ({format_duration(steps)}), but not for a start-up that uses its "
                f"startupTimeout ({format_duration(start)}), too: write {format_duration(steps + start)} or more"
            )
            yield Concern("tight-hand-over", field, words)


def _steps(m: Manifest) -> Iterator[Concern]:
    for index, step in enumerate(step for step in m.intent.steps if not step.rung):
        if step.needs_approval:
            path = f"spec.rollout.steps[{index}].pause.until"
            words = "this step waits for a person without end, dated hand-overs included: somebody must watch for it"
            yield Concern("waits-for-ever", path, words)


def _budget(m: Manifest) -> Iterator[Concern]:
    budget = m.intent.max_harmed
    if budget is None:
        return
    if budget < SMALL_BUDGET:
        words = f"so few may be spent before a version is known to be good, which is then held or rolled back: write {SMALL_BUDGET} or more"
        yield Concern("small-budget", "spec.rollout.risk.maxHarmedRequests", words)
    if not m.intent.roll_back_when_inconclusive:
        words = "a budget that is spent only stops the rise, the candidate keeps its weight: write RollBack to take its requests away"
        yield Concern("budget-only-stops", "spec.rollout.onInconclusive", words)


def _guardrails(m: Manifest) -> Iterator[Concern]:
    path, guardrails = "spec.rollout.guardrails", m.intent.guardrails
    if not guardrails:
        words = "nothing watches a new version, which is let in by time alone: write a guardrail, for example ErrorRate with limit 1%"
        yield Concern("no-guardrails", path, words)
    elif all(g.action == "Observe" for g in guardrails):
        words = "every guardrail only observes, so nothing is ever rolled back: leave action out, or write RollBack"
        yield Concern("only-observed", path, words)
    source = (m.obj.spec.rollout and m.obj.spec.rollout.metrics and m.obj.spec.rollout.metrics.source) or "Direct"
    blind = {v.resolved.engine for v in m.intent.versions.values()} & {EngineName.LLAMA_CPP, EngineName.OPENAI}
    if guardrails and blind and source == "Direct":
        names = " and ".join(sorted(blind))
        words = (
            f"{names} counts no requests itself: the administrator must name a gateway as a source, or guardrails stall"
        )
        yield Concern("engine-does-not-count", path, words)


def _template(m: Manifest) -> Iterator[Concern]:
    """Fields that template and version share: told once, at the template, when it is true of all."""
    rules: Mapping[str, tuple[str, Callable[[VersionIntent], str | None]]] = {
        "image-may-move": ("engine.image", _moving_image),
        "no-engine-version": ("engine.version", _no_engine_version),
        "no-replicas": ("replicas", _no_replicas),
        "restart-takes-all": ("headroom", _restart_takes_all),
        "default-drain": ("drainTimeout", _default_drain),
        "no-cache": ("cache", _no_cache),
    }
    versions = list(m.each())
    for rule, (field, problem) in rules.items():
        found = [(path, problem(version)) for path, _, version in versions]
        texts = {text for _, text in found}
        if len(texts) == 1 and (text := texts.pop()) is not None:
            yield Concern(rule, f"spec.template.{field}", text)
        else:
            yield from (Concern(rule, f"{path}.template.{field}", text) for path, text in found if text is not None)


def _moving_image(v: VersionIntent) -> str | None:
    name = v.resolved.image
    tag = name.rpartition("/")[2].partition(":")[2]
    if "@" in name or (tag and tag != "latest"):
        return None
    return f"{name} may become another program without a rollout: write a tag that stays, or a digest"


def _no_engine_version(v: VersionIntent) -> str | None:
    if v.resolved.engine not in {EngineName.VLLM, EngineName.SGLANG} or v.resolved.engine_version:
        return None
    return f"it decides which flags and metric names {v.resolved.engine} has: write it, in quotes"


def _no_replicas(v: VersionIntent) -> str | None:
    return "with 0 replicas nothing answers: write 1 or more" if v.resolved.replicas == 0 else None


def _restart_takes_all(v: VersionIntent) -> str | None:
    if v.resolved.replicas != 1 or v.resolved.headroom is not Headroom.NONE:
        return None
    return (
        "with one replica and headroom None an operational change takes the only pod away: write Surge, or 2 replicas"
    )


def _default_drain(v: VersionIntent) -> str | None:
    if not v.resolved.gpus or v.resolved.declared.drain_timeout is not None:
        return None
    drain = format_duration(v.resolved.drain_timeout)
    return f"long answers are cut after {drain} when a pod goes: write the time of your longest answer, for example 2m"


def _no_cache(v: VersionIntent) -> str | None:
    if not v.resolved.model.uri.startswith("hf://") or v.resolved.cache is not None:
        return None
    return "every pod downloads the weights anew: write cache.persistentVolumeClaim with a size"


def _traffic(m: Manifest) -> Iterator[Concern]:
    if not m.intent.gateway.hostnames:
        path = "spec.traffic.gateway.hostnames"
        words = "this model takes every host name of its listeners: name those that belong to it"
        yield Concern("all-hostnames", path, words)


RULES: tuple[Callable[[Manifest], Iterator[Concern]], ...] = (
    _owner,
    _template,
    _dates,
    _handovers,
    _traffic,
    _steps,
    _budget,
    _guardrails,
)
NAMES = frozenset(
    {
        *("no-owner", "no-retires-at", "retirement-held", "retired-already", "successor-retires-first"),
        *("too-late-to-hand-over", "tight-hand-over", "waits-for-ever", "no-guardrails", "only-observed"),
        *("engine-does-not-count", "image-may-move", "no-engine-version", "no-replicas", "restart-takes-all"),
        *("small-budget", "budget-only-stops"),
        *("default-drain", "no-cache", "all-hostnames", "hostname-twice", "name-twice"),
    }
)
"""Every rule, those about several manifests together included."""
