"""The HTTP face of the simulated engine, on aiohttp, and how it starts, drains and stops."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

from aiohttp import web

from .engine import Ask, Engine, EngineError, Fate, StreamCut
from .exposition import CONTENT_TYPE, without_numbers
from .openai_api import RefusedError, Writer, error_body, read_ask, wants_usage

log = logging.getLogger("simengine")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

# How long a draining engine waits for one more request after its last answer before it closes the door.
QUIET = 0.3
_UNCOUNTED = ("/health", "/ping", "/metrics", "/version", "/faults", "/counters/reset", "/state")


class Server:
    """One engine behind one listening socket. ``start``, then ``drain`` once, or ``stop`` at once."""

    def __init__(self, engine: Engine, *, keepalive_timeout: float = 120.0) -> None:
        self.engine = engine
        self.in_flight = 0
        self._last_request = 0.0
        self._numbers = itertools.count()
        app = web.Application(middlewares=[self._middleware])
        app.on_response_prepare.append(self._on_prepare)
        app.add_routes(
            [
                web.get("/health", self._health),
                web.get("/ping", self._health),
                web.get("/metrics", self._metrics),
                web.get("/version", self._version),
                web.get("/v1/models", self._models),
                web.post("/v1/completions", self._completions),
                web.post("/v1/chat/completions", self._chat_completions),
                web.get("/faults", self._get_faults),
                web.put("/faults", self._put_faults),
                web.patch("/faults", self._put_faults),
                web.post("/counters/reset", self._reset_counters),
                web.get("/state", self._state),
            ]
        )
        # A client that goes away cancels its handler: that is how an engine notices an abort.
        self._runner = web.AppRunner(
            app, access_log=None, handler_cancellation=True, keepalive_timeout=keepalive_timeout, shutdown_timeout=0.1
        )

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port (useful when 0 was asked for). Raises ``OSError`` when the address is taken."""
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port, backlog=1024).start()
        return int(self._runner.addresses[0][1])

    async def drain(self, timeout: float) -> None:  # noqa: ASYNC109 - a limit, after which it closes all the same
        """Leave as ``drain_mode`` says, within ``timeout`` seconds (``hang`` never returns).

        ``finish`` goes on answering, with ``Connection: close`` on every answer, until nothing is in flight, no request
        came for ``QUIET`` seconds and ``drain_delay`` is over; only then is the socket closed. So a gateway that
        has not heard yet that the pod is going gets answers, not resets.
        """
        engine, started = self.engine, time.monotonic()
        engine.draining = True
        mode = engine.faults.drain_mode
        log.info("draining: mode %s, %d in flight", mode, self.in_flight)
        if mode == "hang":
            await asyncio.Event().wait()
        while mode == "finish" and time.monotonic() - started < timeout:
            now = time.monotonic()
            quiet = self.in_flight == 0 and now - self._last_request >= QUIET
            if quiet and now - started >= engine.faults.drain_delay:
                break
            await asyncio.sleep(0.02)
        if self.in_flight:
            log.warning("drain ends with %d requests in flight", self.in_flight)
        await self.stop()

    async def stop(self) -> None:
        """Close the socket and every connection; what is still in flight is cut off."""
        await self._runner.cleanup()

    @web.middleware
    async def _middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path in _UNCOUNTED:
            return await handler(request)
        resource = request.match_info.route.resource
        name = resource.canonical if resource is not None else "none"
        started = time.monotonic()
        self.in_flight += 1
        status = 0
        try:
            response = await handler(request)
            status = response.status
        except web.HTTPException as answer:
            status = answer.status
            raise
        except asyncio.CancelledError:
            log.warning("%s was given up after %.3f s: the client has gone", request.path, time.monotonic() - started)
            raise
        except Exception:
            status = 500
            raise
        else:
            return response
        finally:
            self.in_flight -= 1
            self._last_request = time.monotonic()
            if status:
                self.engine.metrics.http(name, request.method, status, self._last_request - started)

    async def _on_prepare(self, _request: web.Request, response: web.StreamResponse) -> None:
        config = self.engine.config
        if config.revision:
            response.headers["x-solera-revision"] = config.revision
        if config.pod:
            response.headers["x-sim-pod"] = config.pod
        if self.engine.draining:
            response.force_close()
            response.headers["Connection"] = "close"

    async def _health(self, _request: web.Request) -> web.Response:
        engine = self.engine
        return web.Response(status=200 if engine.loaded and not engine.draining else 503)

    async def _metrics(self, request: web.Request) -> web.Response:
        faults = self.engine.faults
        if faults.metrics_delay:
            await asyncio.sleep(faults.metrics_delay)
        if faults.metrics_mode == "closed" and request.transport is not None:
            request.transport.close()
        if faults.metrics_mode == "missing":
            raise web.HTTPNotFound
        page = "" if faults.metrics_mode == "empty" else self.engine.metrics_page()
        if faults.metrics_mode == "nan":
            page = without_numbers(page)
        return web.Response(body=page.encode(), headers={"Content-Type": CONTENT_TYPE})

    async def _version(self, _request: web.Request) -> web.Response:
        return web.json_response({"version": f"simengine/{self.engine.config.generation}"})

    async def _models(self, _request: web.Request) -> web.Response:
        config, root = self.engine.config, self.engine.config.served_names[0]
        models = [
            {
                "id": name,
                "object": "model",
                "owned_by": "simengine",
                "root": root,
                "max_model_len": config.max_model_len,
            }
            for name in config.served_names
        ]
        return web.json_response({"object": "list", "data": models})

    async def _completions(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, chat=False)

    async def _chat_completions(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, chat=True)

    async def _answer(self, request: web.Request, *, chat: bool) -> web.StreamResponse:
        engine = self.engine
        if not engine.loaded:
            return _failure(503, "The model is still loading")
        try:
            body = await request.json()
            ask = read_ask(body, engine.config, chat=chat)
        except RefusedError as why:
            return _failure(why.status, str(why))
        except ValueError:
            return _failure(400, "body: send valid JSON")
        fate = engine.draw(ask)
        if fate.rejected:
            return _failure(engine.faults.reject_status, "Rejected on purpose", _announce(fate))
        model = body.get("model", engine.config.served_names[0])
        writer = Writer(next(self._numbers), model, ask, chat=chat, usage=wants_usage(body))
        try:
            if ask.stream:
                return await self._stream(request, ask, fate, writer)
            async with aclosing(engine.generate(ask, fate)) as pieces:
                text = "".join([piece async for piece in pieces])
        except EngineError:
            return _failure(500, "Failed on purpose", _announce(fate))
        return web.json_response(writer.whole(text, engine.answer_to(ask, fate)[1]), headers=_announce(fate))

    async def _stream(self, request: web.Request, ask: Ask, fate: Fate, writer: Writer) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8", **_announce(fate)})
        tokens = 0
        try:
            async with aclosing(self.engine.generate(ask, fate)) as pieces:
                async for piece in pieces:
                    if not tokens:
                        # Not before the first token: until then a failure can still be told as a 500.
                        await response.prepare(request)
                    tokens += len(piece)
                    await response.write(writer.chunk(piece))
        except StreamCut:
            # The client saw a 200 and some tokens. Nothing tells it that there should be more.
            if request.transport is not None:
                request.transport.close()
            return response
        if not tokens:
            await response.prepare(request)
        await response.write(writer.end(tokens, self.engine.answer_to(ask, fate)[1]))
        await response.write_eof()
        return response

    async def _get_faults(self, _request: web.Request) -> web.Response:
        return web.json_response(self.engine.faults.as_json())

    async def _put_faults(self, request: web.Request) -> web.Response:
        """PUT: the given switches on top of those declared at start. PATCH: on top of those in force."""
        base = self.engine.declared if request.method == "PUT" else self.engine.faults
        try:
            wanted = json.loads(await request.text() or "{}")
            if not isinstance(wanted, dict):
                return _failure(400, "body: send a JSON object of faults")
            self.engine.set_faults(base.changed(wanted))
        except ValueError as why:
            return _failure(400, str(why))
        log.info("faults now: %s", {k: v for k, v in self.engine.faults.as_json().items() if k in wanted})
        return web.json_response(self.engine.faults.as_json())

    async def _reset_counters(self, request: web.Request) -> web.Response:
        hidden = request.query.get("hidden", "false")
        if hidden not in ("true", "false"):
            return _failure(400, f"hidden: {hidden!r} must be true or false")
        self.engine.reset_counters(hidden=hidden == "true")
        return web.json_response({"hidden": hidden == "true"})

    async def _state(self, _request: web.Request) -> web.Response:
        engine, config = self.engine, self.engine.config
        state: dict[str, Any] = {"loaded": engine.loaded, "draining": engine.draining, "in_flight": self.in_flight}
        state |= {"running": engine.running, "waiting": engine.waiting}
        state |= {"revision": config.revision, "pod": config.pod, "seed": config.seed}
        return web.json_response(state | {"declared": engine.declared.as_json()})


def _announce(fate: Fate) -> dict[str, str]:
    """Tells the client that what it is about to see was done on purpose."""
    return {"x-sim-fault": fate.announced} if fate.announced else {}


def _failure(status: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response(error_body(status, message), status=status, headers=headers)
