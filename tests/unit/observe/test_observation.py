from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from solera.kinds import Key
from solera.observe.observation import Observer
from solera.observe.podstate import observed_pod, ready_endpoints
from solera.observe.store import Store
from solera.plan.evidence import Counter, Reading, absorb, new_ledger, to_record
from twin.objects import CREATED, KEY, NAME, NAMESPACE, UID, child, llmdeployment, revision_labels, route

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
HASH = "abcdefgh"
REVISION = f"{NAME}-v1-{HASH}"
STABLE, CANDIDATE = f"{NAME}-v1-{HASH}", f"{NAME}-v2-bcdefghi"
ROLLOUT = {"id": "r1", "from": STABLE, "to": CANDIDATE}


class FakeEvidence:
    def __init__(self) -> None:
        self.readings: list[Reading] = []
        self.uids: set[str] = set()

    def pending(self, key: Key) -> Sequence[Reading]:
        out, self.readings = self.readings, []
        return out

    def answered(self, key: Key) -> Collection[str]:
        return self.uids

    def unreachable(self, key: Key) -> Mapping[str, str]:
        return {"Direct": "refused"}

    def asked(self, key: Key) -> Collection[str]:
        return ()

    def mute(self, key: Key) -> Mapping[str, str]:
        return {"uid-Pod-p2": "no completion"}

    def unmeasurable(self, key: Key) -> Mapping[str, str]:
        return {"ttft": "no such metric"}


@pytest.fixture
def evidence() -> FakeEvidence:
    return FakeEvidence()


@pytest.fixture
def store() -> Store:
    return Store(lambda _key: None)


@pytest.fixture
def lost() -> list[str]:
    return []


@pytest.fixture
def observer(store: Store, evidence: FakeEvidence, lost: list[str]) -> Observer:
    return Observer(store, evidence, operator_version="1.2.3", on_lost=lost.append)


def pod(name: str, *, ready: bool = True, digest: str = HASH, **meta: Any) -> dict[str, Any]:
    out = child("Pod", name, api_version="v1", owner=None, labels=revision_labels("v1", digest))
    out["metadata"] |= meta
    out["status"] = {
        "podIP": "10.0.0.7",
        "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        "containerStatuses": [{"name": "engine", "state": {"running": {"startedAt": "2026-01-01T11:59:00Z"}}}],
    }
    return out


def endpoint(uid: str, **conditions: Any) -> dict[str, Any]:
    return {"addresses": ["10.0.0.7"], "conditions": conditions, "targetRef": {"kind": "Pod", "uid": uid}}


def slices(name: str, *endpoints: dict[str, Any], service: str = REVISION) -> dict[str, Any]:
    labels = {**revision_labels("v1", HASH), "kubernetes.io/service-name": service}
    out = child("EndpointSlice", name, api_version="discovery.k8s.io/v1", owner=None, labels=labels)
    out["endpoints"] = list(endpoints)
    return out


def revision_children(store: Store, owner: str = UID) -> None:
    for kind, api in (("ControllerRevision", "apps/v1"), ("Deployment", "apps/v1"), ("Service", "v1")):
        store.upsert(kind, child(kind, REVISION, api_version=api, owner=owner, labels=revision_labels("v1", HASH)))


def test_nothing_without_the_deployment_or_while_it_goes(store: Store, observer: Observer) -> None:
    assert observer.observe(KEY, NOW) is None
    going = llmdeployment()
    going["metadata"]["deletionTimestamp"] = CREATED
    store.upsert("LLMDeployment", going)
    assert observer.observe(KEY, NOW) is None


def test_what_is_known_of_the_owner(store: Store, observer: Observer) -> None:
    store.upsert("LLMDeployment", llmdeployment())
    seen = observer.observe(KEY, NOW)
    assert seen is not None
    assert (seen.owner.name, seen.owner.namespace, seen.owner.uid, seen.owner.generation) == (NAME, NAMESPACE, UID, 1)
    assert seen.owner.created_at == datetime(2026, 1, 1, tzinfo=UTC)
    assert (seen.now, seen.operator_version) == (NOW, "1.2.3")
    assert seen.unreachable == {"Direct": "refused"}
    assert seen.unmeasurable == {"ttft": "no such metric"}
    assert seen.revisions == {}
    assert seen.route is None
    assert seen.ledger is None


def test_a_revision_is_put_together_from_its_children(store: Store, observer: Observer, evidence: FakeEvidence) -> None:
    store.upsert("LLMDeployment", llmdeployment())
    revision_children(store)
    store.upsert("Pod", pod("p1"))
    store.upsert("Pod", pod("p2", ready=False))
    store.upsert("EndpointSlice", slices("s1", endpoint("uid-Pod-p1", ready=True), endpoint("uid-Pod-p2", ready=False)))
    evidence.uids = {"uid-Pod-p1"}
    seen = observer.observe(KEY, NOW)
    assert seen is not None
    assert list(seen.revisions) == [REVISION]
    revision = seen.revisions[REVISION]
    assert (revision.name, revision.version, revision.hash) == (REVISION, "v1", HASH)
    assert revision.deployment is not None
    assert revision.service is not None
    assert revision.controller_revision is not None
    assert revision.ready_endpoints == 1
    assert [(p.name, p.ready, p.answered) for p in revision.pods] == [("p1", True, True), ("p2", False, False)]
    assert revision.serving


def test_pods_alone_still_make_a_revision(store: Store, observer: Observer) -> None:
    """Its Deployment is deleted, its pods are still ending: it is not gone yet."""
    store.upsert("LLMDeployment", llmdeployment())
    store.upsert("Pod", pod("p1", deletionTimestamp=CREATED))
    seen = observer.observe(KEY, NOW)
    assert seen is not None
    assert seen.revisions[REVISION].deployment is None
    assert [p.terminating for p in seen.revisions[REVISION].pods] == [True]


FOUND = {"type": "Progressing", "status": "True", "reason": "FoundNewReplicaSet"}


@pytest.mark.parametrize(
    ("deployment", "status", "counted"),
    [
        (None, {}, ["p2"]),  # the same LLMDeployment deleted and created again at once
        ("2026-01-01T00:00:30Z", {}, ["p2"]),
        ("2026-01-01T00:02:00Z", {"replicas": 1}, []),  # its Deployment deleted by another hand, and made anew
        ("2026-01-01T00:01:01Z", {"replicas": 1}, ["p2"]),  # by another apiserver, whose clock differs
        # Orphaned pods, which it took over; with none of them ready, too.
        ("2026-01-01T00:02:00Z", {"replicas": 2, "readyReplicas": 2}, ["p1", "p2"]),
        ("2026-01-01T00:02:00Z", {"replicas": 2, "conditions": [FOUND]}, ["p1", "p2"]),
    ],
)
def test_pods_of_an_earlier_deployment_are_no_pods_of_this_one(
    store: Store, observer: Observer, deployment: str | None, status: dict[str, Any], counted: list[str]
) -> None:
    """The garbage collector has deleted it and not yet them: they are ready, look the same, and go in the next moment."""
    store.upsert("LLMDeployment", llmdeployment())
    if deployment is not None:
        labels = revision_labels("v1", HASH)
        of = child("Deployment", REVISION, api_version="apps/v1", owner=UID, labels=labels)
        of["metadata"]["creationTimestamp"], of["status"] = deployment, status
        store.upsert("Deployment", of)
    store.upsert("Pod", pod("p1", creationTimestamp="2025-12-31T23:59:59Z"))
    store.upsert("Pod", pod("p2", creationTimestamp="2026-01-01T00:01:00Z"))
    seen = observer.observe(KEY, NOW)
    assert seen is not None
    assert [p.name for p in seen.revisions[REVISION].pods] == counted


def test_endpoints_of_a_service_that_is_not_ours_do_not_count(store: Store, observer: Observer) -> None:
    store.upsert("LLMDeployment", llmdeployment())
    store.upsert("Pod", pod("p1"))
    store.upsert("EndpointSlice", slices("s1", endpoint("uid-Pod-p1", ready=True)))
    seen = observer.observe(KEY, NOW)
    assert seen is not None
    assert seen.revisions[REVISION].ready_endpoints == 0


def test_children_of_an_earlier_owner_are_names_taken_and_no_revision(store: Store, observer: Observer) -> None:
    store.upsert("LLMDeployment", llmdeployment())
    revision_children(store, owner="uid-before")
    old = route({REVISION: 1})
    old["metadata"]["ownerReferences"][0]["uid"] = "uid-before"
    store.upsert("HTTPRoute", old)
    seen = observer.observe(KEY, NOW)
    assert seen is not None
    assert seen.revisions == {}
    assert seen.route is None
    assert f"Deployment/{REVISION} is controlled by LLMDeployment/{NAME} with uid uid-before" in seen.name_taken
    assert f"HTTPRoute/{NAME} is controlled by LLMDeployment/{NAME} with uid uid-before" in seen.name_taken
    assert len(seen.name_taken) == 4


def test_an_object_without_controller_takes_a_name_too_but_a_stray_name_does_not(
    store: Store, observer: Observer
) -> None:
    store.upsert("LLMDeployment", llmdeployment())
    store.upsert("Deployment", child("Deployment", REVISION, owner=None))
    store.upsert("Deployment", child("Deployment", "something-else", owner=None))
    seen = observer.observe(KEY, NOW)
    assert seen is not None
    assert seen.name_taken == (f"Deployment/{REVISION} exists and has no controller",)


def test_hostname_conflicts_are_passed_on(store: Store, observer: Observer) -> None:
    spec = {"traffic": {"gateway": {"parentRefs": [{"name": "g"}], "hostnames": ["a.example.com"]}}}
    store.upsert("LLMDeployment", llmdeployment("older", uid="u0", created="2025-01-01T00:00:00Z", spec=spec))
    store.upsert("LLMDeployment", llmdeployment(spec=spec))
    seen = observer.observe(KEY, NOW)
    assert seen is not None
    assert seen.hostname_conflicts == ("a.example.com is claimed by ml/older (older)",)


def reading(at: datetime, total: int, bad: int = 0, source: str = "engine") -> Reading:
    counters = {"": Counter(total, 0), "errors": Counter(total, bad)}
    return Reading(at, source, CANDIDATE, "uid-pod", "2026-01-01T00:00:00Z", counters)  # type: ignore[arg-type]


def in_rollout(store: Store, step: int | None = 1, rollout: dict[str, Any] = ROLLOUT, *, accepted: bool = True) -> None:
    store.upsert("LLMDeployment", llmdeployment(status={"rollout": rollout}))
    if step is not None:
        progress = {"solera.dev/progress": f"r1/{step}/2026-01-01T11:00:00Z"}
        generation = 2 if accepted else 1
        said = [{"type": t, "status": "True", "observedGeneration": generation} for t in ("Accepted", "ResolvedRefs")]
        made = route({STABLE: 90, CANDIDATE: 10}, version=str(generation), annotations=progress)
        made["metadata"]["generation"] = 2
        store.upsert("HTTPRoute", {**made, "status": {"parents": [{"conditions": said}]}})
    one = child("Pod", "p", api_version="v1", owner=None, uid="uid-pod", labels=revision_labels("v2", "bcdefghi"))
    store.upsert("Pod", {**one, "status": {}})


def test_readings_are_counted_once_for_the_step_of_the_route(
    store: Store, observer: Observer, evidence: FakeEvidence
) -> None:
    in_rollout(store, step=1)
    observer.observe(KEY, NOW)
    evidence.readings = [reading(NOW, 100)]
    observer.observe(KEY, NOW)
    evidence.readings = [reading(NOW + timedelta(seconds=1), 130, bad=3)]
    seen = observer.observe(KEY, NOW + timedelta(seconds=1))
    again = observer.observe(KEY, NOW + timedelta(seconds=2))
    for observation in (seen, again):
        assert observation is not None
        assert observation.ledger is not None
        assert observation.ledger.steps("engine", CANDIDATE, "errors") == ((1, Counter(30, 3)),)


def test_readings_count_for_the_step_before_while_the_gateway_has_not_taken_over(
    store: Store, observer: Observer, evidence: FakeEvidence
) -> None:
    in_rollout(store, step=1, accepted=False)
    observer.observe(KEY, NOW)
    evidence.readings = [reading(NOW, 100), reading(NOW + timedelta(seconds=1), 130)]
    before = observer.observe(KEY, NOW + timedelta(seconds=1))
    in_rollout(store, step=1)
    evidence.readings = [reading(NOW + timedelta(seconds=2), 150)]
    after = observer.observe(KEY, NOW + timedelta(seconds=2))
    assert before is not None
    assert before.ledger is not None
    assert before.ledger.steps("engine", CANDIDATE) == ((0, Counter(30, 0)),)
    assert after is not None
    assert after.ledger is not None
    assert after.ledger.steps("engine", CANDIDATE) == ((0, Counter(30, 0)), (1, Counter(20, 0)))
    assert (after.ledger.step, after.ledger.step_since) == (1, NOW + timedelta(seconds=2))


def test_a_route_of_another_rollout_has_no_step(store: Store, observer: Observer, evidence: FakeEvidence) -> None:
    in_rollout(store, step=None)
    old = {"solera.dev/progress": "r0/3/2026-01-01T11:00:00Z"}
    store.upsert("HTTPRoute", route({STABLE: 100}, annotations=old))
    evidence.readings = [reading(NOW, 100), reading(NOW + timedelta(seconds=1), 130)]
    seen = observer.observe(KEY, NOW + timedelta(seconds=1))
    assert seen is not None
    assert seen.ledger is not None
    assert [step for step, _ in seen.ledger.steps("engine", CANDIDATE, "errors")] == [-1]


def test_a_new_rollout_begins_with_an_empty_ledger(store: Store, observer: Observer, evidence: FakeEvidence) -> None:
    in_rollout(store)
    evidence.readings = [reading(NOW, 100), reading(NOW + timedelta(seconds=1), 130)]
    observer.observe(KEY, NOW + timedelta(seconds=1))
    store.upsert("LLMDeployment", llmdeployment(version="2", status={"rollout": {**ROLLOUT, "id": "r2"}}))
    seen = observer.observe(KEY, NOW + timedelta(seconds=2))
    assert seen is not None
    assert seen.ledger is not None
    assert seen.ledger.rollout_id == "r2"
    assert seen.ledger.total("engine", CANDIDATE, "errors") == Counter(0, 0)


def written_ledger() -> dict[str, Any]:
    ledger = new_ledger("r1", STABLE, CANDIDATE, NOW)
    readings = [reading(NOW + timedelta(seconds=1), 100), reading(NOW + timedelta(seconds=2), 130, bad=3)]
    return to_record(absorb(ledger, readings, step=0, now=NOW + timedelta(seconds=2)))


def record(ledger: Any, rollout: str = "r1") -> dict[str, Any]:
    out = child("RolloutRecord", NAME, api_version="solera.dev/v1alpha1")
    out |= {"spec": {"llmdeployment": NAME, "rolloutId": rollout}, "data": {"rolloutId": rollout, "ledger": ledger}}
    out["metadata"]["annotations"] = {"solera.dev/written-at": "2026-01-01T12:00:02Z"}
    return out


def test_after_a_restart_the_ledger_goes_on_from_the_record(
    store: Store, observer: Observer, evidence: FakeEvidence
) -> None:
    in_rollout(store, step=0)
    store.upsert("RolloutRecord", record(written_ledger()))
    evidence.readings = [reading(NOW + timedelta(seconds=9), 150, bad=3)]
    seen = observer.observe(KEY, NOW + timedelta(seconds=9))
    assert seen is not None
    assert seen.ledger is not None
    assert seen.ledger.total("engine", CANDIDATE, "errors") == Counter(50, 3)
    assert seen.record_written_at == NOW + timedelta(seconds=2)


def test_the_record_of_another_rollout_is_not_evidence(store: Store, observer: Observer) -> None:
    in_rollout(store, step=0)
    store.upsert("RolloutRecord", record(written_ledger(), rollout="r0"))
    seen = observer.observe(KEY, NOW)
    assert seen is not None
    assert seen.ledger is not None
    assert seen.ledger.total("engine", CANDIDATE, "errors") == Counter(0, 0)


def test_a_record_that_cannot_be_read_is_told_and_counting_begins_again(
    store: Store, observer: Observer, lost: list[str]
) -> None:
    in_rollout(store, step=0)
    store.upsert("RolloutRecord", record({"nonsense": True}))
    seen = observer.observe(KEY, NOW)
    assert seen is not None
    assert seen.ledger is not None
    assert len(lost) == 1
    assert f"RolloutRecord {NAMESPACE}/{NAME} cannot be read" in lost[0]
    observer.observe(KEY, NOW)
    assert len(lost) == 1, "told once"


@pytest.mark.parametrize(
    "rollout", [{}, {"id": "r1"}, {"id": "r1", "from": STABLE}, {"id": "r1", "from": STABLE, "to": STABLE}]
)
def test_without_two_sides_there_is_no_ledger(store: Store, observer: Observer, rollout: dict[str, Any]) -> None:
    in_rollout(store, rollout=rollout)
    seen = observer.observe(KEY, NOW)
    assert seen is not None
    assert seen.ledger is None


def test_forgetting_a_deployment_forgets_its_ledger(store: Store, observer: Observer, evidence: FakeEvidence) -> None:
    in_rollout(store)
    evidence.readings = [reading(NOW, 100), reading(NOW + timedelta(seconds=1), 130)]
    observer.observe(KEY, NOW + timedelta(seconds=1))
    observer.forget(KEY)
    seen = observer.observe(KEY, NOW + timedelta(seconds=2))
    assert seen is not None
    assert seen.ledger is not None
    assert seen.ledger.total("engine", CANDIDATE, "errors") == Counter(0, 0)


def test_a_pod_as_the_planner_sees_it() -> None:
    seen = observed_pod(pod("p1"), {"uid-Pod-p1"}, {"uid-Pod-p2": "no completion"})
    assert seen.mute is None
    assert observed_pod(pod("p2"), (), {"uid-Pod-p2": "no completion"}).mute == "no completion"
    assert (seen.ip, seen.ready, seen.answered, seen.terminating) == ("10.0.0.7", True, True, False)
    assert seen.started == datetime(2026, 1, 1, 11, 59, tzinfo=UTC)
    assert seen.problem is None


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (
            {
                "conditions": [
                    {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no GPU"}
                ]
            },
            "Unschedulable: no GPU",
        ),
        (
            {
                "containerStatuses": [
                    {"name": "engine", "state": {"waiting": {"reason": "ErrImagePull", "message": "404"}}}
                ]
            },
            "container engine: ErrImagePull: 404",
        ),
        (
            {
                "containerStatuses": [
                    {
                        "name": "engine",
                        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}},
                        "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
                    }
                ]
            },
            "container engine: CrashLoopBackOff: ended with code 137, OOMKilled",
        ),
        (
            {"containerStatuses": [{"name": "engine", "state": {"terminated": {"exitCode": 1, "reason": "Error"}}}]},
            "container engine: ended with code 1, Error",
        ),
        (
            {
                "initContainerStatuses": [
                    {"name": "fetch", "state": {"terminated": {"exitCode": 2, "message": "no space\n"}}}
                ]
            },
            "container fetch: ended with code 2, no reason: no space",
        ),
        (
            {
                "containerStatuses": [
                    {
                        "name": "engine",
                        "state": {"running": {"startedAt": "2026-01-01T11:59:00Z"}},
                        "restartCount": 3,
                        "ready": False,
                        "lastState": {"terminated": {"exitCode": 1, "reason": "Error", "message": "no such model"}},
                    }
                ]
            },
            "container engine: ended with code 1, Error: no such model",
        ),
        (
            {
                "containerStatuses": [
                    {
                        "name": "engine",
                        "state": {"running": {"startedAt": "2026-01-01T11:59:00Z"}},
                        "restartCount": 1,
                        "ready": True,
                        "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
                    }
                ]
            },
            None,
        ),
        ({"phase": "Failed", "reason": "Evicted", "message": "disk pressure"}, "Evicted: disk pressure"),
        ({"containerStatuses": [{"name": "engine", "state": {"waiting": {"reason": "ContainerCreating"}}}]}, None),
        ({"initContainerStatuses": [{"name": "fetch", "state": {"terminated": {"exitCode": 0}}}]}, None),
        ({}, None),
    ],
)
def test_why_a_pod_does_not_run(status: dict[str, Any], words: str | None) -> None:
    raw = pod("p1")
    raw["status"] = status
    assert observed_pod(raw, ()).problem == words


def test_a_pod_on_its_way_out_has_no_problem() -> None:
    raw = pod("p1", deletionTimestamp=CREATED)
    raw["status"] = {"phase": "Failed"}
    assert observed_pod(raw, ()).problem is None


@pytest.mark.parametrize(
    ("endpoints", "count"),
    [
        ([endpoint("a", ready=True), endpoint("b", ready=True)], 2),
        ([endpoint("a", ready=True), endpoint("a", ready=True)], 1),  # two address families of one pod
        ([endpoint("a")], 1),  # absent counts as ready
        ([endpoint("a", ready=None)], 1),
        ([endpoint("a", ready=False)], 0),
        ([endpoint("a", ready=True, terminating=True)], 0),
        ([{"addresses": ["10.0.0.9"], "conditions": {"ready": True}}], 1),
        ([], 0),
    ],
)
def test_ready_endpoints(endpoints: list[dict[str, Any]], count: int) -> None:
    assert ready_endpoints([slices("s", *endpoints)]) == count
    assert ready_endpoints([slices("s", e) for e in endpoints]) == count


def test_a_slice_may_have_no_endpoints_at_all() -> None:
    assert ready_endpoints([{"endpoints": None}]) == 0
