"""What Kubernetes adds to JSON schema: CEL rules and keywords for lists and maps, for `Annotated[...]` and whole models."""

from dataclasses import dataclass
from typing import Any

from pydantic import GetJsonSchemaHandler, WithJsonSchema
from pydantic_core import CoreSchema


@dataclass(frozen=True, slots=True)
class Rule:
    """One CEL rule. Usable in `Annotated[...]` and, through `rules()`, on a whole model.

    Attributes:
        rule: the expression; `self` is the value that it stands on.
        message: static text; also printed when the expression itself fails on a value.
        expression: `messageExpression`, which can quote values. `message` is the fallback of the apiserver.
        field_path: moves the error to a child, for example `.retiresAt`.
        forbidden: report as `Forbidden` (the value would be fine, but may not be chosen now).
    """

    rule: str
    message: str
    expression: str | None = None
    field_path: str | None = None
    forbidden: bool = False

    def manifest(self) -> dict[str, str]:
        """The form in the CRD."""
        out = {"rule": self.rule, "message": self.message}
        if self.expression:
            out["messageExpression"] = self.expression
        if self.field_path:
            out["fieldPath"] = self.field_path
        if self.forbidden:
            out["reason"] = "FieldValueForbidden"
        return out

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Append to the rules that the annotated type already has."""
        out = handler(schema)
        out.setdefault("x-kubernetes-validations", []).append(self.manifest())
        return out


@dataclass(frozen=True, slots=True)
class Extension:
    """Keywords that Kubernetes adds to JSON schema, for example `{"x-kubernetes-list-type": "map"}`."""

    keywords: tuple[tuple[str, Any], ...]

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Write the keywords beside what the annotated type already says."""
        out = handler(schema)
        for name, value in self.keywords:
            out[name] = list(value) if isinstance(value, tuple) else value
        return out


def map_list(key: str) -> Extension:
    """A list whose items are told apart by one field: appliers own items, and old and new items can be compared."""
    return Extension((("x-kubernetes-list-type", "map"), ("x-kubernetes-list-map-keys", (key,))))


ATOMIC = Extension((("x-kubernetes-list-type", "atomic"),))
ATOMIC_MAP = Extension((("x-kubernetes-map-type", "atomic"),))


def rules(*items: Rule) -> dict[str, Any]:
    """For `json_schema_extra` of a model's configuration: rules on the object itself."""
    return {"x-kubernetes-validations": [item.manifest() for item in items]}


def bounded_string(maximum: int, *items: Rule, minimum: int = 1) -> WithJsonSchema:
    """The schema of a text that is checked by rules rather than by a pattern or a format."""
    return WithJsonSchema({"type": "string", "minLength": minimum, "maxLength": maximum, **(rules(*items))})
