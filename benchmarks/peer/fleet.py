"""The stand-ins in one process, the engines of all pods, Prometheus and the gateway: `python -m benchmarks.peer.fleet ADDRESS FLEET ACCEPTOR`.

Every pod has an address of its own, all of them lead here (a local route), and the address that a request was sent to says which pod is
meant. `/metrics` is a page of vLLM's names and of its length. It never fails and is never slow: what is measured is the controllers.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
import time
from pathlib import Path
from typing import Any

from aiohttp import web
from benchmarks.peer import acceptor, api, manifests, traffic
from lab.engines.simengine.vllm_metrics import TTFT_BUCKETS, VllmMetrics

TICK = 0.5
QUERY_PORT = 9090
_CHECK = re.compile(r'^engine_(\w+)_percent\{namespace="([^"]+)",service="([^"]+)"\}$')


class Fleet:
    """The engines and what they counted. ``began`` is their start, seconds since 1970."""

    def __init__(self, began: float) -> None:
        self.traffic = traffic.Traffic(traffic.RATE, window=manifests.STEP_SECONDS)
        self.scrapes = self.probes = self.queries = 0
        page = VllmMetrics("m", "current", began).render(running=1, waiting=0, cache_usage=0.1)
        self._filler = traffic.filler(page, traffic.COUNTED)

    def engine(self) -> web.Application:
        app = web.Application()
        app.add_routes(
            [
                web.get("/metrics", self._metrics),
                web.get("/health", self._health),
                web.post("/v1/completions", self._complete),
                web.post("/v1/chat/completions", self._complete),
            ]
        )
        return app

    def prometheus(self) -> web.Application:
        app = web.Application()
        app.add_routes([web.get("/api/v1/query", self._query), web.get("/state", self._state)])
        return app

    async def run(self) -> None:
        """Let time pass for the traffic, for ever."""
        before = time.monotonic()
        while True:
            await asyncio.sleep(TICK)
            now = time.monotonic()
            self.traffic.pass_time(now, now - before)
            before = now

    async def _metrics(self, request: web.Request) -> web.Response:
        self.scrapes += 1
        text = self._filler + traffic.counters(self.traffic.answered.get(_asked(request), 0), TTFT_BUCKETS)
        return web.Response(text=text, content_type="text/plain")

    async def _health(self, _: web.Request) -> web.Response:
        return web.Response()

    async def _complete(self, request: web.Request) -> web.Response:
        self.probes += 1
        await request.read()
        self.traffic.count(_asked(request))
        choice = {"index": 0, "text": "a", "message": {"role": "assistant", "content": "a"}, "finish_reason": "length"}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        return web.json_response({"id": "c", "object": "text_completion", "choices": [choice], "usage": usage})

    async def _query(self, request: web.Request) -> web.Response:
        self.queries += 1
        query, now = request.query.get("query", ""), time.monotonic()
        if query == "vector(1)":
            return web.json_response(traffic.vector(1.0, time.time()))
        found = _CHECK.match(query)
        if found is None or found[1] not in manifests.CHECKS:
            return web.json_response({"status": "error", "error": f"unknown query {query}"}, status=400)
        # Of no requests there is no share, as there would be none in Prometheus.
        value = 0.0 if self.traffic.recent((found[2], found[3]), now) else None
        return web.json_response(traffic.vector(value, time.time()))

    async def _state(self, _: web.Request) -> web.Response:
        return web.json_response(self.state())

    def state(self) -> dict[str, Any]:
        """What was asked of the stand-ins so far, and the requests that no engine got, by namespace."""
        return {
            "scrapes": self.scrapes,
            "probes": self.probes,
            "queries": self.queries,
            "lost": self.traffic.lost,
            "answered": sum(self.traffic.answered.values()),
        }


def _asked(request: web.Request) -> str:
    """The address that the request was sent to: the pod."""
    assert request.transport is not None
    return str(request.transport.get_extra_info("sockname")[0])


async def serve(address: str, look: Path, write: Path) -> None:
    """``look`` and ``write`` are the kubeconfigs of who reads the cluster and of who accepts routes."""
    fleet = Fleet(time.time())
    async with api.Api(look) as client, api.Api(write) as gateway, contextlib.AsyncExitStack() as stack:
        for app, host, port in (
            (fleet.engine(), "0.0.0.0", manifests.PORT),
            (fleet.prometheus(), address, QUERY_PORT),
        ):
            runner = web.AppRunner(app, access_log=None, keepalive_timeout=120)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, host, port, backlog=1024).start()
        print(json.dumps({"ready": True}), flush=True)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(api.follow(client, api.ROUTES, fleet.traffic.route))
            tasks.create_task(api.follow(client, api.ENDPOINT_SLICES, fleet.traffic.endpoints))
            tasks.create_task(fleet.run())
            tasks.create_task(acceptor.accept(gateway))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address", help="where the stand-in for Prometheus listens")
    parser.add_argument("fleet", type=Path, help="kubeconfig of who reads routes and endpoints")
    parser.add_argument("acceptor", type=Path, help="kubeconfig of who accepts routes")
    arguments = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(arguments.address, arguments.fleet, arguments.acceptor))


if __name__ == "__main__":
    main()
