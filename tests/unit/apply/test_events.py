from __future__ import annotations

from datetime import UTC, datetime

import pytest

from solera.apply.events import MAX_NOTE, Events, event_manifest
from solera.errors import Forbidden
from solera.plan.types import Owner, PlannedEvent
from twin.kube import MemoryKube, failing
from twin.objects import NAME, NAMESPACE, UID

NOW = datetime(2026, 1, 1, 12, 0, 0, 5, tzinfo=UTC)
OWNER = Owner(NAME, NAMESPACE, UID, 1, NOW)
PROMOTED = PlannedEvent("Normal", "Promoted", "v2 carries all traffic")


async def test_equal_events_are_written_once() -> None:
    kube = MemoryKube()
    events = Events(kube, instance="pod-1")
    await events.post(OWNER, [PROMOTED, PROMOTED], NOW)
    await events.post(OWNER, [PROMOTED], NOW)
    assert len(kube.writes("Event")) == 1


async def test_after_a_restart_the_apiserver_remembers() -> None:
    kube = MemoryKube()
    await Events(kube, instance="pod-1").post(OWNER, [PROMOTED], NOW)
    await Events(kube, instance="pod-2").post(OWNER, [PROMOTED], NOW)
    assert len(kube.writes("Event")) == 1


async def test_another_message_or_owner_is_another_event() -> None:
    kube = MemoryKube()
    events = Events(kube, instance="pod-1")
    other = Owner(NAME, NAMESPACE, "uid-new", 1, NOW)
    await events.post(OWNER, [PROMOTED, PlannedEvent("Normal", "Promoted", "v3 carries all traffic")], NOW)
    await events.post(other, [PROMOTED], NOW)
    assert len(kube.writes("Event")) == 3


async def test_an_event_that_cannot_be_written_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    kube = MemoryKube(fail=failing(Forbidden("create Event", "no right")))
    events = Events(kube, instance="pod-1")
    await events.post(OWNER, [PROMOTED, PlannedEvent("Warning", "RolledBack", "v3")], NOW)
    assert [w.manifest["reason"] for w in kube.writes("Event")] == ["RolledBack"]
    assert "event Promoted not written: create Event: no right" in caplog.text
    await events.post(OWNER, [PROMOTED], NOW)
    assert len(kube.writes("Event")) == 2, "it is tried again the next time"


def test_what_an_event_says() -> None:
    manifest = event_manifest(OWNER, PlannedEvent("Warning", "RolledBack", "ä" * 600), NOW, "pod-1")
    assert manifest["apiVersion"] == "events.k8s.io/v1"
    assert manifest["eventTime"] == "2026-01-01T12:00:00.000005Z"
    assert manifest["regarding"]["uid"] == UID
    assert manifest["metadata"]["name"].startswith(f"{NAME}.")
    assert (manifest["type"], manifest["reason"]) == ("Warning", "RolledBack")
    assert len(manifest["note"].encode()) <= MAX_NOTE
    assert set(manifest["note"]) == {"ä"}, "cut between letters, not inside one"
