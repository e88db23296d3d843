"""What can be said about the process without a cluster; the rest is in tests/cluster/test_operator.py."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path

import kopf
import pytest
from kubernetes.aio.client import Configuration

from solera.config import Config, ConfigError
from solera.operator import main
from solera.operator.start import OperatorError, Served, configure
from twin.kube import MemoryKube


async def test_logins_are_never_equal_and_slow_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal ones would be taken for the credentials that just failed, and kopf would give up for good."""
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    login = main._Login(Configuration(host="https://192.0.2.1:6443", api_key={"BearerToken": "Bearer secret"}))
    infos = [await login() for _ in range(8)]
    assert all(a != b for a, b in itertools.combinations(infos, 2))
    assert (infos[0].server, infos[0].scheme, infos[0].token) == ("https://192.0.2.1:6443", "Bearer", "secret")
    assert pauses == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


@pytest.mark.parametrize(
    ("key", "header"),
    [({"BearerToken": "bearer abc"}, "Bearer abc"), ({"BearerToken": "abc"}, "Bearer abc"), ({}, None)],
)
async def test_credentials_are_those_of_the_client(key: dict[str, str], header: str | None) -> None:
    info = await main._Login(Configuration(host="https://192.0.2.1:6443", api_key=key))()
    assert info.as_http_headers().get("Authorization") == header


def test_kopf_keeps_nothing_and_never_gives_up() -> None:
    settings = main._settings()
    assert settings.posting.enabled is False
    assert settings.scanning.disabled is True
    backoffs = list(itertools.islice(settings.networking.error_backoffs, 1000))
    assert backoffs[0] == 0.2
    assert max(backoffs) == 3.0
    storage = settings.persistence.diffbase_storage
    body = kopf.Body({"metadata": {"annotations": {}}, "spec": {"a": 1}})
    assert storage.build(body=body) == {}
    assert storage.fetch(body=body) is None


def test_a_wrong_configuration_is_refused_before_anything_starts(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("worker: 3\n")
    with pytest.raises(ConfigError, match="write workers"):
        main.run(file)


async def test_without_a_way_to_a_cluster_the_error_says_what_to_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(OperatorError, match="set KUBECONFIG, or run in a pod"):
        await configure(Config())


async def test_the_kind_is_waited_for(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    kube = MemoryKube(unserved={"LLMDeployment"})
    served = Served(())
    task = asyncio.create_task(served.wait(kube))
    await asyncio.sleep(0.5)
    assert served.problem() == "install the CustomResourceDefinition llmdeployments.solera.dev: it is not served here"
    assert caplog.text.count("cannot start yet") == 1
    kube.unserved = set()
    async with asyncio.timeout(60):
        await task
    assert served.problem() is None
