from __future__ import annotations

import pytest
from benchmarks.peer import traffic
from benchmarks.peer.traffic import Traffic
from lab.engines.simengine.vllm_metrics import TTFT_BUCKETS, VllmMetrics

from solera.observe import engines, exposition
from solera.observe.metrics import GuardrailQuery
from solera.plan.evidence import ALL_REQUESTS, Counter

ROUTE = ("n", "m")


def route(**weights: int) -> traffic.Object:
    refs = [{"name": name, "weight": weight} for name, weight in weights.items()]
    return {"metadata": {"namespace": "n", "name": "m"}, "spec": {"rules": [{"backendRefs": refs}]}}


def endpoints(service: str, *addresses: str, ready: bool = True) -> traffic.Object:
    return {
        "metadata": {"namespace": "n", "name": f"{service}-x", "labels": {"kubernetes.io/service-name": service}},
        "endpoints": [{"addresses": [address], "conditions": {"ready": ready}} for address in addresses],
    }


def world(**weights: int) -> Traffic:
    made = Traffic(100.0)
    made.route(ROUTE, route(**weights))
    made.endpoints(("n", "a-x"), endpoints("a", "10.0.0.1", "10.0.0.2"))
    made.endpoints(("n", "b-x"), endpoints("b", "10.0.0.3"))
    return made


def test_a_route_is_split_by_its_weights_and_a_service_by_its_pods() -> None:
    made = world(a=95, b=5)
    for tick in range(20):
        made.pass_time(tick * 0.5, 0.5)
    assert made.answered == {"10.0.0.1": 475, "10.0.0.2": 475, "10.0.0.3": 50}
    assert made.lost == {}


def test_a_part_of_a_request_is_owed_until_it_is_whole() -> None:
    made = world(a=99, b=1)
    for tick in range(10):
        made.pass_time(tick * 0.1, 0.1)
    assert made.answered["10.0.0.3"] == 1


def test_weight_nought_gets_nothing_and_one_is_meant_where_none_is_said() -> None:
    made = world(a=100, b=0)
    made.pass_time(0.0, 1.0)
    assert "10.0.0.3" not in made.answered
    plain = {"metadata": {"namespace": "n", "name": "m"}, "spec": {"rules": [{"backendRefs": [{"name": "b"}]}]}}
    assert traffic.backends(plain) == [(("n", "b"), 1)]


@pytest.mark.parametrize("left", [None, endpoints("b", "10.0.0.3", ready=False)])
def test_requests_to_a_service_without_a_ready_pod_are_lost(left: traffic.Object | None) -> None:
    made = world(a=50, b=50)
    made.endpoints(("n", "b-x"), left)
    made.pass_time(0.0, 1.0)
    assert made.lost == {"n": 50}


def test_a_route_that_is_gone_gets_nothing() -> None:
    made = world(a=100)
    made.route(ROUTE, None)
    made.pass_time(0.0, 1.0)
    assert made.answered == {}


def test_recent_forgets_what_is_older_than_the_window() -> None:
    made = world(b=100)
    made.pass_time(1.0, 1.0)
    assert made.recent(("n", "b"), 5.0) == 100
    assert made.recent(("n", "b"), 11.5) == 0
    assert made.recent(("n", "a"), 1.0) == 0


def test_the_page_of_an_engine_reads_as_one_of_vllm() -> None:
    full = VllmMetrics("m", "current", 1000.0).render(running=1, waiting=0, cache_usage=0.5)
    rest = traffic.filler(full, traffic.COUNTED)
    assert len(full.splitlines()) > len(rest.splitlines()) > 100
    page = rest + traffic.counters(250, TTFT_BUCKETS)
    found = exposition.parse(page, engines.names())
    guardrails = [GuardrailQuery("errors", "ErrorRate"), GuardrailQuery("ttft", "TimeToFirstToken", 2.5)]
    measured = engines.measure(found, engines.shown_in(page), guardrails)
    assert measured.counters == {ALL_REQUESTS: Counter(250, 0), "errors": Counter(250, 0), "ttft": Counter(250, 0)}
    assert not measured.absent
    assert not measured.unmeasurable


def test_an_answer_of_prometheus_has_one_sample_or_none() -> None:
    assert traffic.vector(1.0, 5.0)["data"]["result"] == [{"metric": {}, "value": [5.0, "1"]}]
    assert traffic.vector(None, 5.0)["data"]["result"] == []
