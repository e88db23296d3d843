from __future__ import annotations

import asyncio
import json
import math
import time
from dataclasses import replace

import aiohttp
import pytest
from lab.engines.simengine.engine import Config
from lab.engines.simengine.faults import Faults, from_text
from simulated import FAST, Running, Start

RUNNING = 'vllm:num_requests_running{engine="0",model_name="letters"}'
SUCCESS = 'vllm:request_success_total{{engine="0",finished_reason="{}",model_name="letters"}}'
STREAM = {"model": "letters", "prompt": "a", "max_tokens": 6, "stream": True}


async def stream(engine: Running, **more: object) -> tuple[aiohttp.ClientResponse, list[str]]:
    """Headers and the data of each event; raises what the client raises when the stream is cut."""
    async with engine.client.post(f"{engine.url}/v1/completions", json=STREAM | more) as answer:
        return answer, [line[6:].decode().strip() async for line in answer.content if line.startswith(b"data: ")]


async def test_answers_models_and_usage(start: Start) -> None:
    engine = await start(Config(served_names=("letters", "alias"), revision="v1-abc", pod="p1"))
    status, headers, body = await engine.ask("a", 3, model="alias")
    assert (status, body["choices"][0]["text"], body["model"]) == (200, "bcd", "alias")
    assert body["choices"][0]["finish_reason"] == "length"
    assert body["usage"] == {"prompt_tokens": 1, "completion_tokens": 3, "total_tokens": 4}
    assert headers["x-solera-revision"] == "v1-abc"
    assert "x-sim-fault" not in headers
    async with engine.client.get(f"{engine.url}/v1/models") as answer:
        assert [model["id"] for model in (await answer.json())["data"]] == ["letters", "alias"]
    chat = {"model": "letters", "messages": [{"role": "user", "content": "say y"}], "max_tokens": 40}
    async with engine.client.post(f"{engine.url}/v1/chat/completions", json=chat) as answer:
        choice = (await answer.json())["choices"][0]
    assert (choice["message"]["content"][:3], choice["finish_reason"]) == ("zab", "stop")
    assert await engine.value(SUCCESS.format("stop")) == 1
    assert await engine.value(SUCCESS.format("length")) == 1


async def test_streams_end_with_usage_and_done(start: Start) -> None:
    engine = await start()
    answer, events = await stream(engine, stream_options={"include_usage": True}, stop="f")
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    assert events[-1] == "[DONE]"
    chunks = [json.loads(event) for event in events[:-1]]
    assert "".join(c["choices"][0]["text"] for c in chunks if c["choices"]) == "bcde"
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert chunks[-1]["usage"]["completion_tokens"] == 4
    assert await engine.value('vllm:inter_token_latency_seconds_count{engine="0",model_name="letters"}') == 3


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"model": "other", "prompt": "a"}, 404, "other"),
        ({"model": "letters"}, 400, "prompt"),
        ({"model": "letters", "prompt": ["a", "b"]}, 400, "prompt"),
        ({"model": "letters", "prompt": "a", "max_tokens": 0}, 400, "max_tokens"),
        ({"model": "letters", "prompt": "a", "max_tokens": 5000}, 400, "max_tokens"),
        ({"model": "letters", "prompt": "a", "n": 2}, 400, "n:"),
        (["a"], 400, "body"),
    ],
)
async def test_bad_requests_are_told_what_is_wrong(start: Start, body: object, status: int, field: str) -> None:
    engine = await start()
    async with engine.client.post(f"{engine.url}/v1/completions", json=body) as answer:
        assert answer.status == status
        assert field in (await answer.json())["error"]["message"]
    assert await engine.value('http_requests_total{handler="/v1/completions",method="POST",status="4xx"}') == 1
    assert await engine.value('vllm:e2e_request_latency_seconds_count{engine="0",model_name="letters"}') == 0


async def test_errors_are_500_announced_and_counted(start: Start) -> None:
    engine = await start(faults=replace(FAST, error_rate=0.3))
    answers = [await engine.ask() for _ in range(200)]
    failed = [(status, headers["x-sim-fault"]) for status, headers, _ in answers if status != 200]
    assert set(failed) == {(500, "error")}
    assert 30 < len(failed) < 90
    assert await engine.value(SUCCESS.format("error")) == len(failed)
    assert await engine.value(SUCCESS.format("length")) == 200 - len(failed)
    assert await engine.value('http_requests_total{handler="/v1/completions",method="POST",status="5xx"}') == len(
        failed
    )


async def test_the_same_seed_repeats_and_one_fault_does_not_shift_another(start: Start) -> None:
    async def pattern(seed: str, **faults: float) -> list[int]:
        engine = await start(Config(seed=seed), replace(FAST, error_rate=0.5, **faults))
        return [(await engine.ask())[0] for _ in range(24)]

    first = await pattern("7")
    assert await pattern("7", wrong_rate=0.5) == first
    assert await pattern("8") != first


async def test_rejections_never_reach_the_engine(start: Start) -> None:
    engine = await start(faults=replace(FAST, reject_rate=1.0, reject_status=503))
    status, headers, _ = await engine.ask()
    assert (status, headers["x-sim-fault"]) == (503, "reject")
    assert await engine.value('http_requests_total{handler="/v1/completions",method="POST",status="5xx"}') == 1
    assert await engine.value('vllm:e2e_request_latency_seconds_count{engine="0",model_name="letters"}') == 0


async def test_cut_streams_break_off_after_their_first_tokens(start: Start) -> None:
    engine = await start(faults=replace(FAST, cut_rate=1.0))
    async with engine.client.post(f"{engine.url}/v1/completions", json=STREAM) as answer:
        assert (answer.status, answer.headers["x-sim-fault"]) == (200, "cut")
        got: list[bytes] = []
        with pytest.raises(aiohttp.ClientPayloadError):
            async for line in answer.content:
                got.append(line)
    assert sum(line.startswith(b"data: ") for line in got) == 3  # of the six that were asked for
    assert await engine.value(SUCCESS.format("error")) == 1
    assert await engine.value('http_requests_total{handler="/v1/completions",method="POST",status="2xx"}') == 1
    assert (await engine.ask())[0] == 200  # only streams are cut


async def test_a_hang_keeps_health_and_answers_once_it_is_over(start: Start) -> None:
    engine = await start(faults=replace(FAST, hang_rate=1.0))
    asked = asyncio.create_task(engine.ask())
    await engine.until(RUNNING, 1)
    assert not asked.done()
    async with engine.client.get(f"{engine.url}/health") as answer:
        assert answer.status == 200
    assert await engine.value(RUNNING) == 1
    await engine.put(hang_rate=0)
    status, headers, _ = await asyncio.wait_for(asked, 30)
    assert (status, headers["x-sim-fault"]) == (200, "hang")


async def test_a_client_that_leaves_is_an_abort(start: Start) -> None:
    engine = await start(faults=replace(FAST, hang_rate=1.0))
    asked = asyncio.create_task(engine.ask())
    await engine.until(RUNNING, 1)
    asked.cancel()
    await engine.until(SUCCESS.format("abort"), 1)
    assert await engine.value(RUNNING) == 0


async def test_wrong_answers_by_rate_and_by_letter(start: Start) -> None:
    engine = await start(faults=replace(FAST, wrong_letters="am"))
    answers = {letter: await engine.text(letter) for letter in "abmz"}
    assert answers == {"a": "c", "b": "c", "m": "o", "z": "a"}
    await engine.put(wrong_letters="", wrong_rate=0.25)
    wrong = sum([await engine.text("a") != "b" for _ in range(200)])
    assert 25 < wrong < 80


async def test_times_follow_the_switches(start: Start) -> None:
    engine = await start(faults=Faults(ttft_median=0.05, ttft_sigma=0.0, inter_token_delay=0.02))
    before = time.perf_counter()
    await engine.ask(tokens=4)
    took = time.perf_counter() - before
    assert took >= 0.11
    first = await engine.value('vllm:time_to_first_token_seconds_sum{engine="0",model_name="letters"}')
    assert 0.05 <= first < took - 0.05
    assert await engine.value('vllm:inter_token_latency_seconds_count{engine="0",model_name="letters"}') == 3
    await engine.put(slow_share=1.0, slow_delay=0.3, ttft_median=0.0)
    _, headers, _ = await engine.ask(tokens=1)
    assert headers["x-sim-fault"] == "slow"
    over = 'vllm:time_to_first_token_seconds_bucket{engine="0",le="0.25",model_name="letters"}'
    assert await engine.value(over) == 1  # of two


async def test_requests_beyond_the_batch_wait_in_the_gauges(start: Start) -> None:
    engine = await start(Config(max_num_seqs=2), replace(FAST, hang_rate=1.0))
    asked = [asyncio.create_task(engine.ask()) for _ in range(5)]
    await asyncio.sleep(0.1)
    assert await engine.value('vllm:num_requests_running{engine="0",model_name="letters"}') == 2
    assert await engine.value('vllm:num_requests_waiting{engine="0",model_name="letters"}') == 3
    assert await engine.value('vllm:kv_cache_usage_perc{engine="0",model_name="letters"}') == 1
    await engine.put(hang_rate=0)
    assert [status for status, _, _ in await asyncio.gather(*asked)] == [200] * 5
    assert await engine.value('vllm:request_queue_time_seconds_sum{engine="0",model_name="letters"}') > 0.2


async def test_loading_is_503_until_it_is_done(start: Start) -> None:
    engine = await start(faults=replace(FAST, startup_delay=60.0))
    async with engine.client.get(f"{engine.url}/health") as answer:
        assert answer.status == 503
    assert (await engine.ask())[0] == 503
    await engine.put(startup_delay=0)
    async with engine.client.get(f"{engine.url}/health") as answer:
        assert answer.status == 200
    assert (await engine.ask())[0] == 200


async def test_put_starts_from_what_was_declared_and_patch_from_what_is(start: Start) -> None:
    engine = await start(faults=replace(FAST, error_rate=0.1))
    await engine.put(wrong_rate=0.5)
    assert (engine.engine.faults.error_rate, engine.engine.faults.wrong_rate) == (0.1, 0.5)
    await engine.put(hang_rate=0.25)
    assert (engine.engine.faults.hang_rate, engine.engine.faults.wrong_rate) == (0.25, 0.0)
    async with engine.client.patch(f"{engine.url}/faults", json={"cut_rate": 1}) as answer:
        assert (await answer.json())["hang_rate"] == 0.25
    async with engine.client.get(f"{engine.url}/faults") as answer:
        shown = await answer.json()
    assert (shown["cut_rate"], shown["hang_rate"]) == (1, 0.25)
    await engine.put(**shown)  # what GET shows can be put back


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"error_rate": 2}, "error_rate"),
        ({"eror_rate": 0.1}, "eror_rate"),
        ({"error_rate": "x"}, "error_rate"),
        ({"wrong_rate": 0.5, "drain_mode": "leave"}, "drain_mode"),
        ({"metrics_mode": "gone"}, "metrics_mode"),
        ({"startup_fail": 1}, "startup_fail"),
        ({"wrong_letters": "A"}, "wrong_letters"),
    ],
)
async def test_faults_that_cannot_be_are_refused_as_a_whole(start: Start, wanted: object, field: str) -> None:
    engine = await start()
    async with engine.client.put(f"{engine.url}/faults", json=wanted) as answer:
        assert answer.status == 400
        assert (await answer.json())["error"]["message"].startswith(field)
    assert engine.engine.faults == FAST


def test_faults_are_read_from_text() -> None:
    faults = from_text({"error_rate": "0.5", "startup_fail": "true", "reject_status": "503", "wrong_letters": "ab"})
    assert faults == Faults(error_rate=0.5, startup_fail=True, reject_status=503, wrong_letters="ab")
    for name, text in (("error_rate", "much"), ("startup_fail", "perhaps"), ("reject_status", "5.5")):
        with pytest.raises(ValueError, match=name):
            from_text({name: text})


async def test_counters_reset_openly_or_hidden_and_by_the_clock(start: Start) -> None:
    engine = await start()
    born = await engine.value("process_start_time_seconds")
    await engine.ask()
    await engine.client.post(f"{engine.url}/counters/reset?hidden=true")
    assert await engine.value(SUCCESS.format("length")) == 0
    assert await engine.value("process_start_time_seconds") == born
    await engine.ask()
    await engine.client.post(f"{engine.url}/counters/reset")
    assert await engine.value(SUCCESS.format("length")) == 0
    assert await engine.value("process_start_time_seconds") > born
    await engine.put(counter_reset_every=0.1)
    await engine.ask()
    await asyncio.sleep(0.12)
    assert await engine.value(SUCCESS.format("length")) == 0


async def test_metrics_fail_in_their_own_ways_while_requests_are_answered_and_counted(start: Start) -> None:
    engine = await start()
    count = SUCCESS.format("length")
    await engine.ask()
    await engine.put(metrics_mode="closed")
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await engine.page()
    await engine.put(metrics_mode="missing")
    async with engine.client.get(f"{engine.url}/metrics") as answer:
        assert answer.status == 404
    await engine.put(metrics_mode="empty")
    assert await engine.page() == ""
    await engine.put(metrics_mode="nan")
    values = [line.rpartition(" ")[2] for line in (await engine.page()).splitlines() if not line.startswith("#")]
    assert set(values) == {"NaN"}
    assert math.isnan(await engine.value(count))
    await engine.ask()
    await engine.put(metrics_delay=0.2)
    began = time.monotonic()
    assert await engine.value(count) == 2
    assert time.monotonic() - began >= 0.2


async def test_drain_answers_what_is_in_flight_and_what_still_comes_then_closes(start: Start) -> None:
    engine = await start(faults=replace(FAST, hang_rate=1.0))
    early = asyncio.create_task(engine.ask())
    streamed = asyncio.create_task(stream(engine))
    await engine.until(RUNNING, 2)
    drained = asyncio.create_task(engine.server.drain(60))
    await asyncio.sleep(0.5)  # longer than QUIET
    assert not drained.done()
    async with engine.client.get(f"{engine.url}/health") as answer:
        assert answer.status == 503
    await engine.put(hang_rate=0)
    status, headers, _ = await engine.ask()
    assert (status, headers["Connection"]) == (200, "close")
    status, headers, _ = await early
    assert (status, headers["Connection"]) == (200, "close")
    assert (await streamed)[1][-1] == "[DONE]"
    await asyncio.wait_for(drained, 30)
    with pytest.raises(aiohttp.ClientConnectionError):
        await engine.ask()


async def test_an_aborting_engine_cuts_and_a_slow_one_stays(start: Start) -> None:
    engine = await start(faults=replace(FAST, hang_rate=1.0, drain_mode="abort"))
    asked = asyncio.create_task(engine.ask())
    await engine.until(RUNNING, 1)
    await asyncio.wait_for(engine.server.drain(60), 30)
    with pytest.raises(aiohttp.ClientConnectionError):
        await asked
    slow = await start(faults=replace(FAST, drain_delay=0.6))
    before = time.monotonic()
    await slow.server.drain(60)
    assert 0.6 <= time.monotonic() - before < 30


async def test_a_drain_ends_at_its_limit_and_a_hanging_one_never(start: Start) -> None:
    engine = await start(faults=replace(FAST, hang_rate=1.0))
    asked = asyncio.create_task(engine.ask())
    await engine.until(RUNNING, 1)
    await asyncio.wait_for(engine.server.drain(0.2), 30)
    with pytest.raises(aiohttp.ClientConnectionError):
        await asked
    hanging = await start(faults=replace(FAST, drain_mode="hang"))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(hanging.server.drain(0.1), 0.4)
    assert (await hanging.ask())[0] == 200
