"""A proxy before the real apiserver: it sees every request of the operator, and can hold, refuse, cut or lose what the test wants."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from kubernetes.aio import config as kube_config
from kubernetes.aio.client import Configuration

from cluster.operator_process import until

HOP_BY_HOP = {"host", "connection", "content-length", "transfer-encoding", "authorization", "accept-encoding"}


@dataclass
class Seen:
    """One request. ``status`` is 0 until it was answered."""

    method: str
    path: str
    query: dict[str, str]
    agent: str
    status: int = 0

    @property
    def write(self) -> bool:
        return self.method not in {"GET", "HEAD", "OPTIONS"}

    @property
    def watch(self) -> bool:
        return self.query.get("watch") in {"true", "1"}


Hook = Callable[[Seen], Awaitable[None]]


async def _nothing(_seen: Seen) -> None:
    pass


@dataclass
class ApiProxy:
    """Forwards to the apiserver of KUBECONFIG with its credentials.

    ``before`` is awaited before a request is forwarded, ``after`` before its answer is handed back; either may raise ``Lost``, and the client then
    gets no answer. While ``down`` nothing is forwarded; while ``refuse`` is a status every request is answered with it. ``expired`` are plurals whose next watch gets a 410.
    """

    seen: list[Seen] = field(default_factory=list)
    before: Hook = _nothing
    after: Hook = _nothing
    down: bool = False
    refuse: int = 0
    expired: set[str] = field(default_factory=set)
    url: str = ""

    async def start(self) -> None:
        configuration = Configuration()
        await kube_config.load_kube_config(config_file=os.environ["KUBECONFIG"], client_configuration=configuration)
        token = await configuration.get_api_key_with_prefix("BearerToken")
        context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
        if configuration.cert_file:
            context.load_cert_chain(configuration.cert_file, configuration.key_file)
        self._target = configuration.host
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context, limit=0),
            headers={"Authorization": token} if token else {},
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
        )
        app = web.Application(client_max_size=8 << 20)
        app.router.add_route("*", "/{tail:.*}", self._handle)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        self._streams: set[asyncio.Task[Any]] = set()

    async def stop(self) -> None:
        await self._runner.cleanup()
        await self._session.close()

    def kubeconfig(self, folder: Path) -> Path:
        """A kubeconfig file that leads here."""
        file = folder / "kubeconfig"
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "p",
            "clusters": [{"name": "p", "cluster": {"server": self.url}}],
            "users": [{"name": "p", "user": {}}],
            "contexts": [{"name": "p", "context": {"cluster": "p", "user": "p"}}],
        }
        file.write_text(json.dumps(content))
        return file

    def writes(self) -> list[Seen]:
        """The writes that were accepted."""
        return [s for s in self.seen if s.write and 200 <= s.status < 300]

    def cut(self) -> None:
        """Break all open watches."""
        for task in self._streams:
            task.cancel()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        seen = Seen(request.method, request.path, dict(request.query), request.headers.get("User-Agent", ""))
        self.seen.append(seen)
        if self.down:
            raise self._lost(request)
        if self.refuse:
            seen.status = self.refuse
            return web.json_response({"kind": "Status", "code": self.refuse, "message": "refused"}, status=self.refuse)
        if seen.watch and (plural := request.path.rsplit("/", 1)[-1]) in self.expired:
            self.expired.discard(plural)
            gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}
            return web.Response(
                text=json.dumps({"type": "ERROR", "object": gone}) + "\n", content_type="application/json"
            )
        try:
            await self.before(seen)
            answer = await self._session.request(
                request.method,
                self._target + request.raw_path,
                data=await request.read() or None,
                headers={k: v for k, v in request.headers.items() if k.lower() not in HOP_BY_HOP},
            )
            async with answer:
                headers = {"Content-Type": answer.headers.get("Content-Type", "application/json")}
                seen.status = answer.status
                if seen.watch and answer.status == 200:
                    return await self._stream(request, answer, headers)
                body = await answer.read()
            await self.after(seen)
            return web.Response(status=answer.status, body=body, headers=headers)
        except LostError:
            raise self._lost(request) from None

    async def _stream(
        self, request: web.Request, answer: aiohttp.ClientResponse, headers: dict[str, str]
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        task = asyncio.current_task()
        assert task is not None
        self._streams.add(task)
        try:
            async for piece in answer.content.iter_any():
                await response.write(piece)
        finally:
            self._streams.discard(task)
        return response

    def _lost(self, request: web.Request) -> Exception:
        if request.transport is not None:
            request.transport.abort()
        return ConnectionResetError("lost")


async def connections_gone() -> None:
    """Wait until every connection of this loop is closed. One with TLS that was broken off waits for the goodbye of the other side, and must not outlive its loop."""
    loop: Any = asyncio.get_running_loop()

    def gone() -> bool:
        of_peers = [t for t in loop._transports.values() if t.get_extra_info("peername")]
        return all(t.get_extra_info("socket").fileno() < 0 for t in of_peers)

    await until("all connections are closed", gone)


class LostError(Exception):
    """The test takes this request, or its answer, away."""
