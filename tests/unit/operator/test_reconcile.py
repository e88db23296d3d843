"""One look after the other at an apiserver in memory, with a planner that the test writes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from solera.apply.actions import Executor
from solera.apply.events import Events
from solera.errors import Conflict, Forbidden, Invalid, KubeError, NotFound, NotSafe, Unavailable
from solera.kinds import CHILDREN, Key
from solera.observe.observation import Observer
from solera.observe.store import Store
from solera.operator.reconcile import CATCH_UP, LEAST_PAUSE, RETRY_NAME, Reconciler
from solera.plan.traffic import live_weights
from solera.plan.types import Apply, Delete, Observation, Plan, PlannedEvent
from twin.kube import MemoryKube, failing
from twin.objects import KEY, NAME, NAMESPACE, child, llmdeployment

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
REVISION = "chat-v1-abcdefgh"


class FakeCollector:
    def __init__(self) -> None:
        self.followed: list[tuple[tuple[str, ...], tuple[str, ...]]] = []
        self.forgotten: list[Key] = []

    def pending(self, key: Key) -> Sequence[Any]:
        return ()

    def answered(self, key: Key) -> Collection[str]:
        return ()

    def unreachable(self, key: Key) -> Mapping[str, str]:
        return {}

    def asked(self, key: Key) -> Collection[str]:
        return ()

    def mute(self, key: Key) -> Mapping[str, str]:
        return {}

    def unmeasurable(self, key: Key) -> Mapping[str, str]:
        return {}

    def follow(self, observation: Observation, plan: Plan) -> None:
        self.followed.append((plan.measure, plan.probe))

    def forget(self, key: Key) -> None:
        self.forgotten.append(key)


class Rig:
    """A reconciler whose store hears at once of what the apiserver in memory does (unless ``deaf``)."""

    def __init__(self, planner: Callable[[Observation], Plan], quiet: timedelta = timedelta(0)) -> None:
        self.kube = MemoryKube(now=lambda: self.now)
        self.now = NOW
        self.store = Store(lambda _key: None)
        self.collector = FakeCollector()
        self.observations: list[Observation] = []
        self.deaf = False
        self.kube.listeners.append(self._hear)
        self.planner = planner
        self.reconciler = Reconciler(
            store=self.store,
            observer=Observer(self.store, self.collector, operator_version="1"),
            collector=self.collector,
            planner=self._plan,
            executor=Executor(self.kube, self.store),
            events=Events(self.kube, instance="test"),
            clock=lambda: self.now,
            resync=timedelta(minutes=10),
            quiet=quiet,
        )
        self.kube.put(llmdeployment())

    def _hear(self, event: str, obj: dict[str, Any]) -> None:
        watched = {"LLMDeployment", *(r.kind for r in CHILDREN)}
        if not self.deaf and obj["kind"] in watched:
            (self.store.remove if event == "DELETED" else self.store.upsert)(obj["kind"], obj)

    def _plan(self, observation: Observation) -> Plan:
        self.observations.append(observation)
        return self.planner(observation)

    async def look(self) -> float | None:
        return await self.reconciler.reconcile(KEY)

    @property
    def status(self) -> dict[str, Any]:
        return self.kube.objects["LLMDeployment", NAMESPACE, NAME]["status"]

    def condition(self, kind: str) -> dict[str, Any]:
        return next(c for c in self.status["conditions"] if c["type"] == kind)


def said(**status: Any) -> dict[str, Any]:
    """A whole status, as a planner gives it."""
    return {"observedGeneration": 1, **status}


def service() -> dict[str, Any]:
    out = child("Service", REVISION, api_version="v1", spec={"ports": [{"name": "http", "port": 8000}]})
    out["metadata"]["labels"] |= {"solera.dev/version": "v1", "solera.dev/revision": "abcdefgh"}
    del out["metadata"]["uid"], out["metadata"]["resourceVersion"]
    return out


def wants_a_service(observation: Observation) -> Plan:
    """Creates one Service; says so in status once it is there."""
    if observation.name_taken:
        return Plan((), said(state="Idle", next="; ".join(observation.name_taken)))
    seen = observation.revisions.get(REVISION)
    if seen is None or seen.service is None:
        return Plan((Apply(service(), "create Service"),), said(state="Provisioning"), probe=(REVISION,))
    return Plan((), said(state="Idle"), observation.now + timedelta(seconds=30))


async def test_actions_then_status_then_rest() -> None:
    rig = Rig(wants_a_service)
    assert await rig.look() == 600
    assert [(w.verb, w.kind) for w in rig.kube.writes()] == [("apply", "Service"), ("apply_status", "LLMDeployment")]
    assert rig.status == said(state="Provisioning")
    assert rig.collector.followed == [((), (REVISION,))]
    assert await rig.look() == 30
    assert rig.status["state"] == "Idle"
    writes = len(rig.kube.log)
    for _ in range(5):
        assert await rig.look() == 30
    assert len(rig.kube.log) == writes, "nothing is written at rest"


async def test_a_new_process_writes_nothing_at_rest() -> None:
    rig = Rig(wants_a_service)
    await rig.look()
    await rig.look()
    again = Rig(wants_a_service)
    again.kube.objects = rig.kube.objects
    for obj in rig.kube.objects.values():
        again._hear("ADDED", obj)
    assert await again.look() == 30
    assert again.kube.log == []


async def test_no_decision_on_a_store_that_has_not_heard_of_the_last_write() -> None:
    rig = Rig(wants_a_service)
    rig.deaf = True
    await rig.look()
    assert len(rig.observations) == 1
    assert await rig.look() == CATCH_UP
    assert await rig.look() == CATCH_UP
    assert len(rig.observations) == 1
    for obj in rig.kube.objects.values():
        rig.deaf = False
        rig._hear("ADDED", obj)
    await rig.look()
    assert len(rig.observations) == 2


@pytest.mark.parametrize("error", [Unavailable("apply", "503"), Conflict("apply", "modified")])
async def test_when_an_action_fails_the_status_is_left_alone(error: Exception) -> None:
    rig = Rig(wants_a_service)
    rig.kube.fail = failing(error)  # type: ignore[arg-type]
    with pytest.raises(type(error)):
        await rig.look()
    assert rig.status == {"observedGeneration": -1}
    assert await rig.look() == 600


async def test_a_lost_answer_leads_to_the_same_end() -> None:
    """The write was made, its answer never came: the next look finds it done."""
    rig = Rig(wants_a_service)
    lost = [True]

    def after(_verb: str, kind: str, _name: str) -> None:
        if kind == "Service" and lost:
            lost.clear()
            raise Unavailable("apply Service", "connection reset")

    rig.kube.after = after
    with pytest.raises(Unavailable):
        await rig.look()
    await rig.look()
    assert rig.status["state"] == "Idle"
    assert [w.kind for w in rig.kube.writes()] == ["Service", "LLMDeployment"]


@pytest.mark.parametrize(
    "error",
    [
        Invalid("apply Service ml/x", "spec.ports: Required value", status=422, fields=("spec.ports",)),
        Forbidden("apply Service ml/x", "no right"),
        NotFound("apply Service ml/x", "namespaces ml not found"),
    ],
)
async def test_what_cannot_be_accepted_is_shown_as_stalled_and_tried_again(error: Exception) -> None:
    rig = Rig(wants_a_service)
    rig.kube.fail = failing(error, None, error)  # type: ignore[arg-type]
    with pytest.raises(type(error)):
        await rig.look()
    assert rig.condition("Stalled")["reason"] == "Refused"
    assert str(error) in rig.condition("Stalled")["message"]
    writes = len(rig.kube.log)
    with pytest.raises(type(error)):
        await rig.look()
    assert len(rig.kube.log) == writes, "the same words are not written twice"
    await rig.look()
    assert "conditions" not in rig.status, "what the planner says replaces it"


def route(**weights: int) -> dict[str, Any]:
    out = child("HTTPRoute", NAME, api_version="gateway.networking.k8s.io/v1")
    out["spec"] = {"rules": [{"backendRefs": [{"name": n, "port": 8000, "weight": w} for n, w in weights.items()]}]}
    del out["metadata"]["uid"], out["metadata"]["resourceVersion"]
    return out


def steers(**weights: int) -> Callable[[Observation], Plan]:
    """Wants a Service, and then these weights."""

    def planner(observation: Observation) -> Plan:
        if observation.name_taken:
            return Plan((), said(state="Idle", next="; ".join(observation.name_taken)))
        there = live_weights(observation.route)
        moves = (Apply(route(**weights), "move traffic"),) if there != weights else ()
        return Plan((Apply(service(), "create Service"), *moves), said(state="Shifting"))

    return planner


REFUSALS = [
    Invalid("apply Service ml/x", "spec.ports: Required value", status=422, fields=("spec.ports",)),
    Forbidden("apply Service ml/x", "denied by a policy"),
]


@pytest.mark.parametrize("error", REFUSALS)
async def test_a_refused_child_does_not_keep_the_route_from_being_written(error: KubeError) -> None:
    rig = Rig(steers(stable=100))
    rig.kube.put(route(stable=90, bad=10))

    def refuse(_verb: str, kind: str, _name: str) -> None:
        if kind == "Service":
            raise error

    rig.kube.fail = refuse
    with pytest.raises(type(error)):
        await rig.look()
    assert live_weights(rig.kube.objects["HTTPRoute", NAMESPACE, NAME]) == {"stable": 100}
    assert rig.status == {"observedGeneration": -1}, "the old weights are not told any more"
    with pytest.raises(type(error)):
        await rig.look()
    assert rig.condition("Stalled")["reason"] == "Refused"


@pytest.mark.parametrize("error", REFUSALS)
async def test_a_candidate_gets_no_more_traffic_while_a_child_is_refused(error: KubeError) -> None:
    rig = Rig(steers(stable=50, new=50))
    rig.kube.put(route(stable=90, new=10))
    rig.kube.edit(
        "LLMDeployment",
        *KEY,
        lambda o: o["status"].update(
            candidate={"revision": "new", "version": "v2", "hash": "abcdefgh"},
            rollout={"id": "abcdefgh-1", "startedAt": "2026-01-01T11:00:00Z"},
        ),
    )
    rig.kube.fail = failing(error)
    with pytest.raises(type(error)):
        await rig.look()
    assert rig.kube.writes("HTTPRoute") == []
    assert rig.condition("Stalled")["reason"] == "Refused"


async def test_a_refused_route_is_told_too() -> None:
    rig = Rig(steers(stable=100))
    error = Forbidden("apply HTTPRoute ml/chat", "denied by a policy")

    def refuse(_verb: str, kind: str, _name: str) -> None:
        if kind == "HTTPRoute":
            raise error

    rig.kube.fail = refuse
    with pytest.raises(Forbidden):
        await rig.look()
    assert "apply HTTPRoute" in rig.condition("Stalled")["message"]


async def test_a_name_that_is_taken_does_not_keep_the_route_from_being_written() -> None:
    rig = Rig(steers(stable=100))
    rig.kube.put(child("Service", REVISION, api_version="v1", of=None, owner="uid-else"))
    rig.kube.put(route(stable=90, bad=10))
    assert await rig.look() == CATCH_UP
    assert live_weights(rig.kube.objects["HTTPRoute", NAMESPACE, NAME]) == {"stable": 100}
    assert await rig.look() == RETRY_NAME
    assert "uid-else" in rig.status["next"]


async def test_a_route_of_somebody_else_that_nobody_told_of_is_told_to_the_planner() -> None:
    rig = Rig(steers(stable=100))
    rig.deaf = True  # without our label the watch does not show it
    rig.kube.put(child("HTTPRoute", NAME, api_version="gateway.networking.k8s.io/v1", of=None, owner="uid-else"))
    rig.deaf = False
    assert await rig.look() == RETRY_NAME
    assert "uid-else" in rig.status["next"]


async def test_after_the_route_was_written_a_refused_removal_leaves_the_status_alone() -> None:
    def planner(observation: Observation) -> Plan:
        there = live_weights(observation.route)
        moves = (Apply(route(stable=100), "move traffic"),) if there != {"stable": 100} else ()
        old = observation.revisions[REVISION].service
        assert old is not None
        meta = old["metadata"]
        gone = Delete("Service", REVISION, meta["uid"], meta["resourceVersion"], "drained")
        return Plan((*moves, gone), said(state="Draining"))

    rig = Rig(planner)
    there = service()
    there["metadata"]["uid"] = "uid-1"
    rig.kube.put(there)
    rig.kube.put(route(stable=90, bad=10))

    def refuse(verb: str, kind: str, _name: str) -> None:
        if verb == "delete":
            raise Forbidden(f"delete {kind} ml/x", "no right", status=403)

    rig.kube.fail = refuse
    with pytest.raises(Forbidden):
        await rig.look()
    assert live_weights(rig.kube.objects["HTTPRoute", NAMESPACE, NAME]) == {"stable": 100}
    assert rig.status == {"observedGeneration": -1}
    with pytest.raises(Forbidden):
        await rig.look()
    assert "delete Service" in rig.condition("Stalled")["message"]


async def test_a_record_of_somebody_else_stops_nothing() -> None:
    rig = Rig(keeps_evidence)
    rig.deaf = True
    rig.kube.put(child("RolloutRecord", NAME, api_version="solera.dev/v1alpha1", of=None, owner="uid-else"))
    rig.deaf = False
    await rig.look()
    assert rig.status["state"] == "Shifting"
    assert [w.manifest["reason"] for w in rig.kube.writes("Event")] == ["EvidenceNotWritten"]


async def test_a_decision_of_our_own_is_known_before_anybody_tells() -> None:
    """The watch may be silent for a minute; what was answered need not be heard, too."""
    rig = Rig(lambda o: Plan((), said(state="Idle", next=str(len(rig.observations)))))
    rig.deaf = True
    for number in (1, 2, 3):
        await rig.look()
        assert rig.status["next"] == str(number)
    assert rig.observations[2].custom_resource["status"]["next"] == "2"


async def test_the_answer_to_a_write_brings_nothing_back_that_is_gone() -> None:
    rig = Rig(wants_a_service)
    rig.kube.after = lambda verb, kind, _name: (
        rig.kube.remove("LLMDeployment", *KEY) if (verb, kind) == ("apply_status", "LLMDeployment") else None
    )
    await rig.look()
    assert rig.store.keys() == ()


async def test_a_name_that_is_taken_is_told_to_the_planner() -> None:
    rig = Rig(wants_a_service)
    rig.kube.put(child("Service", REVISION, api_version="v1", of=None, owner="uid-else"))
    assert await rig.look() == RETRY_NAME
    assert rig.status["next"] == f"Service/{REVISION} is controlled by LLMDeployment/{NAME} with uid uid-else"
    writes = len(rig.kube.log)
    assert await rig.look() == RETRY_NAME
    assert len(rig.kube.log) == writes
    rig.kube.remove("Service", NAMESPACE, REVISION)
    assert await rig.look() == 600
    assert rig.status["state"] == "Provisioning"


async def test_when_the_deployment_goes_everything_is_forgotten_and_nothing_written() -> None:
    rig = Rig(wants_a_service)
    await rig.look()
    writes = len(rig.kube.log)
    rig.kube.edit(
        "LLMDeployment", NAMESPACE, NAME, lambda o: o["metadata"].update(deletionTimestamp="2026-01-01T00:00:00Z")
    )
    assert await rig.look() is None
    rig.kube.remove("LLMDeployment", NAMESPACE, NAME)
    assert await rig.look() is None
    assert rig.collector.forgotten == [KEY, KEY]
    assert len(rig.kube.log) == writes


async def test_the_status_of_a_deleted_deployment_does_not_land_on_a_new_one() -> None:
    rig = Rig(lambda _o: Plan((), said(state="Idle")))
    rig.deaf = True
    rig.kube.remove("LLMDeployment", NAMESPACE, NAME)
    rig.kube.put(llmdeployment(uid="uid-new"))
    with pytest.raises(Conflict):
        await rig.look()
    assert rig.status == {"observedGeneration": -1}


async def test_a_status_is_not_written_over_an_edit_that_was_not_seen() -> None:
    rig = Rig(lambda _o: Plan((), said(state="Idle")))
    rig.deaf = True
    rig.kube.edit("LLMDeployment", NAMESPACE, NAME, lambda o: o.update(spec={"serve": "v2"}))
    with pytest.raises(Conflict):
        await rig.look()
    assert rig.status == {"observedGeneration": -1}


async def test_a_deletion_that_is_not_safe_leaves_all_as_it_is() -> None:
    def deletes(observation: Observation) -> Plan:
        live = observation.revisions[REVISION].service
        assert live is not None
        meta = live["metadata"]
        action = Delete("Service", REVISION, meta["uid"], meta["resourceVersion"], "drained", unrouted=REVISION)
        return Plan((action,), said(state="Idle"))

    rig = Rig(wants_a_service)
    await rig.look()
    rig.planner = deletes
    rig.deaf = True
    backends = [{"name": REVISION, "weight": 1}]
    api = "gateway.networking.k8s.io/v1"
    rig.kube.put(child("HTTPRoute", NAME, api_version=api, spec={"rules": [{"backendRefs": backends}]}))
    rig.deaf = False
    with pytest.raises(NotSafe):
        await rig.look()
    assert ("Service", NAMESPACE, REVISION) in rig.kube.objects
    assert rig.status["state"] == "Provisioning"


@pytest.mark.parametrize(
    ("wanted", "pause"),
    [
        (None, 600.0),
        (timedelta(seconds=42), 42.0),
        (timedelta(days=90), 600.0),  # the clock may be set; a far date is approached in steps
        (timedelta(0), LEAST_PAUSE),
        (timedelta(seconds=-5), LEAST_PAUSE),
    ],
)
async def test_when_the_next_look_is(wanted: timedelta | None, pause: float) -> None:
    rig = Rig(lambda o: Plan((), {"observedGeneration": -1}, None if wanted is None else o.now + wanted))
    assert await rig.look() == pause


async def test_a_decision_that_was_written_is_acted_on_at_once() -> None:
    def decides(observation: Observation) -> Plan:
        return Plan((), said(state="Shifting"), observation.now, (PlannedEvent("Normal", "Decided", "so be it"),))

    rig = Rig(decides)
    assert await rig.look() == 0
    assert [w.manifest["reason"] for w in rig.kube.writes("Event")] == ["Decided"]
    assert await rig.look() == LEAST_PAUSE, "a plan that turns in a circle is slowed down"
    assert len(rig.kube.writes("Event")) == 1


def keeps_evidence(observation: Observation) -> Plan:
    data = {"rolloutId": "r1", "mark": "m", "ledger": {"a": 1}}
    return Plan((), said(state="Shifting"), record=data if observation.record is None else None)


async def test_evidence_is_written_before_the_status() -> None:
    rig = Rig(keeps_evidence)
    await rig.look()
    assert [w.kind for w in rig.kube.writes()] == ["RolloutRecord", "LLMDeployment"]
    record = rig.kube.objects["RolloutRecord", NAMESPACE, NAME]
    assert record["spec"] == {"llmdeployment": NAME, "rolloutId": "r1"}
    assert record["data"]["ledger"] == {"a": 1}
    assert record["metadata"]["ownerReferences"][0]["controller"] is True
    await rig.look()
    assert rig.observations[-1].record_written_at == NOW
    assert len(rig.kube.writes("RolloutRecord")) == 1


@pytest.mark.parametrize(
    "error",
    [
        Invalid("apply RolloutRecord ml/chat", "too long", status=422),
        Forbidden("apply RolloutRecord ml/chat", "exceeded quota"),
        NotFound("apply RolloutRecord ml/chat", "the server could not find the requested resource"),
    ],
)
async def test_evidence_that_cannot_be_kept_does_not_stop_the_steering(error: KubeError) -> None:
    rig = Rig(keeps_evidence)
    rig.kube.fail = failing(error)
    await rig.look()
    assert rig.status["state"] == "Shifting"
    assert [w.manifest["reason"] for w in rig.kube.writes("Event")] == ["EvidenceNotWritten"]


async def test_the_time_of_a_look_is_the_clocks() -> None:
    rig = Rig(wants_a_service)
    rig.now = NOW + timedelta(days=1)
    await rig.look()
    assert rig.observations[0].now == NOW + timedelta(days=1)


async def test_a_child_that_is_deleted_by_hand_comes_back() -> None:
    rig = Rig(wants_a_service)
    await rig.look()
    await rig.look()
    rig.kube.remove("Service", NAMESPACE, REVISION)
    await rig.look()
    assert ("Service", NAMESPACE, REVISION) in rig.kube.objects


async def test_what_the_planner_breaks_on_is_not_swallowed() -> None:
    def breaks(observation: Observation) -> Plan:
        raise ZeroDivisionError(str(replace(observation, now=NOW).owner.name))

    rig = Rig(breaks)
    with pytest.raises(ZeroDivisionError):
        await rig.look()
    assert rig.kube.log == []


async def test_a_status_that_only_describes_waits_until_our_own_write_has_had_its_effect() -> None:
    rig = Rig(wants_a_service, quiet=timedelta(seconds=0.5))
    assert await rig.look() == 0.5
    rig.now += timedelta(seconds=0.2)
    assert await rig.look() == pytest.approx(0.3)
    assert [w.kind for w in rig.kube.writes()] == ["Service"]
    rig.now += timedelta(seconds=0.3)
    await rig.look()
    assert [w.kind for w in rig.kube.writes()] == ["Service", "LLMDeployment"]


async def test_a_decision_is_written_at_once_whatever_was_written_before() -> None:
    event = PlannedEvent("Normal", "Promoted", "v1 serves")

    def decides_once_it_is_there(observation: Observation) -> Plan:
        wanted = wants_a_service(observation)
        return wanted if wanted.actions else Plan((), said(state="Idle"), None, (event,))

    rig = Rig(decides_once_it_is_there, quiet=timedelta(seconds=0.5))
    await rig.look()
    await rig.look()
    assert rig.status["state"] == "Idle"
