"""status, with and without something to wait for, and history."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from solera.cli.cluster.client import Client
from solera.cli.views.goal import Goal, GoalError, Outcome, came, parse_goal
from solera.cli.views.reading import read
from unit.cli.apiserver import Twin, unreachable
from unit.cli.objects import (
    NOW,
    V1,
    V2,
    VERSIONS,
    ago,
    ahead,
    at_rest,
    condition,
    llmd,
    paused,
    rolling,
    waiting_for_approval,
)
from unit.cli.test_cli_explain import FAILED, rejected
from unit.cli.test_cli_get import Terminal

NAME = "support-assistant"
SHIFTING = rolling("Shifting", "MinDuration", "step 2 of 4 (25%) lasts until 12:10:00Z at least")


class Living(Terminal):
    """A terminal behind which things go on: each time somebody waits, the next thing happens."""

    def __init__(self, obj: dict[str, Any], *happens: Callable[[Twin], Any]) -> None:
        super().__init__(obj)
        self.happens = iter(happens)

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        next(self.happens, lambda _twin: None)(self.twin)


def becomes(status: dict[str, Any]) -> Callable[[Twin], Any]:
    return lambda twin: twin.put(twin.objects["ml", NAME] | {"status": {"observedGeneration": 7} | status})


def completing() -> Living:
    return Living(
        llmd(rolling("Provisioning", "Provisioning", "0 of 2 pods of v2 are ready", step=None)),
        becomes(SHIFTING),
        becomes(SHIFTING | {"weight": 25}),
        becomes(waiting_for_approval()),
        becomes(at_rest()),
    )


def failing() -> Living:
    return Living(llmd(SHIFTING), becomes(rejected("RollingBack", draining=[V2])))


def asking() -> Living:
    return Living(llmd(SHIFTING), becomes(waiting_for_approval()))


# -- without --for


def test_status_in_one_line() -> None:
    for status, words in (
        (waiting_for_approval(), "Held, step 3 of 4 (50%), v1 50%, v2 50%: step 3 of 4 (50%) waits for approval"),
        (at_rest(), "Idle, v2 100%: v2 carries all traffic"),
        (rejected("Idle"), f"Idle (RolledBack), v1 100%: {FAILED}"),
    ):
        result = Terminal(llmd(status)).run("status", NAME)
        assert (result.exit_code, result.stdout) == (0, f"{NAME}: {words}\n")


def test_status_of_what_nobody_has_looked_at() -> None:
    said = Terminal(llmd()).run("status", NAME).stdout
    assert said == f"{NAME}: Unknown: the operator has not looked at generation 7 yet\n"
    said = Terminal(llmd(at_rest(observedGeneration=6))).run("status", NAME).stdout
    assert said.endswith("has not looked at generation 7 yet, last seen 6\n")


def test_status_as_a_document() -> None:
    got = json.loads(Terminal(llmd(waiting_for_approval())).run("status", NAME, "-o", "json").stdout)
    assert got == {
        "apiVersion": "cli.solera.dev/v1",
        "kind": "Status",
        "namespace": "ml",
        "name": NAME,
        "observed": True,
        "ready": "True",
        "complete": False,
        "state": "Held",
        "reason": "WaitingForApproval",
        "message": "step 3 of 4 (50%) waits for approval",
        "stable": "v1",
        "candidate": "v2",
        "weight": 50,
        "step": 3,
        "steps": 4,
        "waitsForPerson": True,
        "next": "100% to v2 after kubectl solera promote support-assistant",
        "nextAt": None,
        "goal": None,
        "outcome": None,
        "outcomeMessage": None,
    }
    bare = yaml.safe_load(Terminal(llmd()).run("status", NAME, "-o", "yaml").stdout)
    assert list(bare) == list(got)
    assert (bare["observed"], bare["ready"], bare["state"]) == (False, "Unknown", None)


def test_flags_that_need_for_are_wrong_usage_without_it() -> None:
    for flags in (["--timeout", "1m"], ["--or-held"], ["--for", "done"], ["--for", "stable"], ["--for", "complete=v2"]):
        result = Terminal(llmd(at_rest())).run("status", NAME, *flags)
        assert result.exit_code == 2, flags
    assert "write complete, ready, stable=VERSION or retired=VERSION" in result.stderr


@pytest.mark.parametrize(
    ("text", "goal"),
    [
        ("complete", Goal("complete")),
        ("ready", Goal("ready")),
        ("stable=v2", Goal("stable", "v2")),
        ("retired=v1", Goal("retired", "v1")),
    ],
)
def test_a_goal_is_read_and_written_alike(text: str, goal: Goal) -> None:
    assert parse_goal(text) == goal
    assert str(goal) == text
    with pytest.raises(GoalError):
        parse_goal(f"{text}=")


# -- waiting


def test_it_waits_until_the_rollout_is_complete_and_tells_each_change_once() -> None:
    t = completing()
    result = t.run("status", NAME, "--for=complete", "--timeout", "10m")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "12:00:00Z  Provisioning, v1 100%: 0 of 2 pods of v2 are ready",
        "12:00:02Z  Shifting, step 2 of 4 (25%), v1 75%, v2 25%: step 2 of 4 (25%) lasts until 12:10:00Z at least",
        "12:00:06Z  Held, step 3 of 4 (50%), v1 50%, v2 50%: step 3 of 4 (50%) waits for approval",
        "12:00:08Z  Idle, v2 100%: v2 carries all traffic",
    ]
    assert t.slept == 8


def test_the_document_goes_to_stdout_and_the_progress_to_stderr() -> None:
    result = completing().run("status", NAME, "--for", "complete", "-o", "json")
    got = json.loads(result.stdout)
    assert (got["goal"], got["outcome"], got["outcomeMessage"]) == ("complete", "Reached", "v2 carries all traffic")
    assert got["complete"] is True
    assert len(result.stderr.splitlines()) == 4


def test_a_rollback_ends_with_6() -> None:
    result = failing().run("status", NAME, "--for", "complete", "--timeout", "10m")
    assert result.exit_code == 6
    assert result.stderr == f"Error: {NAME}: complete will not come about: RolledBack: {FAILED}\n"
    got = json.loads(failing().run("status", NAME, "--for", "complete", "-o", "json").stdout)
    assert got["outcome"] == "Failed"


def test_what_waits_for_a_person_is_waited_for_unless_that_is_not_wanted() -> None:
    result = asking().run("status", NAME, "--for", "complete", "--timeout", "1m", "--or-held")
    assert result.exit_code == 7
    assert result.stderr == (
        f"Error: {NAME} waits for a person: step 3 of 4 (50%) waits for approval\n"
        f"  100% to v2 after kubectl solera promote {NAME}\n"
    )
    t = asking()
    result = t.run("status", NAME, "--for", "complete", "--timeout", "1m")
    assert (result.exit_code, t.slept) == (124, 60)
    assert result.stderr == f"Error: {NAME} is not complete after 60s: step 3 of 4 (50%) waits for approval\n"


def test_no_time_at_all_looks_once() -> None:
    t = Terminal(llmd(SHIFTING))
    assert t.run("status", NAME, "--for", "complete", "--timeout", "0s").exit_code == 124
    assert (t.slept, len(t.twin.sent)) == (0, 1)
    assert Terminal(llmd(at_rest())).run("status", NAME, "--for", "complete", "--timeout", "0s").exit_code == 0


def test_a_lost_connection_is_told_once_and_sought_again() -> None:
    t = Living(llmd(SHIFTING))
    send = t.twin.send
    looks = iter([send, unreachable, unreachable, unreachable, send])

    def after(method: str, path: str, **more: Any) -> Any:
        return next(looks, send)(method, path, **more)

    t.twin.send = after  # type: ignore[method-assign]
    t.happens = iter([*(lambda _t: None for _ in range(3)), becomes(at_rest())])
    result = t.run("status", NAME, "--for", "complete")
    assert result.exit_code == 0
    assert result.stderr.count("trying again") == 1


def test_an_object_that_goes_meanwhile_ends_with_3() -> None:
    t = Living(llmd(SHIFTING), lambda twin: twin.delete(NAME))
    assert t.run("status", NAME, "--for", "complete").exit_code == 3
    t = Living(llmd(SHIFTING), lambda twin: twin.put(llmd(at_rest(), uid="another")))
    result = t.run("status", NAME, "--for", "complete")
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (
        3,
        f"Error: {NAME} was deleted and made anew meanwhile",
    )


def test_what_is_not_there_ends_with_3() -> None:
    assert Terminal().run("status", "nobody", "--for", "complete").exit_code == 3
    result = Terminal(llmd(at_rest())).run("status", NAME, "--for", "stable=v9")
    assert (result.exit_code, result.stderr) == (3, f"Error: {NAME} has no version v9; it has v1, v2\n")


def versions(**v1: Any) -> list[dict[str, Any]]:
    return [VERSIONS[0] | v1, VERSIONS[1]]


def stalled(reason: str) -> dict[str, Any]:
    return at_rest(conditions=[condition("Ready", "False", reason, "x"), condition("Stalled", "True", reason, "x")])


def without_dates() -> dict[str, Any]:
    obj = llmd(at_rest(versions=[{k: v for k, v in VERSIONS[0].items() if k != "retiresAt"}, VERSIONS[1]]))
    obj["spec"]["versions"][0] = {k: v for k, v in obj["spec"]["versions"][0].items() if k != "lifecycle"}
    return obj


def serving_v1(**more: Any) -> dict[str, Any]:
    obj = llmd(at_rest(stable=V1, weights=[{"version": "v1", "revision": V1["revision"], "weight": 100}], **more))
    obj["spec"]["serve"] = "v1"
    return obj


def alone() -> dict[str, Any]:
    """v1 serves, and nothing leads from it to v2."""
    obj = copy.deepcopy(serving_v1())
    obj["spec"]["versions"][0].pop("lifecycle")
    return obj


OVERDUE = condition("RetirementOverdue", "True", "SuccessorNotReady", "v1 should have retired")
DONE = condition("RolloutComplete", "True", "Promoted", "v2 carries all traffic")
JUDGED = {
    "not seen": ("complete", llmd(at_rest(observedGeneration=6)), Outcome.WAITING, "has not looked at generation 7"),
    "complete": ("complete", llmd(at_rest()), Outcome.REACHED, "v2 carries all traffic"),
    "deleted": ("complete", llmd(at_rest(), deletionTimestamp=ago(seconds=3)), Outcome.FAILED, "is being deleted"),
    "paused": ("complete", llmd(paused()), Outcome.HELD, "is paused since"),
    "invalid": ("complete", llmd(stalled("InvalidSpec")), Outcome.FAILED, "InvalidSpec: x"),
    "gateway in repair": ("complete", llmd(stalled("RouteNotAccepted")), Outcome.WAITING, "x"),
    "ready": ("ready", llmd(at_rest()), Outcome.REACHED, "v2 carries all traffic"),
    "ready in the middle": ("ready", llmd(SHIFTING), Outcome.REACHED, "lasts until"),
    "not ready": (
        "ready",
        llmd({"conditions": [condition("Ready", "False", "Provisioning", "0 of 1")]}),
        Outcome.WAITING,
        "0 of 1",
    ),
    "stable": ("stable=v2", llmd(at_rest()), Outcome.REACHED, "v2 is stable"),
    "on its way": ("stable=v2", llmd(SHIFTING), Outcome.WAITING, "lasts until"),
    "still stable": ("stable=v1", llmd(SHIFTING), Outcome.REACHED, "v1 is stable"),
    "new revision": ("stable=v2", llmd(SHIFTING | {"stable": V2}), Outcome.WAITING, "lasts until"),
    "nobody asks": ("stable=v1", llmd(at_rest()), Outcome.FAILED, "nothing asks for v1: spec.serve is v2"),
    "nothing leads there": ("stable=v2", alone(), Outcome.FAILED, "nothing asks for v2: spec.serve is v1"),
    "retired meanwhile": (
        "stable=v1",
        llmd(at_rest(versions=versions(retiredAt=ago(hours=1)))) | {"spec": serving_v1()["spec"]},
        Outcome.FAILED,
        "nothing asks for v1",
    ),
    "invalid after it was complete": (
        "complete",
        llmd(at_rest(conditions=[DONE, condition("Stalled", "True", "InvalidSpec", "spec.serve: no")])),
        Outcome.FAILED,
        "InvalidSpec: spec.serve: no",
    ),
    "refused by the apiserver": (
        "complete",
        llmd(at_rest(conditions=[DONE, condition("Stalled", "True", "Refused", "exceeded quota")])),
        Outcome.WAITING,
        "Refused: exceeded quota",
    ),
    "refuses requests": (
        "ready",
        llmd(at_rest(conditions=[condition("Ready", "False", "VersionRetired", "v1 has retired")])),
        Outcome.FAILED,
        "v1 has retired",
    ),
    "successor": ("stable=v2", serving_v1(next="v1 moves to v2"), Outcome.WAITING, "v1 moves to v2"),
    "retired": (
        "retired=v1",
        llmd(at_rest(versions=versions(retiredAt=ago(hours=1)))),
        Outcome.REACHED,
        "v1 is retired",
    ),
    "never served": ("retired=v1", llmd(at_rest(versions=versions(phase="Retired"))), Outcome.REACHED, "v1 is retired"),
    "to retire": ("retired=v1", llmd(at_rest(next="v1 retires")), Outcome.WAITING, "v1 retires"),
    "no date": ("retired=v1", without_dates(), Outcome.FAILED, "v1 never retires: its lifecycle has no retiresAt"),
    "overdue": ("retired=v1", llmd(SHIFTING | {"conditions": [OVERDUE]}), Outcome.WAITING, "should have retired"),
    "overdue and paused": ("retired=v1", llmd(paused(conditions=[OVERDUE])), Outcome.HELD, "should have retired"),
    "overdue, rolled back": (
        "retired=v1",
        serving_v1(conditions=[OVERDUE | {"reason": "SuccessorRejected"}]),
        Outcome.HELD,
        "should have retired",
    ),
    "held": (
        "retired=v1",
        serving_v1(conditions=[OVERDUE | {"type": "RetirementHeld", "reason": "Hold"}]),
        Outcome.HELD,
        "v1",
    ),
}


@pytest.mark.parametrize(("goal", "obj", "outcome", "words"), JUDGED.values(), ids=JUDGED)
def test_how_the_waiting_stands(goal: str, obj: dict[str, Any], outcome: Outcome, words: str) -> None:
    found = came(read(obj), parse_goal(goal))
    assert found.outcome is outcome
    assert words in found.message


# -- history


RECORD = {
    "rolloutId": "b7d3m8xz-1795430000",
    "ledger": {
        "rollout": "b7d3m8xz-1795430000",
        "stable": V1["revision"],
        "candidate": V2["revision"],
        "began": "2026-11-23T11:18:00Z",
        "now": "2026-11-23T11:59:52.5Z",
        "totals": [
            {
                "source": "engine",
                "revision": "candidate",
                "guardrail": "errors",
                "steps": {"0": [40, 0], "1": [1200, 5]},
            },
            {"source": "engine", "revision": "stable", "guardrail": "errors", "steps": {"-1": [7, 1], "1": [3600, 9]}},
            {
                "source": "engine",
                "revision": "candidate",
                "guardrail": "",
                "steps": {"0": [40, 0], "1": [1200, 0], "2": [0, 0]},
            },
            "broken",
            {"source": "engine", "revision": "stable", "guardrail": "", "steps": {"x": "y"}},
        ],
    },
}


def eventful() -> Terminal:
    said = [
        (ago(days=9), "RolledBack", "v2 is rolled back: errors: over the limit"),
        (ago(days=2), "RolloutStarted", "v1 → v2 (support-assistant-v2-b7d3m8xz)"),
        (ago(days=2, minutes=-5), "Paused", "v2 is paused at step 1 of 4 (5%) by alice"),
        (ago(days=2, minutes=-9), "Aborted", "v2 was aborted by bob"),
        (ago(days=1), "Retried", "v2 (b7d3m8xz) is let in anew, asked for by bob"),
        (ago(days=1, minutes=-1), "RolloutStarted", "v1 → v2 (support-assistant-v2-b7d3m8xz)"),
    ]
    status = SHIFTING | {
        "history": [{"at": at, "event": event, "message": message} for at, event, message in said],
        "promoted": [
            {"version": "v0", "hash": "zeroth00", "at": ago(days=50)},
            {"version": "v1", "hash": V1["hash"], "at": ago(days=30)},
        ],
        "rejected": [
            {"version": "v2", "hash": "older000", "at": ago(days=20), "reason": "v2 is rolled back: slow"},
            {"version": "v2", "hash": V2["hash"], "at": ago(days=2, minutes=-9), "reason": "v2 was aborted by bob"},
        ],
        "versions": [*VERSIONS, {"name": "v0", "phase": "Retired", "retiredAt": ago(days=25), "lateBy": "3s"}],
        "lastHandledRequest": "abort@b7d3m8xz/0#1",
    }
    annotations = {"solera.dev/request": "pause@b7d3m8xz/1#2"}
    t = Terminal(llmd(status, annotations=annotations))
    t.twin.records["ml", NAME] = RECORD
    return t


def test_history_joins_what_status_remembers_and_what_was_counted() -> None:
    got = json.loads(eventful().run("history", NAME, "-o", "json").stdout)
    assert [(r["from"], r["to"], r["result"]) for r in got["rollouts"]] == [
        ("v1", "v2", "InProgress"),
        ("v1", "v2", "Aborted"),
        (None, None, "RolledBack"),
        (None, "v2", "RolledBack"),
        (None, "v1", "Promoted"),
        (None, "v0", "Promoted"),
    ]
    assert got["rollouts"][1]["startedAt"] == "2026-11-21T12:00:00Z"
    assert got["rollouts"][1]["endedAt"] == "2026-11-21T12:09:00Z"
    events = [(e["event"], e["message"]) for e in reversed(got["events"])]
    assert events[:4] == [
        ("Promoted", "v0 (zeroth00) carried all traffic"),
        ("Promoted", "v1 (4f6h2k9q) carried all traffic"),
        ("Retired", "v0 was retired, 3s late"),
        ("RolledBack", "v2 is rolled back: slow"),
    ]
    assert [e for e, _ in events].count("Aborted") == 1
    assert [e for e, _ in events].count("RolledBack") == 2
    assert got["pendingRequest"] == "pause@b7d3m8xz/1#2"
    counts = [(c["guardrail"], c["side"], c["step"], c["total"], c["bad"]) for c in got["evidence"]["counts"]]
    assert counts == [
        ("errors", "candidate", 1, 40, 0),
        ("errors", "candidate", 2, 1200, 5),
        ("errors", "stable", None, 7, 1),
        ("errors", "stable", 2, 3600, 9),
        ("", "candidate", 1, 40, 0),
        ("", "candidate", 2, 1200, 0),
    ]


def test_history_for_people() -> None:
    lines = [" ".join(text.split()) for text in eventful().run("history", NAME).stdout.splitlines()]
    assert lines[0] == "BEGAN ENDED VERSIONS TOOK RESULT MESSAGE"
    assert lines[1] == "2026-11-22T12:01:00Z - v1 → v2 23h InProgress -"
    assert lines[2] == "2026-11-21T12:00:00Z 2026-11-21T12:09:00Z v1 → v2 9m Aborted v2 was aborted by bob"
    assert lines[3] == "- 2026-11-14T12:00:00Z ? → ? - RolledBack v2 is rolled back: errors: over the limit"
    assert "errors engine 5 of 1240 bad 10 of 3607 bad" in lines
    assert "(all requests) engine 1240 -" in lines
    assert "not handled yet: pause@b7d3m8xz/1#2" in lines
    assert lines[-1] == "2026-10-04T12:00:00Z Promoted v0 (zeroth00) carried all traffic"


def test_a_rollout_that_ended_before_the_history_says_how_is_only_ended() -> None:
    started = [{"at": ago(hours=3), "event": "RolloutStarted", "message": "in other words"}] * 2
    got = yaml.safe_load(Terminal(llmd(at_rest(history=started))).run("history", NAME, "-o", "yaml").stdout)
    assert [(r["from"], r["result"]) for r in got["rollouts"]] == [(None, "Ended"), (None, "InProgress")]
    assert got["evidence"] is None


def test_no_history_and_no_right_to_read_the_record() -> None:
    t = Terminal(llmd())
    denied = {"kind": "Status", "code": 403, "message": "forbidden"}
    t.twin.refuse = lambda sent: denied if "rolloutrecords" in sent.path else None
    result = t.run("history", NAME)
    assert (result.exit_code, result.stdout) == (0, "Nothing has happened yet.\n")


def test_the_record_is_read_by_its_path() -> None:
    t = eventful()
    assert Client(t.twin).record("ml", NAME) == RECORD
    assert t.twin.sent[-1].path == f"/apis/solera.dev/v1alpha1/namespaces/ml/rolloutrecords/{NAME}"


def test_history_reads_what_the_ledger_writes() -> None:
    from solera.cli.views.past import past  # noqa: PLC0415
    from solera.plan.evidence import Counter, Reading, absorb, new_ledger, to_record  # noqa: PLC0415

    ledger = new_ledger("r-1", V1["revision"], V2["revision"], NOW)
    for total, bad in ((0, 0), (10, 1)):
        reading = Reading(NOW, "engine", V2["revision"], "pod", ahead(seconds=1), {"errors": Counter(total, bad)})
        ledger = absorb(ledger, [reading], step=0, now=NOW)
    found = past(read(llmd(SHIFTING)), {"ledger": to_record(ledger)}).evidence
    assert found is not None
    assert (found.rollout, found.candidate) == ("r-1", V2["revision"])
