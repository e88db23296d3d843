"""docs/configuration.md names every field of the configuration, with its default, and none that does not exist."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from solera.config import Config
from solera.operator.telemetry import Telemetry

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"


def fields(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, str]]:
    for field in model.model_fields.values():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from fields(kind, f"{path}{field.alias}.")
            continue
        yield f"{path}{field.alias}", field.description or ""
        for inner in typing.get_args(kind):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                yield from fields(inner, f"{path}{field.alias}[].")


def test_the_page_lists_exactly_the_fields_that_there_are() -> None:
    listed = dict(re.findall(r"^\| `([^`]+)` \| [^|]+ \| (.+) \|$", PAGE.read_text(), flags=re.MULTILINE))
    assert listed == dict(fields(Config))


def test_the_page_lists_exactly_the_metrics_that_there_are() -> None:
    telemetry = Telemetry()
    telemetry.watch_states(lambda: ())
    families = [f for f in telemetry.registry.collect() if f.name.startswith("solera_")]
    listed = re.findall(r"^\| `(solera_\w+)[`{]", PAGE.read_text(), flags=re.MULTILINE)
    assert sorted(listed) == sorted(f.name + "_total" * (f.type == "counter") for f in families)
