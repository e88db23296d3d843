"""Kubernetes Events about an LLMDeployment: each one written once, also over restarts, and never a reason to fail."""

from __future__ import annotations

import hashlib
import logging
from collections import OrderedDict
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from solera.apply.kube import FIELD_MANAGER, Kube
from solera.errors import Conflict, KubeError
from solera.kinds import EVENT, LLM_DEPLOYMENT
from solera.plan.types import Owner, PlannedEvent

Manifest = dict[str, Any]

MAX_NOTE = 1024
"""Longest ``note`` that events.k8s.io/v1 takes, in bytes."""
_REMEMBERED = 4096

log = logging.getLogger(__name__)


class Events:
    """Writes events. An event's name is a digest of what it says, so that a second one of the same kind meets the first (409)."""

    def __init__(self, kube: Kube, *, instance: str) -> None:
        self._kube = kube
        self._instance = instance
        self._written: OrderedDict[str, None] = OrderedDict()

    async def post(self, owner: Owner, events: Iterable[PlannedEvent], now: datetime) -> None:
        """Write those that were not written before; what the apiserver refuses is logged and let go."""
        for event in events:
            manifest = event_manifest(owner, event, now, self._instance)
            name = f"{owner.namespace}/{manifest['metadata']['name']}"
            if name in self._written:
                continue
            try:
                await self._kube.create_event(manifest)
            except Conflict:
                pass
            except KubeError as error:
                about = {"llmdeployment": f"{owner.namespace}/{owner.name}"}
                log.warning("event %s not written: %s", event.reason, error, extra=about)
                continue
            self._written[name] = None
            if len(self._written) > _REMEMBERED:
                self._written.popitem(last=False)


def event_manifest(owner: Owner, event: PlannedEvent, now: datetime, instance: str) -> Manifest:
    """An events.k8s.io/v1 Event that regards ``owner``; ``instance`` names this process."""
    said = f"{owner.uid}\n{event.type}\n{event.reason}\n{event.message}"
    digest = hashlib.sha256(said.encode()).hexdigest()[:16]
    return {
        "apiVersion": EVENT.api_version,
        "kind": EVENT.kind,
        "metadata": {"name": f"{owner.name}.{digest}", "namespace": owner.namespace},
        "eventTime": now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "reportingController": f"solera.dev/{FIELD_MANAGER}",
        "reportingInstance": instance[:128],
        "action": "Reconcile",
        "type": event.type,
        "reason": event.reason,
        "note": event.message.encode()[:MAX_NOTE].decode(errors="ignore"),
        "regarding": {
            "apiVersion": LLM_DEPLOYMENT.api_version,
            "kind": LLM_DEPLOYMENT.kind,
            "namespace": owner.namespace,
            "name": owner.name,
            "uid": owner.uid,
        },
    }
