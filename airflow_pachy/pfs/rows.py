"""Rows of the database: in pages, and as JSON documents and back, for copies in the bucket and for archives."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, or_

from airflow_pachy.metadata.types import UtcDateTime

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy import ColumnElement, Table
    from sqlalchemy.orm import InstrumentedAttribute

    from airflow_pachy.pfs.root import Root

_PAGE = 2000


def row_document(table: Table, row: Mapping[str, Any]) -> dict[str, Any]:
    """Column values by name; times in ISO 8601 with an offset."""
    return {column.name: _plain(row[column.name]) for column in table.columns}


def row_values(table: Table, document: Mapping[str, Any]) -> dict[str, Any]:
    """What to insert into the table; a column that the document does not have is null, or has its default."""
    values: dict[str, Any] = {}
    for column in table.columns:
        if column.name in document or column.nullable:
            value = document.get(column.name)
            if value is not None and isinstance(column.type, UtcDateTime):
                value = datetime.fromisoformat(value)
            values[column.name] = value
    return values


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def pages(root: Root, query: Any, keys: tuple[InstrumentedAttribute[Any], ...]) -> Iterator[Any]:
    """Rows of a query by its unique keys, which must be its first columns, page by page."""
    after: tuple[Any, ...] | None = None
    while True:
        page = query.order_by(*keys).limit(_PAGE)
        if after is not None:
            page = page.where(_behind(keys, after))
        with root.metadata.reader() as session:
            rows = session.execute(page).all()
        yield from rows
        if len(rows) < _PAGE:
            return
        after = tuple(rows[-1][: len(keys)])


def _behind(keys: tuple[InstrumentedAttribute[Any], ...], last: tuple[Any, ...]) -> ColumnElement[bool]:
    """Keys that sort after the last one; spelled out, so that each value has its column's type on every backend."""
    cases = []
    for place, (key, value) in enumerate(zip(keys, last, strict=True)):
        same = [other == seen for other, seen in zip(keys[:place], last[:place], strict=True)]
        cases.append(and_(*same, key > value))
    return or_(*cases)
