"""An apiserver in memory, as far as the plugin can tell it from a real one: get, list, watch and merge patch of LLMDeployments."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from solera.cli.errors import Unreachable

PREFIX = "/apis/solera.dev/v1alpha1"
MISSING = {
    "kind": "Status",
    "message": "the server could not find the requested resource",
    "reason": "NotFound",
    "code": 404,
}


@dataclass
class TwinReply:
    status: int
    body: Iterator[bytes]
    closed: bool = False

    def read(self) -> bytes:
        return b"".join(self.body)

    def lines(self) -> Iterator[bytes]:
        return self.body

    def close(self) -> None:
        self.closed = True


@dataclass
class Sent:
    method: str
    path: str
    query: Mapping[str, str]
    body: Any
    content_type: str | None


@dataclass
class Twin:
    """`on_patch` plays the operator: it sees each object just after a patch. `idle` runs when a watch has nothing more to tell:
    it may change objects, raise, or return False to let the apiserver end the watch."""

    objects: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    others: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    on_patch: Callable[[dict[str, Any]], None] = lambda _obj: None
    idle: Callable[[], bool] = lambda: False
    refuse: Callable[[Sent], dict[str, Any] | None] = lambda _sent: None
    page: int = 500
    installed: bool = True
    user: str | None = None
    records: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    version: int = 100
    log: list[tuple[int, str, dict[str, Any]]] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    oldest: int = 0

    def put(self, obj: dict[str, Any]) -> dict[str, Any]:
        obj = copy.deepcopy(obj)
        key = obj["metadata"]["namespace"], obj["metadata"]["name"]
        kind = "MODIFIED" if key in self.objects else "ADDED"
        self._stamp(obj)
        self.objects[key] = obj
        self.log.append((self.version, kind, copy.deepcopy(obj)))
        return obj

    def change(self, name: str, namespace: str = "ml", **status: Any) -> None:
        obj = copy.deepcopy(self.objects[namespace, name])
        obj["status"] = {**obj.get("status", {}), **status}
        self.put(obj)

    def delete(self, name: str, namespace: str = "ml") -> None:
        obj = self.objects.pop((namespace, name))
        self._stamp(obj)
        self.log.append((self.version, "DELETED", obj))

    def _stamp(self, obj: dict[str, Any]) -> None:
        self.version += 1
        obj["metadata"]["resourceVersion"] = str(self.version)

    def send(self, method, path, *, query=None, body=None, content_type=None, read_seconds=30.0) -> TwinReply:
        sent = Sent(method, path, dict(query or {}), copy.deepcopy(body), content_type)
        self.sent.append(sent)
        if refused := self.refuse(sent):
            return _answer(refused["code"], refused)
        if path in self.others:
            return _answer(200, {"items": self.others[path]})
        if path == "/apis/authentication.k8s.io/v1/selfsubjectreviews" and self.user:
            assert (method, content_type) == ("POST", "application/json")
            return _answer(201, {"status": {"userInfo": {"username": self.user}}})
        if not path.startswith(PREFIX) or not self.installed:
            return TwinReply(404, iter([b"404 page not found\n"]))
        parts = path.removeprefix(PREFIX).strip("/").split("/")
        namespace = parts[1] if parts[0] == "namespaces" else None
        name = parts[3] if len(parts) == 4 else None
        if parts[2:3] == ["rolloutrecords"]:
            found = self.records.get((namespace or "", name or ""))
            gone = MISSING | {"details": {"name": name, "group": "solera.dev", "kind": "rolloutrecords"}}
            return _answer(200, {"data": found}) if found else _answer(404, gone)
        if name is None and "watch" in sent.query:
            return TwinReply(200, self._watch(namespace, sent.query))
        if name is None:
            return self._list(namespace, sent.query)
        if (namespace, name) not in self.objects:
            details = {"name": name, "group": "solera.dev", "kind": "llmdeployments"}
            message = f'llmdeployments.solera.dev "{name}" not found'
            return _answer(404, MISSING | {"message": message, "details": details})
        if method == "PATCH":
            return self._patch(namespace, name, sent)
        return _answer(200, self.objects[namespace, name])

    def _fits(self, obj: dict[str, Any], namespace: str | None, query: Mapping[str, str]) -> bool:
        meta = obj["metadata"]
        wanted = query.get("fieldSelector", "").removeprefix("metadata.name=")
        return namespace in {None, meta["namespace"]} and wanted in {"", meta["name"]}

    def _list(self, namespace: str | None, query: Mapping[str, str]) -> TwinReply:
        found = [o for _, o in sorted(self.objects.items()) if self._fits(o, namespace, query)]
        start = int(query.get("continue") or 0)
        size = min(self.page, int(query["limit"]))
        meta: dict[str, Any] = {"resourceVersion": str(self.version)}
        if start + size < len(found):
            meta["continue"] = str(start + size)
        return _answer(200, {"metadata": meta, "items": found[start : start + size]})

    def _watch(self, namespace: str | None, query: Mapping[str, str]) -> Iterator[bytes]:
        since = int(query["resourceVersion"])
        if since < self.oldest:
            gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}
            yield _line("ERROR", gone)
            return
        while True:
            for version, kind, obj in list(self.log):
                if version > since and self._fits(obj, namespace, query):
                    yield _line(kind, obj)
            since = self.version
            yield _line("BOOKMARK", {"metadata": {"resourceVersion": str(since)}})
            if not self.idle():
                return

    def _patch(self, namespace: str, name: str, sent: Sent) -> TwinReply:
        assert sent.content_type == "application/merge-patch+json"
        obj = copy.deepcopy(self.objects[namespace, name])
        meta, patch = obj["metadata"], sent.body["metadata"]
        for field_name in ("uid", "resourceVersion"):
            if patch.get(field_name) not in {None, meta[field_name]}:
                message = (
                    f'Operation cannot be fulfilled on llmdeployments.solera.dev "{name}": the object has been modified'
                )
                return _answer(409, {"kind": "Status", "code": 409, "reason": "Conflict", "message": message})
        meta["annotations"] = {**meta.get("annotations", {}), **patch["annotations"]}
        obj = self.put(obj)
        answer = _answer(200, obj)
        self.on_patch(obj)
        return answer


def _answer(status: int, body: dict[str, Any]) -> TwinReply:
    return TwinReply(status, iter([json.dumps(body).encode()]))


def _line(kind: str, obj: dict[str, Any]) -> bytes:
    return json.dumps({"type": kind, "object": obj}).encode() + b"\n"


def unreachable(*_args: Any, **_kwargs: Any) -> Any:
    raise Unreachable("cannot reach the apiserver at https://192.0.2.1:6443: connection refused")
