"""A handle on a simulated engine that runs in the test's process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
from lab.engines.simengine.engine import Engine
from lab.engines.simengine.faults import Faults
from lab.engines.simengine.server import Server

FAST = Faults(ttft_median=0.0, inter_token_delay=0.0)


@dataclass
class Running:
    engine: Engine
    server: Server
    url: str
    client: aiohttp.ClientSession

    async def ask(self, prompt: str = "a", tokens: int = 3, **more: Any) -> tuple[int, Any, Any]:
        """Status, headers and JSON of a completion."""
        body = {"model": "letters", "prompt": prompt, "max_tokens": tokens, **more}
        async with self.client.post(f"{self.url}/v1/completions", json=body) as answer:
            return answer.status, answer.headers, await answer.json()

    async def text(self, prompt: str = "a", tokens: int = 1) -> str:
        status, _, body = await self.ask(prompt, tokens)
        assert status == 200, body
        return str(body["choices"][0]["text"])

    async def put(self, **faults: Any) -> Any:
        async with self.client.put(f"{self.url}/faults", json=faults) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def page(self) -> str:
        async with self.client.get(f"{self.url}/metrics") as answer:
            return await answer.text()

    async def value(self, series: str) -> float:
        """The value of one printed series; 0 when it is not there."""
        for line in (await self.page()).splitlines():
            if line.startswith(series + " "):
                return float(line.rpartition(" ")[2])
        return 0.0

    async def until(self, series: str, value: float) -> None:
        """Wait until a printed series has this value."""
        async with asyncio.timeout(30):
            while await self.value(series) != value:
                pass


Start = Callable[..., Awaitable[Running]]
