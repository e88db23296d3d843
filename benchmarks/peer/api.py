"""A small client of the apiserver for the programs of this benchmark: JSON in, JSON out, and watches that go on."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
import yaml

Object = dict[str, Any]
PATHS = {
    "Namespace": "/api/v1/namespaces",
    "Service": "/api/v1/namespaces/{namespace}/services",
    "ControllerRevision": "/apis/apps/v1/namespaces/{namespace}/controllerrevisions",
    "Deployment": "/apis/apps/v1/namespaces/{namespace}/deployments",
    "LLMDeployment": "/apis/solera.dev/v1alpha1/namespaces/{namespace}/llmdeployments",
    "Canary": "/apis/flagger.app/v1beta1/namespaces/{namespace}/canaries",
    "MetricTemplate": "/apis/flagger.app/v1beta1/namespaces/{namespace}/metrictemplates",
    "HTTPRoute": "/apis/gateway.networking.k8s.io/v1/namespaces/{namespace}/httproutes",
}
ENDPOINT_SLICES = "/apis/discovery.k8s.io/v1/endpointslices"
ROUTES = "/apis/gateway.networking.k8s.io/v1/httproutes"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"


class ApiError(Exception):
    """The apiserver said no. ``status`` is its HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


class Api:
    """The cluster and the user of a kubeconfig."""

    def __init__(self, kubeconfig: Path) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self._base = cluster["server"]
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        self._tls = ssl.create_default_context(cadata=authority)
        self._headers = {"Authorization": f"Bearer {user['token']}"}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(ssl=self._tls, limit=20)
        self._session = aiohttp.ClientSession(self._base, connector=connector, headers=self._headers)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._session is not None
        await self._session.close()

    async def call(self, method: str, path: str, body: Object | None = None, kind: str = "application/json") -> Object:
        """Raises ``ApiError`` for any status from 300."""
        assert self._session is not None
        data = None if body is None else json.dumps(body)
        async with self._session.request(method, path, data=data, headers={"Content-Type": kind}) as answer:
            text = await answer.text()
            if answer.status >= 300:
                raise ApiError(answer.status, text[:500])
            return json.loads(text)

    async def create(self, obj: Object) -> Object:
        return await self.call("POST", collection(obj["kind"], obj["metadata"].get("namespace", "")), obj)

    async def patch(self, kind: str, namespace: str, name: str, body: Object, how: str = MERGE) -> Object:
        return await self.call("PATCH", f"{collection(kind, namespace)}/{name}", body, how)

    async def items(self, path: str) -> list[Object]:
        return list((await self.call("GET", path))["items"])

    async def watch(self, path: str) -> AsyncIterator[tuple[str, Object]]:
        """All objects (``ADDED``), one ``SYNCED``, then every change, until the connection ends.

        Raises:
            ApiError: the version that it began from is too old.
        """
        assert self._session is not None
        found = await self.call("GET", path)
        for obj in found["items"]:
            yield "ADDED", obj
        yield "SYNCED", {}
        parameters = {"watch": "1", "resourceVersion": found["metadata"]["resourceVersion"]}
        limit = aiohttp.ClientTimeout(total=None)
        async with self._session.get(path, params=parameters, timeout=limit) as answer:
            if answer.status != 200:
                raise ApiError(answer.status, await answer.text())
            rest = b""
            async for chunk in answer.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        raise ApiError(event["object"].get("code", 0), event["object"].get("message", ""))
                    yield event["type"], event["object"]


def collection(kind: str, namespace: str) -> str:
    return PATHS[kind].format(namespace=namespace)


async def follow(api: Api, path: str, tell: Callable[[tuple[str, str], Object | None], None]) -> None:
    """Tells of every object under ``path``, for ever: its namespace and name, and itself or None when it is gone."""
    known: set[tuple[str, str]] = set()
    while True:
        listed: set[tuple[str, str]] = set()
        try:
            async for what, obj in api.watch(path):
                if what == "SYNCED":  # what went while nobody looked is not in the list
                    for key in known - listed:
                        tell(key, None)
                    known = set(listed)
                    continue
                key = (obj["metadata"]["namespace"], obj["metadata"]["name"])
                listed.add(key)
                if what == "DELETED":
                    known.discard(key)
                else:
                    known.add(key)
                tell(key, None if what == "DELETED" else obj)
        except (ApiError, aiohttp.ClientError, TimeoutError):
            await asyncio.sleep(0.5)
