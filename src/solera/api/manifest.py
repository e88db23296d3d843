"""What is wrong with a manifest, told without a cluster: all of it at once, in the words that the apiserver and the operator use.

Two things stay for the apiserver, since only it knows them: what was published before (a model cannot change under its name), and
what else in the cluster has the same name.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from solera.api import crd
from solera.api.base import LABEL, SAY_LABEL
from solera.api.errors import InvalidSpec
from solera.api.llmdeployment import KIND, read
from solera.api.metadata import API_VERSION

REQUEST = "solera.dev/request"
SAY_REQUEST = "is written by kubectl solera alone, and answered once: leave it out of manifests"
SAY_ABSENT_OBJECT = "holds no object: write apiVersion, kind, metadata and spec"

# Kubernetes API reference, ObjectMeta.
_METADATA = frozenset(
    {
        *("name", "generateName", "namespace", "labels", "annotations", "ownerReferences", "finalizers"),
        *("uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp"),
        *("deletionGracePeriodSeconds", "managedFields", "selfLink"),
    }
)
_GENERATED = 5
"""Characters that the apiserver adds to generateName."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a manifest.

    Attributes:
        path: the field, as in YAML, for example `spec.rollout.steps[0].weight`; empty when it is about the whole object.
        message: what is wrong there and what to write instead.
    """

    path: str
    message: str

    def __str__(self) -> str:
        """`path: message`, as the apiserver and the condition `Stalled` say it."""
        return f"{self.path}: {self.message}" if self.path else self.message


def check(manifest: Any) -> list[Problem]:
    """Everything that is wrong with a manifest of an LLMDeployment; empty when it can be applied.

    `manifest` is one document as read from YAML. A `status` in it counts as that of the stored object: with it, a version that carries
    traffic cannot be left out, and a name cannot be used for another model.
    """
    if not isinstance(manifest, Mapping) or not manifest:
        return [Problem("", SAY_ABSENT_OBJECT)]
    foreign = list(_type(manifest))
    if foreign:  # of another kind nothing else is known
        return foreign
    obj = dict(manifest)
    found = list(_metadata(obj))
    obj["metadata"] = _named(obj.get("metadata"))
    found += [Problem(problem.path, _with_likely_name(problem)) for problem in read(obj)[1]]
    return found


def _type(manifest: Mapping[str, Any]) -> Iterator[Problem]:
    for field, wanted in (("apiVersion", API_VERSION), ("kind", KIND)):
        value = manifest.get(field)
        if value is None:
            yield Problem(field, f"is required: write {wanted}")
        elif value != wanted:
            yield Problem(field, f"{value!r} is not possible here: write {wanted}")


def _metadata(manifest: Mapping[str, Any]) -> Iterator[Problem]:
    metadata = manifest.get("metadata")
    if not isinstance(metadata, Mapping):
        return
    for field in metadata.keys() - _METADATA:
        yield Problem(f"metadata.{field}", f"is not a field{_likely(field, _METADATA)}")
    namespace = metadata.get("namespace")
    if isinstance(namespace, str) and not re.fullmatch(LABEL, namespace):
        yield Problem("metadata.namespace", f"{namespace!r} is not possible here: {SAY_LABEL}")
    annotations = metadata.get("annotations")
    if isinstance(annotations, Mapping) and REQUEST in annotations:
        yield Problem(f"metadata.annotations[{REQUEST}]", SAY_REQUEST)


def _named(metadata: Any) -> Any:
    """With a name like the one that the apiserver would make from generateName."""
    prefix = metadata.get("generateName") if isinstance(metadata, Mapping) else None
    if not isinstance(prefix, str) or "name" in metadata:
        return metadata
    return {**metadata, "name": prefix + "x" * _GENERATED}


def _with_likely_name(problem: InvalidSpec) -> str:
    """The message; of an unknown field also which known one may be meant."""
    if not problem.message.startswith("is not a field"):
        return problem.message
    parent, _, field = problem.path.rpartition(".")
    return "is not a field" + (_likely(field, _fields(parent)) or problem.message.removeprefix("is not a field"))


def _likely(field: str, known: Any) -> str:
    lower = {name.lower(): name for name in known}
    close = difflib.get_close_matches(field.lower(), lower, n=1, cutoff=0.7)
    return f": did you mean {lower[close[0]]}?" if close else ""


@cache
def _schema() -> dict[str, Any]:
    schema: dict[str, Any] = crd.llmdeployment()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def _fields(path: str) -> list[str]:
    """The fields that the object at this path may have."""
    node = _schema()
    for part in re.sub(r"\[[0-9]+\]", ".[]", path).strip(".").split(".") if path else ():
        node = node.get("items", {}) if part == "[]" else node.get("properties", {}).get(part, {})
    return list(node.get("properties", ()))
