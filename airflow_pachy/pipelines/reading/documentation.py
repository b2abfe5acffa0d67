"""The table of fields as Markdown, and its place in docs/pipeline-spec.md.

    python -m airflow_pachy.pipelines.reading.documentation docs/pipeline-spec.md

writes it anew; a test fails when that was forgotten.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_pachy.pipelines.reading.field_table import sections

if TYPE_CHECKING:
    from airflow_pachy.pipelines.reading.fields import Field

BEGIN = "<!-- the tables below are written by airflow_pachy.pipelines.reading.documentation -->\n"
END = "<!-- end of the tables -->\n"


def field_tables() -> str:
    """A section with a table for each section of `fields.txt`."""
    parts = []
    for section in sections():
        rows = "".join(map(_row, section.fields))
        parts.append(f"\n## {section.title}\n\n| field | versions | | |\n|---|---|---|---|\n{rows}")
    return "".join(parts) + "\n"


def with_tables(page: str) -> str:
    """The page with the tables between its marks as they should be. Raises `ValueError` when it has no marks."""
    before, _, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"the page has no lines {BEGIN.strip()!r} and {END.strip()!r}")
    return f"{before}{BEGIN}{field_tables()}{END}{after}"


def _row(field: Field) -> str:
    fate = field.fate
    note = field.note.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")
    return f"| `{field.path}` | {field.versions} | {fate} | {note} |\n"


if __name__ == "__main__":
    place = Path(sys.argv[1])
    place.write_text(with_tables(place.read_text(encoding="utf-8")), encoding="utf-8")
