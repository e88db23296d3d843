import asyncio
import json
import threading
import time
from collections import Counter as Tally
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest

from solera.observe.fetch import Unreachable
from solera.observe.metrics import GuardrailQuery, Target
from solera.observe.prometheus import SERVER_TIME, SETTLED, Labels, PrometheusSource
from solera.observe.prometheus_api import connect
from solera.plan.evidence import Counter

NOW = datetime(2027, 3, 1, 12, tzinfo=UTC)
ERRORS = GuardrailQuery("errors", "ErrorRate")
TTFT = GuardrailQuery("ttft", "TimeToFirstToken", 2.5)
GUARDRAILS = (ERRORS, TTFT)


def target(n, engine="vLLM", **more):
    return Target("support-v1-aaaaaaaa", f"uid-{n}", "10.0.0.1", 8000, "ml", "svc", engine, f"pod-{n}", **more)


class Server:
    """What a Prometheus holds: name -> [(labels, value)], sampled at ``at``; it answers instant queries as text would be matched."""

    def __init__(self):
        self.at = NOW - timedelta(seconds=3)
        self.series = {}
        self.queries = []
        self.asked_at = set()
        self.tells_time = True
        self.trouble = None
        self.time = None

    def pod(
        self, name, namespace="ml", finished=(("stop", 90), ("error", 10)), ttft=((2.5, 80), ("+Inf", 90)), **labels
    ):
        where = {"namespace": namespace, "pod": name} | labels
        self.put("process_start_time_seconds", 1795471818.89, **where)
        for reason, count in finished:
            self.put("vllm:request_success_total", count, finished_reason=reason, engine="0", **where)
        for bound, count in ttft:
            self.put("vllm:time_to_first_token_seconds_bucket", count, le=str(bound), engine="0", **where)
        return self

    def put(self, name, value, **labels):
        self.series.setdefault(name, []).append((labels, value))

    def __call__(self, query, at=None):
        self.queries.append(query)
        if self.trouble is not None:
            raise self.trouble
        if query == SERVER_TIME:
            return self.tells_time and [{"metric": {}, "value": [NOW.timestamp(), f"{NOW.timestamp()}"]}]
        self.asked_at.add(at)
        name = query.removeprefix("timestamp(").split("{")[0]
        wanted = (
            query.split('le=~"')[1].split('"')[0].replace("\\\\", "").replace("[+]", "+").split("|")
            if "le=~" in query
            else None
        )
        return [
            {
                "metric": {"__name__": name, **labels},
                "value": [
                    NOW.timestamp(),
                    str((self.time or self.at.timestamp()) if query.startswith("timestamp(") else value),
                ],
            }
            for labels, value in self.series.get(name, [])
            if wanted is None or labels.get("le") in wanted
        ]


@pytest.fixture
def server():
    return Server()


@pytest.fixture
def source(server):
    source = PrometheusSource("prod", server)
    yield source
    source.close()


async def test_a_pod_s_counters_are_read_as_they_were_sampled(server, source):
    server.pod("pod-1").pod("pod-2", finished=(("stop", 5), ("error", 0)))
    result = await source.read([target(1), target(2), target(3)], GUARDRAILS, NOW)
    first, second = result.readings
    assert (first.source, first.instance, first.at, first.started) == (
        "prometheus",
        "uid-1",
        server.at,
        "1795471818.89",
    )
    assert first.counters == {"": Counter(100, 0), "errors": Counter(100, 10), "ttft": Counter(90, 10)}
    assert second.counters["errors"] == Counter(5, 0)
    assert result.errors == {"uid-3": "NoData: Prometheus prod has no series of pod pod-3"}


async def test_one_query_for_each_metric_whoever_asks(server, source):
    for n in range(30):
        server.pod(f"pod-{n}")
    await asyncio.gather(*(source.read([target(n)], GUARDRAILS, NOW) for n in range(30)))
    assert max(Tally(server.queries).values()) == 1
    # Its own time, requests, HTTP server, start, one histogram, time of the samples.
    assert len(server.queries) == 6
    assert server.asked_at == {NOW.timestamp() - SETTLED}
    assert not any("rate(" in q or "increase(" in q for q in server.queries)


async def test_a_restart_that_is_scraped_within_a_round_belongs_to_the_next_round(server, source):
    """Otherwise counters that begin again at zero would be read with the start of the process before."""
    server.pod("pod-1")
    after = Server().pod("pod-1", finished=(("stop", 1), ("error", 0)), ttft=((2.5, 1), ("+Inf", 1)))
    after.series["process_start_time_seconds"] = [({"namespace": "ml", "pod": "pod-1"}, 1795471900.5)]
    after.at = scraped = NOW
    asked = 0

    def prometheus(query, at=None):
        nonlocal asked
        asked += 1
        known = asked > 2 and (at is None or at >= scraped.timestamp())
        return (after if known else server)(query, at)

    source = PrometheusSource("prod", prometheus)
    (reading,) = (await source.read([target(1)], GUARDRAILS, NOW)).readings
    assert (reading.started, reading.at) == ("1795471818.89", server.at)
    assert reading.counters == {"": Counter(100, 0), "errors": Counter(100, 10), "ttft": Counter(90, 10)}
    scraped = NOW - timedelta(seconds=SETTLED)
    (reading,) = (await source.read([target(1)], GUARDRAILS, NOW + timedelta(seconds=1))).readings
    assert reading.started == "1795471900.50"
    assert reading.counters == {"": Counter(1, 0), "errors": Counter(1, 0), "ttft": Counter(1, 0)}
    source.close()


async def test_a_pod_whose_start_is_missing_for_a_round_is_no_other_process(server, source):
    server.pod("pod-1")
    begun = NOW - timedelta(hours=1)
    starts = server.series["process_start_time_seconds"]
    found = []
    for second, there in enumerate((starts, [], starts)):
        server.series["process_start_time_seconds"] = there
        server.at += timedelta(seconds=1)
        found.append(await source.read([target(1, started=begun)], GUARDRAILS, NOW + timedelta(seconds=second)))
    assert [[r.started for r in f.readings] for f in found] == [["1795471818.89"], [], ["1795471818.89"]]
    assert found[1].errors == {"uid-1": "NoData: Prometheus prod has lost process_start_time_seconds of pod pod-1"}


async def test_a_server_that_does_not_tell_its_time_is_asked_for_its_now(server, source):
    server.pod("pod-1").tells_time = []
    assert (await source.read([target(1)], GUARDRAILS, NOW)).readings
    assert server.asked_at == {None}


async def test_a_sample_is_given_once(server, source):
    server.pod("pod-1")
    assert (await source.read([target(1)], GUARDRAILS, NOW)).readings
    assert not (await source.read([target(1)], GUARDRAILS, NOW + timedelta(seconds=1))).readings
    server.at += timedelta(seconds=2)
    (reading,) = (await source.read([target(1)], GUARDRAILS, NOW + timedelta(seconds=2))).readings
    assert reading.at == server.at


async def test_a_threshold_that_is_no_bucket_is_told_with_those_that_are(server, source):
    server.pod("pod-1", ttft=((1.0, 10), (2.5, 80), ("+Inf", 90)))
    result = await source.read([target(1)], [GuardrailQuery("ttft", "TimeToFirstToken", 2.0)], NOW)
    assert result.unmeasurable == {
        "ttft": "slowerThan 2s is not a bucket of vllm:time_to_first_token_seconds; use 1s or 2.5s"
    }
    assert "ttft" not in result.readings[0].counters


async def test_other_names_of_labels(server):
    server.pod("", exported_namespace="ml", exported_pod="pod-1")
    source = PrometheusSource("prod", server, labels=Labels("exported_namespace", "exported_pod"))
    assert (await source.read([target(1)], GUARDRAILS, NOW)).readings
    assert all('exported_namespace!="",exported_pod!=""' in q for q in server.queries if q != SERVER_TIME)
    source.close()


async def test_the_same_pod_name_in_another_namespace_is_another_pod(server, source):
    server.pod("pod-1", namespace="other")
    result = await source.read([target(1)], GUARDRAILS, NOW)
    assert not result.readings
    assert "uid-1" in result.errors


@pytest.mark.parametrize("value", ["NaN", "-1", "+Inf", "1.5"])
async def test_a_value_that_is_no_count_is_an_error_of_that_pod_alone(server, source, value):
    server.pod("pod-1", finished=(("stop", value), ("error", 0))).pod("pod-2")
    result = await source.read([target(1), target(2)], GUARDRAILS, NOW)
    assert [r.instance for r in result.readings] == ["uid-2"]
    assert result.errors["uid-1"].startswith("Unreadable: ")


@pytest.mark.parametrize("value", ["NaN", "+Inf", "1e30"])
async def test_a_sample_without_a_time_is_told_in_words(server, source, value):
    server.pod("pod-1")
    server.time = value
    result = await source.read([target(1)], GUARDRAILS, NOW)
    why = f"the time of a sample of vllm:request_success_total is {value}, which is no time"
    assert (result.readings, result.errors) == ((), {"prod": f"Unreadable: Prometheus prod: {why}"})


async def test_what_is_missing_is_no_data_and_never_unmeasurable(server, source):
    server.pod("pod-1", ttft=())
    result = await source.read([target(1)], GUARDRAILS, NOW)
    assert not result.unmeasurable
    assert "ttft" not in result.readings[0].counters
    assert result.errors["uid-1"].startswith(
        "NoData: Prometheus prod: vLLM shows no vllm:time_to_first_token_seconds_bucket"
    )


async def test_what_is_only_observed_makes_no_source_unreachable(server, source):
    server.pod("pod-1", ttft=())
    observed = GuardrailQuery("ttft", "TimeToFirstToken", 2.5, acts=False)
    result = await source.read([target(1)], (ERRORS, observed), NOW)
    assert not result.errors
    assert result.readings[0].counters["errors"] == Counter(100, 10)
    assert result.unmeasurable["ttft"].startswith("vLLM shows no vllm:time_to_first_token_seconds_bucket")


async def test_an_engine_without_counters_is_unmeasurable(source):
    result = await source.read([target(1, engine="llama.cpp")], GUARDRAILS, NOW)
    assert result.unmeasurable.keys() == {"errors", "ttft"}


async def test_sglang(server, source):
    where = {"namespace": "ml", "pod": "pod-1"}
    endpoint = {"endpoint": "/v1/completions", "method": "POST"}
    server.put("sglang:http_responses_total", 40, status_code="200", **endpoint, **where)
    server.put("sglang:http_responses_total", 2, status_code="500", **endpoint, **where)
    begun = NOW - timedelta(hours=1)
    (reading,) = (await source.read([target(1, "SGLang", started=begun)], [ERRORS], NOW)).readings
    assert reading.counters == {"": Counter(42, 0), "errors": Counter(42, 2)}
    assert reading.started == f"{begun.timestamp():.2f}"


async def test_a_label_of_the_engine_that_the_target_has_too(server, source):
    """The Prometheus Operator names the port of every target in ``endpoint``."""
    where = {"namespace": "ml", "pod": "pod-1", "endpoint": "http", "job": "ml/engines"}
    for status, count in (("200", 40), ("500", 2)):
        server.put(
            "sglang:http_responses_total",
            count,
            status_code=status,
            exported_endpoint="/v1/completions",
            method="POST",
            **where,
        )
    (reading,) = (await source.read([target(1, "SGLang", started=NOW)], [ERRORS], NOW)).readings
    assert reading.counters == {"": Counter(42, 0), "errors": Counter(42, 2)}


async def test_a_pod_that_is_scraped_twice_is_counted_once_as_it_was_scraped_last(server, source):
    """By two jobs, or by replicas of a Prometheus that nobody deduplicates: the newest scrape counts, with its own start."""
    first = {"namespace": "ml", "pod": "pod-1", "job": "engines", "instance": "10.0.0.1:8000"}
    second = first | {"job": "pods", "prometheus_replica": "b"}
    server.pod("pod-1", **first)
    server.pod("pod-1", finished=(("stop", 3), ("error", 1)), ttft=((2.5, 2), ("+Inf", 3)), **second)
    server.series["process_start_time_seconds"][1] = (second, 1795471900.5)
    times = {"engines": 30.0, "pods": 20.0}

    def prometheus(query, at=None):
        answer = server(query, at)
        for series in answer if query.startswith("timestamp(") else ():
            series["value"][1] = str(NOW.timestamp() - times[series["metric"]["job"]])
        return answer

    source = PrometheusSource("prod", prometheus)
    (reading,) = (await source.read([target(1)], GUARDRAILS, NOW)).readings
    assert (reading.at, reading.started) == (NOW - timedelta(seconds=20), "1795471900.50")
    assert reading.counters == {"": Counter(4, 0), "errors": Counter(4, 1), "ttft": Counter(3, 1)}
    times["engines"] = 10.0
    later = NOW + timedelta(seconds=5)
    (reading,) = (await source.read([target(1)], GUARDRAILS, later)).readings
    assert (reading.at, reading.started) == (NOW - timedelta(seconds=10), "1795471818.89")
    assert reading.counters == {"": Counter(100, 0), "errors": Counter(100, 10), "ttft": Counter(90, 10)}
    source.close()


async def test_another_container_of_the_pod_counts_nothing(server, source):
    """A sidecar has a start and requests of its own under the same names."""
    engine = {"namespace": "ml", "pod": "pod-1", "job": "engines"}
    sidecar = engine | {"job": "sidecars"}
    server.put("process_start_time_seconds", 1795000000.0, **sidecar)
    server.put("http_requests_total", 900, handler="/v1/completions", status="5xx", method="POST", **sidecar)
    server.pod(**engine | {"name": "pod-1"})
    (reading,) = (await source.read([target(1)], GUARDRAILS, NOW)).readings
    assert reading.started == "1795471818.89"
    assert reading.counters["errors"] == Counter(100, 10)


async def test_what_every_process_has_is_asked_of_engines_alone(server, source):
    await source.read([target(1), target(2, "SGLang")], GUARDRAILS, NOW)
    pods = 'namespace!="",pod!=""'
    engines = {
        "vLLM": f"vllm:request_success_total{{{pods}}}",
        "SGLang": f"sglang:http_responses_total{{{pods}}} or sglang:num_requests_total{{{pods}}}",
    }
    common = [q for q in server.queries if q.startswith(("http_requests_total", "process_start_time_seconds"))]
    assert common == [
        f"{name}{{{pods}}} and on(namespace, pod) ({engines[engine]})"
        for engine, name in (
            ("SGLang", "process_start_time_seconds"),
            ("vLLM", "http_requests_total"),
            ("vLLM", "process_start_time_seconds"),
        )
    ]


async def test_an_outage_is_one_error_and_no_number(server, source):
    server.trouble = Unreachable("Prometheus prod: Connection refused")
    results = await asyncio.gather(*(source.read([target(n)], GUARDRAILS, NOW) for n in range(5)))
    assert all(r.errors == {"prod": "Unreachable: Prometheus prod: Connection refused"} for r in results)
    assert len(server.queries) == 1


async def test_a_slow_server_is_asked_by_one_thread_only():
    asked, now, most = 0, 0, 0

    def slow(_query, _at):
        nonlocal asked, now, most
        asked, now = asked + 1, now + 1
        most = max(most, now)
        time.sleep(0.05)
        now -= 1
        return []

    source = PrometheusSource("prod", slow)
    rounds = [source.read([target(1)], GUARDRAILS, NOW + timedelta(seconds=i)) for i in range(3)]
    await asyncio.gather(*rounds)
    assert asked > 3
    assert most == 1
    source.close()


# The real client against a server on loopback.


@pytest.fixture
def http():
    class Handler(BaseHTTPRequestHandler):
        answer = (200, json.dumps({"status": "success", "data": {"resultType": "vector", "result": []}}))
        wait = 0.0
        seen: ClassVar[list] = []
        times: ClassVar[list] = []

        def do_POST(self):
            length = int(self.headers.get("Content-Length") or 0)
            query = parse_qs(urlsplit(self.path).query) | parse_qs(self.rfile.read(length).decode())
            self.seen.append((urlsplit(self.path).path, query["query"][0], self.headers.get("Authorization")))
            self.times.append(query.get("time"))
            time.sleep(self.wait)
            status, body = self.answer
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            if status == 302:
                self.send_header("Location", "/elsewhere")
            self.end_headers()
            self.wfile.write(body.encode())

        def do_GET(self):
            self.seen.append((self.path, None, None))
            self.send_error(404)

        def log_message(self, *_):
            pass

    Handler.seen, Handler.times = [], []
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    httpd.handle_error = lambda *_: None  # the client that left on purpose
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    Handler.url = f"http://127.0.0.1:{httpd.server_port}"
    yield Handler
    httpd.shutdown()
    httpd.server_close()
    thread.join()


def ask(http, **more):
    return connect("prod", http.url, **({"timeout": 0.5, "max_bytes": 10_000} | more))


def test_the_client_sends_the_query_and_the_token_as_it_is_now(http, tmp_path):
    token = tmp_path / "token"
    token.write_text("first\n")
    client = ask(http, token_file=str(token))
    assert client('up{pod!=""}') == []
    token.write_text("second\n")
    client("up", 1795471818.8914)
    assert http.times == [None, ["1795471818.891"]]
    assert http.seen == [("/api/v1/query", 'up{pod!=""}', "Bearer first"), ("/api/v1/query", "up", "Bearer second")]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ((503, "busy"), "refuses: HTTP Status Code 503"),
        ((200, "<html>"), "Prometheus prod: "),
        ((200, "{}"), "Prometheus prod: "),
        ((200, "[]"), "Prometheus prod: "),
        ((200, '{"data": {"result": {}}}'), "gave no vector"),
        ((200, "x" * 20_000), "longer than 10000 bytes"),
        ((302, ""), "refuses: HTTP Status Code 302"),
    ],
)
def test_the_client_turns_every_bad_answer_into_one_error_without_asking_twice(http, answer, says):
    http.answer = answer
    with pytest.raises(Unreachable, match=says):
        ask(http)("up")
    assert len(http.seen) == 1


def test_the_client_does_not_wait_for_ever(http):
    http.wait = 1.0
    with pytest.raises(Unreachable, match=r"gave no complete answer within 0\.1s"):
        ask(http, timeout=0.1)("up")


def test_the_client_names_what_the_system_says():
    begin = time.monotonic()
    with pytest.raises(Unreachable, match=r"Prometheus prod: .*Connection refused"):
        connect("prod", "http://127.0.0.1:1", timeout=0.5, max_bytes=1000)("up")
    assert time.monotonic() - begin < 4  # the library's own retries would take six seconds
