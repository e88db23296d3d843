"""The pictures and tables of docs/verdicts.md are what the code gives. `python -m benchmarks.pictures [--costs]` writes them anew."""

from __future__ import annotations

import re
from itertools import takewhile
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from benchmarks.pictures import costs
from benchmarks.pictures.drawing import draw
from benchmarks.pictures.scenes import LIMIT, SCENES, Scene

from solera.plan.verdict import CONTINUE, FAIL, PASS, SHARED_INCIDENT

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "verdicts.md").read_text()
BY_NAME = {scene.name: scene for scene in SCENES}
every_scene = pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)


@every_scene
def test_the_pictures_are_what_the_program_writes(scene: Scene) -> None:
    path = DOCS / "pictures" / f"{scene.name}.svg"
    assert path.read_bytes() == draw(scene).encode()
    assert path.stat().st_size < 40_000
    assert f"](pictures/{scene.name}.svg)" in PAGE


def test_no_other_picture_lies_there() -> None:
    assert {path.stem for path in (DOCS / "pictures").iterdir()} == set(BY_NAME)


@every_scene
def test_a_picture_is_xml_without_numbers_that_are_none(scene: Scene) -> None:
    text = draw(scene)
    ET.fromstring(text)
    assert not re.search(r"\b(nan|inf)\b", text)


@pytest.mark.parametrize(("name", "expected"), [("healthy", PASS), ("bad", FAIL), ("shared-incident", PASS)])
def test_each_life_decides_as_its_title_says(name: str, expected: str) -> None:
    seen, decisive = BY_NAME[name].life()
    assert BY_NAME[name].decides == decisive.verdict.verdict == expected
    before = list(takewhile(lambda look: look is not decisive, seen))
    assert before
    assert {look.verdict.verdict for look in before} <= {CONTINUE, SHARED_INCIDENT}
    assert BY_NAME[name].marks(seen)[-1].look is decisive


def test_the_interval_clears_the_limit_at_the_look_that_decides() -> None:
    _, passed = BY_NAME["healthy"].life()
    _, failed = BY_NAME["bad"].life()
    assert passed.verdict.high is not None
    assert passed.verdict.high <= LIMIT
    assert failed.verdict.low is not None
    assert failed.verdict.low >= LIMIT


def test_a_bad_release_is_held_before_it_fails() -> None:
    seen, decisive = BY_NAME["bad"].life()
    held = [look.second for look in seen if look.verdict.suspected]
    assert held
    assert max(held) < decisive.second


def test_the_shared_incident_ends_in_a_pass_and_never_fails() -> None:
    scene = BY_NAME["shared-incident"]
    seen, decisive = scene.life()
    there = scene.world.incident
    assert there is not None
    shared = [look.second for look in seen if look.verdict.verdict == SHARED_INCIDENT]
    assert there.begins < shared[0] < there.ends
    assert there.ends < shared[-1] < decisive.second


def rows(name: str) -> list[str]:
    between = PAGE.partition(costs.BEGIN.format(name))[2].partition(costs.END.format(name))[0]
    return [line for line in between.strip().splitlines() if line.startswith("|")]


def test_the_tables_have_all_their_rows() -> None:
    assert len(rows("costs")) == 2 + len(costs.LIMITS) * len(costs.RELEASES)
    assert len(rows("near")) == 2 + len(costs.NEAR)
    assert len(rows("risks")) == 2 + len(costs.RISKS)
    assert len(rows("ratios")) == 2 + len(costs.RATIOS)
    assert f"over {costs.LIVES}" in PAGE


def test_the_quickest_figures_are_what_the_judge_gives() -> None:
    assert "| " + " | ".join(costs.row(0.05, 5.0)) + " |" in rows("costs")
    flawless = next(row for row in rows("costs") if row.startswith(f"| 5% | {costs.RELEASES[0.0]} |"))
    assert flawless.endswith(f" | {costs.cell(costs.until(0.05, 0.0, 1000), 1000)} |")


def test_a_life_that_ends_otherwise_counts_as_never() -> None:
    world = costs.World(1000, 0.05, 3000, 0.003)
    assert costs.requests(world, LIMIT, PASS, "bad") == float("inf")
    assert costs.requests(world, LIMIT, FAIL, "bad") < 1000


@pytest.mark.parametrize(
    ("count", "per_minute", "text"),
    [
        (521, 10, "520 (52 min)"),
        (20_400, 10, "20,000 (34 h)"),
        (40_400, 10, "40,000 (2.8 days)"),
        (83, 1000, "83 (5 s)"),
        (1250, 10, "1,200 (2.1 h)"),
        (float("inf"), 10, "never"),
    ],
)
def test_figures_have_two_digits(count: float, per_minute: float, text: str) -> None:
    assert costs.cell(count, per_minute) == text
