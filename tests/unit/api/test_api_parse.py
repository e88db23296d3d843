"""What an object that came from the apiserver is read into, and what is said about one that makes no sense."""

from __future__ import annotations

import contextlib
import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solera.api.errors import FieldError, InvalidSpec
from solera.api.llmdeployment import parse
from unit.api import cases


@pytest.mark.parametrize("case", cases.REFUSED, ids=lambda case: case.name)
def test_refused(case: cases.Refused) -> None:
    with pytest.raises(InvalidSpec) as error:
        parse(case.object())
    assert error.value.path.startswith(case.python_path or case.path)
    assert case.python or case.says
    assert case.says in error.value.message
    assert case.python in error.value.message


@pytest.mark.parametrize("case", cases.ACCEPTED, ids=lambda case: case.name)
def test_accepted_and_written_back_as_it_was(case: cases.Accepted) -> None:
    obj = case.object()
    assert parse(obj).spec.dump() == obj["spec"]


def test_every_finding_names_a_field_and_says_something() -> None:
    for case in cases.REFUSED:
        with pytest.raises(InvalidSpec) as error:
            parse(case.object())
        assert str(error.value).startswith(f"{error.value.path}: ")
        assert "pydantic" not in str(error.value)
        assert "Input should" not in str(error.value)


def test_several_findings_are_counted() -> None:
    obj = cases.base()
    obj["spec"]["template"] |= {"replicas": -1, "port": 0}
    with pytest.raises(InvalidSpec, match=r"^spec\.template\.replicas: -1 is too small: at least 0 \(and 1 more\)$"):
        parse(obj)


def test_a_name_cannot_be_used_for_another_model_once_it_was_recorded() -> None:
    obj = cases.base()
    recorded = {"name": "v1", "uri": "hf://org/model-v1", "modelRevision": cases.COMMIT}
    obj["status"] = {"versions": [recorded]}
    assert parse(obj).status.versions[0].uri == "hf://org/model-v1"
    for change in ({"uri": "hf://org/other"}, {"modelRevision": "f" * 40}):
        obj["status"] = {"versions": [recorded | change]}
        with pytest.raises(InvalidSpec, match="v1 was used for another model before; use a new name"):
            parse(obj)


def test_the_version_that_carries_the_traffic_cannot_be_removed() -> None:
    obj = cases.base()
    obj["status"] = {"stable": {"version": "v3", "revision": "chat-v3-abcdefgh", "hash": "abcdefgh"}}
    with pytest.raises(InvalidSpec, match="v3 carries the traffic and cannot be removed"):
        parse(obj)


def test_a_status_of_a_newer_operator_is_read() -> None:
    obj = cases.base()
    obj["status"] = {"observedGeneration": 3, "tomorrow": {"a": 1}}
    assert parse(obj).status.dump() == {"observedGeneration": 3}


def test_metadata_is_read() -> None:
    obj = cases.base()
    obj["metadata"] |= {
        "uid": "u",
        "generation": 4,
        "resourceVersion": "7",
        "annotations": {"solera.dev/request": "retry"},
        "managedFields": [{}],
    }
    metadata = parse(obj).metadata
    assert (metadata.uid, metadata.generation, metadata.resource_version) == ("u", 4, "7")
    assert metadata.annotations == {"solera.dev/request": "retry"}


def test_errors_can_be_told_from_further_up() -> None:
    error = FieldError("steps[0]", "wrong")
    assert error.under("spec.rollout").path == "spec.rollout.steps[0]"
    assert FieldError("[0]", "wrong").under("spec.steps").path == "spec.steps[0]"
    assert FieldError("", "wrong").under("spec").path == "spec"
    assert type(InvalidSpec("a", "b").under("c")) is InvalidSpec


def _paths(value: object, path: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(inner for key, child in children for inner in _paths(child, (*path, key)))]


_FULL = cases.base()
for _case in cases.ACCEPTED[4:6] + cases.ACCEPTED[10:11] + cases.ACCEPTED[14:15]:
    _case.change(_FULL)
_PLACES = [path for path in _paths(_FULL) if path]
_JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=True),
    st.text(max_size=20),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


@given(st.sampled_from(_PLACES), _JUNK)
def test_whatever_stands_in_an_object_is_accepted_or_refused_but_never_crashes(
    place: tuple[str | int, ...], junk: object
) -> None:
    obj = copy.deepcopy(_FULL)
    at = obj
    for part in place[:-1]:
        at = at[part]
    at[place[-1]] = junk
    with contextlib.suppress(InvalidSpec):  # any other exception fails the test
        assert parse(obj).spec.serve


def test_the_version_that_is_kept_warm_stays() -> None:
    gone = {"version": "v0", "revision": "chat-v0-aaaaaaaa", "hash": "aaaaaaaa"}
    with pytest.raises(InvalidSpec, match="v0 is kept warm, to go back to, and cannot be removed yet"):
        parse({**cases.base(), "status": {"previous": gone}})
