"""The child that holds a rollout's evidence, outside the rights of those who edit an LLMDeployment."""

from typing import Annotated, Any

from pydantic import Field

from solera.api.base import ObjectName, SpecModel
from solera.api.extensions import Extension
from solera.api.metadata import Metadata

Data = Annotated[dict[str, Any], Extension((("x-kubernetes-preserve-unknown-fields", True),))]


class RolloutRecordSpec(SpecModel):
    """What the evidence is about."""

    llmdeployment: ObjectName
    """Name of the LLMDeployment."""
    rollout_id: Annotated[str, Field(min_length=1, max_length=64)]
    """Identity of the rollout, as in its status."""


class RolloutRecord(SpecModel):
    """The evidence of one rollout: totals by step, revision and guardrail, and the counters they were taken from."""

    api_version: Annotated[str, Field(pattern="^solera[.]dev/v1alpha1$")] = "solera.dev/v1alpha1"
    """Version of the API."""
    kind: Annotated[str, Field(pattern="^RolloutRecord$")] = "RolloutRecord"
    """Kind of the object."""
    metadata: Metadata
    """Standard metadata; named like the LLMDeployment."""
    spec: RolloutRecordSpec
    """What the evidence is about."""
    data: Annotated[Data, Field(max_length=64)] | None = None
    """The evidence, written and read by the operator only; its form may change between releases."""
