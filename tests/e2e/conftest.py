"""The lab with the operator installed by its chart. Without a cluster these tests fail; none is skipped."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab import live


@pytest.fixture(scope="session")
def operator() -> None:
    """The operator runs, installed by the chart."""
    if not os.environ.get("KUBECONFIG"):
        pytest.fail("KUBECONFIG is not set: run `make e2e`, or `python -m lab exec -- pytest tests/e2e`")
    live.install_operator()


@pytest.fixture
def space() -> Iterator[str]:
    """A namespace of its own, removed afterwards; what was in it is shown when the test fails."""
    name = f"e2e-{uuid.uuid4().hex[:6]}"
    live.namespace(name)
    yield name
    live.remove_namespace(name, wait=False)


@pytest.fixture(autouse=True)
def _tell_on_failure(request: pytest.FixtureRequest, space: str) -> Iterator[None]:
    failed = request.session.testsfailed
    yield
    if request.session.testsfailed > failed:
        print(live.kubectl("get", "llmdep,pods,httproute", "-n", space))
        print(live.kubectl("get", "llmdep", "-n", space, "-o", "yaml"))
        print(live.kubectl("logs", "-n", live.SYSTEM, "-l", "app.kubernetes.io/name=solera", "--tail=60"))


@pytest.fixture
def answers(tmp_path: Path) -> Path:
    return tmp_path / "answers.jsonl"
