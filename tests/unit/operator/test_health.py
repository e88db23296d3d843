from __future__ import annotations

import json
import logging
import sys
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from solera import __version__
from solera.operator.health import HealthServer
from solera.operator.telemetry import JsonFormatter, OncePerOutage, Telemetry, TextFormatter


class Rig:
    def __init__(self) -> None:
        self.live: str | None = None
        self.ready: str | None = None
        self.telemetry = Telemetry()
        self.server = HealthServer(
            self.telemetry.registry, live=[lambda: self.live], ready=[lambda: None, lambda: self.ready]
        )

    async def get(self, path: str, port: int = 0) -> tuple[int, str]:
        url = f"http://127.0.0.1:{self.server.ports[port]}{path}"
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return response.status, await response.text()


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    rig = Rig()
    await rig.server.start((0,), "127.0.0.1")
    yield rig
    await rig.server.stop()


async def test_live_and_ready(rig: Rig) -> None:
    for path in ("/livez", "/readyz", "/healthz"):
        assert await rig.get(path) == (200, "ok\n")
    rig.ready = "HTTPRoute is not served"
    assert await rig.get("/readyz") == (503, "HTTPRoute is not served\n")
    assert await rig.get("/livez") == (200, "ok\n")
    rig.live = "the watch of Pod has been silent for 200 s"
    assert await rig.get("/livez") == (503, "the watch of Pod has been silent for 200 s\n")
    assert await rig.get("/healthz") == (503, "the watch of Pod has been silent for 200 s\n")


async def test_metrics(rig: Rig) -> None:
    telemetry = rig.telemetry
    telemetry.wrote("HTTPRoute", "apply")
    telemetry.error("Conflict")
    telemetry.watch_restarted("Pod", "the stream ended")
    telemetry.scrape_failed("Direct")
    telemetry.watch_states(lambda: ["Idle", "Idle", "Shifting", ""])
    telemetry.queue_depth.set_function(lambda: 3)
    telemetry.reconcile_seconds.observe(0.004)
    status, text = await rig.get("/metrics")
    assert status == 200
    for line in (
        f'solera_build_info{{version="{__version__}"}} 1.0',
        'solera_writes_total{kind="HTTPRoute",verb="apply"} 1.0',
        'solera_reconcile_errors_total{reason="Conflict"} 1.0',
        'solera_watch_restarts_total{kind="Pod"} 1.0',
        'solera_scrape_errors_total{source="Direct"} 1.0',
        'solera_llmdeployments{state="Idle"} 2.0',
        'solera_llmdeployments{state="Shifting"} 1.0',
        'solera_llmdeployments{state="RollingBack"} 0.0',
        'solera_llmdeployments{state="New"} 1.0',
        "solera_workqueue_depth 3.0",
        'solera_reconcile_seconds_bucket{le="0.005"} 1.0',
    ):
        assert f"{line}\n" in text
    assert "process_resident_memory_bytes" in text
    assert "_created" not in text


async def test_a_taken_port_is_an_error(rig: Rig) -> None:
    other = HealthServer(Telemetry().registry, live=[], ready=[])
    with pytest.raises(OSError, match="error while attempting to bind"):
        await other.start(rig.server.ports, "127.0.0.1")
    await other.stop()


def record(
    message: str, *, level: int = logging.INFO, created: float = 1767268800.0, **extra: Any
) -> logging.LogRecord:
    out = logging.LogRecord("solera.operator", level, __file__, 1, "%s", (message,), None)
    out.created = created
    for name, value in extra.items():
        setattr(out, name, value)
    return out


def failure() -> Any:
    try:
        _ = 1 / 0
    except ZeroDivisionError:
        return sys.exc_info()


def test_a_line_of_text() -> None:
    line = TextFormatter().format(record("v2 carries all traffic", llmdeployment="ml/chat"))
    assert line == "2026-01-01T12:00:00.000Z INFO ml/chat: v2 carries all traffic"
    assert TextFormatter().format(record("starts")) == "2026-01-01T12:00:00.000Z INFO starts"
    broken = TextFormatter().format(record("the look failed", exc_info=failure()))
    assert broken.endswith("ZeroDivisionError: division by zero")


def test_a_line_of_json() -> None:
    line = JsonFormatter().format(record("deleted ü", llmdeployment="ml/chat", reason="drained", kind="Service"))
    assert json.loads(line) == {
        "time": "2026-01-01T12:00:00.000Z",
        "level": "info",
        "logger": "solera.operator",
        "llmdeployment": "ml/chat",
        "reason": "drained",
        "kind": "Service",
        "message": "deleted ü",
    }
    broken = JsonFormatter().format(record("the look failed", exc_info=failure()))
    assert "\n" not in broken
    assert "ZeroDivisionError" in json.loads(broken)["traceback"]


def test_one_line_for_one_outage() -> None:
    quiet = OncePerOutage(30)
    times = [0, 1, 2, 29, 58, 100]
    let_through = [t for t in times if quiet.filter(record("refused", level=logging.ERROR, created=float(t)))]
    assert let_through == [0, 100]
    assert quiet.filter(record("fine", created=101.0))
