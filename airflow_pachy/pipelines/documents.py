"""Pipeline spec files as decoded documents: JSON or YAML, one or several in a file, or a list of them.

JSON is tried first because JSON documents written one after the other, as Pachyderm's tools exported
them, are not YAML.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from airflow_pachy.errors import InvalidSpec


def read_documents(source: str | bytes | Mapping[str, Any] | Path) -> tuple[list[Mapping[str, Any]], str]:
    """The documents in `source`, and what to call it in errors. Raises `InvalidSpec`, `FileNotFoundError`."""
    if isinstance(source, Mapping):
        return [source], "pipeline spec"
    origin = str(source) if isinstance(source, Path) else "pipeline spec"
    text = source.read_bytes() if isinstance(source, Path) else source
    if isinstance(text, bytes):
        try:
            text = text.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise InvalidSpec(f"{origin}: not UTF-8 text ({error}); save it as UTF-8") from error
    documents = _flatten(
        _read_json(text) if text.lstrip()[:1] in ("{", "[") else _read_yaml(text, origin), text, origin
    )
    if not documents:
        raise InvalidSpec(f"{origin}: there is no pipeline in it; write at least 'pipeline', 'transform' and 'input'")
    return documents, origin


def _read_json(text: str) -> list[Any] | None:
    """JSON documents separated by white space, or None if that is not what it is."""
    decoder = json.JSONDecoder()
    found: list[Any] = []
    position = 0
    while position < len(text):
        if text[position].isspace():
            position += 1
            continue
        try:
            document, position = decoder.raw_decode(text, position)
        except ValueError:
            return None
        found.append(document)
    return found


def _read_yaml(text: str, origin: str) -> list[Any]:
    try:
        return [document for document in yaml.safe_load_all(text) if document is not None]
    except yaml.YAMLError as error:
        raise InvalidSpec(f"{origin}: neither JSON nor YAML: {error}") from error


def _flatten(found: list[Any] | None, text: str, origin: str) -> list[Mapping[str, Any]]:
    documents: list[Mapping[str, Any]] = []
    # Flow-style YAML starts like JSON, with comments and trailing commas.
    for document in _read_yaml(text, origin) if found is None else found:
        for item in document if isinstance(document, list) else [document]:
            if not isinstance(item, Mapping):
                raise InvalidSpec(
                    f"{origin}: a pipeline spec is an object with fields, found {type(item).__name__}: {item!r:.60}"
                )
            documents.append(item)
    return documents
