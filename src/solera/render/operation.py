"""The operational half of a pod: how it is placed, how long it may take to start and to end. None of it can change an answer."""

from __future__ import annotations

import math
from datetime import timedelta

from solera.api.defaults import ResolvedVersion
from solera.render.engines import drains_by_itself, with_shutdown_timeout
from solera.render.owner import Manifest

ENDPOINT_REMOVAL_SECONDS = 5
"""How long a gateway may go on sending requests to a pod that is being deleted: watch, throttled reload, new connections."""
MARGIN_SECONDS = 10
"""Added to the grace period, so that the kubelet's kill never races the engine's own end."""


def overlay(template: Manifest, resolved: ResolvedVersion) -> Manifest:
    """The stored pod template with the operational fields of today's spec laid over it. Applying it twice changes nothing.

    Requests in flight always have ``drainTimeout``: an engine that ends them itself gets it after SIGTERM, for any other the pod waits
    so long before SIGTERM.
    """
    # New is only what changes: the rest is shared with ``template``, which nobody may change.
    first, *others = template["spec"]["containers"]
    container, spec = dict(first), dict(template["spec"])
    spec["containers"] = [container, *others]
    annotations = template["metadata"]["annotations"] | {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(container["ports"][0]["containerPort"]),
        "prometheus.io/path": "/metrics",
    }
    _place(spec, container, resolved)
    _identify(spec, container, resolved)
    tries = math.ceil(resolved.startup_timeout.total_seconds() / first["startupProbe"]["periodSeconds"])
    container["startupProbe"] = {**first["startupProbe"], "failureThreshold": max(tries, 1)}
    drain = seconds(resolved.drain_timeout)
    by_itself = drains_by_itself(annotations["solera.dev/engine"], annotations.get("solera.dev/engine-version"))
    sleep = ENDPOINT_REMOVAL_SECONDS + (0 if by_itself else drain)
    container["lifecycle"] = {"preStop": {"sleep": {"seconds": sleep}}}
    if "args" in container:
        container["args"] = with_shutdown_timeout(container["args"], drain)
    spec["terminationGracePeriodSeconds"] = sleep + (drain if by_itself else 0) + MARGIN_SECONDS
    return {**template, "metadata": {**template["metadata"], "annotations": annotations}, "spec": spec}


def seconds(value: timedelta) -> int:
    """Whole seconds, rounded up: a limit is never cut short."""
    return math.ceil(value.total_seconds())


def _place(spec: Manifest, container: Manifest, resolved: ResolvedVersion) -> None:
    """Requests for processor and memory, and the nodes that are good enough."""
    resources = container.get("resources", {})
    accelerators = {name for name in resources.get("limits", {}) if "/" in name}
    requests = {name: amount for name, amount in resources.get("requests", {}).items() if name in accelerators}
    limits = {name: amount for name, amount in resources.get("limits", {}).items() if name in accelerators}
    if resolved.cpu is not None:
        requests["cpu"] = resolved.cpu  # no limit: throttling an engine's scheduler costs latency on every token
    if resolved.memory is not None:
        requests["memory"] = limits["memory"] = resolved.memory
    container["resources"] = {kind: what for kind, what in (("requests", requests), ("limits", limits)) if what}
    tolerations = [item.dump() for item in resolved.tolerations]
    # Nodes with accelerators are tainted by the resource's own name, so that nothing else takes their place.
    named = {item.get("key") for item in tolerations}
    tolerations += [{"key": name, "operator": "Exists"} for name in sorted(accelerators) if name not in named]
    _set(spec, "tolerations", tolerations)
    _set(spec, "nodeSelector", dict(resolved.node_selector))
    _set(spec, "priorityClassName", resolved.priority_class_name)


def _identify(spec: Manifest, container: Manifest, resolved: ResolvedVersion) -> None:
    """As whom the pod runs, and with which credentials it fetches image and model."""
    _set(spec, "imagePullSecrets", [{"name": name} for name in resolved.image_pull_secrets])
    _set(container, "imagePullPolicy", resolved.image_pull_policy and str(resolved.image_pull_policy))
    _set(spec, "serviceAccountName", resolved.service_account_name)
    context: Manifest = {"seccompProfile": spec["securityContext"]["seccompProfile"]}
    if resolved.run_as_user is not None:
        context |= {
            "runAsUser": resolved.run_as_user,
            "runAsNonRoot": resolved.run_as_user > 0,
            "fsGroup": resolved.run_as_user,
            "fsGroupChangePolicy": "OnRootMismatch",
        }
    spec["securityContext"] = context
    env = [item for item in container["env"] if item["name"] != "HF_TOKEN" or resolved.token_secret_ref is None]
    if resolved.token_secret_ref is not None:
        env.append({"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": resolved.token_secret_ref.dump()}})
    container["env"] = env


def _set(target: Manifest, key: str, value: object) -> None:
    """Write a field, or leave it out when there is nothing to write."""
    if value:
        target[key] = value
    else:
        target.pop(key, None)
