"""plan and lint: what a manifest leads to, and what is wrong with it, without a cluster."""

from __future__ import annotations

import copy
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import Result

from solera.api.llmdeployment import parse
from solera.api.scalars import parse_duration
from solera.cli.offline.changes import changes
from solera.cli.offline.concerns import NAMES, Manifest, concerns, manifest
from solera.cli.offline.forecast import forecast
from solera.cli.views import times
from solera.plan.evidence import Counter, Reading, absorb, new_ledger
from solera.plan.intervals import EVIDENCE_INTERVAL
from solera.plan.verdict import judge
from unit.cli.objects import NOW, SPEC
from unit.cli.test_cli_get import Terminal

EXAMPLES = Path(__file__).parents[3] / "examples"
AT = datetime(2026, 11, 24, tzinfo=UTC)
FULL = {
    **SPEC,
    "serve": "v1",
    "template": {
        "engine": {"name": "vLLM", "version": "0.18.1", "image": "vllm/vllm-openai:v0.18.1"},
        "replicas": 2,
        "resources": {"gpus": 2},
        "drainTimeout": "2m",
        "cache": {"persistentVolumeClaim": {"size": "100Gi"}},
    },
    "traffic": {"gateway": {"parentRefs": [{"name": "inference"}], "hostnames": ["chat.example.com"]}},
    "rollout": {
        "steps": [{"weight": 10, "minDuration": "10m", "minRequests": 100}, {"weight": 100, "minDuration": "5m"}],
        "guardrails": [{"name": "errors", "metric": "ErrorRate", "limit": "1%"}],
    },
}
FULL["versions"] = [
    SPEC["versions"][0]
    | {"lifecycle": {"retiresAt": "2027-03-01T00:00:00Z", "successor": "v2", "migrateBefore": "24h"}},
    SPEC["versions"][1] | {"lifecycle": {"retiresAt": "2028-03-01T00:00:00Z", "onRetirement": "Refuse"}},
]


def made(**spec: Any) -> dict[str, Any]:
    metadata = {"name": "chat", "namespace": "ml"}
    body = copy.deepcopy(FULL | spec)
    return {"apiVersion": "solera.dev/v1alpha1", "kind": "LLMDeployment", "metadata": metadata, "spec": body}


def life(index: int, **changed: Any) -> dict[str, Any]:
    """The whole manifest with other dates for one version; None takes a field away."""
    obj = made()
    version = obj["spec"]["versions"][index]
    version["lifecycle"] = {k: v for k, v in (version["lifecycle"] | changed).items() if v is not None}
    return obj


def template(**changed: Any) -> dict[str, Any]:
    return made(template={k: v for k, v in (FULL["template"] | changed).items() if v is not None})


def read(obj: dict[str, Any], at: datetime = AT) -> Manifest:
    return manifest(parse(obj), at)


def run(tmp_path: Path, *arguments: str, files: dict[str, Any] | None = None, stdin: str | None = None) -> Result:
    """The verb, in a folder with these files; documents of a list are parted by lines."""
    for name, content in (files or {}).items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        several = content if isinstance(content, list) else [content]
        path.write_text(content if isinstance(content, str) else yaml.safe_dump_all(several))
    named = [str(tmp_path / a) if a in (files or {}) or a == "." else a for a in arguments]
    t = Terminal()
    result = t.run(*named, stdin=stdin)
    assert t.targets == [], "it asked for a cluster"
    result.stdout_bytes = result.stdout_bytes.replace(f"{tmp_path}/".encode(), b"")
    result.stderr_bytes = result.stderr_bytes.replace(f"{tmp_path}/".encode(), b"")
    return result


# -- lint


def test_a_manifest_with_nothing_to_say_about(tmp_path: Path) -> None:
    result = run(tmp_path, "lint", "chat.yaml", files={"chat.yaml": made()})
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "1 LLMDeployment: 0 mistakes, 0 warnings\n"


BROKEN = made(serve="v3", template={"engine": {"name": "vLLM"}}, rollout={"steps": [{"weight": 0}, {"weight": 5}]})


def test_every_mistake_is_told_at_once_with_its_field(tmp_path: Path) -> None:
    result = run(tmp_path, "lint", "chat.yaml", files={"chat.yaml": BROKEN})
    assert result.exit_code == 6
    paths = {text.split(": ")[2] for text in result.stdout.splitlines()}
    assert {"spec.serve", "spec.rollout.steps[0].weight", "spec.rollout.steps", "spec.template.engine.image"} & paths
    assert "spec.serve" in paths
    assert len(paths) >= 3
    assert all(text.startswith("chat.yaml: error: ") for text in result.stdout.splitlines())


def test_what_only_the_writing_of_pods_refuses_is_a_mistake_too(tmp_path: Path) -> None:
    obj = template(engine=FULL["template"]["engine"] | {"args": ["--port=1"]})
    result = run(tmp_path, "lint", "chat.yaml", files={"chat.yaml": obj})
    assert result.exit_code == 6
    at, words = "chat.yaml: error: spec.template.engine.args[0]", "'--port=1' cannot be set here; write template.port"
    assert result.stdout.splitlines() == [f"{at}: version v1: {words}", f"{at}: version v2: {words}"]


def test_folders_lists_other_kinds_and_what_is_no_yaml(tmp_path: Path) -> None:
    other = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}}
    listed = {"apiVersion": "v1", "kind": "List", "items": [made(), other]}
    files = {
        "a/chat.yaml": [other, made(serve="v9")],
        "a/deep/list.json": json.dumps(listed),
        "a/.hidden/wrong.yaml": "a: [",
        "a/notes.txt": "not: [yaml",
        "b.yaml": "spec:\n\tserve: v1\n",
        "c.yaml": "a: 1\na: 2\n",
    }
    result = run(tmp_path, "lint", ".", files=files)
    assert result.exit_code == 6
    lines = result.stdout.splitlines()
    assert [text.split(": ")[0] for text in lines] == ["a/chat.yaml#2", "b.yaml", "c.yaml"]
    assert lines[1] == "b.yaml: error: line 2, column 1: a tab cannot indent YAML: write spaces"
    assert lines[2] == "c.yaml: error: line 2, column 1: a is there twice: write it once"
    assert result.stderr.splitlines() == [
        "a/chat.yaml#1: skipped, a Service",
        "a/deep/list.json[1]: skipped, a Service",
        "Error: 2 LLMDeployments: 3 mistakes, 0 warnings",
    ]


def test_standard_input_and_what_has_no_kind(tmp_path: Path) -> None:
    assert run(tmp_path, "lint", "-", stdin=yaml.safe_dump(made())).exit_code == 0
    result = run(tmp_path, "lint", "-", stdin="just text\n---\nspec: {}\n")
    assert result.exit_code == 6
    assert {text.split(": ")[0] for text in result.stdout.splitlines()} == {"standard input#1", "standard input#2"}


def test_nothing_to_look_at_and_files_that_are_not_there(tmp_path: Path) -> None:
    result = run(tmp_path, "lint", "s.yaml", files={"s.yaml": {"apiVersion": "v1", "kind": "Service"}})
    assert (result.exit_code, result.stdout) == (4, "")
    result = run(tmp_path, "lint", "nowhere.yaml")
    assert result.exit_code == 2
    assert "there is no file or folder nowhere.yaml" in result.stderr
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe")
    assert "binary.yaml: error: this is not UTF-8" in run(tmp_path, "lint", ".").stdout
    assert run(tmp_path, "lint").exit_code == 2


def test_strict_and_skip(tmp_path: Path) -> None:
    files = {"chat.yaml": made(owner={})}
    result = run(tmp_path, "lint", "chat.yaml", files=files)
    words = "spec.owner: nobody is named who answers for this model: write team and contact (no-owner)"
    assert (result.exit_code, result.stdout) == (0, f"chat.yaml: warning: {words}\n")
    assert run(tmp_path, "lint", "chat.yaml", "--strict", files=files).exit_code == 6
    assert run(tmp_path, "lint", "chat.yaml", "--strict", "--skip", "no-owner", files=files).exit_code == 0
    result = run(tmp_path, "lint", "chat.yaml", "--skip", "nobody", files=files)
    assert result.exit_code == 2
    assert "there is no such rule; there are all-hostnames, " in result.stderr


def test_lint_as_a_document(tmp_path: Path) -> None:
    other = {"apiVersion": "v1", "kind": "Service"}
    files = {"chat.yaml": [made(owner={}), other], "wrong.yaml": "a: ["}
    got = json.loads(run(tmp_path, "lint", ".", "-o", "json", files=files).stdout)
    assert (got["apiVersion"], got["kind"], got["checked"]) == ("cli.solera.dev/v1", "LintReport", 1)
    assert got["skipped"] == [{"place": f"{tmp_path}/chat.yaml#2".removeprefix(f"{tmp_path}/"), "kind": "Service"}]
    assert [(f["name"], f["level"], f["path"], f["rule"]) for f in got["findings"]] == [
        ("chat", "warning", "spec.owner", "no-owner"),
        (None, "error", "", None),
    ]


def adaptive(**changes: Any) -> dict[str, Any]:
    """An adaptive rollout; `maxHarmedRequests` and fields of the rollout are replaced."""
    risk = {"maxHarmedRequests": changes.pop("maxHarmedRequests", 50)}
    guardrails = [{"name": "errors", "metric": "ErrorRate", "limit": "1%"}]
    return made(rollout={"strategy": "Adaptive", "risk": risk, "guardrails": guardrails, **changes})


CONCERNS: dict[str, tuple[dict[str, Any], str, str]] = {
    "no owner": (made(owner={}), "no-owner", "spec.owner"),
    "no date": (life(1, retiresAt=None, onRetirement=None), "no-retires-at", "spec.versions[1].lifecycle.retiresAt"),
    "held for want of a successor": (
        life(1, onRetirement=None),
        "retirement-held",
        "spec.versions[1].lifecycle.onRetirement",
    ),
    "held on purpose": (life(0, onRetirement="Hold"), "retirement-held", "spec.versions[0].lifecycle.onRetirement"),
    "date has passed": (
        life(0, retiresAt="2026-11-01T00:00:00Z", onRetirement="Refuse", successor=None),
        "retired-already",
        "spec.versions[0].lifecycle.retiresAt",
    ),
    "successor goes first": (
        life(1, retiresAt="2027-02-01T00:00:00Z"),
        "successor-retires-first",
        "spec.versions[0].lifecycle.successor",
    ),
    "too late": (life(0, migrateBefore="10m"), "too-late-to-hand-over", "spec.versions[0].lifecycle.migrateBefore"),
    "tight": (life(0, migrateBefore="20m"), "tight-hand-over", "spec.versions[0].lifecycle.migrateBefore"),
    "pause for ever": (
        made(rollout=FULL["rollout"] | {"steps": [{"weight": 50, "pause": {"until": "Approved"}}, {"weight": 100}]}),
        "waits-for-ever",
        "spec.rollout.steps[0].pause.until",
    ),
    "nothing watches": (made(rollout={}), "no-guardrails", "spec.rollout.guardrails"),
    "nothing acts": (
        made(rollout={"guardrails": [{"name": "e", "metric": "ErrorRate", "limit": "1%", "action": "Observe"}]}),
        "only-observed",
        "spec.rollout.guardrails",
    ),
    "does not count": (
        template(engine={"name": "OpenAI", "image": "x:1"}),
        "engine-does-not-count",
        "spec.rollout.guardrails",
    ),
    "a small budget": (
        adaptive(maxHarmedRequests=49, onInconclusive="RollBack"),
        "small-budget",
        "spec.rollout.risk.maxHarmedRequests",
    ),
    "a budget that is no bound": (adaptive(), "budget-only-stops", "spec.rollout.onInconclusive"),
    "latest": (
        template(engine=FULL["template"]["engine"] | {"image": "vllm/vllm-openai:latest"}),
        "image-may-move",
        "spec.template.engine.image",
    ),
    "no tag": (
        template(engine=FULL["template"]["engine"] | {"image": "registry:5000/vllm"}),
        "image-may-move",
        "spec.template.engine.image",
    ),
    "no engine version": (
        template(engine={"name": "vLLM", "image": "vllm/vllm-openai:v0.18.1"}),
        "no-engine-version",
        "spec.template.engine.version",
    ),
    "no replicas": (template(replicas=0), "no-replicas", "spec.template.replicas"),
    "takes all": (template(replicas=1, headroom="None"), "restart-takes-all", "spec.template.headroom"),
    "drain": (template(drainTimeout=None), "default-drain", "spec.template.drainTimeout"),
    "cache": (template(cache=None), "no-cache", "spec.template.cache"),
    "hosts": (
        made(traffic={"gateway": {"parentRefs": [{"name": "inference"}]}}),
        "all-hostnames",
        "spec.traffic.gateway.hostnames",
    ),
}


@pytest.mark.parametrize(("obj", "rule", "path"), CONCERNS.values(), ids=CONCERNS)
def test_what_is_seldom_meant_is_warned_of_once(obj: dict[str, Any], rule: str, path: str) -> None:
    assert [(c.rule, c.path) for c in concerns(read(obj))] == [(rule, path)]


def test_every_rule_has_a_case_or_is_about_several_manifests() -> None:
    told = {rule for _, rule, _ in CONCERNS.values()}
    assert told | {"hostname-twice", "name-twice"} == NAMES


def test_a_warning_that_is_true_of_one_version_names_that_version() -> None:
    obj = made()
    obj["spec"]["versions"][1]["template"] = {"replicas": 0}
    assert [c.path for c in concerns(read(obj))] == ["spec.versions[1].template.replicas"]


@pytest.mark.parametrize("image", ["a/b@sha256:" + "0" * 64, "registry:5000/a/b:v1", "b:1"])
def test_images_that_stay(image: str) -> None:
    assert concerns(read(template(engine=FULL["template"]["engine"] | {"image": image}))) == []


def test_two_manifests_side_by_side(tmp_path: Path) -> None:
    second = made() | {"metadata": {"name": "search", "namespace": "ml"}}
    elsewhere = made() | {"metadata": {"name": "chat", "namespace": "web"}}
    files = {"1.yaml": made(), "2.yaml": second, "3.yaml": made(), "4.yaml": elsewhere}
    result = run(tmp_path, "lint", ".", files=files)
    assert result.exit_code == 0
    twice = "chat.example.com belongs to the model in 1.yaml, too: the younger of the two is stalled"
    assert [text.partition(" (")[0] for text in result.stdout.splitlines()] == [
        f"2.yaml: warning: spec.traffic.gateway.hostnames[0]: {twice}",
        "3.yaml: warning: metadata.name: chat is in 1.yaml, too: the one that is applied last wins",
    ]


def test_the_examples_of_this_project_hold() -> None:
    right = sorted(str(path) for path in EXAMPLES.glob("*.yaml"))  # those that are wrong on purpose stand below
    result = Terminal().run("lint", *right)
    assert (result.exit_code, result.stderr.splitlines()[-1].split(", ")[0]) == (0, "5 LLMDeployments: 0 mistakes")


# -- plan: what changes


def edited(path: str, value: Any) -> dict[str, Any]:
    """The manifest with one field set; `path` is parted by dots, numbers are indices."""
    obj = made()
    *way, last = re.findall(r"[^.]+", path)
    here: Any = obj["spec"]
    for key in way:
        here = here[int(key)] if key.isdigit() else here.setdefault(key, {})
    here[last] = value
    return obj


CHANGES = [
    ("serve", "v2", ("spec.serve", "Plan")),
    ("modelName", "assistant", ("spec.modelName", "NewRevision")),
    ("owner.team", "other", ("spec.owner.team", "Plan")),
    ("template.engine.args", ["--max-model-len=8192"], ("spec.versions[v1].template.engine.args", "NewRevision")),
    ("template.resources.gpus", 1, ("spec.versions[v1].template.resources.gpus", "NewRevision")),
    ("template.replicas", 5, ("spec.versions[v1].template.replicas", "InPlace")),
    ("template.drainTimeout", "5m", ("spec.versions[v1].template.drainTimeout", "Restart")),
    (
        "template.cache.persistentVolumeClaim.size",
        "200Gi",
        ("spec.versions[v1].template.cache.persistentVolumeClaim.size", "InPlace"),
    ),
    ("versions.0.model.uri", "hf://Qwen/Other", ("spec.versions[v1].model.uri", "Refused")),
    ("versions.0.model.quantization", "awq", ("spec.versions[v1].model.quantization", "Refused")),
    ("versions.0.lifecycle.retiresAt", "2027-04-01T00:00:00Z", ("spec.versions[v1].lifecycle.retiresAt", "Plan")),
    ("traffic.gateway.hostnames", ["other.example.com"], ("spec.traffic.gateway.hostnames", "Plan")),
    ("rollout.guardrails", [], ("spec.rollout.guardrails", "Plan")),
    ("versions.1.template.replicas", 7, ("spec.versions[v2].template.replicas", "Plan")),
]


@pytest.mark.parametrize(("path", "value", "first"), CHANGES, ids=[c[0] for c in CHANGES])
def test_what_an_edit_means(path: str, value: Any, first: tuple[str, str]) -> None:
    found = changes(read(made()), read(edited(path, value)))
    assert first in [(c.path, c.effect) for c in found]
    assert all("[v2]" in c.path or (c.path, c.effect) == first for c in found)


def test_a_manifest_that_says_the_same_in_another_form_changes_nothing() -> None:
    again = template(engine=FULL["template"]["engine"] | {"args": []}, env=[])
    assert changes(read(made()), read(again)) == []


def test_versions_that_come_and_go() -> None:
    alone = made(versions=[FULL["versions"][1]], serve="v2")
    found = changes(read(made()), read(alone))
    assert [(c.path, c.effect) for c in found] == [("spec.serve", "Plan"), ("spec.versions[v1]", "Refused")]
    assert [(c.path, c.effect) for c in changes(read(alone), read(made(serve="v2")))] == [("spec.versions[v1]", "Plan")]
    unused = changes(read(made(serve="v2")), read(alone))
    assert [(c.path, c.effect) for c in unused] == [("spec.versions[v1]", "Plan")]


# -- plan: what comes


def test_dates_in_order_who_serves_and_accelerators() -> None:
    f = forecast(read(life(0, deprecatedAt="2026-12-01T00:00:00Z")))
    assert [(d.at.strftime("%Y-%m-%d"), d.version, d.event) for d in f.dates] == [
        ("2026-12-01", "v1", "Deprecated"),
        ("2027-02-28", "v1", "HandOver"),
        ("2027-03-01", "v1", "Retires"),
        ("2028-03-01", "v2", "Retires"),
    ]
    assert [(s.at.isoformat(), s.version) for s in f.serving] == [
        ("2026-11-24T00:00:00+00:00", "v1"),
        ("2027-02-28T00:15:00+00:00", "v2"),
        ("2028-03-01T00:00:00+00:00", None),
    ]
    assert [(r.from_, r.to, r.done - r.at) for r in f.rollouts] == [("v1", "v2", timedelta(minutes=15))]
    assert (f.accelerators_now, f.accelerators_peak) == ({"nvidia.com/gpu": 4}, {"nvidia.com/gpu": 8})
    assert f.peak == "while v2 is let in next to v1"
    assert f.concerns == ()


def test_a_rate_makes_steps_longer_that_need_more_requests_than_come() -> None:
    slow = forecast(read(made()), rate=0.5)
    assert [s.at_least for s in slow.steps] == [timedelta(seconds=2000), timedelta(minutes=5)]
    fast = forecast(read(made()), rate=1000)
    assert [s.at_least for s in fast.steps] == [timedelta(minutes=10), timedelta(minutes=5)]


def test_an_edit_of_the_running_version_is_a_rollout_to_a_new_revision_of_it() -> None:
    f = forecast(read(edited("template.engine.args", ["--max-model-len=8192"])), read(made()))
    first = f.rollouts[0]
    assert (first.at, first.from_, first.to, first.new_revision) == (AT, "v1", "v1", True)
    assert first.accelerators == {"nvidia.com/gpu": 8}
    assert first.why == "a new revision of v1"


def test_an_operational_edit_is_no_rollout_and_may_need_one_pod_more() -> None:
    f = forecast(read(life(0, retiresAt=None, successor=None, migrateBefore=None)))
    assert f.rollouts == ()
    assert f.peak == "if a rollout lets in v2 next to v1"
    before = life(0, retiresAt=None, successor=None, migrateBefore=None)
    after = copy.deepcopy(before)
    after["spec"]["template"]["drainTimeout"] = "5m"
    f = forecast(read(after), read(before))
    assert f.rollouts == ()
    assert (f.accelerators_peak, f.peak) == ({"nvidia.com/gpu": 6}, "while pods of v1 start anew")
    after["spec"]["template"]["headroom"] = "None"
    assert "lets in v2" in forecast(read(after), read(before)).peak


def test_more_replicas_count_on_both_sides_of_a_rollout() -> None:
    obj = template(replicas=3)
    obj["spec"]["serve"] = "v2"
    f = forecast(read(obj), read(made()))
    assert (f.accelerators_now, f.accelerators_peak) == ({"nvidia.com/gpu": 4}, {"nvidia.com/gpu": 12})
    assert f.rollouts[0].why == "spec.serve is v2"


def test_different_accelerators_are_counted_apart_and_none_is_none() -> None:
    obj = made()
    obj["spec"]["versions"][1]["template"] = {"resources": {"gpuResource": "amd.com/gpu"}}
    f = forecast(read(obj))
    assert f.accelerators_peak == {"nvidia.com/gpu": 4, "amd.com/gpu": 4}
    without = forecast(read(template(resources={"cpu": "1"})))
    assert (without.accelerators_now, without.accelerators_peak) == ({}, {})


def test_a_successor_that_is_gone_by_then_blocks() -> None:
    f = forecast(read(life(1, retiresAt="2027-02-01T00:00:00Z")))
    assert [s.version for s in f.serving][:1] == ["v1"]
    assert {c.rule for c in f.concerns} == {"successor-retires-first"}
    passed = life(1, retiresAt="2026-11-01T00:00:00Z", onRetirement="Hold")
    passed["spec"]["serve"] = "v2"
    f = forecast(read(passed), read(made()))
    assert f.rollouts == ()
    assert "v2 should take over at 2026-11-24T00:00:00Z, but has retired by then" in [c.message for c in f.concerns]


def test_who_comes_back_after_nobody() -> None:
    """v1 refuses from its date on; only another spec.serve brings somebody back."""
    f = forecast(read(life(0, successor=None, migrateBefore=None, onRetirement="Refuse")))
    assert [s.version for s in f.serving] == ["v1", None]
    assert f.rollouts == ()


@pytest.mark.parametrize("limit", ["1%", "20%"])
def test_the_requests_to_pass_are_those_of_the_operators_own_test(limit: str) -> None:
    """One in every interval, as it is told without a rate."""
    obj = made(rollout={"guardrails": [{"name": "errors", "metric": "ErrorRate", "limit": limit}]})
    m = read(obj)
    (proof,) = forecast(m).proof
    assert proof.requests is not None
    ledger = new_ledger("x", "a", "b", AT)

    def verdict() -> str:
        risks = {"false_rollback": m.intent.false_rollback, "false_promotion": m.intent.false_promotion}
        return judge(m.intent.guardrails, ledger, **risks)[0].verdict

    for number in range(proof.requests + 1):
        if number == proof.requests:
            assert verdict() == "Continue"
        now = AT + number * EVIDENCE_INTERVAL
        ledger = absorb(
            ledger, [Reading(now, "engine", "b", "p", "1", {"errors": Counter(number, 0)})], step=0, now=now, limits={}
        )
    assert verdict() == "Pass"


def test_what_can_be_expected_is_what_power_tells() -> None:
    guardrails = [
        {"name": "errors", "metric": "ErrorRate", "limit": "1%"},
        {"name": "ttft", "metric": "TimeToFirstToken", "slowerThan": "2s", "limit": "5%"},
    ]
    steps = [{"weight": 10, "minDuration": "10m"}, {"weight": 50, "minDuration": "5m"}, {"weight": 100}]
    f = forecast(read(made(rollout={"guardrails": guardrails, "steps": steps})), rate=10.0)
    flags = ("--requests-per-minute", "600", "--weight", "10:10m", "--weight", "50", "--guardrails", "2", "-o", "json")
    for proof, limit in zip(f.proof, ("1%", "5%"), strict=True):
        told = json.loads(Terminal().run("power", *flags, "--limit", limit).stdout)["expected"]
        for found, power in zip(proof.expected, (told[0], told[2]), strict=True):
            assert found.share == power["share"]
            for mine, theirs in ((found.median, power["median"]), (found.ninety, power["ninety"])):
                assert mine is not None
                assert mine.time is not None
                assert (mine.requests, times.exact(mine.time)) == (theirs["requests"], theirs["time"])
    # Without a rate there are requests, but no times.
    (half, double) = forecast(read(made(rollout={"guardrails": guardrails}))).proof[0].expected
    assert half.median is not None
    assert double.ninety is not None
    assert (half.median.time, double.ninety.time) == (None, None)


def test_a_plan_of_one_step_is_reckoned_at_that_step() -> None:
    guardrails = [{"name": "errors", "metric": "ErrorRate", "limit": "60%"}]
    (proof,) = forecast(read(made(rollout={"guardrails": guardrails, "steps": [{"weight": 100}]})), rate=1.0).proof
    # Twice the limit is more than all.
    (half,) = proof.expected
    assert half.median is not None
    assert half.median.time == timedelta(seconds=half.median.requests)


def test_a_guardrail_that_compares_with_stable_cannot_be_reckoned() -> None:
    compared = {"maxRatio": "1.25", "require": "Pass"}
    guardrails = [
        {"name": "errors", "metric": "ErrorRate", "comparedToStable": compared},
        {"name": "seen", "metric": "ErrorRate", "limit": "1%", "action": "Observe"},
    ]
    f = forecast(read(made(rollout={"guardrails": guardrails})))
    assert [(p.guardrail, p.requests, p.expected) for p in f.proof] == [("errors", None, ())]


# -- plan: the verb


def test_plan_for_people(tmp_path: Path) -> None:
    after = edited("template.drainTimeout", "5m")
    after["spec"]["serve"] = "v2"
    after["spec"]["rollout"]["steps"][0]["pause"] = {"until": "Approved"}
    files = {"after.yaml": after, "before.yaml": made()}
    result = run(tmp_path, "plan", "after.yaml", "--from", "before.yaml", "--at", "2026-11-24", files=files)
    assert result.exit_code == 0, result.stderr
    text = " ".join(result.stdout.split())
    for words in (
        "chat (namespace ml), as of 2026-11-24T00:00:00Z, without a look at any cluster",
        "spec.serve plan v1 → v2",
        "spec.versions[v1].template.drainTimeout pods restart cannot change an answer",
        "Rollout v1 → v2, at once, 2 steps, 15m at least, and until somebody approves step 1, start-up aside; v1 stays warm for 10m",
        "1 of 2 10% 10m 100 a person's approval",
        "2027-02-28T00:00:00Z v1 HandOver the rollout to v2 starts, if v1 serves then",
        "Accelerators: 4 nvidia.com/gpu now, 8 nvidia.com/gpu at the peak, while v2 is let in next to v1",
        "? spec.rollout.steps[0].pause.until: this step waits for a person",
    ):
        assert words in text
    ends = r"[0-9,]+, 9 in 10 by [0-9,]+"
    assert re.search(
        rf"errors 521 {ends} {ends} as if requests came one by one; for how they really come: --requests-per-second",
        text,
    )


def test_plan_of_no_change_and_of_a_refused_one(tmp_path: Path) -> None:
    files = {"a.yaml": made(), "b.yaml": made(), "c.yaml": edited("versions.0.model.uri", "hf://Qwen/Other")}
    result = run(tmp_path, "plan", "a.yaml", "--from", "b.yaml", files=files)
    assert "Nothing changes.\n\nNo rollout: what runs is what is asked for." in result.stdout
    result = run(tmp_path, "plan", "c.yaml", "--from", "a.yaml", files=files)
    assert result.exit_code == 6
    assert result.stderr.startswith("Error: spec.versions[v1].model.uri: a published model never changes")
    assert "is refused" in result.stdout


def test_plan_as_a_document(tmp_path: Path) -> None:
    for form, load in (("json", json.loads), ("yaml", yaml.safe_load)):
        result = run(tmp_path, "plan", "a.yaml", "-o", form, "--requests-per-second", "2", files={"a.yaml": made()})
        got = load(result.stdout)
        assert (got["apiVersion"], got["kind"], got["at"]) == ("cli.solera.dev/v1", "Forecast", "2026-11-23T12:00:00Z")
        assert got["steps"][0] == {
            "number": 1,
            "weight": 10,
            "minDuration": "10m",
            "requests": 100,
            "approval": False,
            "atLeast": "10m",
        }
        assert (got["changes"], got["least"], got["acceleratorsPeak"]) == (None, "15m", {"nvidia.com/gpu": 8})
        assert got["rollouts"][0]["from"] == "v1"
    assert NOW.isoformat().startswith("2026-11-23T12:00:00")


def test_plan_reads_standard_input_and_picks_by_name(tmp_path: Path) -> None:
    second = made() | {"metadata": {"name": "search", "namespace": "ml"}}
    both = {"both.yaml": [made(), second]}
    assert run(tmp_path, "plan", "-", stdin=yaml.safe_dump(made())).exit_code == 0
    result = run(tmp_path, "plan", "both.yaml", files=both)
    assert result.exit_code == 1
    assert "both.yaml has several LLMDeployments (chat, search): choose one with --name" in result.stderr
    assert run(tmp_path, "plan", "both.yaml", "--name", "search", files=both).stdout.startswith("search (namespace ml)")
    result = run(tmp_path, "plan", "both.yaml", "--name", "other", files=both)
    assert (result.exit_code, "no LLMDeployment other; it has chat, search" in result.stderr) == (4, True)
    result = run(tmp_path, "plan", "both.yaml", "--name", "search", "--from", "both.yaml", files=both)
    assert "Nothing changes." in result.stdout


def test_plan_against_the_live_object_knows_what_runs_and_what_was_published(tmp_path: Path) -> None:
    """As `kubectl get -o yaml` shows it: v1 still carries the traffic although v2 is asked for, and somebody has asked for something."""
    live = made(serve="v2")
    live["metadata"] |= {"uid": "1", "annotations": {"solera.dev/request": "pause@b7d3m8xz/1#2", "note": "kept"}}
    published = {"name": "v3", "uri": "hf://Qwen/Old", "modelRevision": "9" * 40, "phase": "Retired"}
    live["status"] = {
        "observedGeneration": 1,
        "stable": {"version": "v1", "revision": "chat-v1-b7d3m8xz", "hash": "b7d3m8xz"},
        "versions": [published],
    }
    files = {"live.yaml": live, "new.yaml": made(serve="v2")}
    result = run(tmp_path, "plan", "new.yaml", "--from", "live.yaml", "-o", "json", files=files)
    assert result.exit_code == 0, result.stderr
    got = json.loads(result.stdout)
    assert (got["changes"], [(r["from"], r["to"]) for r in got["rollouts"]]) == ([], [("v1", "v2")])
    assert run(tmp_path, "plan", "live.yaml", files=files).stdout.count("Rollout v1 → v2, at once") == 1
    # Without v1, and with a name that was used for another model.
    removed = made(serve="v2", versions=[FULL["versions"][1], FULL["versions"][1] | {"name": "v3"}])
    result = run(tmp_path, "plan", "new.yaml", "--from", "live.yaml", files=files | {"new.yaml": removed})
    assert result.exit_code == 6
    assert "v1 carries the traffic and cannot be removed" in result.stderr
    assert "v3 was used for another model before" in result.stderr


def test_plan_of_what_cannot_be_applied_tells_every_mistake(tmp_path: Path) -> None:
    result = run(tmp_path, "plan", "chat.yaml", files={"chat.yaml": BROKEN})
    assert (result.exit_code, result.stdout) == (6, "")
    assert result.stderr.startswith("Error: chat.yaml cannot be applied:\n  spec.")
    assert len(result.stderr.splitlines()) >= 4
    result = run(tmp_path, "plan", "no.yaml", files={"no.yaml": "a: ["})
    assert result.exit_code == 6
    assert result.stderr.startswith("Error: no.yaml: line 1")


def test_a_manifest_without_a_namespace_is_compared_with_the_live_object(tmp_path: Path) -> None:
    bare = made() | {"metadata": {"name": "chat"}}
    result = run(tmp_path, "plan", "a.yaml", "--from", "b.yaml", files={"a.yaml": bare, "b.yaml": made()})
    assert result.exit_code == 0, result.stderr


def test_wrong_usage_of_plan(tmp_path: Path) -> None:
    elsewhere = made() | {"metadata": {"name": "chat", "namespace": "web"}}
    files = {"a.yaml": made(), "b.yaml": elsewhere}
    for arguments, words in (
        (("plan",), "Missing argument"),
        (("plan", "-", "--from", "-"), "only one of FILE and --from"),
        (("plan", "a.yaml", "--from", "b.yaml"), "these are two objects"),
        (("plan", "a.yaml", "--at", "tomorrow"), "write 2027-03-01 or 2027-03-01T00:00:00Z"),
        (("plan", "a.yaml", "--requests-per-second", "0"), "0"),
        (("plan", "nowhere.yaml"), "there is no file or folder nowhere.yaml"),
    ):
        result = run(tmp_path, *arguments, files=files)
        assert result.exit_code == 2, arguments
        assert words in result.stderr


def test_a_date_without_a_time_is_midnight_in_utc(tmp_path: Path) -> None:
    result = run(tmp_path, "plan", "a.yaml", "--at", "2027-03-05", files={"a.yaml": made()})
    assert "as of 2027-03-05T00:00:00Z" in result.stdout
    assert "2027-03-05T00:00:00Z   v2" in result.stdout
    result = run(tmp_path, "plan", "a.yaml", "--at", "2027-03-05T02:00:00+02:00", files={"a.yaml": made()})
    assert "as of 2027-03-05T00:00:00Z" in result.stdout


def test_every_example_can_be_planned() -> None:
    for file in sorted(EXAMPLES.glob("*.yaml")):
        result = Terminal().run("plan", str(file), "--at", "2026-11-24")
        assert result.exit_code == 0, result.stderr


# -- adaptive rollouts


def planned(tmp_path: Path, *more: str, **changes: Any) -> dict[str, Any]:
    files = {"chat.yaml": adaptive(onInconclusive="RollBack", **changes)}
    return json.loads(run(tmp_path, "plan", "chat.yaml", "-o", "json", *more, files=files).stdout)


def weights(got: dict[str, Any]) -> list[int]:
    return [step["weight"] for step in got["steps"]]


def test_without_a_rate_an_adaptive_rollout_has_its_declared_steps_and_a_rung_before_100(tmp_path: Path) -> None:
    got = planned(tmp_path)
    assert (got["maxHarmedRequests"], weights(got), got["least"]) == (50, [1, 100], "2m30s")
    stops = [{"weight": 20, "pause": {"until": "Approved"}}, {"weight": 100}]
    got = planned(tmp_path, steps=stops)
    assert (weights(got), got["least"]) == ([20, 100], "4m")
    assert [c["path"] for c in got["concerns"]] == ["spec.rollout.steps[0].pause.until"]


def test_with_a_rate_it_has_the_steps_that_good_requests_lead_through(tmp_path: Path) -> None:
    got = planned(tmp_path, "--requests-per-second", "8")
    assert weights(got) == sorted(set(weights(got)))
    assert weights(got)[0] < 20
    assert weights(got)[-2:] == [50, 100]
    asked, before = got["proof"][0]["requests"], 0.0
    for step, minutes in zip(got["steps"][:-1], map(seconds, [s["atLeast"] for s in got["steps"]]), strict=False):
        before += 8 * step["weight"] / 100 * minutes
    assert before == pytest.approx(asked, abs=8)
    slow = planned(tmp_path, "--requests-per-second", "0.1")
    assert weights(slow) == [50, 100]


def seconds(text: str) -> float:
    return parse_duration(text).total_seconds()


def test_a_declared_step_is_part_of_the_way(tmp_path: Path) -> None:
    stops = [{"weight": 4, "minDuration": "10m"}, {"weight": 100}]
    got = planned(tmp_path, "--requests-per-second", "8", steps=stops)
    assert 4 in weights(got)
    assert next(s for s in got["steps"] if s["weight"] == 4)["atLeast"] == "10m"


def test_a_budget_that_is_too_small_for_so_many_requests_is_told_with_one_that_is_not(tmp_path: Path) -> None:
    got = planned(tmp_path, "--requests-per-second", "300")
    (concern,) = got["concerns"]
    assert (concern["rule"], concern["path"]) == ("budget-too-small", "spec.rollout.risk.maxHarmedRequests")
    least = int(concern["message"].split("write ")[1].split()[0])
    assert planned(tmp_path, "--requests-per-second", "300", maxHarmedRequests=least)["concerns"] == []
    assert planned(tmp_path, "--requests-per-second", "300", maxHarmedRequests=least - 1)["concerns"] != []


def test_a_guardrail_that_can_not_be_reckoned_with_ends_the_way_before_100(tmp_path: Path) -> None:
    errors = {"name": "errors", "metric": "ErrorRate", "limit": "1%"}
    ratio = {"name": "ratio", "metric": "ErrorRate", "comparedToStable": {"maxRatio": "1.25", "require": "Pass"}}
    got = planned(tmp_path, "--requests-per-second", "8", guardrails=[errors, ratio])
    assert weights(got)[-1] == 50
