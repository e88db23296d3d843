"""Two things of the wire: a watch's bytes as lines, and how many requests wait for their answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp

from solera.errors import Unavailable


async def lines(response: aiohttp.ClientResponse, what: str) -> AsyncIterator[bytes]:
    """The stream cut at newlines; one event may come in many pieces and many events in one. ``what`` names the request in errors."""
    rest = b""
    async for piece in response.content.iter_any():
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            if line.strip():
                yield line
        await asyncio.sleep(0)  # a burst of events must not keep the other tasks out
    if rest.strip():
        raise Unavailable(what, "the stream ended inside an event")


class UnderWay:
    """Counts what is entered and not left yet."""

    def __init__(self) -> None:
        self._count = 0
        self._none = asyncio.Event()
        self._none.set()

    def __enter__(self) -> None:
        self._count += 1
        self._none.clear()

    def __exit__(self, *_: object) -> None:
        self._count -= 1
        if not self._count:
            self._none.set()

    async def ended(self) -> None:
        """Wait until there is none."""
        await self._none.wait()
