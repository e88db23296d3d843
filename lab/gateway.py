"""Traefik as the gateway, outside the cluster, and the Gateway API objects that it serves."""

from __future__ import annotations

import json
from typing import Any

from lab import paths
from lab.build import gateway_api
from lab.control_plane import CA, look, reader, token
from lab.processes import Process
from lab.shell import LabError, established, http_probe, kubectl, write

NAMESPACE = "gateways"
CLASS = "traefik"
GATEWAY = "inference"
_GROUP = "gateway.networking.k8s.io"
BUCKETS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10)  # seconds; the limits that guardrails use must stand here


def rules() -> list[dict[str, Any]]:
    kinds = ["gatewayclasses", "gateways", "httproutes", "grpcroutes", "tcproutes", "tlsroutes", "referencegrants"]
    kinds += ["backendtlspolicies", "listenersets"]
    readable = look(
        {
            "": ["services", "secrets", "configmaps", "namespaces", "nodes"],
            "discovery.k8s.io": ["endpointslices"],
            _GROUP: kinds,
        }
    )
    status = [f"{kind}/status" for kind in kinds]
    readable.append({"apiGroups": [_GROUP], "resources": status, "verbs": ["update", "patch"]})
    return reader("traefik", readable)


def definitions() -> None:
    """Applies the CRDs of the Gateway API and waits until they are served."""
    kubectl("apply", "--server-side", "--force-conflicts", "-f", str(gateway_api()), timeout=120)
    crds = [f"{plural}.{_GROUP}" for plural in ("gatewayclasses", "gateways", "httproutes")]
    established("crd", *crds)


def objects() -> list[dict[str, Any]]:
    api = f"{_GROUP}/v1"
    listener = {
        "name": "http",
        "port": paths.GATEWAY_PORT,
        "protocol": "HTTP",
        "allowedRoutes": {"namespaces": {"from": "All"}},
    }
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {
            "apiVersion": api,
            "kind": "GatewayClass",
            "metadata": {"name": CLASS},
            "spec": {"controllerName": "traefik.io/gateway-controller"},
        },
        {
            "apiVersion": api,
            "kind": "Gateway",
            "metadata": {"name": GATEWAY, "namespace": NAMESPACE},
            "spec": {"gatewayClassName": CLASS, "listeners": [listener]},
        },
    ]


def traefik() -> Process:
    # From a file: arguments can be read by everyone.
    credentials = write(paths.ETC / "traefik.token", token("traefik"), mode=0o600)
    provider = "--providers.kubernetesgateway"
    metrics = "--metrics.prometheus"
    argv = [
        str(paths.BIN / "traefik"),
        "--global.checknewversion=false",
        "--global.sendanonymoususage=false",
        "--log.level=INFO",
        "--api=true",
        f"--entrypoints.http.address={paths.ADDRESS}:{paths.GATEWAY_PORT}",
        # A request body may come slowly and an answer may take minutes: the engine decides, not the gateway.
        "--entrypoints.http.transport.respondingtimeouts.readtimeout=0",
        # llama.cpp's server closes idle and much used connections without a word; a request that was just sent on one of them is
        # lost, and a gateway must not repeat a POST. So each request gets a connection of its own.
        "--serverstransport.maxidleconnsperhost=-1",
        f"--entrypoints.metrics.address={paths.ADDRESS}:{paths.TRAEFIK_METRICS_PORT}",
        "--ping=true",
        "--ping.entrypoint=metrics",
        f"{metrics}=true",
        f"{metrics}.entrypoint=metrics",
        f"{metrics}.addserviceslabels=true",
        f"{metrics}.addrouterslabels=true",
        f"{metrics}.buckets={','.join(str(bucket) for bucket in BUCKETS)}",
        f"{provider}=true",
        f"{provider}.endpoint={paths.API_URL}",
        f"{provider}.token={credentials}",
        f"{provider}.certauthfilepath={CA}",
        f"{provider}.statusaddress.ip={paths.ADDRESS}",
        f"{provider}.throttleduration=100ms",
        "--providers.providersthrottleduration=100ms",
    ]
    probe = http_probe(f"http://{paths.ADDRESS}:{paths.TRAEFIK_METRICS_PORT}/ping")
    return Process("traefik", tuple(argv), probe, files=(CA, credentials))


def state() -> str | None:
    """None when the Gateway is Programmed, else what is not so."""
    try:
        found = json.loads(kubectl("-n", NAMESPACE, "get", f"gateways.{_GROUP}", GATEWAY, "-o", "json"))
    except LabError as error:
        return str(error).splitlines()[-1]
    for condition in found.get("status", {}).get("conditions", []):
        if condition["type"] == "Programmed":
            return None if condition["status"] == "True" else f"Gateway {GATEWAY}: {condition['message']}"
    return f"Gateway {GATEWAY} is not Programmed yet"
