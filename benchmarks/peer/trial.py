"""One side's turn: create, let rest, change, wait until all is promoted and tidy; and note what it took."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from benchmarks.peer import api, audit, manifests
from benchmarks.peer.contender import Contender
from benchmarks.peer.measure import Side, Weights, busy, lateness
from lab import paths
from lab.shell import LabError, say

Object = dict[str, Any]
_TICKS = os.sysconf("SC_CLK_TCK")
INIT_WITHIN, ROLLOUT_WITHIN, TIDY_WITHIN = 180.0, 400.0, 120.0  # seconds
CALM = manifests.STEP_SECONDS + 3.0  # a tick of Flagger must have passed before it counts as at rest


@dataclass
class Program:
    """A controller that runs: its process, and the address that says that it works."""

    version: str
    argv: list[str]
    env: dict[str, str]
    health: str
    log: Path
    process: subprocess.Popen[bytes] | None = None

    @contextlib.contextmanager
    def running(self) -> Iterator[Program]:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as sink:
            self.process = subprocess.Popen(self.argv, env=os.environ | self.env, stdout=sink, stderr=sink)
        try:
            yield self
        finally:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    async def until_well(self, seconds: float = 60) -> None:
        ends = time.monotonic() + seconds
        async with aiohttp.ClientSession() as session:
            while True:
                self.check()
                with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                    async with session.get(self.health) as answer:
                        if answer.status == 200:
                            return
                if time.monotonic() > ends:
                    raise LabError(f"{self.argv[0]} is not well after {seconds:.0f} s (log: {self.log})")
                await asyncio.sleep(0.1)

    def check(self) -> None:
        assert self.process is not None
        if self.process.poll() is not None:
            raise LabError(f"{self.argv[0]} ended with {self.process.returncode} (log: {self.log})")

    def cpu(self) -> float:
        """Seconds of the processor that it used so far."""
        assert self.process is not None
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def peak_mib(self) -> float:
        assert self.process is not None
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
        return 0.0


@dataclass
class Seen:
    """What watches of one namespace have told. Times are seconds since 1970."""

    contender: Contender
    ready: dict[str, float] = field(default_factory=dict)
    promoted: dict[str, float] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    weights: Weights = field(default_factory=Weights)
    pods: set[str] = field(default_factory=set)

    def resource(self, key: tuple[str, str], obj: Object | None) -> None:
        if obj is None:
            return
        if self.contender.ready(obj):
            self.ready.setdefault(key[1], time.time())
        if self.contender.promoted(obj):
            self.promoted.setdefault(key[1], time.time())
        if reason := self.contender.failed(obj):
            self.failed.setdefault(key[1], reason)

    def route(self, key: tuple[str, str], obj: Object | None) -> None:
        if obj is not None:
            self.weights.note(key[1], time.time(), self.contender.weight(obj))

    def pod(self, key: tuple[str, str], obj: Object | None) -> None:
        (self.pods.discard if obj is None else self.pods.add)(key[1])


class Trial:
    """``objects`` models in the contender's namespace, through ``program``; ``stand_ins`` is the address that tells what they counted."""

    def __init__(self, contender: Contender, program: Program, client: api.Api, objects: int, stand_ins: str) -> None:
        self.contender = contender
        self.program = program
        self.client = client
        self.names = manifests.names(objects)
        self.seen = Seen(contender)
        self._stand_ins = stand_ins

    async def run(self, rest: float, before: list[Object]) -> Side:
        """Create ``before``, then everything; leave it alone for ``rest`` seconds; change everything. The figures."""
        await self.client.create(manifests.namespace(self.contender.space))
        for obj in before:
            await self.client.create(obj)
        space = f"/namespaces/{self.contender.space}"
        watched = {
            api.collection(self.contender.resource, self.contender.space): self.seen.resource,
            api.collection("HTTPRoute", self.contender.space): self.seen.route,
            f"/api/v1{space}/pods": self.seen.pod,
        }
        with self.program.running():
            await self.program.until_well()
            tasks = [asyncio.create_task(api.follow(self.client, path, tell)) for path, tell in watched.items()]
            try:
                return await self._measure(rest)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _measure(self, rest: float) -> Side:
        name, count, program = self.contender.name, len(self.names), self.program
        marks, machine = [(time.time(), program.cpu())], [processor_times()]
        await self._each(self._create)
        await self._until("ready", lambda: len(self.seen.ready), INIT_WITHIN)
        init_seconds = max(self.seen.ready.values()) - marks[0][0]
        marks.append((time.time(), program.cpu()))
        machine.append(processor_times())
        say(f"{name}: {count} objects ready after {init_seconds:.1f} s; at rest for {rest:.0f} s")

        await asyncio.sleep(CALM)
        calm = (time.time(), program.cpu())
        await asyncio.sleep(rest)
        marks.append((time.time(), program.cpu()))

        asked = await self._state()
        machine.append(processor_times())
        began: dict[str, float] = {}

        async def change(one: str) -> None:
            kind, named, patch, strategic = self.contender.change(one)
            began[one] = time.time()
            how = api.STRATEGIC if strategic else api.MERGE
            await self.client.patch(kind, self.contender.space, named, patch, how)

        say(f"{name}: {count} rollouts begin")
        await self._each(change)
        await self._until("promoted", lambda: len(self.seen.promoted), ROLLOUT_WITHIN)
        await self._until("tidy", lambda: len(self.names) - abs(len(self.seen.pods) - len(self.names)), TIDY_WITHIN)
        end, cpu = time.time(), program.cpu()
        machine.append(processor_times())
        after = await self._state()
        first = min(began.values())
        say(f"{name}: {count} rollouts promoted and tidy after {end - first:.1f} s")

        steps = {one: self.seen.weights.rising(one, manifests.WEIGHTS) for one in self.names}
        found = list(audit.requests(audit_lines()))
        user = self.contender.user
        return Side(
            name=name,
            version=program.version,
            objects=count,
            init_seconds=init_seconds,
            init=audit.count(found, user, marks[0][0], marks[1][0]),
            init_cpu=marks[1][1] - marks[0][1],
            rest_seconds=marks[2][0] - calm[0],
            rest=audit.count(found, user, calm[0], marks[2][0]),
            rest_cpu=marks[2][1] - calm[1],
            first_weight=[times[0] - began[one] for one, times in steps.items() if times],
            full_weight=[
                times[-1] - began[one] for one, times in steps.items() if len(times) == len(manifests.WEIGHTS)
            ],
            promoted=[at - began[one] for one, at in self.seen.promoted.items()],
            settled=end - first,
            rollout=audit.count(found, user, first, end),
            rollout_cpu=cpu - marks[2][1],
            late=lateness(steps.values(), manifests.STEP_SECONDS),
            in_order=sum(self.seen.weights.followed(one, manifests.WEIGHTS) for one in self.names),
            peak_mib=program.peak_mib(),
            metric_reads=after["scrapes"] + after["queries"] - asked["scrapes"] - asked["queries"],
            lost=after["lost"].get(self.contender.space, 0),
            busy=[busy(machine[0], machine[1]), busy(machine[2], machine[3])],
        )

    async def _create(self, name: str) -> None:
        for obj in self.contender.objects(name):
            await self.client.create(obj)

    async def _each(self, work: Callable[[str], Any]) -> None:
        """At most ten at a time, as a tool that applies a folder does it at its fastest."""
        lane = asyncio.Semaphore(10)

        async def one(name: str) -> None:
            async with lane:
                await work(name)

        await asyncio.gather(*(one(name) for name in self.names))

    async def _until(self, what: str, count: Callable[[], int], seconds: float) -> None:
        ends, told = time.monotonic() + seconds, time.monotonic()
        while (done := count()) < len(self.names):
            self.program.check()
            if self.seen.failed:
                name, reason = next(iter(self.seen.failed.items()))
                raise LabError(f"{self.contender.name}: {name} failed: {reason} (log: {self.program.log})")
            if time.monotonic() > ends:
                raise LabError(
                    f"{self.contender.name}: {done} of {len(self.names)} {what} after {seconds:.0f} s"
                    f" (log: {self.program.log})"
                )
            if time.monotonic() - told > 15:
                told = time.monotonic()
                say(f"{self.contender.name}: {done} of {len(self.names)} {what}{self._weights()}")
            await asyncio.sleep(0.1)

    def _weights(self) -> str:
        """How many routes give which weight to the new version, once one does."""
        now = collections.Counter(steps[-1][1] for steps in self.seen.weights.seen.values())
        return (
            "; weights: " + ", ".join(f"{number} at {w} %" for w, number in sorted(now.items()))
            if set(now) - {0}
            else ""
        )

    async def _state(self) -> Object:
        async with aiohttp.ClientSession() as session, session.get(self._stand_ins) as answer:
            return dict(await answer.json())


def processor_times() -> list[int]:
    """What all processors did so far."""
    with Path("/proc/stat").open() as lines:
        return [int(part) for part in next(lines).split()[1:]]


def audit_lines() -> Iterator[str]:
    """The log, and what of it was moved aside when it had become long."""
    aside = sorted(paths.AUDIT_LOG.parent.glob(f"{paths.AUDIT_LOG.stem}-*{paths.AUDIT_LOG.suffix}"))
    for path in (*aside, paths.AUDIT_LOG):
        with path.open() as lines:
            yield from lines
