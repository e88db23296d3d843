"""What a manifest leads to, without a cluster: rollouts with their steps, dates in order, who serves when, accelerators. Pure.

It reads the same functions that the operator decides by. What only a cluster knows (how long a start takes, how many requests come, what
was promoted before, what the evidence will say) is left open: times are the least that can be.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from solera.api.scalars import format_time
from solera.api.spec import Headroom, OnRetirement
from solera.cli.offline.changes import Change, changes
from solera.cli.offline.concerns import Concern, Manifest, concerns, least
from solera.cli.offline.expecting import expected
from solera.cli.offline.steps import PlannedStep, Proof, adaptive_steps, fixed_steps
from solera.plan.intent import VersionIntent
from solera.plan.lifecycle import effective_version, may_start, moves_at, refuses
from solera.plan.memory import Memory
from solera.plan.power import Asked, Pace, expectations, good_requests
from solera.plan.verdict import number_of_tests

SHARES = (0.5, 2.0)
"""The true shares, in limits, at which it is told when a verdict can be expected."""

MOST_BAD = 200
"""At these shares nearly all verdicts have come when so many bad events are due at the limit."""


@dataclass(frozen=True, slots=True)
class PlannedRollout:
    """One rollout that the manifest leads to. `done` is the earliest end, start-up aside; versions of the same name differ in their revision."""

    at: datetime
    from_: str
    to: str
    new_revision: bool
    done: datetime
    why: str
    accelerators: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Span:
    """Who serves from then on; `version` is None when requests are refused."""

    at: datetime
    version: str | None
    why: str


@dataclass(frozen=True, slots=True)
class Dated:
    """One declared date."""

    at: datetime
    version: str
    event: str
    message: str


@dataclass(frozen=True, slots=True)
class Forecast:
    """Everything that can be said about a manifest at `at`. `changes` is None when there is no earlier manifest to compare with.

    `max_harmed_requests` is None unless the rollout is adaptive; then `steps` are the declared ones, with a rate those that good requests lead through.
    """

    namespace: str
    name: str
    at: datetime
    serve: str
    max_harmed_requests: int | None
    steps: tuple[PlannedStep, ...]
    proof: tuple[Proof, ...]
    least: timedelta
    keep_previous: timedelta
    changes: tuple[Change, ...] | None
    rollouts: tuple[PlannedRollout, ...]
    serving: tuple[Span, ...]
    dates: tuple[Dated, ...]
    accelerators_now: Mapping[str, int]
    accelerators_peak: Mapping[str, int]
    peak: str
    concerns: tuple[Concern, ...]


def forecast(after: Manifest, before: Manifest | None = None, rate: float | None = None) -> Forecast:
    """`before` is what runs at that moment, otherwise this very manifest; `rate` is all requests per second, if it is known."""
    found = changes(before, after) if before else None
    starts = (before or after).intent.versions[(before or after).running]
    spans, rollouts, stuck = _serving(after, before, starts)
    peak, when = _peak(after, starts, rollouts, found or ())
    steps, proof, too_small = _stepped(after, rate)
    blocking = [
        *([too_small] if too_small else []),
        *(c for c in concerns(after) if c.blocking or c.rule in {"tight-hand-over", "waits-for-ever"}),
        *stuck,
    ]
    return Forecast(
        namespace=after.obj.metadata.namespace,
        name=after.obj.metadata.name,
        at=after.at,
        serve=after.intent.serve,
        max_harmed_requests=after.intent.max_harmed,
        steps=steps,
        proof=proof,
        least=sum((step.at_least for step in steps), timedelta()),
        keep_previous=after.intent.keep_previous,
        changes=None if found is None else tuple(found),
        rollouts=tuple(rollouts),
        serving=tuple(spans),
        dates=tuple(sorted(_dates(after), key=lambda dated: (dated.at, dated.version))),
        accelerators_now=need(starts),
        accelerators_peak=peak,
        peak=when,
        concerns=tuple(blocking),
    )


def _stepped(m: Manifest, rate: float | None) -> tuple[tuple[PlannedStep, ...], tuple[Proof, ...], Concern | None]:
    """The steps, what is proven in them, and a warning. An adaptive rollout takes steps by what is proven, and that depends on how fast requests come."""
    if m.intent.max_harmed is None:
        steps = tuple(fixed_steps(m, rate))
        return steps, tuple(_proof(m, steps, rate)), None
    steps, too_small = adaptive_steps(m, tuple(_proof(m, (), None)), rate)
    proof = tuple(_proof(m, steps, rate))
    if rate is not None and too_small is None:
        steps, too_small = adaptive_steps(m, proof, rate)
    return steps, proof, too_small


def _proof(m: Manifest, steps: Sequence[PlannedStep], rate: float | None) -> Iterator[Proof]:
    tests = number_of_tests(m.intent.guardrails)
    pace = None
    if rate and steps:  # the step before 100% lasts until there is proof
        before = steps[: max(len(steps) - 1, 1)]
        pace = Pace(rate, tuple((step.weight / 100, step.at_least) for step in before))
    for guardrail in m.intent.guardrails:
        if guardrail.action == "Observe":
            continue
        if guardrail.limit is None or guardrail.ratio_requires_pass:
            yield Proof(guardrail.name, None)
            continue
        asked = Asked(guardrail.limit, m.intent.false_rollback, m.intent.false_promotion, tests)
        shares = [factor * guardrail.limit for factor in SHARES if factor * guardrail.limit < 1]
        found = expectations(asked, shares, pace, most_bad=MOST_BAD)
        yield Proof(guardrail.name, good_requests(asked, pace), tuple(expected(one) for one in found))


def _serving(
    m: Manifest, before: Manifest | None, current: VersionIntent
) -> tuple[list[Span], list[PlannedRollout], list[Concern]]:
    """Who carries the traffic from when on, if every rollout succeeds in the least time."""
    lives, memory = m.intent.lives, Memory()
    spans = [Span(m.at, current.ref.version, "what runs now" if before else f"spec.serve is {m.intent.serve}")]
    rollouts: list[PlannedRollout] = []
    stuck: list[Concern] = []
    serving: VersionIntent | None = current
    instants = sorted({m.at, *(at for _, at in _instants(m) if at > m.at)})
    for at in instants:
        name = effective_version(m.intent.serve, lives, memory, at)
        wanted = m.intent.versions[name]
        if refuses(name, lives[name], memory, at):
            if serving is not None:
                spans.append(Span(at, None, f"{name} retires, and onRetirement is Refuse"))
            serving = None
            continue
        if serving is not None and serving.ref == wanted.ref:
            continue
        if not may_start(name, lives[name], memory, at):
            path = f"spec.versions[{list(lives).index(name)}].lifecycle.retiresAt"
            words = f"{name} should take over at {format_time(at)}, but has retired by then"
            stuck.append(Concern("successor-retires-first", path, words, blocking=True))
            continue
        why = _why(m, before, serving, name, at)
        if serving is not None:
            done = at + least(m)
            both = _add(need(serving, m), need(wanted))
            same = serving.ref.version == name
            rollouts.append(PlannedRollout(at, serving.ref.version, name, same, done, why, both))
            spans.append(Span(done, name, f"{why}; {format_time(done)} at the earliest, start-up aside"))
        else:
            spans.append(Span(at, name, why))
        serving = wanted
    return spans, rollouts, stuck


def _why(m: Manifest, before: Manifest | None, serving: VersionIntent | None, name: str, at: datetime) -> str:
    if serving is None:
        return f"{name} takes over"
    was = serving.ref.version
    if was == name:
        return f"a new revision of {name}"
    if at == m.at and before is not None and before.intent.serve != m.intent.serve:
        return f"spec.serve is {m.intent.serve}"
    life = m.intent.lives.get(was)
    if life is not None and life.retires_at is not None and moves_at(life) is not None:
        return f"{was} retires at {format_time(life.retires_at)}, {name} is its successor"
    return f"{name} is asked for"


def _instants(m: Manifest) -> Iterator[tuple[str, datetime]]:
    for name, life in m.intent.lives.items():
        for at in (life.deprecated_at, moves_at(life), life.retires_at):
            if at is not None:
                yield name, at


def _dates(m: Manifest) -> Iterator[Dated]:
    for name, life in m.intent.lives.items():
        if life.deprecated_at is not None:
            yield Dated(life.deprecated_at, name, "Deprecated", "its phase is Deprecated from then on")
        move = moves_at(life)
        if move is not None:
            yield Dated(move, name, "HandOver", f"the rollout to {life.successor} starts, if {name} serves then")
        if life.retires_at is not None:
            words = {
                OnRetirement.REDIRECT: f"{life.successor} answers",
                OnRetirement.REFUSE: "requests are refused",
                OnRetirement.HOLD: "keeps serving, and says so (onRetirement: Hold)",
            }[life.on_retirement]
            yield Dated(life.retires_at, name, "Retires", words)


def need(version: VersionIntent, m: Manifest | None = None) -> dict[str, int]:
    """Accelerators of all replicas, by resource name; empty when none is asked for. With `m`, as many replicas as it says."""
    declared = m.intent.versions.get(version.ref.version) if m else None
    number = version.resolved.gpus * (declared or version).resolved.replicas
    return {version.resolved.gpu_resource: number} if number else {}


def _add(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {name: one.get(name, 0) + other.get(name, 0) for name in sorted({*one, *other})}


def _peak(
    m: Manifest, current: VersionIntent, rollouts: Sequence[PlannedRollout], found: Sequence[Change]
) -> tuple[dict[str, int], str]:
    """The most at one time, by resource, and when: in a rollout that is foreseen, else in any that could come."""
    cases = [(dict(r.accelerators), f"while {r.to} is let in next to {r.from_}") for r in rollouts]
    declared = m.intent.versions.get(current.ref.version, current)
    if any(c.effect == "Restart" for c in found) and declared.resolved.headroom is Headroom.SURGE:
        one = {current.resolved.gpu_resource: current.resolved.gpus} if current.resolved.gpus else {}
        cases.append((_add(need(current, m), one), f"while pods of {current.ref.version} start anew"))
    if not cases:
        me = current.ref.version
        beside = {
            n: f"{n} next to {me}" if n != me else f"a new revision of {me} next to it" for n in m.intent.versions
        }
        cases = [
            (_add(need(current, m), need(v)), f"if a rollout lets in {beside[n]}") for n, v in m.intent.versions.items()
        ][::-1]
    return max(cases, key=lambda case: sum(case[0].values()))
