from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import pytest
from benchmarks.peer import report
from benchmarks.peer.audit import Count
from benchmarks.peer.measure import Side, Weights, busy, lateness, percentile, ratio, side_from
from benchmarks.written import Goal, results


def side(**more: Any) -> Side:
    values: dict[str, Any] = {
        "name": "Solera",
        "version": "1",
        "objects": 2,
        "init_seconds": 4.0,
        "init": Count(10, 8, 2),
        "init_cpu": 1.0,
        "rest_seconds": 30.0,
        "rest": Count(4, 0, 0),
        "rest_cpu": 0.1,
        "first_weight": [1.0, 2.0],
        "full_weight": [51.0, 52.0],
        "promoted": [61.0, 62.0],
        "settled": 70.0,
        "rollout": Count(20, 10, 4, 0, (("patch httproutes", 16),)),
        "rollout_cpu": 5.0,
        "late": [0.1, 0.2],
        "in_order": 2,
        "peak_mib": 100.0,
        "metric_reads": 7,
        "lost": 0,
        "busy": [0.5, 0.25],
    }
    return Side(**(values | more))


PEER = {
    "name": "Flagger",
    "init_seconds": 20.0,
    "rollout": Count(200, 20, 0),
    "rest": Count(400, 0, 0),
    "peak_mib": 40.0,
}


def test_goals_are_ratios_of_ours_to_theirs_and_may_fail() -> None:
    found = {goal.name: goal for goal in report.goals(side(), side(**PEER))}
    assert found["peer.init_rate_ratio"].value == 5.0
    assert found["peer.init_rate_ratio"].holds
    assert found["peer.requests_per_rollout_ratio"].value == pytest.approx(34 / 220)
    assert found["peer.rest_reads_ratio"].value == pytest.approx(0.01)
    assert found["peer.memory_ratio"].value == 2.5
    assert not found["peer.memory_ratio"].holds
    assert not Goal("x", "", math.nan, "", 1.0, least=True).holds


def test_results_say_what_was_measured_how_and_when() -> None:
    found = results(report.goals(side(), side(**PEER)), "make bench-peer", "2026-11-24")
    one = found["peer.memory_ratio"]
    assert one == {
        "value": 2.5,
        "unit": "ratio Solera : Flagger",
        "goal": "<= 2",
        "holds": False,
        "command": "make bench-peer",
        "date": "2026-11-24",
    }
    assert all(name.startswith("peer.") for name in found)


def test_the_table_shows_what_is_in_the_figures() -> None:
    rows = {row[0]: row[1:] for row in report.rows(side(), side(**PEER))}
    assert rows["2 objects, from created to ready"] == ("4.0 s", "20.0 s", "0.2")
    assert rows["requests of a rollout, each object (reads + writes + Events)"][0] == "17.0 (10.0 + 5.0 + 2.0)"
    assert rows["requests at rest, a minute, all objects (reads + writes + Events)"][0] == "8 (8 + 0 + 0)"
    assert rows["… the last of 2"][0] == "62.0 s"


def test_a_run_without_steps_shows_no_numbers() -> None:
    none = side(late=[], promoted=[], full_weight=[], first_weight=[])
    rows = {row[0]: row[1:] for row in report.rows(none, none)}
    assert rows["… the last of 2"] == ("-", "-", "-")


def test_the_section_takes_the_place_of_the_old_one_and_leaves_the_rest() -> None:
    text = report.section(side(), side(**PEER), "2 cores", "make bench-peer", "2026-11-24", "Kubernetes 1.36.3")
    first = report.placed("# Benchmarks\n\n## Ours\n\nx\n", text)
    assert first.startswith("# Benchmarks\n\n## Ours\n\nx\n\n## Beside a peer\n")
    changed = text.replace("2026-11-24", "2026-11-25")
    second = report.placed(first + "\n## After\n\ny\n", changed)
    assert second.count(report.HEADING) == 1
    assert "2026-11-25" in second
    assert "2026-11-24" not in second
    assert second.endswith("\n## After\n\ny\n")
    assert report.placed("", text).startswith("# Benchmarks\n\n## Beside a peer\n")


def test_figures_survive_a_file() -> None:
    assert side_from(json.loads(json.dumps(side().to_json()))) == side()


def test_percentile_is_a_value_that_was_seen() -> None:
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile(range(1, 101), 0.99) == 99
    assert percentile([7.0], 0.99) == 7.0
    assert math.isnan(percentile([], 0.5))


def test_weights_are_noted_once_and_read_in_order() -> None:
    seen = Weights()
    for at, weight in ((0.0, 0), (1.0, 5), (1.5, 5), (11.0, 10), (21.0, 100), (31.0, 0)):
        seen.note("m", at, weight)
    assert seen.rising("m", (5, 10, 100)) == [1.0, 11.0, 21.0]
    assert seen.followed("m", (5, 10, 100))
    assert not seen.followed("m", (5, 100))
    assert seen.rising("m", (5, 25)) == [1.0]
    assert seen.rising("unknown", (5,)) == []


def test_lateness_is_what_a_step_lasted_beyond_its_length() -> None:
    assert lateness([[1.0, 11.5, 21.0], [4.0]], 10.0) == pytest.approx([0.5, -0.5])


def test_a_ratio_to_nothing_is_no_number() -> None:
    assert math.isnan(ratio(1.0, 0.0))


def test_rest_is_told_by_the_minute() -> None:
    assert dataclasses.replace(side(), rest=Count(3, 1, 0), rest_seconds=30.0).rest_per_minute == Count(6, 2, 0)


def test_busy_is_all_but_idle_and_waiting() -> None:
    before = [10, 0, 10, 100, 0, 0, 0, 0, 5, 0]
    assert busy(before, [40, 0, 20, 150, 10, 0, 0, 0, 35, 0]) == pytest.approx(0.4)
    assert busy(before, before) == 0.0
