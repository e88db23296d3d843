import asyncio
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from solera.observe.gateway import GatewaySource, resolve
from solera.observe.metrics import GuardrailQuery, Target
from solera.plan.evidence import Counter, absorb, new_ledger
from unit.observe import texts
from unit.observe.texts import TRAEFIK_START, TRAEFIK_V1, TRAEFIK_V2, traefik_backend

NOW = datetime(2027, 3, 1, 12, tzinfo=UTC)
V1, V2 = "support-v1-aaaaaaaa", "support-v2-bbbbbbbb"
ERRORS = GuardrailQuery("errors", "ErrorRate")
LATENCY = GuardrailQuery("latency", "RequestLatency", 2.5)


def target(revision, namespace="ml", instance=""):
    return Target(revision, instance or f"uid-{revision}", "10.0.0.1", 8000, namespace, revision, "vLLM")


BOTH = [target(V1), target(V1, instance="uid-2"), target(V2)]


class Gateway:
    """A gateway whose page changes, and what was asked of it."""

    def __init__(self, page=texts.TRAEFIK, addresses=("192.0.2.1",)):
        self.page = page
        self.addresses = addresses
        self.asked = []

    def source(self, endpoint="http://traefik.gateways:8082/metrics", **more):
        async def resolved(_host, _port):
            if isinstance(self.addresses, Exception):
                raise self.addresses
            return self.addresses

        http = httpx.AsyncClient(transport=httpx.MockTransport(self.answer))
        return GatewaySource("inference", endpoint, http, resolve_host=resolved, **more)

    async def answer(self, request):
        self.asked.append((str(request.url), request.headers["host"]))
        await asyncio.sleep(0)
        page = self.page.get(request.url.host) if isinstance(self.page, dict) else self.page
        return page if isinstance(page, httpx.Response) else httpx.Response(200, text=page)


def page(*backends, start=TRAEFIK_START):
    return start + "".join(traefik_backend(label, codes) for label, codes in backends)


def seen(result):
    return {(r.revision, name): counter for r in result.readings for name, counter in r.counters.items()}


async def test_each_backend_s_requests_errors_and_slow_answers():
    result = await Gateway().source().read(BOTH, [ERRORS, LATENCY], NOW)
    assert seen(result) == {
        (V1, ""): Counter(932, 0),
        (V1, "errors"): Counter(925, 5),  # the 7 with 499 had left
        (V1, "latency"): Counter(932, 0),
        (V2, ""): Counter(100, 0),
        (V2, "errors"): Counter(100, 10),
        (V2, "latency"): Counter(100, 10),
    }
    assert {r.source for r in result.readings} == {"gateway"}
    assert {r.started for r in result.readings} == {"1795471056.51"}
    assert len({r.instance for r in result.readings}) == 2
    assert not result.errors
    assert not result.unmeasurable


@pytest.mark.parametrize(
    "label",
    [
        "ml-support-v1-aaaaaaaa-8000@kubernetesgateway",
        "ml-support-v1-aaaaaaaa-http-8000@kubernetesgateway",
        "httproute-ml-a-svc-b-gw-g-i-ep-http-0-ff-svc-ml-support-v1-aaaaaaaa-3@kubernetesgateway",
    ],
)
async def test_every_way_in_which_traefik_names_a_backend(label):
    result = await Gateway(page((label, {"200": 3}))).source().read(BOTH, [ERRORS], NOW)
    assert seen(result) == {(V1, ""): Counter(3, 0), (V1, "errors"): Counter(3, 0)}


@pytest.mark.parametrize(
    "label",
    [
        "ml-support-v1-aaaaaaaa-8000@docker",
        "httproute-ml-r-gw-g-i-ep-http-0-ff-svc-mlx-support-v1-aaaaaaaa-0@kubernetesgateway",
        "httproute-ml-r-gw-g-i-ep-http-0-ff-svc-ml-support-v1-aaaaaaaab-0@kubernetesgateway",
        "httproute-ml-support-v1-aaaaaaaa-gw-g-i-ep-http-0-ff-svc-ml-other-0@kubernetesgateway",
    ],
)
async def test_no_other_backend_is_taken_for_ours(label):
    result = await Gateway(page((label, {"200": 3}))).source().read(BOTH, [ERRORS], NOW)
    assert not result.readings


async def test_a_backend_without_a_series_has_no_reading_and_no_zero():
    result = await Gateway(page((TRAEFIK_V1, {"200": 3}))).source().read(BOTH, [ERRORS], NOW)
    assert {r.revision for r in result.readings} == {V1}
    assert not result.errors


async def test_the_first_token_cannot_be_seen_from_here():
    result = await Gateway().source().read(BOTH, [GuardrailQuery("ttft", "TimeToFirstToken", 2.5)], NOW)
    assert "sees whole answers and no TimeToFirstToken" in result.unmeasurable["ttft"]
    assert all("ttft" not in r.counters for r in result.readings)


async def test_a_threshold_between_buckets_is_refused_before_our_backend_has_any_traffic():
    other = page(("httproute-x-y-gw-g-i-ep-http-0-ff-svc-x-y-0@kubernetesgateway", {"200": 1}))
    result = await Gateway(other).source().read(BOTH, [GuardrailQuery("slow", "RequestLatency", 2.0)], NOW)
    assert result.unmeasurable["slow"] == (
        "slowerThan 2s is not a bucket of traefik_service_request_duration_seconds; use 0.1s or 2.5s, "
        "or add it to the gateway's --metrics.prometheus.buckets"
    )


async def test_one_request_serves_all_who_ask_in_the_same_round():
    gateway = Gateway()
    source = gateway.source()
    results = await asyncio.gather(*(source.read(BOTH, [ERRORS], NOW) for _ in range(50)))
    assert len(gateway.asked) == 1
    assert all(len(r.readings) == 2 for r in results)
    await source.read(BOTH, [ERRORS], NOW + timedelta(seconds=1))
    assert len(gateway.asked) == 2


async def test_the_first_to_ask_may_leave_without_taking_the_answer_from_the_others():
    gateway = Gateway()
    source = gateway.source()
    first = asyncio.create_task(source.read(BOTH, [ERRORS], NOW))
    second = asyncio.create_task(source.read(BOTH, [ERRORS], NOW))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).readings


async def test_every_instance_is_read_under_the_name_of_its_host():
    pages = {"192.0.2.1": page((TRAEFIK_V1, {"200": 3})), "192.0.2.2": httpx.Response(503)}
    gateway = Gateway(pages, ("192.0.2.1", "192.0.2.2"))
    result = await gateway.source().read(BOTH, [ERRORS], NOW)
    assert sorted(gateway.asked) == [
        ("http://192.0.2.1:8082/metrics", "traefik.gateways:8082"),
        ("http://192.0.2.2:8082/metrics", "traefik.gateways:8082"),
    ]
    assert [r.instance.split("/")[1] for r in result.readings] == ["192.0.2.1:8082"]
    assert result.errors == {
        "192.0.2.2:8082": "Unreachable: 192.0.2.2:8082 answers 503 at /metrics (gateway inference)"
    }


async def test_a_name_that_is_not_known_is_told():
    gateway = Gateway(addresses=OSError(-2, "Name or service not known"))
    result = await gateway.source().read(BOTH, [ERRORS], NOW)
    assert result.errors == {
        "traefik.gateways": (
            "Unreachable: gateway inference: the name traefik.gateways cannot be resolved: Name or service not known"
        )
    }


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (texts.TRAEFIK[:-1], "cut off in the middle of a line"),
        (texts.TRAEFIK.replace(TRAEFIK_START, ""), "no process_start_time_seconds"),
        (texts.TRAEFIK.replace("} 900", "} NaN"), "which no counter can be"),
        (texts.TRAEFIK.replace("} 900", "} -3"), "which no counter can be"),
    ],
)
async def test_what_cannot_be_believed_is_an_error(text, says):
    result = await Gateway(text).source("http://192.0.2.1:8082/metrics").read([target(V1)], [ERRORS], NOW)
    assert not result.readings
    assert says in result.errors["192.0.2.1:8082"]
    assert result.errors["192.0.2.1:8082"].startswith("Unreadable: gateway inference at 192.0.2.1:8082")


async def test_a_large_page_is_sorted_beside_the_event_loop_to_the_same_end():
    filler = "".join(f'traefik_router_requests_total{{router="r{i}"}} 1\n' for i in range(8000))
    result = await Gateway(texts.TRAEFIK + filler).source().read(BOTH, [ERRORS], NOW)
    assert seen(result) == seen(await Gateway().source().read(BOTH, [ERRORS], NOW))


async def follow(gateway, pages):
    """The ledger after reading ``pages``, one a second."""
    source = gateway.source()
    ledger = new_ledger("r1", V1, V2, NOW)
    for second, text in enumerate(pages):
        now = NOW + timedelta(seconds=second)
        gateway.page = text
        result = await source.read(BOTH, [ERRORS], now)
        ledger = absorb(ledger, result.readings, step=0, now=now)
    return ledger


async def test_the_first_requests_of_a_new_backend_are_counted():
    stable = (TRAEFIK_V1, {"200": 50})
    ledger = await follow(Gateway(), [page(stable), page(stable, (TRAEFIK_V2, {"200": 4, "500": 1}))])
    assert ledger.total("gateway", V2, "errors") == Counter(5, 1)
    assert ledger.total("gateway", V1) == Counter(0, 0)  # from before the rollout


async def test_a_backend_that_moves_in_the_route_keeps_its_counts():
    moved = TRAEFIK_V2.replace("-1@", "-0@")
    ledger = await follow(
        Gateway(),
        [page(), page((TRAEFIK_V2, {"200": 8, "500": 2})), page((moved, {"200": 5})), page((moved, {"200": 9}))],
    )
    assert ledger.total("gateway", V2, "errors") == Counter(19, 2)
    assert ledger.resets == 0


async def test_a_backend_that_leaves_the_route_and_returns_goes_on_without_a_fall():
    lives = [page()]
    for _ in range(5):  # more often than a counter may fall
        lives += [page((TRAEFIK_V2, {"200": 10})), page((TRAEFIK_V2, {"200": 20, "502": 1})), page()]
    ledger = await follow(Gateway(), [*lives, page((TRAEFIK_V2, {"200": 3}))])
    assert ledger.total("gateway", V2, "errors") == Counter(5 * 21 + 3, 5)
    assert ledger.resets == 0


async def test_replicas_behind_one_address_are_told_apart_by_their_start():
    one, other = "process_start_time_seconds 1.79e+09\n", "process_start_time_seconds 1.78e+09\n"
    pages = []
    for i in range(1, 8):
        pages += [page((TRAEFIK_V2, {"200": 10 * i}), start=one), page((TRAEFIK_V2, {"200": 1000 + i}), start=other)]
    ledger = await follow(Gateway(), pages)
    assert ledger.total("gateway", V2) == Counter(60 + 6, 0)
    assert ledger.resets == 0


async def test_an_outage_of_the_gateway_s_metrics_loses_nothing():
    down = httpx.Response(500)
    ledger = await follow(
        Gateway(), [page(), down, down, page((TRAEFIK_V2, {"200": 7})), down, page((TRAEFIK_V2, {"200": 9}))]
    )
    assert ledger.total("gateway", V2) == Counter(9, 0)


async def test_an_address_is_its_own_and_a_name_is_looked_up():
    assert await resolve("192.0.2.1", 80) == ("192.0.2.1",)
    assert await resolve("::1", 80) == ("::1",)
    assert "127.0.0.1" in await resolve("localhost", 80)
