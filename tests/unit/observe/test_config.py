from datetime import timedelta

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from solera.config import Config, ConfigError, LogLevel, load, parse

FULL = """
metrics:
  scrapeInterval: 1s
  scrapeTimeout: 2s
  concurrency: 20
  maxBodyBytes: 4MiB
  gateways: [{name: inference, endpoint: "http://192.0.2.1:8082/metrics", implementation: Traefik}]
  prometheusSources:
  - {name: prod, url: "https://prometheus.monitoring:9090/", timeout: 3s, interval: 30s, bearerTokenFile: /etc/token}
probe: {timeout: 20s, prompt: Hi}
namespaces: [ml]
workers: 4
logLevel: debug
logFormat: json
metricsPort: 9000
healthPort: 9001
"""


def problems(text):
    with pytest.raises(ConfigError) as refused:
        parse(text)
    assert str(refused.value) == "; ".join(refused.value.problems)
    return refused.value.problems


def test_everything_that_can_be_said():
    config = parse(FULL)
    assert config.metrics.scrape_interval == timedelta(seconds=1)
    assert config.metrics.max_body_bytes == 4 * 1024 * 1024
    assert config.metrics.gateways[0].endpoint == "http://192.0.2.1:8082/metrics"
    assert config.metrics.prometheus_sources[0].url == "https://prometheus.monitoring:9090"
    assert config.metrics.prometheus_sources[0].interval == timedelta(seconds=30)
    assert config.sources() == ("Direct", "inference", "prod")
    assert config.log_level is LogLevel.DEBUG


@pytest.mark.parametrize("text", ["", "# nothing\n", "{}", "metrics:\nprobe:\n", "metrics: {gateways: }"])
def test_what_is_left_out_has_its_default(text):
    assert parse(text) == Config()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("metrics: {scrapeIntervall: 1s}", "metrics.scrapeIntervall: no such field; write scrapeInterval"),
        ("metrics: {gateways: [{name: a, endpont: x, endpoint: 'http://a/'}]}", "metrics.gateways[0].endpont: no such field; write endpoint"),
        ("leaderElection: {leaseDuration: 1500ms}", "leaderElection.leaseDuration: 1.5s is out of range: write 2s to 10m"),
        ("leaderElection: {leaseDuration: 3500ms}", "leaderElection: leaseDuration 3.5s: write whole seconds, for example 15s"),
        (
            "leaderElection: {renewInterval: 8s}",
            "leaderElection: renewInterval and retryInterval are 10s together, and must be less than two thirds of leaseDuration (10s),",
        ),
        ("leaderElection: {nam: x}", "leaderElection.nam: no such field; write name"),
        ("wokers: 3", "wokers: no such field; write workers"),
        ("metrics: {gateways: [{name: a}]}", "metrics.gateways[0].endpoint: required"),
        ("metrics: {gateways: {name: a}}", "metrics.gateways: write a list"),
        ("metrics: 7", "metrics: write a mapping of fields"),
        ("metrics: {scrapeInterval: 1}", "metrics.scrapeInterval: 1 is not a duration: write a duration in h, m, s and ms"),
        ("metrics: {scrapeInterval: 1d}", "metrics.scrapeInterval: '1d' is not a duration"),
        ("metrics: {scrapeInterval: 1ms}", "metrics.scrapeInterval: 0.001s is out of range: write 200ms to 5m"),
        ("metrics: {maxBodyBytes: many}", "metrics.maxBodyBytes: 'many' is not a size: write bytes with a suffix, for example 4Mi"),
        ("metrics: {maxBodyBytes: true}", "metrics.maxBodyBytes: True is not a size"),
        ("metrics: {maxBodyBytes: 900Gi}", "metrics.maxBodyBytes: Input should be less than or equal to 268435456"),
        ("metrics: {concurrency: 0}", "metrics.concurrency: Input should be greater than or equal to 1"),
        ("metrics: {gateways: [{name: In_ference, endpoint: 'http://a'}]}", "metrics.gateways[0].name: write lowercase letters, digits and -"),
        ("metrics: {gateways: [{name: a, endpoint: 'http://a', implementation: Envoy}]}", "metrics.gateways[0].implementation: Input should be 'Traefik'"),
        ("workers: many", "workers: write a whole number"),
        ("logLevel: loud", "logLevel: Input should be 'debug', 'info', 'warning' or 'error'"),
        ("metricsPort: 70000", "metricsPort: Input should be less than or equal to 65535"),
        ("metricsPort: 8081", "configuration: metricsPort and healthPort must differ"),
        ("- metrics", "the file must hold a mapping of fields, not list"),
        ("metrics: [", "not YAML: "),
        ("metrics: {prometheusSources: [{name: a, url: 'http://a', podLabel: 'a-b'}]}", "metrics.prometheusSources[0].podLabel: write the name of a Prometheus label"),
        ("metrics: {prometheusSources: [{name: a, url: 'http://a', caFile: ca.crt}]}", "metrics.prometheusSources[0].caFile: write a path from the root"),
    ],
)  # fmt: skip
def test_every_refusal_names_the_field_and_says_what_to_write(text, says):
    (problem,) = problems(text)
    assert problem.startswith(says)


@pytest.mark.parametrize(
    "url",
    [
        "prometheus:9090",
        "ftp://a/",
        "http://",
        "http://a b/",
        "http://a/?x=1",
        "http://a/#x",
        "http://a:port/",
        "http://[::1/",
    ],
)
def test_an_address_that_is_none_is_refused(url):
    (problem,) = problems(f"metrics: {{prometheusSources: [{{name: a, url: '{url}'}}]}}")
    assert problem.startswith("metrics.prometheusSources[0].url: ")
    assert "write http://HOST:PORT/PATH" in problem


def test_a_password_in_an_address_is_refused_and_never_repeated():
    (problem,) = problems("metrics: {gateways: [{name: a, endpoint: 'http://admin:s3cret@gw/metrics'}]}")
    assert "without user, password" in problem
    assert "s3cret" not in problem
    assert "admin" not in problem


def test_two_sources_cannot_share_a_name():
    text = "metrics: {gateways: [{name: a, endpoint: 'http://x/'}], prometheusSources: [{name: a, url: 'http://y'}]}"
    assert problems(text) == ("metrics: two sources are named 'a': gateways and prometheusSources share their names",)


def test_all_problems_are_told_at_once():
    assert len(problems("workers: many\nlogLevel: loud\nmetrics: {concurrency: 0}")) == 3


def test_a_file_is_read(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(FULL)
    assert load(path) == parse(FULL)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(
        ConfigError, match=r"missing.yaml: No such file or directory; name a readable file with --config"
    ):
        load(tmp_path / "missing.yaml")
    (tmp_path / "big").write_bytes(b"#" * (2 << 20))
    with pytest.raises(ConfigError, match="longer than 1048576 bytes"):
        load(tmp_path / "big")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load(tmp_path / "binary")


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["metrics", "gateways", "name", "probe", "timeout", "workers", "x"]), inner, max_size=4), max_leaves=8))  # fmt: skip
def test_any_yaml_is_a_configuration_or_a_clear_error(value):
    try:
        assert isinstance(parse(yaml.safe_dump(value)), Config)
    except ConfigError as error:
        told = error.problems
    else:
        return
    assert told
    assert all(told)
