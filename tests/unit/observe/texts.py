"""Answers of real servers at /metrics, shortened to the lines that matter and some that must not."""

VLLM = """\
# HELP process_start_time_seconds Start time of the process since unix epoch in seconds.
# TYPE process_start_time_seconds gauge
process_start_time_seconds 1.79547181889e+09
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="support"} 2.0
# HELP vllm:request_success_total Count of successfully processed requests.
# TYPE vllm:request_success_total counter
vllm:request_success_total{engine="0",finished_reason="stop",model_name="support"} 80.0
vllm:request_success_total{engine="0",finished_reason="length",model_name="support"} 15.0
vllm:request_success_total{engine="0",finished_reason="abort",model_name="support"} 7.0
vllm:request_success_total{engine="0",finished_reason="error",model_name="support"} 3.0
vllm:request_success_total{engine="0",finished_reason="repetition",model_name="support"} 2.0
# HELP vllm:request_success_created Count of successfully processed requests.
# TYPE vllm:request_success_created gauge
vllm:request_success_created{engine="0",finished_reason="stop",model_name="support"} 1.7954718e+09
# HELP vllm:time_to_first_token_seconds Histogram of time to first token in seconds.
# TYPE vllm:time_to_first_token_seconds histogram
vllm:time_to_first_token_seconds_bucket{engine="0",le="0.5",model_name="support"} 60.0
vllm:time_to_first_token_seconds_bucket{engine="0",le="1.0",model_name="support"} 90.0
vllm:time_to_first_token_seconds_bucket{engine="0",le="2.5",model_name="support"} 95.0
vllm:time_to_first_token_seconds_bucket{engine="0",le="+Inf",model_name="support"} 100.0
vllm:time_to_first_token_seconds_count{engine="0",model_name="support"} 100.0
vllm:time_to_first_token_seconds_sum{engine="0",model_name="support"} 71.3
# HELP vllm:e2e_request_latency_seconds Histogram of e2e request latency in seconds.
# TYPE vllm:e2e_request_latency_seconds histogram
vllm:e2e_request_latency_seconds_bucket{engine="0",le="5.0",model_name="support"} 70.0
vllm:e2e_request_latency_seconds_bucket{engine="0",le="10.0",model_name="support"} 98.0
vllm:e2e_request_latency_seconds_bucket{engine="0",le="+Inf",model_name="support"} 107.0
vllm:e2e_request_latency_seconds_count{engine="0",model_name="support"} 107.0
vllm:e2e_request_latency_seconds_sum{engine="0",model_name="support"} 412.0
# HELP http_requests_total Total number of requests by method, status and handler.
# TYPE http_requests_total counter
http_requests_total{handler="/v1/completions",method="POST",status="2xx"} 90.0
http_requests_total{handler="/v1/chat/completions",method="POST",status="4xx"} 40.0
http_requests_total{handler="/v1/chat/completions",method="POST",status="5xx"} 2.0
http_requests_total{handler="/v1/completions",method="GET",status="5xx"} 30.0
http_requests_total{handler="/health",method="GET",status="5xx"} 600.0
http_requests_total{handler="none",method="GET",status="5xx"} 9.0
"""

VLLM_V0 = """\
# HELP vllm:gpu_cache_usage_perc GPU KV-cache usage. 1 means 100 percent usage.
# TYPE vllm:gpu_cache_usage_perc gauge
vllm:gpu_cache_usage_perc{model_name="support"} 0.1
# HELP vllm:request_success_total Count of successfully processed requests.
# TYPE vllm:request_success_total counter
vllm:request_success_total{finished_reason="stop",model_name="support"} 41.0
vllm:request_success_total{finished_reason="length",model_name="support"} 9.0
# HELP vllm:time_to_first_token_seconds Histogram of time to first token in seconds.
# TYPE vllm:time_to_first_token_seconds histogram
vllm:time_to_first_token_seconds_bucket{le="1.0",model_name="support"} 48.0
vllm:time_to_first_token_seconds_bucket{le="2.5",model_name="support"} 49.0
vllm:time_to_first_token_seconds_bucket{le="+Inf",model_name="support"} 50.0
vllm:time_to_first_token_seconds_count{model_name="support"} 50.0
# HELP vllm:e2e_request_latency_seconds Histogram of end to end request latency in seconds.
# TYPE vllm:e2e_request_latency_seconds histogram
# HELP http_requests_total Total number of requests by method, status and handler.
# TYPE http_requests_total counter
http_requests_total{handler="/v1/completions",method="POST",status="5xx"} 5.0
"""

SGLANG = """\
# HELP sglang:num_running_reqs The number of running requests.
# TYPE sglang:num_running_reqs gauge
sglang:num_running_reqs{engine_type="unified",model_name="support",tp_rank="0"} 1.0
# HELP sglang:num_requests_total Number of requests processed.
# TYPE sglang:num_requests_total counter
sglang:num_requests_total{is_streaming="true",model_name="support"} 70.0
sglang:num_requests_total{is_streaming="false",model_name="support"} 30.0
# HELP sglang:num_aborted_requests_total Number of requests aborted.
# TYPE sglang:num_aborted_requests_total counter
sglang:num_aborted_requests_total{model_name="support"} 11.0
# HELP sglang:http_responses_total Total number of HTTP responses by endpoint and status code
# TYPE sglang:http_responses_total counter
sglang:http_responses_total{endpoint="/v1/chat/completions",method="POST",status_code="200"} 100.0
sglang:http_responses_total{endpoint="/v1/chat/completions",method="POST",status_code="500"} 4.0
sglang:http_responses_total{endpoint="/v1/chat/completions",method="POST",status_code="499"} 6.0
sglang:http_responses_total{endpoint="/v1/completions",method="POST",status_code="400"} 8.0
sglang:http_responses_total{endpoint="/health",method="GET",status_code="503"} 50.0
# HELP sglang:time_to_first_token_seconds Histogram of time to first token in seconds.
# TYPE sglang:time_to_first_token_seconds histogram
sglang:time_to_first_token_seconds_bucket{is_streaming="true",le="1.0",model_name="support",tp_rank="0"} 60.0
sglang:time_to_first_token_seconds_bucket{is_streaming="true",le="+Inf",model_name="support",tp_rank="0"} 70.0
sglang:time_to_first_token_seconds_bucket{is_streaming="true",le="1.0",model_name="support",tp_rank="1"} 60.0
sglang:time_to_first_token_seconds_bucket{is_streaming="true",le="+Inf",model_name="support",tp_rank="1"} 70.0
sglang:time_to_first_token_seconds_bucket{is_streaming="false",le="1.0",model_name="support",tp_rank="0"} 29.0
sglang:time_to_first_token_seconds_bucket{is_streaming="false",le="+Inf",model_name="support",tp_rank="0"} 30.0
"""

LLAMA_CPP = """\
# HELP llamacpp:prompt_tokens_total Number of prompt tokens processed.
# TYPE llamacpp:prompt_tokens_total counter
llamacpp:prompt_tokens_total 120
# HELP llamacpp:tokens_predicted_total Number of generation tokens processed.
# TYPE llamacpp:tokens_predicted_total counter
llamacpp:tokens_predicted_total 480
# HELP llamacpp:requests_processing Number of requests processing.
# TYPE llamacpp:requests_processing gauge
llamacpp:requests_processing 0
"""

TRAEFIK_ROUTE = "httproute-ml-support-gw-gateways-inference-ep-http-0-a3ed86f152b48ac706b7"
TRAEFIK_V1 = f"{TRAEFIK_ROUTE}-svc-ml-support-v1-aaaaaaaa-0@kubernetesgateway"
TRAEFIK_V2 = f"{TRAEFIK_ROUTE}-svc-ml-support-v2-bbbbbbbb-1@kubernetesgateway"
TRAEFIK_START = "process_start_time_seconds 1.79547105651e+09\n"


def traefik_backend(label: str, codes: dict[str, int], *, within: int | None = None) -> str:
    """The lines of one backend: requests by code, and how many of each code took at most 2.5 s (all when not given)."""
    lines = []
    for code, count in codes.items():
        same = f'code="{code}",method="POST",protocol="http",service="{label}"'
        fast = count if within is None else min(count, within)
        lines += [
            f"traefik_service_requests_total{{{same}}} {count}",
            f"traefik_service_requests_bytes_total{{{same}}} {count * 100}",
            f'traefik_service_request_duration_seconds_bucket{{{same},le="0.1"}} 0',
            f'traefik_service_request_duration_seconds_bucket{{{same},le="2.5"}} {fast}',
            f'traefik_service_request_duration_seconds_bucket{{{same},le="+Inf"}} {count}',
            f"traefik_service_request_duration_seconds_count{{{same}}} {count}",
        ]
    return "\n".join(lines) + "\n"


TRAEFIK = (
    "# TYPE process_start_time_seconds gauge\n"
    + TRAEFIK_START
    + "# TYPE traefik_service_requests_total counter\n"
    + traefik_backend(TRAEFIK_V1, {"200": 900, "404": 20, "502": 5, "499": 7})
    + traefik_backend(TRAEFIK_V2, {"200": 90, "500": 10}, within=80)
    + traefik_backend(
        "httproute-other-x-gw-gateways-inference-ep-http-0-ff-svc-other-x-0@kubernetesgateway", {"200": 4}
    )
    + traefik_backend("api@internal", {"200": 3})
)
