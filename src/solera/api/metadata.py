"""The part of Kubernetes' own metadata that Solera reads."""

from typing import Annotated

from pydantic import Field

from solera.api.base import LABEL, SAY_LABEL, StatusModel, text

GROUP = "solera.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

MAX_NAME = 33
"""A child is named NAME-VERSION-HASH, a label of 63 characters: 33 + 1 + 20 + 1 + 8."""
SAY_NAME = f"{SAY_LABEL}, and without dots: it is part of the names of all children"


class Metadata(StatusModel):
    """Standard metadata. Written by the apiserver, so unknown fields are ignored."""

    name: Annotated[str, *text(MAX_NAME, LABEL, SAY_NAME)]
    """Name, at most 33 characters: it is part of the names of all children."""
    namespace: str = "default"
    """Namespace."""
    uid: str = ""
    """Identity of this very object."""
    generation: int = 0
    """Raised by the apiserver at each change of the spec."""
    resource_version: str = ""
    """Raised by the apiserver at each change."""
    creation_timestamp: str | None = None
    """When it was created."""
    deletion_timestamp: str | None = None
    """When its deletion was asked for."""
    annotations: dict[str, str] = Field(default_factory=dict)
    """Annotations."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Labels."""
