"""The lab with the operator installed by its chart. Without a cluster these tests fail; none is skipped."""

from __future__ import annotations

import fcntl
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lab import live, paths
from lab.shell import tail

from e2e.scene import OF_NAME


def once_per_run(folder: Path, what: str, do: Callable[[], None]) -> None:
    """Do it once for all workers that share ``folder``: the first does it, the others wait for it and share how it ended.

    Raises:
        LiveError: it failed, here or in the worker that tried.
    """
    with (folder / f"{what}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ended = folder / f"{what}.ended"
        if not ended.exists():
            try:
                do()
            except live.LiveError as error:
                ended.write_text(str(error))
                raise
            ended.write_text("")
        elif said := ended.read_text():
            raise live.LiveError(f"{what}, in another worker: {said}")


@pytest.fixture(scope="session")
def operator(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The operator runs, installed by the chart: once in a run, however many workers it has."""
    if not os.environ.get("KUBECONFIG"):
        pytest.fail("KUBECONFIG is not set: run `make e2e`, or `python -m lab exec -- pytest tests/e2e`")
    own = tmp_path_factory.getbasetemp()
    folder = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own  # a worker's folder lies in that of the run
    once_per_run(folder, "the operator", live.install_operator)


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
        for what in (
            ("get", "llmdep,pods,httproute", "-n", space),
            ("get", "llmdep", "-n", space, "-o", "yaml"),
            ("get", "events", "-n", space, "--sort-by=.metadata.creationTimestamp"),
            ("logs", "-n", space, "-l", OF_NAME, "--prefix", "--tail=40", "--max-log-requests=20"),
            ("logs", "-n", live.SYSTEM, "-l", "app.kubernetes.io/name=solera", "--tail=60"),
        ):
            print(_kubectl(*what))
        print(tail(paths.LOGS / "traefik.log", 40))


def _kubectl(*what: str) -> str:
    try:
        return live.kubectl(*what)
    except live.LiveError as error:  # a pod that has not begun has no log: the others are shown all the same
        return str(error)


@pytest.fixture
def answers(tmp_path: Path) -> Path:
    return tmp_path / "answers.jsonl"
