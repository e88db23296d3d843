from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from solera.apply.actions import Executor
from solera.errors import Conflict, NameTaken, NotSafe, Unavailable
from solera.plan.types import Apply, Delete, Observation, ObservedRevision, Owner
from twin.kube import MemoryKube, failing
from twin.objects import KEY, NAME, NAMESPACE, UID, child, llmdeployment, route

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
REVISION = "chat-v1-abcdefgh"


class Writes:
    """What the executor told the store."""

    def __init__(self) -> None:
        self.seen: list[tuple[Any, ...]] = []
        self.doubt = False

    def doubtful(self, _key: Any) -> bool:
        return self.doubt

    def alive(self, _key: Any) -> None:
        self.doubt = False

    def upsert(self, kind: str, obj: dict[str, Any]) -> None:
        self.seen.append(("upsert", kind, obj["metadata"]["name"]))

    def wrote(self, key: Any, live: dict[str, Any]) -> None:
        self.seen.append(("wrote", key, live["kind"], live["metadata"]["resourceVersion"]))

    def deleted(self, key: Any, kind: str, namespace: str, name: str, uid: str) -> None:
        self.seen.append(("deleted", key, kind, name, uid))


@pytest.fixture
def kube() -> MemoryKube:
    kube = MemoryKube()
    kube.put(llmdeployment())
    return kube


@pytest.fixture
def writes() -> Writes:
    return Writes()


@pytest.fixture
def executor(kube: MemoryKube, writes: Writes) -> Executor:
    return Executor(kube, writes)


def wanted(kind: str = "Deployment", name: str = REVISION, **spec: Any) -> dict[str, Any]:
    out = child(kind, name, api_version="apps/v1" if kind == "Deployment" else "v1", spec=spec)
    del out["metadata"]["uid"], out["metadata"]["resourceVersion"]
    return out


def observed(*, deployment: dict[str, Any] | None = None, live_route: dict[str, Any] | None = None) -> Observation:
    revision = ObservedRevision(REVISION, "v1", "abcdefgh", deployment=deployment)
    return Observation(
        NOW, Owner(NAME, NAMESPACE, UID, 1, NOW), llmdeployment(), revisions={REVISION: revision}, route=live_route
    )


def deletion(live: dict[str, Any], unrouted: str | None = None) -> Delete:
    meta = live["metadata"]
    return Delete(live["kind"], meta["name"], meta["uid"], meta["resourceVersion"], "drained", unrouted)


async def test_a_missing_child_is_created_by_one_request(kube: MemoryKube, executor: Executor, writes: Writes) -> None:
    assert await executor.run(observed(), [Apply(wanted(replicas=1), "create")]) == 1
    assert kube.reads == []
    live = kube.objects["Deployment", NAMESPACE, REVISION]
    assert live["spec"] == {"replicas": 1}
    assert writes.seen == [("wrote", KEY, "Deployment", live["metadata"]["resourceVersion"])]


async def test_the_owner_is_looked_at_once_when_one_of_its_children_vanished(
    kube: MemoryKube, executor: Executor, writes: Writes
) -> None:
    writes.doubt = True
    for name in ("Deployment", "Service"):
        await executor.run(observed(), [Apply(wanted(name), "create")])
    assert kube.reads == [("get", "LLMDeployment", NAME)]


@pytest.mark.parametrize(
    ("owner", "words"),
    [
        ("uid-else", f"Deployment/{REVISION} is controlled by LLMDeployment/{NAME} with uid uid-else"),
        (None, f"Deployment/{REVISION} exists and has no controller"),
    ],
)
async def test_what_someone_else_owns_is_never_applied_over(
    kube: MemoryKube, executor: Executor, owner: str | None, words: str
) -> None:
    kube.put(child("Deployment", REVISION, owner=owner, spec={"replicas": 7}))
    with pytest.raises(NameTaken) as error:
        await executor.run(observed(), [Apply(wanted(replicas=1), "create")])
    assert str(error.value) == words
    assert kube.objects["Deployment", NAMESPACE, REVISION]["spec"] == {"replicas": 7}


async def test_an_own_child_that_was_not_heard_of_yet_is_applied(kube: MemoryKube, executor: Executor) -> None:
    kube.put(child("Deployment", REVISION, spec={"replicas": 7}))
    await executor.run(observed(), [Apply(wanted(replicas=1), "again")])
    assert kube.objects["Deployment", NAMESPACE, REVISION]["spec"] == {"replicas": 1}


async def test_a_route_that_was_not_known_stops_the_decision_and_is_made_known(
    kube: MemoryKube, executor: Executor, writes: Writes
) -> None:
    """Without its label the informer does not show it; weights decided without it could jump."""
    kube.put(route({REVISION: 1}))
    with pytest.raises(Conflict, match="was not known"):
        await executor.run(observed(), [Apply(route({REVISION: 100}), "create")])
    assert writes.seen == [("upsert", "HTTPRoute", NAME)]
    assert kube.writes() == []


async def test_an_ownerless_claim_is_known_by_its_label(kube: MemoryKube, executor: Executor) -> None:
    claim = child("PersistentVolumeClaim", "chat-v1-cache", api_version="v1", owner=None, spec={"size": 1})
    kube.put(claim)
    for transient in ("uid", "resourceVersion"):
        del claim["metadata"][transient]
    await executor.run(observed(), [Apply(claim, "again")])
    other = child("PersistentVolumeClaim", "chat-v1-cache", api_version="v1", owner=None, of="other")
    with pytest.raises(NameTaken):
        await executor.run(observed(), [Apply(other, "of another")])


async def test_a_claim_is_made_once_and_never_changed(kube: MemoryKube, executor: Executor, writes: Writes) -> None:
    live = kube.put(
        child("PersistentVolumeClaim", "chat-v1-cache", api_version="v1", spec={"accessModes": ["ReadWriteOnce"]})
    )
    other = wanted("PersistentVolumeClaim", "chat-v1-cache", accessModes=["ReadWriteMany"])
    await executor.run(observed(), [Apply(other, "create")])
    assert kube.objects["PersistentVolumeClaim", NAMESPACE, "chat-v1-cache"]["spec"] == live["spec"]
    assert writes.seen == []


async def test_an_update_names_the_uid_so_that_nothing_deleted_comes_back(kube: MemoryKube, executor: Executor) -> None:
    live = kube.put(child("Deployment", REVISION, spec={"replicas": 2}))
    kube.remove("Deployment", NAMESPACE, REVISION)
    with pytest.raises(Conflict):
        await executor.run(observed(deployment=live), [Apply(wanted(replicas=1), "update")])
    assert ("Deployment", NAMESPACE, REVISION) not in kube.objects


async def test_a_weight_is_only_written_over_the_route_it_was_decided_on(kube: MemoryKube, executor: Executor) -> None:
    live = kube.put(route({REVISION: 100}))
    version = live["metadata"]["resourceVersion"]
    kube.edit("HTTPRoute", NAMESPACE, NAME, lambda o: o["metadata"].update(labels={"x": "y"}))
    desired = route({"other": 100})
    desired["metadata"].pop("uid")
    with pytest.raises(Conflict, match="modified"):
        await executor.run(observed(live_route=live), [Apply(desired, "shift", version)])


async def test_deletions_come_last_and_the_first_failure_stops_all(kube: MemoryKube, executor: Executor) -> None:
    old = kube.put(child("Deployment", "chat-v0-aaaaaaaa", spec={}))
    actions = [deletion(old), Apply(wanted(replicas=1), "a"), Apply(wanted("Service"), "b")]
    kube.fail = failing(None, Unavailable("apply Service", "503"))
    with pytest.raises(Unavailable):
        await executor.run(observed(), actions)
    assert [(w.verb, w.kind) for w in kube.writes()] == [("apply", "Deployment")]
    assert await executor.run(observed(), actions) == 3
    assert [(w.verb, w.kind) for w in kube.writes()][1:] == [
        ("apply", "Deployment"),
        ("apply", "Service"),
        ("delete", "Deployment"),
    ]


async def test_a_deletion_is_told_to_the_store(kube: MemoryKube, executor: Executor, writes: Writes) -> None:
    live = kube.put(child("Deployment", REVISION))
    await executor.run(observed(deployment=live), [deletion(live, unrouted=REVISION)])
    assert writes.seen == [("deleted", KEY, "Deployment", REVISION, live["metadata"]["uid"])]
    assert ("get", "LLMDeployment", NAME) in kube.reads
    assert ("get", "HTTPRoute", NAME) in kube.reads


@pytest.mark.parametrize("weight", [1, 100])
async def test_what_the_live_route_still_sends_to_is_not_deleted(
    kube: MemoryKube, executor: Executor, weight: int
) -> None:
    live = kube.put(child("Deployment", REVISION))
    kube.put(route({"other": 999, REVISION: weight}))
    with pytest.raises(NotSafe, match="the live route still sends requests"):
        await executor.run(observed(deployment=live), [deletion(live, unrouted=REVISION)])
    assert ("Deployment", NAMESPACE, REVISION) in kube.objects


async def test_a_backend_at_weight_zero_is_not_routed(kube: MemoryKube, executor: Executor) -> None:
    live = kube.put(child("Deployment", REVISION))
    kube.put(route({"other": 100, REVISION: 0}))
    assert await executor.run(observed(deployment=live), [deletion(live, unrouted=REVISION)]) == 1


async def test_a_changed_object_is_not_deleted(kube: MemoryKube, executor: Executor) -> None:
    live = kube.put(child("Deployment", REVISION))
    kube.edit("Deployment", NAMESPACE, REVISION, lambda o: o.update(spec={"replicas": 3}))
    with pytest.raises(Conflict):
        await executor.run(observed(deployment=live), [deletion(live)])


async def test_what_is_gone_already_counts_as_deleted(kube: MemoryKube, executor: Executor, writes: Writes) -> None:
    live = kube.put(child("Deployment", REVISION))
    kube.remove("Deployment", NAMESPACE, REVISION)
    await executor.run(observed(deployment=live), [deletion(live)])
    assert writes.seen[0][0] == "deleted"


@pytest.mark.parametrize("owner", ["gone", "being deleted", "another uid"])
@pytest.mark.parametrize("action", ["delete", "scale to zero", "make again", "claim"])
async def test_nothing_is_destroyed_or_made_again_for_an_owner_that_is_not_there_any_more(
    kube: MemoryKube, executor: Executor, writes: Writes, owner: str, action: str
) -> None:
    live = kube.put(child("Deployment", REVISION, spec={"replicas": 2}))
    kube.remove("LLMDeployment", NAMESPACE, NAME, collect=False)
    if owner != "gone":
        kube.put(llmdeployment(uid="uid-new" if owner == "another uid" else UID))
    if owner == "being deleted":
        gone = {"deletionTimestamp": "2026-01-01T00:00:00Z"}
        kube.edit("LLMDeployment", NAMESPACE, NAME, lambda o: o["metadata"].update(gone))
    todo = deletion(live) if action == "delete" else Apply(wanted(replicas=0), "scale")
    if action == "make again":  # it vanished, perhaps with the owner
        writes.doubt = True
        todo = Apply(wanted("Service"), "create")
    if action == "claim":  # what has no owner is never collected
        claim = child("PersistentVolumeClaim", "chat-v1-cache", api_version="v1", owner=None)
        todo = Apply({**claim, "metadata": {k: v for k, v in claim["metadata"].items() if k != "uid"}}, "create")
    with pytest.raises(NotSafe, match="gone or being deleted"):
        await executor.run(observed(deployment=live), [todo])
    assert kube.objects["Deployment", NAMESPACE, REVISION]["spec"] == {"replicas": 2}
    assert kube.writes() == []


async def test_scaling_between_other_numbers_needs_no_look_at_the_owner(kube: MemoryKube, executor: Executor) -> None:
    live = kube.put(child("Deployment", REVISION, spec={"replicas": 2}))
    await executor.run(observed(deployment=live), [Apply(wanted(replicas=1), "scale")])
    assert kube.reads == []
