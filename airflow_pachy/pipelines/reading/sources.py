"""Pipeline spec files as decoded documents: JSON, YAML or Jsonnet, one or several in a file, or a list of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airflow_pachy.errors import InvalidSpec
from airflow_pachy.pipelines.reading.document import Document, FieldPath, Mark
from airflow_pachy.pipelines.reading.json_text import looks_like_json, read_json
from airflow_pachy.pipelines.reading.jsonnet_text import render_jsonnet
from airflow_pachy.pipelines.reading.yaml_text import read_yaml

SUFFIXES = (".json", ".jsonc", ".json5", ".yaml", ".yml", ".jsonnet")
"""The names under which spec files are looked for in a folder."""

_YAML = (".yaml", ".yml")
_JSON = (".json", ".jsonc", ".json5")

SpecSource = str | bytes | Mapping[str, Any] | Path


def read_documents(
    source: SpecSource, arguments: Mapping[str, str] | None = None, *, origin: str | None = None
) -> list[Document]:
    """The documents in `source`; `arguments` are those of a Jsonnet template.

    A template is a file whose name ends in `.jsonnet`, or a text of no such name that comes with arguments; to others
    arguments mean nothing.
    Raises `InvalidSpec`, `FileNotFoundError`.
    """
    if isinstance(source, Mapping):
        return [Document(source, origin or "pipeline spec")]
    path = source if isinstance(source, Path) else None
    name = origin or (str(path) if path else "pipeline spec")
    text = _text(source, name)
    if path.suffix == ".jsonnet" if path and path.suffix in SUFFIXES else arguments:
        # A place in the rendered text would send the author to a line that is not in the template.
        decoded: list[tuple[Any, dict[FieldPath, Mark]]] = [(render_jsonnet(path, text, arguments or {}, name), {})]
    else:
        decoded = _decode(text, name, path.suffix if path else "")
    documents = [document for value, marks in decoded for document in _flatten(value, marks, name)]
    if not documents:
        raise InvalidSpec(f"{name}: there is no pipeline in it; write at least 'pipeline', 'transform' and 'input'")
    return documents


def _text(source: str | bytes | Path, origin: str) -> str:
    content = source.read_bytes() if isinstance(source, Path) else source
    if isinstance(content, str):
        return content.removeprefix("\ufeff")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidSpec(f"{origin}: not UTF-8 text ({error}); save it as UTF-8") from error


def _decode(text: str, origin: str, suffix: str) -> list[tuple[Any, dict[FieldPath, Mark]]]:
    if suffix in _YAML or not (suffix in _JSON or looks_like_json(text)):
        try:
            return read_yaml(text, origin)
        except InvalidSpec:
            # Kept tools write JSON with tabs or // comments into files named .yaml.
            if looks_like_json(text):
                return read_json(text, origin)
            raise
    try:
        return read_json(text, origin)
    except InvalidSpec as error:
        if suffix == ".json":
            raise
        # Flow-style YAML starts like JSON, without the quotes; if that is no better, JSON was meant.
        try:
            return read_yaml(text, origin)
        except InvalidSpec:
            raise error from None


def _flatten(value: Any, marks: dict[FieldPath, Mark], origin: str) -> list[Document]:
    """One document for an object, one for each item of a list of them."""
    documents = []
    for place, item in enumerate(value) if isinstance(value, list) else [(None, value)]:
        start: FieldPath = () if place is None else (place,)
        own = marks if place is None else {path[1:]: mark for path, mark in marks.items() if path[:1] == start}
        if not isinstance(item, Mapping):
            at = own.get(())
            where = f"{origin}:{at.line}" if at else origin
            raise InvalidSpec(
                f"{where}: a pipeline spec is an object with fields, found {type(item).__name__}: {item!r:.60}"
            )
        documents.append(Document(item, origin, own))
    return documents
