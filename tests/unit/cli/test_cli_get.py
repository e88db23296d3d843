from __future__ import annotations

import json
import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest
from click.testing import CliRunner, Result

from solera.cli.cluster.connect import Connection, Target
from solera.cli.flags import Environment
from solera.cli.kubectl import cli
from unit.cli.apiserver import Twin, unreachable
from unit.cli.objects import (
    GUARDRAILS,
    NOW,
    V1,
    V2,
    ago,
    ahead,
    at_rest,
    condition,
    llmd,
    rolling,
    waiting_for_approval,
    weights,
)


class Terminal:
    """The plugin with the twin behind it. `targets` are what it asked to connect to."""

    def __init__(self, *objects: dict[str, Any]) -> None:
        self.twin = Twin()
        self.targets: list[Target] = []
        self.slept = 0.0
        for obj in objects:
            self.twin.put(obj)

    def connect(self, target: Target) -> Connection:
        self.targets.append(target)
        return Connection(self.twin, target.namespace or "ml")

    def sleep(self, seconds: float) -> None:
        self.slept += seconds

    def run(self, *arguments: str, stdin: str | None = None) -> Result:
        environment = Environment(
            connect=self.connect,
            now=lambda: NOW + timedelta(seconds=self.slept),
            clock=lambda: self.slept,
            sleep=self.sleep,
            nonce=lambda: "1a2b3c4d",
        )
        return CliRunner().invoke(cli, arguments, obj=environment, input=stdin)


def several() -> Terminal:
    other = llmd(at_rest(modelName="search"), name="search", namespace="web", creationTimestamp=ago(hours=5))
    stalled = llmd({"conditions": [condition("Stalled", "True", "HostnameConflict", "taken")]}, name="clash", uid="2")
    return Terminal(waiting_obj(), llmd(name="unseen", uid="3", creationTimestamp=ago(minutes=2)), stalled, other)


def waiting_obj() -> dict[str, Any]:
    return llmd(waiting_for_approval())


def test_the_list_of_a_namespace() -> None:
    result = several().run("get")
    assert result.exit_code == 0
    assert result.stdout == (
        "NAME                READY     STABLE   CANDIDATE   WEIGHT   STATE                        "
        "NEXT                                               AGE\n"
        "clash               Unknown   -        -           -        Stalled (HostnameConflict)   "
        "-                                                  40d\n"
        "support-assistant   True      v1       v2          50%      Held                         "
        "100% to v2 after kubectl solera promote support…   40d\n"
        "unseen              Unknown   -        -           -        -                            "
        "-                                                  2m\n"
    )


def test_the_list_of_all_namespaces_names_them() -> None:
    lines = several().run("get", "-A").stdout.splitlines()
    assert lines[0].startswith("NAMESPACE   NAME ")
    assert [line.split()[:2] for line in lines[1:]] == [
        ["ml", "clash"],
        ["ml", "support-assistant"],
        ["ml", "unseen"],
        ["web", "search"],
    ]


def test_the_wide_list_adds_what_a_rollout_waits_for() -> None:
    lines = several().run("get", "-o", "wide").stdout.splitlines()
    assert lines[0].split()[-6:] == ["STEP", "OBSERVED", "GUARDRAILS", "MODEL", "TEAM", "MESSAGE"]
    words = "3/4 49.7% 1 Continue, 1 Pass support-assistant support-ai step 3 of 4 (50%) waits for approval"
    assert " ".join(lines[2].split()).endswith(words)


def test_next_says_when() -> None:
    obj = llmd(rolling("Shifting", "MinDuration", "x", next="50% to v2", nextAt=ahead(minutes=3)))
    assert "50% to v2 (in 3m)" in Terminal(obj).run("get").stdout


def test_nothing_there_is_said_on_stderr() -> None:
    result = Terminal().run("get", "-n", "empty")
    assert (result.exit_code, result.stdout, result.stderr) == (
        0,
        "",
        "There are no LLMDeployments in namespace empty.\n",
    )


def test_long_lists_are_read_page_by_page() -> None:
    terminal = Terminal(*(llmd(at_rest(), name=f"m{i:02d}", uid=str(i)) for i in range(7)))
    terminal.twin.page = 3
    assert len(terminal.run("get").stdout.splitlines()) == 8
    assert len(terminal.twin.sent) == 3


DETAIL = """\
Name        support-assistant (namespace ml, 40d old)
Owner       support-ai <support-ai@example.com>
Ready       True
State       Held, step 3 of 4 (50%)
Waits for   step 3 of 4 (50%) waits for approval
Since       2026-11-23T11:48:00Z (12m ago)
Held since  2026-11-23T11:57:00Z (3m ago)
Next        100% to v2 after kubectl solera promote support-assistant
Stable      v1 (4f6h2k9q)
Candidate   v2 (b7d3m8xz)
Evidence    as of 2026-11-23T11:59:52Z (8s ago)
Weights     v1 50%, v2 50%; the candidate got 49.7% of the requests

VERSION   PHASE    WEIGHT   MODEL                                 DEPRECATED                     RETIRES                         SUCCESSOR
v1        Active   50%      hf://Qwen/Qwen3-8B@9c925d64d727       2026-12-01T00:00:00Z (in 7d12h)   2027-03-01T00:00:00Z (in 97d)   v2 (Redirect)
v2        Active   50%      hf://Qwen/Qwen3-14B-AWQ@31c69efc2946  -                              -                               -

GUARDRAIL   METRIC             VERDICT    BAD         INTERVAL       LIMIT   SAMPLES   SOURCE   FORECAST
errors      ErrorRate          Continue   0.4% (5)    0.1% to 1.3%   1%      1240      engine   Pass after about 1,400 more requests, about 20 min at the present rate, if the share stays as it is
ttft        TimeToFirstToken   Pass       2.1% (26)   1.2% to 3.6%   5%      1240      engine   -
  errors: 5 of 1,240 requests bad (0.403%): not shown yet to keep the limit

HISTORY   EVENT            MESSAGE
42m ago   RolloutStarted   v1 → v2 (support-assistant-v2-b7d3m8xz)
"""


def words(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_one_in_full() -> None:
    result = Terminal(waiting_obj()).run("get", "support-assistant")
    assert result.exit_code == 0
    assert words(result.stdout) == words(DETAIL)
    assert not [line for line in result.stdout.splitlines() if line != line.rstrip()]


def test_one_in_full_shows_what_went_wrong_and_what_is_leaving() -> None:
    failed = "v2 is rolled back: errors"
    status = at_rest(
        state="Draining",
        stable=V1,
        weights=weights(100, 0),
        draining=[V2 | {"since": ago(seconds=20)}],
        previous=V1 | {"since": ago(minutes=1), "until": ahead(minutes=9)},
        rejected=[{"version": "v2", "hash": V2["hash"], "at": ago(hours=2), "reason": failed}],
        conditions=[
            condition("Ready", "False", "RolledBack", failed),
            condition("Stalled", "True", "RolledBack", failed),
            condition("RouteAccepted", "False", "NotAccepted", "NotAllowedByListeners"),
        ],
        history=[{"at": ago(minutes=m), "event": "Adopted", "message": f"line {m}"} for m in range(12, 0, -1)],
    )
    told = (
        Terminal(llmd(status, annotations={"solera.dev/request": "abort@x/1#2"})).run("get", "support-assistant").stdout
    )
    for text in (
        "Ready          False (RolledBack) v2 is rolled back: errors",
        "RouteAccepted  False (NotAccepted) NotAllowedByListeners",
        "State          Draining (RolledBack)",
        "Previous       v1 (4f6h2k9q), kept warm until 2026-11-23T12:09:00Z (in 9m)",
        "Draining       v2 (b7d3m8xz), without requests since 2026-11-23T11:59:40Z (20s ago)",
        "Request        abort@x/1#2 (not handled yet)",
    ):
        assert " ".join(text.split()) in [" ".join(line) for line in words(told)]
    assert "\nStalled" not in told  # the same words stand after Ready
    assert "line 1\n" in told
    assert "line 9\n" not in told
    assert "4 earlier, shown by -o wide" in told
    wide = Terminal(llmd(status)).run("get", "support-assistant", "-o", "wide").stdout
    assert "line 12" in wide
    assert "9c925d64d72725edaf899c6cb9c377fd0709d9c5" in wide
    assert V1["revision"] in wide


def test_columns_of_dates_are_there_only_when_there_are_dates() -> None:
    obj = llmd(at_rest(versions=[{"name": "v2", "phase": "Active"}]))
    del obj["spec"]["versions"][0]["lifecycle"]
    assert ["VERSION", "PHASE", "WEIGHT", "MODEL"] in words(Terminal(obj).run("get", "support-assistant").stdout)
    gone = {"name": "v1", "phase": "Retired", "retiredAt": ago(days=2), "lateBy": "40s"}
    told = Terminal(llmd(at_rest(versions=[gone]))).run("get", "support-assistant").stdout
    assert "2026-11-21T12:00:00Z (done, 40s late)" in told


def test_a_generation_that_was_not_seen_is_not_called_ready() -> None:
    told = Terminal(llmd(at_rest(observedGeneration=6))).run("get", "support-assistant").stdout
    assert "Unknown (the operator has not seen generation 7 yet, last seen: 6)" in told


def test_json_of_one_is_a_stable_shape() -> None:
    result = Terminal(waiting_obj()).run("get", "support-assistant", "-o", "json")
    got = json.loads(result.stdout)
    ref = {"since": None, "until": None}
    assert got.pop("guardrails") == [{k: g.get(k) for k in (*GUARDRAILS[0], "reason")} for g in GUARDRAILS]
    assert got.pop("conditions")[0] == {
        "type": "Ready",
        "status": "True",
        "reason": "WaitingForApproval",
        "message": "step 3 of 4 (50%) waits for approval",
        "since": "2026-11-23T11:30:00Z",
    }
    assert got.pop("versions")[0] == {
        "name": "v1",
        "phase": "Active",
        "weight": 50,
        "uri": "hf://Qwen/Qwen3-8B",
        "modelRevision": "9c925d64d72725edaf899c6cb9c377fd0709d9c5",
        "deprecatedAt": "2026-12-01T00:00:00Z",
        "retiresAt": "2027-03-01T00:00:00Z",
        "retiredAt": None,
        "lateBy": None,
        "successor": "v2",
        "onRetirement": "Redirect",
        "message": None,
    }
    assert got == {
        "apiVersion": "cli.solera.dev/v1",
        "kind": "LLMDeploymentView",
        "ready": "True",
        "namespace": "ml",
        "name": "support-assistant",
        "generation": 7,
        "observedGeneration": 7,
        "createdAt": "2026-10-14T12:00:00Z",
        "deletedAt": None,
        "team": "support-ai",
        "contact": "support-ai@example.com",
        "serve": "v2",
        "state": "Held",
        "modelName": "support-assistant",
        "effectiveVersion": "v2",
        "stable": V1 | ref,
        "candidate": V2 | ref,
        "previous": None,
        "draining": [],
        "weight": 50,
        "weights": weights(50, 50),
        "next": "100% to v2 after kubectl solera promote support-assistant",
        "nextAt": None,
        "rejected": [],
        "promoted": [],
        "history": [
            {
                "at": "2026-11-23T11:18:00Z",
                "event": "RolloutStarted",
                "message": "v1 → v2 (support-assistant-v2-b7d3m8xz)",
            }
        ],
        "request": None,
        "lastHandledRequest": None,
        "rollout": {
            "id": "b7d3m8xz-1795430000",
            "from": V1["revision"],
            "to": V2["revision"],
            "startedAt": "2026-11-23T11:18:00Z",
            "step": 3,
            "steps": 4,
            "weight": 50,
            "stepStartedAt": "2026-11-23T11:48:00Z",
            "approvedSteps": [],
            "reason": "WaitingForApproval",
            "message": "step 3 of 4 (50%) waits for approval",
            "observedShare": "49.7%",
            "harmedAtMost": None,
            "heldSince": "2026-11-23T11:57:00Z",
            "pausedAt": None,
            "pausedBy": None,
            "timedFrom": None,
            "evidenceAt": "2026-11-23T11:59:52Z",
            "maxHarmedRequests": None,
            "waitsForApproval": True,
        },
    }


def test_json_has_the_same_keys_for_an_object_that_nobody_has_looked_at() -> None:
    full = json.loads(Terminal(waiting_obj()).run("get", "support-assistant", "-o", "json").stdout)
    bare = json.loads(Terminal(llmd()).run("get", "support-assistant", "-o", "json").stdout)
    assert list(bare) == list(full)
    assert bare["ready"] == "Unknown"
    assert bare["rollout"] is None
    assert bare["guardrails"] == []


def test_json_of_many() -> None:
    got = json.loads(several().run("get", "-A", "-o", "json").stdout)
    assert (got["apiVersion"], got["kind"]) == ("cli.solera.dev/v1", "LLMDeploymentViewList")
    assert [i["name"] for i in got["items"]] == ["clash", "support-assistant", "unseen", "search"]
    assert json.loads(Terminal().run("get", "-o", "json").stdout)["items"] == []


def test_explain_prints_the_sentence_then_the_evidence_then_the_command() -> None:
    lines = Terminal(waiting_obj()).run("explain", "support-assistant").stdout.splitlines()
    assert lines[0] == "v2 stays at 50% until a person approves it: step 3 of 4 (50%) waits for approval"
    assert all(line.startswith("  ") or not line for line in lines[1:])
    assert lines[-2:] == ["", "  kubectl solera promote support-assistant -n ml"]


def test_explain_as_json() -> None:
    got = json.loads(Terminal(waiting_obj()).run("explain", "support-assistant", "-o", "json").stdout)
    evidence = got.pop("evidence")
    assert "approval: this step must be approved by a person, and is not" in evidence
    assert got == {
        "apiVersion": "cli.solera.dev/v1",
        "kind": "Explanation",
        "namespace": "ml",
        "name": "support-assistant",
        "cause": "WaitingForApproval",
        "sentence": "v2 stays at 50% until a person approves it: step 3 of 4 (50%) waits for approval",
        "command": "kubectl solera promote support-assistant -n ml",
    }


@pytest.mark.parametrize("verb", ["get", "explain", "promote", "abort"])
def test_what_is_not_there_ends_with_3(verb: str) -> None:
    result = Terminal().run(verb, "nobody", *(["--yes"] if verb == "promote" else []))
    assert (result.exit_code, result.stderr) == (3, "Error: there is no LLMDeployment nobody in namespace ml\n")


def test_errors_of_the_apiserver_end_with_1_and_say_what_to_do() -> None:
    terminal = several()
    terminal.twin.installed = False
    result = terminal.run("get")
    assert result.exit_code == 1
    assert "install Solera's CRDs first" in result.stderr

    terminal.twin.refuse = lambda _s: {"kind": "Status", "code": 401, "message": "Unauthorized"}
    result = terminal.run("get")
    assert result.exit_code == 1
    assert "log in again" in result.stderr

    terminal.twin.refuse = lambda _s: {"kind": "Status", "code": 503, "message": "etcd is away"}
    result = terminal.run("get")
    assert (result.exit_code, result.stderr) == (1, "Error: the apiserver cannot answer now (503): etcd is away\n")

    terminal.twin.send = unreachable  # type: ignore[method-assign]
    result = terminal.run("get")
    assert result.exit_code == 1
    assert "connection refused" in result.stderr


def test_what_rbac_forbids_ends_with_5() -> None:
    terminal = several()
    said = 'llmdeployments.solera.dev is forbidden: User "bob" cannot list resource "llmdeployments"'
    terminal.twin.refuse = lambda _s: {"kind": "Status", "code": 403, "message": said}
    result = terminal.run("get")
    assert (result.exit_code, result.stderr) == (5, f"Error: {said}\n")


@pytest.mark.parametrize(
    "arguments",
    [("get", "x", "-A"), ("get", "-o", "table"), ("explain",), ("promote", "x", "--timeout", "1 day"), ("dance",)],
)
def test_wrong_usage_ends_with_2(arguments: tuple[str, ...]) -> None:
    assert several().run(*arguments).exit_code == 2


def test_flags_may_stand_before_and_after_the_verb_and_the_later_wins() -> None:
    terminal = several()
    terminal.run("-n", "one", "--context", "prod", "get", "-n", "two", "--kubeconfig", "f")
    assert terminal.targets == [Target("f", "prod", "two")]


def test_a_name_cannot_leave_its_path() -> None:
    terminal = Terminal()
    terminal.run("get", "../../secrets/x")
    assert terminal.twin.sent[0].path.endswith("/namespaces/ml/llmdeployments/..%2F..%2Fsecrets%2Fx")


def test_the_client_and_the_drawing_are_imported_only_when_needed() -> None:
    code = "import sys, solera.cli.kubectl as k, solera.cli.main; print([m for m in ('kubernetes','rich','pydantic','kopf','httpx') if m in sys.modules])"
    got = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert got.stdout == "[]\n"
