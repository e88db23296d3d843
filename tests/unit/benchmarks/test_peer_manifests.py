from __future__ import annotations

from benchmarks.peer import manifests

from solera.api.llmdeployment import parse


def test_both_sides_say_the_same_rollout() -> None:
    ours, theirs = manifests.solera("m-000", "n", "v1"), manifests.canary("m-000", "n")
    assert [s["weight"] for s in ours["spec"]["rollout"]["steps"]] == theirs["spec"]["analysis"]["stepWeights"]
    assert {s["minDuration"] for s in ours["spec"]["rollout"]["steps"]} == {theirs["spec"]["analysis"]["interval"]}
    assert len(ours["spec"]["rollout"]["guardrails"]) == len(theirs["spec"]["analysis"]["metrics"]) == 2
    assert ours["spec"]["traffic"]["gateway"]["hostnames"] == theirs["spec"]["service"]["hosts"]


def test_every_check_of_a_canary_has_its_template() -> None:
    templates = {t["metadata"]["name"]: t for t in manifests.metric_templates("n", "http://192.0.2.1:9090")}
    metrics = manifests.canary("m-000", "n")["spec"]["analysis"]["metrics"]
    assert {m["templateRef"]["name"] for m in metrics} == set(templates)
    assert "{{ target }}-canary" in templates["errors"]["spec"]["query"]


def test_the_llmdeployment_is_valid_before_and_after_the_change() -> None:
    obj = manifests.solera("m-000", "n", "v1")
    parse(obj)
    obj["spec"] |= manifests.solera_change()["spec"]
    assert parse(obj).spec.serve == "v2"


def test_the_change_of_a_deployment_is_another_image() -> None:
    before = manifests.deployment("m-000", "n", "v1", {"nodeName": "x"})["spec"]["template"]["spec"]
    change = manifests.deployment_change()["spec"]["template"]["spec"]
    assert before["nodeName"] == "x"
    assert change["containers"][0]["name"] == before["containers"][0]["name"]
    assert change["containers"][0]["image"] != before["containers"][0]["image"]


def test_names_are_in_order() -> None:
    assert manifests.names(2) == ["m-000", "m-001"]
