"""What every model of the API shares: aliases, strictness, bounded types, and how CEL rules hang on them."""

import re
from dataclasses import dataclass
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema

from solera.api import scalars
from solera.api.errors import InvalidValue


class SpecModel(BaseModel):
    """A part of what users write. Unknown fields are refused; an absent field is `None`, never a default (defaults.py)."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
    )

    def dump(self) -> dict[str, Any]:
        """The YAML form: camelCase keys, absent fields left out, lists as written (empty ones kept)."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class StatusModel(BaseModel):
    """A part of what the operator writes. Unknown fields are ignored, so that an older operator reads a newer status."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="ignore",
        frozen=True,
        use_attribute_docstrings=True,
    )

    def dump(self) -> dict[str, Any]:
        """The YAML form: camelCase keys, absent fields left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed, checked like a new one."""
        known = {name: getattr(self, name) for name in type(self).model_fields}
        return type(self)(**(known | changes))


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


def _checked(parse: Any) -> AfterValidator:
    def check(text: str) -> str:
        try:
            parse(text)
        except InvalidValue as error:
            raise ValueError(error.message) from None
        return text

    return AfterValidator(check)


def _positive(text: str) -> str:
    if not scalars.parse_duration(text):
        raise InvalidValue("", f"{text!r} must be longer than nothing: {scalars.SAY_DURATION}")
    return text


def _between(low: float, high: float, say: str) -> Any:
    def check(text: str) -> None:
        if not low < scalars.parse_percent(text) < high:
            raise InvalidValue("", f"{text!r} is out of range: {say}")

    return check


def _above_one(text: str) -> None:
    if scalars.parse_ratio(text) <= 1:
        raise InvalidValue("", f"{text!r} must be above 1: {scalars.SAY_RATIO}")


_IS_DURATION = f"self.matches('{scalars.DURATION}') && self.size() > 0"
_IS_PERCENT = f"self.matches('{scalars.PERCENT}')"
_PERCENT_NUMBER = "double(self.replace('%', ''))"
SAY_LIMIT = "write a percentage above 0% and below 100%, for example 1%"
SAY_RISK = "write a percentage above 0% and below 50%, for example 5%"

Duration = Annotated[
    str, _checked(scalars.parse_duration), bounded_string(24, Rule(_IS_DURATION, scalars.SAY_DURATION))
]
"""`30m`; `0s` is allowed."""

PositiveDuration = Annotated[
    str,
    _checked(_positive),
    bounded_string(24, Rule(f"{_IS_DURATION} && duration(self) > duration('0s')", scalars.SAY_DURATION + "; not 0")),
]
"""`30m`; not `0s`."""

Limit = Annotated[
    str,
    _checked(_between(0, 1, SAY_LIMIT)),
    bounded_string(12, Rule(f"{_IS_PERCENT} && {_PERCENT_NUMBER} > 0.0 && {_PERCENT_NUMBER} < 100.0", SAY_LIMIT)),
]
"""A share of bad events, `5%`."""

RiskShare = Annotated[
    str,
    _checked(_between(0, 0.5, SAY_RISK)),
    bounded_string(12, Rule(f"{_IS_PERCENT} && {_PERCENT_NUMBER} > 0.0 && {_PERCENT_NUMBER} < 50.0", SAY_RISK)),
]
"""A risk that the team accepts, `5%`."""

Ratio = Annotated[
    str,
    _checked(_above_one),
    bounded_string(8, Rule(f"self.matches('{scalars.RATIO}') && double(self) > 1.0", scalars.SAY_RATIO + ", above 1")),
]
"""How many times the stable version's share the candidate's may be."""

Date = Annotated[
    str,
    _checked(scalars.parse_time),
    bounded_string(
        40,
        Rule(
            f"self.matches('{scalars.DATE}') && timestamp(self) > timestamp('2000-01-01T00:00:00Z')", scalars.SAY_DATE
        ),
    ),
]
"""RFC 3339 with offset, as the user wrote it."""

Quantity = Annotated[
    int | str,
    _checked(scalars.parse_quantity),
    WithJsonSchema(
        {
            "x-kubernetes-int-or-string": True,
            # Without a bound the estimated cost of the rule is 300 times as high.
            "maxLength": 32,
            **rules(
                Rule(
                    f"type(self) == int ? self > 0 : self.matches('{scalars.QUANTITY}') && isQuantity(self) && "
                    "quantity(self).isGreaterThan(quantity('0'))",
                    scalars.SAY_QUANTITY,
                )
            ),
        }
    ),
]


def text(maximum: int, pattern: str, say: str) -> tuple[Any, ...]:
    """For `Annotated[str, *text(...)]`: a text of one form, refused in words rather than with a regular expression.

    `pattern` must mean the same to RE2 and to Python, and must not hold a quote.
    """

    def check(value: str) -> None:
        if not re.match(pattern, value) or value.endswith("\n"):
            raise InvalidValue("", f"{value!r} is not possible here: {say}")

    return _checked(check), Field(min_length=1, max_length=maximum), Rule(f"self.matches('{pattern}')", say)


LABEL = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
SUBDOMAIN = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"

ObjectName = Annotated[str, Field(min_length=1, max_length=253, pattern=SUBDOMAIN)]
"""The name of another object in the cluster."""
SAY_LABEL = "write lower-case letters, digits and -, with a letter or digit at both ends"
Label = Annotated[str, *text(63, LABEL, SAY_LABEL)]
VersionName = Annotated[str, *text(20, LABEL, SAY_LABEL)]
ShortText = Annotated[str, Field(min_length=1, max_length=128)]


def clip(maximum: int) -> BeforeValidator:
    """Cut a text that the operator composed, rather than fail to write a status because a cause was long."""

    def cut(value: Any) -> Any:
        return value[: maximum - 1] + "…" if isinstance(value, str) and len(value) > maximum else value

    return BeforeValidator(cut)


def newest(maximum: int) -> BeforeValidator:
    """Keep the last `maximum` items of a list that only grows. Last in `Annotated`, so that the bound stays in the schema."""
    return BeforeValidator(lambda value: list(value)[-maximum:] if isinstance(value, (list, tuple)) else value)


Message = Annotated[str, Field(max_length=1024), clip(1024)]
"""A sentence for people; cut when longer."""
Reason = Annotated[str, Field(min_length=1, max_length=64, pattern="^[A-Z][A-Za-z0-9]*$")]
"""One CamelCase word for machines."""
Timestamp = Annotated[str, Field(max_length=40)]
"""A time written by the operator, see `format_time`."""
