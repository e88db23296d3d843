"""What users write about versions: the shared template, the model of each version and the dates of its life."""

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field

from solera.api import rules as cel
from solera.api.base import (
    Date,
    Duration,
    ObjectName,
    PositiveDuration,
    Quantity,
    ShortText,
    SpecModel,
    VersionName,
    text,
    whole,
)
from solera.api.extensions import ATOMIC, ATOMIC_MAP, map_list, rules

SAY_GPU_RESOURCE = "write the name of an extended resource, for example nvidia.com/gpu"
SAY_KEY = "write letters, digits, -, _ and ."
SAY_VARIABLE = "write letters, digits and _, not beginning with a digit"
SAY_MARK = "write letters, digits, ., _ and -, with a letter or digit first"
_MARK = "^[A-Za-z0-9][A-Za-z0-9._-]*$"


class EngineName(StrEnum):
    """Engines whose flags and metrics are known; `OpenAI` is any other server with an OpenAI-compatible API."""

    VLLM = "vLLM"
    SGLANG = "SGLang"
    LLAMA_CPP = "llama.cpp"
    OPENAI = "OpenAI"


class Headroom(StrEnum):
    """How an operational change that must restart pods rolls."""

    SURGE = "Surge"
    NONE = "None"


class PullPolicy(StrEnum):
    """When the image is pulled."""

    ALWAYS = "Always"
    IF_NOT_PRESENT = "IfNotPresent"
    NEVER = "Never"


class OnRetirement(StrEnum):
    """What happens to a version's requests from `retiresAt` on."""

    REDIRECT = "Redirect"
    REFUSE = "Refuse"
    HOLD = "Hold"


class Owner(SpecModel):
    """Who answers for this model."""

    team: ShortText | None = None
    """Team that owns this deployment."""
    contact: ShortText | None = None
    """How to reach the team, for example a mail address or a channel."""


class Engine(SpecModel):
    """The inference server."""

    name: EngineName | None = None
    """Which server it is: decides flags, health checks and metric names. OpenAI: any server with an OpenAI-compatible API. Required, here or in the version."""
    version: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """Version of the server, in quotes; decides metric names where they changed."""
    image: Annotated[str, *text(512, "^[!-~]+$", "write the name of an image, without spaces")] | None = None
    """Container image, best by digest: a tag may move without a rollout. Required, here or in the version."""
    command: Annotated[tuple[Annotated[str, Field(max_length=1024)], ...], Field(max_length=16), ATOMIC] | None = None
    """Replaces the command that Solera would run."""
    args: Annotated[tuple[Annotated[str, Field(max_length=4096)], ...], Field(max_length=64), ATOMIC] | None = None
    """Arguments after those that Solera writes. A version's list replaces the template's."""


class Resources(SpecModel):
    """What each replica asks for."""

    gpus: Annotated[int, *whole(0, 64)] | None = None
    """Accelerators for each replica. None when left out."""
    gpu_resource: Annotated[str, *text(128, "^[a-z0-9.-]+/[A-Za-z0-9._-]+$", SAY_GPU_RESOURCE)] | None = None
    """Accelerator resource; nvidia.com/gpu when left out."""
    cpu: Quantity | None = None
    """CPU request for each replica."""
    memory: Quantity | None = None
    """Memory request and limit for each replica."""


class PersistentVolumeClaim(SpecModel):
    """A volume that keeps downloaded weights between pods."""

    size: Quantity
    """Must hold the weights of one version."""
    storage_class_name: ObjectName | None = None
    """Storage class; the cluster's default when left out."""


class Cache(SpecModel):
    """Where downloaded weights stay."""

    persistent_volume_claim: PersistentVolumeClaim | None = None
    """A claim for each version, made once: ReadWriteMany with more than one replica (name a storage class that has it), else ReadWriteOnce. Without one every pod downloads the weights anew."""


class KeySelector(SpecModel):
    """One key of a Secret or ConfigMap in the same namespace."""

    name: ObjectName
    """Name of the object."""
    key: Annotated[str, *text(253, "^[-._a-zA-Z0-9]+$", SAY_KEY)]
    """Key in its data."""


class EnvVarSource(SpecModel):
    """Where the value of an environment variable comes from."""

    model_config = ConfigDict(json_schema_extra=rules(cel.ONE_ENV_SOURCE))

    secret_key_ref: KeySelector | None = None
    """A key of a Secret."""
    config_map_key_ref: KeySelector | None = None
    """A key of a ConfigMap."""


class EnvVar(SpecModel):
    """One environment variable of the engine."""

    model_config = ConfigDict(json_schema_extra=rules(cel.ONE_ENV_VALUE, cel.NO_SECRET))

    name: Annotated[str, *text(128, "^[A-Za-z_][A-Za-z0-9_]*$", SAY_VARIABLE)]
    """Name of the variable."""
    value: Annotated[str, Field(max_length=4096)] | None = None
    """Its value, in quotes. Never a secret: use valueFrom."""
    value_from: EnvVarSource | None = None
    """Where the value comes from."""


class TolerationOperator(StrEnum):
    """How a toleration compares."""

    EXISTS = "Exists"
    EQUAL = "Equal"


class TaintEffect(StrEnum):
    """Which taints a toleration matches."""

    NO_SCHEDULE = "NoSchedule"
    PREFER_NO_SCHEDULE = "PreferNoSchedule"
    NO_EXECUTE = "NoExecute"


class Toleration(SpecModel):
    """A taint that the pods tolerate."""

    key: Annotated[str, Field(max_length=317)] | None = None
    """Taint key; all when left out (operator must then be Exists)."""
    operator: TolerationOperator | None = None
    """Exists or Equal; Equal when left out."""
    value: Annotated[str, Field(max_length=63)] | None = None
    """Taint value, for Equal."""
    effect: TaintEffect | None = None
    """Taint effect; all when left out."""
    toleration_seconds: Annotated[int, *whole(0, 31_536_000)] | None = None
    """For NoExecute: how long to stay."""


class Template(SpecModel):
    """What all versions share. A version may override any part; see fields.py for what each part means to a rollout."""

    engine: Engine | None = None
    """The inference server. Changing it starts a rollout."""
    replicas: Annotated[int, *whole(0, 1000)] | None = None
    """Pods of each revision that serves; 1 when left out."""
    resources: Resources | None = None
    """What each replica asks for. Changing gpus or gpuResource starts a rollout."""
    cache: Cache | None = None
    """Where downloaded weights stay."""
    port: Annotated[int, *whole(1, 65535)] | None = None
    """Port of the engine; 8000 when left out. Changing it starts a rollout."""
    env: Annotated[tuple[EnvVar, ...], Field(max_length=64), map_list("name")] | None = None
    """Environment of the engine, merged by name with a version's. Changing it starts a rollout."""
    startup_timeout: PositiveDuration | None = None
    """Longest time until a pod answers, downloads included; 30m when left out."""
    drain_timeout: Duration | None = None
    """Time for requests in flight to finish; 30s when left out."""
    node_selector: (
        Annotated[
            dict[str, Annotated[str, Field(max_length=63)]],
            Field(max_length=32),
            ATOMIC_MAP,
        ]
        | None
    ) = None
    """Labels that a node must have."""
    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=16), ATOMIC] | None = None
    """Taints that the pods tolerate."""
    priority_class_name: ObjectName | None = None
    """Priority class of the pods."""
    image_pull_secrets: Annotated[tuple[ObjectName, ...], Field(max_length=8), ATOMIC] | None = None
    """Names of Secrets for pulling the image."""
    image_pull_policy: PullPolicy | None = None
    """When it is pulled; the cluster's rule when left out."""
    service_account_name: ObjectName | None = None
    """Service account of the pods, its token not mounted; the namespace's default when left out."""
    run_as_user: Annotated[int, *whole(0, 2_147_483_647)] | None = None
    """User id in the container; the image's when left out."""
    headroom: Headroom | None = None
    """How an operational change rolls: Surge (default) starts a new pod first; None stops one first, where no GPU is spare."""
    token_secret_ref: KeySelector | None = None
    """Secret key with the token for private or gated hf:// models."""


class Model(SpecModel):
    """The weights of a version. Published once, never changed."""

    model_config = ConfigDict(json_schema_extra=rules(cel.HF_NEEDS_REVISION))

    uri: Annotated[str, Field(min_length=1, max_length=512), *cel.MODEL_URI]
    """Where the weights are: hf://ORG/NAME[/FILE], pvc://CLAIM/PATH, or image:///PATH for weights inside the engine's image."""
    revision: Annotated[str, *text(64, _MARK, SAY_MARK)] | None = None
    """For hf:// the commit (40 hexadecimal digits), required. For others any mark that tells contents apart."""
    quantization: Annotated[str, *text(32, _MARK, SAY_MARK)] | None = None
    """Quantization method that the engine must be told, for example awq; read from the model when left out."""


class Lifecycle(SpecModel):
    """The dates of a version's life."""

    model_config = ConfigDict(json_schema_extra=rules(cel.RETIRES_AFTER_DEPRECATED, cel.REDIRECT_NEEDS_SUCCESSOR))

    deprecated_at: Date | None = None
    """From then on its phase in status is Deprecated (RFC 3339 with offset, in quotes)."""
    retires_at: Date | None = None
    """The first instant at which the version no longer serves (RFC 3339 with offset, in quotes)."""
    successor: VersionName | None = None
    """Name of the version that takes over."""
    on_retirement: OnRetirement | None = None
    """Redirect: the successor answers. Refuse: requests are refused. Hold: keep serving and say so. Redirect when left out and a successor is named, else Hold."""
    migrate_before: Duration | None = None
    """How long before retiresAt the rollout to the successor starts; 1h when left out."""


class Version(SpecModel):
    """One version of the model. A name is never reused for another model."""

    model_config = ConfigDict(json_schema_extra=rules(cel.MODEL_IS_PUBLISHED))

    name: VersionName
    """Name of the version, at most 20 characters, for example v2."""
    model: Model
    """The weights. Published once, never changed: add a new version instead."""
    lifecycle: Lifecycle | None = None
    """The dates of its life."""
    template: Template | None = None
    """Overrides of spec.template for this version, field by field; env is merged by name, other lists are replaced."""
