"""The names that the operator's configuration knows, as a JSON schema, so that Helm refuses a misspelt one.

``python -m unit.chart_shape`` (in tests/) writes them into the chart's values.schema.json. Values are checked by the operator itself.
"""

from __future__ import annotations

import json
import typing
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from solera.config import Config

CHART = Path(__file__).parents[2] / "charts" / "solera"
SCHEMA = CHART / "values.schema.json"


def models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in typing.get_args(annotation) for model in models_in(inner)]


def shape(model: type[BaseModel]) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        found = models_in(field.annotation)
        inner = shape(found[0]) if found else {}
        if found and typing.get_origin(field.annotation) is tuple:
            inner = {"type": ["array", "null"], "items": inner}
        properties[field.alias or name] = inner
    return {"type": ["object", "null"], "additionalProperties": False, "properties": properties}


def main() -> None:
    schema = json.loads(SCHEMA.read_text())
    schema["properties"]["config"] = shape(Config) | {"type": "object"}
    SCHEMA.write_text(json.dumps(schema, indent=2) + "\n")


if __name__ == "__main__":
    main()
