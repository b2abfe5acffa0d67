"""Nodes as Parquet objects. Plain Parquet on purpose: any reader of it can list a commit without us."""

from __future__ import annotations

import io
from importlib import import_module
from typing import Any

import pyarrow as pa

from airflow_pachy.errors import Corrupt
from airflow_pachy.pfs.tree.functions import conformed
from airflow_pachy.pfs.tree.schema import schema_of

_ParquetReader: Any
try:
    _ParquetReader = import_module("pyarrow._parquet").ParquetReader
except (ImportError, AttributeError):  # an Arrow that has moved it: the public module has it too
    _ParquetReader = import_module("pyarrow.parquet.core").ParquetReader

# Arrow's own allocator takes huge pages for each thread that decodes, and filling them with zeros takes as long as
# decoding a few leaves.
_POOL = pa.system_memory_pool()
_LEAF_OPTIONS: dict[str, Any] = {
    "use_dictionary": ["segments.list.element.object", "datum"],
    "column_encoding": {"path": "DELTA_BYTE_ARRAY"},
}
_INNER_OPTIONS: dict[str, Any] = {"use_dictionary": False, "column_encoding": {"last": "DELTA_BYTE_ARRAY"}}


def encode(table: pa.Table, level: int) -> bytes:
    """The node as one row group, zstd level 3."""
    import pyarrow.parquet as pq

    sink = io.BytesIO()
    options = _INNER_OPTIONS if level else _LEAF_OPTIONS
    pq.write_table(
        table.replace_schema_metadata({b"pachy.level": str(level).encode()}),
        sink,
        compression="zstd",
        compression_level=3,
        row_group_size=max(1, table.num_rows),
        write_statistics=False,
        write_page_checksum=True,
        **options,
    )
    return sink.getvalue()


def read_parquet(body: bytes, columns: list[str] | None = None) -> pa.Table:
    """All rows of a Parquet object in memory, in this thread. Raises `pa.ArrowException`, `OSError`.

    `pyarrow.parquet` would import all of Arrow's file systems, and its `read_table` look for a data set around the
    file first, which takes as long as reading it, and start threads that abort a process which happens to end at once
    ("terminate called without an active exception").
    """
    reader = _ParquetReader(memory_pool=_POOL)
    reader.open(pa.BufferReader(body), pre_buffer=False)
    wanted = None
    if columns is not None:
        wanted = [index for index, path in enumerate(reader.column_paths) if path[0] in columns]
    table: pa.Table = reader.read_all(column_indices=wanted, use_threads=False)
    return table


def decode(body: bytes, level: int, key: str) -> pa.Table:
    """Read what `encode` wrote, columns in the order of the schema; `key` names the object in errors.

    Columns that this version does not know are ignored. Raises `Corrupt`.
    """
    schema = schema_of(level)
    try:
        table = read_parquet(body, schema.names).select(schema.names)
        table = conformed(table, schema).replace_schema_metadata(None)
        return table if all(column.num_chunks == 1 for column in table.columns) else table.combine_chunks()
    except (pa.ArrowException, KeyError, OSError, ValueError) as error:
        raise Corrupt(
            f"{key} is not a tree node of level {level} ({error}): restore it from a backup of the bucket"
        ) from error
