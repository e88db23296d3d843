from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solera.plan.difference import APPLIED_ANNOTATION, difference, fingerprint, stamped

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(JSON)
def test_a_value_holds_itself(value: Any) -> None:
    assert difference(value, value) is None


@given(
    st.dictionaries(st.text(min_size=1, max_size=4), st.integers(1), max_size=4),
    st.dictionaries(st.text(min_size=5, max_size=6), st.integers()),
)
def test_what_others_added_makes_no_difference(wanted: dict[str, int], added: dict[str, int]) -> None:
    assert difference(wanted, {**wanted, **added}) is None


@pytest.mark.parametrize(
    ("wanted", "live", "path"),
    [
        ({"spec": {"replicas": 2}}, {"spec": {"replicas": 1}}, "spec.replicas"),
        ({"spec": {"replicas": 2}}, {}, "spec"),
        ({"a": [{"b": 1}, {"b": 2}]}, {"a": [{"b": 1}]}, "a"),
        ({"a": [{"b": 1}]}, {"a": [{"b": 3}]}, "a[0].b"),
        (
            {"resources": {"limits": {"memory": "1Gi"}}},
            {"resources": {"limits": {"memory": "2Gi"}}},
            "resources.limits.memory",
        ),
    ],
)
def test_the_first_difference_is_named_by_its_path(wanted: Any, live: Any, path: str) -> None:
    assert difference(wanted, live) == path


@pytest.mark.parametrize(
    ("wanted", "live"),
    [
        ({"requests": {"cpu": "1000m"}}, {"requests": {"cpu": "1"}}),
        ({"requests": {"cpu": "0.5"}}, {"requests": {"cpu": "500m"}}),
        ({"emptyDir": {"sizeLimit": "2048Mi"}}, {"emptyDir": {"sizeLimit": "2Gi"}}),
        ({"args": []}, {}),
        ({"hostNetwork": False}, {}),
        ({"volumes": [{"name": "shm"}]}, {"volumes": [{"name": "shm", "defaultMode": 420}]}),
    ],
)
def test_the_apiservers_own_way_of_writing_makes_no_difference(wanted: Any, live: Any) -> None:
    assert difference(wanted, live) is None


def test_a_label_that_another_hand_adds_to_a_selector_is_a_difference() -> None:
    wanted = {"spec": {"selector": {"app": "chat"}}}
    assert difference(wanted, {"spec": {"selector": {"app": "chat", "by": "hand"}}}) == "spec.selector"
    assert difference(wanted, {"spec": {"selector": {"app": "chat"}, "clusterIP": "10.96.0.7"}}) is None


def test_what_we_no_longer_want_is_noticed_by_the_fingerprint() -> None:
    before = stamped({"metadata": {"name": "a"}, "spec": {"x": 1, "y": 2}})
    after = stamped({"metadata": {"name": "a"}, "spec": {"x": 1}})
    assert difference(after, before) == f"metadata.annotations.{APPLIED_ANNOTATION}"


@given(st.dictionaries(st.text(max_size=4), st.integers(-(2**63), 2**63 - 1), max_size=4))
def test_a_fingerprint_does_not_depend_on_the_order_of_keys(value: dict[str, int]) -> None:
    assert fingerprint(value) == fingerprint(dict(reversed(value.items())))


def test_what_is_equal_holds_all_that_is_wanted_and_what_is_one_value_off_is_found_inside() -> None:
    wanted = {"spec": {"a": [{"b": {"c": 1}}], "d": "e"}}
    assert difference(wanted, {"spec": {"a": [{"b": {"c": 1}}], "d": "e"}}) is None
    assert difference(wanted, {"spec": {"a": [{"b": {"c": 2}}], "d": "e"}}) == "spec.a[0].b.c"


def test_a_fingerprint_is_that_of_the_canonical_text_as_it_was_in_every_release() -> None:
    manifest = {"b": ["é", 'q"\\', "\n\t\x1b\x7f", "\u2028"], "a": {"z": None, "y": True, "x": 1}}
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert fingerprint(manifest) == hashlib.sha256(text.encode()).hexdigest()[:16]
