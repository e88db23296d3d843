"""The resource that users write: an LLMDeployment."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationError

from solera.api import checks
from solera.api import rules as cel
from solera.api.base import SpecModel, VersionName, text
from solera.api.errors import InvalidSpec
from solera.api.explain import all_in_user_words
from solera.api.extensions import map_list, rules
from solera.api.metadata import API_VERSION, GROUP, VERSION, Metadata
from solera.api.spec import Owner, Template, Version
from solera.api.status import LLMDeploymentStatus
from solera.api.traffic import Rollout, Traffic

SAY_MODEL_NAME = "write letters, digits, ., _, :, / and -, with a letter or digit first"
KIND = "LLMDeployment"
PLURAL = "llmdeployments"


class LLMDeploymentSpec(SpecModel):
    """What should be served, how it is reached, and how a new version is let in."""

    model_config = ConfigDict(json_schema_extra=rules(cel.SERVE_EXISTS, cel.ENGINE_NAME, cel.ENGINE_IMAGE))

    owner: Owner | None = None
    """Who answers for this model."""
    serve: VersionName
    """Name of the version that should carry the traffic. Changing it starts a rollout."""
    model_name: Annotated[str, *text(128, "^[A-Za-z0-9][A-Za-z0-9._:/-]*$", SAY_MODEL_NAME)] | None = None
    """Name under which all versions are asked for, in the field model of a request; the name of this object when left out."""
    template: Template | None = None
    """What all versions share."""
    versions: Annotated[
        tuple[Version, ...],
        Field(min_length=1, max_length=cel.MAX_VERSIONS),
        map_list("name"),
        cel.SUCCESSOR_EXISTS,
        cel.NO_CIRCLE,
    ]
    """All versions that serve, served, or are going to serve."""
    traffic: Traffic
    """How requests reach the model."""
    rollout: Rollout | None = None
    """How a candidate is let in."""


class LLMDeployment(SpecModel):
    """A self-hosted language model through its life: versions, the rollout from one to the next, and their retirement."""

    model_config = ConfigDict(
        json_schema_extra=rules(cel.NAME_NOT_REUSED, cel.SERVING_VERSION_STAYS, cel.WARM_VERSION_STAYS)
    )

    api_version: Literal["solera.dev/v1alpha1"] = "solera.dev/v1alpha1"
    """Version of the API."""
    kind: Literal["LLMDeployment"] = "LLMDeployment"
    """Kind of the object."""
    metadata: Metadata
    """Standard metadata."""
    spec: LLMDeploymentSpec
    """What should be served, how it is reached, and how a new version is let in."""
    status: LLMDeploymentStatus = LLMDeploymentStatus()
    """What the operator observed, decided and is going to do."""


def parse(obj: dict[str, Any]) -> LLMDeployment:
    """Read an object as the apiserver returns it.

    Raises:
        InvalidSpec: it does not fit the schema, or breaks a rule that the CRD would refuse. `path` is the first such field.
    """
    parsed, found = read(obj)
    if parsed is not None and not found:
        return parsed
    first, more = found[0], len(found) - 1
    raise InvalidSpec(first.path, f"{first.message} (and {more} more)" if more else first.message)


def read(obj: dict[str, Any]) -> tuple[LLMDeployment | None, list[InvalidSpec]]:
    """The object, None if it does not fit the schema, and everything that is wrong with it: each field once, schema before rules."""
    parsed, found = None, []
    try:
        parsed = LLMDeployment.model_validate(obj, by_alias=True, by_name=False)
    except ValidationError as error:
        found = [InvalidSpec(path, message) for path, message in all_in_user_words(error)]
    known = {problem.path for problem in found}
    for problem in checks.broken_rules(obj):
        if problem.path not in known:
            found.append(problem)
    return parsed, found


__all__ = ["API_VERSION", "GROUP", "KIND", "PLURAL", "VERSION", "LLMDeployment", "LLMDeploymentSpec", "parse", "read"]
