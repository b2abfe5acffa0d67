"""Copies in the bucket of what SQL knows besides commits: repos, branches, pipelines, jobs.

A copy is written inside the transaction that changes the record, right before it commits and under the locks it
holds, so that the last copy written is the last state. A crash in between leaves a copy of what never was, which the
next change or `pachy fsck --fix` puts right; never does it leave less than SQL had. Copies of deleted records are
deleted behind the transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote, unquote

from sqlalchemy import inspect, select

from airflow_pachy.metadata.changes import KINDS, Key, touched
from airflow_pachy.pfs.record_copies import FORMAT, PREFIX, encode_record, record_key
from airflow_pachy.pfs.rows import pages, row_document

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from sqlalchemy import Table
    from sqlalchemy.orm import Session

    from airflow_pachy.metadata.database import Metadata
    from airflow_pachy.metadata.models import Base
    from airflow_pachy.pfs.objects.store import ObjectStore
    from airflow_pachy.pfs.root import Root

_GONE = "pachy_gone"


def parse_record_key(key: str) -> tuple[str, Key] | None:
    """The record whose copy lies there; None if it is no such name."""
    kind, _, rest = key.removeprefix(PREFIX).removesuffix(".json").partition("/")
    parts = tuple(unquote(part) for part in rest.split("/"))
    return (kind, parts) if kind in KINDS and len(parts) == len(KINDS[kind].key) else None


def record_document(session: Session, kind: str, key: Key) -> dict[str, Any] | None:
    """What the copy of a record says; None if there is no such record."""
    form = KINDS[kind]
    rows = _rows(session, form.model, form.key, key)
    if not rows:
        return None
    parts = {model.__tablename__: _rows(session, model, columns, key) for model, columns in form.parts}
    return {"format": FORMAT, form.model.__tablename__: rows, **parts}


def _rows(session: Session, model: type[Base], columns: Sequence[str], key: Key) -> list[dict[str, Any]]:
    table = table_of(model)
    where = [table.c[name] == _typed(table, name, value) for name, value in zip(columns, key, strict=True)]
    query = select(table).where(*where).order_by(*table.primary_key)
    return [row_document(table, cast("Mapping[str, Any]", row)) for row in session.execute(query).mappings()]


def table_of(model: type[Base]) -> Table:
    """The table of a model."""
    return cast("Table", inspect(model).local_table)


def _typed(table: Table, name: str, value: str) -> Any:
    return int(value) if table.c[name].type.python_type is int else value


def record_keys(root: Root, *, leave_out: Collection[str] = ()) -> Iterator[tuple[str, Key]]:
    """All records that should have a copy. Moves that a commit tells of need none, but may have one."""
    for kind, form in KINDS.items():
        if kind in leave_out:
            continue
        columns = tuple(getattr(form.model, name) for name in form.key)
        for row in pages(root, select(*columns), columns):
            yield kind, tuple(str(part) for part in row)


@dataclass(frozen=True, slots=True)
class RecordMirrors:
    """Keeps the copies in a store up to date with a database."""

    store: ObjectStore
    metadata: Metadata

    def before_commit(self, session: Session) -> None:
        """Write copies of what the transaction has changed."""
        for kind, key in touched(session):
            document = record_document(session, kind, key)
            if document is None:
                session.info.setdefault(_GONE, []).append((kind, key))
            else:
                self.store.put(record_key(kind, key), encode_record(document))

    def after_commit(self, session: Session) -> None:
        """Delete copies of what the transaction has deleted, unless it has been made anew meanwhile."""
        gone: list[tuple[str, Key]] = session.info.pop(_GONE, [])
        if not gone:
            return
        with self.metadata.reader() as own:
            there = {one for one in gone if record_document(own, *one) is not None}
        for kind, key in gone:
            if (kind, key) in there:
                continue
            self.store.delete([record_key(kind, key)])
            for below in _PARTS_OF.get(kind, ()):
                path = "/".join(quote(part, safe="") for part in key)
                self.store.delete([info.key for info in self.store.list_keys(f"{PREFIX}{below}/{path}/")])


# What goes with a record by itself, since the database deletes it without a word.
_PARTS_OF = {"repos": ("branches", "moves"), "branches": ("moves",)}
