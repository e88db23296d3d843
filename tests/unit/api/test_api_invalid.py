"""The wrong manifests of examples/invalid, judged without a cluster. Their exact words from a real one are in tests/cluster."""

from __future__ import annotations

import re

import pytest

from solera.api.documents import documents
from solera.api.errors import InvalidValue
from solera.api.manifest import check
from solera.api.traffic import Metric
from unit.api import invalid
from unit.api.invalid import Wrong

STATUS = ("version-removed-that-serves", "version-name-used-again")
LIVE = ("model-changed-under-its-name", "more-than-fits-into-etcd")
"""Only the cluster knows what was published before, and how much it can store."""


def test_every_kind_of_refusal_is_there() -> None:
    assert {wrong.who for wrong in invalid.ALL} == set(invalid.WHO.values())
    assert len(invalid.ALL) >= 75
    assert sum(wrong.before is not None for wrong in invalid.ALL) >= 4


@pytest.mark.parametrize("wrong", invalid.of("apiserver"), ids=lambda wrong: wrong.name)
def test_without_a_cluster_the_same_field_is_named(wrong: Wrong) -> None:
    obj = wrong.object
    if wrong.name in STATUS:
        assert wrong.before is not None
        obj["status"] = wrong.before["status"]
    problems = check(obj)
    if wrong.name in LIVE:
        assert problems == []
        return
    said = "\n".join(wrong.says)
    for problem in problems:
        path = problem.path if "strict decoding" not in said else f'"{problem.path}"'
        assert path in said or problem.path.removesuffix(".name") in said, "the apiserver says it, too"
    assert len(problems) == len({problem.path for problem in problems})
    told = re.findall(r"(?:^|: |\* )((?:spec|metadata)[^\s:]*): ", said)
    assert problems or told == []
    for path in told:
        if path != "metadata.annotations":  # of client-side apply
            assert any(problem.path.startswith(path) for problem in problems), f"nothing is said of {path}"


def sentence(text: str) -> str:
    """The part that says what to write."""
    found = re.search(r"write [^;]*|needs successor.*|must be after.*|must rise.*", text)
    return found.group().rstrip(".") if found else ""


@pytest.mark.parametrize(
    "wrong", [w for w in invalid.of("apiserver") if sentence(w.says[-1]) and w.name not in LIVE], ids=lambda w: w.name
)
def test_without_a_cluster_the_same_is_said_to_write(wrong: Wrong) -> None:
    says = " ".join(str(problem) for problem in check(wrong.object))
    assert sentence(wrong.says[-1]) in says


@pytest.mark.parametrize("wrong", invalid.of("operator", "history"), ids=lambda wrong: wrong.name)
def test_what_only_the_operator_sees_passes_the_schema(wrong: Wrong) -> None:
    found = [problem.path for problem in check(wrong.object)]
    assert found == (["metadata.annotations[solera.dev/request]"] if wrong.who == "history" else [])


@pytest.mark.parametrize("wrong", [w for w in invalid.ALL if w.instead], ids=lambda wrong: wrong.name)
def test_what_is_written_instead_is_right(wrong: Wrong) -> None:
    assert check(wrong.mended) == []


def test_what_is_no_manifest() -> None:
    for wrong in invalid.of("kubectl"):
        if wrong.name != "indented-by-tabs":
            assert check(wrong.object)
    (tabs,) = (wrong for wrong in invalid.ALL if wrong.name == "indented-by-tabs")
    with pytest.raises(InvalidValue, match="a tab cannot indent YAML: write spaces"):
        documents(tabs.text)
    for wrong in invalid.of("lint"):
        with pytest.raises(InvalidValue) as error:
            documents((invalid.FOLDER / f"{wrong.name}.yaml").read_text())
        assert str(error.value) == "\n".join(wrong.says)


def test_the_choice_of_metrics_is_that_of_today() -> None:
    said = next(wrong.says for wrong in invalid.of("apiserver") if wrong.name == "guardrail-of-unknown-metric")
    assert ", ".join(f'"{metric.value}"' for metric in Metric) in "\n".join(said)
