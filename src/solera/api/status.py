"""What the operator writes: a bounded summary. Evidence itself lives in the RolloutRecord (record.py)."""

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from solera.api.base import Message, Reason, StatusModel, Timestamp, newest
from solera.api.errors import InvalidValue
from solera.api.explain import in_user_words
from solera.api.extensions import ATOMIC, map_list

PercentText = Annotated[str, Field(max_length=24)]
RevisionName = Annotated[str, Field(min_length=1, max_length=63)]
Hash = Annotated[str, Field(min_length=1, max_length=64)]
Name = Annotated[str, Field(min_length=1, max_length=63)]
Percent = Annotated[int, Field(ge=0, le=100)]
StepNumber = Annotated[int, Field(ge=0, le=64)]
Count = Annotated[int, Field(ge=0, le=9_007_199_254_740_991)]


class State(StrEnum):
    """Where the rollout stands; recomputed from what is observed, never advanced by an event."""

    IDLE = "Idle"
    PROVISIONING = "Provisioning"
    EVALUATING = "Evaluating"
    SHIFTING = "Shifting"
    HELD = "Held"
    PROMOTING = "Promoting"
    DRAINING = "Draining"
    ROLLING_BACK = "RollingBack"


class Phase(StrEnum):
    """Where a version stands in its life."""

    ACTIVE = "Active"
    DEPRECATED = "Deprecated"
    CLOSED_TO_NEW = "ClosedToNew"
    RETIRING = "Retiring"
    RETIRED = "Retired"


class Verdict(StrEnum):
    """What the evidence for one guardrail says."""

    PASS = "Pass"  # noqa: S105 - a verdict, not a password
    FAIL = "Fail"
    CONTINUE = "Continue"
    NO_DATA = "NoData"
    SHARED_INCIDENT = "SharedIncident"


class Condition(StatusModel):
    """A Kubernetes condition."""

    type: Annotated[str, Field(min_length=1, max_length=64)]
    """Name of the condition."""
    status: Literal["True", "False", "Unknown"]
    """True, False or Unknown."""
    reason: Reason
    """One word that says why, for machines."""
    message: Message = ""
    """One sentence that says why, for people."""
    last_transition_time: Timestamp
    """When status changed last."""
    observed_generation: Annotated[int, Field(ge=0, json_schema_extra={"format": "int64"})] | None = None
    """Generation of the spec that the condition speaks of."""


class RevisionRef(StatusModel):
    """A revision and its version."""

    version: Name
    """Name of the version."""
    revision: RevisionName
    """Name of the revision and of its objects."""
    hash: Hash
    """Hash of what can change an answer."""


class PreviousRef(RevisionRef):
    """The revision that carried the traffic before and is kept warm."""

    since: Timestamp | None = None
    """Since when it gets no traffic."""
    until: Timestamp | None = None
    """Until when it is kept."""


class DrainingRef(RevisionRef):
    """A revision on its way out of service."""

    since: Timestamp | None = None
    """Since when the route gives it no traffic; absent while it still gets some."""


class WeightStatus(StatusModel):
    """One backend of the observed route."""

    version: Name
    """Name of the version."""
    revision: RevisionName
    """Name of the revision."""
    weight: Percent
    """Weight that the route carries, in percent."""


class RolloutStatus(StatusModel):
    """The rollout in progress, or the last one."""

    id: Annotated[str, Field(min_length=1, max_length=64)]
    """Identity of this rollout; its evidence is kept under it."""
    from_: Annotated[RevisionName | None, Field(alias="from")] = None
    """Revision that carried the traffic when it began."""
    to: RevisionName | None = None
    """Revision being let in."""
    started_at: Timestamp | None = None
    """When it began."""
    step: StepNumber | None = None
    """Number of the current step, from 0."""
    steps: StepNumber | None = None
    """How many steps there are."""
    weight: Percent | None = None
    """Weight that the current step plans, in percent."""
    step_started_at: Timestamp | None = None
    """When the route took over the weight of the current step."""
    approved_steps: Annotated[tuple[StepNumber, ...], Field(max_length=64), ATOMIC] | None = None
    """Steps that a person has approved."""
    reason: Reason | None = None
    """One word that says what it waits for or how it ended."""
    message: Message | None = None
    """One sentence that says what it waits for or how it ended."""
    harmed_at_most: Count | None = None
    """With Adaptive: how many bad requests more than the limits allow it has caused at most, as far as can be told."""
    observed_share: PercentText | None = None
    """Share of the requests that the candidate really got in the step."""
    held_since: Timestamp | None = None
    """Since when it holds."""
    hold_reason: Reason | None = None
    """One word that says why it holds."""
    paused_at: Timestamp | None = None
    """When a person paused it; absent while it goes on."""
    paused_by: Annotated[str, Field(max_length=256)] | None = None
    """Who paused it, if that is known."""
    timed_from: Timestamp | None = None
    """From when the times of what is waited for count, if they did not run meanwhile: a pause, no node for the pods, ready pods that were held back."""
    evidence_at: Timestamp | None = None
    """When the figures under guardrails were taken."""


class GuardrailStatus(StatusModel):
    """What the evidence says about one guardrail."""

    name: Name
    """Name of the guardrail."""
    metric: Annotated[str, Field(max_length=32)] | None = None
    """What it counts."""
    verdict: Verdict | None = None
    """Pass, Fail, Continue (not decided yet), NoData, or SharedIncident (stable breaks the limit too)."""
    estimate: PercentText | None = None
    """Share of bad events seen."""
    low: PercentText | None = None
    """Lower end of the confidence interval, valid at every look."""
    high: PercentText | None = None
    """Upper end of the confidence interval, valid at every look."""
    limit: PercentText | None = None
    """The limit it is held against."""
    samples: Count | None = None
    """Events seen."""
    bad: Count | None = None
    """Bad events seen."""
    source: Annotated[str, Field(max_length=128)] | None = None
    """Where the numbers come from."""
    reason: Reason | None = None
    """One word that explains the verdict."""
    message: Message | None = None
    """One sentence that explains the verdict."""
    forecast: Message | None = None
    """When a verdict can be expected at the present rate of requests."""


class VersionStatus(StatusModel):
    """Where one version stands in its life. It stays after the version left the spec, so that its name is not reused."""

    name: Name
    """Name of the version."""
    uri: Annotated[str, Field(max_length=512)] | None = None
    """Model that was published under this name."""
    model_revision: Annotated[str, Field(max_length=64)] | None = None
    """Revision of the model that was published under this name."""
    phase: Phase | None = None
    """Where it stands."""
    deprecated_at: Timestamp | None = None
    """Declared date of deprecation."""
    retires_at: Timestamp | None = None
    """Declared date of retirement."""
    retired_at: Timestamp | None = None
    """When it was really taken out of service."""
    late_by: Annotated[str, Field(max_length=32)] | None = None
    """How long after retiresAt that was."""
    drained_since: Timestamp | None = None
    """Since when the route gives it no requests."""
    message: Message | None = None
    """What happens to it next, or what stands in the way."""


class PastRevision(StatusModel):
    """A revision that was decided about earlier."""

    version: Name
    """Name of the version."""
    hash: Hash
    """Hash of the revision."""
    at: Timestamp
    """When it was decided."""


class RejectedRevision(PastRevision):
    """A revision that was rolled back. It is not tried again until somebody asks for it."""

    reason: Message | None = None
    """Why it was rolled back."""
    operational: Hash | None = None
    """Hash of its operational fields then: after a change of these it is tried again."""


class HistoryEntry(StatusModel):
    """One thing that happened."""

    at: Timestamp
    """When."""
    event: Reason
    """What, in one word."""
    message: Message = ""
    """What, in one sentence."""


class LLMDeploymentStatus(StatusModel):
    """What the operator observed, decided and is going to do."""

    observed_generation: Annotated[int, Field(ge=-1, json_schema_extra={"format": "int64"})] | None = None
    """Generation of the spec that this status speaks of; -1 until the operator has seen the object."""
    conditions: Annotated[tuple[Condition, ...], Field(max_length=16), map_list("type")] | None = None
    """Ready, Reconciling and Stalled (kstatus), RolloutComplete, RouteAccepted, RetirementHeld, RetirementOverdue."""
    state: State | None = None
    """Where the rollout stands."""
    model_name: Annotated[str, Field(max_length=128)] | None = None
    """Name under which the model is asked for."""
    effective_version: Name | None = None
    """Version that should carry the traffic: serve, followed along successors from migrateBefore on."""
    stable: RevisionRef | None = None
    """Revision that carries the traffic."""
    candidate: RevisionRef | None = None
    """Revision being let in."""
    previous: PreviousRef | None = None
    """Revision kept warm after a promotion."""
    draining: Annotated[tuple[DrainingRef, ...], Field(max_length=32), ATOMIC] | None = None
    """Revisions on their way out of service."""
    weight: Percent | None = None
    """Weight of the candidate in the observed route, in percent."""
    weights: Annotated[tuple[WeightStatus, ...], Field(max_length=8), map_list("revision")] | None = None
    """All weights in the observed route."""
    next: Message | None = None
    """What happens next, and when."""
    next_at: Timestamp | None = None
    """When the next thing happens, if that is known."""
    rollout: RolloutStatus | None = None
    """The rollout in progress, or the last one."""
    guardrails: Annotated[tuple[GuardrailStatus, ...], Field(max_length=16), map_list("name")] | None = None
    """What the evidence says about each guardrail."""
    versions: Annotated[tuple[VersionStatus, ...], Field(max_length=128), map_list("name")] | None = None
    """The life of each version, also of those that left the spec."""
    rejected: Annotated[tuple[RejectedRevision, ...], Field(max_length=32), ATOMIC, newest(32)] | None = None
    """Revisions that were rolled back, newest last."""
    promoted: Annotated[tuple[PastRevision, ...], Field(max_length=32), ATOMIC, newest(32)] | None = None
    """Revisions that were promoted here before, newest last."""
    last_handled_request: Annotated[str, Field(max_length=256)] | None = None
    """Value of the annotation solera.dev/request that was handled last."""
    history: Annotated[tuple[HistoryEntry, ...], Field(max_length=20), ATOMIC, newest(20)] | None = None
    """What happened, newest last."""


def fit_status(raw: dict[str, Any]) -> dict[str, Any]:
    """The same status with texts and growing lists cut to the bounds of the schema.

    An apiserver refuses a whole status for one long text, and would do so at every attempt. What the schema does not know is left
    out, as the apiserver would.

    Raises:
        InvalidValue: something else does not fit, for example a reason that is not one CamelCase word.
    """
    try:
        return LLMDeploymentStatus.model_validate(raw).dump()
    except ValidationError as error:
        path, message = in_user_words(error)
        raise InvalidValue(f"status.{path}", message) from None
