"""What users write about traffic and about rollouts."""

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field

from solera.api import rules as cel
from solera.api.base import (
    Duration,
    Label,
    Limit,
    ObjectName,
    PositiveDuration,
    Ratio,
    RiskShare,
    SpecModel,
    text,
    whole,
)
from solera.api.extensions import ATOMIC, bounded_string, map_list, rules

SAY_HOSTNAME = "write a host name in lower-case letters, for example chat.example.com or *.example.com"
SAY_SOURCE = "write Direct, or the name of a source that the administrator declared; an address is never written here"

HOSTNAME = "^([*][.])?[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"


class ParentRef(SpecModel):
    """A Gateway that carries the traffic."""

    name: ObjectName
    """Name of the Gateway."""
    namespace: Label | None = None
    """Its namespace; this one when left out."""
    section_name: ObjectName | None = None
    """One listener of the Gateway; all that fit when left out."""
    port: Annotated[int, *whole(1, 65535)] | None = None
    """One port of the Gateway; all that fit when left out."""


class GatewayTraffic(SpecModel):
    """The route that Solera writes (an HTTPRoute with the name of this object)."""

    parent_refs: Annotated[tuple[ParentRef, ...], Field(min_length=1, max_length=8), ATOMIC]
    """Gateways that carry the traffic."""
    hostnames: (
        Annotated[
            tuple[Annotated[str, *text(253, HOSTNAME, SAY_HOSTNAME), cel.NOT_AN_ADDRESS], ...],
            Field(max_length=16),
            ATOMIC,
        ]
        | None
    ) = None
    """Host names that belong to this model; all of the listener when left out."""


class Traffic(SpecModel):
    """How requests reach the model."""

    gateway: GatewayTraffic
    """Through a Gateway of the Gateway API."""


class Metric(StrEnum):
    """What a guardrail counts as a bad event."""

    ERROR_RATE = "ErrorRate"
    TIME_TO_FIRST_TOKEN = "TimeToFirstToken"  # noqa: S105 - of a text, not a password
    REQUEST_LATENCY = "RequestLatency"


class Action(StrEnum):
    """What follows when a guardrail fails."""

    OBSERVE = "Observe"
    HOLD = "Hold"
    ROLL_BACK = "RollBack"


class Strategy(StrEnum):
    """How the weight of a candidate rises."""

    STEPS = "Steps"
    ADAPTIVE = "Adaptive"


class OnInconclusive(StrEnum):
    """What follows when a step's time is over and the evidence still shows nothing."""

    HOLD = "Hold"
    ROLL_BACK = "RollBack"


class Require(StrEnum):
    """What the comparison to stable must show."""

    PASS = "Pass"  # noqa: S105 - a verdict, not a password


class Pause(SpecModel):
    """A wait before leaving the step."""

    until: Annotated[str, cel.PAUSE_UNTIL_CHECK, bounded_string(24, cel.PAUSE_UNTIL)]
    """Approved: a person must promote. A duration, for example 30m: wait at least so long."""


class Step(SpecModel):
    """One planned weight and the conditions to leave it."""

    model_config = ConfigDict(json_schema_extra=rules(cel.STEP_TIMES))

    weight: Annotated[int, *whole(1, 100)]
    """Share of the requests that the candidate gets, in percent."""
    min_duration: Duration | None = None
    """Least time at this weight; 2m when left out."""
    min_requests: Annotated[int, *whole(0, 1_000_000_000)] | None = None
    """Least number of the candidate's requests at this weight; 20 when left out."""
    max_duration: PositiveDuration | None = None
    """After this time without a verdict onInconclusive applies; 2h more than its least time when left out. An approval may take longer."""
    pause: Pause | None = None
    """A wait before leaving the step."""


class ComparedToStable(SpecModel):
    """A bound relative to the stable version in the same intervals."""

    max_ratio: Ratio
    """How many times stable's share of bad events the candidate's may be, in quotes, above 1, for example "1.25"."""
    require: Require | None = None
    """Pass: it must be shown to be kept, which needs hundreds of bad events. Left out: it can only fail or hold."""


class Guardrail(SpecModel):
    """One condition on live metrics: a bound on the share of bad events in all events."""

    model_config = ConfigDict(json_schema_extra=rules(cel.SLOWER_THAN, cel.GUARDRAIL_NEEDS_A_BOUND))

    name: Label
    """Name of the guardrail."""
    metric: Metric
    """What a bad event is: a failed request (ErrorRate), or one slower than slowerThan to the first token or to the end."""
    limit: Limit | None = None
    """Largest acceptable share of bad events, for example 1%."""
    slower_than: PositiveDuration | None = None
    """From which time on an answer is bad: a bound of the buckets of the source's histogram. Required for every metric but ErrorRate."""
    compared_to_stable: ComparedToStable | None = None
    """A bound relative to the stable version."""
    action: Action | None = None
    """What follows when it fails; RollBack when left out."""


class Risk(SpecModel):
    """How often a rollout may decide wrongly, over all looks together."""

    false_rollback: RiskShare | None = None
    """Chance to roll back a good candidate; 5% when left out."""
    false_promotion: RiskShare | None = None
    """Chance to promote a candidate that breaks a limit; 5% when left out."""
    max_harmed_requests: Annotated[int, *whole(1, 1_000_000)] | None = None
    """For Adaptive: how many bad requests more than the limits allow a rollout may be expected to cause."""


class Metrics(SpecModel):
    """Where the evidence comes from."""

    source: Annotated[str, *text(63, "^(Direct|[a-z0-9]([-a-z0-9]*[a-z0-9])?)$", SAY_SOURCE)] | None = None
    """Direct (default): the pods' own counters. Otherwise the name of a source that the administrator declared."""


class Rollout(SpecModel):
    """How a candidate is let in."""

    model_config = ConfigDict(
        json_schema_extra=rules(cel.ADAPTIVE_NEEDS_A_BUDGET, cel.BUDGET_NEEDS_ADAPTIVE, cel.ADAPTIVE_NEEDS_A_LIMIT)
    )

    strategy: Strategy | None = None
    """Steps (default): from step to step. Adaptive: as fast as risk.maxHarmedRequests allows; it passes over no step."""
    steps: (
        Annotated[
            tuple[Step, ...], Field(min_length=1, max_length=32), ATOMIC, cel.WEIGHTS_RISE, cel.LAST_WEIGHT_IS_100
        ]
        | None
    ) = None
    """Weights in order; the last is 100. Left out: 5, 25, 50, 100; with Adaptive 100 alone."""
    guardrails: Annotated[tuple[Guardrail, ...], Field(max_length=16), map_list("name")] | None = None
    """Conditions that every candidate must keep."""
    risk: Risk | None = None
    """How often a rollout may decide wrongly."""
    on_inconclusive: OnInconclusive | None = None
    """What follows when a step's maxDuration is over without a verdict; Hold when left out."""
    keep_previous: Duration | None = None
    """How long the old revision stays warm after promotion; 10m when left out, 0s where GPUs are scarce."""
    metrics: Metrics | None = None
    """Where the evidence comes from."""
