"""One LLMDeployment under live traffic, with its resource and route watched, and the hands that break it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import time
import urllib.request
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

from lab import live
from lab.life import Life
from lab.live import Object
from lab.traffic import Plan, Traffic, running
from lab.traffic_record import Record, read_records

NAME = "chat"
CHILDREN = "pods,deployments,services,controllerrevisions"
OF_NAME = "solera.dev/llmdeployment=" + NAME


class Scene(Life):
    """A life in a namespace of its own, with the versions that it may serve and the file of its answers.

    ``template`` is what every version has in common, on top of what ``live.llmdeployment`` gives.
    """

    def __init__(
        self, space: str, answers: Path, versions: list[Object], rollout: Object, template: Object | None = None
    ) -> None:
        super().__init__(NAME, space)
        self.answers, self.versions, self.rollout, self.template = answers, versions, rollout, template or {}
        self.traffic: Traffic | None = None

    def serve(self, version: str, **template: Any) -> None:
        template = {**self.template, **template}
        live.apply(live.llmdeployment(NAME, self.space, version, self.versions, self.rollout, template))

    def alone(self, version: str) -> bool:
        """This version carries everything and nothing else is left."""
        if self.weights() != {version: 100} or self.stable() != version or self.status.get("state") != "Idle":
            return False
        found = live.items(CHILDREN, self.space, OF_NAME)
        return {o["metadata"]["labels"]["solera.dev/version"] for o in found} == {version}

    def events(self) -> list[str]:
        """What was decided, in order."""
        return [entry["event"] for entry in self.status.get("history") or ()]

    def child(self, version: str) -> str:
        """The name that the children of a version's newest revision share."""
        return f"{NAME}-{version}-{next(h for h, v in reversed(self.hashes.items()) if v == version)}"

    def pods(self, version: str) -> list[Object]:
        return live.items("pods", self.space, f"{OF_NAME},solera.dev/version={version}")

    def ready(self, version: str) -> bool:
        """A pod of it is ready and not on its way out."""
        staying = [p for p in self.pods(version) if not p["metadata"].get("deletionTimestamp")]
        conditions = [c for pod in staying for c in pod["status"].get("conditions") or ()]
        return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)

    def kill(self, version: str) -> float:
        """SIGKILL to the engines of a version, as the kernel does it when memory is short. Returns when."""
        statuses = [s for pod in self.pods(version) for s in pod["status"].get("containerStatuses") or ()]
        pids = [pid for status in statuses for pid in processes_of(status["containerID"])]
        at = time.time()
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        assert pids, f"{version} has no engine to kill"
        return at

    def put_faults(self, version: str, **faults: Any) -> float:
        """Change what is wrong with the simulated engines of a version while they run. Returns when."""
        for pod in self.pods(version):
            url = f"http://{pod['status']['podIP']}:8000/faults"
            request = urllib.request.Request(url, json.dumps(faults).encode(), method="PUT")
            with urllib.request.urlopen(request, timeout=5) as answer:
                assert answer.status == 200
        return time.time()

    def patch(self, kind: str, name: str, patch: Object) -> float:
        """Another hand changes a child. Returns when that was done."""
        live.kubectl(
            *("patch", kind, name, "-n", self.space, "--type=merge", "--field-manager=hand", "-p", json.dumps(patch))
        )
        return time.time()

    def delete(self, kind: str, name: str, *how: str) -> float:
        """Another hand deletes an object. Returns when that was asked for."""
        began = time.time()
        live.kubectl("delete", kind, name, "-n", self.space, "--wait=false", *how)
        return began

    def answers_of(self, version: str) -> int:
        """How many good answers a version has given by now."""
        assert self.traffic is not None
        of = self.traffic.totals.revisions
        return sum(of[h].outcomes["ok"] for h, v in self.hashes.items() if v == version and h in of)

    def records(self) -> list[Record]:
        return list(read_records(self.answers))

    def lost(self) -> list[str]:
        return told(r for r in self.records() if r.lost)

    def unanswered(self) -> list[Record]:
        """Every request that did not get its answer: lost ones, and those that the gateway itself refused."""
        return [r for r in self.records() if r.lost or r.outcome == "client_error"]

    def weights_between(self, since: float, until: float) -> list[dict[str, int]]:
        """The weights that were in force at any time from ``since`` to ``until``, in order, without repetition."""
        before = [route for at, route in self.route.seen if at <= since][-1:]
        within = [route for at, route in self.route.seen if since < at <= until]
        out: list[dict[str, int]] = []
        for found in map(self.by_version, before + within):
            if not out or out[-1] != found:
                out.append(found)
        return out


def told(records: Iterable[Record]) -> list[str]:
    return [f"{r.sent:.2f}..{r.done:.2f} {r.outcome} {r.status} {r.error} {r.revision}" for r in records]


def processes_of(container: str) -> list[int]:
    """The processes of one container (``containerd://ID``) on this machine, by the name of its control group."""
    name, found = container.rpartition("/")[2], []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and name in (entry / "cgroup").read_text():
                found.append(int(entry.name))
    return found


@contextlib.asynccontextmanager
async def living(
    scene: Scene,
    first: str,
    rate: float = 30.0,
    seconds: float = 600.0,
    stream_share: float = 0.25,
    patience: float = 15.0,  # seconds that a client waits for its answer
) -> AsyncIterator[Scene]:
    """``first`` serves and traffic flows when the block begins; every answer is in the file when it ends."""
    scene.serve(first)
    plan = Plan(
        live.GATEWAY,
        NAME,
        host=scene.host,
        rate=rate,
        duration=seconds,
        timeout=patience,
        prompt_length=150,
        stream_share=stream_share,
    )
    async with live.watching(scene.resource, scene.route):
        # A gateway whose apiserver was away may take up to a minute before it watches, and so finds a new Service.
        await live.until(f"{first} serves", lambda: scene.serves(first), 120)
        await asyncio.sleep(1)
        async with running(plan, scene.answers) as traffic:
            scene.traffic = traffic
            await asyncio.sleep(2)
            yield scene
            await asyncio.sleep(1)
