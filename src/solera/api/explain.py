"""Turns pydantic's findings into a YAML path and a sentence that says what to write instead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

# Branches that pydantic names in a location although they are no field (the two halves of int | str).
_NOT_A_FIELD = frozenset({"int", "str"})


def yaml_path(location: tuple[int | str, ...]) -> str:
    """`("spec", "versions", 0, "model")` -> `spec.versions[0].model`."""
    out = ""
    for part in location:
        if part in _NOT_A_FIELD:
            continue
        out += f"[{part}]" if isinstance(part, int) else f".{part}" if out else str(part)
    return out


def in_user_words(error: ValidationError) -> tuple[str, str]:
    """Path and message of the first finding; how many more there are is added."""
    (path, message), *others = all_in_user_words(error)
    return path, f"{message} (and {len(others)} more)" if others else message


def all_in_user_words(error: ValidationError) -> list[tuple[str, str]]:
    """Path and message of every finding, one for each field (of a union, pydantic tells the findings of all its halves)."""
    found: dict[str, str] = {}
    for finding in error.errors(include_url=False):
        found.setdefault(yaml_path(finding["loc"]), _sentence(finding))
    return list(found.items())


def _sentence(finding: ErrorDetails) -> str:
    kind, context, value = finding["type"], finding.get("ctx", {}), finding["input"]
    if value is None:
        return "is required"
    match kind:
        case "missing":
            return "is required"
        case "extra_forbidden":
            return "is not a field of this version of the API: check its spelling, or update the operator"
        case "enum" | "literal_error":
            return f"{_short(value)} is not possible here: write {context['expected']}"
        case "string_pattern_mismatch":
            return f"{_short(value)} is not possible here: it must match {context['pattern']}"
        case "string_too_long":
            return f"is too long: at most {context['max_length']} characters"
        case "string_too_short":
            return "must not be empty"
        case "too_long":
            return f"has too many items: at most {context['max_length']}"
        case "too_short":
            return f"has too few items: at least {context['min_length']}"
        case "greater_than_equal":
            return f"{_short(value)} is too small: at least {context['ge']}"
        case "less_than_equal":
            return f"{_short(value)} is too large: at most {context['le']}"
        case "value_error":
            return str(context["error"])
        case "string_type":
            return f"{_short(value)} must be text: put it in quotes"
        case "int_type" | "int_parsing" | "int_from_float":
            return f"{_short(value)} must be a whole number, without quotes"
        case "tuple_type":
            return f"{_short(value)} must be a list"
        case "model_type" | "model_attributes_type" | "dict_type":
            return f"{_short(value)} must be an object with fields"
        case _:
            return finding["msg"]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:79] + "…"
