"""What the cluster looks like as far as we have heard, and whether we have heard of our own writes yet.

Fed by kopf (LLMDeployments) and by the informers (children). Objects are raw dicts and are never changed in place.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from solera.kinds import CHILDREN, ENDPOINT_SLICE, LABEL_LLMDEPLOYMENT, LLM_DEPLOYMENT, POD, Key
from solera.observe.claims import Claims

Manifest = dict[str, Any]
Ref = tuple[str, str, str]
"""(kind, namespace, name)."""

FAIL_OPEN = 10.0
"""Seconds after which a write of our own that was never heard of no longer holds a decision up."""

_WATCHED = {LLM_DEPLOYMENT.kind, *(r.kind for r in CHILDREN)}
_MADE_HERE = {r.kind for r in CHILDREN} - {POD.kind, ENDPOINT_SLICE.kind}


class Store:
    """Objects by kind, namespace and name, and by the LLMDeployment whose label they carry.

    ``on_change`` is called with the key of each LLMDeployment that a change may concern. An object whose version is already known
    changes nothing, so a repeated list wakes nobody. Not safe for threads: it lives in the event loop.
    """

    def __init__(self, on_change: Callable[[Key], None], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._on_change = on_change
        self._clock = clock
        self._objects: dict[str, dict[Key, Manifest]] = {}
        self._children: dict[Key, dict[str, dict[str, Manifest]]] = {}
        self._claims = Claims()
        self._pending: dict[Key, dict[Ref, tuple[Manifest | None, str, float]]] = {}
        self._doubtful: set[Key] = set()

    def get(self, kind: str, namespace: str, name: str) -> Manifest | None:
        """The object as last heard of; None when there is none."""
        return self._objects.get(kind, {}).get((namespace, name))

    def keys(self) -> tuple[Key, ...]:
        """The keys of all LLMDeployments."""
        return tuple(self._objects.get(LLM_DEPLOYMENT.kind, {}))

    def objects(self, kind: str) -> Iterator[Manifest]:
        """All objects of one kind."""
        return iter(tuple(self._objects.get(kind, {}).values()))

    def children(self, key: Key, kind: str) -> tuple[Manifest, ...]:
        """The objects of one kind that carry the label of an LLMDeployment, whoever owns them."""
        return tuple(self._children.get(key, {}).get(kind, {}).values())

    def rivals(self, key: Key) -> tuple[str, ...]:
        """Which of its hostnames older LLMDeployments have on the same gateway: "HOST is claimed by NS/NAME (older)"."""
        return self._claims.lost_by(key)

    def upsert(self, kind: str, obj: Manifest) -> None:
        """Take an object as it is now, unless something newer of its name is known."""
        ref = _key_of(obj)
        old = self._objects.get(kind, {}).get(ref)
        if old is not None and not _newer(obj, old):
            return
        touched = self._put(kind, ref, obj)
        self._tell(touched)

    def refresh(self, kind: str, obj: Manifest) -> None:
        """Take an answer to a write of our own, if the object is known: its end may have been heard of before the answer came."""
        old = self._objects.get(kind, {}).get(_key_of(obj))
        if old is not None and _meta(old).get("uid") == _meta(obj).get("uid"):
            self.upsert(kind, obj)

    def remove(self, kind: str, obj: Manifest) -> None:
        """Forget a deleted object; nothing happens when its name has gone to another one (other uid) since."""
        ref = _key_of(obj)
        self._settle(kind, obj)
        old = self._objects.get(kind, {}).get(ref)
        if old is None or _meta(old).get("uid") != _meta(obj).get("uid"):
            return
        self._tell(self._drop(kind, ref))

    def replace(self, kind: str, objects: list[Manifest], namespace: str | None = None) -> int:
        """Take ``objects`` for all that there are (in ``namespace``). Returns how many others were forgotten."""
        touched: set[Key] = set()
        known = self._objects.get(kind, {})
        vanished = {ref for ref in known if namespace in (None, ref[0])} - {_key_of(o) for o in objects}
        for ref in vanished:
            touched |= self._drop(kind, ref)
        for obj in objects:
            ref = _key_of(obj)
            old = known.get(ref)
            # A list is the truth even when its versions are lower: the server may have been restored from a backup.
            if old is None or _identity(old) != _identity(obj):
                touched |= self._put(kind, ref, obj)
        self._tell(touched)
        return len(vanished)

    def wrote(self, key: Key, live: Manifest) -> None:
        """Remember the apiserver's answer to a write of our own, made for ``key``."""
        if live.get("kind") in _WATCHED:
            ref = (live["kind"], *_key_of(live))
            self._pending.setdefault(key, {})[ref] = (live, "", self._clock() + FAIL_OPEN)

    def deleted(self, key: Key, kind: str, namespace: str, name: str, uid: str) -> None:
        """Remember a deletion of our own, made for ``key``."""
        if kind in _WATCHED:
            self._pending.setdefault(key, {})[kind, namespace, name] = (None, uid, self._clock() + FAIL_OPEN)

    def doubtful(self, key: Key) -> bool:
        """True when a child vanished that was not deleted here: perhaps the garbage collector was faster than the news of the owner's end."""
        return key in self._doubtful

    def alive(self, key: Key) -> None:
        """The LLMDeployment was seen live: whatever vanished did not go with it."""
        self._doubtful.discard(key)

    def behind(self, key: Key) -> bool:
        """True while the store is older than the last write made for ``key``. Fails open after ``FAIL_OPEN`` seconds."""
        pending = self._pending.get(key)
        if not pending:
            return False
        for ref, (written, uid, until) in list(pending.items()):
            if self._clock() >= until or self._heard(ref, written, uid):
                del pending[ref]
        if not pending:
            del self._pending[key]
        return bool(pending)

    def _settle(self, kind: str, gone: Manifest) -> None:
        """The end of an object is news of every write before it: nobody will hear of that object again."""
        owner = owner_key(kind, gone)
        pending = self._pending.get(owner, {}) if owner is not None else {}
        written = pending.get((kind, *_key_of(gone)), (None, "", 0.0))[0]
        if written is not None and _meta(written).get("uid") == _meta(gone).get("uid") and not _newer(written, gone):
            del pending[kind, *_key_of(gone)]

    def _heard(self, ref: Ref, written: Manifest | None, uid: str) -> bool:
        known = self.get(*ref)
        if written is None:
            return known is None or _meta(known).get("uid") != uid or bool(_meta(known).get("deletionTimestamp"))
        return known is not None and not _newer(written, known)

    def _put(self, kind: str, ref: Key, obj: Manifest) -> set[Key]:
        touched = self._drop(kind, ref, gone=False)
        self._objects.setdefault(kind, {})[ref] = obj
        owner = owner_key(kind, obj)
        if owner is None:
            return touched
        touched.add(owner)
        if kind == LLM_DEPLOYMENT.kind:
            touched |= self._claims.put(ref, obj)
        else:
            self._children.setdefault(owner, {}).setdefault(kind, {})[ref[1]] = obj
        return touched

    def _drop(self, kind: str, ref: Key, *, gone: bool = True) -> set[Key]:
        old = self._objects.get(kind, {}).pop(ref, None)
        owner = owner_key(kind, old) if old is not None else None
        if old is None or owner is None:
            return set()
        if kind == LLM_DEPLOYMENT.kind:
            if gone:
                self._doubtful.discard(owner)
            return {owner} | (self._claims.drop(ref) if gone else set())
        if gone and kind in _MADE_HERE and owner in self._objects.get(LLM_DEPLOYMENT.kind, {}):
            written, deleted, _ = self._pending.get(owner, {}).get((kind, *ref), (None, "", 0.0))
            if written is not None or deleted != _meta(old).get("uid"):
                self._doubtful.add(owner)
        by_kind = self._children.get(owner, {})
        by_kind.get(kind, {}).pop(ref[1], None)
        if not by_kind.get(kind):
            by_kind.pop(kind, None)
        if not by_kind:
            self._children.pop(owner, None)
        return {owner}

    def _tell(self, keys: Iterable[Key]) -> None:
        for key in keys:
            self._on_change(key)


def owner_key(kind: str, obj: Manifest) -> Key | None:
    """The LLMDeployment that an object speaks of: itself, or the one named by its label."""
    if kind == LLM_DEPLOYMENT.kind:
        return _key_of(obj)
    name = (_meta(obj).get("labels") or {}).get(LABEL_LLMDEPLOYMENT)
    return (_meta(obj)["namespace"], name) if name else None


def _meta(obj: Manifest) -> dict[str, Any]:
    meta: dict[str, Any] = obj["metadata"]
    return meta


def _key_of(obj: Manifest) -> Key:
    meta = _meta(obj)
    return (meta.get("namespace", ""), meta["name"])


def _identity(obj: Manifest) -> tuple[str, str]:
    return (_meta(obj).get("uid", ""), _meta(obj).get("resourceVersion", ""))


def _newer(one: Manifest, other: Manifest) -> bool:
    """Whether ``one`` is a later state than ``other``.

    Resource versions are comparable as integers (Kubernetes 1.35, KEP-5504). Where they are not numbers, different counts as newer.
    """
    if _identity(one) == _identity(other):
        return False
    first, second = _meta(one).get("resourceVersion", ""), _meta(other).get("resourceVersion", "")
    if first.isdigit() and second.isdigit():
        return int(first) > int(second)
    return True
