"""The real operator in a simulated life: store, observer, planner, executor and queue are the product's own; only the watching is not."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from solera.apply.actions import Executor
from solera.apply.events import Events
from solera.errors import KubeError, NameTaken, NotSafe, Throttled
from solera.kinds import CHILDREN, LLM_DEPLOYMENT, Key
from solera.observe.observation import Observer
from solera.observe.store import Store
from solera.operator.clock import SteadyClock
from solera.operator.reconcile import Reconciler
from solera.operator.workqueue import Schedule
from solera.plan import plan as planner
from solera.plan.types import Observation, Plan

WATCHED = frozenset({LLM_DEPLOYMENT.kind, *(r.kind for r in CHILDREN)})
TURNS = 60


class Killed(BaseException):
    """The operator dies here."""


def drive(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that never has to wait: everything that it asks answers at once."""
    try:
        work.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("the operator waits for something that the simulated world does not have")


class SimOperator:
    """One process of the operator. A new one knows nothing but what the apiserver lists."""

    def __init__(self, life: Any) -> None:
        self.life = life
        timeline = life.timeline
        self.schedule: Schedule[Key] = Schedule()
        self.store = Store(self.wake, clock=lambda: timeline.t)
        self.clock = SteadyClock(timeline.system, lambda: timeline.t)
        self.collector = life.make_collector(self)
        self.looks = 0
        self.last_plan: Plan | None = None
        self.reconciler = Reconciler(
            store=self.store,
            observer=Observer(self.store, self.collector, operator_version="sim", on_lost=life.lost_evidence.append),
            collector=self.collector,
            planner=self._plan,
            executor=Executor(life.cluster, self.store),
            events=Events(life.cluster, instance="sim"),
            clock=self.clock,
            wall=self.clock.system,
        )
        for kind in sorted(WATCHED):
            self.store.replace(kind, [o for (k, _, _), o in life.cluster.objects.items() if k == kind])
        for key in self.store.keys():  # noqa: SIM118 - not a dict
            self.wake(key)

    def _plan(self, observation: Observation) -> Plan:
        self.last_plan = self.life.planner(observation) if self.life.planner else planner.plan(observation)
        return self.last_plan

    def wake(self, key: Key) -> None:
        self.schedule.add(key, self.life.timeline.t)

    def hear(self, event: str, obj: Any) -> None:
        if obj["kind"] not in WATCHED:
            return
        if event == "DELETED":
            self.store.remove(obj["kind"], obj)
        else:
            self.store.upsert(obj["kind"], obj)

    def next_due(self) -> float:
        due = self.schedule.next_due()
        return self.life.timeline.t if self.schedule.depth() else float("inf") if due is None else due

    def turn(self) -> None:
        """Look at everything that is due now."""
        t = self.life.timeline.t
        for _ in range(TURNS):
            key = self.schedule.take(t)
            if key is None:
                return
            self.looks += 1
            try:
                self._look(key, t)
            finally:
                self.schedule.done(key, t)
        raise AssertionError(f"the operator turns in a circle: {self.life.witness.trace[-8:]}")

    def _look(self, key: Key, t: float) -> None:
        try:
            pause = drive(self.reconciler.reconcile(key))
        except (KubeError, NotSafe, NameTaken) as error:
            self.life.errors.append(f"{t:.1f} {type(error).__name__}: {error}")
            self.schedule.retry_at(key, t)
            if isinstance(error, Throttled):
                self.schedule.forget(key)
                self.schedule.add_at(key, t + error.retry_after)
            return
        self.schedule.succeeded(key)
        if pause is None:
            self.schedule.forget(key)
        else:
            self.schedule.add_at(key, t + pause)
