"""A leaf of which only what identifies its files is decoded, and the rest for those rows that are asked for.

Who compares two leaves looks at every path and hash, which are a third of the work of decoding a leaf, and at the
rest of few rows or none. Of two neighbours whose files have the same paths, these are decoded once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from airflow_pachy.pfs.tree import functions
from airflow_pachy.pfs.tree.codec import open_parquet, reading
from airflow_pachy.pfs.tree.node import Node, verified
from airflow_pachy.pfs.tree.schema import LEAF, SEGMENT

if TYPE_CHECKING:
    import numpy.typing as npt

    from airflow_pachy.pfs.tree.refs import NodeRef

# What a leaf's id is made of, so that a part of a leaf is verified as all of it is.
IDENTITY = pa.schema([LEAF.field(name) for name in ("path", "hash", "size", "executable")])
WITHOUT_CONTENTS = pa.schema([field for field in LEAF if field.name not in {"segments", "inline"}])


class SparseLeaf(Node):
    """A leaf whose `table` has the columns of `IDENTITY`; its object is kept for the others. Thread-safe."""

    def __init__(self, ref: NodeRef, body: bytes, like: Node | None = None) -> None:
        """Decode and verify. Paths that are encoded like those of the leaf `like` are not decoded again.

        Raises `Corrupt`.
        """
        self._body = body
        self._key = ref.object
        with reading(ref.object, 0):
            reader = open_parquet(body)
            self._metadata = reader.metadata
            if isinstance(like, SparseLeaf) and self._has_paths_of(like):
                others = _read(reader, pa.schema(list(IDENTITY)[1:]))
                table = pa.table([like.table.column(0), *others.columns], schema=IDENTITY)
            else:
                table = _read(reader, IDENTITY)
            super().__init__(verified(table, ref), 0)

    def rest(self, schema: pa.Schema, rows: int) -> pa.Table:
        """Other columns of the first `rows` rows, or of some more. Raises `Corrupt`."""
        with reading(self._key, 0):
            found = _read(open_parquet(self._body, self._metadata), schema, rows)
            if found.num_rows < rows:
                raise ValueError(f"{found.num_rows} rows where {rows} should be")
        return found

    def encoded_paths(self) -> bytes | None:
        """The column of paths as it is stored; None if it is not in one piece, where we would write it."""
        if self._metadata.num_row_groups != 1:
            return None
        column = self._metadata.row_group(0).column(0)
        if column.path_in_schema != "path":
            return None
        start = column.dictionary_page_offset or column.data_page_offset
        return self._body[start : start + column.total_compressed_size]

    def _has_paths_of(self, like: SparseLeaf) -> bool:
        paths = self.encoded_paths()
        return paths is not None and paths == like.encoded_paths()


class LeafRows:
    """Takes rows out of a leaf, several times: first it decodes as far as it must, the second time all of it."""

    def __init__(self, leaf: Node, schema: pa.Schema) -> None:
        self.leaf = leaf
        self._schema = schema
        self._rest: pa.Table | None = None

    def take(self, places: npt.NDArray[np.int64]) -> pa.Table:
        """The columns of the schema of the rows at ascending places. Raises `Corrupt`."""
        if not len(places):
            return self._schema.empty_table()
        parts = [self.leaf.table]
        if isinstance(self.leaf, SparseLeaf):
            parts.append(self._read_rest(self.leaf, int(places[-1]) + 1))
        columns: dict[str, Any] = {}
        for part in parts:
            wanted = part.select([name for name in part.column_names if name in self._schema.names])
            columns |= zip(wanted.column_names, _take(wanted, places).columns, strict=True)
        return pa.table([columns[name] for name in self._schema.names], schema=self._schema)

    def _read_rest(self, leaf: SparseLeaf, rows: int) -> pa.Table:
        if self._rest is None or self._rest.num_rows < rows:
            others = pa.schema([field for field in self._schema if field.name not in IDENTITY.names])
            self._rest = leaf.rest(others, rows if self._rest is None else len(leaf))
        return self._rest


def filled(table: pa.Table) -> pa.Table:
    """Rows of a leaf of which some columns are left out, with nothing in these."""
    if table.column_names == LEAF.names:
        return table
    count = table.num_rows
    zeros: Any = functions.as_array(np.zeros(count + 1, np.int64))
    nothing: dict[str, Any] = {
        "segments": pa.ListArray.from_arrays(functions.cast(zeros, pa.int32()), pa.array([], SEGMENT)),
        "inline": pa.nulls(count, pa.binary()),
        "datum": pa.nulls(count, pa.string()),
        "mtime_us": zeros[:count],
    }
    return pa.table([table[name] if name in table.column_names else nothing[name] for name in LEAF.names], schema=LEAF)


def _take(table: pa.Table, places: npt.NDArray[np.int64]) -> pa.Table:
    first, last = int(places[0]), int(places[-1])
    if last - first + 1 == len(places):
        return table[first : last + 1]
    taken: pa.Table = functions.take(table, places)
    return taken


def _read(reader: Any, schema: pa.Schema, rows: int | None = None) -> pa.Table:
    """These columns, as one piece each; of so many rows at least, if it is said."""
    wanted = [index for index, path in enumerate(reader.column_paths) if path[0] in schema.names]
    if rows is None:
        table = reader.read_all(column_indices=wanted, use_threads=False)
    else:
        groups = list(range(reader.metadata.num_row_groups))
        batches: list[pa.RecordBatch] = []
        for batch in reader.iter_batches(rows, groups, column_indices=wanted, use_threads=False):
            batches.append(batch)
            rows -= batch.num_rows
            if rows <= 0:
                break
        table = pa.Table.from_batches(batches)
    table = functions.conformed(table.select(schema.names), schema).replace_schema_metadata(None)
    return table if all(column.num_chunks == 1 for column in table.columns) else table.combine_chunks()
