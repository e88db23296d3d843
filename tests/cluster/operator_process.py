"""The operator as a process of its own, and what it says about itself."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

Object = dict[str, Any]


def _ports() -> Iterator[int]:
    """Ports that nobody listens at and that stay free: below those that the kernel gives to connections, and each worker of the tests has its own."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    for port in itertools.cycle(range(20_000 + 500 * worker, 20_500 + 500 * worker)):
        with socket.socket() as listener:
            if listener.connect_ex(("127.0.0.1", port)) == 0:
                continue
        yield port


_free = _ports()


def free_port() -> int:
    return next(_free)


@dataclass
class OperatorProcess:
    """`solera operator run` for one namespace; ``election`` is its leaderElection, ``pod`` the name that it takes for its pod's."""

    folder: Path
    namespace: str
    kubeconfig: Path | str
    port: int = field(default_factory=free_port)
    process: asyncio.subprocess.Process | None = None
    election: Object = field(default_factory=lambda: {"enabled": False})
    pod: str = ""

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def lines(self) -> list[Object]:
        return [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]

    async def start(self, *, ready: bool = True) -> OperatorProcess:
        config = self.folder / "config.yaml"
        health = free_port()
        config.write_text(
            f"namespaces: [{self.namespace}]\nmetricsPort: {self.port}\nhealthPort: {health}\nlogFormat: json\nlogLevel: debug\n"
            f"leaderElection: {json.dumps(self.election)}\n"
        )
        with (self.folder / "log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "solera.cli.main", "operator", "run", "--config", str(config)),
                env={**os.environ, "KUBECONFIG": str(self.kubeconfig), "POD_NAME": self.pod},
                stdout=log,
                stderr=log,
            )
        if ready:
            await self.until_ready()
        return self

    async def until_ready(self) -> None:
        await until("the operator is ready", self._is_ready, 60)

    async def _is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.returncode is None, self.log
        try:
            return (await self.get("/readyz"))[0] == 200
        except aiohttp.ClientError:
            return False

    async def get(self, path: str) -> tuple[int, str]:
        url = f"http://127.0.0.1:{self.port}{path}"
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return response.status, await response.text()

    async def metric(self, name: str) -> float:
        """The sum over all label values."""
        _, text = await self.get("/metrics")
        values = [line.rsplit(" ", 1)[1] for line in text.splitlines() if line.split("{")[0].split(" ")[0] == name]
        return sum(map(float, values))

    async def end(self, how: signal.Signals = signal.SIGTERM) -> tuple[int, float]:
        """Exit status and seconds that it took."""
        assert self.process is not None
        began = time.monotonic()
        if self.process.returncode is None:
            self.process.send_signal(how)
        async with asyncio.timeout(30):
            return await self.process.wait(), time.monotonic() - began


async def until(what: str, condition: Any, seconds: float = 30) -> None:
    """Poll ``condition`` (plain or async) until it is true."""
    ends = time.monotonic() + seconds
    while True:
        value = condition()
        if asyncio.iscoroutine(value):
            value = await value
        if value:
            return
        assert time.monotonic() < ends, f"not within {seconds} s: {what}"
        await asyncio.sleep(0.1)
