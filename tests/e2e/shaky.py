"""Stands between the operator and the lab's Prometheus, and fails as it is told while it runs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web
from lab import live

MODES = ("well", "down", "slow", "empty", "nan")
TOO_LONG = 30.0
"""Longer than the operator waits for an answer."""


class Shaky:
    """A Prometheus source of the operator's configuration. ``mode`` is what it does now; ``asked`` counts the questions in each mode."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.mode = "well"
        self.asked = dict.fromkeys(MODES, 0)

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Listen at the address that the configuration names."""
        async with aiohttp.ClientSession() as session:

            async def handle(request: web.Request) -> web.StreamResponse:
                return await self._answer(request, session)

            app = web.Application()
            app.router.add_route("*", "/{path:.*}", handle)
            runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
            await runner.setup()
            host, port = live.SHAKY[self.name]
            await web.TCPSite(runner, host, port).start()
            try:
                yield
            finally:
                await runner.cleanup()

    async def _answer(self, request: web.Request, session: aiohttp.ClientSession) -> web.StreamResponse:
        mode = self.mode
        self.asked[mode] += 1
        if mode == "down" and request.transport is not None:
            request.transport.close()
            return web.Response()
        if mode == "slow":
            await asyncio.sleep(TOO_LONG)
        body, headers = await request.read(), {"Content-Type": request.headers.get("Content-Type", "")}
        url = f"{live.PROMETHEUS}{request.path_qs}"
        async with session.request(request.method, url, data=body, headers=headers) as answer:
            said = await answer.json()
        found = said.get("data", {}).get("result", [])
        if mode == "empty":
            found.clear()
        if mode == "nan" and "timestamp" not in request.path_qs:  # the time of a sample stays one, whatever it says
            for series in found:
                series["value"][1] = "NaN"
        return web.json_response(said, status=answer.status)
