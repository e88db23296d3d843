"""Several operator processes and one real Lease. Each has a proxy of its own, so that what it writes, and only that, is seen."""

from __future__ import annotations

import asyncio
import json
import signal
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from cluster.conftest import Kube
from cluster.operator_process import OperatorProcess, free_port, until
from cluster.proxy import ApiProxy, Seen, connections_gone
from cluster.test_operator import alone, children, deployment, settled
from solera.config import Config
from solera.operator.core import Operator
from solera.operator.main import operate

pytestmark = pytest.mark.cluster
__all__ = ["alone"]  # a fixture of this module, too: an operator that runs in the cluster would do the work

Object = dict[str, Any]
SHORT = {"leaseDuration": "5s", "renewInterval": "1s", "retryInterval": "500ms"}
PATIENT = {**SHORT, "leaseDuration": "15s"}
"""For a leader that must not be lost: on a busy machine an answer may take longer than a short lease allows."""
NAME = "solera-operator"


class Replica:
    """A process, its proxy, and what it has been seen to write besides the Lease."""

    def __init__(self, process: OperatorProcess, proxy: ApiProxy) -> None:
        self.process, self.proxy = process, proxy

    def writes(self) -> list[Seen]:
        """Writes that it tried, accepted or not, besides the Lease."""
        return [s for s in self.proxy.seen if s.write and "/leases" not in s.path]

    async def leads(self) -> bool:
        return await self.process.metric("solera_leader") == 1

    async def note(self) -> tuple[int, str]:
        return await self.process.get("/readyz")

    def signal(self, how: signal.Signals) -> None:
        assert self.process.process is not None
        self.process.process.send_signal(how)

    async def exit_code(self, within: float) -> int:
        assert self.process.process is not None
        async with asyncio.timeout(within):
            return await self.process.process.wait()

    def said(self, words: str) -> bool:
        return words in self.process.log


class Replicas:
    """All replicas of one test, in one namespace."""

    def __init__(self, kube: Kube, folder: Path, stack: AsyncExitStack) -> None:
        self.kube, self._folder, self._stack = kube, folder, stack
        self._started = 0

    async def start(self, election: Object | None = None, pod: str = "") -> Replica:
        number = self._started
        self._started += 1
        folder = self._folder / f"replica-{number}"
        folder.mkdir()
        proxy = ApiProxy()
        await proxy.start()
        self._stack.push_async_callback(proxy.stop)
        config = {"namespace": self.kube.namespace, **(SHORT if election is None else election)}
        process = OperatorProcess(
            folder, self.kube.namespace, proxy.kubeconfig(folder), election=config, pod=pod or f"replica-{number}"
        )
        replica = Replica(process, proxy)
        self._stack.push_async_callback(self._end, replica)
        await process.start()
        return replica

    @staticmethod
    async def _end(replica: Replica) -> None:
        if replica.process.process is not None:
            await replica.process.end(signal.SIGKILL)
            print(replica.process.log)

    async def pair(self, election: Object | None = None) -> tuple[Replica, Replica]:
        """Who leads, and who stands by."""
        one = await self.start(election)
        await until("the first leads", one.leads)
        two = await self.start(election)
        await until("the second has looked at the Lease", lambda: two.said("standing by"))
        return one, two

    def lease(self) -> Object:
        spec: Object = self.kube.get("lease", NAME)["spec"]
        return spec


@pytest.fixture
def kube(cluster: Kube) -> Iterator[Kube]:
    name = f"leader-{uuid.uuid4().hex[:8]}"
    cluster.run("create", "namespace", name)
    # Blank, as the chart makes it: the first leader need not wait.
    Kube(name).create({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": NAME}})
    yield Kube(name)
    cluster.run("delete", "namespace", name, "--wait=false")


@pytest.fixture
async def replicas(kube: Kube, tmp_path: Path) -> AsyncIterator[Replicas]:
    async with AsyncExitStack() as stack:
        yield Replicas(kube, tmp_path, stack)
    await connections_gone()


def scaled(kube: Kube, replicas: int) -> None:
    kube.patch("llmdep", "chat", {"spec": {"template": {"replicas": replicas}}})


def has(kube: Kube, replicas: int) -> bool:
    return {o["spec"]["replicas"] for n, o in children(kube).items() if n.startswith("Deployment/")} == {replicas}


async def test_one_leads_and_the_second_writes_nothing_and_at_rest_nothing_but_the_lease_is_written(
    kube: Kube, replicas: Replicas
) -> None:
    one, two = await replicas.pair(election=PATIENT)
    kube.create(deployment())
    await until("settled", lambda: settled(kube), 60)
    scaled(kube, 2)
    await until("scaled", lambda: has(kube, 2))
    assert len(one.writes()) >= 5
    assert [s for s in two.proxy.seen if s.write] == [], "not even the Lease"
    assert await two.process.metric("solera_writes_total") == 0
    assert await two.process.metric("solera_reconcile_seconds_count") == 0
    assert [await r.process.metric("solera_leader") for r in (one, two)] == [1, 0]
    assert [await r.process.metric("solera_llmdeployments") for r in (one, two)] == [1, 0]
    text = ""

    async def ready() -> bool:  # one look at the Lease may stay without an answer on a busy machine
        nonlocal text
        status, text = await two.note()
        return status == 200

    await until("the standby is ready: an upgrade and a disruption budget count it", ready)
    assert text == f"ok\nstanding by; {replicas.lease()['holderIdentity']} leads\n"
    assert (await one.note())[1].startswith("ok\nleading as replica-0_")
    await asyncio.sleep(1)
    one.proxy.seen.clear()
    await asyncio.sleep(5)
    assert one.writes() == []
    leases = [s for s in one.proxy.seen if s.write]
    assert 3 <= len(leases) <= 7
    assert {(s.method, s.path.rsplit("/", 2)[1]) for s in leases} == {("PUT", "leases")}
    assert not [s for s in one.proxy.seen if s.method == "GET" and "/leases" in s.path], "one request for one renewal"
    assert [s for s in two.proxy.seen if s.write] == []


async def test_killed_with_the_default_settings_the_other_leads_within_20_seconds(
    kube: Kube, replicas: Replicas
) -> None:
    one, two = await replicas.pair(election={})
    assert replicas.lease()["leaseDurationSeconds"] == 15
    kube.create(deployment())
    await until("settled", lambda: settled(kube), 60)
    one.signal(signal.SIGKILL)
    began = time.monotonic()
    scaled(kube, 2)
    await until("the other leads", two.leads, 20)
    took = time.monotonic() - began
    await until("and does the work", lambda: has(kube, 2), 5)
    print(f"SIGKILL to the next leader: {took:.1f} s")
    assert took > 5, "a dead leader cannot be told from a slow one sooner"
    assert replicas.lease()["leaseTransitions"] == 1
    assert await two.process.metric("solera_leader_transitions_total") == 1


async def test_told_to_stop_it_hands_over_within_3_seconds(kube: Kube, replicas: Replicas) -> None:
    one, two = await replicas.pair(election={})
    kube.create(deployment())
    await until("settled", lambda: settled(kube), 60)
    one.signal(signal.SIGTERM)
    began = time.monotonic()
    await until("the other leads", two.leads, 3)
    print(f"SIGTERM to the next leader: {time.monotonic() - began:.2f} s")
    assert await one.exit_code(10) == 0
    assert one.said("the Lease is given back")
    scaled(kube, 2)
    await until("it does the work", lambda: has(kube, 2), 10)


async def test_a_write_that_is_under_way_ends_before_the_lease_is_given_back(kube: Kube, replicas: Replicas) -> None:
    one, two = await replicas.pair()
    held, order = asyncio.Event(), []

    async def hold(seen: Seen) -> None:
        if seen.write and "/deployments/" in seen.path:
            held.set()
            await asyncio.sleep(1.5)
            order.append("write")
        elif seen.write and "/leases/" in seen.path and held.is_set():
            order.append("lease")

    one.proxy.before = hold
    kube.create(deployment())
    async with asyncio.timeout(20):
        await held.wait()
    one.signal(signal.SIGTERM)
    assert await one.exit_code(10) == 0
    # It may renew the Lease while the write is under way, and after it; what gives it back is its last word on it.
    assert order.count("write") == 1, order
    assert order[-1] == "lease", order
    await until("the other leads", two.leads, 5)
    await until("settled", lambda: settled(kube), 60)


async def test_frozen_beyond_its_lease_it_writes_nothing_when_it_wakes(kube: Kube, replicas: Replicas) -> None:
    one, two = await replicas.pair()
    kube.create(deployment())
    await until("settled", lambda: settled(kube), 60)
    (name,) = {n.split("/")[1] for n in children(kube)}
    await asyncio.sleep(1)
    one.signal(signal.SIGSTOP)
    before = len(one.writes())
    # What it will find when it wakes: a change, and a child to be mended. Its watches deliver both before its Lease is looked at.
    scaled(kube, 2)
    kube.run("delete", "service", name)
    await until("the other leads", two.leads, 10)
    await until("the other has mended it", lambda: has(kube, 2) and f"Service/{name}" in children(kube), 10)
    scaled(kube, 3)
    await until("and goes on", lambda: has(kube, 3), 10)
    kube.patch("deployment", name, {"spec": {"replicas": 7}})
    one.signal(signal.SIGCONT)
    assert await one.exit_code(10) == 1
    assert len(one.writes()) == before, [(s.method, s.path) for s in one.writes()[before:]]
    assert one.said("The process ends; started again it stands by")
    await until("the other holds what it wants", lambda: has(kube, 3), 10)
    assert await two.leads()


async def test_a_worker_that_wakes_before_the_lease_task_is_fenced(kube: Kube, replicas: Replicas) -> None:
    """Frozen in the middle of a look, between one write and the next."""
    one, two = await replicas.pair()
    frozen = asyncio.Event()

    async def freeze(seen: Seen) -> None:
        # The answer to the first write: nothing comes between it and the next one.
        if seen.write and "/controllerrevisions/" in seen.path and not frozen.is_set():
            frozen.set()
            one.signal(signal.SIGSTOP)

    one.proxy.after = freeze
    kube.create(deployment())
    async with asyncio.timeout(20):
        await frozen.wait()
    await until("the other leads", two.leads, 10)
    await until("settled", lambda: settled(kube), 60)
    one.signal(signal.SIGCONT)
    assert await one.exit_code(10) == 1
    assert len(one.writes()) == 1, "the one before it was frozen"


async def test_every_write_asks_the_lease_first(kube: Kube, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The workers still run here, and find out only when they are about to write."""
    proxy = ApiProxy()
    await proxy.start()
    monkeypatch.setenv("KUBECONFIG", str(proxy.kubeconfig(tmp_path)))
    config = Config.model_validate(
        {
            "namespaces": [kube.namespace],
            "metricsPort": free_port(),
            "healthPort": free_port(),
            "leaderElection": {"namespace": kube.namespace},
        }
    )
    parts: list[Operator] = []
    stop = asyncio.Event()
    running = asyncio.create_task(operate(config, stop=stop, on_start=lambda operator, _server: parts.append(operator)))
    try:
        await until("it is connected", lambda: parts)
        monkeypatch.undo()  # kubectl must not wait for a proxy that runs in this very thread
        kube.create(deployment())
        await until("settled", lambda: settled(kube), 60)
        (operator,) = parts
        assert operator.leadership.leading
        operator.leadership.close()
        proxy.seen.clear()
        scaled(kube, 2)
        registry, refused = operator.telemetry.registry, {"reason": "NotLeading"}
        await until("refused", lambda: registry.get_sample_value("solera_reconcile_errors_total", refused))
        assert [s for s in proxy.seen if s.write and "/leases/" not in s.path] == []
        assert has(kube, 1)
    finally:
        stop.set()
        await running
        await proxy.stop()
        await connections_gone()


async def test_cut_off_from_the_apiserver_it_gives_up_before_the_other_may_begin(
    kube: Kube, replicas: Replicas
) -> None:
    one, two = await replicas.pair()
    kube.create(deployment())
    await until("settled", lambda: settled(kube), 60)
    one.proxy.down = True
    one.proxy.cut()
    assert await one.exit_code(10) == 1
    ended = time.monotonic()
    assert not await two.leads(), "the old leader has ended before a new one begins"
    await until("the other leads", two.leads, 5)
    print(f"the new leader began {time.monotonic() - ended:.2f} s after the old one had ended")
    assert one.said("limit:")
    scaled(kube, 2)
    await until("the other works", lambda: has(kube, 2), 10)


async def test_an_apiserver_that_does_not_answer_is_given_up_in_time_too(kube: Kube, replicas: Replicas) -> None:
    """Requests that hang are worse than requests that fail: one write is under way when the Lease runs out."""
    one, two = await replicas.pair()
    kube.create(deployment())
    await until("settled", lambda: settled(kube), 60)
    hung: list[Seen] = []

    async def hang(seen: Seen) -> None:
        if seen.write:
            hung.append(seen)
            await asyncio.sleep(30)

    one.proxy.before = hang
    began = time.monotonic()
    scaled(kube, 2)
    assert await one.exit_code(10) == 1
    assert time.monotonic() - began < 4
    assert not await two.leads()
    await until("the other leads and works", lambda: has(kube, 2), 10)
    assert [s for s in hung if "/leases/" not in s.path], "a write was under way"
    assert all(s.status == 0 for s in hung)


async def test_a_lease_deleted_by_another_hand_is_made_again_and_no_two_lead(kube: Kube, replicas: Replicas) -> None:
    one, two = await replicas.pair()
    kube.create(deployment())
    await until("settled", lambda: settled(kube), 60)
    kube.run("annotate", "lease", NAME, "meta.helm.sh/release-name=solera")
    seen = replicas.lease()["renewTime"]
    await until("the leader has seen that", lambda: replicas.lease()["renewTime"] != seen)
    both = False
    for _ in range(2):
        kube.run("delete", "lease", NAME)
        ends = time.monotonic() + 4
        while time.monotonic() < ends:
            leading = [await one.leads(), await two.leads()]
            both = both or all(leading)
            await asyncio.sleep(0.1)
    assert not both
    assert replicas.lease()["holderIdentity"].startswith("replica-0_")
    assert one.said("the Lease was deleted; made again")
    annotations = kube.get("lease", NAME)["metadata"]["annotations"]
    assert annotations == {"meta.helm.sh/release-name": "solera"}, "the next upgrade of the chart finds its own"
    assert two.writes() == []
    assert await one.leads()


async def test_deleted_while_the_leader_is_dead_it_is_made_by_the_other(kube: Kube, replicas: Replicas) -> None:
    one, two = await replicas.pair()
    one.signal(signal.SIGKILL)
    kube.run("delete", "lease", NAME)
    began = time.monotonic()
    await until("the other leads", two.leads, 10)
    assert time.monotonic() - began > 2, "for all it knew the leader was alive"


async def test_taken_by_another_hand_the_leader_ends(kube: Kube, replicas: Replicas) -> None:
    one, _ = await replicas.pair()
    kube.patch("lease", NAME, {"spec": {"holderIdentity": "someone"}})
    assert await one.exit_code(10) == 1
    assert one.said("is held by someone now")


async def test_the_next_container_of_the_same_pod_leads_at_once(kube: Kube, replicas: Replicas) -> None:
    one = await replicas.start(election={}, pod="solera-0")
    await until("it leads", one.leads)
    one.signal(signal.SIGKILL)
    await one.exit_code(5)
    began = time.monotonic()
    again = await replicas.start(election={}, pod="solera-0")
    await until("it leads again", again.leads, 5)
    assert time.monotonic() - began < 8, "start-up included"


async def test_the_evidence_of_the_old_leader_is_read_by_the_new_one(kube: Kube, replicas: Replicas) -> None:
    """Nothing is held by the leader alone: the second takes over a life that it never looked at, and changes nothing in it."""
    one, two = await replicas.pair()
    kube.create(deployment())
    await until("settled", lambda: settled(kube), 60)
    await asyncio.sleep(1)
    before = {n: o["metadata"]["resourceVersion"] for n, o in children(kube).items()}
    status = json.dumps(kube.get("llmdep", "chat")["status"])
    one.signal(signal.SIGKILL)
    await until("the other leads", two.leads, 10)
    await until("it has looked", lambda: _looked(two))
    await asyncio.sleep(1)
    assert two.writes() == []
    assert {n: o["metadata"]["resourceVersion"] for n, o in children(kube).items()} == before
    assert json.dumps(kube.get("llmdep", "chat")["status"]) == status


async def _looked(replica: Replica) -> bool:
    return await replica.process.metric("solera_reconcile_seconds_count") >= 1


async def test_three_at_once_agree_on_one(kube: Kube, replicas: Replicas) -> None:
    three = await asyncio.gather(*(replicas.start() for _ in range(3)))
    await until("one leads", lambda: _count(three, 1))
    for _ in range(2):
        (leader,) = [r for r in three if r.process.process.returncode is None and await r.leads()]
        leader.signal(signal.SIGKILL)
        await leader.exit_code(5)
        three = [r for r in three if r is not leader]
        await until("one leads", lambda: _count(three, 1), 10)  # noqa: B023


async def _count(replicas: list[Replica], wanted: int) -> bool:
    return sum([await r.leads() for r in replicas]) == wanted
