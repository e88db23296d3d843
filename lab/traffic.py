"""Live traffic for a served model: requests at a set rate, whatever the answers do, and a record of every one.

Open loop: request *i* is due at ``start + i / rate``. When ``concurrency`` requests are already in flight the next one
waits, and the wait shows in its record (``sent`` after ``due``, and ``late`` in the totals), so that a slow server
cannot hide behind a client that slowed down with it. Nothing is ever retried.

As a library: ``await Traffic(plan, path).run()``, or ``async with running(plan) as traffic`` around what is watched.
As a program: ``python -m lab.traffic --help``; it prints the totals as JSON when it ends.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any

import aiohttp

from lab.engines.simengine.letters import LETTERS, continue_text
from lab.traffic_record import NO_REVISION, Record, Recorder, Totals


@dataclass(frozen=True, slots=True)
class Plan:
    """What to send. Times in seconds; shares 0..1. Raises ``ValueError`` naming the field that cannot be."""

    url: str  # of the gateway or engine, without a path
    model: str
    host: str | None = None  # the Host header: the hostname of the route
    rate: float = 10.0  # requests per second
    duration: float = 60.0
    max_requests: int | None = None
    concurrency: int = 256
    stream_share: float = 0.25
    chat_share: float = 0.0
    prompt_length: int = 1  # letters; the last one counts, those before it only make work
    max_tokens: int = 4
    timeout: float = 30.0  # for one request, to its last byte
    grace: float = 10.0  # for requests in flight at the end
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("rate", "duration", "timeout", "concurrency", "prompt_length", "max_tokens"):
            if getattr(self, name) <= 0:
                msg = f"{name}: {getattr(self, name)!r} must be more than 0"
                raise ValueError(msg)
        for name in ("stream_share", "chat_share"):
            if not 0 <= getattr(self, name) <= 1:
                msg = f"{name}: {getattr(self, name)!r} must be from 0 to 1"
                raise ValueError(msg)
        if not self.url.startswith(("http://", "https://")):
            msg = f"url: {self.url!r} must begin with http:// or https://"
            raise ValueError(msg)

    @property
    def count(self) -> int:
        """How many requests fall due in all."""
        due = max(1, round(self.rate * self.duration))
        return due if self.max_requests is None else min(due, self.max_requests)


class Traffic:
    """One run of a plan. ``totals`` may be read at any time."""

    def __init__(self, plan: Plan, path: Path | None = None) -> None:
        self.plan = plan
        self._recorder = Recorder(path)
        self._stopping = False
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def totals(self) -> Totals:
        return self._recorder.totals

    def stop(self) -> None:
        """Send nothing more; ``run`` returns once what is in flight is answered, or after ``grace``."""
        self._stopping = True

    async def run(self) -> Totals:
        """Send it all; returns the totals. Cancelled, it still waits for what is in flight, at most ``grace``."""
        plan = self.plan
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60.0)
        timeout = aiohttp.ClientTimeout(total=plan.timeout, sock_connect=min(5.0, plan.timeout))
        with self._recorder:
            async with aiohttp.ClientSession(connector=connector, timeout=timeout, trace_configs=[_reuse()]) as session:
                try:
                    await self._send_all(session)
                finally:
                    await self._finish()
        return self.totals

    async def _send_all(self, session: aiohttp.ClientSession) -> None:
        plan, dice = self.plan, random.Random(self.plan.seed)
        start, clock = time.time(), time.perf_counter()
        for number in range(plan.count):
            due = number / plan.rate
            while not self._stopping:
                left = due - (time.perf_counter() - clock)
                if left <= 0 and len(self._tasks) < plan.concurrency:
                    break
                # In slices, so that stop() and a freed place are noticed soon.
                await asyncio.sleep(min(max(left, 0.002), 0.1))
            if self._stopping:
                return
            kind = "chat" if dice.random() < plan.chat_share else "completion"
            stream = dice.random() < plan.stream_share
            ask = _Ask(number, start + due, kind, stream, "".join(dice.choices(LETTERS, k=plan.prompt_length)))
            task = asyncio.create_task(self._one(session, ask))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _finish(self) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self.plan.grace)
        late = list(self._tasks)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def _one(self, session: aiohttp.ClientSession, ask: _Ask) -> None:
        plan = self.plan
        headers = {"Content-Type": "application/json"} | ({"Host": plan.host} if plan.host else {})
        body = _body(plan.model, ask.kind, ask.stream, ask.prompt, plan.max_tokens)
        url = plan.url.rstrip("/") + ("/v1/chat/completions" if ask.kind == "chat" else "/v1/completions")
        seen, outcome = _Seen(ask), "unfinished"
        try:
            async with session.post(
                url, data=body, headers=headers, allow_redirects=False, trace_request_ctx=seen
            ) as answer:
                seen.meet(answer)
                outcome = await seen.read(answer)
            if outcome == "complete":
                seen.correct = seen.text != "" and continue_text(ask.prompt, plan.max_tokens).startswith(seen.text)
                outcome = "ok" if seen.correct else "wrong"
        except TimeoutError as why:
            outcome, seen.error = "timeout", repr(why)
        except (aiohttp.ClientError, OSError) as why:
            outcome, seen.error = ("connection" if seen.status is None else "cut"), repr(why)
        finally:
            self._recorder.add(seen.record(outcome))


@dataclass(frozen=True, slots=True)
class _Ask:
    number: int
    due: float
    kind: str
    stream: bool
    prompt: str


@dataclass(slots=True)
class _Seen:
    """What is known of an answer so far; what stays unknown when it breaks off stays None."""

    ask: _Ask
    sent: float = field(default_factory=time.time)
    clock: float = field(default_factory=time.perf_counter)
    reused: bool = False
    status: int | None = None
    revision: str = NO_REVISION
    pod: str | None = None
    fault: str | None = None
    ttft: float | None = None
    text: str = ""
    correct: bool | None = None
    error: str | None = None

    def meet(self, response: aiohttp.ClientResponse) -> None:
        headers = response.headers
        self.status = response.status
        self.revision = headers.get("x-solera-revision", NO_REVISION)
        self.pod = headers.get("x-sim-pod")
        self.fault = headers.get("x-sim-fault")

    async def read(self, response: aiohttp.ClientResponse) -> str:
        """Read the body to its end; ``complete`` or an outcome."""
        if response.status != 200:
            self.error = (await response.read())[:200].decode(errors="replace")
            kinds = {5: "server_error", 4: "client_error"}
            return kinds.get(response.status // 100, "malformed")
        try:
            if self.ask.stream:
                return await self._read_stream(response)
            self.text = _text(json.loads(await response.read()))
        except (ValueError, LookupError, TypeError) as why:
            self.error = repr(why)
            return "malformed"
        self.ttft = time.perf_counter() - self.clock
        return "complete"

    async def _read_stream(self, response: aiohttp.ClientResponse) -> str:
        async for line in response.content:
            if not line.startswith(b"data:"):
                continue
            data = line[5:].strip()
            if data == b"[DONE]":
                await response.read()
                return "complete"
            text = _text(json.loads(data))
            if text and self.ttft is None:
                self.ttft = time.perf_counter() - self.clock
            self.text += text
        self.error = "the stream ended without [DONE]"
        return "cut"

    def record(self, outcome: str) -> Record:
        ask, latency = self.ask, time.perf_counter() - self.clock
        return Record(
            number=ask.number, due=round(ask.due, 6), sent=round(self.sent, 6), done=round(self.sent + latency, 6),
            kind=ask.kind, stream=ask.stream, prompt=ask.prompt[-1], outcome=outcome, status=self.status,
            revision=self.revision, pod=self.pod, fault=self.fault, reused=self.reused, error=self.error,
            ttft=None if self.ttft is None else round(self.ttft, 6), latency=round(latency, 6), correct=self.correct,
        )  # fmt: skip


@asynccontextmanager
async def running(plan: Plan, path: Path | None = None) -> AsyncIterator[Traffic]:
    """Traffic beside what the block does; at its end nothing more is sent and what is in flight is awaited."""
    traffic = Traffic(plan, path)
    task = asyncio.create_task(traffic.run())
    try:
        yield traffic
    finally:
        traffic.stop()
        await task


def _reuse() -> aiohttp.TraceConfig:
    """Marks requests that went out on a kept-alive connection: a reset of those is another bug than a refusal."""

    async def reused(_session: aiohttp.ClientSession, context: Any, _params: Any) -> None:
        context.trace_request_ctx.reused = True

    trace = aiohttp.TraceConfig()
    trace.on_connection_reuseconn.append(reused)
    return trace


@cache
def _body(model: str, kind: str, stream: bool, prompt: str, max_tokens: int) -> bytes:
    said: Mapping[str, Any] = (
        {"messages": [{"role": "user", "content": prompt}]} if kind == "chat" else {"prompt": prompt}
    )
    return json.dumps({"model": model, **said, "max_tokens": max_tokens, "temperature": 0, "stream": stream}).encode()


def _text(body: Any) -> str:
    if not body["choices"]:
        return ""
    choice = body["choices"][0]
    said = choice.get("message") or choice.get("delta")
    return str((said.get("content") if said is not None else choice.get("text")) or "")


def _arguments(argv: Sequence[str] | None) -> tuple[Plan, argparse.Namespace]:
    parser = argparse.ArgumentParser(prog="lab.traffic", description=__doc__, allow_abbrev=False)
    defaults = {f.name: f for f in fields(Plan)}
    parser.add_argument("--url", required=True, help="of the gateway, without a path")
    parser.add_argument("--model", required=True)
    parser.add_argument("--host", help="the Host header: hostname of the route")
    for name in ("rate", "duration", "stream_share", "chat_share", "timeout", "grace"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=float, default=defaults[name].default)
    for name in ("max_requests", "concurrency", "prompt_length", "max_tokens", "seed"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=defaults[name].default)
    parser.add_argument("--out", type=Path, help="one JSON line for each answer")
    parser.add_argument("--fail-on-lost", action="store_true", help="exit with 1 when a request was lost")
    args = parser.parse_args(argv)
    try:
        return Plan(**{name: getattr(args, name) for name in defaults}), args
    except ValueError as why:
        parser.error(str(why))


async def _main(plan: Plan, out: Path | None) -> Totals:
    traffic = Traffic(plan, out)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, traffic.stop)
    return await traffic.run()


def main(argv: Sequence[str] | None = None) -> int:
    plan, args = _arguments(argv)
    totals = asyncio.run(_main(plan, args.out))
    print(json.dumps(totals.as_json(), indent=1))
    return 1 if args.fail_on_lost and totals.lost else 0


if __name__ == "__main__":
    sys.exit(main())
