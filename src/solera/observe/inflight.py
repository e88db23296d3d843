"""How many requests an engine has begun and ended, in flight included: one text of /metrics -> the flight of a latency guardrail. Pure.

A request that goes without being counted would look as if it ran for ever, so every way to end must be seen:

- vLLM: ``vllm:num_requests_running`` and ``_waiting`` are in flight. Requests whose client left are in no counter of the engine, but in
  ``http_requests_total``, as all others when their answer ends. One that ended well counts in both: then less is overdue than could be known.
- SGLang: its gauges of the scheduler are written now and then only, and stay as they were when it idles. Its HTTP server counts exactly:
  ``sglang:http_requests_total`` when a request begins, ``sglang:http_requests_active`` until its answer does (begins, for a stream).

Of those in flight, some have given their first token: at most as many as first tokens were counted and not yet a good end.
"""

from __future__ import annotations

from solera.observe.completions import completion
from solera.observe.exposition import Families, total
from solera.observe.metrics import GuardrailQuery, Unreadable
from solera.plan.evidence import Counter, Flight

_VLLM_RUNNING, _VLLM_WAITING = "vllm:num_requests_running", "vllm:num_requests_waiting"
_VLLM_FINISHED, _VLLM_HTTP = "vllm:request_success_total", "http_requests_total"
_SGLANG_BEGUN, _SGLANG_ACTIVE = "sglang:http_requests_total", "sglang:http_requests_active"
_SGLANG_FINISHED = "sglang:e2e_request_latency_seconds_count"

UNTIL_ANSWERED = frozenset({"TimeToFirstToken", "RequestLatency"})
"""Metrics whose time runs as long as the answer is awaited: a request in flight for longer than slowerThan is bad already."""

NAMES = frozenset((_VLLM_RUNNING, _VLLM_WAITING, _SGLANG_BEGUN, _SGLANG_ACTIVE))
"""The names that nothing but a flight is read from: without them, or with nonsense in them, there is none."""


def flight(found: Families, engine: str, guardrail: GuardrailQuery, counter: Counter) -> Flight | None:
    """What is known of the requests in flight of a guardrail in UNTIL_ANSWERED whose histogram gave ``counter``; None where that is nothing."""
    if guardrail.slower_than is None or guardrail.metric not in UNTIL_ANSWERED:
        return None
    try:
        known = _vllm(found) if engine == "vLLM" else _sglang(found) if engine == "SGLang" else None
    except Unreadable:
        return None
    if known is None:
        return None
    in_flight, left, finished = known
    if guardrail.metric == "TimeToFirstToken":
        in_flight = max(0, in_flight - max(0, counter.total - finished))
    exact = engine == "SGLang" and guardrail.metric == "RequestLatency"  # its HTTP server sees every end, each once
    done = left if exact else counter.total + left
    return Flight(in_flight + done, done, guardrail.slower_than)


def _vllm(found: Families) -> tuple[int, int, int] | None:
    """Requests in flight, those that left the HTTP server, and those that ended after a first token."""
    if not _shown(found, _VLLM_RUNNING, _VLLM_WAITING) or _VLLM_HTTP not in found.declared:
        return None
    in_flight = total(found[_VLLM_RUNNING]) + total(found[_VLLM_WAITING])
    left = total(found[_VLLM_HTTP], lambda labels: labels.get("method", "POST").upper() == "POST")
    good = total(found[_VLLM_FINISHED], lambda labels: labels.get("finished_reason") not in {"abort", "error"})
    return in_flight, left, good


def _sglang(found: Families) -> tuple[int, int, int] | None:
    if not _shown(found, _SGLANG_BEGUN, _SGLANG_ACTIVE):
        return None
    begun, active = (
        total(found[name], lambda labels: completion(labels, "endpoint", "") is not None)
        for name in (_SGLANG_BEGUN, _SGLANG_ACTIVE)
    )
    return None if active > begun else (active, begun - active, total(found[_SGLANG_FINISHED]))


def _shown(found: Families, *names: str) -> bool:
    return all(found[name] and name not in found.spoilt for name in names)
