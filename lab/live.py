"""What the demo and the end-to-end tests share: kubectl, the chart, manifests, and watches that remember when they saw what.

Everything goes through kubectl and helm, as a user would do it, so it works on any cluster that KUBECONFIG names.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
GATEWAY = "http://192.0.2.1:8000"
PROMETHEUS = "http://192.0.2.1:9090"
SHAKY = {f"shaky-{row}": ("192.0.2.1", 19090 + i) for i, row in enumerate(("down", "slow", "empty", "nan", "gone"), 1)}
"""Prometheus sources at whose address nobody listens but a test, each for one test, so that these can run beside each other."""
SYSTEM = "solera-system"
Object = dict[str, Any]


class LiveError(Exception):
    """A command failed; the message is what it printed."""


def kubectl(*args: str, stdin: str | None = None, timeout: float = 60) -> str:
    # The plugin is installed beside the interpreter.
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["kubectl", *args], input=stdin, env=env, capture_output=True, text=True, timeout=timeout, check=False
    )
    if done.returncode:
        raise LiveError(f"kubectl {' '.join(args)}: {done.stderr.strip()}")
    return done.stdout


def apply(*objects: Object) -> None:
    """As a GitOps tool does it: server-side apply under a manager of its own."""
    body = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
    kubectl("apply", "--server-side", "--force-conflicts", "--field-manager=gitops", "-f", "-", stdin=body)


def get(kind: str, name: str, namespace: str) -> Object | None:
    text = kubectl("get", kind, name, "-n", namespace, "-o", "json", "--ignore-not-found")
    return json.loads(text) if text.strip() else None


def items(kind: str, namespace: str, selector: str = "") -> list[Object]:
    found = json.loads(kubectl("get", kind, "-n", namespace, "-o", "json", *(["-l", selector] if selector else [])))
    return list(found["items"])


def namespace(name: str) -> None:
    apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})


def remove_namespace(name: str, timeout: float = 90, *, wait: bool = True) -> None:
    how = f"--timeout={timeout:.0f}s" if wait else "--wait=false"
    kubectl("delete", "namespace", name, "--ignore-not-found", how, timeout=timeout + 10)


def install_operator(
    timeout: float = 180, env: list[Object] | None = None, chart: Path = ROOT / "charts" / "solera", **more: Any
) -> None:
    """The chart, as a user installs it; the lab's gateway is named in the operator's configuration. ``more`` are further values."""
    gateways = [{"name": "traefik", "endpoint": "http://192.0.2.1:8082/metrics", "implementation": "Traefik"}]
    often = {"interval": "1s", "timeout": "2s"}
    prometheus = [{"name": "lab", "url": PROMETHEUS, **often}]
    prometheus += [{"name": name, "url": f"http://{host}:{port}", **often} for name, (host, port) in SHAKY.items()]
    values = {
        "image": {"repository": "localhost/solera/operator", "tag": "dev", "pullPolicy": "IfNotPresent"},
        "config": {"metrics": {"gateways": gateways, "prometheusSources": prometheus}},
        "env": env or [],
        **more,
    }
    command = ["helm", "upgrade", "--install", "solera", str(chart), "-n", SYSTEM]
    command += ["--create-namespace", "--take-ownership", "--wait", "--timeout", f"{timeout:.0f}s", "-f", "-"]
    done = subprocess.run(
        command, input=json.dumps(values), capture_output=True, text=True, timeout=timeout + 30, check=False
    )
    if done.returncode:
        raise LiveError(f"helm: {done.stderr.strip()}")
    # An image of the same name may be newer than the pod.
    kubectl("rollout", "restart", "deployment", "-n", SYSTEM, "-l", "app.kubernetes.io/name=solera")
    kubectl(
        "rollout",
        "status",
        "deployment",
        "-n",
        SYSTEM,
        "-l",
        "app.kubernetes.io/name=solera",
        "--timeout=90s",
        timeout=100,
    )


def llama(name: str, model: str = "letters-q0.gguf", **more: Any) -> Object:
    """A version on the real engine."""
    engine = {
        "name": "llama.cpp",
        "image": "localhost/solera/llama:dev",
        "args": ["--threads", "1", "--ctx-size", "2048", "--parallel", "4"],
    }
    return {"name": name, "model": {"uri": f"image:///models/{model}"}, "template": {"engine": engine}, **more}


def sim(name: str, *args: str, **more: Any) -> Object:
    """A version on the simulated engine with its faults as arguments."""
    engine = {"name": "vLLM", "version": "0.18.1", "image": "localhost/solera/simengine:dev", "args": list(args)}
    return {"name": name, "model": {"uri": f"image:///models/{name}"}, "template": {"engine": engine}, **more}


def llmdeployment(
    name: str, space: str, serve: str, versions: list[Object], rollout: Object, template: Object | None = None
) -> Object:
    shared = {"replicas": 1, "imagePullPolicy": "Never", "drainTimeout": "5s", "startupTimeout": "60s"}
    hostname = f"{name}.{space}.example.com"
    return {
        "apiVersion": "solera.dev/v1alpha1",
        "kind": "LLMDeployment",
        "metadata": {"name": name, "namespace": space},
        "spec": {
            "owner": {"team": "lab"},
            "serve": serve,
            "template": {**shared, "resources": {"gpus": 1, "cpu": "50m"}, **(template or {})},
            "versions": versions,
            "traffic": {
                "gateway": {"parentRefs": [{"name": "inference", "namespace": "gateways"}], "hostnames": [hostname]}
            },
            "rollout": rollout,
        },
    }


@dataclass
class Watch:
    """Follows one object. ``seen`` has every state with the time (seconds since 1970) at which it arrived; None is a deletion."""

    kind: str
    name: str
    namespace: str
    seen: list[tuple[float, Object | None]] = field(default_factory=list)
    on_change: Callable[[Object | None], None] | None = None

    @property
    def last(self) -> Object | None:
        return self.seen[-1][1] if self.seen else None

    async def follow(self) -> None:
        while True:  # an apiserver that restarts ends every watch
            process = await asyncio.create_subprocess_exec(
                *("kubectl", "get", self.kind, "-n", self.namespace, "--field-selector", f"metadata.name={self.name}"),
                *("-w", "--output-watch-events", "-o", "json"),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                limit=1 << 22,
            )
            try:
                await self._read(process)
            finally:
                if process.returncode is None:
                    process.terminate()
                    await process.wait()
            await asyncio.sleep(0.5)

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        decoder, text = json.JSONDecoder(), ""
        while chunk := await process.stdout.read(1 << 16):
            text += chunk.decode()
            while text := text.lstrip():
                try:
                    event, end = decoder.raw_decode(text)
                except json.JSONDecodeError:
                    break
                text = text[end:]
                obj = None if event["type"] == "DELETED" else event["object"]
                self.seen.append((time.time(), obj))
                if self.on_change:
                    self.on_change(obj)


@contextlib.asynccontextmanager
async def watching(*watches: Watch) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(w.follow()) for w in watches]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def weights(route: Object | None) -> dict[str, int]:
    """Backend name to weight."""
    out: dict[str, int] = {}
    for rule in ((route or {}).get("spec") or {}).get("rules") or []:
        for backend in rule.get("backendRefs") or []:
            if backend.get("weight", 1):
                out[backend["name"]] = backend.get("weight", 1)
    return out


def status(obj: Object | None) -> Object:
    return (obj or {}).get("status") or {}


def condition(obj: Object | None, kind: str) -> Object:
    return next((c for c in status(obj).get("conditions") or () if c["type"] == kind), {})


async def until(what: str, check: Callable[[], Any], seconds: float, interval: float = 0.2) -> Any:
    """Wait until ``check`` returns something true.

    Raises:
        LiveError: it did not within ``seconds``.
    """
    end = time.monotonic() + seconds
    while True:
        found = check()
        if found:
            return found
        if time.monotonic() > end:
            raise LiveError(f"not within {seconds:.0f} s: {what}")
        await asyncio.sleep(interval)


def at(text: str) -> float:
    """RFC 3339 → seconds since 1970."""
    return datetime.fromisoformat(text).timestamp()


def rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
