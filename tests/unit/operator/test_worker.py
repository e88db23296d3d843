from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from solera.errors import Conflict, Invalid, Throttled, Unavailable
from solera.operator.telemetry import Telemetry
from solera.operator.worker import Worker
from solera.operator.workqueue import WorkQueue

A, B = ("ml", "a"), ("ml", "b")


class Rig:
    """Workers on a queue; ``answers`` says what each look gives, in turn; the last one stays."""

    def __init__(self, answers: dict[tuple[str, str], list[Any]]) -> None:
        self.queue: WorkQueue[tuple[str, str]] = WorkQueue()
        self.telemetry = Telemetry()
        self.answers = answers
        self.looks: list[tuple[str, str]] = []
        self.delays: list[float] = []
        self.told: dict[tuple[str, str], str] = {}
        add_after = self.queue.add_after
        self.queue.add_after = lambda key, delay: (self.delays.append(delay), add_after(key, delay))[1]  # type: ignore[method-assign, func-returns-value]

    async def reconcile(self, key: tuple[str, str]) -> float | None:
        self.looks.append(key)
        answers = self.answers[key]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def run(self, until: int) -> None:
        tasks = [
            asyncio.create_task(Worker(self.queue, self.reconcile, self.telemetry, self.told).run()) for _ in range(2)
        ]
        async with asyncio.timeout(60):
            while len(self.looks) < until:  # noqa: ASYNC110 - there is nothing to wait on but the looks themselves
                await asyncio.sleep(0.001)
        await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def errors(self) -> dict[str, float]:
        found = {}
        for metric in self.telemetry.registry.collect():
            if metric.name == "solera_reconcile_errors":
                found = {s.labels["reason"]: s.value for s in metric.samples if s.name.endswith("_total")}
        return found


async def test_a_key_that_breaks_does_not_stop_another(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig({A: [ZeroDivisionError("oops")], B: [0.001]})
    rig.queue.add(A)
    rig.queue.add(B)
    await rig.run(20)
    assert rig.looks.count(B) > 10
    assert rig.looks.count(A) >= 1
    assert rig.errors()["ZeroDivisionError"] >= 1


async def test_an_error_is_told_once_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig({A: [ZeroDivisionError("oops")]})
    rig.queue.add(A)
    await rig.run(2)
    told = [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert len(told) == 1
    assert told[0].exc_info is not None
    assert told[0].llmdeployment == "ml/a"  # type: ignore[attr-defined]


async def test_after_a_good_look_the_same_error_is_told_again(caplog: pytest.LogCaptureFixture) -> None:
    away = Unavailable("apply Service ml/a", "503")
    rig = Rig({A: [away, away, 0.001, away, 5.0]})
    rig.queue.add(A)
    await rig.run(5)
    assert [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING] == [
        "Unavailable: apply Service ml/a: 503; again in 0.2 s, told once",
        "Unavailable: apply Service ml/a: 503; again in 0.2 s, told once",
    ]
    assert all(r.exc_info is None for r in caplog.records), "an expected error needs no traceback"


async def test_a_conflict_is_no_news(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig({A: [Conflict("apply HTTPRoute ml/a", "modified"), 5.0]})
    rig.queue.add(A)
    await rig.run(2)
    assert [r for r in caplog.records if r.levelno >= logging.WARNING] == []
    assert rig.errors() == {"Conflict": 1}


async def test_a_throttled_look_waits_as_long_as_asked() -> None:
    rig = Rig({A: [Throttled("apply", "slow down", retry_after=0.05), 5.0]})
    rig.queue.add(A)
    await rig.run(2)
    assert rig.delays[0] == 0.05


@pytest.mark.parametrize(
    ("error", "pause"), [(Unavailable("apply", "refused"), "5.0"), (Invalid("apply", "not a number"), "51.2")]
)
async def test_an_apiserver_that_is_away_is_asked_again_soon_and_a_refusal_is_not_repeated_often(
    error: Exception, pause: str, caplog: pytest.LogCaptureFixture
) -> None:
    rig = Rig({A: [error]})
    for _ in range(8):
        rig.queue.retry(A)
    rig.queue.add(A)
    await rig.run(1)
    assert f"again in {pause} s" in caplog.text


async def test_a_key_that_is_gone_is_not_looked_at_again() -> None:
    rig = Rig({A: [None], B: [0.001]})
    rig.queue.add(A)
    rig.queue.add(B)
    await rig.run(20)
    assert rig.looks.count(A) == 1
