"""What the administrator decides for the whole operator: one YAML file, mounted from the chart's ConfigMap, named by --config.

Addresses and credentials of metric sources stand only here; an LLMDeployment names a source and never an address.
"""

import difflib
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from solera.api.scalars import format_duration
from solera.config_types import Bytes, Duration, FilePath, LabelName, Port, SourceName, Url, between
from solera.errors import SoleraError

MAX_FILE_BYTES = 1 << 20
DIRECT = "Direct"
"""The source that needs no declaration: the operator reads the pods' own counters."""


class ConfigError(SoleraError):
    """The configuration cannot be used. ``problems`` are "path: what is wrong; what to write instead", one for each field."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class _Part(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True, use_attribute_docstrings=True
    )


class GatewaySource(_Part):
    """A gateway whose own counters tell how the requests to each backend ended."""

    name: SourceName
    """What `spec.rollout.metrics.source` of an LLMDeployment says to use it."""
    endpoint: Url
    """Metrics of its instances. A name with several addresses (a headless Service) is read at every address."""
    implementation: Literal["Traefik"] = "Traefik"
    """Which gateway it is; decides the names of metrics and backends."""


class PrometheusSource(_Part):
    """A Prometheus, or anything that answers its query API."""

    name: SourceName
    """What `spec.rollout.metrics.source` of an LLMDeployment says to use it."""
    url: Url
    """Address without /api/v1."""
    timeout: Annotated[Duration, between("100ms", "60s")] = timedelta(seconds=5)
    """Longest wait for the answer to one query."""
    interval: Annotated[Duration, between("1s", "10m")] = timedelta(seconds=15)
    """Time between two rounds of queries; asking more often than it scrapes brings nothing."""
    namespace_label: LabelName = "namespace"
    """Label that its series carry for the pod's namespace."""
    pod_label: LabelName = "pod"
    """Label that its series carry for the pod's name."""
    bearer_token_file: FilePath | None = None
    """File with a token, read again for every round; none when left out."""
    ca_file: FilePath | None = None
    """Certificates to trust for https; the system's when left out."""


class Metrics(_Part):
    """How evidence is collected. Only pods of running rollouts are ever read."""

    scrape_interval: Annotated[Duration, between("200ms", "5m")] = timedelta(seconds=1)
    """Time between two readings of a pod or gateway."""
    scrape_timeout: Annotated[Duration, between("100ms", "60s")] = timedelta(seconds=2)
    """Longest wait for one answer, from connecting to its last byte."""
    concurrency: Annotated[int, Field(ge=1, le=1000)] = 20
    """Most answers waited for at a time."""
    max_body_bytes: Bytes = 4 << 20
    """A longer answer is refused."""
    gateways: Annotated[tuple[GatewaySource, ...], Field(max_length=64)] = ()
    """Gateways that can be named as a source."""
    prometheus_sources: Annotated[tuple[PrometheusSource, ...], Field(max_length=64)] = ()
    """Prometheus servers that can be named as a source."""

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        seen: set[str] = set()
        for name in (*(g.name for g in self.gateways), *(p.name for p in self.prometheus_sources)):
            if name in seen:
                raise ValueError(f"two sources are named {name!r}: gateways and prometheusSources share their names")
            seen.add(name)
        return self


class Probe(_Part):
    """The real completion that every new pod must answer before traffic depends on it."""

    timeout: Annotated[Duration, between("500ms", "10m")] = timedelta(seconds=30)
    """Longest wait for one completion; first ones are slow, since engines compile on them."""
    interval: Annotated[Duration, between("200ms", "5m")] = timedelta(seconds=1)
    """Wait after a failed try; doubled each time up to maxInterval."""
    max_interval: Annotated[Duration, between("200ms", "30m")] = timedelta(seconds=30)
    """Longest wait between two tries."""
    concurrency: Annotated[int, Field(ge=1, le=1000)] = 10
    """Most completions waited for at a time."""
    prompt: Annotated[str, Field(min_length=1, max_length=200)] = "Hello"
    """Text to complete; one token is asked for."""


class LeaderElection(_Part):
    """How several replicas agree on the one that writes."""

    enabled: bool = True
    """Lead only while holding a Lease. Without it, nothing keeps two operators from writing at once."""
    namespace: SourceName | None = None
    """Namespace of the Lease; the operator's own when left out."""
    name: SourceName = "solera-operator"
    """Name of the Lease; the chart writes its full name (the release's name, with solera in it)."""
    lease_duration: Annotated[Duration, between("2s", "10m")] = timedelta(seconds=15)
    """Time after its last renewal when others take a silent leader for dead; whole seconds."""
    renew_interval: Annotated[Duration, between("500ms", "5m")] = timedelta(seconds=5)
    """Time between two renewals. A leader that could not renew for two thirds of leaseDuration ends."""
    retry_interval: Annotated[Duration, between("100ms", "1m")] = timedelta(seconds=2)
    """Time between two looks of a replica that stands by, and after a failed renewal."""

    @model_validator(mode="after")
    def _in_proportion(self) -> Self:
        if self.lease_duration % timedelta(seconds=1):
            raise ValueError(
                f"leaseDuration {format_duration(self.lease_duration)}: write whole seconds, for example 15s"
            )
        together, limit = self.renew_interval + self.retry_interval, self.lease_duration * 2 / 3
        if together >= limit:
            raise ValueError(
                f"renewInterval and retryInterval are {format_duration(together)} together, and must be less than two thirds of"
                f" leaseDuration ({limit.total_seconds():.4g}s), so that a failed renewal can be tried again:"
                " write a longer leaseDuration, or shorter intervals"
            )
        return self


class LogLevel(StrEnum):
    """Least important messages that are written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    """How a log line looks."""

    TEXT = "text"
    JSON = "json"


class Config(_Part):
    """The whole file. Every field may be left out."""

    metrics: Metrics = Metrics()
    """How evidence is collected."""
    probe: Probe = Probe()
    """The real completion that every new pod must answer."""
    leader_election: LeaderElection = LeaderElection()
    """How several replicas agree on the one that writes."""
    namespaces: Annotated[tuple[SourceName, ...], Field(max_length=256)] = ()
    """Namespaces to manage; all when left out."""
    workers: Annotated[int, Field(ge=1, le=256)] = 8
    """LLMDeployments that are reconciled at the same time."""
    resync_interval: Annotated[Duration, between("10s", "24h")] = timedelta(minutes=10)
    """Time between two looks at an LLMDeployment to which nothing happens."""
    log_level: LogLevel = LogLevel.INFO
    """Least important messages that are written."""
    log_format: LogFormat = LogFormat.TEXT
    """How a log line looks."""
    metrics_port: Port = 8080
    """Port of the operator's own /metrics."""
    health_port: Port = 8081
    """Port of the operator's own /healthz."""

    @model_validator(mode="after")
    def _ports_differ(self) -> Self:
        if self.metrics_port == self.health_port:
            raise ValueError("metricsPort and healthPort must differ")
        return self

    def sources(self) -> tuple[str, ...]:
        """Every name that `spec.rollout.metrics.source` may carry."""
        return (DIRECT, *(g.name for g in self.metrics.gateways), *(p.name for p in self.metrics.prometheus_sources))


def load(path: str | Path) -> Config:
    """Read the file at ``path``.

    Raises:
        ConfigError: it cannot be read, is not YAML, or says something that cannot be meant.
    """
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError((f"{path}: {error.strerror or error}; name a readable file with --config",)) from None
    if len(content) > MAX_FILE_BYTES:
        raise ConfigError((f"{path}: longer than {MAX_FILE_BYTES} bytes, so it is not a configuration",))
    try:
        return parse(content.decode())
    except UnicodeDecodeError:
        raise ConfigError((f"{path}: not UTF-8 text",)) from None


def parse(text: str) -> Config:
    """Read a configuration from YAML; an empty text gives the defaults.

    Raises:
        ConfigError: see ``load``.
    """
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError((f"not YAML: {' '.join(str(error).split())}",)) from None
    if raw is None:
        raw = {}
    if not isinstance(raw, dict):
        raise ConfigError((f"the file must hold a mapping of fields, not {type(raw).__name__}",))
    try:
        return Config.model_validate(_without_empty(raw))
    except ValidationError as error:
        raise ConfigError(tuple(_told(e["type"], e["loc"], e["msg"]) for e in error.errors())) from None


def _without_empty(raw: Any) -> Any:
    """A field with nothing after its colon is a field left out: templates write such."""
    if isinstance(raw, dict):
        return {key: _without_empty(value) for key, value in raw.items() if value is not None}
    return [_without_empty(value) for value in raw] if isinstance(raw, list) else raw


_SAY = {
    "missing": "required",
    "model_type": "write a mapping of fields",
    "tuple_type": "write a list",
    "bool_type": "write true or false",
    "bool_parsing": "write true or false",
    "int_type": "write a whole number",
    "int_parsing": "write a whole number",
    "string_type": "write a text, in quotes if it looks like a number",
}
_SAY_PATTERN = {
    "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$": "write lowercase letters, digits and -, for example prod-1",
    "^[a-zA-Z_][a-zA-Z0-9_]*$": "write the name of a Prometheus label, for example namespace",
    "^/": "write a path from the root, for example /etc/solera/token",
}


def _told(kind: str, loc: tuple[int | str, ...], message: str) -> str:
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).lstrip(".") or "configuration"
    if kind == "extra_forbidden":
        fields = [f.alias or n for n, f in _model_at(loc[:-1]).model_fields.items()]
        close = difflib.get_close_matches(str(loc[-1]), fields, n=1)
        return f"{path}: no such field" + (f"; write {close[0]}" if close else f"; fields here: {', '.join(fields)}")
    if kind == "string_pattern_mismatch":
        say = next((say for pattern, say in _SAY_PATTERN.items() if f"'{pattern}'" in message), message)
        return f"{path}: {say}"
    return f"{path}: {_SAY.get(kind, message.removeprefix('Value error, '))}"


def _model_at(loc: tuple[int | str, ...]) -> type[BaseModel]:
    """The model that stands at a place of the file, to say which fields it has."""
    lists: dict[str, type[BaseModel]] = {"gateways": GatewaySource, "prometheusSources": PrometheusSource}
    model: type[BaseModel] = Config
    for part in loc:
        if isinstance(part, int):
            continue
        field = next((f for n, f in model.model_fields.items() if part in (n, f.alias)), None)
        if part in lists:
            model = lists[part]
        elif field is not None and isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            model = field.annotation
    return model
