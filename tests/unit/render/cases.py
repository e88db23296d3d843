"""Specs, one for each way to serve, and how their pods are rendered. ``python -m unit.render.cases`` writes new golden files.

A golden file is written once for a release and then kept: that a later operator still renders the same Deployment from the template that
it once stored is what makes an upgrade restart nothing.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from solera.api.defaults import ResolvedVersion, find, resolve
from solera.api.llmdeployment import parse
from solera.render.pods import deployment, overlay, pod_template

GOLDEN = Path(__file__).parent / "golden"
COMMIT = "9c925d64d72725edaf899c6cb9c377fd0709d9c5"
HASH = "7f4c2b9d"


@dataclass(frozen=True, slots=True)
class Owner:
    name: str = "support-assistant"
    namespace: str = "ml"
    uid: str = "6f2f4c9e-4f6c-4a29-9a2f-0d9c0b6d6f11"


OWNER = Owner()

_BASE: dict[str, Any] = {
    "apiVersion": "solera.dev/v1alpha1",
    "kind": "LLMDeployment",
    "metadata": {"name": OWNER.name, "namespace": OWNER.namespace, "uid": OWNER.uid},
    "spec": {
        "serve": "v1",
        "versions": [{"name": "v1", "model": {"uri": "hf://Qwen/Qwen3-8B", "revision": COMMIT}}],
        "traffic": {"gateway": {"parentRefs": [{"name": "inference", "namespace": "gateways"}]}},
    },
}


def resolved(template: dict[str, Any], model: dict[str, Any] | None = None) -> ResolvedVersion:
    obj = copy.deepcopy(_BASE)
    obj["spec"]["template"] = template
    if model is not None:
        obj["spec"]["versions"][0]["model"] = model
    spec = parse(obj).spec
    return resolve(spec, find(spec, "v1"))


def vllm(model: dict[str, Any] | None = None, **template: Any) -> ResolvedVersion:
    engine = {"name": "vLLM", "version": "0.18.1", "image": "vllm/vllm-openai:v0.18.1"} | template.pop("engine", {})
    return resolved({"engine": engine, **template}, model)


CASES: dict[str, tuple[dict[str, Any], dict[str, Any] | None]] = {
    "vllm-minimal": (
        {"engine": {"name": "vLLM", "version": "0.18.1", "image": "vllm/vllm-openai:v0.18.1"}},
        None,
    ),
    "vllm-everything": (
        {
            "engine": {
                "name": "vLLM",
                "version": "0.18.1",
                "image": "vllm/vllm-openai@sha256:" + "a" * 64,
                "args": ["--max-model-len=32768", "--enable-prefix-caching"],
            },
            "replicas": 3,
            "resources": {"gpus": 4, "gpuResource": "nvidia.com/gpu", "cpu": 8, "memory": "128Gi"},
            "cache": {"persistentVolumeClaim": {"size": "100Gi", "storageClassName": "fast"}},
            "port": 9000,
            "env": [
                {"name": "VLLM_LOGGING_LEVEL", "value": "INFO"},
                {"name": "OTEL_TOKEN", "valueFrom": {"secretKeyRef": {"name": "otel", "key": "token"}}},
            ],
            "startupTimeout": "45m",
            "drainTimeout": "2m",
            "nodeSelector": {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"},
            "tolerations": [{"key": "dedicated", "operator": "Equal", "value": "llm", "effect": "NoSchedule"}],
            "priorityClassName": "serving",
            "imagePullSecrets": ["registry"],
            "imagePullPolicy": "IfNotPresent",
            "serviceAccountName": "models",
            "runAsUser": 2000,
            "headroom": "None",
            "tokenSecretRef": {"name": "hub", "key": "token"},
        },
        {"uri": "hf://Qwen/Qwen3-14B-AWQ", "revision": COMMIT, "quantization": "awq"},
    ),
    "vllm-old-module": (
        {
            "engine": {
                "name": "vLLM",
                "version": "0.9.2",
                "image": "vllm/vllm-openai:v0.9.2",
                "command": ["python3", "-m", "vllm.entrypoints.openai.api_server"],
            }
        },
        {"uri": "pvc://weights/qwen/8b"},
    ),
    "sglang": (
        {
            "engine": {
                "name": "SGLang",
                "version": "0.5.3",
                "image": "lmsysorg/sglang:v0.5.3",
                "args": ["--mem-fraction-static=0.8"],
            },
            "resources": {"gpus": 8},
        },
        None,
    ),
    "llama-cpp-image": (
        {
            "engine": {"name": "llama.cpp", "image": "localhost/solera/llama:dev", "args": ["--ctx-size", "512"]},
            "headroom": "None",
        },
        {"uri": "image:///models/letters-q0.gguf"},
    ),
    "llama-cpp-claim": (
        {"engine": {"name": "llama.cpp", "image": "localhost/solera/llama:dev"}, "resources": {"memory": "1Gi"}},
        {"uri": "pvc://weights/letters.gguf", "revision": "2026-11-01"},
    ),
    "openai": (
        {
            "engine": {"name": "OpenAI", "image": "example.com/server:1", "args": ["--model=$(SOLERA_MODEL)"]},
            "resources": {"gpus": 1, "gpuResource": "amd.com/gpu"},
        },
        None,
    ),
}


def render(name: str) -> tuple[dict[str, Any], ResolvedVersion]:
    version = resolved(*CASES[name])
    return pod_template(version, llmdeployment=OWNER.name, model_name=OWNER.name), version


def render_deployment(stored: dict[str, Any], version: ResolvedVersion) -> dict[str, Any]:
    name = f"{OWNER.name}-{version.name}-{HASH}"
    return deployment(OWNER, name, version.name, HASH, overlay(stored, version), version, version.replicas)


def golden(name: str, part: str) -> dict[str, Any]:
    return yaml.safe_load((GOLDEN / f"{name}.{part}.yaml").read_text())


def main() -> None:
    for name in CASES:
        template, version = render(name)
        for part, manifest in (("template", template), ("deployment", render_deployment(template, version))):
            (GOLDEN / f"{name}.{part}.yaml").write_text(yaml.safe_dump(manifest, sort_keys=False, width=120))


if __name__ == "__main__":
    main()
