"""What the verbs ask of the apiserver, in raw objects, over a `Transport` that tests replace by one in memory.

Get, list, watch and merge patch of `llmdeployments.solera.dev` are used, get of a `rolloutrecord`, and the question who one is. Errors
become `CliError`s that say what to do.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast
from urllib.parse import quote

from solera.cli.errors import CliError, Conflict, Expired, NotFound, Refused, Unreachable

GROUP = "solera.dev"
VERSION = "v1alpha1"
PLURAL = "llmdeployments"
RESOURCE = f"{PLURAL}.{GROUP}"
FIELD_MANAGER = "kubectl-solera"
PAGE = "500"

CONNECT_SECONDS = 10.0
READ_SECONDS = 30.0
WATCH_SECONDS = 300

Object = dict[str, Any]


class Reply(Protocol):
    """An answer whose body is not read yet. Both readers raise `Unreachable` when the connection breaks."""

    @property
    def status(self) -> int:
        """The HTTP status."""

    def read(self) -> bytes:
        """The whole body."""

    def lines(self) -> Iterator[bytes]:
        """The body line by line, as it comes."""

    def close(self) -> None:
        """Give the connection up, whatever is still to come."""


class Transport(Protocol):
    """One HTTP request to the apiserver, signed as the kubeconfig says. Raises `Unreachable` when no answer comes."""

    def send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Object | None = None,
        content_type: str | None = None,
        read_seconds: float = READ_SECONDS,
    ) -> Reply:
        """Send it and return as soon as the status is known; `read_seconds` is the longest silence that is borne."""


@dataclass(frozen=True, slots=True)
class Listing:
    """A list and the resourceVersion from which to watch on."""

    items: list[Object]
    resource_version: str


@dataclass(frozen=True, slots=True)
class Client:
    """The few calls that the verbs need; a namespace of None means all."""

    transport: Transport

    def get(self, namespace: str, name: str) -> Object:
        """One LLMDeployment. Raises `NotFound`."""
        return self._json("GET", _path(namespace, name), what=f"{name} in namespace {namespace}")

    def list_all(self, namespace: str | None, name: str | None = None) -> Listing:
        """All LLMDeployments, or those called `name` (none or one), page by page."""
        query = _selector(name) | {"limit": PAGE}
        items: list[Object] = []
        while True:
            page = self._json("GET", _path(namespace), query=query)
            items += page.get("items") or []
            meta = page.get("metadata") or {}
            if not meta.get("continue"):
                return Listing(items, str(meta.get("resourceVersion") or ""))
            query = {**query, "continue": meta["continue"]}

    def watch(self, namespace: str | None, name: str | None, since: str) -> Iterator[tuple[str, Object]]:
        """Changes after the resourceVersion `since`, as (event type, object), until the apiserver ends the watch.

        Raises `Expired` when `since` is too old. Bookmarks are passed on: they carry a newer resourceVersion.
        """
        query = _selector(name) | {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": since,
            "timeoutSeconds": str(WATCH_SECONDS),
        }
        reply = self.transport.send("GET", _path(namespace), query=query, read_seconds=WATCH_SECONDS + READ_SECONDS)
        try:
            if reply.status >= 300:
                raise _error(reply.status, reply.read(), RESOURCE)
            for line in reply.lines():
                if not line.strip():
                    continue
                event = json.loads(line)
                found = event.get("object") or {}
                if event.get("type") == "ERROR":
                    raise _error(int(found.get("code") or 500), json.dumps(found).encode(), RESOURCE)
                yield str(event.get("type")), found
        finally:
            reply.close()

    def annotate(self, obj: Object, annotations: Mapping[str, str]) -> Object:
        """Set these annotations on the object that was read, and nothing else.

        Raises `Conflict` when it was changed, deleted or made anew since: resourceVersion and uid go with the patch.
        """
        meta = obj["metadata"]
        patch = {
            "metadata": {
                "uid": meta["uid"],
                "resourceVersion": meta["resourceVersion"],
                "annotations": dict(annotations),
            }
        }
        return self._json(
            "PATCH",
            _path(meta["namespace"], meta["name"]),
            query={"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict"},
            body=patch,
            what=f"{meta['name']} in namespace {meta['namespace']}",
        )

    def who_am_i(self) -> str | None:
        """The user name that the apiserver knows the caller by; None where it does not say."""
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        try:
            answer = self._json("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", body=review)
        except CliError:
            return None
        name = ((answer.get("status") or {}).get("userInfo") or {}).get("username")
        return name if isinstance(name, str) and name else None

    def record(self, namespace: str, name: str) -> Object | None:
        """The data of the RolloutRecord of an LLMDeployment; None when there is none, or it may not be read."""
        try:
            return self.evidence(namespace, name)
        except CliError as error:
            if isinstance(error, Unreachable):
                raise
            return None

    def evidence(self, namespace: str, name: str) -> Object | None:
        """The same; None only when there is none. Raises `Refused` when it may not be read."""
        path = f"/apis/{GROUP}/{VERSION}/namespaces/{quote(namespace, safe='')}/rolloutrecords/{quote(name, safe='')}"
        try:
            data = self._json("GET", path).get("data")
        except NotFound:
            return None
        return cast("Object", data) if isinstance(data, dict) else None

    def items(self, path: str) -> list[Object]:
        """The items of any other list, for example of role bindings."""
        return list(self._json("GET", path).get("items") or [])

    def _json(
        self, method: str, path: str, query: Mapping[str, str] | None = None, body: Object | None = None, what: str = ""
    ) -> Object:
        content_type = {"PATCH": "application/merge-patch+json", "POST": "application/json"}.get(method)
        reply = self.transport.send(method, path, query=query, body=body, content_type=content_type)
        try:
            raw = reply.read()
        finally:
            reply.close()
        if reply.status >= 300:
            raise _error(reply.status, raw, what or RESOURCE)
        try:
            answer = json.loads(raw)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise CliError(
                f"the answer to {method} {path} is no JSON object: is the server in the kubeconfig an apiserver?"
            )
        return answer


def _path(namespace: str | None, name: str | None = None) -> str:
    scope = f"/namespaces/{quote(namespace, safe='')}" if namespace else ""
    return f"/apis/{GROUP}/{VERSION}{scope}/{PLURAL}" + (f"/{quote(name, safe='')}" if name else "")


def _selector(name: str | None) -> dict[str, str]:
    return {"fieldSelector": f"metadata.name={name}"} if name else {}


def _error(code: int, raw: bytes, what: str) -> CliError:
    """The error for an answer of the apiserver, in its own words (a `Status` object) where it gave any."""
    try:
        status = json.loads(raw)
    except ValueError:
        status = {}
    if not isinstance(status, dict):
        status = {}
    said = str(status.get("message") or raw[:300].decode(errors="replace").strip() or f"HTTP status {code}")
    if code == 404:
        if (status.get("details") or {}).get("name"):
            return NotFound(f"there is no LLMDeployment {what}")
        return CliError(f"this cluster does not know {RESOURCE}: install Solera's CRDs first ({said})")
    if code == 401:
        return CliError(f"the apiserver does not accept the credentials of the kubeconfig: log in again ({said})")
    if code == 403 or (code == 422 and "ValidatingAdmissionPolicy" in said):
        return Refused(said)
    if code == 409:
        return Conflict(said)
    if code == 410:
        return Expired(said)
    if code in {429, 500, 502, 503, 504}:
        return Unreachable(f"the apiserver cannot answer now ({code}): {said}")
    return CliError(f"the apiserver refused ({code}): {said}")
