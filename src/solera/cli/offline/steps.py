"""The steps that a manifest leads through, without a cluster: as declared, or as an adaptive rollout takes them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from solera.api.defaults import ResolvedStep
from solera.api.scalars import format_duration
from solera.cli.offline.concerns import Concern, Manifest
from solera.cli.offline.expecting import Expected
from solera.plan.ramp import RUNG_DURATION, Ramp, climb_well, onward

MOST_LOOKS = 5000


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """One step. `number` counts from 1, `requests` are the candidate's, `at_least` is the longer of time and requests at the given rate."""

    number: int
    weight: int
    min_duration: timedelta
    requests: int
    approval: bool
    at_least: timedelta


@dataclass(frozen=True, slots=True)
class Proof:
    """How many requests of the candidate a guardrail needs to pass before 100%, if none of them is bad; None: not to be reckoned.

    `expected` is what comes of it at half its limit and at twice its limit; empty where that cannot be reckoned either.
    """

    guardrail: str
    requests: int | None
    expected: tuple[Expected, ...] = ()


def fixed_steps(m: Manifest, rate: float | None) -> Iterator[PlannedStep]:
    """The steps in order; `rate` is all requests per second, if it is known."""
    for number, step in enumerate(m.intent.steps, 1):
        yield _planned(number, step, _counted(step, rate))


def _counted(step: ResolvedStep, rate: float | None) -> timedelta:
    """How long its requests take to come."""
    return timedelta(seconds=round(step.min_requests / (rate * step.weight / 100))) if rate else timedelta()


def _planned(number: int, step: ResolvedStep, counted: timedelta) -> PlannedStep:
    at_least = max(step.min_duration, counted)
    return PlannedStep(number, step.weight, step.min_duration, step.min_requests, step.needs_approval, at_least)


def adaptive_steps(
    m: Manifest, proof: Sequence[Proof], rate: float | None
) -> tuple[tuple[PlannedStep, ...], Concern | None]:
    """With a rate the way that requests without a bad one lead through, else the declared steps, after one rung at least.

    The warning says that at this rate the budget lets nothing begin.
    """
    if rate is not None:
        begin = _climb(m, 0, rate, 0)
        if onward(m.intent.steps, -1, begin, proven=False) is not None:
            return _way(m, proof, rate), None
        return adaptive_steps(m, proof, None)[0], _too_small(begin)
    declared = [step for step in m.intent.steps if not step.rung]
    if len(declared) == 1:
        declared = [next(step for step in m.intent.steps if step.rung), *declared]
    return tuple(_planned(number, step, timedelta()) for number, step in enumerate(declared, 1)), None


def _way(m: Manifest, proof: Sequence[Proof], rate: float) -> tuple[PlannedStep, ...]:
    steps, needed = m.intent.steps, [p.requests for p in proof]
    enough = None if None in needed else max((n for n in needed if n is not None), default=0)
    found: list[tuple[ResolvedStep, timedelta]] = []
    good, to = 0.0, onward(steps, -1, _climb(m, 0, rate, 0), proven=False)
    while to is not None:
        index, step = to, steps[to]
        stay, a_second = max(step.min_duration, _counted(step, rate)), rate * step.weight / 100
        good += stay.total_seconds() * a_second
        to = None
        for _ in range(MOST_LOOKS if index + 1 < len(steps) else 0):
            proven = enough is not None and good >= enough
            to = onward(steps, index, _climb(m, int(good), rate, step.weight), proven=proven)
            if to is not None or (enough is None and steps[index + 1].weight == 100):
                break
            wait = RUNG_DURATION.total_seconds()
            if steps[index + 1].weight == 100 and enough is not None and not proven:
                wait = max((enough - good) / a_second, 1.0)
            stay, good = stay + timedelta(seconds=round(wait)), good + wait * a_second
        found.append((step, stay))
    return tuple(_planned(number, step, stay) for number, (step, stay) in enumerate(found, 1))


def _climb(m: Manifest, good: int, rate: float, weight: int) -> Ramp:
    intent = m.intent
    assert intent.max_harmed is not None
    return climb_well(
        intent.guardrails,
        good,
        rate,
        budget=intent.max_harmed,
        false_promotion=intent.false_promotion,
        weight=weight,
    )


def _too_small(ramp: Ramp) -> Concern:
    known = format_duration(timedelta(seconds=max((c.until_known for c in ramp.counted), default=0.0)))
    words = (
        f"at so many requests 1% of them until bad answers are known ({known}) is more than the budget: the rollout "
        f"would not begin; write {ramp.least} or more"
    )
    return Concern("budget-too-small", "spec.rollout.risk.maxHarmedRequests", words, blocking=True)
