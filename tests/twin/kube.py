"""An apiserver in memory: enough of server-side apply, preconditions, generations, watches and garbage collection to test against.

Not a copy of the apiserver: no schemas, no admission, one field manager that matters. What it does promise is checked against a real
apiserver in tests/cluster.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from solera.errors import Conflict, Gone, Invalid, KubeError, NotFound
from solera.kinds import RESOURCES

Manifest = dict[str, Any]
Ref = tuple[str, str, str]

_STATUS_KINDS = {"LLMDeployment", "Deployment", "HTTPRoute", "Pod", "Service"}
_NO_GENERATION = {"Pod", "Service", "EndpointSlice", "ControllerRevision", "Event", "PersistentVolumeClaim"}
_NAMED_LISTS = ("name", "type", "revision", "containerPort", "uid")


def duplicate(value: Any) -> Any:
    """A copy that shares nothing. Only what JSON can say goes through, as on the way to a real apiserver."""
    return orjson.loads(orjson.dumps(value))


@dataclass
class Write:
    """One accepted write, for assertions."""

    verb: str
    kind: str
    name: str
    manifest: Manifest


@dataclass
class MemoryKube:
    """A ``solera.apply.kube.Kube`` over dicts. ``now`` is the time written into creationTimestamps.

    ``fail`` is called before each request with (verb, kind, name) and may raise; ``after`` is called when a write has been made but before its
    answer is given, and may raise as well: the answer is lost then. ``log`` holds the accepted writes, ``reads`` counts the others.
    """

    now: Callable[[], datetime] = lambda: datetime(2026, 1, 1, tzinfo=UTC)
    fail: Callable[[str, str, str], None] = lambda _verb, _kind, _name: None
    after: Callable[[str, str, str], None] = lambda _verb, _kind, _name: None
    streamed_lists: bool = True
    objects: dict[Ref, Manifest] = field(default_factory=dict)
    log: list[Write] = field(default_factory=list)
    reads: list[tuple[str, str, str]] = field(default_factory=list)
    listeners: list[Callable[[str, Manifest], None]] = field(default_factory=list)
    page: int = 0
    unserved: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._version = 1  # as in etcd, where the first revision belongs to no object
        self._uids = itertools.count(1)
        self._applied: dict[tuple[Ref, str], Manifest] = {}
        self._events: list[tuple[int, str, Manifest]] = []
        self._first_kept = 0
        self._tick = asyncio.Condition()
        self._streams = 0

    # -- requests -------------------------------------------------------------------------------------------------

    async def get(self, kind: str, namespace: str, name: str) -> Manifest:
        self._ask("get", kind, name)
        return duplicate(self._find(f"get {kind} {namespace}/{name}", (kind, namespace, name)))

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
        self._ask("list", kind, "")
        found = self._selected(kind, namespace, selector)
        limit = self.page or limit
        start = int(token) if token else 0
        items = [duplicate(o) for o in found[start : start + limit]]
        if metadata_only:
            items = [{"metadata": o["metadata"]} for o in items]
        for item in items:
            item.pop("apiVersion", None)
            item.pop("kind", None)
        more = {"continue": str(start + limit)} if start + limit < len(found) else {}
        return {"metadata": {"resourceVersion": str(self._version), **more}, "items": items}

    async def watch(
        self,
        kind: str,
        namespace: str | None = None,
        *,
        selector: str = "",
        resource_version: str = "",
        initial_events: bool = False,
    ) -> AsyncGenerator[Manifest, None]:
        self._ask("watch", kind, "")
        if initial_events and not self.streamed_lists:
            raise Invalid(f"watch {kind}", "sendInitialEvents is forbidden for watch", status=422)
        yield {"type": "OPENED"}
        self._streams += 1
        generation = self._streams_cut
        seen = int(resource_version or 0)
        if initial_events:
            for obj in self._selected(kind, namespace, selector):
                yield {"type": "ADDED", "object": duplicate(obj)}
            seen = self._version
            end = {"resourceVersion": str(seen), "annotations": {"k8s.io/initial-events-end": "true"}}
            yield {"type": "BOOKMARK", "object": {"kind": kind, "metadata": end}}
        while True:
            if seen < self._first_kept:
                raise Gone(f"watch {kind}", "too old resource version", status=410)
            for version, event, obj in list(self._events):
                if version > seen and _matches(obj, kind, namespace, selector):
                    yield {"type": event, "object": duplicate(obj)}
            seen = max(seen, self._version)
            async with self._tick:
                await self._tick.wait_for(lambda: self._version > seen or self._streams_cut != generation)  # noqa: B023
            if self._streams_cut != generation:
                return

    _streams_cut = 0

    async def apply(self, manifest: Manifest, *, resource_version: str | None = None) -> Manifest:
        return self._write("apply", manifest if resource_version is None else _at(manifest, resource_version), "")

    async def apply_status(self, manifest: Manifest, *, resource_version: str) -> Manifest:
        return self._write("apply_status", _at(manifest, resource_version), "status")

    async def delete(self, kind: str, namespace: str, name: str, *, uid: str, resource_version: str) -> None:
        self._ask("delete", kind, name)
        what = f"delete {kind} {namespace}/{name}"
        live = self._find(what, (kind, namespace, name))
        if live["metadata"]["uid"] != uid or live["metadata"]["resourceVersion"] != resource_version:
            raise Conflict(what, "the preconditions do not hold", status=409)
        self.log.append(Write("delete", kind, name, {}))
        self.remove(kind, namespace, name)
        self.after("delete", kind, name)

    async def create_event(self, manifest: Manifest) -> None:
        name = manifest["metadata"]["name"]
        self._ask("create", "Event", name)
        if ("Event", manifest["metadata"]["namespace"], name) in self.objects:
            raise Conflict(f"create Event {name}", "already exists", status=409, reason="AlreadyExists")
        self.log.append(Write("create", "Event", name, manifest))
        self.put(manifest)
        self.after("create", "Event", name)

    # -- what the world does --------------------------------------------------------------------------------------

    def put(self, obj: Manifest) -> Manifest:
        """Create or replace an object, as some other client would; uid, version, generation and creation time are filled in."""
        obj = duplicate(obj)
        ref = _ref(obj)
        old = self.objects.get(ref)
        meta = obj["metadata"]
        meta.setdefault("uid", old["metadata"]["uid"] if old else f"uid-{next(self._uids)}")
        stamp = self.now().strftime("%Y-%m-%dT%H:%M:%SZ")
        meta.setdefault("creationTimestamp", old["metadata"]["creationTimestamp"] if old else stamp)
        return self._store(ref, obj, old)

    def edit(self, kind: str, namespace: str, name: str, change: Callable[[Manifest], None]) -> Manifest:
        """Change a live object in place, as some other client would."""
        obj = duplicate(self.objects[kind, namespace, name])
        change(obj)
        return self._store((kind, namespace, name), obj, self.objects[kind, namespace, name])

    def remove(self, kind: str, namespace: str, name: str, *, collect: bool = True) -> None:
        """Delete an object; with ``collect`` also what it owns, as the garbage collector would in the background."""
        ref = (kind, namespace, name)
        obj = self.objects.pop(ref)
        for subresource in ("", "status"):
            self._applied.pop((ref, subresource), None)
        self._version += 1
        obj = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self._version)}}
        self._emit("DELETED", obj)
        if collect:
            uid = obj["metadata"]["uid"]
            for other in [r for r, o in self.objects.items() if _owned_by(o, uid)]:
                self.remove(*other)

    def forget_history(self) -> None:
        """Compaction: watches from an older version get 410 from now on."""
        self._events.clear()
        self._first_kept = self._version + 1
        self._version += 1

    async def cut_streams(self) -> None:
        """End all watch streams."""
        self._streams_cut += 1
        async with self._tick:
            self._tick.notify_all()

    async def settle(self) -> None:
        """Let the streams deliver what has happened."""
        async with self._tick:
            self._tick.notify_all()
        for _ in range(20):
            await asyncio.sleep(0)

    def of(self, kind: str) -> list[Manifest]:
        """All objects of a kind."""
        return [o for (k, _, _), o in sorted(self.objects.items()) if k == kind]

    def writes(self, kind: str | None = None) -> list[Write]:
        """The accepted writes of one kind, Events left out unless asked for."""
        return [w for w in self.log if (w.kind == kind if kind else w.kind != "Event")]

    # -- inside ---------------------------------------------------------------------------------------------------

    def _ask(self, verb: str, kind: str, name: str) -> None:
        if verb in {"get", "list", "watch"}:
            self.reads.append((verb, kind, name))
        if kind in self.unserved:
            raise NotFound(f"{verb} {kind}", "the server could not find the requested resource", status=404)
        self.fail(verb, kind, name)

    def _find(self, what: str, ref: Ref) -> Manifest:
        if ref not in self.objects:
            raise NotFound(what, f"{ref[2]!r} not found", status=404)
        return self.objects[ref]

    def _selected(self, kind: str, namespace: str | None, selector: str) -> list[Manifest]:
        return [o for _, o in sorted(self.objects.items()) if _matches(o, kind, namespace, selector)]

    def _write(self, verb: str, manifest: Manifest, subresource: str) -> Manifest:
        ref = _ref(manifest)
        what = f"{verb} {'/'.join(ref)}"
        self._ask(verb, ref[0], ref[2])
        if manifest["apiVersion"] != RESOURCES[ref[0]].api_version:
            raise Invalid(what, "wrong apiVersion", status=400)
        old = self.objects.get(ref)
        self._check(what, manifest, old, subresource)
        wanted = duplicate(manifest)
        for transient in ("resourceVersion", "uid"):
            wanted["metadata"].pop(transient, None)
        if subresource:
            wanted = {subresource: wanted.get(subresource, {})}
        elif ref[0] in _STATUS_KINDS:
            wanted.pop("status", None)
        new = duplicate(old) if old is not None else {}
        before = self._applied.get((ref, subresource))
        if before is not None:
            new = _without(new, before, wanted)
        new = _merged(new, wanted)
        if "data" in wanted:  # of no declared type: its lists are atomic, and it has one writer
            new["data"] = wanted["data"]
        if ref[0] == "ControllerRevision" and old is not None and new.get("data") != old.get("data"):
            raise Invalid(what, "data: field is immutable", status=422, fields=("data",))
        self._applied[ref, subresource] = wanted
        if old is None:
            new = self.put(new)
        elif new != old:
            new = self._store(ref, new, old)
        self.log.append(Write(verb, ref[0], ref[2], duplicate(manifest)))
        self.after(verb, ref[0], ref[2])
        return duplicate(new)

    def _check(self, what: str, manifest: Manifest, old: Manifest | None, subresource: str) -> None:
        meta = manifest["metadata"]
        if old is None:
            if subresource:
                raise NotFound(what, "not found", status=404)
            if "uid" in meta:
                raise Conflict(what, "uid is set and the object is not there", status=409)
            return
        # On a status the apiserver looks at the version and not at the uid.
        if not subresource and meta.get("uid", old["metadata"]["uid"]) != old["metadata"]["uid"]:
            raise Invalid(what, "metadata.uid: field is immutable", status=422, fields=("metadata.uid",))
        if meta.get("resourceVersion", old["metadata"]["resourceVersion"]) != old["metadata"]["resourceVersion"]:
            raise Conflict(what, "the object has been modified", status=409)

    def _store(self, ref: Ref, obj: Manifest, old: Manifest | None) -> Manifest:
        meta = obj["metadata"]
        self._version += 1
        meta["resourceVersion"] = str(self._version)
        if ref[0] not in _NO_GENERATION:
            generation = old["metadata"]["generation"] if old else 0
            same = old is not None and obj.get("spec") == old.get("spec")
            meta["generation"] = generation if same else generation + 1
        if ref[0] == "LLMDeployment" and old is None:
            obj.setdefault("status", {"observedGeneration": -1})
        self.objects[ref] = obj
        self._emit("ADDED" if old is None else "MODIFIED", obj)
        return obj

    def _emit(self, event: str, obj: Manifest) -> None:
        snapshot = duplicate(obj)
        self._events.append((self._version, event, snapshot))
        for listener in self.listeners:
            listener(event, duplicate(snapshot))


def _at(manifest: Manifest, resource_version: str) -> Manifest:
    return {**manifest, "metadata": {**manifest["metadata"], "resourceVersion": resource_version}}


def _ref(obj: Manifest) -> Ref:
    return (obj["kind"], obj["metadata"]["namespace"], obj["metadata"]["name"])


def _owned_by(obj: Manifest, uid: str) -> bool:
    return any(o["uid"] == uid for o in obj["metadata"].get("ownerReferences") or [])


def _matches(obj: Manifest, kind: str, namespace: str | None, selector: str) -> bool:
    meta = obj["metadata"]
    labelled = not selector or selector in (meta.get("labels") or {})
    return obj["kind"] == kind and labelled and namespace in (None, meta["namespace"])


def _merged(old: Any, new: Any) -> Any:
    """``new`` laid over ``old``; lists whose items have a key are merged by it, others are replaced."""
    if old is None or old == new:
        return duplicate(new)
    if isinstance(old, dict) and isinstance(new, dict):
        return {**old, **{k: _merged(old.get(k), v) for k, v in new.items()}}
    key = _list_key(old, new)
    if key is not None:
        before = {item[key]: item for item in old}
        after = {item[key]: item for item in new}
        return [
            _merged(before.get(name), after[name]) if name in after else before[name]
            for name in _order(list(before), list(after))
        ]
    return duplicate(new)


def _order(old: list[Any], new: list[Any]) -> list[Any]:
    """The order of a list with keys after an apply: that of what is applied; what stays from before goes where it stood."""
    out, shared, place = [], [name for name in new if name in old], 0
    for name in new:
        while place < len(old) and old[place] != name:
            if old[place] not in new:
                out.append(old[place])
            elif shared and old[place] == shared[0]:
                break
            place += 1
        out.append(name)
        if shared and shared[0] == name:
            shared.pop(0)
            place += place < len(old) and old[place] == name
    return out + [name for name in old[place:] if name not in new]


def _without(live: Any, before: Any, now: Any) -> Any:
    """``live`` without what was applied ``before`` and is not any more."""
    if before == now:
        return live
    if isinstance(live, dict) and isinstance(before, dict) and isinstance(now, dict):
        out = {}
        for k, v in live.items():
            if k in before and k not in now:
                continue
            out[k] = _without(v, before[k], now[k]) if k in before else v
        return out
    key = _list_key(live, before, now)
    if key is not None:
        was, still = {i[key]: i for i in before}, {i[key]: i for i in now}
        return [
            _without(i, was[i[key]], still[i[key]]) if i[key] in was else i
            for i in live
            if i[key] not in was or i[key] in still
        ]
    return live


def _list_key(*lists: Any) -> str | None:
    if not all(isinstance(x, list) and x and all(isinstance(i, dict) for i in x) for x in lists):
        return None
    return next((k for k in _NAMED_LISTS if all(k in i for x in lists for i in x)), None)


def failing(*errors: KubeError | None) -> Callable[[str, str, str], None]:
    """A ``fail`` hook that raises ``errors`` in turn for write requests (None lets one pass), then nothing any more."""
    queue = list(errors)

    def hook(verb: str, _kind: str, _name: str) -> None:
        if verb in {"get", "list", "watch"} or not queue:
            return
        error = queue.pop(0)
        if error is not None:
            raise error

    return hook


def names(objects: Iterable[Manifest]) -> list[str]:
    """The names of objects, sorted."""
    return sorted(o["metadata"]["name"] for o in objects)
