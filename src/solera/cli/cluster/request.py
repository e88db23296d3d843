"""The verbs that change a rollout: a request annotation that the operator answers.

The annotation is `solera.dev/request: <verb>@<hash>/<step>#<nonce>`. Hash and step come from the status that the person has seen, so
that a click that comes late can never promote something newer; the nonce lets a second click count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import click

from solera.cli.cluster.client import Client, Object
from solera.cli.errors import Conflict, NothingToDo, Unreachable
from solera.cli.views import times
from solera.cli.views.reading import read
from solera.cli.views.view import Deployment, Event, Rejected
from solera.plan import requests
from solera.plan.requests import REQUEST_ANNOTATION, REQUESTED_BY_ANNOTATION

POLL_SECONDS = 0.5
WRITE_TRIES = 5

_ANSWERS = frozenset({"RequestRefused", "Approved", "Aborted", "Paused", "Resumed", "Retried"})


class Verb(StrEnum):
    """What a person may ask of a rollout."""

    PROMOTE = "promote"
    ABORT = "abort"
    PAUSE = "pause"
    RESUME = "resume"
    RETRY = "retry"


@dataclass(frozen=True, slots=True)
class Request:
    """One request about the revision `version` with that hash. `step` counts from 0; 0 as well before the first step is in force."""

    verb: Verb
    version: str
    hash: str
    step: int
    nonce: str

    def __str__(self) -> str:
        return requests.Request(self.verb, self.hash, self.step, self.nonce).to_annotation()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it. `accepted` is None as long as the operator has not answered."""

    request: Request
    handled: bool
    accepted: bool | None
    message: str


def promote(d: Deployment, step: int | None, nonce: str, candidate: str | None = None) -> Request:
    """The approval of the step in force. `step` (from 1, as people count) and `candidate` (a hash) must be those in force when they are given.

    Raises:
        NothingToDo: no rollout, another step or candidate, or nothing in it waits for an approval.
        click.UsageError: there is no such step.
    """
    request = _about_candidate(d, Verb.PROMOTE, nonce)
    version, r = request.version, d.rollout
    if candidate is not None and candidate != request.hash:
        raise NothingToDo(f"--candidate {candidate}: the candidate is {version} ({request.hash})")
    if step is not None and r and r.steps and not 1 <= step <= r.steps:
        raise click.UsageError(f"--step {step}: this rollout has the steps 1 to {r.steps}")
    if r is None or r.step is None:
        raise NothingToDo(f"{version} gets no requests yet ({d.state}): no step waits for approval")
    if step is not None and step != r.step + 1:
        raise NothingToDo(f"--step {step}: not in force, {version} is at {d.step_text}")
    if r.step in r.approved_steps:
        raise NothingToDo(f"{d.step_text} of {version} is approved already")
    if not d.waits_for_approval:
        waits = f": {r.message}" if r.message else ""
        raise NothingToDo(f"{d.step_text} of {version} needs no approval, it goes on by itself{waits}")
    return request


def abort(d: Deployment, nonce: str) -> Request:
    """The request to roll the candidate back.

    Raises:
        NothingToDo: no rollout, or its candidate has been rejected already.
    """
    return _about_candidate(d, Verb.ABORT, nonce)


def pause(d: Deployment, nonce: str) -> Request:
    """The request to keep the rollout where it is.

    Raises:
        NothingToDo: no rollout, or it is paused already.
    """
    request = _about_candidate(d, Verb.PAUSE, nonce)
    if d.paused and d.rollout and d.rollout.paused_at:
        by = f" by {d.rollout.paused_by}" if d.rollout.paused_by else ""
        raise NothingToDo(f"{request.version} is paused already, since {times.stamp(d.rollout.paused_at)}{by}")
    return request


def resume(d: Deployment, nonce: str) -> Request:
    """The request to let a paused rollout go on.

    Raises:
        NothingToDo: no rollout, or it is not paused.
    """
    request = _about_candidate(d, Verb.RESUME, nonce)
    if not d.paused:
        raise NothingToDo(f"the rollout of {request.version} is not paused")
    return request


def retry(d: Deployment, nonce: str) -> Request:
    """The request to let in anew what was rolled back and is still asked for.

    Raises:
        NothingToDo: nothing was rolled back, the spec asks for something else, or a rollout is in progress.
    """
    if d.candidate:
        raise NothingToDo(f"a rollout of {d.name} is in progress: {d.candidate.version} is at {d.step_text or d.state}")
    if not d.rejected:
        raise NothingToDo(f"nothing to retry: no revision of {d.name} was rolled back")
    past = _wanted(d)
    if past is None:
        gone = d.rejected[-1].version
        raise NothingToDo(
            f"{gone} was rolled back, but spec.serve asks for {d.serve}: name {gone} there to try it again"
        )
    return Request(Verb.RETRY, past.version, past.hash, 0, nonce)


def _wanted(d: Deployment) -> Rejected | None:
    """The rejected revision that the spec asks for: the one of which the operator says so, else the newest of that version."""
    stalled = d.is_true("Stalled")
    newest = d.rejected[::-1]
    named = [p for p in newest if stalled and stalled.reason == "RolledBack" and p.reason == stalled.message]
    return next(iter([*named, *(p for p in newest if p.version in {d.serve, d.effective_version})]), None)


def _about_candidate(d: Deployment, verb: Verb, nonce: str) -> Request:
    if d.observed_generation < 0:
        raise NothingToDo(f"the operator has not looked at {d.name} yet: no rollout is in progress")
    if d.candidate is None:
        carries = f": {d.stable.version} carries the requests" if d.stable else ": nothing serves yet"
        if d.state == "RollingBack" and d.draining:
            carries = f": {d.draining[0].version} is being rolled back already"
        raise NothingToDo(f"no rollout of {d.name} is in progress{carries}")
    return Request(verb, d.candidate.version, d.candidate.hash, _step(d), nonce)


def _step(d: Deployment) -> int:
    return (d.rollout.step if d.rollout else None) or 0


def write(client: Client, obj: Object, request: Request, sleep: Callable[[float], None]) -> Object:
    """Put the request on the object that was read, signed if it is known by whom; return the object as it was just before.

    Status is written often during a rollout, so a conflict is tried again, but only as long as what is asked still fits.

    Raises:
        Conflict: it does not, another request waits for its answer, or the object is written without pause.
        Refused, NotFound, Unreachable: see `client`.
    """
    _must_not_replace(read(obj), request)
    uid, me = obj["metadata"].get("uid"), client.who_am_i()
    annotations = {REQUEST_ANNOTATION: str(request)} | ({REQUESTED_BY_ANNOTATION: f"{request} {me}"} if me else {})
    for left in reversed(range(WRITE_TRIES)):
        try:
            client.annotate(obj, annotations)
        except Conflict:
            if not left:
                raise
            sleep(POLL_SECONDS / 5)
            meta = obj["metadata"]
            obj = client.get(meta["namespace"], meta["name"])
            d = read(obj)
            if d.uid != uid:
                raise Conflict(f"{d.name} was deleted and made anew while you asked: look again") from None
            _must_not_replace(d, request)
            if not _fits(d, request):
                now_at = (
                    f"{d.candidate.version} is at {d.step_text or d.state}" if d.candidate else "the rollout is over"
                )
                raise Conflict(f"the rollout went on while you asked ({now_at}): look again") from None
        else:
            return obj
    raise AssertionError("unreachable: the last try returns or raises")


def _must_not_replace(d: Deployment, request: Request) -> None:
    """Raise Conflict for what would take back a request that the operator has not answered. To abort is never too early."""
    waiting = d.unanswered_request
    if waiting is None or request.verb is Verb.ABORT or waiting.partition("#")[0] == str(request).partition("#")[0]:
        return
    verb = waiting.partition("@")[0]
    raise Conflict(
        f"{verb} was asked of {d.name} and is not answered yet, and would be lost: wait for the answer, or abort"
    )


def _fits(d: Deployment, request: Request) -> bool:
    """Is what was asked about still there to be asked about?"""
    if request.verb is Verb.RETRY:
        return d.candidate is None and request.hash in {past.hash for past in d.rejected}
    same = d.candidate is not None and d.candidate.hash == request.hash
    return same and (request.verb is not Verb.PROMOTE or _step(d) == request.step)


def wait(
    client: Client,
    before: Deployment,
    request: Request,
    *,
    seconds: float,
    sleep: Callable[[float], None],
    clock: Callable[[], float],
) -> Outcome:
    """Read the object until the operator has answered the request, at most `seconds` long.

    Raises:
        Conflict: another request took its place before the operator saw it.
        NotFound: the object is gone.
    """
    ends = clock() + seconds
    trouble = ""
    while True:
        try:
            d = read(client.get(before.namespace, before.name))
        except Unreachable as error:
            trouble = f" ({error.message})"
        else:
            trouble = ""
            if d.last_handled_request == str(request):
                new = _added(before, d)
                return Outcome(request, True, _took_effect(new, d, request), _answer(new, d))
            if d.request != str(request):
                raise Conflict(
                    f"another request took the place of this one before the operator saw it: {d.request or 'none'}"
                )
        if clock() >= ends:
            return Outcome(request, False, None, f"the operator has not answered within {seconds:g}s{trouble}")
        sleep(min(POLL_SECONDS, max(0.0, ends - clock())))


def _took_effect(new: list[Event], d: Deployment, request: Request) -> bool:
    """Did the operator do it? It says so in the history that it writes together with the echo; status must not contradict it."""
    if any(e.event == "RequestRefused" for e in new):
        return False
    same = d.candidate is not None and d.candidate.hash == request.hash
    match request.verb:
        case Verb.ABORT:
            return not same
        case Verb.PAUSE:
            return same and d.paused
        case Verb.RESUME:
            return not d.paused
        case Verb.RETRY:
            return request.hash not in {past.hash for past in d.rejected}
    r = d.rollout
    return not same or (r is not None and (request.step in r.approved_steps or _step(d) > request.step))


def _added(before: Deployment, after: Deployment) -> list[Event]:
    """What came to the history since; it is bounded, so old entries may have left it."""
    return list((Counter(after.history) - Counter(before.history)).elements())


def _answer(new: list[Event], after: Deployment) -> str:
    """The operator's words: what it added to the history about requests, else anything that it added, else on the rollout."""
    said = [e for e in new if e.event in _ANSWERS] or new
    if said:
        return "; ".join(e.message or e.event for e in said)
    return (after.rollout.message if after.rollout else None) or "the operator handled the request and gave no reason"
