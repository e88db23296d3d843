"""The operator as a process against a real apiserver. No pod ever starts here (they ask for a node that does not exist), so what is
shown is how the operator writes, rests, restarts, and hears; traffic is in tests/e2e.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.conftest import Kube
from cluster.operator_process import OperatorProcess, until
from cluster.proxy import ApiProxy, LostError, Seen, connections_gone

pytestmark = pytest.mark.cluster

Object = dict[str, Any]
KINDS = ("controllerrevisions", "deployments", "services", "httproutes", "rolloutrecords")


def deployment(name: str = "chat", **spec: Any) -> Object:
    engine = {"name": "vLLM", "version": "0.18.1", "image": "localhost/solera/none:0"}
    gateway = {
        "parentRefs": [{"name": "inference", "namespace": "gateways"}],
        "hostnames": [f"{name}.test.example.com"],
    }
    return {
        "apiVersion": "solera.dev/v1alpha1",
        "kind": "LLMDeployment",
        "metadata": {"name": name},
        "spec": {
            "owner": {"team": "tests"},
            "serve": "v1",
            "template": {"engine": engine, "replicas": 1, "nodeSelector": {"solera.test/none": "here"}},
            "versions": [{"name": "v1", "model": {"uri": "image:///models/v1"}}],
            "traffic": {"gateway": gateway},
            **spec,
        },
    }


@pytest.fixture(scope="module", autouse=True)
def alone(cluster: Kube) -> None:
    """A second operator would do the work of the one that is watched here."""
    found = json.loads(
        cluster.run("get", "deployments", "-A", "-l", "app.kubernetes.io/name=solera", "-o", "json").stdout
    )
    running = [o["metadata"] for o in found["items"] if o["spec"]["replicas"]]
    if running:
        names = ", ".join(f"{m['namespace']}/{m['name']}" for m in running)
        pytest.fail(f"an operator runs in this cluster already: scale {names} to 0, or uninstall it")


@pytest.fixture
def kube(cluster: Kube) -> Iterator[Kube]:
    name = f"operator-{uuid.uuid4().hex[:8]}"
    cluster.run("create", "namespace", name)
    yield Kube(name)
    cluster.run("delete", "namespace", name, "--wait=false")


@pytest.fixture
async def proxy(cluster: Kube) -> AsyncIterator[ApiProxy]:
    proxy = ApiProxy()
    await proxy.start()
    yield proxy
    await proxy.stop()
    await connections_gone()


@pytest.fixture
async def operator(kube: Kube, proxy: ApiProxy, tmp_path: Path) -> AsyncIterator[OperatorProcess]:
    process = OperatorProcess(tmp_path, kube.namespace, proxy.kubeconfig(tmp_path))
    yield process
    if process.process is not None:
        await process.end(signal.SIGKILL)
        print(process.log)


def children(kube: Kube) -> dict[str, Object]:
    """All children by kind/name, without what the apiserver and other controllers write."""
    listed = json.loads(kube.run("get", ",".join(KINDS), "-l", "solera.dev/llmdeployment", "-o", "json").stdout)
    return {f"{o['kind']}/{o['metadata']['name']}": o for o in listed["items"]}


def essence(kube: Kube) -> dict[str, Any]:
    """What must come out the same however the way there was: specs, data, labels, owners, and the status without times."""
    out: dict[str, Any] = {}
    for name, obj in children(kube).items():
        meta = obj["metadata"]
        spec = {k: v for k, v in (obj.get("spec") or {}).items() if not k.startswith("clusterIP")}
        out[name] = (spec, obj.get("data"), meta["labels"], [o["kind"] for o in meta["ownerReferences"]])
    status = json.dumps(kube.get("llmdep", "chat").get("status"))
    parsed = json.loads(status)
    for condition in parsed.get("conditions", []):
        del condition["lastTransitionTime"]
    out["status"] = parsed
    return out


def versions(kube: Kube) -> dict[str, str]:
    found = {name: obj["metadata"]["resourceVersion"] for name, obj in children(kube).items()}
    return found | {"chat": kube.get("llmdep", "chat")["metadata"]["resourceVersion"]}


def settled(kube: Kube) -> bool:
    """The pod was refused by the scheduler, and the status says so."""
    return "Unschedulable" in json.dumps(kube.get("llmdep", "chat").get("status", {}))


async def at_rest(kube: Kube, proxy: ApiProxy, quiet: float = 2.0) -> None:
    await until("the status tells of the unschedulable pod", lambda: settled(kube), 60)
    count = -1
    while count != len(proxy.writes()):
        count = len(proxy.writes())
        await asyncio.sleep(quiet)


async def test_children_are_created_with_their_owner_and_the_status_says_what_is_waited_for(
    kube: Kube, proxy: ApiProxy, operator: OperatorProcess
) -> None:
    await operator.start()
    created = kube.create(deployment())
    await at_rest(kube, proxy)
    found = children(kube)
    assert sorted(name.split("/")[0] for name in found) == ["ControllerRevision", "Deployment", "Service"]
    assert len({name.split("/")[1] for name in found}) == 1, "one name for the children of one revision"
    for obj in found.values():
        (owner,) = obj["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["uid"], owner["controller"]) == ("LLMDeployment", created["metadata"]["uid"], True)
        assert obj["metadata"]["labels"]["solera.dev/llmdeployment"] == "chat"
        managers = {m["manager"]: m["operation"] for m in obj["metadata"].get("managedFields", [])}
        assert managers.get("solera", "Apply") == "Apply"
    live = kube.get("llmdep", "chat")
    assert live["status"]["observedGeneration"] == 1
    assert live["status"]["state"] == "Provisioning"
    assert live["metadata"].get("finalizers") is None
    assert live["metadata"].get("annotations") is None, "nothing is written on what a user owns"
    assert live["spec"] == created["spec"]
    assert proxy.writes() != []
    assert not [s for s in proxy.seen if s.write and not s.agent.startswith("solera/")], "kopf writes nothing"


async def test_every_write_is_needed_and_none_is_made_at_rest(
    kube: Kube, proxy: ApiProxy, operator: OperatorProcess
) -> None:
    await operator.start()
    kube.create(deployment())
    await at_rest(kube, proxy)
    made = [
        (s.method, s.path.rsplit("/", 2 if s.path.endswith("/status") else 1)[0].rsplit("/", 1)[1])
        for s in proxy.writes()
    ]
    for plural in ("controllerrevisions", "deployments", "services"):
        assert made.count(("PATCH", plural)) == 1
    before = versions(kube)
    count = len(proxy.writes())
    await asyncio.sleep(8)
    assert len(proxy.writes()) == count
    assert versions(kube) == before
    assert await operator.metric("solera_reconcile_errors_total") == 0


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
async def test_a_restart_writes_nothing(
    kube: Kube, proxy: ApiProxy, operator: OperatorProcess, how: signal.Signals
) -> None:
    await operator.start()
    kube.create(deployment())
    await at_rest(kube, proxy)
    before = versions(kube)
    code, seconds = await operator.end(how)
    if how is signal.SIGTERM:
        assert code == 0, operator.log
        assert seconds < 5
    proxy.seen.clear()
    await operator.start()
    await until("it has looked", lambda: looked(operator))
    await asyncio.sleep(3)
    assert proxy.writes() == []
    assert versions(kube) == before
    assert await operator.metric("solera_writes_total") == 0


async def looked(operator: OperatorProcess) -> bool:
    return await operator.metric("solera_reconcile_seconds_count") >= 1


async def test_killed_before_or_after_any_write_the_end_is_the_same(
    kube: Kube, proxy: ApiProxy, operator: OperatorProcess
) -> None:
    """Nothing is held in memory that the cluster does not hold: the end state is that of an undisturbed run."""
    await operator.start()
    kube.create(deployment())
    await at_rest(kube, proxy)
    undisturbed = essence(kube)
    for lost_answer in (False, True):
        for number in itertools.count():
            await operator.end(signal.SIGKILL)
            proxy.before = proxy.after = _pass
            kube.run("delete", "llmdep", "chat")
            await until("the children are gone", lambda: not children(kube), 60)
            killer = _Killer(operator, number)
            if lost_answer:
                proxy.after = killer
            else:
                proxy.before = killer
            kube.create(deployment())
            await operator.start(ready=False)
            killed = await _killed(killer, kube, proxy)
            proxy.before = proxy.after = _pass
            if killed:
                assert operator.process is not None
                await operator.process.wait()
                await operator.start()
                await at_rest(kube, proxy, quiet=0.7)
            assert essence(kube) == undisturbed, f"write {number}, answer lost: {lost_answer}"
            if not killed:
                assert number >= 4, "three children and a status at least"
                break


async def _killed(killer: _Killer, kube: Kube, proxy: ApiProxy) -> bool:
    """Wait until it has killed. False where all came to rest before: on a quick machine fewer statuses are written on the way."""
    writes, since, ends = -1, 0.0, time.monotonic() + 60
    while not killer.done:
        now, count = time.monotonic(), len(proxy.writes())
        assert now < ends, f"neither killed nor at rest after {count} writes"
        if count != writes:
            writes, since = count, now
        elif now - since > 3 and settled(kube):
            return False
        await asyncio.sleep(0.1)
    return True


async def _pass(_seen: Seen) -> None:
    pass


class _Killer:
    """Kills the process at its ``number``-th write (Events left out)."""

    def __init__(self, operator: OperatorProcess, number: int) -> None:
        self._operator = operator
        self._left = number
        self.done = False

    async def __call__(self, seen: Seen) -> None:
        if self.done:
            raise LostError
        if not seen.write or "/events" in seen.path:
            return
        if self._left:
            self._left -= 1
            return
        self.done = True
        assert self._operator.process is not None
        self._operator.process.kill()
        raise LostError


async def test_what_is_deleted_in_a_gap_is_forgotten_after_a_410(
    kube: Kube, proxy: ApiProxy, operator: OperatorProcess
) -> None:
    """kopf lists again and says nothing of what vanished; the operator must find out by itself."""
    kube.create(deployment("ghost"))
    kube.create(deployment("stays"))
    await operator.start()
    await until("both are known", lambda: _known(operator, 2))
    proxy.down = True
    proxy.cut()
    kube.run("delete", "llmdep", "ghost")
    await asyncio.sleep(1)
    proxy.expired |= {"llmdeployments", "deployments", "services"}
    proxy.down = False
    await until("the ghost is forgotten", lambda: _known(operator, 1), 40)
    assert any("deleted while the watch was down" in line["message"] for line in operator.lines())
    assert "ghost" not in json.dumps(list(children(kube))), "nor do its children come back"
    kube.patch("llmdep", "stays", {"spec": {"template": {"replicas": 2}}})
    await until("the survivor is still cared for", lambda: _replicas(kube, "stays") == {2}, 40)


async def _known(operator: OperatorProcess, count: int) -> bool:
    return await operator.metric("solera_llmdeployments") == count


def _replicas(kube: Kube, name: str) -> set[int]:
    return {o["spec"]["replicas"] for n, o in children(kube).items() if n.startswith(f"Deployment/{name}")}


async def test_an_outage_of_the_apiserver_is_lived_through(
    kube: Kube, proxy: ApiProxy, operator: OperatorProcess
) -> None:
    await operator.start()
    kube.create(deployment())
    await at_rest(kube, proxy)
    proxy.down = True
    proxy.cut()
    await asyncio.sleep(6)
    assert (await operator.get("/livez"))[0] == 200, "a restart would not bring the apiserver back"
    assert (await operator.get("/readyz"))[0] == 503
    kube.run("delete", "service", "-l", "solera.dev/llmdeployment=chat")
    proxy.down = False
    await until("the Service is back", lambda: any(n.startswith("Service/") for n in children(kube)), 40)
    await operator.until_ready()
    assert sum("watching" in line["logger"] and line["level"] == "error" for line in operator.lines()) <= 2


@pytest.mark.parametrize("status", [401, 403, 429, 503])
async def test_refusals_for_some_seconds_are_lived_through(
    kube: Kube, proxy: ApiProxy, operator: OperatorProcess, status: int
) -> None:
    """401: kopf gives up for good when its next login brings what has just failed."""
    await operator.start()
    kube.create(deployment())
    await at_rest(kube, proxy)
    proxy.refuse = status
    proxy.cut()
    await asyncio.sleep(5)
    assert (await operator.get("/livez"))[0] == 200
    assert (await operator.get("/readyz"))[0] == 503
    proxy.refuse = 0
    kube.patch("llmdep", "chat", {"spec": {"template": {"replicas": 2}}})
    await until("kopf hears again", lambda: _replicas(kube, "chat") == {2}, 40)
    await operator.until_ready()
    code, _ = await operator.end()
    assert code == 0, "it is still told to stop, and stops"


async def test_a_child_that_is_changed_or_deleted_by_hand_is_mended(
    kube: Kube, proxy: ApiProxy, operator: OperatorProcess
) -> None:
    await operator.start()
    kube.create(deployment())
    await at_rest(kube, proxy)
    (name,) = {n.split("/")[1] for n in children(kube)}
    kube.patch("deployment", name, {"spec": {"replicas": 5}})
    await until("replicas are ours", lambda: kube.get("deployment", name)["spec"]["replicas"] == 1)
    kube.patch("deployment", name, {"metadata": {"annotations": {"someone": "else"}}})
    kube.run("delete", "service", name)
    await until("the Service is back", lambda: f"Service/{name}" in children(kube))
    assert kube.get("deployment", name)["metadata"]["annotations"]["someone"] == "else", "others' fields stay theirs"


async def test_a_name_that_someone_else_carries_is_shown_and_left_alone(
    kube: Kube, proxy: ApiProxy, operator: OperatorProcess
) -> None:
    await operator.start()
    kube.create(deployment())
    await at_rest(kube, proxy)
    (name,) = {n.split("/")[1] for n in children(kube)}
    await operator.end()
    kube.run("delete", "llmdep", "chat")
    await until("the children are gone", lambda: not children(kube), 60)
    port = {"port": 80, "targetPort": 80}
    kube.create({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"ports": [port]}})
    kube.create(deployment())
    await operator.start()

    def stalled() -> Object:
        conditions = kube.get("llmdep", "chat").get("status", {}).get("conditions", [])
        return next((c for c in conditions if c["type"] == "Stalled"), {})

    await until("it is stalled", stalled)
    assert stalled()["reason"] == "NameTaken"
    assert f"Service/{name} exists and has no controller" in stalled()["message"]
    assert "solera.dev/llmdeployment" not in kube.get("service", name)["metadata"].get("labels", {})


async def test_when_the_deployment_goes_its_children_go_and_nothing_is_written_any_more(
    kube: Kube, proxy: ApiProxy, operator: OperatorProcess
) -> None:
    await operator.start()
    kube.create(deployment())
    await at_rest(kube, proxy)
    proxy.seen.clear()
    kube.run("delete", "llmdep", "chat")
    await until("the children are gone", lambda: not children(kube), 60)
    await asyncio.sleep(2)
    assert proxy.writes() == []
    assert await operator.metric("solera_llmdeployments") == 0


async def test_the_rights_that_it_needs_are_few(kube: Kube, proxy: ApiProxy, operator: OperatorProcess) -> None:
    """It never lists CustomResourceDefinitions or namespaces, and of other objects only those with its label."""
    await operator.start()
    kube.create(deployment())
    await at_rest(kube, proxy)
    assert not [s for s in proxy.seen if "customresourcedefinitions" in s.path or s.path.endswith("/namespaces")]
    lists = [
        s for s in proxy.seen if s.method == "GET" and s.path.rsplit("/", 1)[1] in {"pods", "services", "deployments"}
    ]
    assert lists
    assert all(s.query.get("labelSelector") == "solera.dev/llmdeployment" for s in lists)
    assert os.environ["KUBECONFIG"] != str(operator.kubeconfig)
