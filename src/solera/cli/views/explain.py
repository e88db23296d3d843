"""Why does it (not) move? One sentence and the evidence for it, taken from status alone. Pure.

The operator's own words (`status.rollout.message`, condition messages) are repeated unchanged: there is one text for a decision,
wherever it is read. What is added around them is which version it is about, and what a person can do.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from solera.cli.views import times
from solera.cli.views.reading import Manifest, read
from solera.cli.views.view import Condition, Deployment, Guardrail, Version

FRESH = timedelta(seconds=10)
"""An object younger than this may simply not have been looked at yet."""
SOON = timedelta(days=30)
"""A retirement nearer than this is the first thing to say about an idle LLMDeployment."""

FIND_OPERATOR = "kubectl get pods -A -l app.kubernetes.io/name=solera"

ROLLED_BACK = "RolledBack"
"""Reason of Stalled when the only trouble is that the candidate was rejected: traffic is safe, and may still be moving."""

_NORMAL_TRUE = frozenset({"Ready", "RolloutComplete", "RouteAccepted"})


@dataclass(frozen=True, slots=True)
class Explanation:
    """`cause` is one word for machines, `sentence` the answer, `lines` its evidence, `command` what can be done, if anything."""

    cause: str
    sentence: str
    lines: tuple[str, ...] = ()
    command: str | None = None


def explain(obj: Manifest, now: datetime) -> Explanation:
    """Explain a raw LLMDeployment as it stands at `now` (aware)."""
    d = read(obj)
    cause, sentence, command = _answer(d, now)
    return Explanation(cause, sentence, tuple(_evidence(d, now, sentence)), command)


Answer = tuple[str, str, str | None]


def _answer(d: Deployment, now: datetime) -> Answer:
    if d.deleted_at:
        return "Deleting", f"{d.name} is being deleted, asked for {times.relative(d.deleted_at, now)}.", None
    if d.observed_generation < 0:
        if d.created_at and now - d.created_at < FRESH:
            text = f"The operator has not looked at {d.name} yet, {times.age(d.created_at, now)} old."
            return "NotObserved", text, None
        since = f" in the {times.age(d.created_at, now)} since it was created" if d.created_at else ""
        return "NotObserved", f"The operator has not looked at {d.name}{since}: is the operator running?", FIND_OPERATOR
    if not d.observed:
        last = f"generation {d.generation}, it last saw {d.observed_generation}"
        text = f"The operator has not seen the last change of {d.name} ({last}): is the operator running?"
        return "NotObserved", text, FIND_OPERATOR
    stalled, ready = d.is_true("Stalled"), d.condition("Ready")
    if stalled and stalled.reason != ROLLED_BACK:
        return "Stalled", _said(f"{d.name} is stalled ({stalled.reason})", stalled.message), None
    if d.stable and not stalled and ready and ready.status != "True":
        return "NotReady", _said(f"{d.name} is not ready ({ready.reason})", ready.message), None
    return _rollout(d, now) if d.in_rollout else _at_rest(d, now)


def _rollout(d: Deployment, now: datetime) -> Answer:
    version = d.candidate.version if d.candidate else "the candidate"
    r = d.rollout
    said, reason = (r.message if r else None), (r.reason if r else None)
    weight = f"{d.weight or 0}%"
    command = f"kubectl solera promote {d.name} -n {d.namespace}" if d.waits_for_approval else None
    if d.paused and reason == "Paused":
        ours = f"{version} stays at {weight} until a person lets it go on"
        command = f"kubectl solera resume {d.name} -n {d.namespace}"
    elif d.waits_for_approval and reason == "WaitingForApproval":
        ours = f"{version} stays at {weight} until a person approves it"
    elif d.state == "Held":
        since = f" for {times.age(r.held_since, now)}" if r and r.held_since else ""
        ours = f"{version} is held at {weight}{since} ({reason or 'no reason given'})"
    else:
        ours = {
            "Provisioning": f"{version} gets no requests yet, its pods are being started",
            "Evaluating": f"{version} gets no requests yet, it is being tried out",
            "Promoting": f"{version} is taking over all requests",
        }.get(d.state or "", f"{version} gets {weight} of the requests")
    return reason or d.state or "Rollout", _said(ours, said or d.next), command


def _at_rest(d: Deployment, now: datetime) -> Answer:
    leaving = " and ".join(ref.version for ref in d.draining) or "a revision"
    serves = f"{d.stable.version} carries the requests" if d.stable else "nothing serves"
    stalled, ready = d.is_true("Stalled"), d.condition("Ready")
    if d.state == "RollingBack":
        return "RollingBack", _said(f"{leaving} is being taken out of the traffic", _why_it_leaves(d)), None
    for kind, late in (("RetirementOverdue", "overdue"), ("RetirementHeld", "held")):
        if found := d.is_true(kind):
            return kind, _said(f"A retirement is {late} ({found.reason})", found.message), None
    if stalled:
        past = d.effective_version or "the candidate"
        again = f"kubectl solera retry {d.name} -n {d.namespace}" if d.rejected else None
        return "Rejected", _said(f"{serves}, and {past} is not tried again", stalled.message), again
    if d.stable is None:
        cause = d.state if d.state in {"Provisioning", "Evaluating"} else "NothingServes"
        return cause, _said(f"No version of {d.name} serves", ready.message if ready else d.next), None
    if d.state == "Draining":
        return "Draining", _said(f"{serves}, and {leaving} finishes the requests it has", d.next), None
    if (wanted := d.effective_version or d.serve) != d.stable.version:
        return "Waiting", _said(f"{serves}, and the rollout to {wanted} has not begun", d.next), None
    if (v := _retiring_soon(d, now)) and v.retires_at:
        words = _said(f"{v.name} carries the requests and retires {times.relative(v.retires_at, now)}", d.next)
        return "RetirementUpcoming", words, None
    if d.previous and d.previous.until and d.previous.until > now:
        kept = f"{d.previous.version} is kept warm for another {times.span(d.previous.until - now)}"
        return "Idle", f"Nothing moves: {serves}, {kept}.", None
    return "Idle", f"Nothing moves, and nothing is asked for: {serves}.", None


def _why_it_leaves(d: Deployment) -> str | None:
    """What the operator wrote when it decided so."""
    ends = {"RolledBack", "FellBack", "Aborted", "Withdrawn", "Replaced"}
    return next((e.message for e in reversed(d.history) if e.event in ends), d.next)


def _retiring_soon(d: Deployment, now: datetime) -> Version | None:
    due = [v for v in d.versions if v.weight and v.retires_at and not v.retired_at and v.retires_at - now <= SOON]
    return min(due, key=lambda v: v.retires_at or now, default=None)


def _said(ours: str, theirs: str | None) -> str:
    """Our clause, then the operator's own words, unchanged."""
    return f"{ours}: {theirs}" if theirs else f"{ours}."


def _evidence(d: Deployment, now: datetime, sentence: str) -> Iterator[str]:
    if 0 <= d.observed_generation < d.generation:
        yield "What follows is what it said before that change."
    yield from _condition_lines(d, now, sentence)
    if d.in_rollout:
        yield from _rollout_lines(d, now, sentence)
    for past in d.rejected[-3:]:
        when = f" {times.relative(past.at, now)}" if past.at else ""
        yield f"rejected{when}: {past.version} ({past.hash})" + (
            f": {past.reason}" if past.reason and past.reason not in sentence else ""
        )
    for v in d.versions:
        yield from _version_lines(v, now, sentence)
    if d.next and d.next not in sentence:
        at = f" ({times.relative(d.next_at, now)})" if d.next_at else ""
        yield f"next: {d.next}{at}"
    if d.unanswered_request:
        yield f"request not handled yet: {d.unanswered_request}"


def _condition_lines(d: Deployment, now: datetime, sentence: str) -> Iterator[str]:
    """Conditions that are not as they should be; those with the same cause on one line."""
    causes: dict[tuple[str, str], list[Condition]] = {}
    for c in d.conditions:
        if c.type == "RolloutComplete" and d.in_rollout:
            continue  # that is what a rollout is
        if c.status != "True" if c.type in _NORMAL_TRUE else c.status == "True":
            causes.setdefault((c.reason, c.message), []).append(c)
    for (reason, message), found in causes.items():
        names = ", ".join(f"{c.type}={c.status}" for c in found)
        since = f", since {times.age(found[0].since, now)}" if found[0].since else ""
        # The whole message stands in the sentence already when it is the answer.
        text = f": {message}" if message and message not in sentence else ""
        yield f"condition {names} ({reason}{since}){text}"


def _rollout_lines(d: Deployment, now: datetime, sentence: str) -> Iterator[str]:
    r = d.rollout
    if r is None:
        return
    if d.step_text:
        since = f", since {times.age(r.step_started_at, now)}" if r.step_started_at else ""
        yield f"{d.step_text}{since}"
    if r.message and r.message not in sentence:
        yield f"rollout: {r.message}"
    if d.waits_for_approval:
        yield "approval: this step must be approved by a person, and is not"
    if r.observed_share:
        yield f"share: the candidate got {r.observed_share} of the requests, the route says {d.weight or 0}%"
    if d.harmed_text:
        yield f"budget: {d.harmed_text}"
    for g in d.guardrails:
        yield guardrail_line(g)
    if d.guardrails and r.evidence_at:
        yield f"figures are {times.age(r.evidence_at, now)} old"


def guardrail_line(g: Guardrail) -> str:
    """`guardrail errors: Continue, 0.4% bad (0.1% to 1.3%), limit 1%, 1240 events; pass expected in about 20m`."""
    words = [g.verdict or "no verdict yet"]
    if g.estimate:
        between = f" ({g.low} to {g.high})" if g.low and g.high else ""
        words.append(f"{g.estimate} bad{between}")
    if g.limit:
        words.append(f"limit {g.limit}")
    if g.samples is not None:
        words.append(f"{g.samples} events" + (f" from {g.source}" if g.source else ""))
    tail = "".join(f"; {text}" for text in (g.message or g.reason, g.forecast) if text)
    return f"guardrail {g.name}: {', '.join(words)}{tail}"


def _version_lines(v: Version, now: datetime, sentence: str) -> Iterator[str]:
    if v.retired_at:
        late = f", {v.late_by} late" if v.late_by and v.late_by != "0s" else ""
        yield f"version {v.name}: retired {times.relative(v.retired_at, now)}{late}"
        return
    facts = []
    if v.retires_at:
        verb = "retires" if v.retires_at > now else "should have retired"
        facts.append(f"{verb} {times.relative(v.retires_at, now)} at {times.stamp(v.retires_at)}")
    elif v.deprecated_at:
        facts.append(f"deprecated {times.relative(v.deprecated_at, now)}")
    if v.message and v.message not in sentence:
        facts.append(v.message)
    if facts:
        yield f"version {v.name} ({v.phase or 'no phase yet'}, {v.weight}%): {'; '.join(facts)}"
