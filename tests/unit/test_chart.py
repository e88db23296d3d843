"""What can be said about the chart without Helm; what it renders to is looked at in tests/cluster/test_chart.py."""

from __future__ import annotations

import json
import tomllib

import pytest
import yaml

from solera import __version__
from solera.api import crd
from solera.config import Config
from unit.chart_shape import CHART, SCHEMA, shape

ROOT = CHART.parents[1]


def names_of(lock):
    lines = (ROOT / lock).read_text().splitlines()
    return {line.split("==")[0]: line.split("==")[1].split()[0] for line in lines if "==" in line}


@pytest.mark.parametrize("name", sorted(crd.render()))
def test_definitions_in_the_chart_are_those_of_the_repository(name):
    expected = (ROOT / "crds" / name).read_text()
    assert (CHART / "files" / "crds" / name).read_text() == expected, "run: make crds"


def test_the_chart_has_no_other_definitions():
    assert {path.name for path in (CHART / "files" / "crds").iterdir()} == {p.name for p in (ROOT / "crds").iterdir()}


def test_chart_and_operator_have_one_version():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == __version__
    assert chart["version"] == __version__


def test_the_schema_knows_every_field_of_the_configuration():
    schema = json.loads(SCHEMA.read_text())
    assert schema["properties"]["config"] == shape(Config) | {"type": "object"}, (
        "run in tests/: python -m unit.chart_shape"
    )


def test_the_schema_knows_every_value():
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads(SCHEMA.read_text())
    assert set(values) | {"global"} == set(schema["properties"])
    for name, value in values.items():
        if isinstance(value, dict) and schema["properties"][name].get("additionalProperties") is False:
            assert set(value) <= set(schema["properties"][name]["properties"])


def test_the_image_installs_what_the_tests_ran_with():
    runtime, all_of_it = names_of("requirements-runtime.lock"), names_of("requirements.lock")
    assert runtime.items() <= all_of_it.items(), "run: make lock"


def test_the_runtime_lock_has_every_dependency():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    runtime = names_of("requirements-runtime.lock")
    assert {text.split(">")[0] for text in declared} <= set(runtime)
