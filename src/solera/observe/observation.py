"""Everything known about one LLMDeployment, put together for one decision."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from solera.api.scalars import parse_time
from solera.errors import SoleraError
from solera.kinds import (
    CONTROLLER_REVISION,
    DEPLOYMENT,
    ENDPOINT_SLICE,
    HTTP_ROUTE,
    LABEL_REVISION,
    LABEL_VERSION,
    LLM_DEPLOYMENT,
    POD,
    ROLLOUT_RECORD,
    SERVICE,
    Key,
    controlled_by,
    controller_uid,
)
from solera.observe.podstate import not_made, observed_pod, of_an_earlier_one, ready_endpoints
from solera.observe.store import Store
from solera.plan.clock import ahead, ledger_at
from solera.plan.evidence import Ledger, Reading, absorb, from_record, new_ledger
from solera.plan.intervals import limits_of, risk_of
from solera.plan.measures import measures_of
from solera.plan.traffic import step_begun, step_in_force
from solera.plan.types import Observation, ObservedRevision, Owner

Manifest = dict[str, Any]

WRITTEN_AT_ANNOTATION = "solera.dev/written-at"
_SERVICE_NAME = "kubernetes.io/service-name"


class Evidence(Protocol):
    """What the collector knows about one LLMDeployment."""

    def pending(self, key: Key) -> Sequence[Reading]:
        """The readings since the last call; they are handed out once."""

    def answered(self, key: Key) -> Collection[str]:
        """Uids of the pods that gave a real completion."""

    def asked(self, key: Key) -> Collection[str]:
        """Uids of the pods that were asked for one, whatever came of it."""

    def unreachable(self, key: Key) -> Mapping[str, str]:
        """Source as the ledger names it to why its newest look told nothing of a revision."""

    def mute(self, key: Key) -> Mapping[str, str]:
        """Uids of the healthy pods that gave no completion when they were asked last, each with why."""

    def unmeasurable(self, key: Key) -> Mapping[str, str]:
        """Guardrail to why no source can measure it."""


class Observer:
    """Puts observations together and keeps the ledgers between them.

    A ledger lives in memory; after a restart it goes on from the RolloutRecord. It is never part of a decision for another rollout.
    """

    def __init__(
        self,
        store: Store,
        evidence: Evidence,
        *,
        operator_version: str,
        on_lost: Callable[[str], None] = lambda _t: None,
    ) -> None:
        self._store = store
        self._evidence = evidence
        self._version = operator_version
        self._on_lost = on_lost
        self._ledgers: dict[Key, Ledger] = {}

    def forget(self, key: Key) -> None:
        """Drop what is kept between observations: the LLMDeployment is gone."""
        self._ledgers.pop(key, None)

    def observe(self, key: Key, now: datetime, wall: datetime | None = None) -> Observation | None:
        """The observation at ``now``, with the system clock at ``wall``; None when the LLMDeployment is gone or on its way out."""
        obj = self._store.get(LLM_DEPLOYMENT.kind, *key)
        if obj is None or obj["metadata"].get("deletionTimestamp"):
            return None
        meta = obj["metadata"]
        owner = Owner(
            meta["name"], meta["namespace"], meta["uid"], meta["generation"], parse_time(meta["creationTimestamp"])
        )
        route = self._own(HTTP_ROUTE.kind, owner)
        record = self._own(ROLLOUT_RECORD.kind, owner)
        return Observation(
            now=now,
            owner=owner,
            custom_resource=obj,
            revisions=self._revisions(key, owner),
            route=route,
            ledger=self._ledger(key, obj, route, record, now),
            record=record,
            record_written_at=_written_at(record, now),
            unreachable=self._evidence.unreachable(key),
            unmeasurable=self._evidence.unmeasurable(key),
            name_taken=tuple(self._foreign(key, owner)),
            hostname_conflicts=self._store.rivals(key),
            operator_version=self._version,
            wall=wall,
        )

    def _own(self, kind: str, owner: Owner) -> Manifest | None:
        """The child that is named like its owner."""
        child = self._store.get(kind, owner.namespace, owner.name)
        return child if child is not None and controller_uid(child) == owner.uid else None

    def _revisions(self, key: Key, owner: Owner) -> dict[str, ObservedRevision]:
        evidence = self._evidence
        answered, asked, mute = evidence.answered(key), evidence.asked(key), evidence.mute(key)
        parts: dict[tuple[str, str], dict[str, Any]] = {}
        for field, kind in (
            ("controller_revision", CONTROLLER_REVISION.kind),
            ("deployment", DEPLOYMENT.kind),
            ("service", SERVICE.kind),
        ):
            for child in self._store.children(key, kind):
                if controller_uid(child) == owner.uid and (of := _revision_of(child)) is not None:
                    parts.setdefault(of, {})[field] = child
        for pod in self._store.children(key, POD.kind):
            if (of := _revision_of(pod)) is None:
                continue
            if of_an_earlier_one(pod, parts.get(of, {}).get("deployment"), owner.created_at):
                continue
            parts.setdefault(of, {}).setdefault("pods", []).append(observed_pod(pod, answered, mute, asked))
        slices: dict[str, list[Manifest]] = {}
        for endpoints in self._store.children(key, ENDPOINT_SLICE.kind):
            slices.setdefault(endpoints["metadata"]["labels"].get(_SERVICE_NAME, ""), []).append(endpoints)
        revisions = {}
        for (version, digest), found in parts.items():
            name = f"{owner.name}-{version}-{digest}"
            found["pods"] = tuple(sorted(found.get("pods", ()), key=lambda pod: pod.name))
            ready = ready_endpoints(slices.get(name, ())) if "service" in found else 0
            refused = not_made(found.get("deployment", {}))
            revisions[name] = ObservedRevision(name, version, digest, ready_endpoints=ready, not_made=refused, **found)
        return revisions

    def _foreign(self, key: Key, owner: Owner) -> Iterator[str]:
        """Objects under a name that only a child of this owner may carry. A child of an earlier owner is one, until it is collected."""
        child_name = re.compile(rf"{re.escape(owner.name)}-[-a-z0-9]+-[a-z0-9]{{8}}")
        for kind in (CONTROLLER_REVISION.kind, DEPLOYMENT.kind, SERVICE.kind):
            for child in self._store.children(key, kind):
                if controller_uid(child) != owner.uid and child_name.fullmatch(child["metadata"]["name"]):
                    yield controlled_by(child)
        for kind in (HTTP_ROUTE.kind, ROLLOUT_RECORD.kind):
            named_child = self._store.get(kind, *key)
            if named_child is not None and controller_uid(named_child) != owner.uid:
                yield controlled_by(named_child)

    def _ledger(
        self, key: Key, obj: Manifest, route: Manifest | None, record: Manifest | None, now: datetime
    ) -> Ledger | None:
        readings = self._evidence.pending(key)
        spec, status = obj.get("spec") or {}, obj.get("status") or {}
        rollout = status.get("rollout") or {}
        wanted, stable, candidate = (rollout.get(k) or "" for k in ("id", "from", "to"))
        if not wanted or not stable or not candidate or stable == candidate:
            self._ledgers.pop(key, None)
            return None
        ledger = self._ledgers.get(key)
        if ledger is None or ledger.rollout_id != wanted:
            ledger = self._read_record(wanted, record) or new_ledger(wanted, stable, candidate, now)
        alive = {pod["metadata"]["uid"] for pod in self._store.children(key, POD.kind)}
        ledger = absorb(
            ledger_at(ledger, now),
            readings,
            step=step_in_force(route, wanted, candidate if status.get("candidate") else None),
            begun=step_begun(route, wanted),
            now=now,
            alive=alive,
            limits=limits_of(spec),
            measures=measures_of(spec),
            risk=risk_of(spec),
        )
        self._ledgers[key] = ledger
        return ledger

    def _read_record(self, wanted: str, record: Manifest | None) -> Ledger | None:
        written = ((record or {}).get("data") or {}).get("ledger")
        if record is None or not written or (record.get("spec") or {}).get("rolloutId") != wanted:
            return None
        try:
            ledger = from_record(written)
        except SoleraError as error:
            # A record that cannot be read is evidence lost, not a reason to stop: counting begins again.
            name = f"{record['metadata']['namespace']}/{record['metadata']['name']}"
            self._on_lost(f"RolloutRecord {name} cannot be read, its evidence is lost: {error}")
            return None
        return ledger if ledger.rollout_id == wanted else None


def _revision_of(obj: Manifest) -> tuple[str, str] | None:
    labels = obj["metadata"].get("labels") or {}
    version, digest = labels.get(LABEL_VERSION), labels.get(LABEL_REVISION)
    return (version, digest) if version and digest else None


def _written_at(record: Manifest | None, now: datetime) -> datetime | None:
    """None as well for a time that has not come yet: such a record must not keep newer evidence from being written."""
    text = (((record or {}).get("metadata") or {}).get("annotations") or {}).get(WRITTEN_AT_ANNOTATION)
    try:
        written = parse_time(text) if text else None
        return None if written is None or ahead(written, now) else written
    except SoleraError:
        return None
