"""Turns the JSON schema that pydantic makes into a structural schema, the only kind that a CustomResourceDefinition takes.

Kubernetes API: "Extend the API with CustomResourceDefinitions", section on structural schemas. Whatever is not known to be allowed
stops the generator, rather than reach an apiserver that ignores or refuses it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from solera.errors import SoleraError

Schema = dict[str, Any]

_VALIDATIONS = "x-kubernetes-validations"
_COPIED = (
    "type",
    "format",
    "description",
    "enum",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "required",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
    "x-kubernetes-preserve-unknown-fields",
)
# A default would be stored in users' objects; titles repeat the name; strictness is the apiserver's (pruning).
_DROPPED = frozenset({"default", "title", "$defs"})
_HANDLED = frozenset({"properties", "items", "additionalProperties", "const", _VALIDATIONS})


class UnsupportedSchemaError(SoleraError):
    """A model uses something that a structural schema cannot say."""


def structural(model: type[BaseModel]) -> Schema:
    """The structural schema of a model, with every reference resolved.

    Raises:
        UnsupportedSchemaError: a keyword or union cannot stand in a structural schema.
    """
    document = model.model_json_schema(by_alias=True, mode="validation")
    return _convert(document, document.get("$defs", {}), model.__name__)


def _convert(node: Mapping[str, Any], definitions: Mapping[str, Any], path: str) -> Schema:
    flat = _flatten(dict(node), definitions, path)
    unknown = flat.keys() - set(_COPIED) - _HANDLED - _DROPPED
    if unknown:
        raise UnsupportedSchemaError(f"{path}: {', '.join(sorted(unknown))} cannot stand in a structural schema")
    out = {key: flat[key] for key in _COPIED if key in flat}
    if "const" in flat:
        out["enum"] = [flat["const"]]
    if "properties" in flat:
        out["properties"] = {
            name: _convert(value, definitions, f"{path}.{name}") for name, value in flat["properties"].items()
        }
    elif isinstance(flat.get("additionalProperties"), dict):
        out["additionalProperties"] = _convert(flat["additionalProperties"], definitions, f"{path}.*")
    if "items" in flat:
        out["items"] = _convert(flat["items"], definitions, f"{path}[]")
        out["items"].pop("description", None)  # explain prints that of the list; the class's own would only repeat it
    if flat.get(_VALIDATIONS):
        out[_VALIDATIONS] = flat[_VALIDATIONS]
    return out


def _flatten(node: Schema, definitions: Mapping[str, Any], path: str) -> Schema:
    """Resolve a reference, or a union with null, into one schema; what stands beside it wins, rules are added up."""
    node.pop("default", None)  # first: beside a reference it would hide what the referenced model says
    while "$ref" in node or "anyOf" in node or "allOf" in node:
        if "$ref" in node:
            target = definitions[node.pop("$ref").removeprefix("#/$defs/")]
        else:
            key = "anyOf" if "anyOf" in node else "allOf"
            branches = [branch for branch in node.pop(key) if branch.get("type") != "null"]
            if len(branches) != 1:
                raise UnsupportedSchemaError(
                    f"{path}: a union of {len(branches)} types cannot stand in a structural schema"
                )
            target = branches[0]
        validations = [*target.get(_VALIDATIONS, ()), *node.get(_VALIDATIONS, ())]
        node = {**target, **node}
        node.pop("default", None)
        if validations:
            node[_VALIDATIONS] = validations
    return node
