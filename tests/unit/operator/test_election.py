"""Replicas that compete for one Lease in memory, on a clock that only the test moves."""

from __future__ import annotations

import asyncio
import copy
import heapq
import itertools
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from solera.config import LeaderElection
from solera.errors import Conflict, Forbidden, KubeError, NotFound, NotLeading, Unavailable
from solera.operator import start
from solera.operator.election import Election
from solera.operator.leadership import Alone, LeaseLost
from solera.operator.lease import Timing
from solera.operator.start import OperatorError, elect

PLACE = ("solera-system", "solera")
TIMING = Timing(15, 5, 2)


class Clock:
    """Seconds that pass when the test says so; sleepers wake in order."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def wall(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.now)

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now + seconds, next(self._order), future))
        await future

    async def pass_(self, seconds: float) -> None:
        end = self.now + seconds
        await self._settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            due, _, future = heapq.heappop(self._sleepers)
            self.now = max(self.now, due)
            if not future.done():
                future.set_result(None)
            await self._settle()
        self.now = end

    @staticmethod
    async def _settle() -> None:
        for _ in range(20):
            await asyncio.sleep(0)


class OneLease:
    """The apiserver, as far as one Lease needs it. ``fail`` may raise before a request, ``after`` once a write was made."""

    def __init__(self) -> None:
        self.live: dict[str, Any] | None = None
        self.version = 0
        self.log: list[tuple[str, str]] = []

    async def get(self, kind: str, namespace: str, name: str) -> dict[str, Any]:
        assert (kind, namespace, name) == ("Lease", *PLACE)
        if self.live is None:
            raise NotFound("get Lease", "not found", status=404)
        return copy.deepcopy(self.live)

    async def create_lease(self, manifest: dict[str, Any]) -> dict[str, Any]:
        if self.live is not None:
            raise Conflict("create Lease", "exists", status=409)
        return self.put(manifest, "create")

    async def replace_lease(self, manifest: dict[str, Any]) -> dict[str, Any]:
        if self.live is None:
            raise NotFound("replace Lease", "not found", status=404)
        if manifest["metadata"]["resourceVersion"] != self.live["metadata"]["resourceVersion"]:
            raise Conflict("replace Lease", "modified", status=409)
        return self.put(manifest, "replace")

    def put(self, manifest: dict[str, Any], verb: str = "put") -> dict[str, Any]:
        self.version += 1
        self.live = copy.deepcopy(manifest)
        self.live["metadata"]["resourceVersion"] = str(self.version)
        self.log.append((verb, self.live["spec"].get("holderIdentity", "")))
        return copy.deepcopy(self.live)


class Via:
    """One replica's way to the apiserver, which the test can cut."""

    def __init__(self, lease: OneLease) -> None:
        self._lease = lease
        self.fail: Callable[[str], None] = lambda _verb: None
        self.after: Callable[[str], None] = lambda _verb: None

    async def get(self, kind: str, namespace: str, name: str) -> dict[str, Any]:
        self.fail("get")
        return await self._lease.get(kind, namespace, name)

    async def create_lease(self, manifest: dict[str, Any]) -> dict[str, Any]:
        return await self._write("create", self._lease.create_lease(manifest))

    async def replace_lease(self, manifest: dict[str, Any]) -> dict[str, Any]:
        return await self._write("replace", self._lease.replace_lease(manifest))

    async def _write(self, verb: str, write: Any) -> dict[str, Any]:
        try:
            self.fail(verb)
        except KubeError:
            write.close()
            raise
        made: dict[str, Any] = await write
        self.after(verb)
        return made


class Replica:
    def __init__(self, world: World, name: str, **options: Any) -> None:
        self.via = Via(world.lease)
        self.changes = 0
        self.election = Election(
            self.via,
            PLACE,
            f"{name}_1",
            timing=options.pop("timing", TIMING),
            on_change=self._changed,
            clock=world.clock_of(name),
            wall=world.clock.wall,
            sleep=world.clock.sleep,
            jitter=lambda: 0.5,
            **options,
        )
        self.task = asyncio.create_task(self._lead())

    def _changed(self) -> None:
        self.changes += 1

    async def _lead(self) -> None:
        await self.election.acquire()
        await self.election.hold()

    @property
    def leading(self) -> bool:
        return self.election.leading

    def lost(self) -> str:
        assert self.task.done()
        error = self.task.exception()
        assert isinstance(error, LeaseLost)
        return str(error)


class World:
    def __init__(self) -> None:
        self.clock = Clock()
        self.lease = OneLease()
        self.replicas: list[Replica] = []

    def clock_of(self, _name: str) -> Callable[[], float]:
        return lambda: self.clock.now

    def blank(self) -> None:
        self.lease.put({"metadata": {"namespace": PLACE[0], "name": PLACE[1]}, "spec": {}})

    def replica(self, name: str, **options: Any) -> Replica:
        made = Replica(self, name, **options)
        self.replicas.append(made)
        return made

    async def pass_(self, seconds: float, step: float = 0.25) -> None:
        """Let time pass, and look at every step that no two lead."""
        end = self.clock.now + seconds
        while self.clock.now < end:
            await self.clock.pass_(step)
            assert sum(r.leading for r in self.replicas) <= 1

    async def until_led(self, by: Replica, at_most: float) -> float:
        began = self.clock.now
        while not by.leading:
            await self.pass_(0.25)
            assert self.clock.now - began <= at_most
        return self.clock.now - began


@pytest.fixture
async def world() -> Any:
    made = World()
    yield made
    for replica in made.replicas:
        replica.task.cancel()
    await asyncio.gather(*(r.task for r in made.replicas), return_exceptions=True)


def away(verb: str) -> None:
    raise Unavailable(f"{verb} Lease", "no route to host")


async def test_one_leads_at_once_and_renews_the_other_stands_by(world: World) -> None:
    world.blank()
    one, two = world.replica("a"), world.replica("b")
    await world.pass_(120)
    assert one.leading
    assert two.election.told() == "standing by; a_1 leads"
    assert two.election.problem() is None
    assert one.election.told() == "leading as a_1"
    assert world.lease.log[1:] == [("replace", "a_1")] * len(world.lease.log[1:])
    assert 24 <= len(world.lease.log) <= 26, "a renewal every five seconds and nothing else"
    assert (one.changes, two.changes) == (1, 0)
    with pytest.raises(NotLeading):
        two.election.may_write()
    assert 10 <= one.election.may_write() <= 15


async def test_when_the_leader_dies_the_other_leads_within_the_lease(world: World) -> None:
    world.blank()
    one, two = world.replica("a"), world.replica("b")
    await world.pass_(33)
    one.task.cancel()
    one.via.fail = away
    world.replicas.remove(one)
    assert await world.until_led(two, 17) >= 10
    assert two.changes == 1
    assert world.lease.live is not None
    assert world.lease.live["spec"]["leaseTransitions"] == 1


async def test_given_back_it_is_taken_at_the_next_look(world: World) -> None:
    world.blank()
    one, two = world.replica("a"), world.replica("b")
    await world.pass_(20)
    one.election.close()
    assert not one.leading
    with pytest.raises(NotLeading, match="about to stop"):
        one.election.may_write()
    await world.pass_(8)
    assert not two.leading, "what is under way may take its time: the Lease is still held"
    await one.election.release()
    await world.until_led(two, 2.5)
    await world.pass_(20)
    assert two.leading
    assert not one.task.done(), "the one that is stopping is not told that it lost"


async def test_cut_off_it_gives_up_before_the_other_may_begin(world: World) -> None:
    world.blank()
    one, two = world.replica("a"), world.replica("b")
    await world.pass_(21)
    one.via.fail = away
    ended = began = math.nan
    for _ in range(200):
        await world.pass_(0.25)
        if math.isnan(ended) and not one.leading:
            ended = world.clock.now
        if two.leading:
            began = world.clock.now
            break
    assert began - ended >= 4, "a third of the lease is left for what was under way"
    assert "limit: replace Lease: no route to host" in one.lost()


async def test_time_of_a_write_ends_when_another_may_begin(world: World) -> None:
    world.blank()
    one = world.replica("a")
    await world.pass_(1)
    one.via.fail = away
    began = world.clock.now
    while one.leading:
        left = one.election.may_write()
        assert left == pytest.approx(15 - (world.clock.now - began) - 1, abs=0.3)
        await world.pass_(0.25)
    with pytest.raises(NotLeading, match="not for certain"):
        one.election.may_write()


async def test_frozen_longer_than_the_lease_it_may_not_write_when_it_wakes(world: World) -> None:
    world.blank()
    one, two = world.replica("a"), world.replica("b")
    await world.pass_(2)
    world.clock.now += 11  # both were stopped: nobody could renew
    with pytest.raises(NotLeading):
        one.election.may_write()
    await world.pass_(10)
    assert "this process was not running" in one.lost()
    assert two.leading


async def test_a_failed_renewal_is_tried_again(world: World) -> None:
    world.blank()
    one, two = world.replica("a"), world.replica("b")
    await world.pass_(3)
    one.via.fail = away
    await world.pass_(5.5)
    assert one.leading
    assert one.election.problem() == "replace Lease: no route to host"
    one.via.fail = lambda _verb: None
    await world.pass_(60)
    assert one.leading
    assert one.election.problem() is None
    assert not two.leading


async def test_a_renewal_whose_answer_is_lost_counts_from_the_one_before(world: World) -> None:
    world.blank()
    one = world.replica("a")
    await world.pass_(3)
    one.via.after = away
    await world.pass_(5.5)
    assert one.leading
    one.via.after = lambda _verb: None
    await world.pass_(30)
    assert one.leading, "its own write stands in the Lease, and it goes on from there"


async def test_another_hand_on_the_object_is_no_loss(world: World) -> None:
    world.blank()
    one = world.replica("a")
    await world.pass_(3)
    assert world.lease.live is not None
    world.lease.live["metadata"]["labels"] = {"by": "hand"}
    world.lease.put(world.lease.live)
    await world.pass_(30)
    assert one.leading
    assert world.lease.live["metadata"]["labels"] == {"by": "hand"}


async def test_deleted_it_is_made_again_and_never_do_two_lead(world: World) -> None:
    world.blank()
    one, two = world.replica("a"), world.replica("b")
    for moment in (0.3, 2.1, 4.9):
        await world.pass_(10 + moment)
        world.lease.live = None
        late = world.replica(f"late-{moment}")  # it never saw the Lease
        await world.pass_(30)
        assert one.leading
        assert not two.leading
        assert not late.leading
        assert world.lease.live is not None


async def test_deleted_and_made_blank_the_standby_does_not_take_it_from_a_living_leader(world: World) -> None:
    world.blank()
    one, two = world.replica("a"), world.replica("b")
    await world.pass_(11)
    world.lease.live = None
    world.blank()
    await world.pass_(30)
    assert one.leading or two.leading


async def test_taken_by_another_hand_it_is_lost_at_the_next_renewal(world: World) -> None:
    world.blank()
    one = world.replica("a")
    await world.pass_(3)
    assert world.lease.live is not None
    world.lease.live["spec"]["holderIdentity"] = "someone"
    world.lease.put(world.lease.live)
    await world.pass_(6)
    assert one.lost() == "the Lease solera-system/solera is held by someone now"
    with pytest.raises(NotLeading):
        one.election.may_write()


async def test_the_next_container_of_the_same_pod_need_not_wait(world: World) -> None:
    world.blank()
    one = world.replica("a")
    await world.pass_(3)
    one.task.cancel()
    world.replicas.remove(one)
    again = Replica(world, "a", pod="a")
    again.election._identity = "a_2"
    await world.clock.pass_(0)
    assert again.leading
    again.task.cancel()


async def test_without_the_right_it_says_so_and_goes_on_trying(world: World, caplog: pytest.LogCaptureFixture) -> None:
    def forbidden(verb: str) -> None:
        raise Forbidden(f"{verb} Lease", "leases is forbidden", status=403)

    world.blank()
    one = world.replica("a")
    one.via.fail = forbidden
    await world.pass_(30)
    assert one.election.problem() == "get Lease: leases is forbidden"
    assert caplog.text.count("leases is forbidden") == 1
    one.via.fail = lambda _verb: None
    await world.until_led(one, 3)


async def test_the_first_ever_lease_without_a_chart_is_made_after_one_duration(world: World) -> None:
    one, two = world.replica("a"), world.replica("b")
    assert 14 <= await world.until_led(one, 17) <= 17
    assert not two.leading


async def test_a_missing_namespace_is_no_tight_loop(world: World) -> None:
    def no_namespace(verb: str) -> None:
        if verb == "create":
            raise NotFound("create Lease", 'namespaces "solera-system" not found', status=404)

    one = world.replica("a")
    one.via.fail = no_namespace
    await world.pass_(20)
    assert one.election.problem() == 'create Lease: namespaces "solera-system" not found'


async def test_an_answer_that_does_not_come_is_given_up(world: World) -> None:
    world.blank()
    one = world.replica("a", timing=Timing(0.9, 0.3, 0.1))
    await world.pass_(0.5, 0.1)

    async def hang(_manifest: Any) -> Any:
        await asyncio.Event().wait()

    one.via.replace_lease = hang  # type: ignore[method-assign]
    for _ in range(40):
        await world.pass_(0.1, 0.05)
        await asyncio.sleep(0.02)  # the limit of an attempt is one of real time
    assert "no answer in time" in one.lost()


async def test_alone_it_leads_until_it_stops() -> None:
    alone = Alone()
    await alone.acquire()
    assert alone.may_write() == math.inf
    assert alone.problem() is None
    alone.close()
    await alone.release()
    with pytest.raises(NotLeading):
        alone.may_write()


def test_the_configuration_says_how(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "OWN_NAMESPACE", tmp_path / "namespace")
    via = Via(OneLease())
    assert isinstance(elect(LeaderElection(enabled=False), via, lambda: None, {}), Alone)
    with pytest.raises(OperatorError, match=r"leaderElection\.namespace: required outside a pod"):
        elect(LeaderElection(), via, lambda: None, {})
    pod = {"POD_NAME": "solera-6d4", "POD_NAMESPACE": "sys"}
    made = elect(LeaderElection(), via, lambda: None, pod)
    assert isinstance(made, Election)
    assert made._place == ("sys", "solera-operator")
    assert made._identity.startswith("solera-6d4_")
    assert (made._pod, made._timing) == ("solera-6d4", TIMING)
    other = elect(LeaderElection(namespace="x"), via, lambda: None, pod)
    assert isinstance(other, Election)
    assert other._place[0] == "x"
    assert other._identity != made._identity
    (tmp_path / "namespace").write_text("told")
    told = elect(LeaderElection(), via, lambda: None, {})
    assert isinstance(told, Election)
    assert (told._place[0], told._pod) == ("told", None)
