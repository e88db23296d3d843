"""Stands between the operator and the apiserver, and calls a hook around every request: before it is sent on, and before the answer is.

It uses the apiserver's own certificate, on another port of the same address, so the operator needs to trust nothing new.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

ADDRESS, PORT = "192.0.2.1", 16443
APISERVER = "https://192.0.2.1:6443"
PKI = Path(os.environ.get("SOLERA_LAB_HOME", "/var/lib/solera-lab")) / "pki"
DROPPED = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "accept-encoding", "content-encoding"}
)

Hook = Callable[[str, str, str, dict[str, Any]], Awaitable[bool]]
"""(when, method, path, body) -> True when the request must go no further because the one who sent it is dead."""


@contextlib.asynccontextmanager
async def proxy(hook: Hook) -> AsyncIterator[None]:
    trust = ssl.create_default_context(cafile=str(PKI / "apiserver.crt"))
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=5)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust, limit=0), timeout=timeout) as session:

        async def handle(request: web.Request) -> web.StreamResponse:
            body = await request.read()
            parsed = json.loads(body) if request.method in {"PATCH", "POST", "PUT"} and body else {}
            if await hook("before", request.method, request.path, parsed):
                raise ConnectionResetError
            headers = {k: v for k, v in request.headers.items() if k.lower() not in DROPPED}
            async with session.request(
                request.method, APISERVER + request.path_qs, data=body or None, headers=headers
            ) as answer:
                if request.method == "GET":
                    return await _stream(request, answer)
                content = await answer.read()
                if await hook("after", request.method, request.path, parsed):
                    raise ConnectionResetError
                kept = {k: v for k, v in answer.headers.items() if k.lower() not in DROPPED}
                return web.Response(status=answer.status, headers=kept, body=content)

        app = web.Application(client_max_size=4 << 20)
        app.router.add_route("*", "/{path:.*}", handle)
        runner = web.AppRunner(app, shutdown_timeout=1, access_log=None)
        await runner.setup()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(PKI / "apiserver.crt", PKI / "apiserver.key")
        await web.TCPSite(runner, ADDRESS, PORT, ssl_context=context).start()
        try:
            yield
        finally:
            await runner.cleanup()


async def _stream(request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
    kept = {k: v for k, v in answer.headers.items() if k.lower() not in DROPPED}
    response = web.StreamResponse(status=answer.status, headers=kept)
    await response.prepare(request)
    with contextlib.suppress(ConnectionResetError, aiohttp.ClientError, asyncio.CancelledError):
        async for chunk in answer.content.iter_any():
            await response.write(chunk)
        await response.write_eof()
    return response
