"""What texts of real servers tell about requests in flight, and what they do not."""

import pytest

from solera.observe import engines, exposition, inflight
from solera.observe.metrics import GuardrailQuery
from solera.plan.evidence import Counter, Flight
from unit.observe import texts

TTFT = GuardrailQuery("ttft", "TimeToFirstToken", 2.5)
LATENCY = GuardrailQuery("latency", "RequestLatency", 10.0)
WAITING = """\
# HELP vllm:num_requests_waiting Number of requests waiting to be processed.
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="support"} 5.0
# TYPE vllm:num_requests_waiting_by_reason gauge
vllm:num_requests_waiting_by_reason{engine="0",model_name="support",reason="capacity"} 5.0
"""
VLLM = texts.VLLM + WAITING
SGLANG = """\
# TYPE sglang:num_running_reqs gauge
sglang:num_running_reqs{engine_type="unified",model_name="support",tp_rank="0"} 64.0
# TYPE sglang:num_queue_reqs gauge
sglang:num_queue_reqs{engine_type="unified",model_name="support",tp_rank="0"} 64.0
# HELP sglang:http_requests_total Total number of HTTP requests by endpoint and method
# TYPE sglang:http_requests_total counter
sglang:http_requests_total{endpoint="/v1/chat/completions",method="POST"} 120.0
sglang:http_requests_total{endpoint="/v1/completions",method="POST"} 8.0
sglang:http_requests_total{endpoint="/metrics",method="GET"} 900.0
# TYPE sglang:http_requests_active gauge
sglang:http_requests_active{endpoint="/v1/chat/completions",method="POST"} 10.0
sglang:http_requests_active{endpoint="/v1/completions",method="POST"} 0.0
sglang:http_requests_active{endpoint="/metrics",method="GET"} 1.0
# TYPE sglang:time_to_first_token_seconds histogram
sglang:time_to_first_token_seconds_bucket{le="2.5",model_name="support"} 100.0
sglang:time_to_first_token_seconds_bucket{le="+Inf",model_name="support"} 104.0
# TYPE sglang:e2e_request_latency_seconds histogram
sglang:e2e_request_latency_seconds_bucket{le="10.0",model_name="support"} 99.0
sglang:e2e_request_latency_seconds_bucket{le="+Inf",model_name="support"} 100.0
sglang:e2e_request_latency_seconds_count{model_name="support"} 100.0
"""


def measured(text, *guardrails):
    found = exposition.parse(text, engines.names(), optional=inflight.NAMES)
    return engines.measure(found, engines.shown_in(text), guardrails)


def test_vllm_tells_what_is_in_flight_and_every_way_to_end():
    # 2 run and 5 wait; 107 ended in the engine and 132 POSTs at the HTTP server.
    assert measured(VLLM, LATENCY).flights == {"latency": Flight(7 + 107 + 132, 107 + 132, 10.0)}


def test_of_those_in_flight_some_have_given_their_first_token():
    # 100 first tokens, 97 good ends: at most 3 of the 7 have theirs.
    assert measured(VLLM, TTFT).flights == {"ttft": Flight(4 + 100 + 132, 100 + 132, 2.5)}


def test_as_many_first_tokens_as_requests_in_flight_leave_none():
    text = VLLM.replace(
        'finished_reason="stop",model_name="support"} 80.0', 'finished_reason="stop",model_name="support"} 40.0'
    )
    assert measured(text, TTFT).flights["ttft"] == Flight(232, 232, 2.5)


def test_sglang_is_counted_where_it_counts_exactly():
    assert measured(SGLANG, LATENCY).flights == {"latency": Flight(128, 118, 10.0)}
    assert measured(SGLANG, TTFT).flights == {"ttft": Flight(6 + 104 + 118, 104 + 118, 2.5)}


@pytest.mark.parametrize(
    "text",
    [
        texts.VLLM,
        VLLM[: VLLM.index("# HELP http_requests_total")] + WAITING,
        texts.VLLM + WAITING.replace("5.0", "NaN"),
        texts.VLLM + WAITING.replace("5.0", "-1.0"),
        texts.VLLM + WAITING.replace("5.0", "+Inf"),
        texts.VLLM + WAITING.replace("5.0", "2.5"),
        texts.VLLM + WAITING.replace("5.0", "five"),
        texts.VLLM_V0,
        SGLANG.replace("sglang:http_requests_active", "sglang:other"),
        SGLANG.replace("} 10.0\nsglang:http_requests_active", "} NaN\nsglang:http_requests_active"),
        SGLANG.replace("} 10.0\nsglang:http_requests_active", "} 500.0\nsglang:http_requests_active"),
        texts.LLAMA_CPP,
    ],
    ids=[
        "no gauge",
        "ends unseen",
        "nan",
        "negative",
        "inf",
        "not whole",
        "text",
        "V0",
        "SGLang",
        "S nan",
        "S more",
        "llama",
    ],
)
def test_a_gauge_that_is_absent_nan_or_negative_spoils_the_flight_and_no_counter(text):
    latency = GuardrailQuery("ttft", "TimeToFirstToken", 2.5)
    found = measured(text, latency)
    assert found.flights == {}
    if "time_to_first_token" in text:
        assert found.counters["ttft"].total > 0


def test_errors_have_no_flight():
    assert measured(VLLM, GuardrailQuery("errors", "ErrorRate")).flights == {}


def test_a_metric_whose_time_may_be_over_long_before_the_answer_has_no_flight():
    found = exposition.parse(VLLM, engines.names(), optional=inflight.NAMES)
    assert inflight.flight(found, "vLLM", GuardrailQuery("queue", "QueueTime", 1.0), Counter(1, 0)) is None


def test_a_flight_needs_slower_than():
    found = exposition.parse(VLLM, engines.names(), optional=inflight.NAMES)
    assert inflight.flight(found, "vLLM", GuardrailQuery("ttft", "TimeToFirstToken"), Counter(1, 0)) is None


def test_what_must_be_there_may_not_be_spoilt():
    with pytest.raises(exposition.Unreadable):
        exposition.parse('a 1\nb{x="y"} NaN\n', ("a", "b"), optional=("a",))
    found = exposition.parse('a 1\nb{x="y"} NaN\n', ("a", "b"), optional=("b",))
    assert (found.spoilt, found["a"][0].value) == ({"b"}, 1.0)
