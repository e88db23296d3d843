import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lab.engines.simengine.vllm_metrics import Finished, VllmMetrics
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from solera.api.traffic import Metric
from solera.observe import engines
from solera.observe.exposition import parse, slower_than, started, total
from solera.observe.metrics import GuardrailQuery, Unreadable
from solera.plan.evidence import Counter as Count
from unit.observe import texts

ERRORS = GuardrailQuery("errors", "ErrorRate")
TTFT = GuardrailQuery("ttft", "TimeToFirstToken", 2.5)
LATENCY = GuardrailQuery("latency", "RequestLatency", 5.0)


def measure(text: str, *guardrails: GuardrailQuery) -> engines.Measured:
    return engines.measure(parse(text, engines.names()), engines.shown_in(text), guardrails)


def test_vllm_counts_errors_slow_answers_and_all_requests():
    measured = measure(texts.VLLM, ERRORS, TTFT, LATENCY)
    assert measured.counters == {
        "": Count(107, 0),
        "errors": Count(100, 3),  # 7 clients left: neither good nor bad
        "ttft": Count(100, 5),
        "latency": Count(107, 37),
    }
    assert not measured.unmeasurable
    assert not measured.absent


def test_a_request_refused_before_the_engine_is_bad_and_none_counts_twice():
    refusing = texts.VLLM.replace(
        'completions",method="POST",status="5xx"} 2.0', 'completions",method="POST",status="5xx"} 8.0'
    )
    measured = measure(refusing, ERRORS)
    assert measured.counters["errors"] == Count(97 + 8, 8)
    assert measured.counters[""] == Count(107 + 5, 0)


def test_the_old_vllm_has_no_error_reason_so_the_http_server_tells():
    measured = measure(texts.VLLM_V0, ERRORS, TTFT, LATENCY)
    assert measured.counters == {"": Count(55, 0), "errors": Count(55, 5), "ttft": Count(50, 1), "latency": Count(0, 0)}


def test_errors_that_no_counter_would_show_are_not_counted_as_none():
    blind = "\n".join(line for line in texts.VLLM_V0.splitlines() if "http_requests" not in line) + "\n"
    measured = measure(blind, ERRORS)
    assert "errors" not in measured.counters
    assert (
        "neither vllm:request_success_total with finished_reason error nor http_requests_total"
        in measured.absent["errors"]
    )


def test_sglang_counts_responses_and_no_rank_twice():
    measured = measure(texts.SGLANG, ERRORS, GuardrailQuery("ttft", "TimeToFirstToken", 1.0))
    assert measured.counters == {"": Count(118, 0), "errors": Count(112, 4), "ttft": Count(100, 11)}


def test_an_sglang_without_http_counters_still_counts_requests():
    old = "\n".join(line for line in texts.SGLANG.splitlines() if "http_responses" not in line) + "\n"
    measured = measure(old, ERRORS)
    assert measured.counters == {"": Count(100, 0)}
    assert "sglang:http_responses_total" in measured.absent["errors"]


def test_llama_cpp_cannot_be_measured_and_says_what_can():
    measured = measure(texts.LLAMA_CPP, ERRORS, TTFT)
    assert not measured.counters
    assert measured.unmeasurable.keys() == {"errors", "ttft"}
    assert "llama.cpp exports no counter of requests" in measured.unmeasurable["errors"]
    assert "name a gateway" in measured.unmeasurable["errors"]


def test_a_server_that_shows_no_engine_is_not_measured():
    measured = measure("# TYPE process_start_time_seconds gauge\nprocess_start_time_seconds 1\n", ERRORS)
    assert not measured.counters
    assert "nothing of an engine that is known" in measured.absent["errors"]


@pytest.mark.parametrize(
    ("seconds", "use"),
    [(2.0, "use 1s or 2.5s"), (0.1, "use 0.5s"), (60.0, "use 2.5s")],
)
def test_a_threshold_that_is_no_bucket_is_refused_with_those_that_are(seconds, use):
    measured = measure(texts.VLLM, GuardrailQuery("ttft", "TimeToFirstToken", seconds))
    assert (
        measured.unmeasurable["ttft"]
        == f"slowerThan {seconds:g}s is not a bucket of vllm:time_to_first_token_seconds; {use}"
    )
    assert "ttft" not in measured.counters


@pytest.mark.parametrize("text", ['le="1"', 'le="1.0"', 'le="1e0"'])
def test_a_bound_is_a_number_not_a_text(text):
    found = parse(f'h_bucket{{{text}}} 3\nh_bucket{{le="+Inf"}} 5\n', ("h_bucket",))
    assert slower_than("h", found, 1.0) == Count(5, 2)


@pytest.mark.parametrize("generation", ["current", "v0.10", "v0"])
def test_every_generation_of_vllm_counts_the_same(generation):
    page = VllmMetrics("support", generation, started=1_790_000_000.25)
    before = measure(page.render(0, 0, 0.0), ERRORS, TTFT, LATENCY)
    assert before.counters == {n: Count(0, 0) for n in ("", "errors", "ttft", "latency")}
    for took in (0.2, 3.0, 7.0):
        page.first_token(took / 2)
        page.finished(Finished("stop", took, 0.0, 0.1, 0.1, 5, 5))
        page.http("/v1/completions", "POST", 200, took)
    page.finished(Finished("error", 0.1, 0.0, 0.1, 0.0, 5, 0))
    page.http("/v1/completions", "POST", 500, 0.1)
    page.http("/v1/models", "GET", 500, 0.1)
    text = page.render(0, 0, 0.0)
    measured = measure(text, ERRORS, TTFT, LATENCY)
    assert measured.counters["errors"] == Count(4, 1)
    assert measured.counters["ttft"] == Count(3, 1)
    assert measured.counters["latency"].bad == 1
    assert measured.counters[""] == Count(4, 0)
    assert started(parse(text, engines.names())) == "1790000000.25"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('vllm:request_success_total{finished_reason="stop"} 12', "cut off"),
        ('vllm:request_success_total{finished_reason="stop"} NaN\n', "nan, which no counter can be"),
        ('vllm:request_success_total{finished_reason="stop"} -1\n', "-1, which no counter can be"),
        ('vllm:request_success_total{finished_reason="stop"} +Inf\n', "inf, which no counter can be"),
        ('vllm:request_success_total{finished_reason="stop"} 1.5\n', "not a whole number"),
        ('vllm:request_success_total{finished_reason="stop"} twelve\n', "'twelve', which is not a number"),
        ('vllm:request_success_total{finished_reason="stop" 12\n', "not in the Prometheus text format"),
        ("vllm:request_success_total{finished_reason=stop} 12\n", "labels of vllm:request_success_total are not"),
        ("vllm:request_success_total{}\n", "not in the Prometheus text format"),
    ],
)
def test_what_cannot_be_a_count_is_unreadable(text, says):
    with pytest.raises(Unreadable, match=says.replace("+", r"\+")):
        measure(text, ERRORS)


def test_a_histogram_that_contradicts_itself_is_unreadable():
    text = 'vllm:time_to_first_token_seconds_bucket{le="2.5"} 9\nvllm:time_to_first_token_seconds_bucket{le="+Inf"} 5\n'
    with pytest.raises(Unreadable, match="counts 5 events, but 9 of them"):
        measure(text, TTFT)
    with pytest.raises(Unreadable, match="no bound"):
        measure("vllm:time_to_first_token_seconds_bucket 5\n", TTFT)


def test_names_that_only_begin_alike_are_other_names():
    found = parse("h_bucket_extra 7\nh_bucket 3\n# TYPE h_bucketful counter\n", ("h_bucket",))
    assert [s.value for s in found["h_bucket"]] == [3]
    assert found.declared == {"h_bucket"}


def test_a_start_time_reads_the_same_however_it_is_written():
    one = parse("process_start_time_seconds 1.79547105651e+09\n", ("process_start_time_seconds",))
    other = parse("process_start_time_seconds 1795471056.51\n", ("process_start_time_seconds",))
    assert started(one) == started(other) == "1795471056.51"
    assert started(parse("", ("process_start_time_seconds",))) is None


LABEL_TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\r"), max_size=12)


@given(
    st.dictionaries(st.from_regex("[a-z][a-z0-9_]{0,6}", fullmatch=True), LABEL_TEXT, max_size=4),
    st.integers(0, 2**50),
)
def test_every_line_that_the_client_library_writes_is_read_back(labels, value):
    names = sorted(set(labels) - {"le"})
    registry = CollectorRegistry()
    counter = Counter("asked_for", "With \\ and \n.", names, registry=registry)
    (counter.labels(*(labels[n] for n in names)) if names else counter).inc(value)
    found = parse(generate_latest(registry).decode(), ("asked_for_total",))
    assert [(dict(s.labels), s.value) for s in found["asked_for_total"]] == [
        ({n: labels[n] for n in names}, float(value))
    ]


@given(st.text(max_size=200))
def test_any_text_is_read_or_unreadable(text):
    try:
        measured = measure(f"{text}\n", ERRORS, TTFT)
    except Unreadable:
        return
    assert all(0 <= c.bad <= c.total for c in measured.counters.values())


@given(st.lists(st.floats(0, 20), max_size=30), st.sampled_from([0.5, 1.0, 2.5]))
def test_slow_answers_are_those_beyond_the_bound(times, bound):
    registry = CollectorRegistry()
    histogram = Histogram("h", "Times.", buckets=[0.5, 1.0, 2.5], registry=registry)
    for seconds in times:
        histogram.observe(seconds)
    found = parse(generate_latest(registry).decode(), ("h_bucket", "h_count"))
    assert slower_than("h", found, bound) == Count(len(times), sum(t > bound for t in times))


def test_reading_costs_a_fraction_of_the_general_parser():
    page = VllmMetrics("support", "current", started=1_790_000_000.0).render(0, 0, 0.0)
    assert page.count("\n") > 200

    def best(work):
        times = []
        for _ in range(5):
            begin = time.perf_counter()
            work()
            times.append(time.perf_counter() - begin)
        return min(times)

    ours = best(lambda: measure(page, ERRORS, TTFT, LATENCY))
    general = best(lambda: list(text_string_to_metric_families(page)))
    assert ours < general / 2


def test_totals_leave_out_what_is_not_chosen():
    found = parse('c{x="1"} 2\nc{x="2"} 3\n', ("c",))
    assert total(found["c"]) == 5
    assert total(found["c"], lambda labels: labels["x"] == "2") == 3
    assert not math.isnan(total(found["none"]))


@pytest.mark.parametrize("engine", engines.HISTOGRAMS)
def test_every_metric_of_the_api_is_counted_for_every_engine_that_has_histograms(engine):
    assert {"ErrorRate", *engines.HISTOGRAMS[engine]} == {metric.value for metric in Metric}
