"""The fixtures say what a real operator can say: the API's own models accept every one of them."""

from __future__ import annotations

import inspect
from types import ModuleType
from typing import Any

import pytest

from solera.api import metadata
from solera.api.llmdeployment import PLURAL, parse
from solera.api.status import State, Verdict
from solera.cli.cluster import client
from solera.cli.views import reading
from solera.plan import gates, policies, report, requests, verbs
from unit.cli.test_cli_explain import CASES


@pytest.mark.parametrize("obj", [case[0] for case in CASES.values()], ids=CASES)
def test_fixtures_fit_the_api(obj: dict[str, Any]) -> None:
    parse(obj)


def test_the_names_that_both_sides_write_are_the_same() -> None:
    assert (client.GROUP, client.VERSION, client.PLURAL) == (metadata.GROUP, metadata.VERSION, PLURAL)
    assert reading.REQUEST_ANNOTATION == requests.REQUEST_ANNOTATION


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (gates, {"WaitingForApproval"}),
        (policies, {"RolledBack", "Withdrawn", "Replaced"}),
        (verbs, {"RequestRefused", "Approved", "Aborted", "Paused", "Resumed", "Retried"}),
        (report, {"RolledBack"}),
    ],
)
def test_the_words_that_the_plugin_looks_for_are_those_that_the_operator_writes(
    module: ModuleType, words: set[str]
) -> None:
    source = inspect.getsource(module)
    assert [w for w in words if f'"{w}"' not in source] == []


def test_the_cases_cover_every_state_and_the_summary_every_verdict() -> None:
    told = {case[0].get("status", {}).get("state") for case in CASES.values()}
    assert {str(s) for s in State} <= told
    assert {str(v) for v in Verdict} == {"Pass", "Fail", "Continue", "NoData", "SharedIncident"}
