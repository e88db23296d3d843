import asyncio
import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from solera.config import Probe
from solera.observe.collector import Collector, Source
from solera.observe.direct import DirectSource
from solera.observe.metrics import GuardrailQuery, SourceResult, Target
from solera.observe.pending import Pending
from solera.observe.probe import ProbeResult, ProbeTarget
from solera.observe.wanted import Request
from solera.plan.evidence import Counter, Flight, Reading
from solera.plan.ledger import Measure
from unit.observe import texts

START = datetime(2027, 3, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
KEY, OTHER = ("ml", "support"), ("ml", "other")
ERRORS = GuardrailQuery("errors", "ErrorRate")
TTFT = GuardrailQuery("ttft", "TimeToFirstToken", 2.5)


class Reader:
    """A source under the test's control: what it gives, whom it keeps waiting, what it was asked."""

    def __init__(self, name="engine"):
        self.name = name
        self.asked = []
        self.count = 0
        self.errors = {}
        self.unmeasurable = {}
        self.waits = {}
        self.raises = None
        self.silent = False
        self.partly = False

    async def read(self, targets, guardrails, now):
        uids = tuple(t.instance for t in targets)
        self.asked.append((now, uids, tuple(g.name for g in guardrails)))
        for uid in uids:
            if uid in self.waits:
                await self.waits[uid].wait()
        if self.raises is not None:
            raise self.raises
        counters = {"": Counter(self.count, 0)}
        readings = tuple(Reading(now, self.name, t.revision, t.instance, "1", counters) for t in targets)
        errors = {k: v for k, v in self.errors.items() if k in uids or k not in ("uid-1", "uid-2")}
        nothing = self.silent or (errors and not self.partly)
        return SourceResult(() if nothing else readings, errors, self.unmeasurable)


class Pods:
    """A prober whose pods answer when the test says so."""

    def __init__(self):
        self.results = {}
        self.asked = []

    async def probe(self, target):
        self.asked.append(target.instance)
        result = self.results.get(target.instance, ProbeResult(answered=False, healthy=False, problem="starting"))
        if isinstance(result, Exception):
            raise result
        return result


class World:
    """A collector, its clock and its news."""

    def __init__(self, gateways=(), every=None, **sources):
        self.now = START
        self.news = []
        self.direct = Reader()
        self.readers = {"Direct": self.direct, **sources}
        self.pods = Pods()
        self.collector = Collector(
            {name: Source(r, (every or {}).get(name, SECOND)) for name, r in self.readers.items()},
            self.pods,
            on_news=self.news.append,
            clock=lambda: self.now,
            gateways=gateways,
            probing=Probe.model_validate({"interval": "2s", "maxInterval": "8s"}),
        )

    async def tick(self, times=1, step=SECOND):
        for _ in range(times):
            self.collector.tick(self.now)
            await asyncio.sleep(0)
            await self.collector.settle()
            self.now += step

    def news_since(self):
        news, self.news[:] = list(self.news), []
        return news


def target(uid="uid-1", **more):
    return Target(
        "support-v1-aaaaaaaa", uid, "10.0.0.1", 8000, "ml", "support-v1-aaaaaaaa", "vLLM", f"pod-{uid[-1]}", **more
    )


def request(*uids, guardrails=(ERRORS, TTFT), source="Direct", **more):
    targets = tuple(target(u) for u in uids)
    return Request(targets, guardrails, source, **({"alive": dict.fromkeys(uids)} | more))


def probing(*uids, started=START, **more):
    probes = tuple(ProbeTarget(u, "10.0.0.1", 8000, "support", f"pod-{u[-1]}", started) for u in uids)
    return Request(probes=probes, alive=dict.fromkeys(uids, started), **more)


@pytest.fixture
def world():
    return World()


async def test_readings_wait_until_they_are_taken_once(world):
    world.collector.want(KEY, request("uid-1", "uid-2"))
    await world.tick(2)
    readings = world.collector.pending(KEY)
    assert [(r.instance, r.at) for r in readings] == [
        ("uid-1", START), ("uid-2", START), ("uid-1", START + SECOND), ("uid-2", START + SECOND)
    ]  # fmt: skip
    assert world.collector.pending(KEY) == ()
    assert world.collector.pending(("ml", "unknown")) == ()
    assert world.direct.asked[0][2] == ("errors", "ttft")


async def test_a_reading_says_what_its_counters_were_asked_to_count(world):
    world.direct.waits["uid-1"] = asyncio.Event()
    world.collector.want(KEY, request("uid-1", guardrails=(ERRORS, GuardrailQuery("ttft", "TimeToFirstToken", 2.5))))
    world.collector.tick(world.now)
    await asyncio.sleep(0)
    world.collector.want(KEY, request("uid-1", guardrails=(GuardrailQuery("ttft", "RequestLatency", 10.0),)))
    world.direct.waits["uid-1"].set()
    await world.collector.settle()
    world.now += SECOND
    await world.tick()
    first, second = world.collector.pending(KEY)
    assert first.measures == {"errors": Measure("ErrorRate"), "ttft": Measure("TimeToFirstToken", 2.5)}
    assert second.measures == {"ttft": Measure("RequestLatency", 10.0)}


async def test_news_is_told_only_when_something_was_counted(world):
    world.collector.want(KEY, request("uid-1"))
    await world.tick()
    assert world.news_since() == [KEY]
    await world.tick(5)
    assert world.news_since() == []
    world.direct.count = 3
    await world.tick(3)
    assert world.news_since() == [KEY]
    assert len(world.collector.pending(KEY)) == 9


async def test_a_pod_that_hangs_delays_neither_its_neighbour_nor_another_deployment(world):
    world.direct.waits["uid-1"] = asyncio.Event()
    world.collector.want(KEY, request("uid-1", "uid-2"))
    world.collector.want(OTHER, request("uid-3"))
    for _ in range(3):
        world.collector.tick(world.now)
        await asyncio.sleep(0.001)
        world.now += SECOND
    assert [r.instance for r in world.collector.pending(KEY)] == ["uid-2"] * 3
    assert len(world.collector.pending(OTHER)) == 3
    assert sum(uids == ("uid-1",) for _, uids, _ in world.direct.asked) == 1  # never twice at a time
    world.direct.waits["uid-1"].set()
    await world.collector.settle()
    assert [r.at for r in world.collector.pending(KEY)] == [START]
    await world.collector.stop()


async def test_an_error_is_shown_told_once_and_taken_back(world, caplog):
    caplog.set_level(logging.INFO, "solera.collector")
    gone = "Unreachable: connect timeout to 10.0.0.1:8000 after 2s"
    world.collector.want(KEY, request("uid-1"))
    world.direct.errors = {"uid-1": gone}
    await world.tick(4)
    assert world.collector.errors(KEY) == {"Direct": gone}
    assert world.news_since() == [KEY]
    world.direct.errors = {}
    await world.tick(3)
    assert world.collector.errors(KEY) == {}
    assert world.news_since() == [KEY]
    assert [r.message for r in caplog.records] == [f"ml/support: Direct: {gone}", "ml/support: Direct: well again"]


async def test_of_many_pods_in_trouble_one_is_shown(world):
    world.collector.want(KEY, request("uid-1", "uid-2"))
    world.direct.errors = {"uid-1": "Unreachable: one", "uid-2": "Unreachable: other"}
    await world.tick()
    assert world.collector.errors(KEY) == {"Direct": "Unreachable: one (and 1 more like it)"}


async def test_the_silence_of_a_pod_that_starts_or_leaves_is_no_error(world):
    starting = target(expected=False)
    world.collector.want(KEY, Request((starting,), (ERRORS,), alive={"uid-1": None}))
    world.direct.errors = {"uid-1": "Unreachable: cannot connect to 10.0.0.1:8000: Connection refused"}
    await world.tick()
    assert world.collector.errors(KEY) == {}


async def test_a_source_that_raises_is_an_error_and_the_others_go_on(world):
    world.direct.raises = RuntimeError("not expected")
    world.collector.want(KEY, request("uid-1"))
    await world.tick(2)
    assert world.collector.errors(KEY) == {"Direct": "Failed: RuntimeError: not expected"}
    world.direct.raises = None
    await world.tick()
    assert world.collector.errors(KEY) == {}
    assert len(world.collector.pending(KEY)) == 1


async def test_gateways_are_read_along_with_the_pods_and_once_for_all_of_them():
    gateway = Reader("gateway")
    world = World(("inference",), inference=gateway)
    world.collector.want(KEY, request("uid-1", "uid-2"))
    world.collector.want(OTHER, request("uid-3"))
    await world.tick()
    assert [uids for _, uids, _ in gateway.asked] == [("uid-1", "uid-2"), ("uid-3",)]
    assert len({now for now, _, _ in gateway.asked}) == 1  # so that they can share an answer
    assert {r.source for r in world.collector.pending(KEY)} == {"engine", "gateway"}


async def test_a_named_source_is_the_only_one():
    gateway, prometheus = Reader("gateway"), Reader("prometheus")
    world = World(("inference",), inference=gateway, prod=prometheus)
    world.collector.want(KEY, request("uid-1", source="prod"))
    await world.tick()
    assert (len(world.direct.asked), len(gateway.asked), len(prometheus.asked)) == (0, 0, 1)


async def test_a_source_that_nobody_declared_is_told_with_those_that_are(world):
    world.collector.want(KEY, request("uid-1", source="prof"))
    await world.tick()
    assert world.collector.unmeasurable(KEY) == dict.fromkeys(
        ("errors", "ttft"), "spec.rollout.metrics.source: no source is named prof; write one of Direct"
    )


async def test_a_guardrail_is_unmeasurable_only_where_no_source_can_measure_it():
    gateway = Reader("gateway")
    world = World(("inference",), inference=gateway)
    world.direct.unmeasurable = {"errors": "llama.cpp exports none", "ttft": "llama.cpp exports none"}
    gateway.unmeasurable = {"ttft": "not seen here"}
    world.collector.want(KEY, request("uid-1"))
    assert world.collector.unmeasurable(KEY) == {}
    await world.tick()
    assert world.collector.unmeasurable(KEY) == {"ttft": "Direct: llama.cpp exports none; inference: not seen here"}


NEW = "support-v2-bbbbbbbb"


async def test_a_source_is_unreachable_when_it_tells_nothing_of_a_revision(world):
    new = (replace(target("uid-1"), revision=NEW), replace(target("uid-2"), revision=NEW))
    world.collector.want(KEY, Request((target("uid-3"), *new), (ERRORS, TTFT), alive={}))
    world.direct.errors = {"uid-1": "Unreachable: one"}
    await world.tick()
    assert world.collector.unreachable(KEY) == {}  # the other pod speaks for the revision
    world.news_since()
    world.direct.errors |= {"uid-2": "Unreachable: other"}
    await world.tick()
    assert world.collector.unreachable(KEY) == {"engine": "Direct: Unreachable: one"}
    assert world.news_since() == [KEY]
    world.direct.errors = {}
    await world.tick()
    assert world.collector.unreachable(KEY) == {}
    assert set(world.news_since()) == {KEY}
    assert world.collector.unreachable(OTHER) == {}


async def test_pods_that_start_or_leave_make_no_source_unreachable(world):
    world.collector.want(KEY, Request((target("uid-3"), replace(target(expected=False), revision=NEW)), (ERRORS,)))
    world.direct.errors = {"uid-1": "Unreachable: cannot connect"}
    await world.tick()
    assert world.collector.unreachable(KEY) == {}


async def test_an_engine_whose_metrics_went_away_is_unreachable_although_it_answers(world):
    world.collector.want(KEY, request("uid-1"))
    world.direct.silent = True
    world.direct.unmeasurable = {"errors": "vLLM answers 404 at /metrics"}
    await world.tick()
    assert world.collector.unreachable(KEY) == {"engine": "Direct: vLLM answers 404 at /metrics"}
    world.direct.silent = False
    await world.tick()
    assert world.collector.unreachable(KEY) == {}  # it is not good for one guardrail, and counts the others


async def test_a_source_for_all_is_unreachable_as_a_whole_but_not_for_one_of_its_addresses():
    gateway, prometheus = Reader("gateway"), Reader("prometheus")
    world = World(("inference",), inference=gateway, prod=prometheus)
    world.collector.want(KEY, request("uid-1"))
    world.collector.want(OTHER, request("uid-1", source="prod"))
    gateway.errors = {"10.0.0.9:8082": "Unreachable: 10.0.0.9:8082"}
    prometheus.errors = {"prod": "Unreachable: Prometheus prod"}
    await world.tick()
    assert world.collector.unreachable(KEY) == {"gateway": "inference: Unreachable: 10.0.0.9:8082"}
    assert world.collector.unreachable(OTHER) == {"prometheus": "prod: Unreachable: Prometheus prod"}
    gateway.partly = True
    await world.tick()
    assert world.collector.unreachable(KEY) == {}


async def test_a_source_is_read_as_often_as_it_should_be_and_together():
    prometheus = Reader("prometheus")
    world = World(every={"prod": timedelta(seconds=15)}, prod=prometheus)
    world.now = START + timedelta(seconds=4)
    world.collector.want(KEY, request("uid-1", source="prod"))
    await world.tick(8)
    world.collector.want(OTHER, request("uid-3", source="prod"))
    await world.tick(40)
    seconds = [((now - START) / SECOND, uids[0]) for now, uids, _ in prometheus.asked]
    assert seconds == [
        (4, "uid-1"),
        (12, "uid-3"),
        (15, "uid-1"),
        (15, "uid-3"),
        (30, "uid-1"),
        (30, "uid-3"),
        (45, "uid-1"),
        (45, "uid-3"),
    ]


async def test_a_tick_that_comes_a_little_early_or_late_leaves_no_reading_out(world):
    world.collector.want(KEY, request("uid-1"))
    for millis in (1000, 990, 1015, 999, 1001, 1030):
        await world.tick(step=timedelta(milliseconds=millis))
    assert len(world.collector.pending(KEY)) == 6


async def test_what_is_no_longer_wanted_is_forgotten(world):
    world.direct.errors = {"uid-1": "Unreachable: x"}
    world.collector.want(KEY, request("uid-1"))
    await world.tick()
    world.collector.want(KEY, request("uid-2"))
    assert world.collector.errors(KEY) == {}
    world.collector.want(KEY, Request())
    asked = len(world.direct.asked)
    await world.tick(3)
    assert len(world.direct.asked) == asked
    world.collector.forget(KEY)
    assert world.collector.pending(KEY) == ()


async def test_an_answer_for_a_deployment_that_is_gone_is_dropped(world):
    world.direct.waits["uid-1"] = asyncio.Event()
    world.collector.want(KEY, request("uid-1"))
    world.collector.tick(world.now)
    await asyncio.sleep(0)
    world.collector.forget(KEY)
    world.collector.want(KEY, request("uid-2"))
    world.direct.waits["uid-1"].set()
    await world.collector.settle()
    assert world.collector.pending(KEY) == ()
    assert world.news == []


async def test_a_pod_is_asked_until_it_answers_and_never_again(world):
    world.collector.want(KEY, probing("uid-1"))
    await world.tick(5)
    assert len(world.pods.asked) == 3  # at 0, 2 and 4 seconds: it is still starting
    assert world.collector.errors(KEY) == {}
    world.pods.results["uid-1"] = ProbeResult(answered=True, healthy=True)
    world.news_since()
    await world.tick(4)
    assert world.collector.answered(KEY) == {"uid-1"}
    assert world.news_since() == [KEY]
    asked = len(world.pods.asked)
    await world.tick(20)
    assert len(world.pods.asked) == asked


async def test_an_engine_with_a_healthy_face_that_never_answers_is_told_and_asked_less_and_less(world):
    world.pods.results["uid-1"] = ProbeResult(
        answered=False, healthy=True, problem="/health answers 200, but no completion: why"
    )
    world.collector.want(KEY, probing("uid-1"))
    await world.tick(30)
    assert world.collector.errors(KEY) == {"Probe": "pod-1: /health answers 200, but no completion: why"}
    assert len(world.pods.asked) == 5  # after 0, 2, 2+4, 2+4+8 and 2+4+8+8 seconds
    assert world.news.count(KEY) == 1


async def test_a_pod_stays_answered_when_nobody_asks_any_more_until_its_container_ends(world):
    world.pods.results["uid-1"] = ProbeResult(answered=True, healthy=True)
    world.collector.want(KEY, probing("uid-1"))
    await world.tick()
    world.collector.want(KEY, Request(alive={"uid-1": START}))
    assert world.collector.answered(KEY) == {"uid-1"}
    world.collector.want(KEY, Request(alive={"uid-1": START + SECOND}))
    assert world.collector.answered(KEY) == set()


async def test_a_pod_that_is_gone_is_forgotten(world):
    world.pods.results["uid-1"] = ProbeResult(answered=True, healthy=True)
    world.collector.want(KEY, probing("uid-1"))
    await world.tick()
    world.collector.want(KEY, Request(alive={}))
    assert world.collector.answered(KEY) == set()


async def test_a_completion_of_the_container_s_former_life_proves_nothing(world):
    answered = asyncio.Event()

    async def slow(_target):
        await answered.wait()
        return ProbeResult(answered=True, healthy=True)

    world.pods.probe = slow
    world.collector.want(KEY, probing("uid-1"))
    world.collector.tick(world.now)
    await asyncio.sleep(0)
    world.collector.want(KEY, probing("uid-1", started=START + SECOND))
    answered.set()
    await world.collector.settle()
    assert world.collector.answered(KEY) == set()


async def test_a_prober_that_raises_is_told(world):
    world.pods.results["uid-1"] = RuntimeError("not expected")
    world.collector.want(KEY, probing("uid-1"))
    await world.tick()
    assert world.collector.errors(KEY) == {"Probe": "pod-1: RuntimeError: not expected"}


@pytest.mark.parametrize("reading_already", [False, True])
async def test_what_cannot_be_measured_is_known_before_anybody_hears_that_the_pod_answers(reading_already):
    class ShowsAllAfterItsFirstAnswer(Reader):
        async def read(self, targets, guardrails, now):
            await super().read(targets, guardrails, now)
            return SourceResult(unmeasurable={"ttft": "no such family"} if targets[0].answered else {})

    reader = ShowsAllAfterItsFirstAnswer()
    world = World(Direct=reader, every={"Direct": timedelta(seconds=20)})
    known = []
    world.collector._on_news = lambda _key: known.append(
        (set(world.collector.answered(KEY)), dict(world.collector.unmeasurable(KEY)))
    )
    wanted = Request((target(answered=False),), (TTFT,), probes=probing("uid-1").probes, alive={"uid-1": START})
    world.collector.want(KEY, wanted)
    if not reading_already:
        await world.tick(2)
    reader.waits["uid-1"] = asyncio.Event()
    world.pods.results["uid-1"] = ProbeResult(answered=True, healthy=True)
    world.collector.tick(world.now)
    for _ in range(10):
        await asyncio.sleep(0)
    reader.waits.pop("uid-1").set()
    await world.collector.settle()
    assert known[-1] == ({"uid-1"}, {"ttft": "no such family"})
    assert ({"uid-1"}, {}) not in known


async def test_an_engine_is_told_apart_from_one_that_has_not_answered_yet():
    asked = []

    class Asks(Reader):
        async def read(self, targets, guardrails, now):
            asked.append([t.answered for t in targets])
            return SourceResult()

    world = World(Direct=Asks())
    wanted = Request((target(answered=False),), (TTFT,), probes=probing("uid-1").probes, alive={"uid-1": START})
    world.collector.want(KEY, wanted)
    await world.tick()
    world.pods.results["uid-1"] = ProbeResult(answered=True, healthy=True)
    await world.tick(4)
    assert asked[0] == [False]
    assert asked[-1] == [True]


async def test_the_loop_ticks_outlives_a_fault_and_ends_clean(world, caplog):
    ticks = 0
    enough = asyncio.Event()
    tick = world.collector.tick

    def counting(now):
        nonlocal ticks
        ticks += 1
        if ticks in (2, 3, 4):
            raise RuntimeError("not expected")
        if ticks == 10:
            enough.set()
        tick(now)

    world.collector.tick = counting
    world.collector._sleep = lambda _seconds: asyncio.sleep(0)
    world.direct.waits["uid-1"] = asyncio.Event()
    world.collector.want(KEY, request("uid-1"))
    loop = asyncio.create_task(world.collector.run())
    await enough.wait()
    loop.cancel()
    with pytest.raises(asyncio.CancelledError):
        await loop
    assert not world.collector._tasks
    assert sum("could not be started" in r.message for r in caplog.records) == 1


async def test_real_pods_by_their_own_counters():
    def handler(http_request):
        return httpx.Response(200, text=texts.VLLM if http_request.url.host == "10.0.0.1" else texts.LLAMA_CPP)

    news = []
    collector = Collector(
        {"Direct": Source(DirectSource(httpx.AsyncClient(transport=httpx.MockTransport(handler))), SECOND)},
        Pods(),
        on_news=news.append,
        clock=lambda: START,
    )
    collector.want(KEY, request("uid-1"))
    collector.tick(START)
    await collector.settle()
    (reading,) = collector.pending(KEY)
    assert reading.counters["errors"] == Counter(100, 3)
    assert news == [KEY]


def reading(second, uid="uid-1", count=0, started="1"):
    return Reading(START + second * SECOND, "engine", "v1", uid, started, {"": Counter(count, 0)})


def test_pending_readings_are_bounded_by_keeping_the_newest_of_each_process():
    pending = Pending(most=10)
    for second in range(100):
        pending.add([reading(second, "uid-1", second), reading(second, "uid-2", 7)])
    kept = pending.drain()
    assert len(kept) <= 11
    assert {r.instance: r.counters[""].total for r in kept} == {"uid-1": 99, "uid-2": 7}
    assert pending.drain() == ()


def test_a_restart_is_news_even_with_the_same_counts():
    pending = Pending()
    assert pending.add([reading(0)])
    assert not pending.add([reading(1)])
    assert pending.add([reading(2, started="2")])
    assert pending.add([reading(3, count=1, started="2")])


def test_requests_in_flight_are_news_although_nothing_ends_since_time_makes_them_overdue():
    pending = Pending()
    flying, landed = ({"ttft": Flight(5 + more, 5, 2.5)} for more in (3, 0))
    assert pending.add([replace(reading(0), flights=landed)])
    assert not pending.add([replace(reading(1), flights=landed)])
    assert pending.add([replace(reading(2), flights=flying)])
    assert pending.add([replace(reading(3), flights=flying)])


async def test_a_reading_with_requests_in_flight_says_when_it_was_there():
    world = World()

    class Slow(Reader):
        async def read(self, targets, guardrails, now):
            result = await super().read(targets, guardrails, now)
            world.now += 2 * SECOND
            flights = {"ttft": Flight(1, 0, 2.5)} if targets[0].instance == "uid-1" else {}
            return replace(result, readings=tuple(replace(r, flights=flights) for r in result.readings))

    collector = Collector({"Direct": Source(Slow(), SECOND)}, Pods(), on_news=print, clock=lambda: world.now)
    for uid, late in (("uid-1", True), ("uid-2", False)):
        collector.want(KEY, request(uid))
        began = world.now
        collector.tick(began)
        await collector.settle()
        (one,) = collector.pending(KEY)
        assert (one.at, one.by) == (began, began + 2 * SECOND if late else None)


async def test_a_pod_in_doubt_is_asked_again_though_it_has_answered_and_then_only_so_often(world):
    world.pods.results["uid-1"] = ProbeResult(answered=True, healthy=True)
    world.collector.want(KEY, probing("uid-1"))
    await world.tick(20)
    doubted = tuple(replace(p, again=5 * SECOND) for p in probing("uid-1").probes)
    world.collector.want(KEY, Request(probes=doubted, alive={"uid-1": START}))
    world.pods.asked.clear()
    await world.tick(11)
    assert len(world.pods.asked) == 3  # at once, after 5 and after 10 seconds
    assert world.collector.answered(KEY) == {"uid-1"}
    assert world.collector.mute(KEY) == {}


async def test_a_pod_that_answered_and_does_not_when_it_is_asked_again_is_mute_until_it_does(world):
    world.pods.results["uid-1"] = ProbeResult(answered=True, healthy=True)
    world.collector.want(KEY, probing("uid-1"))
    await world.tick(2)
    world.news_since()
    doubted = Request(
        probes=tuple(replace(p, again=5 * SECOND) for p in probing("uid-1").probes), alive={"uid-1": START}
    )
    world.collector.want(KEY, doubted)
    world.pods.results["uid-1"] = ProbeResult(answered=False, healthy=True, problem="no answer within 30 s")
    await world.tick()
    assert world.news_since() == [KEY]
    assert world.collector.answered(KEY) == set()
    assert world.collector.mute(KEY) == {"uid-1": "pod-1: no answer within 30 s"}
    world.pods.results["uid-1"] = ProbeResult(answered=True, healthy=True)
    await world.tick(4)
    assert world.collector.answered(KEY) == {"uid-1"}
    assert world.collector.mute(KEY) == {}
