import asyncio
import gzip
from datetime import UTC, datetime

import httpx
import pytest

from solera.observe.direct import DirectSource
from solera.observe.fetch import client
from solera.observe.metrics import GuardrailQuery, Target
from solera.plan.evidence import Counter, Flight
from unit.observe import texts
from unit.observe.servers import drips, hangs, sends, serve

NOW = datetime(2027, 3, 1, 12, tzinfo=UTC)
ERRORS = GuardrailQuery("errors", "ErrorRate")
TTFT = GuardrailQuery("ttft", "TimeToFirstToken", 2.5)


def target(instance="uid-1", host="10.0.0.1", port=8000, **more):
    return Target(
        "support-v1-aaaaaaaa", instance, host, port, "ml", "support-v1-aaaaaaaa", **({"engine": "vLLM"} | more)
    )


def source(handler, **bounds):
    http = httpx.AsyncClient(transport=httpx.MockTransport(handler))
    return DirectSource(http, **bounds)


def answering(text, status=200):
    return source(lambda _request: httpx.Response(status, text=text))


async def test_a_pod_becomes_one_reading():
    asked = []

    def handler(request):
        asked.append(str(request.url))
        return httpx.Response(200, text=texts.VLLM)

    result = await source(handler).read([target(host="fd00::7")], [ERRORS, TTFT], NOW)
    (reading,) = result.readings
    assert asked == ["http://[fd00::7]:8000/metrics"]
    assert (reading.at, reading.source, reading.revision, reading.instance) == (
        NOW,
        "engine",
        "support-v1-aaaaaaaa",
        "uid-1",
    )
    assert reading.started == "1795471818.89"
    assert reading.counters == {"": Counter(107, 0), "errors": Counter(100, 3), "ttft": Counter(100, 5)}
    assert not result.errors
    assert not result.unmeasurable


async def test_a_reading_tells_what_is_in_flight_and_a_gauge_that_is_no_number_costs_nothing_else():
    for waiting, flights in (("5.0", {"ttft": Flight(236, 232, 2.5)}), ("NaN", {})):
        text = texts.VLLM + f'vllm:num_requests_waiting{{engine="0",model_name="support"}} {waiting}\n'
        result = await answering(text).read([target()], [ERRORS, TTFT], NOW)
        assert result.readings[0].flights == flights
        assert result.readings[0].counters["ttft"] == Counter(100, 5)
        assert not result.errors


async def test_without_a_process_start_the_container_s_is_taken():
    begun = datetime(2027, 3, 1, 11, tzinfo=UTC)
    result = await answering(texts.VLLM_V0).read([target(started=begun), target("uid-2")], [], NOW)
    assert [r.started for r in result.readings] == [f"{begun.timestamp():.2f}", ""]


async def test_one_pod_s_trouble_is_its_own():
    def handler(request):
        return httpx.Response(200 if request.url.host == "10.0.0.1" else 503, text=texts.VLLM)

    result = await source(handler).read([target(), target("uid-2", "10.0.0.2")], [ERRORS], NOW)
    assert [r.instance for r in result.readings] == ["uid-1"]
    assert result.errors == {"uid-2": "Unreachable: 10.0.0.2:8000 answers 503 at /metrics"}


@pytest.mark.parametrize(
    ("engine", "hint"), [("SGLang", "--enable-metrics"), ("llama.cpp", "--metrics"), ("OpenAI", "at /metrics")]
)
async def test_a_server_without_metrics_is_unmeasurable_not_unreachable(engine, hint):
    result = await answering("no", 404).read([target(engine=engine)], [ERRORS], NOW)
    assert not result.errors
    assert hint in result.unmeasurable["errors"]


async def test_what_an_engine_does_not_show_counts_against_it_only_after_its_first_answer():
    text = "# TYPE sglang:num_running_reqs gauge\n"
    waiting = await answering(text).read([target(answered=False)], [ERRORS], NOW)
    assert (waiting.readings, waiting.errors, waiting.unmeasurable) == ((), {}, {})
    answered = await answering(text).read([target()], [ERRORS], NOW)
    assert "SGLang shows no sglang:http_responses_total" in answered.unmeasurable["errors"]


@pytest.mark.parametrize(
    "text", [texts.VLLM[:-1], texts.VLLM.replace("} 80.0", "} NaN"), texts.VLLM.replace("} 80.0", "} -4")]
)
async def test_numbers_that_cannot_be_are_an_error_that_names_the_pod(text):
    result = await answering(text).read([target()], [ERRORS], NOW)
    assert not result.readings
    assert result.errors["uid-1"].startswith("Unreadable: /metrics of 10.0.0.1:8000: ")


async def test_a_redirect_is_not_followed():
    def handler(request):
        assert request.url.host == "10.0.0.1"
        return httpx.Response(302, headers={"Location": "http://elsewhere/metrics"})

    result = await source(handler).read([target()], [ERRORS], NOW)
    assert result.errors == {"uid-1": "Unreachable: 10.0.0.1:8000 answers 302 at /metrics"}


@pytest.mark.parametrize(
    ("handler", "says"),
    [
        (sends(texts.VLLM.encode(), length=100_000), "Unreachable: {at} broke off: "),
        (
            sends(texts.VLLM.encode()[:-300]),
            "Unreadable: /metrics of {at}: the answer is cut off in the middle of a line",
        ),
        (sends(b"x" * 70_000), "Unreadable: /metrics of {at}: the answer of {at} is longer than 65536 bytes"),
        (
            sends(gzip.compress(b"x" * 10), headers="Content-Encoding: gzip\r\n"),
            "Unreadable: /metrics of {at}: {at} sent gzip",
        ),
        (sends(b"\xff\xfe\n"), "Unreadable: /metrics of {at}: the answer of {at} is not UTF-8 text"),
    ],
)
async def test_a_bad_answer_is_an_error_and_never_a_number(handler, says):
    await is_an_error(handler, says, 30)  # a stall of the machine is no part of it


@pytest.mark.parametrize("handler", [hangs, drips])
async def test_an_answer_that_does_not_end_is_given_up(handler):
    await is_an_error(handler, "Unreachable: no complete answer from {at} within 0.2s", 0.2)


async def is_an_error(handler, says, seconds):
    async with serve(handler) as (host, port), client(4) as http:
        direct = DirectSource(http, timeout=seconds, max_bytes=65536)
        result = await direct.read([target(host=host, port=port)], [ERRORS], NOW)
    assert not result.readings
    assert result.errors["uid-1"].startswith(says.format(at=f"{host}:{port}"))


async def test_a_closed_port_is_named_with_the_system_s_reason():
    async with serve(hangs) as (host, port):
        pass
    async with client(4) as http:
        result = await DirectSource(http).read([target(host=host, port=port)], [ERRORS], NOW)
    assert result.errors == {"uid-1": f"Unreachable: cannot connect to {host}:{port}: Connection refused"}


async def test_environment_proxies_are_ignored(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    async with serve(sends(texts.VLLM.encode())) as (host, port), client(4) as http:
        result = await DirectSource(http).read([target(host=host, port=port)], [ERRORS], NOW)
    assert result.readings


async def test_only_so_many_pods_are_read_at_a_time():
    now, most = 0, 0

    async def handler(_request):
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.002)
        now -= 1
        return httpx.Response(200, text=texts.VLLM)

    direct = source(handler, concurrency=3)
    result = await direct.read([target(f"uid-{i}") for i in range(12)], [ERRORS], NOW)
    assert len(result.readings) == 12
    assert most == 3


async def test_pods_that_hang_do_not_take_the_places_of_others():
    async def handler(request):
        if request.url.host == "10.0.0.2":
            await asyncio.Event().wait()
        return httpx.Response(200, text=texts.VLLM)

    direct = source(handler, concurrency=8, timeout=0.3)
    hanging = [target(f"hangs-{i}", "10.0.0.2") for i in range(8)]
    assert len((await direct.read(hanging, [ERRORS], NOW)).errors) == 8
    again = asyncio.create_task(direct.read(hanging, [ERRORS], NOW))
    await asyncio.sleep(0)
    result = await direct.read([target(f"well-{i}") for i in range(8)], [ERRORS], NOW)
    assert len(result.readings) == 8
    assert not again.done()
    again.cancel()
    await asyncio.gather(again, return_exceptions=True)
