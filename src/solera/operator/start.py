"""Before anything can be watched: a way to the apiserver, and the kind to be watched."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

from kubernetes.aio import config as kube_config
from kubernetes.aio.client import Configuration

from solera.apply.kube import Kube
from solera.config import Config
from solera.config import LeaderElection as ElectionConfig
from solera.errors import KubeError, NotFound, SoleraError
from solera.kinds import CHILDREN, GROUP, LLM_DEPLOYMENT
from solera.operator.election import Election, Leases
from solera.operator.leadership import Alone, Leadership
from solera.operator.lease import Timing

log = logging.getLogger(__name__)

SPARE_CONNECTIONS = 16
OWN_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
"""Where the kubelet tells a pod its namespace."""


class OperatorError(SoleraError):
    """The operator cannot start, or has ended by itself."""


class Served:
    """Waits for the CustomResourceDefinition: kopf never watches a kind that is missing when it starts."""

    def __init__(self, namespaces: tuple[str, ...]) -> None:
        self._namespace = namespaces[0] if namespaces else None
        self._problem: str | None = f"waiting for {LLM_DEPLOYMENT.plural}.{GROUP}"

    def problem(self) -> str | None:
        """What is missing; None when nothing is."""
        return self._problem

    async def wait(self, kube: Kube) -> None:
        """Return when the kind is served."""
        pause, told = 0.2, ""
        while True:
            try:
                await kube.list_page(LLM_DEPLOYMENT.kind, self._namespace, limit=1, metadata_only=True)
            except KubeError as error:
                missing = f"install the CustomResourceDefinition {LLM_DEPLOYMENT.plural}.{GROUP}: it is not served here"
                self._problem = missing if isinstance(error, NotFound) else str(error)
                if self._problem != told:
                    log.warning("cannot start yet: %s", self._problem)
                    told = self._problem
            else:
                self._problem = None
                return
            await asyncio.sleep(pause)
            pause = min(pause * 2, 5.0)


async def configure(config: Config) -> Configuration:
    """In a pod its service account, elsewhere the kubeconfig that KUBECONFIG or the home folder names."""
    configuration = Configuration()
    try:
        if "KUBERNETES_SERVICE_HOST" in os.environ and "KUBECONFIG" not in os.environ:
            kube_config.load_incluster_config(client_configuration=configuration)
        else:
            # Named here, since the library reads the variable only once, when it is imported.
            file = os.environ.get("KUBECONFIG") or None
            await kube_config.load_kube_config(config_file=file, client_configuration=configuration)
    except (kube_config.ConfigException, OSError) as error:
        raise OperatorError(f"no way to the apiserver: {error}; set KUBECONFIG, or run in a pod") from error
    watches = len(CHILDREN) * max(1, len(config.namespaces))
    configuration.connection_pool_maxsize = watches + config.workers + SPARE_CONNECTIONS
    return configuration


def elect(
    config: ElectionConfig, leases: Leases, on_change: Callable[[], None], environment: Mapping[str, str] = os.environ
) -> Leadership:
    """Leadership as configured. The chart names the pod in POD_NAME and POD_NAMESPACE.

    Raises:
        OperatorError: no namespace is known for the Lease.
    """
    if not config.enabled:
        return Alone()
    namespace = config.namespace or environment.get("POD_NAMESPACE") or _told_by_the_kubelet()
    if not namespace:
        raise OperatorError(
            "leaderElection.namespace: required outside a pod; write the namespace of the Lease, or enabled: false if no other"
            " operator runs for these namespaces"
        )
    pod = environment.get("POD_NAME") or None
    identity = f"{pod or socket.gethostname()}_{uuid.uuid4()}"
    timing = Timing(
        config.lease_duration.total_seconds(),
        config.renew_interval.total_seconds(),
        config.retry_interval.total_seconds(),
    )
    return Election(leases, (namespace, config.name), identity, pod=pod, timing=timing, on_change=on_change)


def _told_by_the_kubelet() -> str:
    try:
        return OWN_NAMESPACE.read_text().strip()
    except OSError:
        return ""
