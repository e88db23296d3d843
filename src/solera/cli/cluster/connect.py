"""Which cluster, as whom, in which namespace: the kubeconfig as kubectl reads it, or the pod's own service account.

The Kubernetes client takes half a second to import, so it is imported when the first request is about to go out.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from solera import __version__
from solera.cli.cluster.client import CONNECT_SECONDS, READ_SECONDS, Object, Transport
from solera.cli.errors import CliError, Unreachable

SERVICE_ACCOUNT_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


@dataclass(frozen=True, slots=True)
class Target:
    """What the flags say about the cluster; None where a flag was not given."""

    kubeconfig: str | None = None
    context: str | None = None
    namespace: str | None = None


@dataclass(frozen=True, slots=True)
class Connection:
    """A way to the apiserver and the namespace to use when none is named."""

    transport: Transport
    namespace: str


def connect(target: Target) -> Connection:
    """Read the configuration; no request goes out yet.

    --kubeconfig, then $KUBECONFIG (a list of files is merged), then ~/.kube/config, then the service account of the pod.

    Raises:
        CliError: there is no usable configuration.
    """
    from kubernetes.client import ApiClient, Configuration  # noqa: PLC0415 - slow to import, see above
    from kubernetes.config import ConfigException  # noqa: PLC0415

    configuration = Configuration()
    configuration.retries = False  # urllib3 would try three times, and log each; the caller knows better
    paths = _paths(target)
    try:
        if paths is not None:
            namespace = _from_kubeconfig(configuration, paths, target.context)
        elif os.environ.get("KUBERNETES_SERVICE_HOST") and target.context is None:
            namespace = _from_pod(configuration)
        else:
            raise CliError("no cluster is configured: pass --kubeconfig, set KUBECONFIG, or write ~/.kube/config")
    except ConfigException as error:
        raise CliError(f"cannot use the kubeconfig: {error}") from error
    client = ApiClient(configuration)
    client.user_agent = f"kubectl-solera/{__version__}"
    return Connection(KubernetesTransport(client), target.namespace or namespace or "default")


def _paths(target: Target) -> str | None:
    """The kubeconfig files to merge, joined as in $KUBECONFIG; None when there is no file at all."""
    if target.kubeconfig is not None:
        if not Path(target.kubeconfig).expanduser().is_file():
            raise CliError(f"--kubeconfig: there is no file {target.kubeconfig}")
        return target.kubeconfig
    named = os.environ.get("KUBECONFIG", "")
    files = [p for p in named.split(os.pathsep) if p] if named else ["~/.kube/config"]
    there = [p for p in files if Path(p).expanduser().is_file()]
    if not there and named:
        raise CliError(f"KUBECONFIG names no file that exists: {named}")
    return os.pathsep.join(there) or None


def _from_kubeconfig(configuration: Any, paths: str, context: str | None) -> str | None:
    import yaml  # noqa: PLC0415
    from kubernetes.config.kube_config import KubeConfigLoader, KubeConfigMerger  # noqa: PLC0415

    try:
        merged = KubeConfigMerger(paths)
    except (OSError, ValueError, AttributeError, TypeError, yaml.YAMLError) as error:
        raise CliError(f"cannot read the kubeconfig {paths}: {error}") from error
    if merged.config is None:
        raise CliError(f"the kubeconfig {paths} is empty")
    known = [c["name"] for c in merged.config.value["contexts"] if "name" in c]
    if context is not None and context not in known:
        raise CliError(
            f"--context: there is no context {context} in {paths}; it has {', '.join(map(str, known)) or 'none'}"
        )
    loader = KubeConfigLoader(
        config_dict=merged.config,
        active_context=context,
        config_base_path=None,
        config_persister=merged.save_changes,  # a refreshed token replaces the one that it was made from
    )
    loader.load_and_set(configuration)
    namespace = (loader.current_context.get("context") or {}).get("namespace")
    return str(namespace) if namespace else None


def _from_pod(configuration: Any) -> str | None:
    from kubernetes.config import load_incluster_config  # noqa: PLC0415

    load_incluster_config(client_configuration=configuration)
    try:
        return SERVICE_ACCOUNT_NAMESPACE.read_text().strip() or None
    except OSError:
        return None


@dataclass(frozen=True, slots=True)
class KubernetesTransport:
    """`client.Transport` over the official client's connection pool; no typed models are made."""

    api: Any

    def send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Object | None = None,
        content_type: str | None = None,
        read_seconds: float = READ_SECONDS,
    ) -> KubernetesReply:
        """See `client.Transport`."""
        from kubernetes.client.exceptions import ApiException  # noqa: PLC0415
        from urllib3.exceptions import HTTPError  # noqa: PLC0415

        headers = {"Accept": "application/json"}
        if content_type:
            headers["Content-Type"] = content_type
        host = self.api.configuration.host
        try:
            request = self.api.param_serialize(
                method,
                path,
                query_params=list((query or {}).items()),
                header_params=headers,
                body=body,
                auth_settings=["BearerToken"],
            )
            answer = self.api.call_api(*request, _request_timeout=(CONNECT_SECONDS, read_seconds))
        except (HTTPError, OSError) as error:
            raise Unreachable(f"cannot reach the apiserver at {host}: {error}") from error
        except ApiException as error:  # the client's own word for a TLS failure
            raise Unreachable(f"cannot reach the apiserver at {host}: {error.reason}") from error
        return KubernetesReply(answer.status, answer.response)


@dataclass(frozen=True, slots=True)
class KubernetesReply:
    """`client.Reply` over urllib3's response."""

    status: int
    response: Any

    def read(self) -> bytes:
        """See `client.Reply`."""
        from urllib3.exceptions import HTTPError  # noqa: PLC0415

        try:
            return bytes(self.response.data)
        except (HTTPError, OSError) as error:
            raise Unreachable(f"the apiserver broke its answer off: {error}") from error

    def lines(self) -> Iterator[bytes]:
        """See `client.Reply`."""
        from urllib3.exceptions import HTTPError  # noqa: PLC0415

        try:
            yield from self.response
        except (HTTPError, OSError) as error:
            raise Unreachable(f"the watch broke off: {error}") from error

    def close(self) -> None:
        """See `client.Reply`."""
        self.response.close()
