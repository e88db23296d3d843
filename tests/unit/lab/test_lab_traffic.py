from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from lab.engines.simengine.engine import Config
from lab.traffic import Plan, Traffic, main, running
from lab.traffic_record import Record, Totals, read_records, summarize
from simulated import FAST, Start

PLAN = Plan(url="http://127.0.0.1:1", model="letters", rate=400, duration=0.25, timeout=20, grace=1, chat_share=0.3)


@asynccontextmanager
async def raw(talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]):
    """A server that says on each connection what ``talk`` writes; yields its address."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def run(plan: Plan, path: Path | None = None) -> Totals:
    return await asyncio.wait_for(Traffic(plan, path).run(), 60)


async def test_every_answer_is_recorded_and_marked(start: Start, tmp_path: Path) -> None:
    engine = await start(Config(revision="r1", pod="p1"))
    path = tmp_path / "deep" / "answers.jsonl"
    totals = await run(replace(PLAN, url=engine.url, host="support.example.com"), path)
    assert totals.as_json()["outcomes"] == {"ok": 100}
    records = list(read_records(path))
    assert sorted(record.number for record in records) == list(range(100))
    assert {(r.revision, r.pod, r.status, r.correct) for r in records} == {("r1", "p1", 200, True)}
    assert {(r.kind, r.stream) for r in records} == {(k, s) for k in ("chat", "completion") for s in (True, False)}
    assert all(r.sent <= r.done and r.ttft is not None and r.ttft <= r.latency for r in records)
    assert summarize(records).as_json() == totals.as_json()
    handled = 'http_requests_total{handler="/v1/completions",method="POST",status="2xx"}'
    assert await engine.value(handled) == sum(r.kind == "completion" for r in records)


async def test_two_revisions_are_told_apart_by_their_header(start: Start, tmp_path: Path) -> None:
    good = await start(Config(revision="good"))
    bad = await start(Config(revision="bad"), replace(FAST, wrong_rate=1.0))
    for engine in (good, bad):
        await run(replace(PLAN, url=engine.url, duration=0.1), tmp_path / engine.engine.config.revision)
    both = summarize(record for name in ("good", "bad") for record in read_records(tmp_path / name))
    shown = both.as_json()["revisions"]
    assert (shown["good"]["outcomes"], shown["bad"]["outcomes"]) == ({"ok": 40}, {"wrong": 40})
    assert shown["good"]["share"] == shown["bad"]["share"] == 0.5
    assert shown["good"]["first_bad"] is None
    assert shown["good"]["last"] < shown["bad"]["first"] == shown["bad"]["first_bad"] < shown["bad"]["last"]
    assert both.lost == 0


async def test_injected_faults_are_counted_but_not_lost(start: Start) -> None:
    engine = await start(faults=replace(FAST, error_rate=0.2, reject_rate=0.1, cut_rate=0.5))
    totals = await run(replace(PLAN, url=engine.url, stream_share=0.5))
    shown = totals.as_json()
    assert shown["lost"] == 0
    assert set(shown["outcomes"]) == {"ok", "client_error", "server_error", "cut"}
    assert shown["injected"] == 100 - shown["outcomes"]["ok"]
    assert shown["revisions"]["r1"]["first_bad"] is not None


async def test_a_refused_connection_is_lost() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening: refused
        totals = await run(replace(PLAN, url=f"http://127.0.0.1:{taken.getsockname()[1]}", rate=40))
    assert (totals.outcomes["connection"], totals.lost) == (10, 10)
    assert totals.as_json()["revisions"]["none"]["lost"] == 10
    assert totals.lost_examples[0].error


CASES = {
    # what the server sends before it closes: outcome, lost
    b"": ("connection", True),
    b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}": ("cut", True),
    b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nx-sim-fault: cut\r\n\r\n{}": ("cut", False),
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}": ("malformed", True),
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello": ("malformed", True),
    b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: /x\r\n\r\n": ("malformed", True),
    b"HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno": ("server_error", True),
    b"HTTP/1.1 500 No\r\nContent-Length: 2\r\nx-sim-fault: error\r\n\r\nno": ("server_error", False),
    b"HTTP/1.1 500 No\r\nContent-Length: 2\r\nx-sim-fault: slow\r\n\r\nno": ("server_error", True),
    b"HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nno": ("client_error", False),
}


@pytest.mark.parametrize(("says", "outcome", "lost"), [(says, *seen) for says, seen in CASES.items()])
async def test_what_comes_back_is_sorted(says: bytes, outcome: str, lost: bool) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(says)
        await writer.drain()

    async with raw(talk) as url:
        totals = await run(replace(PLAN, url=url, max_requests=1, stream_share=0))
    assert (totals.as_json()["outcomes"], totals.lost) == ({outcome: 1}, int(lost))


async def test_a_stream_without_done_is_cut() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        event = b'data: {"choices":[{"text":"b"}]}\n\n'
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(event), event))
        await writer.drain()

    async with raw(talk) as url:
        totals = await run(replace(PLAN, url=url, max_requests=1, stream_share=1, chat_share=0))
    assert (totals.outcomes["cut"], totals.lost) == (1, 1)


async def test_nothing_is_retried_on_a_kept_connection() -> None:
    asked = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        body = json.dumps({"choices": [{"text": "b"}]}).encode()
        for _ in range(2):  # the second request on a connection is read and never answered
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
            asked += 1
            if asked % 2:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
                await writer.drain()

    async with raw(talk) as url:
        plan = replace(PLAN, url=url, rate=20, max_requests=4, stream_share=0, chat_share=0, concurrency=1)
        totals = await run(plan)
    assert asked == totals.requests == 4
    assert totals.outcomes["connection"] == 2


async def test_no_answer_in_time_is_lost_and_the_rate_does_not_follow_the_server(start: Start) -> None:
    engine = await start(faults=replace(FAST, hang_rate=1.0))
    totals = await run(replace(PLAN, url=engine.url, rate=10, duration=1, timeout=0.3))
    assert (totals.outcomes["timeout"], totals.lost) == (10, 10)
    assert totals.late <= 5  # one after the other they would all be late


async def test_a_full_house_makes_requests_late_not_fewer(start: Start) -> None:
    engine = await start(faults=replace(FAST, ttft_median=0.1, ttft_sigma=0.0))
    totals = await run(replace(PLAN, url=engine.url, rate=100, duration=0.1, concurrency=2))
    assert totals.as_json()["outcomes"] == {"ok": 10}
    assert totals.late >= 5


async def test_long_prompts_make_work_and_are_still_marked(start: Start, tmp_path: Path) -> None:
    engine = await start()
    totals = await run(replace(PLAN, url=engine.url, duration=0.05, prompt_length=50), tmp_path / "a.jsonl")
    assert totals.as_json()["outcomes"] == {"ok": 20}
    assert {len(record.prompt) for record in read_records(tmp_path / "a.jsonl")} == {1}
    assert await engine.value('vllm:prompt_tokens_total{engine="0",model_name="letters"}') == 20 * 50


async def test_stopping_waits_for_what_is_in_flight(start: Start, tmp_path: Path) -> None:
    engine = await start(faults=replace(FAST, ttft_median=0.3, ttft_sigma=0.0))
    async with running(replace(PLAN, url=engine.url, rate=50, duration=60), tmp_path / "a.jsonl") as traffic:
        await asyncio.sleep(0.25)
        before = time.monotonic()
    assert 0.1 < time.monotonic() - before < 30
    assert set(traffic.totals.outcomes) == {"ok"}
    assert 5 <= traffic.totals.requests == sum(1 for _ in read_records(tmp_path / "a.jsonl"))
    assert traffic.totals.requests < 50 * 60


async def test_cancelling_is_bounded_and_what_was_left_is_unfinished(start: Start) -> None:
    engine = await start(faults=replace(FAST, hang_rate=1.0))
    traffic = Traffic(replace(PLAN, url=engine.url, rate=50, duration=60, grace=0.1, timeout=30))
    task = asyncio.create_task(traffic.run())
    await asyncio.sleep(0.2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 20)
    assert set(traffic.totals.outcomes) == {"unfinished"}
    assert traffic.totals.lost == 0


def test_a_window_and_a_half_written_line(tmp_path: Path) -> None:
    made = [Record(i, i, i, i + 0.5, "completion", False, "a", "ok", 200, f"r{i % 2}") for i in range(10)]
    path = tmp_path / "x.jsonl"
    path.write_text("".join(record.line() for record in made) + made[0].line()[:20])
    assert list(read_records(path)) == made
    window = summarize(read_records(path), since=2, until=6)
    assert window.requests == 4
    assert window.share("r0") == 0.5
    assert window.share("absent") == 0
    assert window.revisions["r1"].last == 5.5


@pytest.mark.parametrize(
    ("wanted", "field"), [({"rate": 0}, "rate"), ({"stream_share": 1.5}, "stream_share"), ({"url": "host:80"}, "url")]
)
def test_a_plan_that_cannot_be_names_its_field(wanted: dict[str, object], field: str) -> None:
    with pytest.raises(ValueError, match=field):
        replace(PLAN, **wanted)


def test_the_program_prints_totals_and_may_fail_on_losses(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        argv = ["--url", url, "--model", "m", "--rate", "50", "--duration", "0.1", "--out", str(tmp_path / "o.jsonl")]
        assert main(argv) == 0
        assert main([*argv, "--fail-on-lost"]) == 1
    assert json.loads(capsys.readouterr().out.split("\n}\n")[0] + "\n}")["outcomes"] == {"connection": 5}
