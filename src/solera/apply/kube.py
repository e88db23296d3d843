"""The one seam to Kubernetes: raw dicts in, raw dicts out, one error tree.

Built on the raw calls of ``kubernetes.aio``: its typed models are several times slower and would drop what they do not know.
Nothing here retries: whoever calls has a work queue with backoff, and a repeated write would hide a lost answer.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from typing import Any, Protocol

import aiohttp
import orjson
from kubernetes.aio.client import ApiClient

from solera import __version__
from solera.apply.answers import error_from, error_from_status
from solera.apply.wire import UnderWay, lines
from solera.errors import Unavailable
from solera.kinds import EVENT, LEASE, RESOURCES, Resource

Manifest = dict[str, Any]

FIELD_MANAGER = "solera"
USER_AGENT = f"solera/{__version__}"

_JSON = "application/json"
_METADATA_LIST = f"{_JSON};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_APPLY = "application/apply-patch+yaml"  # JSON is YAML: the body is sent as JSON


class Kube(Protocol):
    """What the rest of Solera asks of a cluster. ``namespace`` None means all of them. All calls raise ``KubeError``s."""

    async def get(self, kind: str, namespace: str, name: str) -> Manifest:
        """One live object, from the apiserver and not from a cache."""

    async def list_page(
        self,
        kind: str,
        namespace: str | None = None,
        *,
        selector: str = "",
        limit: int = 500,
        token: str = "",
        metadata_only: bool = False,
    ) -> Manifest:
        """One page of a list, as the apiserver's list object; ``token`` continues an earlier page."""

    def watch(
        self,
        kind: str,
        namespace: str | None = None,
        *,
        selector: str = "",
        resource_version: str = "",
        initial_events: bool = False,
    ) -> AsyncGenerator[Manifest, None]:
        """Watch events ``{"type", "object"}`` until the server ends the stream.

        The first one, ``{"type": "OPENED"}``, is ours: the server accepted, though it may have nothing to tell for a minute. With ``initial_events`` the present objects come first, closed by a BOOKMARK with annotation
        ``k8s.io/initial-events-end``. An ERROR event is raised as its ``KubeError`` (``Gone`` for 410).
        """

    async def apply(self, manifest: Manifest, *, resource_version: str | None = None) -> Manifest:
        """Server-side apply with force; with ``resource_version`` only over exactly that version. Returns the live object."""

    async def apply_status(self, manifest: Manifest, *, resource_version: str) -> Manifest:
        """Server-side apply of ``status``, only over exactly that version: what was applied before and is left out is removed."""

    async def delete(self, kind: str, namespace: str, name: str, *, uid: str, resource_version: str) -> None:
        """Delete in the background, only while uid and resource version match."""

    async def create_event(self, manifest: Manifest) -> None:
        """Create one events.k8s.io/v1 Event; ``Conflict`` when one of its name exists."""


class KubeClient:
    """``Kube`` over HTTP.

    ``may_write`` is asked right before each write but those of Leases: it raises when this process must not write now (a lost lease),
    and returns the seconds after which the write must not be made any more. ``on_write(kind, verb)`` is called after each of these
    writes that the apiserver accepted.
    """

    def __init__(
        self,
        api: ApiClient,
        *,
        timeout: float = 15.0,
        may_write: Callable[[], float] = lambda: math.inf,
        on_write: Callable[[str, str], None] = lambda _kind, _verb: None,
    ) -> None:
        api.user_agent = USER_AGENT
        self._api = api
        self._timeout = aiohttp.ClientTimeout(total=timeout, sock_connect=5)
        # Bookmarks come every 60 to 75 seconds; a longer silence is a dead connection.
        self._watch_timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=90)
        self._may_write = may_write
        self._on_write = on_write
        self._writes = UnderWay()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._api.close()

    async def writes_ended(self) -> None:
        """Wait until no write is waiting for its answer."""
        await self._writes.ended()

    async def get(self, kind: str, namespace: str, name: str) -> Manifest:
        """See ``Kube.get``."""
        return await self._call("GET", RESOURCES[kind].path(namespace, name), f"get {kind} {namespace}/{name}")

    async def list_page(
        self,
        kind: str,
        namespace: str | None = None,
        *,
        selector: str = "",
        limit: int = 500,
        token: str = "",
        metadata_only: bool = False,
    ) -> Manifest:
        """See ``Kube.list_page``."""
        query = {"limit": str(limit), "labelSelector": selector, "continue": token}
        accept = _METADATA_LIST if metadata_only else _JSON
        return await self._call("GET", RESOURCES[kind].path(namespace), f"list {kind}", query=query, accept=accept)

    async def watch(
        self,
        kind: str,
        namespace: str | None = None,
        *,
        selector: str = "",
        resource_version: str = "",
        initial_events: bool = False,
    ) -> AsyncGenerator[Manifest, None]:
        """See ``Kube.watch``."""
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "labelSelector": selector,
            "resourceVersion": resource_version,
        }
        if initial_events:
            query |= {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
        what = f"watch {kind}"
        async with self._open("GET", RESOURCES[kind].path(namespace), what, query, self._watch_timeout) as response:
            yield {"type": "OPENED"}
            async for line in lines(response, what):
                event: Manifest = orjson.loads(line)
                if event.get("type") == "ERROR":
                    raise error_from_status(what, event.get("object") or {})
                yield event

    async def apply(self, manifest: Manifest, *, resource_version: str | None = None) -> Manifest:
        """See ``Kube.apply``."""
        return await self._apply(manifest if resource_version is None else _at(manifest, resource_version), "")

    async def apply_status(self, manifest: Manifest, *, resource_version: str) -> Manifest:
        """See ``Kube.apply_status``."""
        return await self._apply(_at(manifest, resource_version), "/status")

    async def delete(self, kind: str, namespace: str, name: str, *, uid: str, resource_version: str) -> None:
        """See ``Kube.delete``."""
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            "preconditions": {"uid": uid, "resourceVersion": resource_version},
        }
        path = RESOURCES[kind].path(namespace, name)
        await self._call("DELETE", path, f"delete {kind} {namespace}/{name}", body=body)
        self._on_write(kind, "delete")

    async def create_event(self, manifest: Manifest) -> None:
        """See ``Kube.create_event``."""
        metadata = manifest["metadata"]
        what = f"create Event {metadata['namespace']}/{metadata['name']}"
        await self._call("POST", EVENT.path(metadata["namespace"]), what, body=manifest)
        self._on_write("Event", "create")

    async def create_lease(self, manifest: Manifest) -> Manifest:
        """Create one coordination.k8s.io/v1 Lease; ``Conflict`` when one of its name exists. Returns the live object."""
        metadata = manifest["metadata"]
        what = f"create Lease {metadata['namespace']}/{metadata['name']}"
        return await self._call("POST", LEASE.path(metadata["namespace"]), what, body=manifest, fenced=False)

    async def replace_lease(self, manifest: Manifest) -> Manifest:
        """Replace exactly the version of a Lease that ``manifest`` names; ``Conflict`` or ``NotFound`` when it is another. Returns the live object."""
        metadata = manifest["metadata"]
        what = f"replace Lease {metadata['namespace']}/{metadata['name']}"
        path = LEASE.path(metadata["namespace"], metadata["name"])
        return await self._call("PUT", path, what, body=manifest, fenced=False)

    async def _apply(self, manifest: Manifest, subresource: str) -> Manifest:
        resource = _resource_of(manifest)
        namespace, name = manifest["metadata"]["namespace"], manifest["metadata"]["name"]
        live = await self._call(
            "PATCH",
            resource.path(namespace, name) + subresource,
            f"apply {resource.kind}{subresource} {namespace}/{name}",
            query={"fieldManager": FIELD_MANAGER, "force": "true"},
            body=manifest,
            content_type=_APPLY,
        )
        self._on_write(resource.kind, "apply_status" if subresource else "apply")
        return live

    async def _call(
        self,
        method: str,
        path: str,
        what: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Manifest | None = None,
        accept: str = _JSON,
        content_type: str = _JSON,
        fenced: bool = True,
    ) -> Manifest:
        fenced = fenced and method != "GET"
        types = {"accept": accept, "content_type": content_type}
        opened = self._open(method, path, what, query or {}, self._timeout, body=body, fenced=fenced, **types)
        with self._writes if fenced else contextlib.nullcontext():
            async with opened as response:
                try:
                    parsed: Manifest = orjson.loads(await response.read())
                except orjson.JSONDecodeError as error:
                    raise Unavailable(what, f"the answer is not JSON: {error}", status=response.status) from error
                return parsed

    @contextlib.asynccontextmanager
    async def _open(
        self,
        method: str,
        path: str,
        what: str,
        query: Mapping[str, str],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's own object with its several limits
        *,
        body: Manifest | None = None,
        accept: str = _JSON,
        content_type: str = _JSON,
        fenced: bool = False,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """One answer with a good status, its body not read yet; the connection is given back or closed at the end."""
        try:
            request = await self._api.param_serialize(
                method,
                path,
                query_params=[(k, v) for k, v in query.items() if v],
                header_params={"Accept": accept, "Content-Type": content_type},
                body=body,
                auth_settings=["BearerToken"],
            )
            if fenced and (left := self._may_write()) < (timeout.total or 0):
                timeout = aiohttp.ClientTimeout(total=left, sock_connect=timeout.sock_connect)
            response = (await self._api.call_api(*request, _request_timeout=timeout)).response
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(what, _words(error)) from error
        try:
            if response.status >= 300:
                raise error_from(what, response.status, await response.read(), response.headers.get("Retry-After"))
            yield response
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(what, _words(error), status=response.status) from error
        finally:
            response.close() if not response.content.at_eof() else response.release()


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _at(manifest: Manifest, resource_version: str) -> Manifest:
    return {**manifest, "metadata": {**manifest["metadata"], "resourceVersion": resource_version}}


def _resource_of(manifest: Manifest) -> Resource:
    resource = RESOURCES[manifest["kind"]]
    if manifest["apiVersion"] != resource.api_version:
        raise ValueError(f"{resource.kind} is written as {resource.api_version}, not {manifest['apiVersion']}")
    return resource
