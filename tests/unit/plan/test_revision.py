from __future__ import annotations

from typing import Any

import pytest

from sim.world import World, manifest
from solera.api.llmdeployment import parse
from solera.plan.intent import intent_of, read_intent


def hashes(spec: dict[str, Any], name: str = "chat") -> dict[str, str]:
    world = World(spec, name=name)
    return {n: v.ref.hash for n, v in read_intent(parse(world.custom_resource())).versions.items()}


def test_equal_specs_give_equal_hashes_whatever_the_order() -> None:
    spec = manifest()
    turned = {**spec, "template": dict(reversed(spec["template"].items()))}
    assert hashes(spec) == hashes(turned)


def test_the_hash_is_the_one_of_this_release() -> None:
    """A changed value here restarts every pod of every user at the next upgrade."""
    assert hashes(manifest())["v1"] == "gb9rw5mt"


@pytest.mark.parametrize(
    "template",
    [
        {"replicas": 5},
        {"drainTimeout": "1m"},
        {"nodeSelector": {"gpu": "a100"}},
        {"priorityClassName": "high"},
        {"resources": {"memory": "8Gi"}},
        {"engine": {"args": []}},
        {"env": []},
    ],
)
def test_operational_and_empty_fields_make_no_revision(template: dict[str, Any]) -> None:
    spec = manifest()
    engine = {**spec["template"]["engine"], **template.pop("engine", {})}
    edited = {**spec, "template": {**spec["template"], **template, "engine": engine}}
    assert hashes(edited) == hashes(spec)


@pytest.mark.parametrize(
    "template",
    [
        {"engine": {"args": ["--seed", "1"]}},
        {"engine": {"image": "vllm/vllm-openai:v0.18.2"}},
        {"env": [{"name": "A", "value": "1"}]},
        {"port": 9000},
        {"resources": {"gpus": 2}},
    ],
)
def test_what_can_change_an_answer_makes_a_revision(template: dict[str, Any]) -> None:
    spec = manifest()
    engine = {**spec["template"]["engine"], **template.pop("engine", {})}
    edited = {**spec, "template": {**spec["template"], **template, "engine": engine}}
    assert set(hashes(edited).values()).isdisjoint(hashes(spec).values())


def test_names_are_part_of_the_identity() -> None:
    spec = manifest()
    same = [{"name": n, "model": {"uri": "image:///models/same"}} for n in ("v1", "v2")]
    got = hashes({**spec, "versions": same})
    assert got["v1"] != got["v2"]
    assert hashes(spec, "chat") != hashes(spec, "talk")
    assert hashes({**spec, "modelName": "other"}) != hashes(spec)


def test_a_spec_changed_in_place_is_read_anew() -> None:
    resource = World(manifest()).custom_resource()
    before = intent_of(resource)
    assert intent_of(resource) is before
    resource["spec"]["serve"] = "v2"
    assert intent_of(resource).serve == "v2"
    resource["metadata"]["name"] = "other"
    assert intent_of(resource).versions["v1"].ref.revision.startswith("other-v1-")
