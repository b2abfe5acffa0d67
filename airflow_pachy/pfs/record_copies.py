"""Where the copy of a record lies in the bucket, and what it looks like; `record_mirrors` keeps copies up to date."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow_pachy.errors import Corrupt

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FORMAT = 1
PREFIX = "refs/"


def record_key(kind: str, key: Sequence[str]) -> str:
    """Where the copy of a record lies."""
    return f"{PREFIX}{kind}/{'/'.join(quote(str(part), safe='') for part in key)}.json"


def encode_record(document: Mapping[str, Any]) -> bytes:
    """The body of a copy."""
    return json.dumps(document, ensure_ascii=False, indent=1).encode()


def decode_record(body: bytes, where: str, kind: str = "record") -> dict[str, Any]:
    """What a copy says; `where` and `kind` name it in errors. Raises `Corrupt`."""
    try:
        document = json.loads(body)
    except ValueError as error:
        raise Corrupt(f"{where} is not the JSON copy of a {kind}: {error}") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise Corrupt(f"{where} has an unknown format; this version reads format {FORMAT}")
    return document
