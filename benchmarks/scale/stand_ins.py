"""Engines of all pods and the gateway, as in the comparison with a peer; requests flow only to the models that will be rolled out.

`python -m benchmarks.scale.stand_ins PORT BUSY FLEET ACCEPTOR`: a thousand models with traffic would cost more than what is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import time
from pathlib import Path

from aiohttp import web
from benchmarks.peer import acceptor, api, manifests
from benchmarks.peer.fleet import Fleet
from benchmarks.peer.traffic import Object, Service
from benchmarks.scale import objects


async def serve(port: int, busy: int, look: Path, write: Path) -> None:
    fleet = Fleet(time.time())
    with_traffic = set(objects.names(busy))

    def route(key: Service, obj: Object | None) -> None:
        if key[1] in with_traffic:
            fleet.traffic.route(key, obj)

    def endpoints(key: Service, obj: Object | None) -> None:
        if objects.owner_of(key[1]) in with_traffic:
            fleet.traffic.endpoints(key, obj)

    async with api.Api(look) as client, api.Api(write) as gateway, contextlib.AsyncExitStack() as stack:
        for app, host, number in ((fleet.engine(), "0.0.0.0", manifests.PORT), (fleet.prometheus(), "127.0.0.1", port)):
            runner = web.AppRunner(app, access_log=None, keepalive_timeout=120)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, host, number, backlog=1024).start()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(acceptor.accept(gateway))
            if with_traffic:
                tasks.create_task(api.follow(client, api.ROUTES, route))
                tasks.create_task(api.follow(client, api.ENDPOINT_SLICES, endpoints))
                tasks.create_task(fleet.run())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int, help="where it tells how it is, on the loopback")
    parser.add_argument("busy", type=int, help="how many of the models get requests")
    parser.add_argument("fleet", type=Path, help="kubeconfig of who reads routes and endpoints")
    parser.add_argument("acceptor", type=Path, help="kubeconfig of who accepts routes")
    arguments = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(arguments.port, arguments.busy, arguments.fleet, arguments.acceptor))


if __name__ == "__main__":
    main()
