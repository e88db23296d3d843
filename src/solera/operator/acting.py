"""The writes of one plan in their order, and what is still written when the apiserver refuses one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from solera.api.scalars import format_time
from solera.apply.actions import Executor
from solera.apply.events import Events
from solera.errors import Forbidden, Invalid, NameTaken, NotFound
from solera.kinds import HTTP_ROUTE, ROLLOUT_RECORD
from solera.observe.observation import WRITTEN_AT_ANNOTATION
from solera.plan.memory import from_status
from solera.plan.traffic import live_weights
from solera.plan.types import Action, Apply, Delete, Manifest, Observation, Plan, PlannedEvent
from solera.render.owner import labels, metadata

REFUSED = (Invalid, Forbidden, NotFound)
"""What trying again will not change: somebody has to change a right, a policy or the spec."""


@dataclass(slots=True)
class Acting:
    """Carries out one plan. ``routed`` tells, also after an error, that the route is another than the one observed."""

    executor: Executor
    events: Events
    observation: Observation
    plan: Plan
    routed: bool = False

    async def run(self) -> int:
        """Write children, route, removals, evidence. Returns how many writes were made.

        Raises what ``Executor.run`` raises. A child that is refused, or whose name is taken, does not keep the route from being written,
        unless that would give the candidate more: a decided rollback must not wait until somebody mends a Deployment.
        """
        refused: NameTaken | Invalid | Forbidden | NotFound | None = None
        writes = 0
        try:
            writes += await self._all([a for a in self.plan.actions if not (_is_route(a) or isinstance(a, Delete))])
        except (NameTaken, *REFUSED) as error:
            refused = error
        route = [a for a in self.plan.actions if _is_route(a) and isinstance(a, Apply)]
        if route and (refused is None or not self._gives_more(route[0].manifest)):
            try:
                writes += await self._all(route)
                self.routed = True
            except (NameTaken, *REFUSED) as error:
                refused = refused or error
        if refused is not None:
            await self._evidence()
            raise refused
        writes += await self._all([a for a in self.plan.actions if isinstance(a, Delete)])
        return writes + await self._evidence()

    async def _all(self, actions: Sequence[Action]) -> int:
        return await self.executor.run(self.observation, actions) if actions else 0

    def _gives_more(self, route: Manifest) -> bool:
        """Whether a candidate that has not carried all traffic here before gets more than it has. A route that is gone gave what it gave."""
        memory = from_status(self.observation.custom_resource.get("status") or {})
        candidate, live = memory.candidate, self.observation.route
        if candidate is None or live is None or memory.was_promoted(candidate.hash):
            return False
        had, gets = (live_weights(one).get(candidate.revision, 0) for one in (live, route))
        return gets > had

    async def _evidence(self) -> int:
        if self.plan.record is None:
            return 0
        try:
            return await self._all([Apply(record_manifest(self.observation, self.plan.record), "evidence")])
        except (NameTaken, *REFUSED) as error:
            # Evidence that cannot be kept is lost at a restart; that is no reason to stop steering the traffic.
            lost = PlannedEvent("Warning", "EvidenceNotWritten", str(error))
            await self.events.post(self.observation.owner, (lost,), self.observation.now)
            return 0


def _is_route(action: Action) -> bool:
    return isinstance(action, Apply) and action.manifest["kind"] == HTTP_ROUTE.kind


def record_manifest(observation: Observation, data: dict[str, Any]) -> Manifest:
    """The RolloutRecord that holds ``data``."""
    owner = observation.owner
    meta = metadata(owner, owner.name, labels(owner))
    meta["annotations"] = {WRITTEN_AT_ANNOTATION: format_time(observation.now)}
    return {
        "apiVersion": ROLLOUT_RECORD.api_version,
        "kind": ROLLOUT_RECORD.kind,
        "metadata": meta,
        "spec": {"llmdeployment": owner.name, "rolloutId": data["rolloutId"]},
        "data": data,
    }
