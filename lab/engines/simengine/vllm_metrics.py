"""vLLM's metrics as its servers print them, in three generations of names, labels and buckets.

``current``: vLLM 0.12 and later. ``v0.10``: 0.9.2 to 0.10, with the old and the new name of the cache gauge and the
old one of the inter-token histogram. ``v0``: the engine before V1 (names and buckets of 0.6). Differences that trip
readers are kept: V0 has no ``engine`` label and shows a counter only after its first event; before ``current``, errors
are in no engine counter; ``_created`` gauges stand beside the V1 counters. Names and buckets from vLLM's
``v1/metrics/loggers.py`` and ``engine/metrics.py``.

``http_requests_total`` and ``http_request_duration_seconds`` come from the HTTP layer, which leaves out ``/health`` and
``/metrics`` and is the only one to see a request that was refused before it reached the engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .exposition import Family, Labels, labels, page

# fmt: off
TTFT_BUCKETS = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0,
                80.0, 160.0, 640.0, 2560.0)
ITL_BUCKETS = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0)
LATENCY_BUCKETS = (0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0,
                   960.0, 1920.0, 7680.0)
# fmt: on
HTTP_BUCKETS = (0.1, 0.5, 1.0)


@dataclass(frozen=True, slots=True)
class Generation:
    engine_label: bool
    finished_reasons: tuple[str, ...]
    inter_token: str
    per_request_tpot: bool
    phases: tuple[str, ...]
    cache_gauges: tuple[str, ...]
    prefix_counters: tuple[str, ...]
    swapped_gauges: tuple[str, ...]
    waiting_by_reason: bool
    ttft: tuple[float, ...]
    itl: tuple[float, ...]
    latency: tuple[float, ...]
    shown_from_start: bool
    created: bool


_PHASES = ("request_queue_time", "request_inference_time", "request_prefill_time", "request_decode_time")

GENERATIONS = {
    "current": Generation(
        engine_label=True,
        finished_reasons=("stop", "length", "abort", "error", "repetition"),
        inter_token="inter_token_latency_seconds",  # a metric's name; noqa: S106
        per_request_tpot=True,
        phases=_PHASES,
        cache_gauges=("kv_cache_usage_perc",),
        prefix_counters=("prefix_cache_queries", "prefix_cache_hits"),
        swapped_gauges=(),
        waiting_by_reason=True,
        ttft=TTFT_BUCKETS,
        itl=ITL_BUCKETS,
        latency=LATENCY_BUCKETS,
        shown_from_start=True,
        created=True,
    ),
    "v0.10": Generation(
        engine_label=True,
        finished_reasons=("stop", "length", "abort"),
        inter_token="time_per_output_token_seconds",
        per_request_tpot=False,
        phases=_PHASES,
        cache_gauges=("gpu_cache_usage_perc", "kv_cache_usage_perc"),
        prefix_counters=(
            "gpu_prefix_cache_queries",
            "gpu_prefix_cache_hits",
            "prefix_cache_queries",
            "prefix_cache_hits",
        ),
        swapped_gauges=(),
        waiting_by_reason=False,
        ttft=TTFT_BUCKETS,
        itl=ITL_BUCKETS,
        latency=LATENCY_BUCKETS,
        shown_from_start=True,
        created=True,
    ),
    "v0": Generation(
        engine_label=False,
        finished_reasons=("stop", "length", "abort"),
        inter_token="time_per_output_token_seconds",
        per_request_tpot=False,
        phases=(),
        cache_gauges=("gpu_cache_usage_perc", "cpu_cache_usage_perc"),
        prefix_counters=(),
        swapped_gauges=("num_requests_swapped",),
        waiting_by_reason=False,
        ttft=TTFT_BUCKETS[:16],
        itl=ITL_BUCKETS[:13],
        latency=(1.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0),
        shown_from_start=False,
        created=False,
    ),
}


@dataclass(frozen=True, slots=True)
class Finished:
    """What one request took: times in seconds, lengths in tokens."""

    reason: str
    e2e: float
    queue: float
    prefill: float
    decode: float
    prompt_tokens: int
    generated: int


class VllmMetrics:
    """The page of one engine. ``model_name`` is the first served name, as in vLLM; times in seconds."""

    def __init__(self, model_name: str, generation: str, started: float, max_model_len: int = 4096) -> None:
        self.generation = g = GENERATIONS[generation]
        self.started = started
        self._counted_since = started
        self._base: Labels = labels({"model_name": model_name, **({"engine": "0"} if g.engine_label else {})})
        lengths = _one_two_five(max_model_len)
        gauges = ("num_requests_running", "num_requests_waiting", *g.swapped_gauges, *g.cache_gauges)
        self._gauges = [Family(f"vllm:{name}", "gauge", _words(name)) for name in gauges]
        self._waiting_by_reason = Family("vllm:num_requests_waiting_by_reason", "gauge", "Waiting requests by reason.")
        counters = (*g.prefix_counters, "num_preemptions", "prompt_tokens", "generation_tokens")
        self._counters = {name: Family(f"vllm:{name}", "counter", _words(name)) for name in counters}
        self._success = Family("vllm:request_success", "counter", "Finished requests, by reason, errors included.")
        self._ttft = _seconds("time_to_first_token_seconds", g.ttft)
        self._itl = _seconds(g.inter_token, g.itl)
        self._tpot = _seconds("request_time_per_output_token_seconds", g.itl) if g.per_request_tpot else None
        self._e2e = _seconds("e2e_request_latency_seconds", g.latency)
        self._phases = {name: _seconds(f"{name}_seconds", g.latency) for name in g.phases}
        self._prompt_lengths = Family("vllm:request_prompt_tokens", "histogram", "Prompt tokens.", lengths)
        self._answer_lengths = Family("vllm:request_generation_tokens", "histogram", "Generated tokens.", lengths)
        self._http = Family("http_requests", "counter", "Requests by handler, method and class of status.")
        self._http_time = Family("http_request_duration_seconds", "histogram", "Time per request.", HTTP_BUCKETS)
        self._process_start = Family("process_start_time_seconds", "gauge", "Start time of the process.")
        if g.shown_from_start:
            for family in self._engine_families():
                family.start(self._base)
            for reason in g.finished_reasons:
                self._success.start(self._with(finished_reason=reason))

    def first_token(self, seconds: float) -> None:
        self._ttft.observe(self._base, seconds)

    def inter_token(self, seconds: float, times: int = 1) -> None:
        self._itl.observe(self._base, seconds, times)

    def finished(self, done: Finished) -> None:
        """Count a finished request; a reason that this generation does not know leaves no trace, as there."""
        if done.reason not in self.generation.finished_reasons:
            return
        self._success.add(self._with(finished_reason=done.reason))
        for name in self._counters:
            if name.endswith("prefix_cache_queries"):
                self._counters[name].add(self._base, done.prompt_tokens)
        self._counters["prompt_tokens"].add(self._base, done.prompt_tokens)
        self._counters["generation_tokens"].add(self._base, done.generated)
        self._prompt_lengths.observe(self._base, done.prompt_tokens)
        self._answer_lengths.observe(self._base, done.generated)
        self._e2e.observe(self._base, done.e2e)
        if self._phases:
            times = (done.queue, done.prefill + done.decode, done.prefill, done.decode)
            for family, value in zip(self._phases.values(), times, strict=True):
                family.observe(self._base, value)
        if self._tpot is not None and done.generated > 1:
            self._tpot.observe(self._base, done.decode / (done.generated - 1))

    def http(self, handler: str, method: str, status: int, seconds: float) -> None:
        self._http.add(labels({"handler": handler, "method": method, "status": f"{status // 100}xx"}))
        self._http_time.observe(labels({"handler": handler, "method": method}), seconds)

    def reset(self, now: float, *, restarted: bool) -> None:
        """All counters to zero, at ``now`` (seconds since 1970); ``restarted`` moves the process start time with them."""
        for family in (*self._engine_families(), self._success, self._http, self._http_time):
            family.zero()
        self._counted_since = now
        if restarted:
            self.started = now

    def render(self, running: int, waiting: int, cache_usage: float) -> str:
        """The page's text: ``running`` and ``waiting`` requests, ``cache_usage`` from 0 to 1."""
        for family in self._gauges:
            family.set(self._base, 0.0)
        self._gauges[0].set(self._base, running)
        self._gauges[1].set(self._base, waiting)
        self._gauges[2 + len(self.generation.swapped_gauges)].set(self._base, cache_usage)
        if "kv_cache_usage_perc" in self.generation.cache_gauges:
            self._gauges[-1].set(self._base, cache_usage)
        self._waiting_by_reason.set(self._with(reason="capacity"), waiting)
        self._waiting_by_reason.set(self._with(reason="deferred"), 0)
        self._process_start.set((), self.started)
        by_reason: Sequence[Family] = (self._waiting_by_reason,) if self.generation.waiting_by_reason else ()
        engine = (*self._gauges, *by_reason, *self._engine_families(), self._success)
        created = self._counted_since if self.generation.created else None
        return page((self._process_start,)) + page(engine, created) + page((self._http, self._http_time), created)

    def _engine_families(self) -> list[Family]:
        tpot = [] if self._tpot is None else [self._tpot]
        lengths = [self._prompt_lengths, self._answer_lengths]
        return [*self._counters.values(), self._ttft, self._itl, *tpot, self._e2e, *self._phases.values(), *lengths]

    def _with(self, **more: str) -> Labels:
        return tuple(sorted((*self._base, *more.items())))


def _seconds(name: str, buckets: tuple[float, ...]) -> Family:
    return Family(f"vllm:{name}", "histogram", _words(name), buckets)


def _words(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _one_two_five(limit: int) -> tuple[float, ...]:
    """1, 2, 5, 10, 20, 50 … up to ``limit``: the buckets of vLLM's length histograms."""
    steps = (mantissa * 10**power for power in range(len(str(limit))) for mantissa in (1, 2, 5))
    return tuple(float(step) for step in steps if step <= limit)
