"""One LLMDeployment as the command line sees it: plain frozen data. `reading.py` makes it from the raw object."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from solera.plan.requests import LONGEST


@dataclass(frozen=True, slots=True)
class Condition:
    """One Kubernetes condition."""

    type: str
    status: str
    reason: str
    message: str
    since: datetime | None


@dataclass(frozen=True, slots=True)
class Ref:
    """One revision. For one without traffic `since` says since when, for the previous one `until` how long it is kept warm."""

    version: str
    revision: str
    hash: str
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Weight:
    """One backend of the observed route, `weight` in percent."""

    version: str
    revision: str
    weight: int


@dataclass(frozen=True, slots=True)
class Rollout:
    """The rollout in progress. `step` and `approved_steps` count from 0, as in status."""

    id: str
    from_: str | None
    to: str | None
    started_at: datetime | None
    step: int | None
    steps: int | None
    weight: int | None
    step_started_at: datetime | None
    approved_steps: tuple[int, ...]
    reason: str | None
    message: str | None
    observed_share: str | None
    harmed_at_most: int | None
    held_since: datetime | None
    paused_at: datetime | None
    paused_by: str | None
    timed_from: datetime | None  # the step's times run from then on, after a pause
    evidence_at: datetime | None  # when the figures under guardrails were taken


@dataclass(frozen=True, slots=True)
class Guardrail:
    """What the evidence says about one guardrail; shares are texts as the operator wrote them (`0.4%`)."""

    name: str
    metric: str | None
    verdict: str | None
    estimate: str | None
    low: str | None
    high: str | None
    limit: str | None
    samples: int | None
    bad: int | None
    source: str | None
    reason: str | None
    message: str | None
    forecast: str | None


@dataclass(frozen=True, slots=True)
class Version:
    """Where one version stands in its life. `weight` is its share in the observed route, in percent."""

    name: str
    phase: str | None
    weight: int
    uri: str | None
    model_revision: str | None
    deprecated_at: datetime | None
    retires_at: datetime | None
    retired_at: datetime | None
    late_by: str | None
    successor: str | None
    on_retirement: str | None
    message: str | None

    @property
    def has_retired(self) -> bool:
        """Its date has come and gone, whether or not it ever served."""
        return self.retired_at is not None or self.phase == "Retired"


@dataclass(frozen=True, slots=True)
class Rejected:
    """A revision that was rolled back."""

    version: str
    hash: str
    at: datetime | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Promoted:
    """A revision that has carried all traffic here."""

    version: str
    hash: str
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the history."""

    at: datetime | None
    event: str
    message: str


@dataclass(frozen=True, slots=True)
class Deployment:
    """Everything that the verbs show or ask about. Lists in history, rejected and promoted are newest last."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    generation: int
    observed_generation: int
    created_at: datetime | None
    deleted_at: datetime | None
    team: str | None
    contact: str | None
    serve: str | None
    approval_steps: tuple[
        int, ...
    ]  # steps from 0, the rungs of an adaptive rollout among them, with `pause.until: Approved`
    step_weights: tuple[int, ...]
    max_harmed: int | None  # the budget of an adaptive rollout
    conditions: tuple[Condition, ...]
    state: str | None
    model_name: str | None
    effective_version: str | None
    stable: Ref | None
    candidate: Ref | None
    previous: Ref | None
    draining: tuple[Ref, ...]
    weight: int | None
    weights: tuple[Weight, ...]
    next: str | None
    next_at: datetime | None
    rollout: Rollout | None
    guardrails: tuple[Guardrail, ...]
    versions: tuple[Version, ...]
    rejected: tuple[Rejected, ...]
    promoted: tuple[Promoted, ...]
    history: tuple[Event, ...]
    request: str | None
    last_handled_request: str | None

    @property
    def observed(self) -> bool:
        """True when the operator has seen this very generation of the spec."""
        return self.observed_generation >= self.generation

    @property
    def ready(self) -> str:
        """True, False or Unknown; Unknown while the operator has not seen the last change."""
        found = self.condition("Ready")
        return found.status if found and self.observed else "Unknown"

    @property
    def waits_for_approval(self) -> bool:
        """True when the step in force is one that a person must approve, and nobody has yet."""
        r = self.rollout
        if r is None or r.step is None or not self.in_rollout or r.step in r.approved_steps:
            return False
        return r.step in self.approval_steps or r.reason == "WaitingForApproval"

    @property
    def paused(self) -> bool:
        """True while a person keeps the rollout where it is."""
        return self.in_rollout and self.rollout is not None and self.rollout.paused_at is not None

    @property
    def in_rollout(self) -> bool:
        """True from candidate accepted until it is promoted, rejected or withdrawn."""
        return self.candidate is not None

    @property
    def unanswered_request(self) -> str | None:
        """The request that the operator has not answered yet; it reads and remembers no more than LONGEST characters of one."""
        asked = self.request or ""
        return self.request if asked and asked[:LONGEST] != self.last_handled_request else None

    @property
    def step_text(self) -> str | None:
        """`step 2 of 4 (25%)`: steps count from 1 for people."""
        r = self.rollout
        if r is None or r.step is None or not self.in_rollout:
            return None
        of = f" of {r.steps}" if r.steps else ""
        return f"step {r.step + 1}{of}" + (f" ({r.weight}%)" if r.weight is not None else "")

    @property
    def harmed_text(self) -> str | None:
        """`at most 12 of 50 bad requests more than the limits allow`; None unless an adaptive rollout is in progress."""
        if (
            not self.in_rollout
            or self.rollout is None
            or self.rollout.harmed_at_most is None
            or self.max_harmed is None
        ):
            return None
        return (
            f"at most {self.rollout.harmed_at_most} of {self.max_harmed} bad requests more than the limits allow so far"
        )

    def condition(self, kind: str) -> Condition | None:
        """The condition of that type, whatever its status."""
        return next((c for c in self.conditions if c.type == kind), None)

    def is_true(self, kind: str) -> Condition | None:
        """The condition, if it is True."""
        found = self.condition(kind)
        return found if found and found.status == "True" else None
