"""The Service of one revision: the address that the route gives a weight."""

from __future__ import annotations

from solera.api.defaults import ResolvedVersion
from solera.kinds import SERVICE
from solera.render.owner import Manifest, Owner, labels, metadata
from solera.render.pods import PORT_NAME, selector

SERVICE_PORT = 8000
"""The port of every revision's Service, whatever its engine listens on: a route never has to follow a change of template.port."""


def service(owner: Owner, revision: str, version: str, hash: str, resolved: ResolvedVersion) -> Manifest:  # noqa: A002, ARG001
    """One Service for each revision, so that weights and metrics are about a revision and never about a mixture.

    The target is the port's name, which each pod resolves for itself.
    """
    return {
        "apiVersion": SERVICE.api_version,
        "kind": SERVICE.kind,
        "metadata": metadata(owner, revision, labels(owner, version=version, hash=hash)),
        "spec": {
            "type": "ClusterIP",
            "selector": selector(owner, hash),
            "ports": [{"name": PORT_NAME, "port": SERVICE_PORT, "targetPort": PORT_NAME, "protocol": "TCP"}],
        },
    }
