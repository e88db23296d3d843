"""What every model of the API shares: aliases, strictness, and bounded types."""

import re
import unicodedata
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel

from solera.api import scalars
from solera.api.errors import InvalidValue
from solera.api.extensions import Rule, bounded_string, rules


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


def _checked(parse: Any, say: str) -> tuple[Any, ...]:
    """For `Annotated[str, *_checked(...)]`: a text that `parse` can read. `say` tells what to write instead of, for example, a number."""

    def is_text(value: Any) -> Any:
        if isinstance(value, (bool, int, float)):
            raise ValueError(f"{str(value).lower()} must be text: {say}")  # noqa: TRY004 - pydantic's way
        return value

    def check(text: str) -> str:
        try:
            parse(text)
        except InvalidValue as error:
            raise ValueError(error.message) from None
        return text

    return BeforeValidator(is_text), AfterValidator(check)


def _positive(text: str) -> str:
    if not scalars.parse_duration(text):
        raise InvalidValue("", f"{text!r} must be longer than nothing: {scalars.SAY_DURATION}")
    return text


def _between(low: float, high: float, say: str) -> Any:
    def check(text: str) -> None:
        try:
            share = scalars.parse_percent(text)
        except InvalidValue:
            raise InvalidValue("", f"{text!r} is not a percentage: {say}") from None
        if not low < share < high:
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
    str,
    *_checked(scalars.parse_duration, scalars.SAY_DURATION),
    bounded_string(24, Rule(_IS_DURATION, scalars.SAY_DURATION)),
]
"""`30m`; `0s` is allowed."""

PositiveDuration = Annotated[
    str,
    *_checked(_positive, scalars.SAY_DURATION),
    bounded_string(24, Rule(f"{_IS_DURATION} && duration(self) > duration('0s')", scalars.SAY_DURATION + "; not 0")),
]
"""`30m`; not `0s`."""

Limit = Annotated[
    str,
    *_checked(_between(0, 1, SAY_LIMIT), SAY_LIMIT),
    bounded_string(12, Rule(f"{_IS_PERCENT} && {_PERCENT_NUMBER} > 0.0 && {_PERCENT_NUMBER} < 100.0", SAY_LIMIT)),
]
"""A share of bad events, `5%`."""

RiskShare = Annotated[
    str,
    *_checked(_between(0, 0.5, SAY_RISK), SAY_RISK),
    bounded_string(12, Rule(f"{_IS_PERCENT} && {_PERCENT_NUMBER} > 0.0 && {_PERCENT_NUMBER} < 50.0", SAY_RISK)),
]
"""A risk that the team accepts, `5%`."""

Ratio = Annotated[
    str,
    *_checked(_above_one, scalars.SAY_RATIO),
    bounded_string(8, Rule(f"self.matches('{scalars.RATIO}') && double(self) > 1.0", scalars.SAY_RATIO + ", above 1")),
]
"""How many times the stable version's share the candidate's may be."""

Date = Annotated[
    str,
    *_checked(scalars.parse_time, scalars.SAY_DATE),
    bounded_string(
        40,
        Rule(
            f"self.matches('{scalars.DATE}') && timestamp(self) > timestamp('2000-01-01T00:00:00Z')", scalars.SAY_DATE
        ),
    ),
]
"""RFC 3339 with offset, as the user wrote it."""


def _no_other_number(value: Any) -> Any:
    if isinstance(value, (bool, float)):
        raise ValueError(f"{value!r} is not a quantity: {scalars.SAY_QUANTITY}; with a fraction in quotes")  # noqa: TRY004 - pydantic's way
    return value


def _quantity(value: int | str) -> int | str:
    try:
        scalars.parse_quantity(value)
    except InvalidValue as error:
        raise ValueError(error.message) from None
    return value


Quantity = Annotated[
    int | str,
    BeforeValidator(_no_other_number),
    AfterValidator(_quantity),
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


def _whole_number(value: Any) -> Any:
    # pydantic would read "5" and true as numbers; the apiserver does not.
    if isinstance(value, (bool, str)):
        raise ValueError(f"{value!r} must be a whole number, without quotes")  # noqa: TRY004 - pydantic's way
    return value


def whole(low: int, high: int) -> tuple[Any, ...]:
    """For `Annotated[int, *whole(...)]`: a whole number from `low` to `high`."""
    return Field(ge=low, le=high), BeforeValidator(_whole_number)


def text(maximum: int, pattern: str, say: str, letters: str = "") -> tuple[Any, ...]:
    """For `Annotated[str, *text(...)]`: a text of one form, refused in words rather than with a regular expression.

    `pattern` must mean the same to RE2 and to Python; neither it nor `say` may hold a quote. With `letters`, the characters that may stand in it
    as a class without brackets (`a-z0-9`), every other one is named: a letter of another alphabet may look like the right one.
    """

    def check(value: str) -> None:
        if not re.match(pattern, value) or value.endswith("\n"):
            odd = [c for c in dict.fromkeys(value) if letters and not re.match(f"[{letters}]", c)]
            named = ", ".join(f"{c!r} ({unicodedata.name(c, f'U+{ord(c):04X}')})" for c in odd)
            raise InvalidValue("", f"{value!r} is not possible here: {say}" + (f"; not {named}" if named else ""))

    odd = f"self.split('').filter(c, !c.matches('[{letters}]'))"
    hint = f"self.matches('^[{letters}]*$') ? '' : '; not %s'.format([{odd}])"
    naming = f"'%s%s'.format(['{say}', {hint}])"
    return (
        Field(min_length=1, max_length=maximum),  # first, so that it is said of a text, not of a list
        *_checked(check, f"put it in quotes, and {say}"),
        Rule(f"self.matches('{pattern}')", say, naming if letters else None),
    )


LABEL = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
SUBDOMAIN = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
SAY_LABEL = "write lower-case letters, digits and -, with a letter or digit at both ends"
SAY_SUBDOMAIN = "write lower-case letters, digits, - and ., with a letter or digit at both ends"

ObjectName = Annotated[str, *text(253, SUBDOMAIN, SAY_SUBDOMAIN)]
"""The name of another object in the cluster."""
Label = Annotated[str, *text(63, LABEL, SAY_LABEL)]
VersionName = Annotated[str, *text(20, LABEL, SAY_LABEL, "-a-z0-9")]
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
