from __future__ import annotations

import json
import math

import pytest
from benchmarks.written import Goal, between, merged, results


def test_results_say_what_was_measured_how_and_when() -> None:
    goals = [Goal("a.harm", "harm", 0.33291, "ratio", 1 / 3), Goal("a.rate", "rate", 5.0, "1/s", 6.0, least=True)]
    found = results(goals, "make a", "2026-11-24")
    assert found["a.harm"] == {
        "value": 0.3329,
        "unit": "ratio",
        "goal": "<= 0.333",
        "holds": True,
        "command": "make a",
        "date": "2026-11-24",
    }
    assert (found["a.rate"]["goal"], found["a.rate"]["holds"]) == (">= 6", False)
    assert json.loads(json.dumps(found)) == found


def test_what_was_not_measured_does_not_hold() -> None:
    assert not Goal("a", "", math.nan, "", 1.0).holds
    assert not Goal("a", "", math.nan, "", 1.0, least=True).holds


def test_merging_replaces_our_names_and_no_other() -> None:
    known = {"solera.reconcile_p99": {"value": 1}, "peer.old": {"value": 2}, "peer.new": {"value": 3}}
    assert merged(known, {"peer.new": {"value": 4}}, "peer.") == {
        "peer.new": {"value": 4},
        "solera.reconcile_p99": {"value": 1},
    }


def test_text_comes_between_its_marks_alone() -> None:
    assert between("a\n<1>\nold\n</1>\nb", "<1>", "</1>", "new") == "a\n<1>\n\nnew\n\n</1>\nb"
    for page in ("nothing", "<1> only", "</1> <1>"):
        with pytest.raises(ValueError, match="has no <1> … </1>"):
            between(page, "<1>", "</1>", "new")
