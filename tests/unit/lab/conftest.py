"""A simulated engine in this process, on a loopback port of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import aiohttp
import pytest
from lab.engines.simengine.engine import Config, Engine
from lab.engines.simengine.faults import Faults
from lab.engines.simengine.server import Server
from simulated import FAST, Running, Start


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts engines: ``await start(Config(...), Faults(...))``; all are stopped at the end."""
    async with AsyncExitStack() as stack:

        async def run(config: Config | None = None, faults: Faults = FAST) -> Running:
            engine = Engine(config or Config(revision="r1", pod="p1"), faults)
            server = Server(engine)
            port = await server.start("127.0.0.1", 0)
            stack.push_async_callback(server.stop)
            client = await stack.enter_async_context(aiohttp.ClientSession())
            return Running(engine, server, f"http://127.0.0.1:{port}", client)

        yield run
