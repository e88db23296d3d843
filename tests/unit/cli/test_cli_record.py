"""record: one rollout as a file, from what the operator keeps of it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from solera.api.defaults import resolve_rollout
from solera.api.errors import InvalidSpec
from solera.api.llmdeployment import parse
from solera.api.recording import read_settings, spelled_out
from solera.api.scalars import format_time
from solera.api.traffic import Rollout
from solera.plan.evidence import from_record, to_record
from solera.plan.ledger import Counter
from solera.plan.recorder import recorded
from solera.plan.recording import read
from unit.cli.objects import llmd, waiting_for_approval
from unit.cli.rollouts import going_on, promoted, rolled_back
from unit.cli.test_cli_get import Terminal


def test_a_rollback_as_a_file() -> None:
    past = rolled_back()
    result = past.terminal().run("record", "chat")
    assert (result.exit_code, result.stderr) == (0, "")
    got = yaml.safe_load(result.stdout)
    assert (got["apiVersion"], got["kind"]) == ("solera.dev/v1alpha1", "RolloutRecording")
    assert got["metadata"] == {"name": "chat", "namespace": "ml"}
    rollout = got["rollout"]
    assert rollout["id"] == past.data["rolloutId"]
    assert (rollout["stable"]["version"], rollout["candidate"]["version"], rollout["result"]) == (
        "v1",
        "v3",
        "RolledBack",
    )
    assert [e["event"] for e in got["decided"]["events"]] == ["RolloutStarted", "RolledBack"]
    assert [v["verdict"] for v in got["decided"]["verdicts"] if v["name"] == "errors"] == ["Fail"]
    assert got["settings"] == {
        "steps": [
            {"weight": w, "minDuration": "10s", "minRequests": 20, "maxDuration": "2h10s"} for w in (10, 30, 60, 100)
        ],
        "guardrails": [
            {
                "name": "errors",
                "metric": "ErrorRate",
                "limit": "5%",
                "comparedToStable": {"maxRatio": "3"},
                "action": "RollBack",
            },
            {
                "name": "ttft",
                "metric": "TimeToFirstToken",
                "limit": "20%",
                "slowerThan": "2.5s",
                "action": "RollBack",
            },
        ],
        "risk": {"falseRollback": "1%", "falsePromotion": "5%"},
        "onInconclusive": "Hold",
    }
    pods = {i["instance"] for i in past.data["ledger"]["instances"]}
    assert pods
    assert [pod for pod in pods if pod in result.stdout] == []


def test_what_is_written_is_read_back_with_every_request() -> None:
    for past in (rolled_back(), promoted(), going_on()):
        ledger = from_record(past.data["ledger"])
        got = read(json.loads(json.dumps(past.recording())))
        assert got.slices == ledger.ring
        assert (got.began, got.until) == (ledger.began, ledger.now)
        assert got.measured == {series: min(steps) for series, steps in ledger.totals.items()}
        assert got.settings.guardrails == resolve_rollout(parse(past.obj).spec.rollout).guardrails
        assert got.settings.steps == resolve_rollout(parse(past.obj).spec.rollout).steps


def test_pauses_approvals_and_a_promotion_are_kept_with_their_times() -> None:
    past = promoted()
    got = past.recording()
    history = {e["event"]: e["at"] for e in past.obj["status"]["history"]}
    assert got["rollout"]["result"] == "Promoted"
    assert got["decided"]["pauses"] == [{"since": history["Paused"], "until": history["Resumed"]}]
    assert got["decided"]["approvals"] == [{"step": 3, "at": history["Approved"]}]
    # Without the events the status still knows which steps were approved.
    less = copy.deepcopy(past.obj)
    less["status"]["history"] = []
    ledger = from_record(past.data["ledger"])
    got = recorded(parse(less), less["status"], ledger)
    assert got["decided"]["approvals"] == [{"step": 3}]
    assert got["rollout"]["result"] == "Ended"


def test_a_guardrail_that_was_edited_in_mid_rollout_says_from_when_it_counts() -> None:
    past = going_on()
    ledger = from_record(past.data["ledger"])
    assert ledger.measures
    assert not ledger.anew
    assert [note for note in past.recording()["notes"] if "edited" in note] == []
    name, measure = next(iter(ledger.measures.items()))
    edited = replace(ledger, measures={**ledger.measures, name: replace(measure, since=ledger.began)})
    notes = recorded(parse(past.obj), past.obj["status"], edited)["notes"]
    since = format_time(ledger.began)
    assert f"guardrail {name} was edited or added in mid-rollout: its counts begin at {since}" in notes


def test_events_of_other_rollouts_are_left_out() -> None:
    past = rolled_back()
    obj = copy.deepcopy(past.obj)
    own = [e for e in obj["status"]["history"] if e["event"] in {"RolloutStarted", "RolledBack"}]
    earlier = [{**e, "at": e["at"].replace("2026", "2025"), "message": "of before"} for e in own]
    later = [{**e, "at": e["at"].replace("2026", "2027"), "message": "of later"} for e in own]
    obj["status"]["history"] = [*earlier, *own, *later]
    got = recorded(parse(obj), obj["status"], from_record(past.data["ledger"]))
    assert [e["message"] for e in got["decided"]["events"]] == [e["message"] for e in own]


def test_a_rollout_in_progress_says_that_it_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "now.json"
    result = going_on().terminal().run("record", "chat", "-o", str(file))
    assert (result.exit_code, result.stdout) == (0, "")
    got = json.loads(file.read_text())
    assert got["rollout"]["result"] == "InProgress"
    assert result.stderr.startswith("note: the rollout goes on: what came after 2026-12-01T")
    assert f"intervals of rollout {got['rollout']['id']} are in {file}" in result.stderr
    assert got["notes"] == [result.stderr.splitlines()[0].removeprefix("note: ")]


def test_intervals_that_were_put_together_are_told() -> None:
    past = promoted()
    lengths = [part.end - part.start for part in from_record(past.data["ledger"]).ring]
    assert max(lengths).total_seconds() < 30  # one look a second: pairs of pairs
    assert past.recording()["notes"] == []
    ledger = from_record(past.data["ledger"])
    wide = copy.deepcopy(past.data)
    rows = wide["ledger"]["ring"]["rows"]
    rows[0][0] = "2026-12-01T11:00:00Z"
    t = past.terminal()
    t.twin.records["ml", "chat"] = wide
    note = f"note: 1 of {len(ledger.ring)} intervals are longer than 30s, the longest 1h"
    assert note in t.run("record", "chat").stderr


def test_requests_whose_time_is_lost_are_kept_by_step() -> None:
    past = promoted()
    ledger = from_record(past.data["ledger"])
    data = copy.deepcopy(past.data)
    del data["ledger"]["ring"]["rows"][:2]
    t = past.terminal()
    t.twin.records["ml", "chat"] = data
    result = t.run("record", "chat")
    assert "early intervals are gone: " in result.stderr
    got = read(yaml.safe_load(result.stdout))
    assert got.slices[-1] == ledger.ring[-1]
    assert got.slices[0].start == ledger.began
    assert got.slices[0].end == ledger.ring[2].start
    for series, steps in ledger.totals.items():
        for step, counter in steps.items():
            found = [p.counts.get(series, Counter(0, 0)) for p in got.slices if p.step == step]
            assert (sum(c.total for c in found), sum(c.bad for c in found)) == (counter.total, counter.bad)


def no_limit_any_more(obj: dict[str, Any]) -> None:
    obj["spec"]["rollout"]["guardrails"][0]["limit"] = "7%"


def other_steps(obj: dict[str, Any]) -> None:
    obj["spec"]["rollout"]["steps"] = [{"weight": 50}, {"weight": 100}]


def newer(obj: dict[str, Any]) -> None:
    obj["status"]["rollout"]["id"] = "later000-1"


def unseen(obj: dict[str, Any]) -> None:
    obj["metadata"]["generation"] += 1


def one_more(obj: dict[str, Any]) -> None:
    obj["spec"]["rollout"]["guardrails"].append({"name": "late", "metric": "ErrorRate", "limit": "1%"})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (no_limit_any_more, "guardrail errors was judged last by the limit 5%, and spec.rollout says otherwise"),
        (other_steps, "the rollout had 4 steps and spec.rollout has 2 now: it was edited since"),
        (newer, "a newer rollout (later000-1) has begun and has no evidence yet: the settings are those of now"),
        (unseen, "the operator has not seen the last change of the spec"),
        (one_more, "nothing was counted for late"),
    ],
)
def test_settings_that_may_not_be_those_of_then_are_told(change: Callable[[dict[str, Any]], None], words: str) -> None:
    result = rolled_back().terminal(change).run("record", "chat")
    assert result.exit_code == 0
    assert words in result.stderr
    assert any(words in note for note in yaml.safe_load(result.stdout)["notes"])


def test_a_candidate_that_went_to_all_at_once() -> None:
    def at_once(obj: dict[str, Any]) -> None:
        obj["status"]["rollout"]["steps"] = 1

    got = yaml.safe_load(rolled_back().terminal(at_once).run("record", "chat").stdout)
    assert [step["weight"] for step in got["settings"]["steps"]] == [100]
    assert "it went to 100% at once and no guardrail was asked" in got["notes"][0]


def test_what_cannot_be_recorded_is_told(tmp_path: Path) -> None:
    past = rolled_back()
    t = past.terminal()
    t.twin.records.clear()
    result = t.run("record", "chat")
    assert (result.exit_code, result.stdout) == (4, "")
    assert result.stderr.startswith("Error: nothing to record: there is no RolloutRecord of chat in namespace ml.")

    t = past.terminal()
    t.twin.records["ml", "chat"]["ledger"]["format"] = 99
    result = t.run("record", "chat")
    assert result.exit_code == 1
    assert "cannot be read by version" in result.stderr
    assert "record.format must be 1, got 99" in result.stderr

    empty = copy.deepcopy(past.data)
    empty["ledger"] |= {"totals": [], "pairs": [], "ring": {"columns": [], "rows": []}}
    t.twin.records["ml", "chat"] = empty
    result = t.run("record", "chat")
    assert (result.exit_code, "has counted no requests" in result.stderr) == (4, True)

    def broken(obj: dict[str, Any]) -> None:
        obj["spec"]["rollout"]["steps"] = [{"weight": 5}]

    result = past.terminal(broken).run("record", "chat")
    assert result.exit_code == 1
    assert (
        "so the settings in force are not known: spec.rollout.steps: the last step must have weight 100"
        in result.stderr
    )

    t = past.terminal()
    t.twin.refuse = lambda sent: {"code": 403, "message": "forbidden"} if "rolloutrecords" in sent.path else None
    assert t.run("record", "chat").exit_code == 5
    assert past.terminal().run("record", "chatt").exit_code == 3
    result = past.terminal().run("record", "chat", "-o", str(tmp_path / "no" / "file.yaml"))
    assert (result.exit_code, "cannot write" in result.stderr) == (1, True)


def test_an_object_that_never_had_a_rollout() -> None:
    result = Terminal(llmd(waiting_for_approval())).run("record", "support-assistant")
    assert result.exit_code == 4


ROLLOUTS: list[dict[str, Any]] = [
    {},
    {"steps": [{"weight": 100, "maxDuration": "1m"}]},
    {"steps": [{"weight": 7, "minDuration": "0s", "minRequests": 0}, {"weight": 100, "pause": {"until": "Approved"}}]},
    {"steps": [{"weight": 1, "pause": {"until": "26h"}}, {"weight": 100, "maxDuration": "90s", "minDuration": "1.5s"}]},
    {
        "guardrails": [
            {"name": "a", "metric": "ErrorRate", "limit": "0.000123%"},
            {
                "name": "b",
                "metric": "RequestLatency",
                "slowerThan": "1h2m3.456s",
                "limit": "33.333333%",
                "action": "Hold",
            },
            {"name": "c", "metric": "ErrorRate", "comparedToStable": {"maxRatio": "123.4567", "require": "Pass"}},
        ],
        "risk": {"falsePromotion": "0.1%", "falseRollback": "12.345678%"},
        "onInconclusive": "RollBack",
    },
]


@pytest.mark.parametrize("raw", ROLLOUTS)
def test_settings_that_are_spelled_out_say_the_same(raw: dict[str, Any]) -> None:
    once = resolve_rollout(Rollout.model_validate(raw))
    assert read_settings(spelled_out(once)) == once


def path(*keys: Any, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        for key in keys[:-1]:
            document = document[key]
        document[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (path("kind", value="LLMDeployment"), "kind: 'LLMDeployment' is not possible here: write 'RolloutRecording'"),
        (path("apiVersion", value="solera.dev/v9"), "apiVersion: 'solera.dev/v9' is not possible here"),
        (path("rollout", "began", value="yesterday"), "rollout.began: 'yesterday' is not a point in time"),
        (path("settings", "risk", "falseRollback", value=5), "settings.risk.falseRollback: 5 must be text"),
        (path("settings", "steps", value=[{"weight": 5}]), "settings.steps: the last step must have weight 100"),
        (path("settings", "steps", value=3), "settings.steps"),
        (path("counts", "columns", 0, "arm", value="other"), "counts.columns[0].arm: 'other' is not possible here"),
        (path("counts", "intervals", 3, 5, value=-1), "counts.intervals[3][5]: -1 is no count"),
        (path("counts", "intervals", 3, 5, value=True), "counts.intervals[3][5]: True is no count"),
        (path("counts", "intervals", 3, 4, value=10**6), "counts.intervals[3]: 1000000 bad of "),
        (path("counts", "intervals", 3, 0, value=7), "counts.intervals[3][0]: 7 is not a point in time"),
        (
            path("counts", "intervals", 3, 1, value="2020-01-01T00:00:00Z"),
            "counts.intervals[3]: must end after its start",
        ),
        (path("counts", "intervals", 3, value=[]), "counts.intervals[3]: must hold start, end, step and "),
        (path("counts", "lost", value=[[1]]), "counts.lost[0]: must hold step and "),
        (path("counts", "columns", value=[]), "counts.columns: has too few items: at least 1"),
    ],
)
def test_a_recording_that_was_spoilt_names_the_field(change: Callable[[dict[str, Any]], None], words: str) -> None:
    document = copy.deepcopy(rolled_back().recording())
    change(document)
    with pytest.raises(InvalidSpec) as error:
        read(document)
    assert str(error.value).startswith(words)


def test_series_twice_and_the_same_revision_on_both_sides() -> None:
    document = rolled_back().recording()
    document["counts"]["columns"][1] = document["counts"]["columns"][0]
    with pytest.raises(InvalidSpec, match="every series may be there once"):
        read(document)
    document = rolled_back().recording()
    document["rollout"]["candidate"]["revision"] = document["rollout"]["stable"]["revision"]
    with pytest.raises(InvalidSpec, match="must differ"):
        read(document)
    with pytest.raises(InvalidSpec, match="holds no object"):
        read([])


def test_the_ledger_that_is_recorded_is_not_changed() -> None:
    past = promoted()
    before = from_record(past.data["ledger"])
    recorded(parse(past.obj), past.obj["status"], before)
    assert to_record(before) == past.data["ledger"]
