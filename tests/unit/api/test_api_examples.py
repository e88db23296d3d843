"""Every example is read as what it says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from solera.api.defaults import resolve, resolve_rollout
from solera.api.llmdeployment import LLMDeployment, parse
from solera.api.spec import EngineName, OnRetirement

EXAMPLES = Path(__file__).parents[3] / "examples"


def load(name: str) -> LLMDeployment:
    return parse(yaml.safe_load((EXAMPLES / name).read_text()))


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.name)
def test_every_example_is_valid_and_every_version_resolves(path: Path) -> None:
    for obj in yaml.safe_load_all(path.read_text()):
        parsed = parse(obj)
        assert [resolve(parsed.spec, version).name for version in parsed.spec.versions]


def test_the_least_is_ten_lines_of_spec() -> None:
    lines = (EXAMPLES / "minimal.yaml").read_text().splitlines()
    assert len(lines) - lines.index("spec:") - 1 <= 10


def test_chat_shows_every_field_of_the_spec() -> None:
    """All but a few that belong to other situations; a new field must be shown somewhere."""
    shown: set[str] = set()

    def collect(value: Any) -> None:
        if isinstance(value, dict):
            shown.update(value)
        for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            collect(inner)

    for path in EXAMPLES.glob("*.yaml"):
        collect(yaml.safe_load(path.read_text()))
    fields: set[str] = set()
    todo: list[Any] = [LLMDeployment.model_json_schema(by_alias=True)["$defs"]]
    definitions = todo[0]
    for name, definition in definitions.items():
        if name == "Metadata" or name.endswith(("Status", "Ref", "Condition", "HistoryEntry", "Revision")):
            continue
        fields |= set(definition.get("properties", ()))
    assert fields - shown == {
        "command",
        "configMapKeyRef",
        "imagePullSecrets",
        "maxDuration",
        "port",
        "priorityClassName",
        "require",
        "runAsUser",
        "secretKeyRef",
        "serviceAccountName",
        "storageClassName",
        "tolerationSeconds",
        "valueFrom",
    }


def test_chat() -> None:
    chat = load("chat.yaml")
    v1, v2 = (resolve(chat.spec, version) for version in chat.spec.versions)
    assert (v1.engine, v1.replicas, v1.memory) == (EngineName.VLLM, 2, "64Gi")
    assert v1.args == ("--max-model-len=16384",)
    assert v2.args == ("--max-model-len=16384", "--enable-prefix-caching")
    assert v2.image == v1.image
    rollout = resolve_rollout(chat.spec.rollout)
    assert [step.weight for step in rollout.steps] == [5, 25, 50, 100]
    assert [step.needs_approval for step in rollout.steps] == [False, False, True, False]
    assert rollout.guardrails[1].slower_than == timedelta(seconds=2.5)
    assert rollout.guardrails[1].max_ratio == 1.25


def test_retirement() -> None:
    contracts = load("retirement.yaml")
    v1, v2, v3 = (resolve(contracts.spec, version).lifecycle for version in contracts.spec.versions)
    assert (v1.on_retirement, v1.migrate_before) == (OnRetirement.REDIRECT, timedelta(days=3))
    assert v2.retires_at == datetime(2027, 8, 31, 22, tzinfo=UTC)
    assert v2.on_retirement is OnRetirement.REDIRECT
    assert (v3.successor, v3.on_retirement) == (None, OnRetirement.REFUSE)


def test_adaptive() -> None:
    rollout = resolve_rollout(load("adaptive.yaml").spec.rollout)
    assert rollout.max_harmed == 50
    assert [(step.weight, step.needs_approval) for step in rollout.steps] == [(50, True), (100, False)]
