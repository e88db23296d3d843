"""The operator is killed with SIGKILL around every weight and status write of a rollout, under live traffic."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lab import live

from e2e.apiproxy import ADDRESS, PORT, proxy
from e2e.scene import Scene, living
from e2e.test_rollout import QUICK, ROLLOUT

pytestmark = [pytest.mark.e2e, pytest.mark.disruptive]

AT_LEAST = 20
OPERATOR_UID = 65532


def operator_pids() -> list[int]:
    """The operator's processes in this lab, told by their control group, user and command line: another lab may run beside it."""
    lab = f":/{os.environ.get('SOLERA_LAB_NETNS', 'solera-lab')}/"
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            owner = entry.stat().st_uid
            group = (entry / "cgroup").read_text()
        except OSError:
            continue
        if lab in group and owner == OPERATOR_UID and b"operator" in words and b"/etc/solera/config.yaml" in words:
            found.append(int(entry.name))
    return found


class Killer:
    """Kills before and after the answer to each write that it has not met before."""

    def __init__(self, space: str) -> None:
        self.space = space
        self.armed = False
        self.met: dict[str, set[str]] = {}
        self.kills: list[str] = []

    async def __call__(self, when: str, method: str, path: str, body: dict[str, Any]) -> bool:
        if not self.armed or method != "PATCH" or (what := self._what(path, body)) is None:
            return False
        done = self.met.setdefault(what, set())
        wanted = "before" if "before" not in done else "after"
        if when != wanted or when in done:
            return False
        done.add(when)
        self.kills.append(f"{when} {what}")
        for pid in operator_pids():
            os.kill(pid, signal.SIGKILL)
        return True

    def _what(self, path: str, body: dict[str, Any]) -> str | None:
        if f"/namespaces/{self.space}/" not in path:
            return None
        if "/httproutes/" in path:
            return f"weights {sorted(live.weights(body).items())}"
        if not path.endswith("/status"):
            return None
        status = body["status"]
        rollout = status.get("rollout") or {}
        roles = [(role, (status.get(role) or {}).get("version")) for role in ("stable", "candidate", "previous")]
        return (
            f"status {status['state']} step {rollout.get('step')} {roles} {len(status.get('draining') or ())} draining"
        )


@pytest.fixture
def killer(space: str) -> Killer:
    return Killer(space)


@pytest.fixture(autouse=True)
def _operator_as_before() -> Iterator[None]:
    yield
    live.install_operator()


async def test_killed_around_every_weight_and_status_write_the_rollout_ends_the_same(
    space: str, answers: Path, killer: Killer
) -> None:
    steps = [{"weight": w, "minDuration": "4s", "minRequests": 20} for w in (10, 30, 60, 100)]
    scene = Scene(space, answers, [live.sim(n, *QUICK) for n in ("v1", "v2")], {**ROLLOUT, "steps": steps})
    async with proxy(killer):
        env = [
            {"name": "KUBERNETES_SERVICE_HOST", "value": ADDRESS},
            {"name": "KUBERNETES_SERVICE_PORT", "value": str(PORT)},
        ]
        await asyncio.to_thread(live.install_operator, env=env)
        async with living(scene, "v1", seconds=900):
            killer.armed = True
            scene.serve("v2")
            await live.until("v2 alone", lambda: scene.stable() == "v2" and scene.alone("v2"), 600, 2)
            killer.armed = False
            while len(killer.kills) < AT_LEAST:  # at rest, until there were as many as promised
                pids = await live.until("the operator runs", operator_pids, 60)
                for pid in pids:
                    os.kill(pid, signal.SIGKILL)
                killer.kills.append("at rest")
                await asyncio.sleep(3)
            began = time.time()
            await live.until("it runs again", operator_pids, 60)
            await asyncio.sleep(5)
            assert scene.alone("v2")
            assert [at for at, _ in scene.resource.seen if at > began + 1] == [], "something was written at rest"
    print("\n".join(killer.kills))
    weights = [k for k in killer.kills if "weights" in k]
    assert len(weights) == 2 * len(steps), weights
    assert len(killer.kills) >= AT_LEAST
    assert scene.steps("v2") == [10, 30, 60, 100]
    assert scene.lost() == []
    assert [h["event"] for h in scene.status["history"]].count("Promoted") == 1
