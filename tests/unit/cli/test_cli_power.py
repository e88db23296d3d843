"""power: what can be expected of a guardrail, told before a rollout begins."""

from __future__ import annotations

import json
import math
from datetime import timedelta
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from solera.cli.main import cli
from solera.cli.views import times
from solera.plan.power import Asked, Pace, good_requests
from unit.cli.test_cli_get import Terminal

ASKED = Asked(0.01, 0.05, 0.05)
USUAL = ("--requests-per-minute", "600", "--weight", "10%", "--limit", "1%")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["power", *arguments])


def document(*arguments: str) -> dict[str, Any]:
    result = run(*USUAL, *arguments, "-o", "json")
    assert result.exit_code == 0, result.stderr
    got: dict[str, Any] = json.loads(result.stdout)
    return got


def test_for_people() -> None:
    result = run(*USUAL)
    assert result.exit_code == 0, result.stderr
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert lines[0] == "600 requests a minute, of which the candidate gets 10%."
    assert lines[1] == "Limit 1%, falseRollback 5% over 1 test, falsePromotion 5%."
    good = good_requests(ASKED, Pace(10.0, ((0.1, timedelta()),)))
    assert good is not None
    assert f"Requests to pass if none is bad: {good:,} ({times.span(timedelta(seconds=good))})" in lines
    rows = {line.split()[0]: line.split() for line in lines if line[:1].isdigit()}
    assert list(rows)[1:5] == ["0.5%", "1%", "2%", "5%"]
    assert (rows["0.5%"][1], rows["5%"][2], rows["1%"][4:]) == ("99.9%", "100%", ["-", "-"])
    assert "PASS, FAIL and UNDECIDED are the chances after 86,400 requests of the candidate (24h)." in lines
    header = next(i for i, line in enumerate(lines) if line == "AFTER REQUESTS 0.5% 1% 2% 5%")
    assert lines[header + 1].startswith("5m 300 Pass 0%, Fail 0.1%")
    assert lines[-1].startswith("24h 86,400 Pass 99.9%, Fail 0.1%")


def test_as_a_document() -> None:
    got = document()
    assert (got["apiVersion"], got["kind"]) == ("cli.solera.dev/v1", "Power")
    assert (got["limit"], got["falseRollback"], got["tests"], got["requestsPerMinute"]) == ("1%", "5%", 1, 600)
    assert (got["steps"], got["within"]) == ([{"weight": 10, "lasts": None}], "24h")
    good = good_requests(ASKED, Pace(10.0, ((0.1, timedelta()),)))
    assert good is not None
    assert got["leastGood"] == {"requests": good, "time": times.exact(timedelta(seconds=good))}
    half, at_limit, *_ = got["expected"]
    assert (half["share"], half["passed"] > 0.99, half["horizon"]["requests"]) == ("0.5%", True, 86_400)
    assert (at_limit["median"], at_limit["undecided"] > 0.9) == (None, True)
    for expected in got["expected"]:
        assert [b["after"] for b in expected["by"]][-1] == "24h"
        for by in expected["by"]:
            assert by["passed"] + by["failed"] + by["undecided"] == pytest.approx(1, abs=2e-4)
        assert [b["passed"] for b in expected["by"]] == sorted(b["passed"] for b in expected["by"])
    assert yaml.safe_load(run(*USUAL, "-o", "yaml").stdout) == got


def test_steps_bring_requests_at_their_weights() -> None:
    usual = ("--requests-per-minute", "600", "--limit", "1%", "-o", "json")
    result = run(*usual, "--weight", "5:10m", "--weight", "25%", "--within", "2h")
    got = json.loads(result.stdout)
    assert got["steps"] == [{"weight": 5, "lasts": "10m"}, {"weight": 25, "lasts": None}]
    good = got["leastGood"]["requests"]  # 300 in ten minutes, then 2.5 a second
    assert good == good_requests(ASKED, Pace(10.0, ((0.05, timedelta(minutes=10)), (0.25, timedelta()))))
    assert got["leastGood"]["time"] == times.exact(timedelta(seconds=600 + math.ceil((good - 300) / 2.5)))
    assert [b["requests"] for b in got["expected"][0]["by"]] == [150, 1050, 3300, 7800, 16800]
    result = run(*usual[:-2], "--weight", "5:10m", "--weight", "25%")
    assert "of which the candidate gets 5% for 10m, then 25% until there is a verdict." in result.stdout


def test_risks_tests_and_true_shares() -> None:
    got = document(
        "--risk",
        "falseRollback=1%",
        "--risk",
        "falsePromotion=0.5%",
        "--guardrails",
        "4",
        "--true",
        "0%",
        "--true",
        "3%",
    )
    assert (got["falseRollback"], got["falsePromotion"], got["tests"]) == ("1%", "0.5%", 4)
    assert [e["share"] for e in got["expected"]] == ["0%", "3%"]
    usual = document("--true", "0%", "--true", "3%")
    for i in (0, 1):
        assert got["expected"][i]["median"]["requests"] > usual["expected"][i]["median"]["requests"]


def test_shares_that_cannot_be_are_left_out() -> None:
    result = run("--requests-per-minute", "1", "--weight", "100", "--limit", "40%", "-o", "json")
    assert [e["share"] for e in json.loads(result.stdout)["expected"]] == ["20%", "40%", "80%"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--requests-per-minute", "0.001", "--weight", "1", "--limit", "0.000001%"),
        ("--requests-per-minute", "1000000000", "--weight", "100", "--limit", "0.000001%", "--within", "9999h"),
        ("--requests-per-minute", "60", "--weight", "50", "--limit", "99%"),
        ("--requests-per-minute", "60", "--weight", "50", "--limit", "1%", "--within", "10s"),
    ],
)
def test_extremes_are_told_too(arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "TRUE SHARE" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "Missing option"),
        ((*USUAL[:4],), "Missing option '--limit'"),
        ((*USUAL, "--limit", "1"), "'1' is not a percentage: write a percentage from 0% to 100%"),
        ((*USUAL, "--limit", "0%"), "0% is out of range: write a percentage above 0% and below 100%"),
        ((*USUAL, "--true", "100%"), "100% is out of range: write a percentage from 0% and below 100%"),
        ((*USUAL, "--weight", "20%"), "--weight 10% is not the last one: say how long it lasts, for example 10%:10m"),
        (
            ("--requests-per-minute", "1", "--limit", "1%", "--weight", "5:1h"),
            "the last --weight lasts until there is a verdict: write 5%",
        ),
        ((*USUAL, "--weight", "0"), "'0' is no step: write a weight from 1% to 100%"),
        ((*USUAL, "--weight", "5:soon"), "'soon' is not a duration"),
        (
            (*USUAL, "--risk", "falseRollback=50%"),
            "--risk: 50% is out of range: write a percentage above 0% and below 50%",
        ),
        ((*USUAL, "--risk", "false=5%"), "--risk false=5% cannot be read: write falseRollback=1% or falsePromotion=1%"),
        ((*USUAL, "--guardrails", "0"), "0"),
        ((*USUAL, "--within", "0s"), "--within must be longer than nothing, for example 24h"),
        ((*USUAL, "--requests-per-minute", "0"), "0"),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...], words: str) -> None:
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert words in " ".join(result.stderr.split())


def test_the_plugin_tells_the_same_without_a_cluster() -> None:
    t = Terminal()
    assert t.run("power", *USUAL).stdout == run(*USUAL).stdout
    assert t.targets == []
