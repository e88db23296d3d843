"""The same rollout, written for each side: one namespace, N models, six steps of ten seconds, two conditions. Pure."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]

WEIGHTS = (5, 10, 25, 50, 75, 100)
STEP_SECONDS = 10  # the shortest interval that Flagger keeps: it raises shorter ones to this
PORT = 8000
GATEWAY = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "inference", "namespace": "gateways"}
BAD_PERCENT = 5  # requests that may fail
SLOW_PERCENT = 10  # requests whose first token may take longer than SLOW_SECONDS
SLOW_SECONDS = "2.5"
DRAIN_SECONDS = 5


def names(count: int) -> list[str]:
    """`m-000`, `m-001`, …"""
    return [f"m-{number:03d}" for number in range(count)]


def hostname(name: str, namespace: str) -> str:
    return f"{name}.{namespace}.example.com"


def image(version: str) -> str:
    return f"localhost/engine:{version}"


def namespace(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def solera(name: str, space: str, version: str, *, gpus: int = 0) -> Object:
    """An LLMDeployment that serves ``version`` and declares both versions.

    The old pods go as soon as they have drained, as the peer's do, instead of staying warm for ten minutes.
    """
    engine = {"name": "vLLM", "version": "0.18.1", "image": image("v1")}
    versions = [
        {"name": v, "model": {"uri": f"image:///models/{v}"}, "template": {"engine": {**engine, "image": image(v)}}}
        for v in ("v1", "v2")
    ]
    limits = [
        {"name": "errors", "metric": "ErrorRate", "limit": f"{BAD_PERCENT}%"},
        {
            "name": "ttft",
            "metric": "TimeToFirstToken",
            "slowerThan": f"{SLOW_SECONDS}s",
            "limit": f"{SLOW_PERCENT}%",
        },
    ]
    return {
        "apiVersion": "solera.dev/v1alpha1",
        "kind": "LLMDeployment",
        "metadata": {"name": name, "namespace": space},
        "spec": {
            "serve": version,
            "template": {"replicas": 1, "resources": {"gpus": gpus}, "drainTimeout": f"{DRAIN_SECONDS}s"},
            "versions": versions,
            "traffic": {
                "gateway": {
                    "parentRefs": [{"name": GATEWAY["name"], "namespace": GATEWAY["namespace"]}],
                    "hostnames": [hostname(name, space)],
                }
            },
            "rollout": {
                "steps": [{"weight": w, "minDuration": f"{STEP_SECONDS}s"} for w in WEIGHTS],
                "guardrails": limits,
                "keepPrevious": "0s",
            },
        },
    }


def solera_change(version: str = "v2") -> Object:
    """The merge patch of an LLMDeployment that starts the rollout."""
    return {"spec": {"serve": version}}


def deployment(name: str, space: str, version: str, pod: Object | None = None) -> Object:
    """The Deployment that a user of Flagger owns. ``pod`` is added to the pod's spec (tolerations and the like)."""
    labels = {"app": name}
    probe = {"httpGet": {"path": "/health", "port": PORT}}
    container = {
        "name": "engine",
        "image": image(version),
        "ports": [{"name": "http", "containerPort": PORT}],
        "readinessProbe": probe,
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": space, "labels": labels},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"terminationGracePeriodSeconds": DRAIN_SECONDS, "containers": [container], **(pod or {})},
            },
        },
    }


def deployment_change(version: str = "v2") -> Object:
    """The strategic merge patch of a Deployment that starts the rollout."""
    return {"spec": {"template": {"spec": {"containers": [{"name": "engine", "image": image(version)}]}}}}


CHECKS = {"errors": BAD_PERCENT, "slow": SLOW_PERCENT}


def metric_templates(space: str, address: str) -> list[Object]:
    """One query for each check. The stand-in answers them by what it counted for the canary in the last interval."""
    return [
        {
            "apiVersion": "flagger.app/v1beta1",
            "kind": "MetricTemplate",
            "metadata": {"name": check, "namespace": space},
            "spec": {
                "provider": {"type": "prometheus", "address": address},
                "query": f'engine_{check}_percent{{namespace="{{{{ namespace }}}}",service="{{{{ target }}}}-canary"}}',
            },
        }
        for check in CHECKS
    ]


def canary(name: str, space: str) -> Object:
    """The Canary beside that Deployment; group and kind of the Gateway are spelt out, as they are stored."""
    metrics = [
        {
            "name": check,
            "templateRef": {"name": check, "namespace": space},
            "thresholdRange": {"max": limit},
            "interval": f"{STEP_SECONDS}s",
        }
        for check, limit in CHECKS.items()
    ]
    return {
        "apiVersion": "flagger.app/v1beta1",
        "kind": "Canary",
        "metadata": {"name": name, "namespace": space},
        "spec": {
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "service": {
                "port": PORT,
                "targetPort": PORT,
                "hosts": [hostname(name, space)],
                "gatewayRefs": [dict(GATEWAY)],
            },
            "analysis": {
                "interval": f"{STEP_SECONDS}s",
                "threshold": 5,
                "stepWeights": list(WEIGHTS),
                "metrics": metrics,
            },
        },
    }
