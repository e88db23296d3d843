"""One look at one LLMDeployment: observe, plan, act, record, write the status, announce, and say when to look again."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Protocol

from solera.api.errors import FieldError
from solera.api.status import fit_status
from solera.apply.actions import Executor
from solera.apply.events import Events
from solera.errors import NameTaken
from solera.kinds import LLM_DEPLOYMENT, Key
from solera.observe.informer import trim
from solera.observe.observation import Evidence, Observer
from solera.observe.store import Store
from solera.operator.acting import REFUSED, Acting
from solera.plan.report import compose_invalid
from solera.plan.types import Observation, Plan

log = logging.getLogger(__name__)

CATCH_UP = 0.5
"""Seconds to wait for our own last write; its event wakes the key much sooner."""
LEAST_PAUSE = 1.0
"""A plan that wants to be asked again at once without having written anything would turn in a circle."""
QUIET = timedelta(seconds=0.5)
"""After a write of our own, what it sets off follows within this time: a status that only describes waits for it, and is written once."""
RETRY_NAME = 30.0
"""Nothing tells when a name that someone else's object carries becomes free."""


class Collector(Evidence, Protocol):
    """Collects evidence, as the plans ask for it."""

    def follow(self, observation: Observation, plan: Plan) -> None:
        """From now on measure ``plan.measure`` and probe ``plan.probe``."""

    def forget(self, key: Key) -> None:
        """The LLMDeployment is gone."""


@dataclass(frozen=True, slots=True)
class Reconciler:
    """Everything that one look needs.

    ``clock`` and ``wall`` (the system's, if it may differ) give aware datetimes; no look is later than ``resync`` after the last.
    """

    store: Store
    observer: Observer
    collector: Collector
    planner: Callable[[Observation], Plan]
    executor: Executor
    events: Events
    clock: Callable[[], datetime]
    resync: timedelta = timedelta(minutes=10)
    wall: Callable[[], datetime] | None = None
    quiet: timedelta = QUIET
    wrote_at: dict[Key, datetime] = field(default_factory=dict)

    async def reconcile(self, key: Key) -> float | None:
        """Bring one LLMDeployment as far as it gets now. Returns the seconds until the next look, None when it is gone.

        Raises ``KubeError`` or ``NotSafe``: nothing is lost, the next look decides anew.
        """
        if self.store.behind(key):
            return CATCH_UP
        observation = self.observer.observe(key, self.clock(), self.wall and self.wall())
        if observation is None:
            self.observer.forget(key)
            self.collector.forget(key)
            self.wrote_at.pop(key, None)
            return None
        plan = self.planner(observation)
        self.collector.follow(observation, plan)
        latest = self.resync.total_seconds()
        acting = Acting(self.executor, self.events, observation, plan)
        try:
            writes = await acting.run()
        except NameTaken as error:
            if acting.routed:  # a status would tell of weights that are not there any more
                return CATCH_UP
            observation = replace(observation, name_taken=(*observation.name_taken, error.owner))
            plan, latest = self.planner(observation), RETRY_NAME
            writes = await Acting(self.executor, self.events, observation, plan).run()
        except REFUSED as error:
            if not acting.routed:
                told = compose_invalid(observation, FieldError("", str(error)), "Refused")
                await self._write_status(observation, told)
            raise
        if writes:
            self.wrote_at[key] = observation.now
        wait = self._quiet(key, plan, observation.now)
        if wait is None:
            writes += await self._write_status(observation, plan.status)
        for event in plan.events:
            about = {"llmdeployment": "/".join(key), "reason": event.reason}
            log.log(logging.WARNING if event.type == "Warning" else logging.INFO, "%s", event.message, extra=about)
        await self.events.post(observation.owner, plan.events, observation.now)
        pause = self._pause(plan, latest, wrote=writes > 0)
        return pause if wait is None else min(pause, wait)

    def _quiet(self, key: Key, plan: Plan, now: datetime) -> float | None:
        """Seconds that a status should still wait; None when it should not. A decision never waits: it is not acted on before it is written."""
        last = self.wrote_at.get(key)
        if last is None or plan.events:
            return None
        left = last + self.quiet - now
        return left.total_seconds() if timedelta(0) < left <= self.quiet else None

    def _pause(self, plan: Plan, latest: float, *, wrote: bool) -> float:
        if plan.look_again_at is None:
            return latest
        wanted = (plan.look_again_at - self.clock()).total_seconds()
        return min(max(wanted, 0.0 if wrote else LEAST_PAUSE), latest)

    async def _write_status(self, observation: Observation, status: dict[str, Any]) -> int:
        live = observation.custom_resource
        there = live.get("status") or {}
        # What is there has been fitted; most looks end here.
        if status == there or (status := fit_status(status)) == there:
            return 0
        owner = observation.owner
        answer = await self.executor.kube.apply_status(
            {
                "apiVersion": LLM_DEPLOYMENT.api_version,
                "kind": LLM_DEPLOYMENT.kind,
                "metadata": {"name": owner.name, "namespace": owner.namespace},
                "status": status,
            },
            # Keeps what was decided off an object that was edited, or deleted and made anew, since: the uid is not looked at here.
            resource_version=live["metadata"]["resourceVersion"],
        )
        self.store.wrote((owner.namespace, owner.name), answer)
        self.store.refresh(LLM_DEPLOYMENT.kind, trim(answer))
        self.wrote_at[owner.namespace, owner.name] = observation.now
        return 1
