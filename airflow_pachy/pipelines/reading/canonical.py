"""From the names of any version to one vocabulary, and the check that every field is known.

A field that is silently ignored is a pipeline that silently does something else, so an unknown one is an error, and so
is one that cannot be done here unless it asks for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from airflow_pachy.pipelines.reading.document import Document, FieldPath, Mark
from airflow_pachy.pipelines.reading.fields import Node, Treatment, vocabulary

if TYPE_CHECKING:
    from airflow_pachy.pipelines.reading.fields import Field

_WRAPPER = ("createPipelineRequest", "create_pipeline_request")


@dataclass(frozen=True, slots=True)
class Finding:
    """One field that a document gives, as the author wrote its path."""

    path: FieldPath
    field: Field
    value: Any
    mark: Mark | None


@dataclass(slots=True)
class Canonical:
    """A document in our vocabulary, nulls kept; `problems` are whole error messages."""

    document: Document
    findings: list[Finding] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def canonical(document: Document) -> Canonical:
    """The document with the names of our models. `problems` tells of every unknown or refused field."""
    source = _unwrapped(document)
    walk = _Walk(source)
    value = walk.mapping(source.value, (), (), vocabulary())
    if source.marks and () in source.marks:
        walk.marks.setdefault((), source.marks[()])
    found = Document(value, document.origin, walk.marks)
    return Canonical(found, walk.findings, walk.problems)


def asks_for_nothing(value: Any) -> bool:
    """Exported specs carry every field with its zero value; such a field means what an absent one does."""
    if isinstance(value, Mapping):
        return all(map(asks_for_nothing, value.values()))
    return value in (None, False, "", "0", 0, [], "0s")


def _unwrapped(document: Document) -> Document:
    """Defaults are inside `createPipelineRequest`, much of what exports hold is inside `details`."""
    for name in (*_WRAPPER, "details"):
        inner = document.value.get(name)
        if isinstance(inner, Mapping):
            rest = {key: item for key, item in document.value.items() if key != name}
            marks = {path: mark for path, mark in document.marks.items() if path[:1] != (name,)}
            marks |= {path[1:]: mark for path, mark in document.marks.items() if path[:1] == (name,) and len(path) > 1}
            return _unwrapped(Document({**rest, **inner}, document.origin, marks))
    return document


@dataclass(slots=True)
class _Walk:
    source: Document
    findings: list[Finding] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    marks: dict[FieldPath, Mark] = field(default_factory=dict)

    def mapping(self, value: Mapping[str, Any], path: FieldPath, target: FieldPath, node: Node) -> dict[str, Any]:
        """The object below `path` of the source, which is `target` in the result."""
        result: dict[str, Any] = {}
        for key, item in value.items():
            name, below = str(key), (*path, str(key))
            child = node.child(name)
            if child is None:
                self._problem(below, self._unknown(name, path, node))
                continue
            row = child.field
            if row is not None and not self._keeps(row, item, below):
                continue
            new = (row.becomes if row else "") or child.name
            if new in result:
                self._problem(below, f"{name} is another name of {new}; keep only one of them")
                continue
            result[new] = self._value(item, below, (*target, new), child)
        return result

    def _value(self, item: Any, path: FieldPath, target: FieldPath, node: Node) -> Any:
        if (mark := self.source.marks.get(path)) is not None:
            self.marks[target] = mark
        if not node.children or node.kind == "map":
            return item
        if isinstance(item, Mapping):
            return self.mapping(item, path, target, node)
        if isinstance(item, list):
            return [self._value(one, (*path, place), (*target, place), node) for place, one in enumerate(item)]
        return item

    def _keeps(self, row: Field, item: Any, path: FieldPath) -> bool:
        """Whether the field goes into the result; notes it, and what is wrong with it."""
        if item is None:
            return row.treatment is not Treatment.REFUSED and not row.dropped
        if row.treatment is Treatment.REFUSED:
            if not asks_for_nothing(item):
                self._note(path, row, item)
                self._problem(path, f"{row.plain_path!r} is not supported: {row.note}")
            return False
        if row.dropped and asks_for_nothing(item):
            return False
        if not row.allows(item):
            named = item.get("name") if isinstance(item, Mapping) else item
            self._problem(path, f"{row.plain_path!r} cannot be {named!r}: {row.note}")
        self._note(path, row, item)
        return not row.dropped

    def _note(self, path: FieldPath, row: Field, value: Any) -> None:
        self.findings.append(Finding(path, row, value, self.source.mark(path)))

    def _problem(self, path: FieldPath, message: str) -> None:
        self.problems.append(self.source.error(path, message))

    def _unknown(self, name: str, path: FieldPath, node: Node) -> str:
        if not path and name in ("input_branch", "name", "repo"):
            return f"unknown field {name!r} at the top of a spec; it belongs into 'pipeline' or 'input'"
        near = get_close_matches(name.lower(), node.children, n=1)
        if near:
            return f"unknown field {name!r}, did you mean {near[0]!r}?"
        elsewhere = _paths_to(name, vocabulary(), "")
        if elsewhere:
            return f"unknown field {name!r} here; there is {' and '.join(elsewhere[:2])}"
        return f"unknown field {name!r}; known here: {', '.join(sorted(node.children))}"


def _paths_to(name: str, node: Node, above: str) -> list[str]:
    """Where else a field of this name stands, the shallowest first; inputs inside inputs are not entered."""
    found = []
    for child in node.children.values():
        path = f"{above}{child.name}"
        if child.name == name:
            found.append(path)
        if child.kind != "list" or above != "input.":
            found += _paths_to(name, child, f"{path}.")
    return sorted(found, key=lambda path: path.count("."))
