"""A recorded rollout decided again with other settings, look by look, by the code that decides live ones.

The recording says what was counted under the weights of that time. The replay keeps them: it tells when the evidence would have spoken, and
nothing of requests that another pace would have brought. Nor does it know of sources that were unreachable: every one counts as read at each
interval's end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from solera.api.defaults import ResolvedRollout, ResolvedStep
from solera.api.errors import InvalidSpec
from solera.api.traffic import OnInconclusive
from solera.plan.gates import Gate, StepEvidence, paused_gate, step_gate
from solera.plan.intent import guardrail_spec
from solera.plan.judging import absolute_only
from solera.plan.ledger import Counter, Ledger, Series, Slice
from solera.plan.recording import Recording
from solera.plan.slices import count_slice
from solera.plan.verdict import GuardrailSpec, GuardrailVerdict, Judgement, conclude, judge, number_of_tests


@dataclass(frozen=True, slots=True)
class ReplayedLook:
    """One interval's end at which something changed. ``step`` is an index, None before the first; ``changed`` names the guardrails with another verdict."""

    at: datetime
    step: int | None
    verdicts: tuple[GuardrailVerdict, ...]
    judgement: Judgement
    gate: Gate | None
    changed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReplayedStep:
    """One step that was begun: from when its requests came, when it was really left, and when it might first have been left here.

    ``left`` is None for the last one; ``open_at`` is None when its gate was shut at every look, ``waits`` is then the last reason.
    """

    index: int
    weight: int
    began: datetime
    left: datetime | None
    open_at: datetime | None
    waits: str | None


@dataclass(frozen=True, slots=True)
class Replay:
    """What would have been decided.

    ``proven_at`` is the first look at which every guardrail passed, ``free_at`` the first at which the rollout might have gone to 100%,
    ``rolled_back_at`` the one at which it would have been rolled back, and ``reason`` why; after that one nothing is looked at, since those
    requests would not have come (``unseen`` intervals). Each is None when it did not come about.
    """

    looks: tuple[ReplayedLook, ...]
    steps: tuple[ReplayedStep, ...]
    last: ReplayedLook
    proven_at: datetime | None
    free_at: datetime | None
    rolled_back_at: datetime | None
    reason: str | None
    unseen: int


def comparable(recording: Recording, wanted: ResolvedRollout) -> tuple[ResolvedRollout, tuple[str, ...]]:
    """The settings by which the recording can be decided, and what had to be left as it was.

    Raises:
        InvalidSpec: they ask for what was not counted.
    """
    if not wanted.guardrails:
        raise InvalidSpec("guardrails", "there is none, so there is nothing to decide by: write one that was recorded")
    known = {g.name: g for g in recording.settings.guardrails}
    counted = {name for _, _, name in recording.measured if name}
    notes = []
    for guardrail in wanted.guardrails:
        path, then = f"guardrails[{guardrail.name}]", known.get(guardrail.name)
        if then is None and guardrail.name not in counted:
            names = ", ".join(sorted({*known, *counted})) or "none"
            raise InvalidSpec(path, f"nothing was counted for it; the recording has {names}")
        if then is None:
            notes.append(
                f"the recording does not say what {guardrail.name} counted: its counts are taken for what it says now"
            )
        elif guardrail.metric is not then.metric:
            words = f"{then.metric.value} was counted, so {guardrail.metric.value} cannot be replayed: keep the metric"
            raise InvalidSpec(f"{path}.metric", words)
        elif guardrail.slower_than != then.slower_than:
            words = "only how many requests were slower than that was counted, so another one cannot be replayed: keep"
            raise InvalidSpec(f"{path}.slowerThan", f"{words} {_seconds(then.slower_than)}")
    if [s.weight for s in wanted.steps] != (weights := [s.weight for s in recording.settings.steps]):
        shown = ", ".join(f"{weight}%" for weight in weights)
        notes.append(
            f"other weights cannot be replayed: the steps are the recorded ones ({shown}), with their conditions"
        )
        wanted = replace(wanted, steps=recording.settings.steps)
    return wanted, tuple(notes)


def _seconds(span: timedelta | None) -> str:
    return "none" if span is None else f"{span.total_seconds():g}s"


def replay(recording: Recording, settings: ResolvedRollout) -> Replay:
    """Decide anew. ``settings`` must be comparable.

    Raises:
        InvalidSpec: the recording holds no interval.
        GuardrailError: a limit or a risk makes no test.
    """
    looks: list[ReplayedLook] = []
    last, evidence = None, None
    proven = free = rolled_back = None
    reason = None
    opened: dict[int, datetime] = {}
    shut: dict[int, str] = {}
    seen = 0
    for look, evidence in _looks(recording, settings):
        seen += 1
        if last is None or look.changed or (look.gate is not None and _essence(look) != _essence(last)):
            looks.append(_in_full(look, evidence, settings))
        last = look
        proven = proven or (look.at if look.judgement.passed else None)
        if look.step is not None and look.gate is not None:
            if look.gate.open:
                opened.setdefault(look.step, look.at)
                free = free or (look.at if _before_all(settings.steps, look.step) else None)
            elif look.step not in opened:
                shut[look.step] = look.gate.message
        if _ends(look, settings):
            rolled_back, reason = look.at, _ends(_in_full(look, evidence, settings), settings)
            break
    if last is None or evidence is None:
        raise InvalidSpec("counts.intervals", "there is none, so there is nothing to replay")
    steps = tuple(
        ReplayedStep(i, settings.steps[i].weight, began, left, opened.get(i), None if i in opened else shut.get(i))
        for i, began, left in spans(recording)
        if i in opened or i in shut
    )
    last = _in_full(last, evidence, settings)
    return Replay(tuple(looks), steps, last, proven, free, rolled_back, reason, len(recording.slices) - seen)


def spans(recording: Recording) -> Iterator[tuple[int, datetime, datetime | None]]:
    """Every step that was begun, as an index: when its requests came first, and when those of the next one did."""
    steps = recording.settings.steps
    began: dict[int, datetime] = {}
    for part in recording.slices:
        if part.step >= 0:
            began.setdefault(min(part.step, len(steps) - 1), part.start)
    order = sorted(began)
    for at, index in enumerate(order):
        yield index, began[index], began[order[at + 1]] if at + 1 < len(order) else None


_Evidence = tuple[Ledger, tuple[GuardrailSpec, ...]]
"""What a look was judged on."""


def _looks(recording: Recording, settings: ResolvedRollout) -> Iterator[tuple[ReplayedLook, _Evidence]]:
    ledger = Ledger(
        recording.rollout_id,
        recording.stable.revision,
        recording.candidate.revision,
        began=recording.began,
        now=recording.began,
        from_zero_after=recording.began,
    )
    since = {index: began for index, began, _ in spans(recording)}
    promoted = next((at for at, event, _ in recording.events if event == "Promoted"), None)
    specs = tuple(guardrail_spec(g) for g in settings.guardrails)
    limits = {spec.name: spec.limit for spec in specs if spec.limit is not None}
    risk = settings.false_rollback / number_of_tests(specs)
    before: dict[str, str] = {}
    last: int | None = None
    seen: set[int | None] = set()
    for part in recording.slices:
        # A source that was read and counted nothing holds the rollout, so it matters from when on it was read.
        known: dict[Series, dict[int, Counter]] = {s: {} for s, step in recording.measured.items() if step <= part.step}
        ledger = replace(ledger, totals=known | dict(ledger.totals))
        if part.start > ledger.now:  # looks at which nothing had happened: an interval of evidence ends by the clock
            ledger = count_slice(ledger, Slice(ledger.now, part.start, part.step, {}), limits, risk)
        ledger = count_slice(ledger, part, limits, risk)
        watching = promoted is not None and part.end > promoted
        asked = absolute_only(specs) if watching else specs
        if not asked:
            return
        verdicts = _judged(asked, ledger, settings, intervals=False)
        now = {v.name: v.verdict for v in verdicts}
        changed = tuple(name for name, verdict in now.items() if before.get(name) != verdict)
        before |= now
        judgement = conclude(verdicts, asked)
        index = None if part.step < 0 else min(part.step, len(settings.steps) - 1)
        gate = None
        if index is not None and index != last and index in seen:  # the candidate lost its pods, or has them again
            since[index] = part.start
        last = index
        seen.add(index)
        if index is not None and not watching:
            gate = _gate(recording, settings.steps, index, since[index], ledger, judgement)
        yield ReplayedLook(part.end, index, verdicts, judgement, gate, changed), (ledger, asked)


def _judged(
    specs: tuple[GuardrailSpec, ...], ledger: Ledger, settings: ResolvedRollout, *, intervals: bool
) -> tuple[GuardrailVerdict, ...]:
    return judge(
        specs,
        ledger,
        false_rollback=settings.false_rollback,
        false_promotion=settings.false_promotion,
        intervals=intervals,
    )


def _in_full(look: ReplayedLook, evidence: _Evidence, settings: ResolvedRollout) -> ReplayedLook:
    """The same look with confidence limits: they cost more than verdicts, so only looks that are shown get them."""
    ledger, specs = evidence
    verdicts = _judged(specs, ledger, settings, intervals=True)
    return replace(look, verdicts=verdicts, judgement=conclude(verdicts, specs))


def _gate(
    recording: Recording,
    steps: Sequence[ResolvedStep],
    index: int,
    since: datetime,
    ledger: Ledger,
    judgement: Judgement,
) -> Gate:
    now, counted = ledger.now, since
    for begin, end in recording.pauses:
        if begin <= now and (end is None or now < end):
            return paused_gate(steps, index, begin, None)
        if end is not None and counted < end <= now:
            counted += end - max(begin, counted)
    approved = index in recording.approvals and (recording.approvals[index] or since) <= now
    here = ledger.requests(ledger.candidate)
    evidence = StepEvidence(here, here + ledger.requests(ledger.stable))
    return step_gate(steps, index, counted, now, approved, evidence, judgement)


def _before_all(steps: Sequence[ResolvedStep], index: int) -> bool:
    """Whether what follows the step is 100%; a plan of one step asks there for the proof, too."""
    return index == max(len(steps) - 2, 0)


def _ends(look: ReplayedLook, settings: ResolvedRollout) -> str | None:
    """Why the candidate would be rolled back at this look."""
    if look.judgement.fail:
        return look.judgement.reason
    if look.gate is not None and look.gate.inconclusive and settings.on_inconclusive is OnInconclusive.ROLL_BACK:
        return look.gate.message
    return None


def _essence(look: ReplayedLook) -> tuple[object, ...]:
    gate = look.gate
    return look.step, None if gate is None else (gate.open, gate.reason), look.judgement.passed
