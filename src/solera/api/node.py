"""A value of a manifest together with its path: what the checks walk over, whether or not the rest of the manifest makes sense."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Node:
    """One value and where it stands. What is absent, null or of another type is an empty node, never an error.

    Attributes:
        path: as in YAML, for example `spec.versions[0].model`; empty for the whole object.
        value: what stands there; None when there is nothing.
    """

    path: str
    value: Any

    def at(self, *fields: str) -> Node:
        """The field of that name, or the field of a field."""
        node = self
        for field in fields:
            value = node.value.get(field) if isinstance(node.value, Mapping) else None
            node = Node(f"{node.path}.{field}" if node.path else field, value)
        return node

    def items(self) -> Iterator[Node]:
        """The items of a list."""
        if isinstance(self.value, Sequence) and not isinstance(self.value, str):
            for i, value in enumerate(self.value):
                yield Node(f"{self.path}[{i}]", value)

    @property
    def there(self) -> bool:
        """Something stands there."""
        return self.value is not None

    @property
    def text(self) -> str | None:
        """The value if it is a text."""
        return self.value if isinstance(self.value, str) else None

    @property
    def number(self) -> int | None:
        """The value if it is a whole number."""
        return self.value if isinstance(self.value, int) and not isinstance(self.value, bool) else None
