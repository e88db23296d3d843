from __future__ import annotations

import math

import pytest
from lab.engines.simengine.exposition import Family, labels, page
from lab.engines.simengine.vllm_metrics import GENERATIONS, Finished, VllmMetrics
from prometheus_client.parser import text_string_to_metric_families

DONE = Finished(reason="stop", e2e=1.2, queue=0.1, prefill=0.2, decode=0.9, prompt_tokens=5, generated=4)


def families(text: str) -> dict[str, object]:
    return {family.name: family for family in text_string_to_metric_families(text)}


def bounds(text: str, name: str) -> list[float]:
    found = families(text)[name]
    return [float(s.labels["le"]) for s in found.samples if s.name.endswith("_bucket")]


def test_the_current_names_labels_and_buckets_are_those_of_vllm() -> None:
    metrics = VllmMetrics("m", "current", 1000.0)
    metrics.finished(DONE)
    metrics.first_token(0.3)
    metrics.inter_token(0.02, 3)
    text = metrics.render(2, 1, 0.5)
    assert bounds(text, "vllm:time_to_first_token_seconds") == [
        *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80),
        *(160, 640, 2560, math.inf),
    ]
    assert bounds(text, "vllm:inter_token_latency_seconds") == [
        *(0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, math.inf)
    ]
    assert bounds(text, "vllm:e2e_request_latency_seconds")[:3] == [0.3, 0.5, 0.8]
    for line in (
        'vllm:request_success_total{engine="0",finished_reason="stop",model_name="m"} 1.0',
        'vllm:request_success_total{engine="0",finished_reason="error",model_name="m"} 0.0',
        'vllm:num_requests_running{engine="0",model_name="m"} 2.0',
        'vllm:num_requests_waiting{engine="0",model_name="m"} 1.0',
        'vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.5',
        'vllm:prompt_tokens_total{engine="0",model_name="m"} 5.0',
        'vllm:generation_tokens_total{engine="0",model_name="m"} 4.0',
        'vllm:time_to_first_token_seconds_bucket{engine="0",le="0.25",model_name="m"} 0.0',
        'vllm:time_to_first_token_seconds_bucket{engine="0",le="0.5",model_name="m"} 1.0',
        'vllm:time_to_first_token_seconds_bucket{engine="0",le="+Inf",model_name="m"} 1.0',
        'vllm:inter_token_latency_seconds_count{engine="0",model_name="m"} 3.0',
        "process_start_time_seconds 1000.0",
    ):
        assert line in text.splitlines()
    assert "gpu_cache_usage_perc" not in text
    assert "time_per_output_token_seconds" not in text.replace("request_time_per_output_token_seconds", "")


@pytest.mark.parametrize(
    ("generation", "there", "absent"),
    [
        ("v0.10", ["time_per_output_token_seconds", "gpu_cache_usage_perc", "kv_cache_usage_perc"], ["inter_token"]),
        ("v0", ["time_per_output_token_seconds", "gpu_cache_usage_perc"], ["inter_token", "vllm:kv_cache", "engine="]),
    ],
)
def test_older_generations_use_their_own_names(generation: str, there: list[str], absent: list[str]) -> None:
    metrics = VllmMetrics("m", generation, 1000.0)
    metrics.finished(DONE)
    text = metrics.render(0, 0, 0.0)
    assert all(f"vllm:{name}" in text for name in there)
    assert not any(name in text for name in absent)


def test_before_current_an_error_is_in_no_engine_counter() -> None:
    for generation, counted in (("current", 1.0), ("v0.10", 0.0)):
        metrics = VllmMetrics("m", generation, 0.0)
        metrics.finished(Finished("error", 1, 0, 0, 0, 1, 0))
        samples = families(metrics.render(0, 0, 0.0))["vllm:request_success"].samples
        assert sum(s.value for s in samples if s.name.endswith("_total")) == counted


def test_v0_shows_a_counter_only_after_its_first_event() -> None:
    metrics = VllmMetrics("m", "v0", 0.0)
    assert not families(metrics.render(0, 0, 0.0))["vllm:request_success"].samples
    metrics.finished(DONE)
    assert [s.labels for s in families(metrics.render(0, 0, 0.0))["vllm:request_success"].samples] == [
        {"finished_reason": "stop", "model_name": "m"}
    ]


@pytest.mark.parametrize("generation", sorted(GENERATIONS))
def test_every_page_is_parsed_and_names_no_family_twice(generation: str) -> None:
    metrics = VllmMetrics('a "quoted" \\ name', generation, 5.0)
    metrics.finished(DONE)
    metrics.http("/v1/completions", "POST", 200, 0.2)
    text = metrics.render(1, 0, 0.1)
    names = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(names) == len(set(names))
    running = families(text)["vllm:num_requests_running"].samples[0]
    assert running.labels["model_name"] == 'a "quoted" \\ name'
    http = families(text)["http_requests"].samples[0]
    assert http.labels == {"handler": "/v1/completions", "method": "POST", "status": "2xx"}


def test_buckets_count_upwards_with_their_edge_inside() -> None:
    family = Family("x_seconds", "histogram", "x", (0.1, 1.0))
    for value in (0.1, 0.1000001, 1.0, 7.0):
        family.observe(labels({"a": "b"}), value)
    text = page([family])
    assert 'x_seconds_bucket{a="b",le="0.1"} 1.0' in text
    assert 'x_seconds_bucket{a="b",le="1.0"} 3.0' in text
    assert 'x_seconds_bucket{a="b",le="+Inf"} 4.0' in text
    assert 'x_seconds_count{a="b"} 4.0' in text


def test_a_reset_keeps_the_series_and_moves_the_start_time_only_if_told() -> None:
    metrics = VllmMetrics("m", "current", 10.0)
    metrics.finished(DONE)
    metrics.http("/v1/completions", "POST", 500, 0.2)
    metrics.reset(20.0, restarted=False)
    text = metrics.render(0, 0, 0.0)
    assert "process_start_time_seconds 10.0" in text
    assert 'vllm:request_success_total{engine="0",finished_reason="stop",model_name="m"} 0.0' in text
    assert 'http_requests_total{handler="/v1/completions",method="POST",status="5xx"} 0.0' in text
    assert 'vllm:e2e_request_latency_seconds_count{engine="0",model_name="m"} 0.0' in text
    metrics.reset(30.0, restarted=True)
    assert "process_start_time_seconds 30.0" in metrics.render(0, 0, 0.0)
