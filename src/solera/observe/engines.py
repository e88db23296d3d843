"""What the counters of each engine mean: one text of /metrics -> bad and all events of each guardrail. Pure.

Read from the engines' own sources:

- vLLM (V0 and V1): ``vllm:request_success_total{finished_reason}`` counts every request that the engine finished, ``error`` included
  (a 500, or a stream cut off); ``abort`` is a client that left, which tells nothing about errors. Requests refused before they reach
  the engine appear only in ``http_requests_total{handler,method,status}``.
- SGLang: ``sglang:http_responses_total{endpoint,status_code,method}``. Its ``num_aborted_requests_total`` counts abort signals, clients
  that left among them, so it is no count of errors.
- llama.cpp: no counter of requests and no histogram of times at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from solera.observe import inflight
from solera.observe.completions import completion
from solera.observe.exposition import START_TIME, Families, slower_than, total
from solera.observe.metrics import GuardrailQuery
from solera.plan.evidence import ALL_REQUESTS, Counter, Flight

HTTP_REQUESTS = "http_requests_total"
VLLM_FINISHED = "vllm:request_success_total"
SGLANG_RESPONSES = "sglang:http_responses_total"
SGLANG_REQUESTS = "sglang:num_requests_total"
HISTOGRAMS: Mapping[str, Mapping[str, str]] = {
    "vLLM": {
        "TimeToFirstToken": "vllm:time_to_first_token_seconds",
        "RequestLatency": "vllm:e2e_request_latency_seconds",
    },
    "SGLang": {
        "TimeToFirstToken": "sglang:time_to_first_token_seconds",
        "RequestLatency": "sglang:e2e_request_latency_seconds",
    },
}
ERRORS: Mapping[str, str] = {"vLLM": VLLM_FINISHED, "SGLang": SGLANG_RESPONSES}
PREFIXES = {"vllm:": "vLLM", "sglang:": "SGLang", "llamacpp:": "llama.cpp"}


def names() -> frozenset[str]:
    """Every sample name that ``measure`` may look at."""
    histograms = [name for table in HISTOGRAMS.values() for name in table.values()]
    buckets = [f"{name}{end}" for name in histograms for end in ("_bucket", "_count")]
    return frozenset(
        (START_TIME, HTTP_REQUESTS, VLLM_FINISHED, SGLANG_RESPONSES, SGLANG_REQUESTS, *inflight.NAMES, *buckets)
    )


def shown_in(text: str) -> str | None:
    """The engine whose metrics a text shows, None when it shows those of none."""
    for prefix, engine in PREFIXES.items():
        if text.startswith(prefix) or f"\n{prefix}" in text or f"# TYPE {prefix}" in text:
            return engine
    return None


@dataclass(frozen=True, slots=True)
class Measured:
    """The counters of one engine by guardrail, and why the others have none.

    ``flights`` are what is known of requests in flight, by guardrail. ``absent`` are those whose family is not in the text, which in a scrape of the engine means that it does not export them.
    """

    counters: Mapping[str, Counter]
    unmeasurable: Mapping[str, str]
    absent: Mapping[str, str]
    flights: Mapping[str, Flight] = field(default_factory=dict)


def measure(found: Families, engine: str | None, guardrails: Sequence[GuardrailQuery]) -> Measured:
    """Count every guardrail, and all requests. ``engine`` is what the metrics show, not what the spec says: that can be wrong.

    Raises:
        Unreadable: the numbers contradict each other.
    """
    counters: dict[str, Counter] = {}
    unmeasurable: dict[str, str] = {}
    absent: dict[str, str] = {}
    flights: dict[str, Flight] = {}
    requests = _requests(found, engine or "")
    if requests is not None:
        counters[ALL_REQUESTS] = Counter(total=requests, bad=0)
    for guardrail in guardrails:
        family = family_of(engine or "", guardrail.metric)
        if engine is None:
            absent[guardrail.name] = "its /metrics holds nothing of an engine that is known: look at its flags"
        elif family is None:
            unmeasurable[guardrail.name] = (
                f"{engine} exports no counter of requests and no histogram of times; name a gateway as the source of metrics"
            )
        elif family not in found.declared:
            absent[guardrail.name] = f"{engine} shows no {family}: look at its version and its flags"
        elif guardrail.metric == "ErrorRate" and _blind_to_errors(found, engine):
            absent[guardrail.name] = f"{engine} shows neither {family} with finished_reason error nor {HTTP_REQUESTS}"
        else:
            result = _count(found, engine, guardrail)
            if isinstance(result, Counter):
                counters[guardrail.name] = result
                if (flight := inflight.flight(found, engine, guardrail, result)) is not None:
                    flights[guardrail.name] = flight
            else:
                unmeasurable[guardrail.name] = result
    return Measured(counters, unmeasurable, absent, flights)


def family_of(engine: str, metric: str) -> str | None:
    """The samples that must be there to count ``metric`` of an engine, None when it has nothing of the kind."""
    if metric == "ErrorRate":
        return ERRORS.get(engine)
    histogram = HISTOGRAMS.get(engine, {}).get(metric)
    return f"{histogram}_bucket" if histogram else None


def _blind_to_errors(found: Families, engine: str) -> bool:
    """Before 0.12 vLLM counts no errors of its own, and with several API servers nothing of the HTTP server's: 0 would be a lie."""
    finished = found[VLLM_FINISHED]
    has_reason = not finished or any(sample.labels.get("finished_reason") == "error" for sample in finished)
    return engine == "vLLM" and not has_reason and HTTP_REQUESTS not in found.declared


def _count(found: Families, engine: str, guardrail: GuardrailQuery) -> Counter | str:
    if guardrail.metric == "ErrorRate":
        return _vllm_errors(found) if engine == "vLLM" else _sglang_errors(found)
    if guardrail.slower_than is None:
        return f"{guardrail.metric} needs slowerThan"
    return slower_than(HISTOGRAMS[engine][guardrail.metric], found, guardrail.slower_than)


def _requests(found: Families, engine: str) -> int | None:
    """All requests that came to an end, however they did; None where the engine does not count them."""
    if engine == "vLLM" and VLLM_FINISHED in found.declared:
        finished = found[VLLM_FINISHED]
        errors = total(finished, lambda labels: labels.get("finished_reason") == "error")
        return total(finished) + max(0, _vllm_refused(found) - errors)
    if engine == "SGLang" and SGLANG_RESPONSES in found.declared:
        return total(found[SGLANG_RESPONSES], lambda labels: completion(labels, "endpoint", "status_code") is not None)
    if engine == "SGLang" and SGLANG_REQUESTS in found.declared:
        return total(found[SGLANG_REQUESTS])
    return None


def _vllm_errors(found: Families) -> Counter:
    """Errors of the engine, and requests refused before it.

    An error before the first byte is seen by both counters, one in a stream only by the engine's, a refusal only by the HTTP server's.
    Taken as the larger of the two counts, no request counts twice; where both kinds happen in one process the smaller stays uncounted.
    """
    finished = found[VLLM_FINISHED]
    errors = total(finished, lambda labels: labels.get("finished_reason") == "error")
    good = total(finished, lambda labels: labels.get("finished_reason") not in {"error", "abort"})
    bad = max(errors, _vllm_refused(found))
    return Counter(total=good + bad, bad=bad)


def _vllm_refused(found: Families) -> int:
    return total(found[HTTP_REQUESTS], lambda labels: completion(labels, "handler", "status") == "5")


def _sglang_errors(found: Families) -> Counter:
    responses = found[SGLANG_RESPONSES]
    bad = total(responses, lambda labels: completion(labels, "endpoint", "status_code") == "5")
    left = total(responses, lambda labels: completion(labels, "endpoint", "status_code") == "499")
    every = total(responses, lambda labels: completion(labels, "endpoint", "status_code") is not None)
    return Counter(total=every - left, bad=bad)
