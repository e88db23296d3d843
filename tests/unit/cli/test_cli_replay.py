"""replay: a recorded rollout decided again, beside what the planner had really decided."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from sim.world import manifest
from solera.api.recording import read_settings, spelled_out
from solera.api.scalars import parse_time
from solera.cli.flags import Environment
from solera.cli.main import cli
from solera.cli.offline.settings import SettingError, changed, differences
from solera.plan.recording import Recording, read
from solera.plan.replay import Replay, replay
from unit.cli.objects import NOW
from unit.cli.rollouts import Past, both_bad, going_on, promoted, rolled_back, rolled_back_late
from unit.cli.test_cli_get import Terminal


def slowly() -> Past:
    """Bad enough to be rolled back, but not at once."""
    return rolled_back(0.1, 1)


def again(past: Past, *sets: str, risks: tuple[str, ...] = ()) -> Replay:
    recording = read(past.recording())
    return replay(recording, settings(recording, *sets, risks=risks))


def settings(recording: Recording, *sets: str, risks: tuple[str, ...] = ()) -> Any:
    return read_settings(changed(spelled_out(recording.settings), sets, risks))


def told(past: Past, event: str) -> tuple[datetime, str]:
    return next((parse_time(e["at"]), e["message"]) for e in past.obj["status"]["history"] if e["event"] == event)


def run(tmp_path: Path, *arguments: str, files: dict[str, Any], stdin: str | None = None) -> Result:
    for name, content in files.items():
        text = (
            content
            if isinstance(content, str)
            else yaml.safe_dump_all(content if isinstance(content, list) else [content])
        )
        (tmp_path / name).write_text(text)
    named = [str(tmp_path / a) if a in files else a for a in arguments]
    result = CliRunner().invoke(cli, ["replay", *named], obj=Environment(now=lambda: NOW), input=stdin)
    result.stdout_bytes = result.stdout_bytes.replace(f"{tmp_path}/".encode(), b"")
    result.stderr_bytes = result.stderr_bytes.replace(f"{tmp_path}/".encode(), b"")
    return result


# -- with the recorded settings it decides what was decided


@pytest.mark.parametrize("share", [0.1, 0.2, 0.6])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_rollback_comes_at_the_same_look_for_the_same_reason(seed: int, share: float) -> None:
    past = rolled_back(share, seed)
    at, message = told(past, "RolledBack")
    found = again(past)
    assert found.rolled_back_at == at
    assert message == f"v3 is rolled back: {found.reason}"
    assert found.free_at is None
    assert found.unseen == 0


def test_a_promotion_is_free_when_it_went() -> None:
    past = promoted()
    found = again(past)
    recording = read(past.recording())
    went = next(part.start for part in recording.slices if part.step == 3)
    assert found.free_at == went
    assert (found.rolled_back_at, found.reason) == (None, None)
    assert found.proven_at is not None
    assert found.proven_at < found.free_at
    # Each step was left at the look at which its gate opened, the pause and the approval included.
    assert [(s.index, s.left) for s in found.steps] == [(s.index, s.open_at) for s in found.steps[:3]] + [(3, None)]
    resumed, approved = told(past, "Resumed")[0], told(past, "Approved")[0]
    assert found.steps[0].open_at is not None
    assert found.steps[0].open_at > resumed
    assert found.steps[2].open_at == approved
    paused = [look for look in found.looks if look.gate is not None and look.gate.reason == "Paused"]
    assert [look.at >= told(past, "Paused")[0] for look in paused] == [True]


def test_the_watch_after_a_promotion_is_replayed_too() -> None:
    past = rolled_back_late()
    at, message = told(past, "RolledBack")
    found = again(past)
    assert found.free_at is not None
    assert found.rolled_back_at == at
    assert found.reason is not None
    assert message.endswith(found.reason)
    # By then nothing is compared with stable any more, so what only compares ends with the promotion.
    recording = read(past.recording())
    found = replay(
        recording,
        settings(
            recording,
            "limit=errors=none",
            "require=errors=Pass",
            "limit=ttft=none",
            "require=ttft=Pass",
            "maxRatio=ttft=2",
        ),
    )
    assert found.last.at <= told(past, "Promoted")[0]


def test_an_incident_that_both_sides_share_is_held() -> None:
    past = both_bad()
    found = again(past)
    assert found.rolled_back_at is None
    assert {v.name: v.verdict for v in found.last.verdicts}["errors"] == "SharedIncident"
    status = {g["name"]: g["message"] for g in past.obj["status"]["guardrails"]}
    assert {v.name: v.reason for v in found.last.verdicts} == status


def test_the_last_verdicts_are_those_of_the_status() -> None:
    past = going_on()
    found = again(past)
    # The record is as old as the last change of a step or a verdict, the status is newer.
    recording = read(past.recording())
    assert found.last.at == recording.slices[-1].end
    assert [v.verdict for v in found.last.verdicts] == [g["verdict"] for g in past.obj["status"]["guardrails"]]


# -- with other settings


def test_a_looser_limit_lets_go_on_and_a_tighter_one_stops_earlier() -> None:
    assert again(rolled_back(), "limit=errors=60%").rolled_back_at is None
    loose = again(promoted(), "limit=errors=1.2%")
    assert (loose.free_at, loose.rolled_back_at) == (None, None)
    assert loose.steps[2].waits is not None
    assert "waits for proof before 100%" in loose.steps[2].waits
    was, tight = again(slowly()), again(slowly(), "limit=errors=2%")
    assert was.rolled_back_at is not None
    assert tight.rolled_back_at is not None
    assert tight.rolled_back_at < was.rolled_back_at
    assert tight.last.at == tight.rolled_back_at
    assert (was.unseen, tight.unseen > 0) == (0, True)
    # Stable breaks a limit of 0.2%, too.
    assert again(promoted(), "limit=errors=0.2%", "maxRatio=errors=none").rolled_back_at is None


def test_a_smaller_risk_needs_more_evidence() -> None:
    found = [again(promoted(), risks=(f"falsePromotion={risk}",)).proven_at for risk in ("20%", "5%", "0.1%")]
    assert all(at is not None for at in found)
    assert found == sorted(set(found), key=lambda at: at or NOW)


def test_a_comparison_alone_can_roll_back() -> None:
    past = rolled_back_late()
    assert again(past, "limit=errors=90%", "maxRatio=errors=none").rolled_back_at is None
    # Until the promotion the candidate was as good as stable; what came then is not compared.
    assert again(past, "limit=errors=90%", "maxRatio=errors=1.1").rolled_back_at is None
    found = again(slowly(), "limit=errors=90%", "maxRatio=errors=1.1")
    assert found.rolled_back_at is not None
    assert found.reason is not None
    assert "shown to be over 1.1 times" in found.reason


def test_conditions_of_steps_move_when_a_step_may_be_left() -> None:
    before = again(promoted()).steps
    after = again(promoted(), "minRequests=1=100000", "minDuration=2=15s").steps
    assert after[0].open_at is None
    assert after[0].waits is not None
    assert after[0].waits.startswith("step 1 of 4 (10%) waits for requests")
    assert before[1].open_at is not None
    assert after[1].open_at is not None
    assert before[1].open_at - after[1].open_at >= timedelta(seconds=4)


def test_what_stays_inconclusive_is_rolled_back_where_that_is_wanted() -> None:
    sets = ("minRequests=1=100000", "minDuration=1=5s", "maxDuration=1=15s")
    assert again(promoted(), *sets).rolled_back_at is None
    found = again(promoted(), *sets, "onInconclusive=RollBack")
    assert found.reason is not None
    assert found.reason.endswith("inconclusive after 15s")
    # The pause does not count.
    assert found.rolled_back_at is not None
    assert found.rolled_back_at > told(promoted(), "Resumed")[0]


def test_an_action_that_only_observes_decides_nothing() -> None:
    assert again(rolled_back(), "action=errors=Observe").rolled_back_at is None


def test_a_source_that_counted_nothing_holds() -> None:
    document = promoted().recording()
    document["counts"]["columns"].append(
        {"source": "gateway", "arm": "candidate", "guardrail": "errors", "sinceStep": 0}
    )
    for row in document["counts"]["intervals"]:
        row += [0, 0]
    recording = read(document)
    found = replay(recording, recording.settings)
    assert {v.name: (v.verdict, v.source) for v in found.last.verdicts}["errors"] == ("NoData", "gateway")
    assert found.free_at is None


def test_counts_without_their_times_come_first() -> None:
    document = promoted().recording()
    rows = document["counts"]["intervals"]
    half = len(rows) // 2
    by_step: dict[int, list[int]] = {}
    for row in rows[:half]:
        old = by_step.setdefault(row[2], [0] * (len(row) - 3))
        by_step[row[2]] = [a + b for a, b in zip(old, row[3:], strict=True)]
    document["counts"] |= {"intervals": rows[half:], "lost": [[step, *numbers] for step, numbers in by_step.items()]}
    recording = read(document)
    found = replay(recording, recording.settings)
    whole = again(promoted())
    assert [(v.samples, v.bad, v.verdict) for v in found.last.verdicts] == [
        (v.samples, v.bad, v.verdict) for v in whole.last.verdicts
    ]
    assert found.free_at == whole.free_at


# -- the flags


def test_settings_are_changed_one_by_one() -> None:
    recording = read(promoted().recording())
    got = settings(
        recording,
        "limit=errors=3%",
        "require=errors=Pass",
        "action=ttft=Hold",
        "minRequests=2=7",
        "minDuration=2=1m",
        "maxDuration=2=3m",
        "onInconclusive=RollBack",
        risks=("falseRollback=2%", "falsePromotion=3%"),
    )
    assert [tuple(d) for d in differences(spelled_out(recording.settings), spelled_out(got))] == [
        ("step 2 minDuration", "20s", "1m"),
        ("step 2 minRequests", "20", "7"),
        ("step 2 maxDuration", "2h20s", "3m"),
        ("errors limit", "5%", "3%"),
        ("ttft action", "RollBack", "Hold"),
        ("risk falseRollback", "1%", "2%"),
        ("risk falsePromotion", "5%", "3%"),
        ("onInconclusive", "Hold", "RollBack"),
        ("errors comparedToStable require", None, "Pass"),
    ]
    assert settings(recording, "require=errors=Pass", "limit=errors=none").guardrails[0].limit is None
    assert settings(recording, "maxRatio=errors=none").guardrails[0].max_ratio is None


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--set", "limit"), "--set limit cannot be read: write limit=errors=2%"),
        (("--set", "limit=2%"), "--set limit=2% cannot be read"),
        (("--set", "weight=1=20"), "--set weight=1=20 cannot be read"),
        (("--set", "limit=latency=2%"), "there is no guardrail latency; there is errors, ttft"),
        (("--set", "minRequests=5=10"), "there is no step 5; write a number from 1 to 4"),
        (("--set", "minRequests=0=10"), "there is no step 0"),
        (("--set", "minRequests=1=many"), "settings.steps[0].minRequests: 'many' must be a whole number"),
        (("--set", "limit=errors=2"), "settings.guardrails[0].limit: '2' is not a percentage"),
        (("--set", "limit=errors=0%"), "settings.guardrails[0].limit: '0%' is out of range"),
        (("--set", "maxDuration=1=5s"), "settings.steps[0].maxDuration: maxDuration must be longer than minDuration"),
        (("--set", "action=errors=Explode"), "settings.guardrails[0].action: 'Explode' is not possible here"),
        (("--set", "limit=errors=none"), "settings.guardrails[0].limit: write limit, or comparedToStable with require"),
        (
            ("--set", "slowerThan=ttft=3s"),
            "only how many requests were slower was counted, so another slowerThan cannot",
        ),
        (
            ("--risk", "falseRollback"),
            "--risk falseRollback cannot be read: write falseRollback=1% or falsePromotion=1%",
        ),
        (("--risk", "falseAlarm=1%"), "--risk falseAlarm=1% cannot be read"),
        (("--risk", "falseRollback=60%"), "settings.risk.falseRollback: '60%' is out of range"),
        (("--name", "chat"), "--name belongs to --manifest"),
    ],
)
def test_flags_that_make_no_setting_say_what_to_write(tmp_path: Path, flags: tuple[str, ...], words: str) -> None:
    result = run(tmp_path, "r.yaml", *flags, files={"r.yaml": going_on().recording()})
    assert (result.exit_code, result.stdout) == (2, "")
    assert words in " ".join(result.stderr.split())


def test_flags_do_not_change_what_they_are_given() -> None:
    before = spelled_out(read(promoted().recording()).settings)
    kept_ = copy.deepcopy(before)
    changed(before, ["limit=errors=3%", "maxRatio=errors=2", "minRequests=1=5"], ["falseRollback=2%"])
    assert before == kept_
    with pytest.raises(SettingError):
        changed({}, ["limit=errors=3%"], [])


# -- the verb


def other(**rollout: Any) -> dict[str, Any]:
    """A manifest with the same guardrails, and parts of its rollout replaced."""
    spec = copy.deepcopy(promoted().obj["spec"])
    spec["rollout"] |= rollout
    return {"apiVersion": "solera.dev/v1alpha1", "kind": "LLMDeployment", "metadata": {"name": "chat"}, "spec": spec}


def guardrails(change: Callable[[list[dict[str, Any]]], None]) -> dict[str, Any]:
    found = copy.deepcopy(promoted().obj["spec"]["rollout"]["guardrails"])
    change(found)
    return other(guardrails=found)


def test_for_people(tmp_path: Path) -> None:
    result = run(tmp_path, "r.yaml", "--set", "limit=errors=60%", files={"r.yaml": rolled_back().recording()})
    assert result.exit_code == 0, result.stderr
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert (
        lines[1]
        == "The requests are the recorded ones, at the weights of that time: other settings do not bring others."
    )
    at, message = told(rolled_back(), "RolledBack")
    assert f"Really: RolledBack at {at:%Y-%m-%dT%H:%M:%SZ}: {message}" in lines
    assert any(
        line.startswith(f"Replayed as recorded: rolled back at {at:%Y-%m-%dT%H:%M:%SZ}: errors: ") for line in lines
    )
    assert any(line.startswith("Replayed with these settings: no decision by ") for line in lines)
    assert "errors limit 5% 60%" in lines
    result = run(tmp_path, "r.yaml", files={"r.yaml": promoted().recording()})
    assert "Replayed with these settings" not in result.stdout
    assert "SETTING" not in result.stdout
    assert ", not rolled back" in result.stdout


def test_a_manifest_gives_the_settings(tmp_path: Path) -> None:
    def limits(found: list[dict[str, Any]]) -> None:
        found[0]["limit"] = "2%"
        del found[0]["comparedToStable"]
        del found[1]

    files = {"r.yaml": slowly().recording(), "other.yaml": guardrails(limits)}
    result = run(tmp_path, "r.yaml", "--manifest", "other.yaml", "-o", "json", files=files)
    assert result.exit_code == 0, result.stderr
    got = json.loads(result.stdout)
    assert got["replayed"]["rolledBackAt"] < got["asRecorded"]["rolledBackAt"]
    assert [g["name"] for g in got["end"]["guardrails"]] == ["errors"]
    assert ("ttft limit", "20%", None) in [(c["setting"], c["recorded"], c["replayed"]) for c in got["changes"]]
    # Flags go on top of it.
    result = run(tmp_path, "r.yaml", "--manifest", "other.yaml", "--set", "limit=errors=50%", "-o", "json", files=files)
    assert json.loads(result.stdout)["replayed"]["rolledBackAt"] is None


def test_other_weights_are_not_replayed_and_that_is_told(tmp_path: Path) -> None:
    files = {"r.yaml": promoted().recording(), "other.yaml": other(steps=[{"weight": 50}, {"weight": 100}])}
    result = run(tmp_path, "r.yaml", "--manifest", "other.yaml", files=files)
    assert result.exit_code == 0, result.stderr
    assert (
        "? other weights cannot be replayed: the steps are the recorded ones (10%, 30%, 60%, 100%), with their conditions"
        in result.stdout
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda g: g[1].update(slowerThan="3s"),
            "guardrails[ttft].slowerThan: only how many requests were slower than that was counted, so another one cannot be replayed: keep 2.5s",
        ),
        (
            lambda g: g[1].update(metric="RequestLatency"),
            "guardrails[ttft].metric: TimeToFirstToken was counted, so RequestLatency cannot be replayed",
        ),
        (
            lambda g: g[0].update(name="faults"),
            "guardrails[faults]: nothing was counted for it; the recording has errors, ttft",
        ),
        (lambda g: g.clear(), "guardrails: there is none, so there is nothing to decide by"),
    ],
)
def test_what_was_not_counted_cannot_be_replayed(
    tmp_path: Path, change: Callable[[list[dict[str, Any]]], None], words: str
) -> None:
    files = {"r.yaml": going_on().recording(), "other.yaml": guardrails(change)}
    result = run(tmp_path, "r.yaml", "--manifest", "other.yaml", files=files)
    assert (result.exit_code, result.stdout) == (6, "")
    assert f"Error: other.yaml cannot be replayed: {words}" in result.stderr


def test_a_guardrail_that_has_left_the_manifest_since_is_taken_at_its_word(tmp_path: Path) -> None:
    document = promoted().recording()
    document["settings"]["guardrails"] = document["settings"]["guardrails"][:1]
    result = run(tmp_path, "r.yaml", "--manifest", "other.yaml", files={"r.yaml": document, "other.yaml": other()})
    assert result.exit_code == 0, result.stderr
    assert "? the recording does not say what ttft counted" in result.stdout


def test_as_a_document(tmp_path: Path) -> None:
    for form, load in (("json", json.loads), ("yaml", yaml.safe_load)):
        result = run(tmp_path, "r.yaml", "-o", form, files={"r.yaml": promoted().recording()})
        got = load(result.stdout)
        assert (got["apiVersion"], got["kind"]) == ("cli.solera.dev/v1", "Replay")
        assert (got["namespace"], got["name"], got["stable"], got["candidate"]) == ("ml", "chat", "v1", "v2")
        assert got["decided"]["result"] == "Promoted"
        assert got["decided"]["toAllAt"] == got["replayed"]["freeAt"]
        assert (got["changes"], got["unseen"]) == ([], 0)
        assert got["steps"][2] | {"began": "", "left": "", "openAt": ""} == {
            "number": 3,
            "weight": 60,
            "began": "",
            "left": "",
            "openAt": "",
            "waits": None,
        }
        (errors, _) = got["end"]["guardrails"]
        assert (errors["name"], errors["verdict"], errors["limit"], errors["source"]) == (
            "errors",
            "Pass",
            "5%",
            "engine",
        )
        assert errors["estimate"].endswith("%")
        assert [look["step"] for look in got["looks"]][:2] == [None, 1]


def test_files_that_hold_no_recording(tmp_path: Path) -> None:
    document = going_on().recording()
    spec = {
        "apiVersion": "solera.dev/v1alpha1",
        "kind": "LLMDeployment",
        "metadata": {"name": "chat"},
        "spec": manifest(),
    }
    spoilt = copy.deepcopy(document)
    spoilt["counts"]["intervals"][0][4] = "x"
    empty = copy.deepcopy(document)
    empty["counts"]["intervals"] = []
    files = {
        "m.yaml": spec,
        "two.yaml": [document, document],
        "bad.yaml": "a: [",
        "spoilt.yaml": spoilt,
        "empty.yaml": empty,
    }
    for file, code, words in (
        ("m.yaml", 4, "m.yaml has no RolloutRecording; kubectl solera record NAME -o FILE writes one"),
        ("two.yaml", 4, "two.yaml has 2 RolloutRecordings: give one"),
        ("bad.yaml", 6, "bad.yaml: line 1"),
        ("spoilt.yaml", 6, "spoilt.yaml cannot be read: counts.intervals[0][4]: 'x' is no count"),
        ("empty.yaml", 6, "empty.yaml cannot be replayed: counts.intervals: there is none"),
        ("absent.yaml", 2, "there is no file or folder absent.yaml"),
    ):
        result = run(tmp_path, file, files=files)
        assert (result.exit_code, result.stdout) == (code, ""), result.stderr
        assert words in result.stderr
    result = run(tmp_path, "-", "--manifest", "-", files={})
    assert result.exit_code == 2


def test_standard_input_and_the_plugin(tmp_path: Path) -> None:
    text = json.dumps(rolled_back().recording())
    mine = run(tmp_path, "-", files={}, stdin=text)
    t = Terminal()
    theirs = t.run("replay", "-", stdin=text)
    assert (mine.exit_code, mine.stdout) == (0, theirs.stdout)
    assert t.targets == []
