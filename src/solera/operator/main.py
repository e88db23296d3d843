"""The process: kopf feeds the LLMDeployments, signals end it, a server of its own answers for its health.

The only module that imports kopf, and kopf does nothing here but list and watch one kind: no handlers with state, no annotations, no
finalizers, no writes.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import kopf
from kubernetes.aio.client import ApiClient, Configuration

from solera import __version__
from solera.apply.kube import KubeClient
from solera.config import Config, load
from solera.kinds import GROUP, LLM_DEPLOYMENT
from solera.operator.clock import SteadyClock
from solera.operator.collecting import collecting
from solera.operator.core import Operator
from solera.operator.health import HealthServer
from solera.operator.leadership import Leadership, LeaseLost
from solera.operator.start import OperatorError, Served, configure, elect
from solera.operator.telemetry import Telemetry, set_up_logging
from solera.plan.plan import plan

log = logging.getLogger(__name__)

LAST_WRITES = 10.0
"""Seconds that a write which is under way at the end is waited for; after that the Lease is left to run out."""


def run(config_path: Path | str | None) -> None:
    """Run until SIGTERM or SIGINT. Raises ``SoleraError`` when the configuration is wrong or the operator ended by itself."""
    config = load(config_path) if config_path is not None else Config()
    set_up_logging(config.log_level.value, config.log_format.value)
    asyncio.run(operate(config, stop_on_signals=True))


async def operate(
    config: Config,
    *,
    stop: asyncio.Event | None = None,
    stop_on_signals: bool = False,
    on_start: Callable[[Operator, HealthServer], None] = lambda _operator, _server: None,
) -> None:
    """Run until ``stop`` is set. ``on_start`` is given the parts once they exist."""
    stop = stop or asyncio.Event()
    telemetry, clock = Telemetry(), SteadyClock()
    configuration = await configure(config)
    kube = KubeClient(ApiClient(configuration), on_write=telemetry.wrote, may_write=lambda: leadership.may_write())  # noqa: PLW0108 - made below, with this
    leadership = elect(config.leader_election, kube, telemetry.leader_changed)
    async with (
        aclosing(kube),
        collecting(
            config,
            on_news=lambda key: operator.wake(key),  # noqa: PLW0108 - it is made of the collector, further down
            on_error=telemetry.scrape_failed,
            clock=clock,
        ) as collector,
    ):
        operator = Operator(
            kube,
            planner=plan,
            collector=collector,
            telemetry=telemetry,
            leadership=leadership,
            namespaces=config.namespaces,
            workers=config.workers,
            resync=config.resync_interval,
            clock=clock,
        )
        crd = Served(config.namespaces)
        server = HealthServer(
            telemetry.registry,
            live=[operator.not_live],
            ready=[crd.problem, operator.not_ready],
            notes=[leadership.told],
        )

        async def resign() -> None:
            await _resign(leadership, kube)

        async def feed(kopf_stop: asyncio.Event, kopf_ready: asyncio.Event) -> None:
            await crd.wait(kube)
            await _kopf(operator, configuration, config.namespaces, kopf_stop, kopf_ready)

        await _listen(server, config)
        on_start(operator, server)
        log.info("solera %s starts at %s", __version__, configuration.host)
        await _run_parts(operator, server, feed, resign, stop, stop_on_signals=stop_on_signals)


async def _listen(server: HealthServer, config: Config) -> None:
    try:
        await server.start((config.metrics_port, config.health_port))
    except OSError as error:
        raise OperatorError(f"metricsPort or healthPort cannot be used: {error}") from error


async def _resign(leadership: Leadership, kube: KubeClient) -> None:
    """Begin no write, wait for those under way, let another lead."""
    leadership.close()
    try:
        async with asyncio.timeout(LAST_WRITES):
            await kube.writes_ended()
    except TimeoutError:
        log.warning("a write is still under way: the Lease is not given back, it runs out by itself")
    else:
        await leadership.release()


async def _run_parts(
    operator: Operator,
    server: HealthServer,
    feed: Callable[[asyncio.Event, asyncio.Event], Coroutine[Any, Any, None]],
    resign: Callable[[], Coroutine[Any, Any, None]],
    stop: asyncio.Event,
    *,
    stop_on_signals: bool,
) -> None:
    """Our own tasks begin before kopf and end before it: it takes younger ones for its own, and waits for them."""
    if stop_on_signals:
        _stop_on_signals(stop)
    kopf_stop, kopf_ready = asyncio.Event(), asyncio.Event()
    stopped = asyncio.create_task(stop.wait())
    ready = asyncio.create_task(kopf_ready.wait())
    ours = asyncio.create_task(operator.run())
    theirs = asyncio.create_task(feed(kopf_stop, kopf_ready))
    try:
        await _first(stopped, ours, theirs, ready)
        if stop_on_signals:
            _stop_on_signals(stop)  # kopf has put its own handlers there
        await _first(stopped, ours, theirs)
        for what, task in (("operator", ours), ("watch of kopf", theirs)):
            if task.done():
                if (lost := _lost(task.exception())) is not None:
                    raise OperatorError(f"{lost}. The process ends; started again it stands by") from lost
                raise OperatorError(f"the {what} has ended by itself: {task.exception()!r}") from task.exception()
        log.info("told to stop")
    finally:
        await resign()
        for mine in (stopped, ready, ours):
            mine.cancel()
        await asyncio.gather(stopped, ready, ours, return_exceptions=True)
        await server.stop()
        kopf_stop.set()
        if not kopf_ready.is_set():
            theirs.cancel()  # it still waits for its kind to be served
        await asyncio.gather(theirs, return_exceptions=True)


def _lost(error: BaseException | None) -> BaseException | None:
    """The loss of the Lease among the errors that ended the operator."""
    if isinstance(error, BaseExceptionGroup):
        return next((found for inner in error.exceptions if (found := _lost(inner)) is not None), None)
    return error if isinstance(error, LeaseLost) else None


async def _first(*tasks: asyncio.Task[Any]) -> None:
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)


def _stop_on_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)


async def _kopf(
    operator: Operator,
    configuration: Configuration,
    namespaces: tuple[str, ...],
    stop: asyncio.Event,
    ready: asyncio.Event,
) -> None:
    registry = kopf.OperatorRegistry()
    login = _Login(configuration)

    async def log_in(**_: Any) -> kopf.ConnectionInfo:
        return await login()

    async def hear(event: dict[str, Any], **_: Any) -> None:
        operator.heard(event["type"], event["object"])

    kopf.on.login(registry=registry)(log_in)
    kopf.on.event(GROUP, LLM_DEPLOYMENT.api_version.split("/")[1], LLM_DEPLOYMENT.plural, registry=registry)(hear)

    await kopf.operator(
        registry=registry,
        settings=_settings(),
        # Otherwise kopf asks the system for a user's name, and a container that runs under a bare number has none.
        identity="solera",
        standalone=True,
        clusterwide=not namespaces,
        namespaces=namespaces,
        stop_flag=stop,
        ready_flag=ready,
    )


class _Login:
    """Credentials for kopf from the same configuration that the writes use; a projected token is read anew each time.

    Each answer differs from the last: after a 401 kopf would take an equal one for the invalid one again, and give up for good.
    """

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._last = float("-inf")
        self._pause = 0.2

    async def __call__(self) -> kopf.ConnectionInfo:
        now = asyncio.get_running_loop().time()
        if now - self._last < 30:
            await asyncio.sleep(self._pause)
            self._pause = min(self._pause * 2, 5.0)
        else:
            self._pause = 0.2
        self._last = asyncio.get_running_loop().time()
        configuration = self._configuration
        token = await configuration.get_api_key_with_prefix("BearerToken")
        scheme, _, secret = (token or "").partition(" ")
        return kopf.ConnectionInfo(
            server=configuration.host,
            ca_path=configuration.ssl_ca_cert,
            insecure=not configuration.verify_ssl,
            scheme=(scheme.capitalize() if secret else "Bearer") if token else None,
            token=(secret or scheme) or None,
            certificate_path=configuration.cert_file,
            private_key_path=configuration.key_file,
            expiration=datetime.now(UTC) + timedelta(days=365),
        )


class _NoProgress(kopf.ProgressStorage):  # type: ignore[misc]
    """Keeps nothing: there are no handlers whose progress could be kept."""

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        pass

    def purge(self, **_: Any) -> None:
        pass

    def touch(self, **_: Any) -> None:
        pass

    def clear(self, *, essence: Any) -> Any:
        return essence


class _NoDiffBase(kopf.DiffBaseStorage):  # type: ignore[misc]
    """Keeps nothing: building the essence of each object is half of kopf's work."""

    def fetch(self, **_: Any) -> None:
        return None

    def build(self, **_: Any) -> dict[str, Any]:
        return {}

    def store(self, **_: Any) -> None:
        pass


class _Backoffs:
    """Without end: kopf's own list gives up after 54 seconds, and the operator with it."""

    def __iter__(self) -> Iterator[float]:
        pause = 0.2
        while True:
            yield pause
            pause = min(pause * 1.6, 3.0)


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.persistence.progress_storage = _NoProgress()
    settings.persistence.diffbase_storage = _NoDiffBase()
    settings.queueing.idle_timeout = 0.3  # two tasks per object with a recent event live so long
    settings.scanning.disabled = True  # no right to list CustomResourceDefinitions is needed
    settings.posting.enabled = False
    settings.watching.chunk_size = 500
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 5
    settings.networking.error_backoffs = _Backoffs()
    settings.process.ultimate_exiting_timeout = 20  # its last sweep can hang for ever
    return settings
