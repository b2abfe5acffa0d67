"""A leaf as it is stored: opened, and decoded by columns and row groups.

Row groups that two leaves have in common are found without decoding them. Equal bytes are equal rows, and damage would
have to be the same in both objects not to be seen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from airflow_pachy.pfs.tree import functions
from airflow_pachy.pfs.tree.codec import ID_KEY, open_parquet, reading
from airflow_pachy.pfs.tree.schema import LEAF

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_pachy.pfs.tree.refs import NodeRef

# What a leaf's id is made of, so that these columns of a leaf are verified as all of it is.
IDENTITY = pa.schema([LEAF.field(name) for name in ("path", "hash", "size", "executable")])
_HEAD_BYTES = 48  # the header of a column's first page, in which its checksum stands


class StoredLeaf:
    """A leaf's Parquet object; `ref` names it. For one thread. All methods raise `Corrupt`."""

    def __init__(self, ref: NodeRef, body: bytes, *, checked: bool = False) -> None:
        """With `checked`, pages are read only if their checksums fit: for who cannot verify rows by the leaf's id."""
        self.ref = ref
        self._body = pa.py_buffer(body)
        with reading(ref.object, 0):
            self._reader = open_parquet(self._body, checked=checked)
            self._metadata = self._reader.metadata
            self._columns = [path[0] for path in self._reader.column_paths]
        self.group_count: int = self._metadata.num_row_groups

    def read(self, schema: pa.Schema, groups: Sequence[int], rows: int | None = None) -> pa.Table:
        """Columns of these row groups, as one piece each: all rows, or the first `rows` and perhaps some more."""
        with reading(self.ref.object, 0):
            wanted = [index for index, name in enumerate(self._columns) if name in schema.names]
            if rows is None:
                table = self._reader.read_row_groups(groups, column_indices=wanted, use_threads=False)
            else:
                table = _first_rows(self._reader, groups, wanted, rows)
            table = functions.conformed(table.select(schema.names), schema).replace_schema_metadata(None)
            return table if all(column.num_chunks == 1 for column in table.columns) else table.combine_chunks()

    def is_encoded_like(self, other: StoredLeaf, name: str, groups: Sequence[int], theirs: Sequence[int]) -> bool:
        """Whether a column that is not nested is stored alike in some row groups of both leaves, byte by byte."""
        if len(groups) != len(theirs):
            return False
        pairs = zip(groups, theirs, strict=True)
        return all(self._chunk(name, one).equals(other._chunk(name, two)) for one, two in pairs)

    def _chunk(self, name: str, group: int) -> pa.Buffer:
        with reading(self.ref.object, 0):
            column = self._metadata.row_group(group).column(self._columns.index(name))
            start = _start(column)
            return self._slice(start, start + column.total_compressed_size)

    def shared_groups(self, other: StoredLeaf) -> dict[int, int]:
        """Row groups that the other leaf has too, by what identifies files as it is stored, and which there they are.

        Those of no leaf whose writer does not promise what it takes to leave groups out, see `_identities`.
        """
        mine, theirs = self._identities(), other._identities()
        places = {_head(span): group for group, span in enumerate(theirs)}
        found: dict[int, int] = {}
        for group, span in enumerate(mine):
            twin = places.get(_head(span))
            if twin is not None and span.equals(theirs[twin]):
                found[group] = places.pop(_head(span))
        return found

    def _identities(self) -> list[pa.Buffer]:
        """For each row group, the columns of `IDENTITY` as they are stored.

        Nothing for a leaf of one group, of other rows than its reference says, with these columns elsewhere, or that
        does not say that it is the one of its name: its writer may know nothing of that, nor of checksums.
        """
        metadata = self._metadata
        says = (metadata.metadata or {}).get(ID_KEY)
        if self.group_count < 2 or metadata.num_rows != self.ref.rows or says != self.ref.id.encode():
            return []
        width = len(IDENTITY)
        if self._columns[:width] != IDENTITY.names or self._columns[width : width + 1] != ["segments"]:
            return []
        with reading(self.ref.object, 0):
            groups = [metadata.row_group(number) for number in range(self.group_count)]
            return [self._slice(_start(group.column(0)), _start(group.column(width))) for group in groups]

    def _slice(self, start: int, end: int) -> pa.Buffer:
        # Arrow would slice a buffer beyond its end.
        if not 0 < start < end < self._body.size:
            raise ValueError(f"columns at {start} to {end} of {self._body.size} bytes")
        return self._body.slice(start, end - start)


def _start(column: Any) -> int:
    return int(column.dictionary_page_offset or column.data_page_offset)


def _head(span: pa.Buffer) -> bytes:
    return span.slice(0, min(_HEAD_BYTES, span.size)).to_pybytes()


def _first_rows(reader: Any, groups: Sequence[int], columns: list[int], rows: int) -> pa.Table:
    batches: list[pa.RecordBatch] = []
    left = rows
    for batch in reader.iter_batches(rows, groups, column_indices=columns, use_threads=False):
        batches.append(batch)
        left -= batch.num_rows
        if left <= 0:
            return pa.Table.from_batches(batches)
    raise ValueError(f"{rows - left} rows where {rows} should be")
