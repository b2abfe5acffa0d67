"""A decoded spec document that remembers where each of its fields was written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

FieldPath = tuple[str | int, ...]
"""Where a value is in a document: `("transform", "secrets", 0, "name")`."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a text, both counted from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Document:
    """One decoded document. `origin` names its source in errors; `marks` has the place of each field, if known."""

    value: Mapping[str, Any]
    origin: str = "pipeline spec"
    marks: Mapping[FieldPath, Mark] = field(default_factory=dict)

    def mark(self, path: FieldPath) -> Mark | None:
        """The place of the field, or of the nearest thing around it that has one."""
        for end in range(len(path), -1, -1):
            if (found := self.marks.get(path[:end])) is not None:
                return found
        return None

    def where(self, path: FieldPath = ()) -> str:
        """`edges.json:12` or only the origin: the beginning of an error message."""
        mark = self.mark(path)
        return f"{self.origin}:{mark.line}" if mark else self.origin

    @property
    def label(self) -> str:
        """`pipeline 'edges'`: what people call it."""
        pipeline = self.value.get("pipeline")
        name = pipeline.get("name") if isinstance(pipeline, Mapping) else None
        return f"pipeline {name!r}" if name else "a pipeline without a name"

    def error(self, path: FieldPath, message: str) -> str:
        """One line for people: file and line, pipeline, field, message."""
        place = f"{dotted(path)}: " if path else ""
        return f"{self.where(path)}, {self.label}: {place}{message}"


def dotted(path: FieldPath) -> str:
    """`transform.secrets[0].name`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
