"""The HTTP of the client, against a server on loopback that answers what the test wants."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from kubernetes.aio.client import ApiClient, Configuration

from solera import __version__
from solera.apply.kube import KubeClient
from solera.errors import Conflict, Gone, NotFound, SoleraError, Unavailable
from twin.objects import NAMESPACE, child

DEPLOYMENT = child("Deployment", "x", spec={"replicas": 1})


class Server:
    """Records requests; ``answers`` are given in turn as (status, body), a list body is sent as a stream of its items."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.answers: list[tuple[int, Any]] = []
        self.headers: dict[str, str] = {}

    async def handle(self, request: web.Request) -> web.StreamResponse:
        text = await request.text()
        self.requests.append(
            {
                "method": request.method,
                "path": request.path,
                "query": dict(request.query),
                "headers": dict(request.headers),
                "body": json.loads(text) if text else None,
            }
        )
        status, body = self.answers.pop(0)
        if isinstance(body, list):
            response = web.StreamResponse(status=status)
            await response.prepare(request)
            for piece in body:
                await response.write(piece)
                await asyncio.sleep(0.001)
            return response
        return web.Response(status=status, body=json.dumps(body).encode(), headers=self.headers)


@pytest.fixture
async def server() -> AsyncIterator[tuple[Server, str]]:
    fake = Server()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", fake.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield fake, f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.fixture
def written() -> list[tuple[str, str]]:
    return []


@pytest.fixture
async def kube(server: tuple[Server, str], written: list[tuple[str, str]]) -> AsyncIterator[KubeClient]:
    configuration = Configuration(host=server[1], api_key={"BearerToken": "Bearer secret"})
    client = KubeClient(
        ApiClient(configuration), timeout=30.0, on_write=lambda kind, verb: written.append((kind, verb))
    )
    yield client
    await client.aclose()


async def test_get(server: tuple[Server, str], kube: KubeClient, written: list[Any]) -> None:
    server[0].answers = [(200, DEPLOYMENT)]
    assert await kube.get("Deployment", NAMESPACE, "x") == DEPLOYMENT
    request = server[0].requests[0]
    assert (request["method"], request["path"]) == ("GET", "/apis/apps/v1/namespaces/ml/deployments/x")
    assert request["headers"]["Authorization"] == "Bearer secret"
    assert request["headers"]["User-Agent"] == f"solera/{__version__}"
    assert written == []


async def test_core_kinds_have_another_path(server: tuple[Server, str], kube: KubeClient) -> None:
    server[0].answers = [(200, {})]
    await kube.get("Service", NAMESPACE, "x")
    assert server[0].requests[0]["path"] == "/api/v1/namespaces/ml/services/x"


async def test_apply_is_server_side_with_force(
    server: tuple[Server, str], kube: KubeClient, written: list[Any]
) -> None:
    server[0].answers = [(200, DEPLOYMENT)]
    assert await kube.apply(DEPLOYMENT, resource_version="17") == DEPLOYMENT
    request = server[0].requests[0]
    assert request["method"] == "PATCH"
    assert request["headers"]["Content-Type"] == "application/apply-patch+yaml"
    assert request["query"] == {"fieldManager": "solera", "force": "true"}
    assert request["body"]["metadata"]["resourceVersion"] == "17"
    assert DEPLOYMENT["metadata"]["resourceVersion"] == "1", "the caller's manifest is left as it was"
    assert written == [("Deployment", "apply")]


async def test_status_is_applied_on_its_subresource(
    server: tuple[Server, str], kube: KubeClient, written: list[Any]
) -> None:
    server[0].answers = [(200, {})]
    meta = {"name": "chat", "namespace": NAMESPACE, "uid": "u"}
    await kube.apply_status(
        {"apiVersion": "solera.dev/v1alpha1", "kind": "LLMDeployment", "metadata": meta, "status": {"state": "Idle"}},
        resource_version="9",
    )
    path = "/apis/solera.dev/v1alpha1/namespaces/ml/llmdeployments/chat/status"
    assert server[0].requests[0]["path"] == path
    assert server[0].requests[0]["body"]["metadata"]["resourceVersion"] == "9"
    assert written == [("LLMDeployment", "apply_status")]


async def test_delete_carries_its_preconditions(
    server: tuple[Server, str], kube: KubeClient, written: list[Any]
) -> None:
    server[0].answers = [(200, {"kind": "Status", "status": "Success"})]
    await kube.delete("Deployment", NAMESPACE, "x", uid="u1", resource_version="5")
    request = server[0].requests[0]
    assert request["method"] == "DELETE"
    assert request["body"]["preconditions"] == {"uid": "u1", "resourceVersion": "5"}
    assert request["body"]["propagationPolicy"] == "Background"
    assert written == [("Deployment", "delete")]


async def test_list_of_metadata_by_pages(server: tuple[Server, str], kube: KubeClient) -> None:
    server[0].answers = [(200, {"metadata": {}, "items": []})]
    await kube.list_page("LLMDeployment", token="abc", metadata_only=True)
    request = server[0].requests[0]
    assert request["path"] == "/apis/solera.dev/v1alpha1/llmdeployments"
    assert request["query"] == {"limit": "500", "continue": "abc"}
    assert "as=PartialObjectMetadataList" in request["headers"]["Accept"]


async def test_a_refused_write_is_not_counted(server: tuple[Server, str], kube: KubeClient, written: list[Any]) -> None:
    server[0].answers = [(409, {"kind": "Status", "reason": "Conflict", "message": "modified"})]
    with pytest.raises(Conflict, match="apply Deployment ml/x: modified"):
        await kube.apply(DEPLOYMENT)
    assert written == []


async def test_no_write_is_sent_when_this_process_must_not(server: tuple[Server, str]) -> None:
    class LostLeaseError(SoleraError):
        pass

    def refuse() -> None:
        raise LostLeaseError("lease lost")

    client = KubeClient(ApiClient(Configuration(host=server[1])), may_write=refuse)
    server[0].answers = [(200, DEPLOYMENT)]
    await client.get("Deployment", NAMESPACE, "x")
    for write in (
        client.apply(DEPLOYMENT),
        client.apply_status(DEPLOYMENT, resource_version="1"),
        client.delete("Deployment", NAMESPACE, "x", uid="u", resource_version="1"),
        client.create_event({"metadata": {"namespace": NAMESPACE, "name": "e"}}),
    ):
        with pytest.raises(LostLeaseError):
            await write
    await client.aclose()
    assert len(server[0].requests) == 1


async def test_nobody_answers() -> None:
    client = KubeClient(ApiClient(Configuration(host="http://127.0.0.1:1")))
    with pytest.raises(Unavailable, match="get Deployment ml/x"):
        await client.get("Deployment", NAMESPACE, "x")
    await client.aclose()


async def test_an_answer_that_is_not_json(server: tuple[Server, str], kube: KubeClient) -> None:
    server[0].answers = [(200, [b"<html>"])]
    with pytest.raises(Unavailable, match="not JSON"):
        await kube.get("Deployment", NAMESPACE, "x")


def event(kind: str, name: str, version: str = "1") -> bytes:
    obj = {"kind": "Deployment", "metadata": {"name": name, "resourceVersion": version}}
    return json.dumps({"type": kind, "object": obj}).encode() + b"\n"


async def collect(kube: KubeClient, **options: Any) -> list[tuple[str, str]]:
    out = []
    async for e in kube.watch("Deployment", selector="a", **options):
        out.append((e["type"], e.get("object", {}).get("metadata", {}).get("name", "")))
    return out


async def test_watch_events_however_they_are_cut(server: tuple[Server, str], kube: KubeClient) -> None:
    whole = event("ADDED", "a") + event("MODIFIED", "ä" * 3) + event("DELETED", "c")
    server[0].answers = [(200, [whole[:10], whole[10:75], whole[75:76], whole[76:]])]
    seen = await collect(kube, resource_version="7")
    assert seen == [("OPENED", ""), ("ADDED", "a"), ("MODIFIED", "äää"), ("DELETED", "c")]
    query = server[0].requests[0]["query"]
    assert query == {"watch": "true", "allowWatchBookmarks": "true", "labelSelector": "a", "resourceVersion": "7"}


async def test_a_streamed_list_is_asked_for(server: tuple[Server, str], kube: KubeClient) -> None:
    server[0].answers = [(200, [event("ADDED", "a")])]
    await collect(kube, initial_events=True)
    query = server[0].requests[0]["query"]
    assert query["sendInitialEvents"] == "true"
    assert query["resourceVersionMatch"] == "NotOlderThan"
    assert "resourceVersion" not in query


async def test_an_error_in_the_stream_is_raised(server: tuple[Server, str], kube: KubeClient) -> None:
    gone = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}}
    server[0].answers = [(200, [event("ADDED", "a"), json.dumps(gone).encode() + b"\n"])]
    with pytest.raises(Gone, match="too old"):
        await collect(kube)


async def test_a_watch_that_is_refused(server: tuple[Server, str], kube: KubeClient) -> None:
    server[0].answers = [(404, {"kind": "Status", "message": "the server could not find the requested resource"})]
    with pytest.raises(NotFound):
        await collect(kube)


async def test_a_stream_that_breaks_inside_an_event(server: tuple[Server, str], kube: KubeClient) -> None:
    server[0].answers = [(200, [event("ADDED", "a"), b'{"type": "ADD'])]
    with pytest.raises(Unavailable, match="ended inside an event"):
        await collect(kube)


async def test_closing_a_watch_closes_its_connection(server: tuple[Server, str], kube: KubeClient) -> None:
    server[0].answers = [(200, [event("ADDED", "a")] * 2000), (200, DEPLOYMENT)]
    stream = kube.watch("Deployment")
    async for e in stream:
        if e["type"] == "ADDED":
            break
    await stream.aclose()
    assert await kube.get("Deployment", NAMESPACE, "x") == DEPLOYMENT


async def test_a_kind_is_written_under_one_version_only(kube: KubeClient) -> None:
    with pytest.raises(ValueError, match="apps/v1"):
        await kube.apply({**DEPLOYMENT, "apiVersion": "apps/v1beta1"})
