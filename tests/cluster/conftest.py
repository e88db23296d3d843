"""A real apiserver for the tests: the one that KUBECONFIG names. Without it these tests fail; none is skipped."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
HOW = "run them inside the lab: `python -m lab up`, then `python -m lab exec -- pytest tests/cluster`"


LONG = (
    "test_killed_before_or_after_any_write_the_end_is_the_same",
    "test_the_real_operator_answers_and_a_pause_outlives_it",
)
"""They take a minute and more: begun last, all other workers would wait for them."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.originalname not in LONG if isinstance(item, pytest.Function) else True)


class Kube:
    """kubectl against a real apiserver, since its words are what users read."""

    def __init__(self, namespace: str = "default") -> None:
        self.namespace = namespace

    def run(
        self, *arguments: str, stdin: str | None = None, check: bool = True, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        command = ["kubectl", "--namespace", self.namespace, "--request-timeout=30s", *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60, check=False, cwd=cwd)
        if check and done.returncode:
            pytest.fail(f"{' '.join(command)}\n{done.stderr}{done.stdout}")
        return done

    def send(
        self, verb: str, obj: dict[str, Any], *options: str, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """`create`, `apply` or `replace` one object."""
        obj = obj | {"metadata": {**obj.get("metadata", {}), "namespace": self.namespace}}
        return self.run(verb, "-f", "-", *options, stdin=json.dumps(obj), check=check)

    def create(self, obj: dict[str, Any]) -> dict[str, Any]:
        """Create one object; the answer of the apiserver."""
        return json.loads(self.send("create", obj, "-o", "json").stdout)

    def established(self, *definitions: str) -> None:
        """Wait until custom resources are served. kubectl fails on a definition that is so young that it has no conditions."""
        ends = time.monotonic() + 30
        command = ["wait", "--for=condition=Established", "--timeout=30s", *definitions]
        while self.run(*command, check=time.monotonic() > ends).returncode:
            time.sleep(0.2)

    def get(self, kind: str, name: str) -> dict[str, Any]:
        return json.loads(self.run("get", kind, name, "-o", "json").stdout)

    def patch(
        self, kind: str, name: str, patch: dict[str, Any], *options: str, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        return self.run("patch", kind, name, "--type=merge", "-p", json.dumps(patch), *options, check=check)


@pytest.fixture(scope="session")
def apiserver() -> Kube:
    """The apiserver as it is."""
    if not os.environ.get("KUBECONFIG"):
        pytest.fail(f"KUBECONFIG is not set: tests marked cluster need a real control plane; {HOW}")
    if shutil.which("kubectl") is None:
        pytest.fail(f"kubectl is not on PATH: tests marked cluster speak through it; {HOW}")
    kube = Kube()
    ready = kube.run("get", "--raw", "/readyz", check=False)
    if ready.returncode:
        pytest.fail(f"the apiserver of {os.environ['KUBECONFIG']} does not answer: {ready.stderr.strip()}; {HOW}")
    return kube


@pytest.fixture(scope="session")
def cluster(apiserver: Kube) -> Kube:
    """The cluster, with the definitions of this checkout in force."""
    folder = str(ROOT / "crds")
    apiserver.run("apply", "--server-side", "--force-conflicts", "--field-manager=tests", "-f", folder)
    apiserver.established("-f", folder)
    return apiserver


@contextlib.contextmanager
def own_namespace(kube: Kube) -> Iterator[str]:
    """A namespace with a name of its own, removed afterwards."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    kube.run("create", "namespace", name)
    try:
        yield name
    finally:
        kube.run("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="module")
def kube(cluster: Kube) -> Iterator[Kube]:
    """A namespace of its own for each module."""
    with own_namespace(cluster) as name:
        yield Kube(name)
