"""Manifests from files, folders and standard input: each document with the name of its place, other kinds apart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from solera.api.documents import documents
from solera.api.errors import FieldError
from solera.api.llmdeployment import KIND
from solera.api.metadata import GROUP

STDIN = "-"
SUFFIXES = frozenset({".yaml", ".yml", ".json"})


class MissingFileError(Exception):
    """A path that was named is not there, or cannot be read; the text says which and why."""


@dataclass(frozen=True, slots=True)
class Document:
    """One document. `place` is `chat.yaml`, with `#2` behind it when the file has several, `[1]` in a list."""

    place: str
    content: Any

    @property
    def ours(self) -> bool:
        """Is it an LLMDeployment, or meant to be one? What has no kind at all is looked at, and found wrong."""
        if not isinstance(self.content, Mapping):
            return True
        kind, version = self.content.get("kind"), str(self.content.get("apiVersion") or "")
        return kind in {KIND, None} or version.partition("/")[0] == GROUP

    @property
    def kind(self) -> str:
        """The kind of another object."""
        return str(self.content.get("kind")) if isinstance(self.content, Mapping) else "?"

    @property
    def name(self) -> str:
        """The name of the object, as far as it has one."""
        return self._metadata("name") or "?"

    @property
    def namespace(self) -> str | None:
        """The namespace that is written; a manifest may leave it to kubectl."""
        return self._metadata("namespace")

    def _metadata(self, field: str) -> str | None:
        meta = self.content.get("metadata") if isinstance(self.content, Mapping) else None
        value = meta.get(field) if isinstance(meta, Mapping) else None
        return str(value) if value else None


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A file that is no YAML; `where` is line and column, as far as they are known."""

    place: str
    where: str
    message: str


def read_all(paths: Iterable[str], stdin: str | None) -> Iterator[Document | Unreadable]:
    """Every document of these files, of the folders below them, and of `stdin` for `-`.

    Raises:
        MissingFileError: a path is not there, or cannot be read.
    """
    for path in paths:
        if path == STDIN:
            yield from _split("standard input", stdin or "")
            continue
        for file in _files(Path(path)):
            try:
                text = file.read_text(encoding="utf-8")
            except UnicodeDecodeError as error:
                yield Unreadable(str(file), "", f"this is not UTF-8: {error.reason} at byte {error.start}")
            except OSError as error:
                raise MissingFileError(f"cannot read {file}: {error.strerror or error}") from None
            else:
                yield from _split(str(file), text)


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        inside = (f for f in path.rglob("*") if f.suffix in SUFFIXES and f.is_file())
        return sorted(f for f in inside if not any(part.startswith(".") for part in f.relative_to(path).parts))
    if not path.exists():
        raise MissingFileError(f"there is no file or folder {path}")
    return [path]


def _split(place: str, text: str) -> Iterator[Document | Unreadable]:
    try:
        found = documents(text)
    except FieldError as error:
        yield Unreadable(place, error.path, error.message)
        return
    for number, content in enumerate(found, 1):
        here = f"{place}#{number}" if len(found) > 1 else place
        items = content.get("items") if isinstance(content, Mapping) else None
        if isinstance(items, list) and str(content.get("kind") or "").endswith("List"):
            yield from (Document(f"{here}[{index}]", item) for index, item in enumerate(items))
        else:
            yield Document(here, content)
