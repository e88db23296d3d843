"""One run of the operator over N objects: create, rest, restart, change, roll out; what was seen, and what it took."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from benchmarks.peer import audit, manifests
from benchmarks.peer.api import MERGE, Api, ApiError, collection
from benchmarks.peer.measure import busy as busy_share
from benchmarks.peer.trial import Program, audit_lines, processor_times
from benchmarks.scale import figures, objects
from lab import paths
from lab.shell import LabError, say

CREATED_AT_ONCE = 10
CHANGES_A_SECOND = 10
CALM = 5.0  # nothing written for so long, and it is at rest
METRICS_PORT, HEALTH_PORT = 18091, 18092
USER, CREATOR, BARE = "solera", "creator", "bare"
SPACE, BARE_SPACE = "scale", "bare"


def found() -> list[audit.Request]:
    """All requests so far."""
    return list(audit.requests(audit_lines()))


async def number(client: Api, path: str) -> int:
    """How many objects there are, without reading them."""
    page = await client.call("GET", f"{path}?limit=1")
    return len(page["items"]) + int(page["metadata"].get("remainingItemCount", 0))


async def bare(client: Api, kubeconfig: Path, count: int) -> figures.Bare:
    """The bare client makes ``count`` objects."""
    await client.create(manifests.namespace(BARE_SPACE))
    argv = [sys.executable, "-m", "benchmarks.scale.raw", str(kubeconfig), BARE_SPACE, str(count)]
    before = processor_times()
    process = await asyncio.create_subprocess_exec(*argv, cwd=paths.PROJECT, stdout=subprocess.PIPE)
    text, _ = await process.communicate()
    if process.returncode:
        raise LabError("the bare client failed; it says above why")
    done = await _made(client, BARE_SPACE, count, 300)
    busy = busy_share(before, processor_times())
    return figures.Bare(count, json.loads(text)["seconds"], done.seconds, busy)


async def _made(
    client: Api, space: str, count: int, seconds: float, check: Callable[[], None] = lambda: None
) -> figures.Made:
    """Waits until all is made. Asks little: it would slow down what it waits for."""
    ends, told = time.monotonic() + seconds, time.monotonic()
    route = f"/apis/gateway.networking.k8s.io/v1/namespaces/{space}/httproutes"
    while (have := await number(client, route)) < count:
        check()
        if time.monotonic() > ends:
            raise LabError(f"{have} of {count} routes after {seconds:.0f} s")
        if time.monotonic() - told > 10:
            told = time.monotonic()
            say(f"{have} of {count} routes are there")
        await asyncio.sleep(0.5)
    while (done := figures.made(found(), space, count)).missing:
        if time.monotonic() > ends:
            raise LabError(f"after {seconds:.0f} s there are {done.missing}")
        await asyncio.sleep(1)
    return done


def resident_mib(program: Program) -> float:
    assert program.process is not None
    for line in Path(f"/proc/{program.process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


async def metric(name: str) -> float:
    """The operator's own figure, summed over its labels; NaN-free: 0 while it does not answer."""
    url = f"http://127.0.0.1:{METRICS_PORT}/metrics"
    with contextlib.suppress(aiohttp.ClientError, TimeoutError):
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            lines = (await answer.text()).splitlines()
            return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.split("{")[0].split(" ")[0] == name)
    return 0.0


@dataclass
class Stages:
    """What one run needs. ``creator`` makes and changes the LLMDeployments, ``client`` looks on."""

    client: Api
    creator: Api
    program: Program
    count: int
    rest_seconds: float
    rollouts: int
    changes: int

    async def run(self, bare_side: figures.Bare) -> figures.Run:
        await self.client.create(manifests.namespace(SPACE))
        out: dict[str, Any] = {"count": self.count, "bare": bare_side, "rest_seconds": self.rest_seconds}
        with self.program.running():
            await self.program.until_well()
            out |= await self._create()
            out |= await self._rest()
        assert self.program.process is not None
        began = time.time()
        with self.program.running():
            out |= await self._restart(began)
            out |= await self._change()
            if self.rollouts:
                out |= await self._roll_out()
            out["memory_all"] = max(self.program.peak_mib(), out["memory_peak"])
        return figures.Run(**out)

    async def _create(self) -> dict[str, Any]:
        names, lane, before = objects.names(self.count), asyncio.Semaphore(CREATED_AT_ONCE), processor_times()
        cpu = self.program.cpu()

        async def one(name: str) -> None:
            async with lane:
                await self.creator.create(objects.llmdeployment(name, SPACE))

        began = time.time()
        await asyncio.gather(*(one(name) for name in names))
        say(f"{self.count} LLMDeployments created in {time.time() - began:.1f} s")
        done = await _made(self.client, SPACE, self.count, 600, self.program.check)
        busy = busy_share(before, processor_times())
        settled = await self._calm(began)
        requests = found()
        say(
            f"{self.count} objects: children and ready pods after {done.seconds:.1f} s, last write after {settled - began:.1f} s"
        )
        return {
            "seconds": done.seconds,
            "settled": settled - began,
            "create": figures.asked(requests, USER, began, time.time()),
            "create_cpu": self.program.cpu() - cpu,
            "busy": busy,
            "memory_peak": self.program.peak_mib(),
        }

    async def _calm(self, began: float, seconds: float = 120) -> float:
        """Waits until the operator has written nothing for a while and all say that they serve; when it last wrote."""
        ends = time.monotonic() + seconds
        while True:
            self.program.check()
            last = max(
                (r.at for r in found() if r.user == USER and r.write and r.resource != figures.LEASES), default=began
            )
            if time.time() - last > CALM:
                break
            if time.monotonic() > ends:
                raise LabError(f"the operator still writes after {seconds:.0f} s")
            await asyncio.sleep(1)
        items = await self.client.items(collection("LLMDeployment", SPACE))
        ready = [
            o for o in items if any(c["type"] == "Ready" and c["status"] == "True" for c in o["status"]["conditions"])
        ]
        if len(ready) < self.count:
            raise LabError(f"{len(ready)} of {self.count} objects are Ready (log: {self.program.log})")
        return last

    async def _rest(self) -> dict[str, Any]:
        cpu, began = self.program.cpu(), time.time()
        await asyncio.sleep(self.rest_seconds)
        rest = figures.asked(found(), USER, began, time.time())
        say(f"at rest for {self.rest_seconds:.0f} s: {rest.writes + rest.evidence} writes, {rest.reads} reads")
        return {"rest": rest, "rest_cpu": self.program.cpu() - cpu, "memory_rest": resident_mib(self.program)}

    async def _restart(self, began: float) -> dict[str, Any]:
        """From the start of the new process until it has looked at every object."""
        ends = time.monotonic() + 120
        while await metric("solera_reconcile_seconds_count") < self.count or await metric("solera_workqueue_depth"):
            self.program.check()
            if time.monotonic() > ends:
                raise LabError(f"not all objects were looked at 120 s after the restart (log: {self.program.log})")
            await asyncio.sleep(0.1)
        seconds, cpu = time.time() - began, self.program.cpu()
        await asyncio.sleep(CALM)
        requests = figures.asked(found(), USER, began, time.time())
        say(f"restart: all observed after {seconds:.1f} s, {requests.writes} writes")
        return {"restart": seconds, "restart_cpu": cpu, "restart_asked": requests}

    async def _change(self) -> dict[str, Any]:
        """One more replica, on another object each time, at a steady rate: what has to follow is one write of its Deployment."""
        names = objects.names(self.count)[self.rollouts :][: self.changes]
        cpu, began, start = self.program.cpu(), time.time(), time.monotonic()
        patch = {"spec": {"template": {"replicas": objects.REPLICAS + 1}}}
        writes: set[asyncio.Task[Any]] = set()
        for turn, name in enumerate(names):
            await asyncio.sleep(max(0.0, start + turn / CHANGES_A_SECOND - time.monotonic()))
            writes.add(asyncio.create_task(self.creator.patch("LLMDeployment", SPACE, name, patch, MERGE)))
        await asyncio.gather(*writes)
        until = time.time()
        await asyncio.sleep(CALM)
        requests = found()
        late = figures.after_changes(requests, CREATOR, USER, began, until)
        run = {"changes": late, "changes_cpu": self.program.cpu() - cpu}
        run["answers"] = figures.answers(requests, CREATOR, began, until)
        p50, p99 = (figures.percentile(late, share) * 1000 for share in (0.5, 0.99))
        say(f"{len(late)} changes at {CHANGES_A_SECOND} a second: first write after p50 {p50:.0f} ms, p99 {p99:.0f} ms")
        return run

    async def _roll_out(self) -> dict[str, Any]:
        names = objects.names(self.rollouts)
        cpu, began = self.program.cpu(), time.time()
        patch = manifests.solera_change()
        await asyncio.gather(*(self.creator.patch("LLMDeployment", SPACE, name, patch, MERGE) for name in names))
        ends, told = time.monotonic() + 400, time.monotonic()
        waiting = list(names)
        while waiting:
            self.program.check()
            obj = await self._get(waiting[0])
            if obj is None or not _promoted(obj):
                if time.monotonic() > ends:
                    raise LabError(
                        f"{waiting[0]} is not promoted after 400 s: {obj and obj.get('status', {}).get('rollout')}"
                    )
                if time.monotonic() - told > 15:
                    told = time.monotonic()
                    weight = (obj or {}).get("status", {}).get("weight")
                    say(f"{len(names)} rollouts of {len(manifests.WEIGHTS)} steps: {waiting[0]} is at {weight or 0} %")
                await asyncio.sleep(1)
                continue
            waiting.pop(0)
        seconds = time.time() - began
        await self._calm(began)
        requests = found()
        until = time.time()
        each = [figures.asked(requests, USER, began, until, only=name) for name in names]
        say(f"{len(names)} rollouts promoted after {seconds:.0f} s")
        return {
            "rollouts": len(names),
            "rollout": figures.asked(requests, USER, began, until),
            "rollout_most_writes": max(one.writes + one.evidence for one in each),
            "rollout_seconds": seconds,
            "rollout_cpu": self.program.cpu() - cpu,
        }

    async def _get(self, name: str) -> dict[str, Any] | None:
        try:
            return await self.client.call("GET", f"{collection('LLMDeployment', SPACE)}/{name}")
        except ApiError:
            return None


def _promoted(obj: dict[str, Any]) -> bool:
    """v2 is stable, and nothing of v1 is left to drain."""
    status = obj.get("status") or {}
    return (
        (status.get("stable") or {}).get("version") == "v2"
        and status.get("state") == "Idle"
        and not status.get("draining")
    )
