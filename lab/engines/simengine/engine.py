"""The engine behind the HTTP face: queue, timing, answers, faults and the counters that follow from them."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from .faults import Faults
from .letters import continue_text, wrong_continuation
from .vllm_metrics import Finished, VllmMetrics


@dataclass(frozen=True, slots=True)
class Config:
    """What is fixed for the life of the process. ``revision`` and ``pod`` are sent back with every answer."""

    served_names: tuple[str, ...] = ("letters",)
    generation: str = "current"
    max_num_seqs: int = 256
    max_model_len: int = 4096
    answer_tokens: int = 16
    seed: str = "0"
    revision: str = ""
    pod: str = ""


@dataclass(frozen=True, slots=True)
class Ask:
    """A validated request: continue ``prompt`` by at most ``max_tokens`` (one token is one character)."""

    prompt: str
    max_tokens: int
    stream: bool
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Fate:
    """What will happen to one request, drawn when it arrives; ``ttft`` in seconds."""

    rejected: bool
    error: bool
    hang: bool
    cut: bool
    wrong: bool
    slow: bool
    ttft: float

    @property
    def announced(self) -> str:
        """The gravest fault, for the header ``x-sim-fault``; empty when there is none."""
        flags = {
            "reject": self.rejected,
            "hang": self.hang,
            "error": self.error,
            "cut": self.cut,
            "wrong": self.wrong,
            "slow": self.slow,
        }
        return next((name for name, on in flags.items() if on), "")


class EngineError(Exception):
    """The engine failed on this request: a 500 before the first token."""


class StreamCut(Exception):  # noqa: N818 - an outcome of the stream, not an error of this program
    """The stream ends here without its last chunk."""


class Engine:
    """One simulated engine. Make it inside a running event loop; ``faults`` may be replaced at any time."""

    def __init__(self, config: Config, faults: Faults) -> None:
        self.config = config
        self.declared = faults
        self.faults = faults
        self.draining = False
        self.running = 0
        self.waiting = 0
        self._born = time.monotonic()
        self._counted_since = time.time()
        self.metrics = VllmMetrics(config.served_names[0], config.generation, self._counted_since, config.max_model_len)
        self._slots = asyncio.Semaphore(config.max_num_seqs)
        self._changed = asyncio.Event()
        self._dice: dict[str, random.Random] = {}

    @property
    def loaded(self) -> bool:
        return time.monotonic() - self._born >= self.faults.startup_delay

    def set_faults(self, faults: Faults) -> None:
        """Put ``faults`` in force at once, and let hung requests look whether they may go on."""
        self.faults = faults
        self._changed.set()
        self._changed = asyncio.Event()

    def reset_counters(self, *, hidden: bool) -> None:
        """All counters to zero; ``hidden`` keeps the process start time, so that nothing explains the fall."""
        self._counted_since = time.time()
        self.metrics.reset(self._counted_since, restarted=not hidden)

    def draw(self, ask: Ask) -> Fate:
        """Draw what happens to a request. Each fault has dice of its own: one switch never shifts another's sequence."""
        f = self.faults
        slow = self._roll("slow", f.slow_share)
        spread = self._die("ttft").gauss(0.0, f.ttft_sigma)
        wrong = self._roll("wrong", f.wrong_rate) or (ask.prompt[-1:] != "" and ask.prompt[-1:] in f.wrong_letters)
        return Fate(
            rejected=self._roll("reject", f.reject_rate),
            error=self._roll("error", f.error_rate),
            hang=self._roll("hang", f.hang_rate),
            cut=ask.stream and self._roll("cut", f.cut_rate),
            wrong=wrong,
            slow=slow,
            ttft=f.ttft_median * math.exp(spread) + (f.slow_delay if slow else 0.0),
        )

    def answer_to(self, ask: Ask, fate: Fate) -> tuple[str, str]:
        """The text of an answer and its finish reason (``stop`` or ``length``)."""
        tokens = min(ask.max_tokens, self.config.answer_tokens)
        text = (wrong_continuation if fate.wrong else continue_text)(ask.prompt, tokens)
        cuts = [at for at in (text.find(stop) for stop in ask.stop if stop) if at >= 0]
        if cuts:
            return text[: min(cuts)], "stop"
        return text, "stop" if tokens < ask.max_tokens else "length"

    async def generate(self, ask: Ask, fate: Fate) -> AsyncIterator[str]:
        """Yield the answer token by token (in one piece when it is not streamed), in its own time.

        Raises ``EngineError`` or ``StreamCut`` as ``fate`` says. Counts the request as finished in every case; who
        stops reading makes it an ``abort``.
        """
        text, reason = self.answer_to(ask, fate)
        arrived = started = first = time.perf_counter()
        sent = 0
        ended_by = "abort"
        try:
            async with self._slot():
                started = time.perf_counter()
                while fate.hang and self.faults.hang_rate > 0:
                    await self._changed.wait()
                await asyncio.sleep(fate.ttft)
                first = time.perf_counter()
                if fate.error:
                    ended_by = "error"
                    raise EngineError
                self.tick()
                self.metrics.first_token(first - arrived)
                before, delay = first, self.faults.inter_token_delay
                for i, piece in enumerate(list(text) if ask.stream else [text]):
                    if fate.cut and sent >= max(1, len(text) // 2):
                        break
                    gaps = min(i, 1) if ask.stream else len(text) - 1
                    if gaps > 0:
                        # Against the first token's time, not the last one's: late wake-ups do not add up.
                        await _sleep_until(first + delay * max(i, gaps))
                        now = time.perf_counter()
                        self.metrics.inter_token((now - before) / gaps, gaps)
                        before = now
                    sent += len(piece)
                    yield piece
                if fate.cut:
                    ended_by = "error"
                    raise StreamCut
                ended_by = reason
        finally:
            now = time.perf_counter()
            self.tick()
            self.metrics.finished(
                Finished(
                    reason=ended_by,
                    e2e=now - arrived,
                    queue=started - arrived,
                    prefill=max(0.0, first - started),
                    decode=now - max(first, started),
                    prompt_tokens=len(ask.prompt),
                    generated=sent,
                )
            )

    def tick(self) -> None:
        """Let the counters fall if ``counter_reset_every`` says that it is time."""
        every = self.faults.counter_reset_every
        if every and time.time() - self._counted_since >= every:
            self.reset_counters(hidden=self.faults.counter_reset_hidden)

    def metrics_page(self) -> str:
        self.tick()
        return self.metrics.render(self.running, self.waiting, self.running / self.config.max_num_seqs)

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        """A place in the batch, waited for in order; keeps the gauges of running and waiting requests true."""
        self.waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self.waiting -= 1
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1
            self._slots.release()

    def _die(self, name: str) -> random.Random:
        return self._dice.setdefault(name, random.Random(f"{self.config.seed}/{name}"))

    def _roll(self, name: str, share: float) -> bool:
        return self._die(name).random() < share


async def _sleep_until(when: float) -> None:
    left = when - time.perf_counter()
    if left > 0:
        await asyncio.sleep(left)
