"""Does a live object still hold what we want in it? Only then is nothing written.

The apiserver adds defaults and other writers add their own fields, so the comparison asks whether everything that we want is there,
not whether the two are equal. What we no longer want is noticed through the fingerprint of our last apply, kept as an annotation.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from solera.api.errors import InvalidValue
from solera.api.scalars import parse_quantity

APPLIED_ANNOTATION = "solera.dev/applied"

_QUANTITY_PARENTS = frozenset({"requests", "limits"})
_WHOLE = frozenset({"spec.selector"})
"""A selector is written as a whole, and one label more in it selects no pod any more."""
_QUANTITY_FIELDS = frozenset({"sizeLimit", "storage"})


def fingerprint(manifest: Mapping[str, Any]) -> str:
    """16 hexadecimal digits that change with any part of a manifest."""
    return hashlib.sha256(orjson.dumps(manifest, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


def stamped(manifest: dict[str, Any]) -> dict[str, Any]:
    """The manifest with its own fingerprint as an annotation."""
    metadata = manifest.get("metadata") or {}
    annotations = {**(metadata.get("annotations") or {}), APPLIED_ANNOTATION: fingerprint(manifest)}
    return {**manifest, "metadata": {**metadata, "annotations": annotations}}


def difference(desired: Any, live: Any, path: str = "") -> str | None:
    """The path of the first thing that is wanted and not there; None when the live object holds all of it."""
    if desired == live:  # most parts are as they were written: no need to walk them
        return None
    if isinstance(desired, Mapping):
        if not isinstance(live, Mapping):
            return None if not desired and live is None else path
        if path in _WHOLE and live.keys() - desired.keys():
            return path
        for key, value in desired.items():
            at = f"{path}.{key}" if path else str(key)
            if path.rsplit(".", 1)[-1] in _QUANTITY_PARENTS or key in _QUANTITY_FIELDS:
                if not _same_quantity(value, live.get(key)):
                    return at
            elif (found := difference(value, live.get(key), at)) is not None:
                return found
        return None
    if isinstance(desired, Sequence) and not isinstance(desired, str):
        if not desired and live is None:
            return None  # the apiserver drops empty lists
        if not isinstance(live, Sequence) or isinstance(live, str) or len(live) != len(desired):
            return path
        for index, (want, have) in enumerate(zip(desired, live, strict=True)):
            if (found := difference(want, have, f"{path}[{index}]")) is not None:
                return found
        return None
    if live is None and desired in ("", 0, False):
        return None  # the apiserver leaves out empty values of optional fields
    return path


def _same_quantity(one: Any, other: Any) -> bool:
    if isinstance(one, Mapping | Sequence) and not isinstance(one, str):
        return difference(one, other) is None
    if one is None or other is None:
        return one is other
    try:
        return parse_quantity(one) == parse_quantity(other)
    except InvalidValue:
        return str(one) == str(other)
