"""One contract for two: what the tests believe of the apiserver in memory is asked of a real one as well."""

from __future__ import annotations

import asyncio
import copy
import os
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from kubernetes.aio import config as kube_config
from kubernetes.aio.client import ApiClient, Configuration

from cluster.conftest import Kube as Kubectl
from cluster.operator_process import until
from cluster.proxy import connections_gone
from solera.apply.actions import ABSENT
from solera.apply.events import event_manifest
from solera.apply.kube import Kube, KubeClient
from solera.errors import Conflict, Forbidden, Gone, Invalid, KubeError, NotFound
from solera.kinds import DEPLOYMENT, HTTP_ROUTE
from solera.observe.informer import Informer, trim
from solera.observe.store import Store
from solera.plan.types import Owner, PlannedEvent
from twin.kube import MemoryKube

pytestmark = pytest.mark.cluster

Object = dict[str, Any]
LABEL = "solera.dev/llmdeployment"


class Side:
    """One of the two, and the namespace to use in it."""

    def __init__(self, kube: Kube, namespace: str, *, real: bool) -> None:
        self.kube = kube
        self.namespace = namespace
        self.real = real

    def service(self, name: str = "x", **spec: Any) -> Object:
        spec = {"ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 80}], **spec}
        return self.manifest("Service", "v1", name, spec=spec)

    def manifest(self, kind: str, api_version: str, name: str, **fields: Any) -> Object:
        metadata = {"name": name, "namespace": self.namespace, "labels": {LABEL: "chat"}}
        return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **fields}

    def llmdeployment(self, name: str = "chat") -> Object:
        spec = {
            "owner": {"team": "tests"},
            "serve": "v1",
            "template": {"engine": {"name": "vLLM", "version": "0.18.1", "image": "localhost/none:0"}, "replicas": 1},
            "versions": [{"name": "v1", "model": {"uri": "image:///models/v1"}}],
            "traffic": {"gateway": {"parentRefs": [{"name": "inference", "namespace": "gateways"}]}},
        }
        return self.manifest("LLMDeployment", "solera.dev/v1alpha1", name, spec=spec)

    async def status(self, live: Object, **status: Any) -> Object:
        """Over the version of ``live``."""
        meta = {k: live["metadata"][k] for k in ("name", "namespace")}
        said = {"apiVersion": live["apiVersion"], "kind": live["kind"], "metadata": meta, "status": status}
        return await self.kube.apply_status(said, resource_version=live["metadata"]["resourceVersion"])


@pytest.fixture
async def client(cluster: Kubectl) -> AsyncIterator[KubeClient]:
    configuration = Configuration()
    await kube_config.load_kube_config(config_file=os.environ["KUBECONFIG"], client_configuration=configuration)
    client = KubeClient(ApiClient(configuration))
    yield client
    await client.aclose()
    await connections_gone()


@pytest.fixture(params=["memory", "apiserver"])
def side(request: pytest.FixtureRequest, kube: Kubectl, client: KubeClient) -> Side:
    if request.param == "memory":
        return Side(MemoryKube(), "ml", real=False)
    return Side(client, kube.namespace, real=True)


async def test_apply_creates_and_an_equal_apply_changes_nothing(side: Side) -> None:
    first = await side.kube.apply(side.service("same"))
    assert first["metadata"]["uid"]
    second = await side.kube.apply(side.service("same"))
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


async def test_what_was_applied_and_is_left_out_is_removed_and_what_others_wrote_stays(side: Side) -> None:
    wanted = side.service("removal")
    wanted["metadata"]["annotations"] = {"ours": "1", "also-ours": "2"}
    live = await side.kube.apply(wanted)
    if side.real:
        assert live["spec"]["clusterIP"], "a field that the apiserver fills in"
    del wanted["metadata"]["annotations"]["also-ours"]
    live = await side.kube.apply(wanted)
    assert live["metadata"]["annotations"] == {"ours": "1"}
    assert live["metadata"]["labels"] == {LABEL: "chat"}


@pytest.mark.parametrize(
    ("kind", "api_version", "fields"),
    [
        ("Service", "v1", {"spec": {"ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 80}]}}),
        ("ControllerRevision", "apps/v1", {"revision": 1, "data": {"a": "1"}}),
        ("HTTPRoute", "gateway.networking.k8s.io/v1", {"spec": {"parentRefs": [{"name": "inference"}]}}),
    ],
)
async def test_an_apply_that_means_absent_creates_and_never_updates(
    side: Side, kind: str, api_version: str, fields: Object
) -> None:
    name = f"absent-{kind.lower()}"
    manifest = side.manifest(kind, api_version, name, **fields)
    made = await side.kube.apply(manifest, resource_version=ABSENT)
    assert made["metadata"]["resourceVersion"] != ABSENT
    with pytest.raises(Conflict):
        await side.kube.apply(manifest, resource_version=ABSENT)
    assert (await side.kube.get(kind, side.namespace, name))["metadata"]["uid"] == made["metadata"]["uid"]


async def test_a_version_guards_an_update_but_not_a_creation(side: Side) -> None:
    live = await side.kube.apply(side.service("guarded"))
    version = live["metadata"]["resourceVersion"]
    changed = side.service("guarded", sessionAffinity="ClientIP")
    await side.kube.apply(changed, resource_version=version)
    with pytest.raises(Conflict):
        await side.kube.apply(side.service("guarded", sessionAffinity="None"), resource_version=version)
    created = await side.kube.apply(side.service("guarded-too"), resource_version=version)
    assert created["metadata"]["uid"], "therefore updates name the uid"


@pytest.mark.parametrize("kind", ["Service", "RolloutRecord"])
async def test_a_uid_keeps_what_was_deleted_from_coming_back(side: Side, kind: str) -> None:
    def wanted() -> Object:
        if kind == "Service":
            return side.service("deleted")
        spec = {"llmdeployment": "deleted", "rolloutId": "r1"}
        return side.manifest("RolloutRecord", "solera.dev/v1alpha1", "deleted", spec=spec)

    live = await side.kube.apply(wanted())
    again = wanted()
    again["metadata"]["uid"] = live["metadata"]["uid"]
    await side.kube.apply(again)
    await remove(side, live)
    with pytest.raises(Conflict):
        await side.kube.apply(again)
    await side.kube.apply(wanted())
    with pytest.raises((Invalid, Conflict)):
        await side.kube.apply(again)


async def remove(side: Side, live: Object) -> None:
    live = await side.kube.get(live["kind"], side.namespace, live["metadata"]["name"])
    meta = live["metadata"]
    await side.kube.delete(
        live["kind"], side.namespace, meta["name"], uid=meta["uid"], resource_version=meta["resourceVersion"]
    )


async def test_a_deletion_is_refused_unless_uid_and_version_match(side: Side) -> None:
    live = await side.kube.apply(side.service("precondition"))
    meta = live["metadata"]
    for wrong in ({"uid": "other"}, {"resource_version": "999999999"}):
        right = {"uid": meta["uid"], "resource_version": meta["resourceVersion"]}
        with pytest.raises(Conflict):
            await side.kube.delete("Service", side.namespace, "precondition", **{**right, **wrong})
    await remove(side, live)
    with pytest.raises(NotFound):
        await side.kube.get("Service", side.namespace, "precondition")
    with pytest.raises(NotFound):
        await side.kube.delete("Service", side.namespace, "precondition", uid="a", resource_version="1")


async def test_a_status_is_replaced_as_a_whole_and_leaves_the_spec_alone(side: Side) -> None:
    live = await side.kube.apply(side.llmdeployment("replaced"))
    assert live["status"] == {"observedGeneration": -1}
    both = [weight("a", 90), weight("b", 10)]
    first = await side.status(live, observedGeneration=1, state="Idle", next="soon", weights=both)
    after = await side.status(first, observedGeneration=1, state="Idle", weights=[weight("b", 100)])
    assert after["status"] == {"observedGeneration": 1, "state": "Idle", "weights": [weight("b", 100)]}
    assert after["spec"] == live["spec"]
    assert after["metadata"]["generation"] == live["metadata"]["generation"]
    same = await side.status(after, observedGeneration=1, state="Idle", weights=[weight("b", 100)])
    assert same["metadata"]["resourceVersion"] == after["metadata"]["resourceVersion"]


def weight(revision: str, percent: int) -> Object:
    return {"version": "v1", "revision": revision, "weight": percent}


async def test_a_status_is_not_written_on_another_object_of_that_name(side: Side) -> None:
    live = await side.kube.apply(side.llmdeployment("renewed"))
    await remove(side, live)
    with pytest.raises(KubeError):
        await side.status(live, state="Idle")
    new = await side.kube.apply(side.llmdeployment("renewed"))
    with pytest.raises(Conflict):
        await side.status(live, state="Idle")
    assert (await side.kube.get("LLMDeployment", side.namespace, "renewed"))["status"] == new["status"]


async def test_the_data_of_a_revision_can_not_be_changed_and_is_not_repeated(side: Side) -> None:
    revision = side.manifest("ControllerRevision", "apps/v1", "fixed", revision=1, data={"podTemplate": "x" * 20_000})
    await side.kube.apply(revision)
    other = copy.deepcopy(revision)
    other["data"]["podTemplate"] = "y" * 20_000
    with pytest.raises(Invalid) as error:
        await side.kube.apply(other)
    assert "data" in str(error.value)
    assert len(str(error.value)) < 600


async def test_events_of_one_name_are_written_once(side: Side) -> None:
    owner = Owner("chat", side.namespace, "some-uid", 1, datetime.now(UTC))
    manifest = event_manifest(owner, PlannedEvent("Warning", "RolledBack", "v3 is bad"), datetime.now(UTC), "tests")
    await side.kube.create_event(manifest)
    with pytest.raises(Conflict):
        await side.kube.create_event(manifest)


async def test_pages_and_metadata(side: Side) -> None:
    for name in ("page-a", "page-b", "page-c"):
        await side.kube.apply(side.llmdeployment(name))
    found, token = {}, ""
    for _ in range(10):
        page = await side.kube.list_page("LLMDeployment", side.namespace, limit=2, token=token, metadata_only=True)
        assert all(set(item) <= {"metadata", "apiVersion", "kind"} for item in page["items"])
        found |= {item["metadata"]["name"]: item["metadata"] for item in page["items"]}
        token = page["metadata"].get("continue", "")
        if not token:
            break
    assert {"page-a", "page-b", "page-c"} <= set(found)
    live = await side.kube.get("LLMDeployment", side.namespace, "page-a")
    assert found["page-a"]["resourceVersion"] == live["metadata"]["resourceVersion"]


async def test_a_watch_tells_first_what_is_there_and_then_what_happens(side: Side) -> None:
    live = await side.kube.apply(side.service("watched"))
    stream = side.kube.watch("Service", side.namespace, selector=LABEL, initial_events=True)
    seen = []
    async with asyncio.timeout(20):
        async for event in stream:
            seen.append(event["type"])
            if event["type"] == "BOOKMARK":
                break
    assert seen[0] == "OPENED"
    assert seen[1:-1] == ["ADDED"] * len(seen[1:-1])
    version = event["object"]["metadata"]["resourceVersion"]
    assert int(version) >= int(live["metadata"]["resourceVersion"])
    await stream.aclose()
    await side.kube.apply(side.service("later"))
    after = side.kube.watch("Service", side.namespace, selector=LABEL, resource_version=version)
    async with asyncio.timeout(20):
        types = [(e["type"], e.get("object", {}).get("metadata", {}).get("name")) async for e in _first(after, 2)]
    assert types == [("OPENED", None), ("ADDED", "later")]
    await after.aclose()


async def _first(stream: Any, count: int) -> AsyncIterator[Any]:
    async for event in stream:
        yield event
        count -= 1
        if not count:
            return


# What only a real apiserver can show.


async def test_the_errors_of_a_real_apiserver(client: KubeClient, kube: Kubectl) -> None:
    side = Side(client, kube.namespace, real=True)
    with pytest.raises(Invalid) as error:
        await client.apply(side.service("Not_A_Name"))
    assert "metadata.name" in error.value.fields
    with pytest.raises(Invalid, match="field not declared in schema"):
        await client.apply(side.service("unknown-field", nonsense=1))
    with pytest.raises(NotFound, match="namespaces"):
        await client.apply(Side(client, "no-such-namespace", real=True).service())
    # A kind that came after the first writes: of Deployments a new apiserver may still know everything.
    with pytest.raises(Gone):
        async with asyncio.timeout(20):
            async for _ in client.watch("HTTPRoute", resource_version="1"):
                pass
    bad = Configuration(host=client._api.configuration.host, ssl_ca_cert=client._api.configuration.ssl_ca_cert)
    stranger = KubeClient(ApiClient(bad))
    with pytest.raises(Forbidden):
        await stranger.get("Service", kube.namespace, "x")
    await stranger.aclose()


@pytest.mark.parametrize("streamed", [True, False])
async def test_the_informer_on_a_real_apiserver(client: KubeClient, kube: Kubectl, streamed: bool) -> None:
    side = Side(client, kube.namespace, real=True)
    labels = {"app": f"informed-{streamed}".lower()}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "a", "image": "localhost/none:0"}]}}
    spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": pod}
    name = f"informed-{streamed}".lower()
    await client.apply(side.manifest("Deployment", "apps/v1", name, spec=spec))
    store = Store(lambda _key: None)
    informer = Informer(client, DEPLOYMENT, store, namespace=kube.namespace, trim=trim)
    informer._streamed_list = streamed
    task = asyncio.create_task(informer.run())
    async with asyncio.timeout(20):
        await informer.synced.wait()
    seen = store.get("Deployment", kube.namespace, name)
    assert seen is not None
    assert (seen["kind"], "managedFields" in seen["metadata"]) == ("Deployment", False)
    await client.apply(side.manifest("Deployment", "apps/v1", name, spec={**spec, "paused": True}))
    await until("the change is heard", lambda: store.get("Deployment", kube.namespace, name)["spec"].get("paused"))  # type: ignore[index]
    await until("its controller is done", lambda: _quiet(store, kube.namespace, name))
    await remove(side, seen)
    await until("the deletion is heard", lambda: store.get("Deployment", kube.namespace, name) is None)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def _quiet(store: Store, namespace: str, name: str) -> bool:
    live = store.get("Deployment", namespace, name)
    return live is not None and (live.get("status") or {}).get("observedGeneration") == live["metadata"]["generation"]


async def test_after_a_real_410_what_vanished_is_forgotten(client: KubeClient, kube: Kubectl) -> None:
    store = Store(lambda _key: None)
    ghost = Side(client, kube.namespace, real=True).manifest("HTTPRoute", "gateway.networking.k8s.io/v1", "ghost")
    ghost["metadata"] |= {"uid": "gone", "resourceVersion": "2"}
    store.upsert("HTTPRoute", ghost)
    informer = Informer(client, HTTP_ROUTE, store, trim=trim)
    informer._version = "1"  # from before all that the apiserver remembers
    restarts: list[str] = []
    informer._on_restart = lambda _kind, why: restarts.append(why)
    task = asyncio.create_task(informer.run())
    await until("the ghost is forgotten", lambda: store.get("HTTPRoute", kube.namespace, "ghost") is None)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert restarts == [r for r in restarts if "too old resource version" in r] != []
