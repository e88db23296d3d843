"""A stand-in for a gateway: it accepts every HTTPRoute at its generation, for each of its parents, and carries nothing."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime
from typing import Any

from benchmarks.peer import api

Object = dict[str, Any]
CONTROLLER = "solera.dev/stand-in"
CONDITIONS = ("Accepted", "ResolvedRefs")


def accepted(route: Object, now: datetime) -> Object | None:
    """The status that the route should have; None when it has it."""
    generation = route["metadata"]["generation"]
    parents = route["spec"].get("parentRefs", [])
    known = {
        (str(parent["parentRef"]), condition["type"]): condition
        for parent in route.get("status", {}).get("parents", [])
        for condition in parent["conditions"]
    }
    wanted = [(str(parent), kind) for parent in parents for kind in CONDITIONS]
    if all(known.get(key, {}).get("observedGeneration") == generation for key in wanted):
        return None
    conditions = [
        {
            "type": kind,
            "status": "True",
            "reason": kind,
            "message": "",
            "observedGeneration": generation,
            "lastTransitionTime": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        for kind in CONDITIONS
    ]
    return {"parents": [{"parentRef": p, "controllerName": CONTROLLER, "conditions": conditions} for p in parents]}


async def accept(client: api.Api) -> None:
    """Accept routes, for ever."""
    work: asyncio.Queue[tuple[tuple[str, str], Object]] = asyncio.Queue()

    def told(key: tuple[str, str], obj: Object | None) -> None:
        status = accepted(obj, datetime.now(UTC)) if obj else None
        if status:
            work.put_nowait((key, status))

    async def write() -> None:
        while True:
            (namespace, name), status = await work.get()
            path = f"{api.collection('HTTPRoute', namespace)}/{name}/status"
            with contextlib.suppress(api.ApiError):  # it is gone, or the next event tells more
                await client.call("PATCH", path, {"status": status}, api.MERGE)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(api.follow(client, api.ROUTES, told))
        for _ in range(4):
            tasks.create_task(write())
