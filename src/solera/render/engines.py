"""How each engine is told which model to serve, under which name, and where to listen.

Sources: the engines' own command-line help (vLLM ``vllm serve``, SGLang ``launch_server``, llama.cpp ``llama-server``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from solera.api.defaults import ResolvedVersion
from solera.api.errors import InvalidSpec
from solera.api.spec import EngineName
from solera.render.reserved import refuse_reserved, spreads_over

MODEL_MOUNT = "/solera/model"
"""Where a claim named by ``pvc://`` is mounted, read-only."""
CACHE_MOUNT = "/solera/cache"
"""Where downloads of ``hf://`` models are kept."""

_SHUTDOWN = "--shutdown-timeout="


@dataclass(frozen=True, slots=True)
class Source:
    """Where the weights are, as the engine must be told.

    ``location`` is a repository (``org/name``) when ``remote``, else a path in the container. ``revision`` is set only when the engine
    must ask for it. ``claim`` is the PersistentVolumeClaim to mount.
    """

    location: str
    remote: bool = False
    revision: str | None = None
    claim: str | None = None


@dataclass(frozen=True, slots=True)
class Invocation:
    """What the container runs. An empty ``command`` leaves the image's own entry point. ``health`` answers 200 when ready."""

    command: tuple[str, ...]
    args: tuple[str, ...]
    health: str = "/health"
    shared_memory: bool = False


def source(resolved: ResolvedVersion) -> Source:
    """Read the model's uri (its form was checked by the API models)."""
    scheme, _, rest = resolved.model.uri.partition("://")
    if scheme == "hf":
        return Source(rest, remote=True, revision=resolved.model.revision)
    if scheme == "pvc":
        claim, _, path = rest.partition("/")
        return Source(f"{MODEL_MOUNT}/{path}", claim=claim)
    return Source(rest)


def invocation(resolved: ResolvedVersion, model_name: str) -> Invocation:
    """Command and arguments of a version's engine.

    Raises:
        InvalidSpec: the engine cannot load such a model, or an argument of the user contradicts what Solera writes.
    """
    refuse_reserved(
        resolved.name,
        resolved.args,
        _RESERVED[resolved.engine],
        abbreviations=resolved.engine in {EngineName.VLLM, EngineName.SGLANG},
    )
    return _RENDER[resolved.engine](resolved, model_name, source(resolved))


def drains_by_itself(engine: str, version: str | None) -> bool:
    """Whether the server ends the requests in flight after SIGTERM, rather than cut them.

    vLLM does from 0.18 on, when it is given ``--shutdown-timeout``. SGLang waits until no request is left.
    Where this is not known the pod waits before SIGTERM instead.
    """
    if engine == EngineName.SGLANG:
        return True
    return engine == EngineName.VLLM and _at_least(version, (0, 18))


def with_shutdown_timeout(args: list[str], seconds: int) -> list[str]:
    """The same arguments, with the time that vLLM may take to end requests in flight, if it is told one at all."""
    return [f"{_SHUTDOWN}{seconds}" if argument.startswith(_SHUTDOWN) else argument for argument in args]


def _vllm(resolved: ResolvedVersion, model_name: str, model: Source) -> Invocation:
    _whole_repository(resolved, model)
    command = resolved.command or ("vllm", "serve")
    # `vllm serve` takes the model as its first argument; the module behind older images ignores that and would
    # quietly serve its default model, so it gets the flag.
    args = [model.location] if command[-1] == "serve" else [f"--model={model.location}"]
    args += [f"--served-model-name={model_name}", f"--port={resolved.port}"]
    if model.revision:
        args.append(f"--revision={model.revision}")
    if resolved.model.quantization:
        args.append(f"--quantization={resolved.model.quantization}")
    if not spreads_over(resolved.name, resolved.args, _VLLM_SIZES, resolved.gpus, multiply=True) and resolved.gpus > 1:
        args.append(f"--tensor-parallel-size={resolved.gpus}")
    if drains_by_itself(resolved.engine, resolved.engine_version):
        args.append(f"{_SHUTDOWN}0")  # the overlay writes the time
    return Invocation(command, (*args, *resolved.args), shared_memory=True)


def _sglang(resolved: ResolvedVersion, model_name: str, model: Source) -> Invocation:
    _whole_repository(resolved, model)
    args = [f"--model-path={model.location}", f"--served-model-name={model_name}", "--host=0.0.0.0"]
    args += [f"--port={resolved.port}", "--enable-metrics"]
    if model.revision:
        args.append(f"--revision={model.revision}")
    if resolved.model.quantization:
        args.append(f"--quantization={resolved.model.quantization}")
    # Data parallelism may share the accelerators with tensor parallelism here, so the product says nothing.
    if (
        not spreads_over(resolved.name, resolved.args, _SGLANG_SIZES, resolved.gpus, multiply=False)
        and resolved.gpus > 1
    ):
        args.append(f"--tp-size={resolved.gpus}")
    command = resolved.command or ("python3", "-m", "sglang.launch_server")
    return Invocation(command, (*args, *resolved.args), shared_memory=True)


def _llama_cpp(resolved: ResolvedVersion, model_name: str, model: Source) -> Invocation:
    if model.remote:
        raise InvalidSpec(
            "model.uri",
            f"version {resolved.name}: llama.cpp cannot download a fixed revision of {resolved.model.uri}; "
            "put the file on a volume (pvc://CLAIM/PATH) or into the image (image:///PATH)",
        )
    if resolved.model.quantization:
        raise InvalidSpec(
            "model.quantization",
            f"version {resolved.name}: llama.cpp reads the quantization from the model's file; leave this field out",
        )
    args = ["--host", "0.0.0.0", "--port", str(resolved.port)]  # noqa: S104 - a pod's own address is not known here
    args += ["--model", model.location, "--alias", model_name, "--metrics"]
    return Invocation(resolved.command, (*args, *resolved.args))


def _openai(resolved: ResolvedVersion, _model_name: str, _model: Source) -> Invocation:
    # The only path that every server with this API has.
    return Invocation(resolved.command, resolved.args, health="/v1/models")


def openai_environment(resolved: ResolvedVersion, model_name: str) -> dict[str, str]:
    """What a server whose flags are not known can read, also in its arguments as ``$(SOLERA_MODEL)``."""
    model = source(resolved)
    out = {"SOLERA_MODEL": model.location, "SOLERA_MODEL_NAME": model_name, "SOLERA_PORT": str(resolved.port)}
    if resolved.model.revision:
        out["SOLERA_MODEL_REVISION"] = resolved.model.revision
    if resolved.model.quantization:
        out["SOLERA_MODEL_QUANTIZATION"] = resolved.model.quantization
    return out


def _whole_repository(resolved: ResolvedVersion, model: Source) -> None:
    if model.remote and model.location.count("/") != 1:
        raise InvalidSpec(
            "model.uri",
            f"version {resolved.name}: {resolved.engine} loads a whole repository, not one file of it; "
            f"write hf://{'/'.join(model.location.split('/')[:2])}",
        )


def _at_least(version: str | None, wanted: tuple[int, ...]) -> bool:
    match = re.match(r"v?([0-9]+)[.]([0-9]+)", version or "")
    return match is not None and (int(match[1]), int(match[2])) >= wanted


_LISTENS = "the engine listens on all addresses of its pod"
_KEY = "requests are authenticated at the Gateway, and the operator's own checks carry no key"
_TLS = "TLS ends at the Gateway"
_COMMON: dict[str, str] = {
    "--host": _LISTENS,
    "--port": "write template.port",
    "--api-key": _KEY,
    "--ssl-keyfile": _TLS,
    "--ssl-certfile": _TLS,
}
_PYTHON: dict[str, str] = {
    **_COMMON,
    "--model": "write model.uri",
    "--served-model-name": "write spec.modelName",
    "--revision": "write model.revision",
    "--quantization": "write model.quantization",
    "--download-dir": "downloads are kept in template.cache",
}
_RESERVED: Mapping[EngineName, Mapping[str, str]] = {
    EngineName.VLLM: {
        **_PYTHON,
        "-q": _PYTHON["--quantization"],
        "--uds": _LISTENS,
        "--shutdown-timeout": "write template.drainTimeout",
        "--disable-log-stats": "guardrails are measured on the engine's own metrics",
    },
    EngineName.SGLANG: {**_PYTHON, "--model-path": _PYTHON["--model"]},
    EngineName.LLAMA_CPP: {
        "--host": _LISTENS,
        "--port": _COMMON["--port"],
        "--api-key": _KEY,
        "--api-key-file": _KEY,
        "--ssl-key-file": _TLS,
        "--ssl-cert-file": _TLS,
        **dict.fromkeys(("-m", "--model", "-mu", "--model-url"), _PYTHON["--model"]),
        **dict.fromkeys(("-hf", "-hfr", "--hf-repo", "-hff", "--hf-file"), _PYTHON["--model"]),
        **dict.fromkeys(("-a", "--alias"), _PYTHON["--served-model-name"]),
    },
    EngineName.OPENAI: {},
}
_VLLM_SIZES = (
    ("--tensor-parallel-size", "-tp"),
    ("--pipeline-parallel-size", "-pp"),
    ("--data-parallel-size", "-dp"),
)
_SGLANG_SIZES = (
    ("--tensor-parallel-size", "--tp-size", "--tp"),
    ("--pipeline-parallel-size", "--pp-size", "--pp"),
    ("--data-parallel-size", "--dp-size", "--dp"),
)
_RENDER: Mapping[EngineName, Callable[[ResolvedVersion, str, Source], Invocation]] = {
    EngineName.VLLM: _vllm,
    EngineName.SGLANG: _sglang,
    EngineName.LLAMA_CPP: _llama_cpp,
    EngineName.OPENAI: _openai,
}
