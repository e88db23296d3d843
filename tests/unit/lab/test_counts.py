"""The sum of all layers is right, and a test that did not run is not taken for one that passed."""

from __future__ import annotations

from pathlib import Path

import pytest
from lab.counts import main

LISTED = "tests/e2e/test_a.py::test_one\ntests/e2e/test_a.py::test_two[x-1]\n\n2 tests collected in 0.10s\n"


def report(folder: Path, name: str, *cases: str, skipped: int = 0, failures: int = 0) -> None:
    inside = "".join(f'<testcase classname="tests.e2e.test_a" name="{case}" time="1" />' for case in cases)
    counts = f'tests="{len(cases)}" errors="0" failures="{failures}" skipped="{skipped}" time="2.5"'
    (folder / f"{name}.xml").write_text(
        f'<testsuites><testsuite name="pytest" {counts}>{inside}</testsuite></testsuites>'
    )


def test_parts_that_make_up_the_layer_are_added_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "e2e.collected").write_text(LISTED)
    report(tmp_path, "unit", "test_u")
    report(tmp_path, "e2e", "test_one")
    report(tmp_path, "e2e-disruptive", "test_two[x-1]")
    assert main(tmp_path) == 0
    assert capsys.readouterr().out.splitlines() == [
        "e2e-disruptive: 1 of 1 passed in 2 s",
        "e2e: 1 of 1 passed in 2 s",
        "unit: 1 of 1 passed in 2 s",
        "3 passed, 0 failed, 0 skipped",
    ]


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ([["test_one"], []], "not run: tests.e2e.test_a::test_two[x-1]"),
        ([["test_one", "test_two[x-1]"], ["test_one"]], "run in more than one part: tests.e2e.test_a::test_one"),
        (
            [["test_one", "test_two[x-1]"], ["test_new"]],
            "run but not listed in e2e.collected: tests.e2e.test_a::test_new",
        ),
    ],
)
def test_parts_that_do_not_make_up_the_layer_fail(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], parts: list[list[str]], said: str
) -> None:
    (tmp_path / "e2e.collected").write_text(LISTED)
    report(tmp_path, "e2e", *parts[0])
    report(tmp_path, "e2e-disruptive", *parts[1])
    assert main(tmp_path) == 1
    assert said in capsys.readouterr().out.splitlines()


def test_a_layer_without_reports_fails_though_others_passed(tmp_path: Path) -> None:
    (tmp_path / "e2e.collected").write_text(LISTED)
    report(tmp_path, "unit", "test_u")
    assert main(tmp_path) == 1


def test_an_empty_list_is_no_proof(tmp_path: Path) -> None:
    (tmp_path / "e2e.collected").write_text("no tests collected in 0.01s\n")
    report(tmp_path, "unit", "test_u")
    assert main(tmp_path) == 1


@pytest.mark.parametrize(("skipped", "failures"), [(1, 0), (0, 1)])
def test_skipped_and_failed_tests_fail(tmp_path: Path, skipped: int, failures: int) -> None:
    report(tmp_path, "unit", "test_u", "test_v", skipped=skipped, failures=failures)
    assert main(tmp_path) == 1


def test_nothing_at_all_fails(tmp_path: Path) -> None:
    assert main(tmp_path) == 1
