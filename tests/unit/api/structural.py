"""Judges a value as an apiserver would by a structural schema (CEL aside), and names what it would silently drop."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from solera.api import crd

STATUS = crd.llmdeployment()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
TYPES = {"string": str, "object": dict, "array": list, "boolean": bool, "integer": int}


def faults(node: dict[str, Any], value: Any, path: str = "status") -> Iterator[str]:
    """What is wrong with the value; an unknown field is a fault, since the apiserver would forget it."""
    if not isinstance(value, TYPES[node["type"]]) or (node["type"] == "integer" and isinstance(value, bool)):
        yield f"{path}: {value!r} is no {node['type']}"
        return
    if "enum" in node and value not in node["enum"]:
        yield f"{path}: {value!r} is none of {node['enum']}"
    if "pattern" in node and not re.search(node["pattern"], value):
        yield f"{path}: {value!r} does not match {node['pattern']}"
    if isinstance(value, str) and not node.get("minLength", 0) <= len(value) <= node.get("maxLength", len(value)):
        yield f"{path}: {len(value)} characters"
    if isinstance(value, int) and not node.get("minimum", value) <= value <= node.get("maximum", value):
        yield f"{path}: {value} is out of bounds"
    if isinstance(value, list):
        if len(value) > node["maxItems"]:
            yield f"{path}: {len(value)} items"
        for key in node.get("x-kubernetes-list-map-keys", ()):
            names = [item.get(key) for item in value]
            if len(set(names)) < len(names):
                yield f"{path}: {key} twice in {names}"
        for i, item in enumerate(value):
            yield from faults(node["items"], item, f"{path}[{i}]")
    if isinstance(value, dict):
        properties = node["properties"]
        for name in node.get("required", ()):
            if name not in value:
                yield f"{path}.{name}: is required"
        for name, item in value.items():
            if name in properties:
                yield from faults(properties[name], item, f"{path}.{name}")
            else:
                yield f"{path}.{name}: would be dropped"
