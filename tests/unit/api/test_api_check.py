"""A manifest judged without a cluster: everything that is wrong with it at once, and nothing that is not."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solera.api.documents import documents
from solera.api.errors import InvalidSpec, InvalidValue
from solera.api.llmdeployment import parse
from solera.api.manifest import Problem, check
from unit.api import cases

EXAMPLES = Path(__file__).parents[3] / "examples"


def told(change: cases.Change) -> list[str]:
    obj = cases.base()
    change(obj)
    return [str(problem) for problem in check(obj)]


@pytest.mark.parametrize("case", cases.REFUSED, ids=lambda case: case.name)
def test_each_mistake_is_told_with_its_field(case: cases.Refused) -> None:
    problems = check(case.object())
    with pytest.raises(InvalidSpec) as error:
        parse(case.object())
    assert problems[0].path == error.value.path
    assert error.value.message.startswith(problems[0].message.split(": did you mean")[0])


@pytest.mark.parametrize("case", cases.ACCEPTED, ids=lambda case: case.name)
def test_nothing_is_said_to_what_the_apiserver_takes(case: cases.Accepted) -> None:
    assert check(case.object()) == []


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.name)
def test_examples(path: Path) -> None:
    found = documents(path.read_text())
    assert found
    assert [check(document) for document in found] == [[]] * len(found)


def test_a_value_of_the_wrong_form_hides_no_other_mistake() -> None:
    wrong = cases.both(
        cases.spec(serve="v9"),
        cases.template(replicas="2", drainTimeout="1d"),
        cases.engine(imgae="x"),
        cases.life(retiresAt="2027-03-01", onRetirement="Redirect"),
        cases.rollout(
            steps=[
                {"weight": 50, "minDuration": "2h", "maxDuration": "1h"},
                {"weight": 25, "pause": {"until": "soon"}},
            ],
            guardrails=[{"name": "g", "metric": "TimeToFirstToken", "limit": 5}],
        ),
    )
    assert told(wrong) == [
        "spec.template.engine.imgae: is not a field: did you mean image?",
        "spec.template.replicas: '2' must be a whole number, without quotes",
        "spec.template.drainTimeout: '1d' is not a duration: write a duration in h, m, s and ms, for example 30m, 1h30m, 2.5s or 500ms",
        "spec.versions[0].lifecycle.retiresAt: '2027-03-01' is not a point in time: write date, time and offset, for example 2027-03-01T00:00:00Z or 2027-03-01T09:00:00+09:00",
        "spec.rollout.steps[1].pause.until: 'soon' is not possible here: write Approved, or a duration, for example 30m",
        "spec.rollout.guardrails[0].limit: 5 must be text: write a percentage above 0% and below 100%, for example 1%",
        "spec.serve: no version is named v9; spec.versions has v1, v2",
        "spec.versions[0].lifecycle.onRetirement: Redirect needs successor: the version that answers from retiresAt on",
        "spec.rollout.steps: weights must rise from step to step: [50, 25]",
        "spec.rollout.steps: the last step must have weight 100",
        "spec.rollout.steps[0].maxDuration: maxDuration must be longer than minDuration, and than a pause that has a duration",
        "spec.rollout.guardrails[0].slowerThan: every metric but ErrorRate needs slowerThan (from which time on an answer is bad); ErrorRate has none",
    ]  # fmt: skip


def test_one_mistake_is_told_once() -> None:
    """What follows from a value that cannot be read is not another mistake."""
    for change in (
        cases.both(cases.spec(serve="V1"), lambda obj: obj["spec"]["versions"][0].pop("name")),
        cases.steps({"weight": "5"}, 100),
        cases.steps({"weight": 5, "minDuration": "1d", "maxDuration": "1h"}, 100),
        cases.guardrail(metric="Errors", limit="1%"),
        cases.guardrail(metric="ErrorRate", limit=1),
        cases.life(deprecatedAt="soon", retiresAt="2027-03-01T00:00:00Z"),
        cases.model(revision=5),
        cases.template(env=["A=1"]),
        cases.template(resources={"cpu": 1.5}),
        cases.spec(versions=cases.chain(5, closed=True)),
    ):
        paths = [one.split(": ")[0] for one in told(change)]
        assert len(paths) == len(set(paths))
        assert 1 <= len(paths) <= 2
    assert len(told(cases.steps({"weight": "5"}, 100))) == 1
    assert len(told(cases.template(env=["A=1"]))) == 1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda o: o.update(apiVersion="solera.dev/v1"), "apiVersion: 'solera.dev/v1' is not possible here: write solera.dev/v1alpha1"),
        (lambda o: o.pop("apiVersion"), "apiVersion: is required: write solera.dev/v1alpha1"),
        (lambda o: o.update(kind="LlmDeployment"), "kind: 'LlmDeployment' is not possible here: write LLMDeployment"),
        (lambda o: o.pop("metadata"), "metadata: is required"),
        (lambda o: o["metadata"].update(lables={}), "metadata.lables: is not a field: did you mean labels?"),
        (lambda o: o["metadata"].update(namespace="ML"), "metadata.namespace: 'ML' is not possible here: write lower-case"),
        (lambda o: o.update(speck={}), "speck: is not a field: did you mean spec?"),
        (lambda o: o["spec"].update(replicas=2), "spec.replicas: is not a field of this version of the API"),
        (lambda o: o["spec"]["versions"][1].update(lifeCycle={}), "spec.versions[1].lifeCycle: is not a field: did you mean lifecycle?"),
        (
            lambda o: o["metadata"].update(annotations={"solera.dev/request": "promote"}),
            "metadata.annotations[solera.dev/request]: is written by kubectl solera alone",
        ),
    ],
)  # fmt: skip
def test_the_outer_parts(change: cases.Change, says: str) -> None:
    (only,) = told(change)
    assert only.startswith(says)


def test_a_generated_name_is_as_long_as_it_will_be() -> None:
    def generated(prefix: str) -> list[str]:
        return told(lambda obj: obj.update(metadata={"generateName": prefix}))

    assert generated("chat-") == []
    assert generated("a" * 28) == []
    assert generated("a" * 29) == ["metadata.name: is too long: at most 33 characters"]


@pytest.mark.parametrize("nothing", [None, {}, [], "text", 5])
def test_what_is_no_object(nothing: Any) -> None:
    assert check(nothing) == [Problem("", "holds no object: write apiVersion, kind, metadata and spec")]


def test_the_status_of_the_stored_object_is_looked_at() -> None:
    stable = {"version": "v0", "revision": "chat-v0-abcdefgh", "hash": "abcdefgh"}
    assert told(lambda obj: obj.update(status={"stable": stable})) == [
        "spec.versions: v0 carries the traffic and cannot be removed; move spec.serve to another version and wait until it does"
    ]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, inner in pairs for place in places(inner, (*path, key)))]


FULL = documents((EXAMPLES / "chat.yaml").read_text())[0]
PLACES = places(FULL)[1:]


@given(st.sampled_from(PLACES), JSON)
def test_whatever_stands_in_any_place_is_judged_and_parse_agrees(place: tuple[Any, ...], value: Any) -> None:
    obj = copy.deepcopy(FULL)
    target = obj
    for part in place[:-1]:
        target = target[part]
    target[place[-1]] = value
    outer = ("metadata", "apiVersion", "kind")  # the apiserver's own: an object that comes from it has them
    first = next((problem.path for problem in check(obj) if not problem.path.startswith(outer)), None)
    try:
        parse(obj)
        refused = None
    except InvalidSpec as error:
        refused = error.path
    assert refused == first or (refused or "").startswith(outer)


@pytest.mark.parametrize(
    ("text", "path", "says"),
    [
        ("a:\n\tb: 1\n", "line 2, column 1", "a tab cannot indent YAML: write spaces"),
        ("a: 1\nb: 2\na: 3\n", "line 3, column 1", "a is there twice: write it once"),
        ("a: [1, 2\nb: 3\n", "line 2, column 2", "this is not YAML: expected ',' or ']', but got ':'"),
        ("a: *b\n", "line 1, column 4", "this is not YAML: found undefined alias"),
        ("a: \x07\n", "", "this is not YAML: unacceptable character"),
    ],
)
def test_what_is_no_yaml(text: str, path: str, says: str) -> None:
    with pytest.raises(InvalidValue) as error:
        documents(text)
    assert error.value.path == path
    assert error.value.message.startswith(says)


def test_dates_stay_as_they_were_written_and_empty_documents_are_left_out() -> None:
    text = "---\n---\na: 2027-03-01T00:00:00Z\n---\na: 2027-03-01\nb: &x {c: 1}\nd:\n  <<: *x\n  e: 2\n"
    assert documents(text) == [
        {"a": "2027-03-01T00:00:00Z"},
        {"a": "2027-03-01", "b": {"c": 1}, "d": {"c": 1, "e": 2}},
    ]
