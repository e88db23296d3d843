"""Answers for the kubelet and for Prometheus, from a server of our own: kopf's own probe dies with kopf."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

Check = Callable[[], str | None]
"""None when all is well, else what is wrong, in words."""


class HealthServer:
    """Serves /livez, /readyz, /healthz (the same as /livez) and /metrics.

    ``live`` fails only for what a restart would heal, so never because the apiserver is away. ``ready`` fails for what keeps the
    operator from doing its work; where it does not fail, the answer ends with what ``notes`` say.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        live: Sequence[Check],
        ready: Sequence[Check],
        notes: Sequence[Callable[[], str]] = (),
    ) -> None:
        self._registry = registry
        self._live = tuple(live)
        self._ready = tuple(ready)
        self._notes = tuple(notes)
        self._runner: web.AppRunner | None = None
        self.ports: tuple[int, ...] = ()

    async def start(self, ports: Sequence[int], host: str | None = None) -> None:
        """Listen on all ``ports`` of ``host`` (None: on every address; 0 takes any free one); each answers every path. Raises ``OSError`` when one is taken."""
        app = web.Application()
        app.router.add_get("/livez", self._answer_live)
        app.router.add_get("/healthz", self._answer_live)
        app.router.add_get("/readyz", self._answer_ready)
        app.router.add_get("/metrics", self._answer_metrics)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        for port in dict.fromkeys(ports):
            await web.TCPSite(self._runner, host or "", port).start()
        self.ports = tuple(address[1] for address in self._runner.addresses)

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer_live(self, _request: web.Request) -> web.Response:
        return _answer(self._live)

    async def _answer_ready(self, _request: web.Request) -> web.Response:
        return _answer(self._ready, self._notes)

    async def _answer_metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _answer(checks: Sequence[Check], notes: Sequence[Callable[[], str]] = ()) -> web.Response:
    problems = [problem for check in checks if (problem := check()) is not None]
    return web.Response(
        status=503 if problems else 200, text="\n".join(problems or ["ok", *(note() for note in notes)]) + "\n"
    )
