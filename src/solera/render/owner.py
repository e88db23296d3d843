"""What every child has in common: whose it is, and the labels that it is found by."""

from __future__ import annotations

from typing import Any, Protocol

from solera.api.metadata import API_VERSION
from solera.kinds import LABEL_LLMDEPLOYMENT, LABEL_REVISION, LABEL_VERSION, LLM_DEPLOYMENT

Manifest = dict[str, Any]

MANAGED_BY = {"app.kubernetes.io/managed-by": "solera"}


class Owner(Protocol):
    """The LLMDeployment, as far as its children need it."""

    @property
    def name(self) -> str:
        """Its name, at most 33 characters."""

    @property
    def namespace(self) -> str:
        """Its namespace, which is also that of every child."""

    @property
    def uid(self) -> str:
        """Its identity: a namesake made later is another owner."""


def labels(owner: Owner, *, version: str | None = None, hash: str | None = None) -> dict[str, str]:  # noqa: A002 - the word of the design
    """The labels of a child: of the whole LLMDeployment, of one version, or of one revision of it."""
    out = {**MANAGED_BY, LABEL_LLMDEPLOYMENT: owner.name}
    if version is not None:
        out[LABEL_VERSION] = version
    if hash is not None:
        out[LABEL_REVISION] = hash
    return out


def metadata(owner: Owner, name: str, child_labels: dict[str, str]) -> Manifest:
    """Name, labels and the reference by which the garbage collector removes the child with its owner.

    ``blockOwnerDeletion`` stays false: setting it needs the right to write the owner's finalizers, which the operator does not have.
    """
    return {
        "name": name,
        "namespace": owner.namespace,
        "labels": child_labels,
        "ownerReferences": [
            {
                "apiVersion": API_VERSION,
                "kind": LLM_DEPLOYMENT.kind,
                "name": owner.name,
                "uid": owner.uid,
                "controller": True,
                "blockOwnerDeletion": False,
            }
        ],
    }
