"""The generated definitions: described, bounded, free of defaults, and up to date."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from pydantic import BaseModel, Field

from solera.api import crd, schema
from solera.api.errors import InvalidValue
from solera.api.metadata import MAX_NAME
from solera.api.status import Condition, LLMDeploymentStatus, fit_status
from solera.errors import SoleraError
from unit.api.structural import STATUS, faults

ROOT = Path(__file__).parents[3]
SCHEMA = crd.llmdeployment()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
RECORD = crd.rolloutrecord()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def walk(node: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, node
    for name, child in node.get("properties", {}).items():
        yield from walk(child, f"{path}.{name}")
    for key, mark in (("items", "[]"), ("additionalProperties", "{}")):
        if isinstance(node.get(key), dict):
            yield from walk(node[key], f"{path}{mark}")


NODES = [*walk(SCHEMA, "LLMDeployment"), *walk(RECORD, "RolloutRecord")]
OWN = [(path, node) for path, node in NODES if not re.search(r"\.(apiVersion|kind|metadata)$", path)]


def test_the_files_in_the_repository_are_up_to_date() -> None:
    assert {path.name: path.read_text() for path in (ROOT / "crds").glob("*.yaml")} == crd.render()


def test_check_says_what_is_not_up_to_date(tmp_path: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "solera.api.crd", *arguments, str(tmp_path)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    stale = run("--check")
    assert stale.returncode == 1
    assert "solera.dev_llmdeployments.yaml" in stale.stderr
    assert not list(tmp_path.iterdir())
    assert run().returncode == 0
    assert run("--check").returncode == 0
    (tmp_path / "solera.dev_rolloutrecords.yaml").write_text("other")
    assert "rolloutrecords" in run("--check").stderr


def test_every_property_is_described_by_a_sentence() -> None:
    bare = [
        f"{path}.{name}"
        for path, node in NODES
        for name, child in node.get("properties", {}).items()
        if not child.get("description", "").endswith(".") and name != "metadata"
    ]
    assert bare == []


def test_no_default_reaches_a_users_spec() -> None:
    assert [path for path, node in NODES if "default" in node] == [
        "LLMDeployment.status",
        "LLMDeployment.status.observedGeneration",
    ]
    assert SCHEMA["properties"]["status"]["default"] == {"observedGeneration": -1}


@pytest.mark.parametrize(
    ("kind", "bounds"),
    [
        ("string", ("maxLength", "enum")),
        ("array", ("maxItems",)),
        ("integer", ("maximum", "format")),
    ],
)
def test_everything_is_bounded(kind: str, bounds: tuple[str, ...]) -> None:
    open_ended = [path for path, node in OWN if node.get("type") == kind and not any(b in node for b in bounds)]
    assert open_ended == []
    assert any(node.get("type") == kind for _, node in OWN)


def test_maps_are_bounded() -> None:
    maps = [(path, node) for path, node in OWN if "additionalProperties" in node]
    assert [path for path, _ in maps] == [
        "LLMDeployment.spec.template.nodeSelector",
        "LLMDeployment.spec.versions[].template.nodeSelector",
    ]
    assert all("maxProperties" in node for _, node in maps)


def test_every_list_says_how_it_is_merged() -> None:
    lists = [(path, node) for path, node in NODES if node.get("type") == "array"]
    for path, node in lists:
        assert node["x-kubernetes-list-type"] in {"map", "atomic"}, path
        for key in node.get("x-kubernetes-list-map-keys", ()):
            assert key in node["items"]["required"], path
    assert SCHEMA["properties"]["spec"]["properties"]["versions"]["x-kubernetes-list-map-keys"] == ["name"]


def test_every_node_has_a_type() -> None:
    untyped = [path for path, node in NODES if "type" not in node and not node.get("x-kubernetes-int-or-string")]
    assert untyped == []


def test_quantities_are_bounded_because_their_rule_is_costly_otherwise() -> None:
    places = [node for _, node in NODES if node.get("x-kubernetes-int-or-string")]
    assert len(places) == 6
    assert all(node["maxLength"] == 32 for node in places)


def test_patterns_are_those_of_re2() -> None:
    patterns = [node["pattern"] for _, node in NODES if "pattern" in node]
    assert patterns
    for pattern in patterns:
        assert "\\" not in pattern
        assert "(?" not in pattern


def rules() -> list[tuple[str, dict[str, str]]]:
    return [(path, rule) for path, node in NODES for rule in node.get("x-kubernetes-validations", ())]


def test_every_rule_has_a_message_on_one_line() -> None:
    assert len(rules()) > 40
    for path, rule in rules():
        assert rule["message"].strip(), path
        assert "\n" not in rule["message"], path
        assert "[" not in rule.get("fieldPath", ""), path


def test_only_what_needs_status_stands_at_the_root() -> None:
    """A rule at the root always runs, even on the removal of a finalizer."""
    at_root = [rule["rule"] for path, rule in rules() if path == "LLMDeployment"]
    assert len(at_root) == 3
    assert all("self.status" in rule for rule in at_root)
    assert not any("oldSelf.status" in rule["rule"] for _, rule in rules())


def test_names_leave_room_for_those_of_the_children() -> None:
    longest_version = SCHEMA["properties"]["spec"]["properties"]["serve"]["maxLength"]
    assert len(f"{'a' * MAX_NAME}-{'b' * longest_version}-{'c' * 8}") == 63
    assert SCHEMA["properties"]["metadata"]["properties"]["name"]["maxLength"] == MAX_NAME


def test_columns_and_names() -> None:
    definition = crd.llmdeployment()["spec"]
    assert definition["names"]["shortNames"] == ["llmdep"]
    assert definition["names"]["categories"] == ["solera"]
    version = definition["versions"][0]
    columns = [column["name"] for column in version["additionalPrinterColumns"] if not column.get("priority")]
    assert columns == ["Ready", "Stable", "Candidate", "Weight", "State", "Next", "Age"]
    assert len(version["selectableFields"]) <= 8
    for field in version["selectableFields"]:
        node = SCHEMA
        for part in field["jsonPath"].strip(".").split("."):
            node = node["properties"][part]
        assert node["type"] == "string"


def test_yaml_has_no_anchors() -> None:
    for text in crd.render().values():
        assert not re.search(r"[&*]id\d", text)
        assert yaml.safe_load(text)["kind"] == "CustomResourceDefinition"


def test_a_definition_that_is_too_large_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crd, "MAX_BYTES", 1000)
    with pytest.raises(SoleraError, match=r"llmdeployments has .* bytes, more than 1000"):
        crd.render()


class Union(BaseModel):
    value: int | str


class Exclusive(BaseModel):
    value: int = Field(gt=0)


class Fixed(BaseModel):
    value: Literal["a"] = "a"
    title: str | None = None


@pytest.mark.parametrize(("model", "says"), [(Union, "Union.value: a union of 2"), (Exclusive, "exclusiveMinimum")])
def test_what_a_structural_schema_cannot_say_stops_the_generator(model: type[BaseModel], says: str) -> None:
    with pytest.raises(schema.UnsupportedSchemaError, match=says):
        schema.structural(model)


def test_constants_become_enums_and_a_property_called_title_stays() -> None:
    assert schema.structural(Fixed) == {
        "type": "object",
        "properties": {"value": {"type": "string", "enum": ["a"]}, "title": {"type": "string"}},
    }


def test_status_texts_are_cut_and_lists_keep_the_newest() -> None:
    entries = [{"at": "2027-03-01T00:00:00Z", "event": "Promoted", "message": str(i)} for i in range(50)]
    status = LLMDeploymentStatus.model_validate({"next": "x" * 5000, "history": entries})
    assert len(status.next) == 1024
    assert [entry.message for entry in status.history] == [str(i) for i in range(30, 50)]
    time = "2027-03-01T00:00:00Z"
    assert Condition(type="Ready", status="True", reason="Why", last_transition_time=time).dump() == {
        "type": "Ready",
        "status": "True",
        "reason": "Why",
        "message": "",
        "lastTransitionTime": time,
    }
    assert status.replace(next=None).dump() == {"history": status.dump()["history"]}


def test_a_status_is_cut_to_what_an_apiserver_takes() -> None:
    ref = {"version": "v1", "revision": "chat-v1-abcdefgh", "hash": "abcdefgh"}
    rejected = {"version": "v1", "hash": "abcdefgh", "at": "2027-03-01T00:00:00Z", "reason": "x" * 5000}
    raw = {"observedGeneration": 1, "stable": ref, "next": "y" * 5000, "rejected": [rejected] * 40}
    assert len(list(faults(STATUS, raw))) == 42
    fitted = fit_status(raw)
    assert list(faults(STATUS, fitted)) == []
    assert fitted["stable"] == ref
    assert fit_status(fitted) == fitted
    with pytest.raises(InvalidValue, match=r"^status\.conditions\[0\]\.reason: 'not ready' is not possible here"):
        condition = {"type": "Ready", "status": "False", "lastTransitionTime": "2027-03-01T00:00:00Z"}
        fit_status({"conditions": [condition | {"reason": "not ready"}]})
