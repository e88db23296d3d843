"""The bare client: `python -m benchmarks.scale.raw KUBECONFIG SPACE COUNT`. No store, no watch, no plan: only the writes, side by side.

It makes each LLMDeployment, its four children by the same server-side apply that Solera sends, and one write of the status. The bodies are
made before the clock starts, so that what it costs is the requests.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from pathlib import Path

from benchmarks.peer.api import Api, collection
from benchmarks.scale import objects

AT_ONCE = 16
APPLY = "application/apply-patch+yaml"
QUERY = "fieldManager=raw&force=true"


async def make(client: Api, space: str, count: int) -> float:
    """Seconds from the first request to the last answer."""
    bodies = [(json.loads(text), text) for text in objects.children(space)]
    paths = [(f"{collection(o['kind'], space)}/{o['metadata']['name']}?{QUERY}", text) for o, text in bodies]
    status_path = f"{collection('LLMDeployment', space)}/{objects.NAME}/status?{QUERY}"
    status = objects.status(space)
    manifests = {name: objects.llmdeployment(name, space) for name in objects.names(count)}
    lane = asyncio.Semaphore(AT_ONCE)

    async def one(name: str) -> None:
        async with lane:
            made = await client.create(manifests[name])
            uid = made["metadata"]["uid"]

            def filled(text: str) -> str:
                return text.replace(objects.UID, uid).replace(objects.NAME, name)

            for path, text in paths:
                await client.call("PATCH", filled(path), json.loads(filled(text)), APPLY)
            await client.call("PATCH", filled(status_path), json.loads(filled(status)), APPLY)

    began = time.monotonic()
    await asyncio.gather(*(one(name) for name in manifests))
    return time.monotonic() - began


async def run(kubeconfig: Path, space: str, count: int) -> None:
    async with Api(kubeconfig) as client:
        print(json.dumps({"seconds": await make(client, space, count)}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kubeconfig", type=Path)
    parser.add_argument("space")
    parser.add_argument("count", type=int)
    arguments = parser.parse_args()
    asyncio.run(run(arguments.kubeconfig, arguments.space, arguments.count))


if __name__ == "__main__":
    main()
