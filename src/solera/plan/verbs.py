"""The answers to what people ask for: promote, abort, pause, resume, retry. Each is bound to one revision, promote to one step, too.

A request is answered once: its text goes to ``last_request`` together with what came of it. One that is late, or asks for what is so
already, is refused in words that say how things stand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from solera.api.scalars import format_duration, format_time
from solera.plan.decision import Decision, decided, reject
from solera.plan.gates import paused_words, step_name
from solera.plan.memory import RevisionRef, Rollout
from solera.plan.requests import LONGEST, REQUEST_ANNOTATION, Request, parse_request, requested_by
from solera.plan.situation import Situation
from solera.plan.target import target_with


def answer_request(s: Situation) -> Decision | None:
    """The answer to the request on the object; None when there is none, or it was answered already."""
    annotations = s.observation.custom_resource["metadata"].get("annotations") or {}
    # Status remembers no more of it, and one that could not be remembered would be answered for ever.
    text = (annotations.get(REQUEST_ANNOTATION) or "")[:LONGEST]
    if not text or text == s.memory.last_request:
        return None
    s = s.with_memory(replace(s.memory, last_request=text))
    request = parse_request(text)
    if request is None:
        message = f"{text!r} is not a request; write <verb>@<candidate hash>/<step>#<nonce> (kubectl solera does)"
        return decided(s, s.memory, "RequestRefused", message, "Warning")
    asked = Asked(s, request, requested_by(annotations, text))
    if request.verb == "retry":
        return _retry(asked)
    candidate, rollout = s.memory.candidate, s.memory.rollout
    if candidate is None or rollout is None or candidate.hash != request.candidate:
        return asked.refuse(f"{request.candidate} is not the candidate: {_instead(s, request.candidate)}")
    return _ANSWERS[request.verb](asked, candidate, rollout)


@dataclass(frozen=True, slots=True)
class Asked:
    """One request in its situation; ``by`` is who wrote it, None if that is not known."""

    s: Situation
    request: Request
    by: str | None

    def refuse(self, why: str) -> Decision:
        """Answer that nothing is done, and why."""
        return decided(self.s, self.s.memory, "RequestRefused", f"{self.request.verb}: {why}", "Warning")

    def signed(self, message: str) -> str:
        """The message with the name of who asked, if that is known."""
        return f"{message}, asked for by {self.by}" if self.by else message


def _promote(asked: Asked, candidate: RevisionRef, rollout: Rollout) -> Decision:
    s = asked.s
    step = 0 if s.progress is None else s.progress.step
    if asked.request.step != step:
        return asked.refuse(f"the rollout is at step {step + 1}, not {asked.request.step + 1}; look again and repeat")
    approved = replace(rollout, approved=tuple(sorted({*rollout.approved, step})))
    message = f"step {step + 1} of {candidate.version} is approved" + (f" by {asked.by}" if asked.by else "")
    if rollout.paused_at is not None:
        message += "; it counts when the rollout goes on, which is paused"
    return decided(s, replace(s.memory, rollout=approved), "Approved", message)


def _abort(asked: Asked, candidate: RevisionRef, _rollout: Rollout) -> Decision:
    return reject(asked.s, "Aborted", f"{candidate.version} was aborted by {asked.by or 'request'}")


def _pause(asked: Asked, candidate: RevisionRef, rollout: Rollout) -> Decision:
    s = asked.s
    if rollout.paused_at is not None:
        return asked.refuse(f"{candidate.version} is {paused_words(rollout.paused_at, rollout.paused_by)} already")
    where = "before its first step"
    if s.progress is not None:
        where = f"at {step_name(s.steps, min(s.progress.step, len(s.steps) - 1))}"
    message = f"{candidate.version} is paused {where}" + (f" by {asked.by}" if asked.by else "")
    paused = replace(rollout, paused_at=s.now, paused_by=asked.by)
    return decided(s, replace(s.memory, rollout=paused), "Paused", message)


def _resume(asked: Asked, candidate: RevisionRef, rollout: Rollout) -> Decision:
    s = asked.s
    if rollout.paused_at is None:
        return asked.refuse(f"the rollout of {candidate.version} is not paused")
    counted = rollout.clock(rollout.started_at if s.progress is None else s.in_force_since(s.progress))
    # What was edited meanwhile has had no time for its evidence yet.
    counted = max(counted, s.counted_since or counted)
    lasted = s.now - max(rollout.paused_at, counted)
    going_on = replace(rollout, paused_at=None, paused_by=None, timed_from=_up(counted + lasted))
    paused_for = timedelta(seconds=int((s.now - rollout.paused_at).total_seconds()))
    message = asked.signed(f"{candidate.version} goes on after a pause of {format_duration(paused_for)}")
    return decided(s, replace(s.memory, rollout=going_on), "Resumed", message)


def _up(at: datetime) -> datetime:
    """The next whole second: status holds no parts of one, and a step is never shortened."""
    return at if not at.microsecond else at.replace(microsecond=0) + timedelta(seconds=1)


def _retry(asked: Asked) -> Decision:
    s, wanted = asked.s, asked.request.candidate
    if s.memory.candidate is not None and s.memory.candidate.hash == wanted:
        return asked.refuse(f"{s.memory.candidate.version} ({wanted}) is being let in already")
    past = next((r for r in s.memory.rejected if r.hash == wanted), None)
    if past is None:
        return asked.refuse(f"{wanted} was not rolled back, so there is nothing to retry: {_instead(s, wanted)}")
    memory = replace(s.memory, rejected=tuple(r for r in s.memory.rejected if r.hash != wanted))
    target = target_with(s.observation, s.intent, memory)
    if target is None or target.hash != wanted:
        asks = f"asks for {target.version} ({target.hash})" if target else "asks for nothing that can serve"
        return asked.refuse(f"the spec {asks} now, not for {past.version} ({wanted}): name it in spec.serve first")
    return decided(s, memory, "Retried", asked.signed(f"{past.version} ({wanted}) is let in anew"))


def _instead(s: Situation, wanted: str) -> str:
    """How things stand, for someone who asked about the revision with the hash ``wanted``."""
    memory = s.memory
    if memory.candidate is not None:
        return f"{memory.candidate.version} ({memory.candidate.hash}) is; look again and repeat"
    leaving = next((d.ref for d in memory.draining if d.ref.hash == wanted), None)
    if leaving is not None:
        how = (
            "is being taken out of the traffic" if leaving.revision in s.live else "has no requests any more and drains"
        )
        return f"{leaving.version} {how}"
    past = next((r for r in memory.rejected if r.hash == wanted), None)
    if past is not None:
        return f"{past.version} was rolled back at {format_time(past.at)}; kubectl solera retry {s.observation.owner.name} tries it again"
    if memory.stable is None:
        return "no rollout is in progress, and nothing serves yet"
    return f"no rollout is in progress, {memory.stable.version} ({memory.stable.hash}) carries the traffic"


_ANSWERS: Mapping[str, Callable[[Asked, RevisionRef, Rollout], Decision]] = {
    "promote": _promote,
    "abort": _abort,
    "pause": _pause,
    "resume": _resume,
}
