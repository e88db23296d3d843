"""docs/verdicts.md names what there is: verdicts, what a step waits for, fields of status, files; and its manifest would be accepted."""

from __future__ import annotations

import inspect
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from solera.api.llmdeployment import parse
from solera.api.status import GuardrailStatus, RolloutStatus, Verdict
from solera.cli.offline.linting import mistakes
from solera.plan import gates, traffic, verdict
from solera.plan.intent import read_intent

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "verdicts.md").read_text()
MANIFESTS = re.findall(r"^```yaml\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)


def section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_every_manifest_would_be_accepted() -> None:
    assert MANIFESTS
    for text in MANIFESTS:
        assert mistakes(yaml.safe_load(text), datetime(2026, 3, 1, tzinfo=UTC)) == []


def test_the_example_has_as_many_tests_as_the_page_says() -> None:
    intent = read_intent(parse(yaml.safe_load(MANIFESTS[0])))
    acting = [g for g in intent.guardrails if g.action == verdict.ROLL_BACK]
    assert sum((g.limit is not None) + (g.max_ratio is not None) for g in acting) == 4
    assert "Four tests can roll back" in PAGE
    assert intent.steps[2].max_duration == timedelta(hours=1)


def test_every_verdict_and_everything_that_a_step_waits_for_has_a_row() -> None:
    told = re.findall(r"^\| `(\w+)`", section("The verdicts, and what to do"), flags=re.MULTILINE)
    waits = set(re.findall(r'Gate\(False, "(\w+)"', inspect.getsource(gates)))
    waits |= {gates.PAUSED, gates.STUCK, gates.WAITING_FOR_PODS, gates.BUDGET_SPENT}
    waits |= {gates.MIN_DURATION, gates.WAITING_FOR_APPROVAL, traffic.STABLE_UNAVAILABLE}
    assert waits >= {"TooFewRequests", "SplitMismatch"}
    assert set(told) == {*Verdict} | waits


def test_what_a_step_waits_for_stands_in_the_order_in_which_it_is_told() -> None:
    told = re.findall(r"^\| `(\w+)`", section("The verdicts, and what to do"), flags=re.MULTILINE)
    gate = inspect.getsource(gates.step_gate)
    for name in ("BUDGET_SPENT", "MIN_DURATION", "WAITING_FOR_APPROVAL"):
        gate = gate.replace(name, f'"{getattr(gates, name)}"')
    asked = list(dict.fromkeys(re.findall(r'Gate\(False, "(\w+)"', gate)))
    assert len(asked) == 8
    assert [name for name in told if name in asked] == asked


@pytest.mark.parametrize(("at", "model"), [("guardrails[]", GuardrailStatus), ("rollout", RolloutStatus)])
def test_every_number_stands_where_the_page_says(at: str, model: type[BaseModel]) -> None:
    there = {field.alias for field in model.model_fields.values()}
    rows = [line.split(" | ")[1] for line in section("Where the numbers stand").splitlines() if f"`{at}." in line]
    named = [name for row in rows for name in re.findall(r"[.](\w+)`", row)]
    assert named
    assert set(named) <= there


def test_the_silences_and_defaults_are_those_of_the_code() -> None:
    assert timedelta(minutes=3) == verdict.STALE_AFTER
    assert timedelta(seconds=5) == verdict.BLIND_AFTER
    assert "none for 3 minutes, or for 5 s from a source that is known to be away" in PAGE


def test_every_link_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", PAGE)
    assert links
    assert [link for link in links if not (DOCS / link).exists()] == []
