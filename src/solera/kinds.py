"""The Kubernetes kinds that Solera reads or writes, and where the apiserver keeps them.

A small table instead of discovery: the set is fixed, discovery costs start-up time and one more thing that can fail.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

GROUP = "solera.dev"
LABEL_LLMDEPLOYMENT = f"{GROUP}/llmdeployment"
LABEL_VERSION = f"{GROUP}/version"
LABEL_REVISION = f"{GROUP}/revision"

Key = tuple[str, str]
"""(namespace, name) of one LLMDeployment."""


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind as the apiserver serves it. All of them are namespaced."""

    kind: str
    api_version: str
    plural: str

    def path(self, namespace: str | None = None, name: str | None = None) -> str:
        """The URL path of the collection (of all namespaces when ``namespace`` is None) or of one object."""
        prefix = f"/apis/{self.api_version}" if "/" in self.api_version else f"/api/{self.api_version}"
        parts = [prefix]
        if namespace is not None:
            parts += ["namespaces", quote(namespace, safe="")]
        parts.append(self.plural)
        if name is not None:
            parts.append(quote(name, safe=""))
        return "/".join(parts)


LLM_DEPLOYMENT = Resource("LLMDeployment", f"{GROUP}/v1alpha1", "llmdeployments")
ROLLOUT_RECORD = Resource("RolloutRecord", f"{GROUP}/v1alpha1", "rolloutrecords")
CONTROLLER_REVISION = Resource("ControllerRevision", "apps/v1", "controllerrevisions")
DEPLOYMENT = Resource("Deployment", "apps/v1", "deployments")
SERVICE = Resource("Service", "v1", "services")
PERSISTENT_VOLUME_CLAIM = Resource("PersistentVolumeClaim", "v1", "persistentvolumeclaims")
POD = Resource("Pod", "v1", "pods")
ENDPOINT_SLICE = Resource("EndpointSlice", "discovery.k8s.io/v1", "endpointslices")
HTTP_ROUTE = Resource("HTTPRoute", "gateway.networking.k8s.io/v1", "httproutes")
EVENT = Resource("Event", "events.k8s.io/v1", "events")
LEASE = Resource("Lease", "coordination.k8s.io/v1", "leases")

RESOURCES: dict[str, Resource] = {
    r.kind: r
    for r in (
        LLM_DEPLOYMENT,
        ROLLOUT_RECORD,
        CONTROLLER_REVISION,
        DEPLOYMENT,
        SERVICE,
        PERSISTENT_VOLUME_CLAIM,
        POD,
        ENDPOINT_SLICE,
        HTTP_ROUTE,
        EVENT,
        LEASE,
    )
}

CHILDREN: tuple[Resource, ...] = (
    CONTROLLER_REVISION,
    DEPLOYMENT,
    SERVICE,
    POD,
    ENDPOINT_SLICE,
    HTTP_ROUTE,
    ROLLOUT_RECORD,
)
"""The kinds that the informers watch: whatever can carry the label of an LLMDeployment."""


def controller_uid(obj: dict[str, Any]) -> str | None:
    """The uid of an object's controller (meta/v1 OwnerReference); None without one."""
    controllers = (o["uid"] for o in obj["metadata"].get("ownerReferences") or [] if o.get("controller"))
    return next(controllers, None)


def controlled_by(obj: dict[str, Any]) -> str:
    """Who controls an object, as a sentence."""
    what = f"{obj['kind']}/{obj['metadata']['name']}"
    for owner in obj["metadata"].get("ownerReferences") or []:
        if owner.get("controller"):
            return f"{what} is controlled by {owner['kind']}/{owner['name']} with uid {owner['uid']}"
    return f"{what} exists and has no controller"
