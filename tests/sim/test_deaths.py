"""The operator dies at every single write of whole lives, before the apiserver has it and before it hears the answer.

Each life is lived once; at each write two copies of this process are made, and in each the operator dies there and the life goes on to its end.
It must be the end that it has without a death. That no step is skipped, repeated or shortened is seen at every write (invariant 10).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from sim.life import Life, manifest, settled
from sim.traffic import Behaviour
from solera.api.scalars import format_time

GOOD, BAD = Behaviour(2), Behaviour(2, bad={"errors": 0.5})
Script = Callable[[Life], None]


STEPS = [{"weight": w, "minDuration": "6s", "minRequests": 10} for w in (20, 60, 100)]


def shifting(life: Life, weight: int = 20, serve: str = "v2") -> None:
    life.edit(serve=serve)
    life.until(lambda one: one.weights().get(serve, 0) >= weight, 300)


def asked(life: Life, verb: str, nonce: str, of: str = "") -> None:
    text = life.ask(verb, nonce, of=of)
    life.until(lambda one: one.status.get("lastHandledRequest") == text, 120)


def first_version(life: Life) -> None:
    life.until(settled("v1"))


def promotion(life: Life) -> None:
    shifting(life)
    life.until(settled("v2"))


def rollback(life: Life) -> None:
    life.edit(serve="v3")
    life.until(lambda one: bool(one.status.get("rejected")))
    life.until(settled("v1"))


def withdrawal(life: Life) -> None:
    shifting(life)
    life.edit(serve="v1")
    life.until(settled("v1"))


def third_version(life: Life) -> None:
    shifting(life)
    life.edit(serve="v4")
    life.until(settled("v4"))


def going_back(life: Life) -> None:
    life.edit_rollout(steps=[STEPS[2]], guardrails=[])
    life.edit(serve="v2")
    life.until(settled("v2"))
    life.edit(serve="v1")
    life.until(settled("v1"))


def late_rollback(life: Life) -> None:
    life.edit_rollout(keepPrevious="10m")
    life.edit(serve="v2")
    life.until(lambda one: (one.status.get("stable") or {}).get("version") == "v2")
    life.behave("v2", BAD)
    life.until(settled("v1"))


def never_ready(life: Life) -> None:
    life.behave("v2", Behaviour(never_ready=True))
    life.edit(serve="v2")
    life.until(lambda one: bool(one.status.get("rejected")))
    life.until(settled("v1"))


def template_edit(life: Life) -> None:
    before = life.status["stable"]["hash"]
    life.edit_template(engine={**life.spec["template"]["engine"], "args": ["--max-model-len", "4096"]})
    life.until(lambda one: one.status["stable"]["hash"] != before and settled("v1")(one))


def operational_edit(life: Life) -> None:
    shifting(life)
    life.edit_template(replicas=3, drainTimeout="10s")
    life.until(settled("v2"))
    assert len(life.pods("v2")) == 3


def approval(life: Life) -> None:
    life.edit_rollout(steps=[{**STEPS[0], "pause": {"until": "Approved"}}, STEPS[2]])
    shifting(life)
    life.until(lambda one: one.waits_for == "WaitingForApproval")
    asked(life, "promote", "1")
    life.until(settled("v2"))


def abort_and_retry(life: Life) -> None:
    shifting(life)
    wanted = life.status["candidate"]["hash"]
    asked(life, "abort", "1")
    life.until(settled("v1"))
    asked(life, "retry", "2", of=wanted)
    life.until(settled("v2"))


def pause_and_resume(life: Life) -> None:
    shifting(life)
    asked(life, "pause", "1")
    life.run(40)
    assert life.weights()["v2"] == 20
    asked(life, "resume", "2")
    life.until(settled("v2"))


def date(life: Life, seconds: int, **how: str) -> None:
    at = format_time(life.timeline.now() + timedelta(seconds=seconds))
    life.edit_version("v1", lifecycle={"retiresAt": at, **how})


def phase(life: Life) -> str | None:
    return next((v["phase"] for v in life.status.get("versions", ()) if v["name"] == "v1"), None)


def retirement_redirect(life: Life) -> None:
    date(life, 100, successor="v2", migrateBefore="90s")
    life.until(lambda one: settled("v2")(one) and phase(one) == "Retired")


def retirement_refuse(life: Life) -> None:
    date(life, 40, onRetirement="Refuse")
    life.until(lambda one: not one.running() and phase(one) == "Retired")


def retirement_hold(life: Life) -> None:
    date(life, 40, onRetirement="Hold")
    life.until(lambda one: one.condition("RetirementHeld") == "True")


def made_anew(life: Life) -> None:
    shifting(life)
    spec = life.spec
    life.delete()
    life.run(1)
    life.create({**spec, "serve": "v1"})
    life.until(settled("v1"))


LIVES: list[Script] = [
    *(
        first_version,
        promotion,
        rollback,
        withdrawal,
        third_version,
        going_back,
        late_rollback,
        never_ready,
        template_edit,
        operational_edit,
    ),
    *(approval, abort_and_retry, pause_and_resume, retirement_redirect, retirement_refuse, retirement_hold, made_anew),
]


def end_of(life: Life) -> dict[str, Any]:
    """All that must not depend on a death: what serves and runs, what is remembered and said, and the steps that were walked."""
    life.run(60)
    requests = life.cluster.requests
    life.run(1300)
    status = life.status
    return {
        "weights": life.weights(),
        "children": [c for c in life.children() if c[0] != "Pod"],
        "pods": sorted(p.revision for p in life.cluster.pods.values()),
        "state": status.get("state"),
        "stable": status.get("stable"),
        "rejected": [r["version"] for r in status.get("rejected", ())],
        "promoted": [r["version"] for r in status.get("promoted", ())],
        "phases": [(v["name"], v["phase"]) for v in status.get("versions", ())],
        "conditions": [(c["type"], c["status"], c["reason"]) for c in status.get("conditions", ())],
        "history": [h["event"] for h in status.get("history", ())],
        "steps": [(step, weight) for _, step, weight in life.witness.steps],
        "written at rest": life.cluster.requests - requests,
        "lost": life.traffic.lost,
    }


class Copies:
    """At each write makes two copies of the process, and collects how their lives ended."""

    def __init__(self, life: Life) -> None:
        self.life = life
        self.ends: list[tuple[str, Any]] = []
        self.answer_to: int | None = None
        before = life.faults.before

        def dies(what: str) -> None:
            if self.answer_to is None:
                for answered in (False, True):
                    self._copy(what, answered=answered)
            before(what)

        life.faults.before = dies  # type: ignore[method-assign]

    def _copy(self, what: str, *, answered: bool) -> None:
        faults, (reading, writing) = self.life.faults, os.pipe()
        child = os.fork()
        if child == 0:
            self.answer_to = writing
            faults.kill_at, faults.answered = faults.count + 1, answered
            return
        os.close(writing)
        with os.fdopen(reading) as answer:
            said = answer.read()
        os.waitpid(child, 0)
        where = f"killed {'after' if answered else 'before'} the answer to write {faults.count + 1} ({what})"
        self.ends.append((where, json.loads(said) if said else "nothing was heard of it"))

    def finish(self, end: Any) -> None:
        """A copy tells its end and is gone."""
        if self.answer_to is not None:
            os.write(self.answer_to, json.dumps(end).encode())
            os._exit(0)


@pytest.mark.parametrize("script", LIVES, ids=lambda script: script.__name__)
def test_killed_at_any_single_write_it_ends_as_if_it_had_lived(script: Script) -> None:
    spec = manifest(steps=STEPS, keepPrevious="10s")
    life = Life(spec, {"v1": GOOD, "v2": GOOD, "v3": BAD, "v4": GOOD}, rate=40.0)
    if script is not first_version:
        life.until(settled("v1"), 120)
    lived = life.faults.count
    copies = Copies(life)
    try:
        script(life)
        end = json.loads(json.dumps(end_of(life)))
        if copies.answer_to is not None:
            end["deaths"] = life.deaths
    except BaseException as error:
        copies.finish(f"{type(error).__name__}: {error}")
        raise
    copies.finish(end)
    assert end["written at rest"] == 0
    assert end["lost"] == 0
    assert len(copies.ends) == 2 * (life.faults.count - lived) > 2
    for where, other in copies.ends:
        assert other == end | {"deaths": 1}, where
