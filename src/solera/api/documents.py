"""Reads a file of manifests as kubectl does, but tells of what kubectl passes over in silence."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import yaml
from yaml.constructor import ConstructorError

from solera.api.errors import InvalidValue


def documents(text: str) -> list[Any]:
    """The documents of a YAML file, empty ones left out. Dates stay the text that they are, as in the apiserver.

    Raises:
        InvalidValue: this is not YAML, or a field stands twice (kubectl would take the last one). `path` is line and column.
    """
    try:
        return [document for document in yaml.load_all(text, Loader=_Loader) if document is not None]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise InvalidValue(place, _sentence(error, text, mark.index if mark else 0)) from None
    except yaml.YAMLError as error:
        raise InvalidValue("", f"this is not YAML: {' '.join(str(error).split())}") from None


class _Loader(yaml.SafeLoader):
    """Safe, without dates, and with every field once."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if isinstance(key, yaml.ScalarNode) and key.value in seen and not key.tag.endswith(":merge"):
                raise ConstructorError(None, None, f"{key.value} is there twice: write it once", key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, expression) for tag, expression in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _sentence(error: yaml.MarkedYAMLError, text: str, index: int) -> str:
    if isinstance(error, ConstructorError):
        return str(error.problem)
    if text[index : index + 1] == "\t":
        return "a tab cannot indent YAML: write spaces"
    return f"this is not YAML: {error.problem or error.context}"
