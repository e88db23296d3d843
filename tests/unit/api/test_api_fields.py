"""The table of identity and operational fields names every field, and does what it says."""

from __future__ import annotations

import types
import typing
from typing import Any

import pytest
from pydantic import BaseModel

from solera.api import defaults, fields
from solera.api.fields import ROLES, Role
from solera.api.llmdeployment import parse
from solera.api.spec import KeySelector, Model, Template
from unit.api import cases


def nested(annotation: Any) -> type[BaseModel] | None:
    """The model behind `X | None`; lists, maps and references are one value."""
    options = [option for option in typing.get_args(annotation) if option is not types.NoneType] or [annotation]
    kind = options[0] if len(options) == 1 else None
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) and kind is not KeySelector else None


def leaves(model: type[BaseModel], prefix: str) -> list[str]:
    out = []
    for field in model.model_fields.values():
        path = f"{prefix}.{field.alias}"
        inner = nested(field.annotation)
        out += leaves(inner, path) if inner else [path]
    return out


def test_every_field_is_in_the_table_and_nothing_else_is() -> None:
    assert sorted(ROLES) == sorted(leaves(Model, "model") + leaves(Template, "template"))


def test_what_is_not_listed_is_identity() -> None:
    assert fields.role("template.somethingNew") is Role.IDENTITY
    assert fields.role("model") is Role.IDENTITY
    assert fields.role("template.engine.args.deeper") is Role.IDENTITY
    assert fields.role("template.tolerations.deeper") is Role.OPERATIONAL


def version(change: cases.Change) -> defaults.ResolvedVersion:
    obj = cases.base()
    change(obj)
    spec = parse(obj).spec
    return defaults.resolve(spec, spec.versions[0])


SOURCE = {"secretKeyRef": {"name": "s", "key": "k"}}
CHANGES = {
    "model.uri": cases.model(uri="hf://org/other"),
    "model.revision": cases.model(revision="f" * 40),
    "model.quantization": cases.model(quantization="awq"),
    "template.engine.name": cases.engine(name="SGLang"),
    "template.engine.version": cases.engine(version="0.19"),
    "template.engine.image": cases.engine(image="other"),
    "template.engine.command": cases.engine(command=["serve"]),
    "template.engine.args": cases.engine(args=["--x"]),
    "template.resources.gpus": cases.template(resources={"gpus": 2}),
    "template.resources.gpuResource": cases.template(resources={"gpuResource": "amd.com/gpu"}),
    "template.resources.cpu": cases.template(resources={"cpu": "1"}),
    "template.resources.memory": cases.template(resources={"memory": "1Gi"}),
    "template.port": cases.template(port=9000),
    "template.env": cases.template(env=[{"name": "A", "valueFrom": SOURCE}]),
    "template.replicas": cases.template(replicas=3),
    "template.cache.persistentVolumeClaim.size": cases.template(cache={"persistentVolumeClaim": {"size": "1Gi"}}),
    "template.cache.persistentVolumeClaim.storageClassName": cases.template(
        cache={"persistentVolumeClaim": {"size": "1Gi", "storageClassName": "fast"}}
    ),
    "template.startupTimeout": cases.template(startupTimeout="1m"),
    "template.drainTimeout": cases.template(drainTimeout="1m"),
    "template.nodeSelector": cases.template(nodeSelector={"a": "b"}),
    "template.tolerations": cases.template(tolerations=[{"operator": "Exists"}]),
    "template.priorityClassName": cases.template(priorityClassName="high"),
    "template.imagePullSecrets": cases.template(imagePullSecrets=["s"]),
    "template.imagePullPolicy": cases.template(imagePullPolicy="Always"),
    "template.serviceAccountName": cases.template(serviceAccountName="s"),
    "template.runAsUser": cases.template(runAsUser=1000),
    "template.headroom": cases.template(headroom="None"),
    "template.tokenSecretRef": cases.template(tokenSecretRef={"name": "s", "key": "k"}),
}


def test_there_is_a_change_for_every_field() -> None:
    assert CHANGES.keys() == ROLES.keys()


@pytest.mark.parametrize("path", CHANGES)
def test_an_identity_field_changes_the_identity_and_an_operational_one_does_not(path: str) -> None:
    before, after = version(lambda _: None), version(CHANGES[path])
    is_identity = ROLES[path] is Role.IDENTITY
    assert (fields.identity(before) != fields.identity(after)) is is_identity
    assert (fields.operational(before) != fields.operational(after)) is not is_identity


def test_a_version_s_own_value_counts_as_the_template_s_would() -> None:
    def override(obj: cases.Object) -> None:
        obj["spec"]["versions"][0]["template"] = {"engine": {"image": "other"}, "env": [{"name": "A", "value": "1"}]}

    shared = cases.both(cases.engine(image="other"), cases.template(env=[{"name": "A", "value": "1"}]))
    assert fields.identity(version(override)) == fields.identity(version(shared))


def test_empty_equals_absent() -> None:
    empty = cases.both(
        cases.engine(args=[], command=[]), cases.template(env=[], resources={}, nodeSelector={}, cache={})
    )
    assert fields.identity(version(empty)) == fields.identity(version(lambda _: None))
    assert fields.operational(version(empty)) == fields.operational(version(lambda _: None)) == {}


def test_defaults_are_no_part_of_the_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    before = fields.identity(version(lambda _: None))
    monkeypatch.setattr(defaults, "PORT", 1)
    monkeypatch.setattr(defaults, "GPU_RESOURCE", "amd.com/gpu")
    assert version(lambda _: None).port == 1
    assert fields.identity(version(lambda _: None)) == before
