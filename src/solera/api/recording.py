"""The file that `kubectl solera record` writes: what was counted in one rollout by intervals of time, and the settings it was judged by.

It holds counts, names of versions and of guardrails, and what was decided; no requests, no answers, no names of pods.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from solera.api.base import Date, StatusModel, whole
from solera.api.checks import broken_rules
from solera.api.defaults import ResolvedGuardrail, ResolvedRollout, ResolvedStep, resolve_rollout
from solera.api.errors import FieldError, InvalidSpec
from solera.api.explain import all_in_user_words
from solera.api.metadata import API_VERSION
from solera.api.scalars import format_duration, format_percent
from solera.api.traffic import Rollout

KIND = "RolloutRecording"
SETTINGS = "settings"
"""The field that holds the settings, and the path under which their mistakes are told."""

Text = Annotated[str, Field(min_length=1, max_length=253)]
Row = tuple[Any, ...]
"""Numbers and times of one interval; who reads them checks them, with their path."""


class RecordedObject(StatusModel):
    """The LLMDeployment that was recorded."""

    name: Text
    """Its name."""
    namespace: Text
    """Its namespace."""


class RecordedRevision(StatusModel):
    """One side of the rollout."""

    version: Text
    """Name of the version."""
    revision: Text
    """Name of the revision."""


class RecordedRollout(StatusModel):
    """Which rollout it was."""

    id: Text
    """Identity of the rollout, as in the status of that time."""
    stable: RecordedRevision
    """What carried the traffic."""
    candidate: RecordedRevision
    """What was let in."""
    began: Date
    """Start of the evidence."""
    until: Date
    """The last look whose counts are here."""
    result: Text
    """InProgress, or the event that ended it."""


class RecordedEvent(StatusModel):
    """One decision, request or answer, as the operator told it."""

    at: Date
    """When."""
    event: Text
    """One word."""
    message: str
    """One sentence."""


class Approval(StatusModel):
    """A step that a person let pass."""

    step: Annotated[int, *whole(1, 32)]
    """Which step, from 1."""
    at: Date | None = None
    """When; left out where that is no longer known."""


class PausedSpan(StatusModel):
    """A time in which a person kept the rollout where it was."""

    since: Date
    """Begin."""
    until: Date | None = None
    """End; left out while it goes on."""


class Decided(StatusModel):
    """What was really decided."""

    events: tuple[RecordedEvent, ...] = ()
    """What the history of that time tells of this rollout, the oldest first."""
    approvals: tuple[Approval, ...] = ()
    """Steps that were approved."""
    pauses: tuple[PausedSpan, ...] = ()
    """Pauses, in order."""
    verdicts: tuple[dict[str, Any], ...] = ()
    """The last verdicts, as they stood in the status."""


class Column(StatusModel):
    """One series of counts."""

    source: Text
    """Where the counts come from: gateway, engine or prometheus."""
    arm: Literal["stable", "candidate"]
    """Whose requests."""
    guardrail: str
    """Name of the guardrail; empty for all requests."""
    since_step: Annotated[int, *whole(0, 32)]
    """The first step in which it was measured, also when nothing happened (from 1; 0 before the first)."""


class Counts(StatusModel):
    """What was counted. A row holds two numbers for each column: events, and the bad ones among them."""

    columns: Annotated[tuple[Column, ...], Field(min_length=1)]
    """The series, in the order of the numbers in a row."""
    intervals: tuple[Row, ...]
    """Rows of start, end, step (from 1; 0 before the first), and the numbers; in the order of time."""
    lost: tuple[Row, ...] = ()
    """Rows of step and the numbers: what the totals hold of early intervals that are gone."""


class RolloutRecording(StatusModel):
    """One rollout, to be decided again."""

    api_version: Literal["solera.dev/v1alpha1"]
    """Version of the format."""
    kind: Literal["RolloutRecording"]
    """Kind of the document."""
    metadata: RecordedObject
    """The LLMDeployment."""
    rollout: RecordedRollout
    """The rollout."""
    settings: dict[str, Any]
    """The settings in force, as in spec.rollout, with every default written out."""
    decided: Decided
    """What was really decided."""
    counts: Counts
    """What was counted."""
    notes: tuple[str, ...] = ()
    """What this recording cannot tell, in sentences."""


def is_recording(document: Any) -> bool:
    """Whether a document is a recording, or meant to be one."""
    return isinstance(document, Mapping) and document.get("kind") == KIND


def read_recording(document: Any) -> RolloutRecording:
    """Read a document.

    Raises:
        InvalidSpec: it is of another kind or version, or a field is missing or of the wrong form.
    """
    if not isinstance(document, Mapping):
        raise InvalidSpec(
            "", f"holds no object: write apiVersion {API_VERSION} and kind {KIND}, as kubectl solera record does"
        )
    try:
        return RolloutRecording.model_validate(document, by_alias=True, by_name=False)
    except ValidationError as error:
        raise _first(InvalidSpec(path, words) for path, words in all_in_user_words(error)) from None


def read_settings(raw: Any) -> ResolvedRollout:
    """Settings in the form of spec.rollout, resolved.

    Raises:
        InvalidSpec: they do not fit the schema or break a rule; `path` begins with `settings`.
    """
    problems: list[FieldError] = []
    rollout = None
    try:
        rollout = Rollout.model_validate(raw, by_alias=True, by_name=False)
    except ValidationError as error:
        problems = [InvalidSpec(path, words).under(SETTINGS) for path, words in all_in_user_words(error)]
    known = {problem.path for problem in problems}
    for problem in broken_rules({"spec": {"rollout": raw}}):
        path = SETTINGS + problem.path.removeprefix("spec.rollout")
        problems += [InvalidSpec(path, problem.message)] if path not in known else []
    if rollout is None or problems:
        raise _first(problems)
    return resolve_rollout(rollout)


def _first(problems: Iterable[FieldError]) -> FieldError:
    first, *more = problems
    return InvalidSpec(first.path, f"{first.message} (and {len(more)} more)" if more else first.message)


def spelled_out(rollout: ResolvedRollout) -> dict[str, Any]:
    """The part of spec.rollout that decides, with every default written out; `read_settings` gives the same again."""
    return {
        "steps": [_step(step) for step in rollout.steps],
        "guardrails": [_guardrail(guardrail) for guardrail in rollout.guardrails],
        "risk": {
            "falseRollback": format_percent(rollout.false_rollback, 6),
            "falsePromotion": format_percent(rollout.false_promotion, 6),
        },
        "onInconclusive": rollout.on_inconclusive.value,
    }


def _step(step: ResolvedStep) -> dict[str, Any]:
    out: dict[str, Any] = {"weight": step.weight}
    if step.min_duration < step.max_duration:  # they are equal only where the default of one follows from the other
        out["minDuration"] = format_duration(step.min_duration)
    out |= {"minRequests": step.min_requests, "maxDuration": format_duration(step.max_duration)}
    return out | ({"pause": {"until": "Approved"}} if step.needs_approval else {})


def _guardrail(guardrail: ResolvedGuardrail) -> dict[str, Any]:
    out: dict[str, Any] = {"name": guardrail.name, "metric": guardrail.metric.value}
    if guardrail.limit is not None:
        out["limit"] = format_percent(guardrail.limit, 6)
    if guardrail.slower_than is not None:
        out["slowerThan"] = format_duration(guardrail.slower_than)
    if guardrail.max_ratio is not None:
        compared = {"maxRatio": f"{guardrail.max_ratio:.4f}".rstrip("0").rstrip(".")}
        out["comparedToStable"] = compared | ({"require": "Pass"} if guardrail.require_ratio else {})
    return out | {"action": guardrail.action.value}
