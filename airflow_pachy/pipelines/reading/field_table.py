"""The table of all fields, read from `fields.txt` beside this module."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from airflow_pachy.pipelines.reading.fields import Field, Treatment

_TABLE = Path(__file__).with_name("fields.txt")


@dataclass(frozen=True, slots=True)
class Section:
    """Fields that belong together, with a heading."""

    title: str
    fields: tuple[Field, ...]


@cache
def sections() -> tuple[Section, ...]:
    """The whole table in its order."""
    found: list[tuple[str, list[Field]]] = []
    for line in _TABLE.read_text(encoding="utf-8").splitlines():
        if line.startswith("== "):
            found.append((line[3:].strip(), []))
        elif line and not line.startswith("#"):
            found[-1][1].append(_field(line))
    return tuple(Section(title, tuple(rows)) for title, rows in found)


@cache
def all_fields() -> tuple[Field, ...]:
    """Every field, without sections."""
    return tuple(row for section in sections() for row in section.fields)


def _field(line: str) -> Field:
    path, versions, fate, note = (cell.strip() for cell in line.split("|", 3))
    word, *options = fate.split()
    named = dict(zip(options[::2], options[1::2], strict=True))
    return Field(
        path,
        versions,
        Treatment.MAPPED if word == "dropped" else Treatment(word),
        note,
        becomes=named.get("as", ""),
        dropped=word == "dropped",
        only=named.get("only", ""),
    )
