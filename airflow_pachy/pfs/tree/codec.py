"""Nodes as Parquet objects. Plain Parquet on purpose: any reader of it can list a commit without us."""

from __future__ import annotations

import io
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from airflow_pachy.errors import Corrupt
from airflow_pachy.pfs.tree.functions import conformed
from airflow_pachy.pfs.tree.schema import first_numbers, schema_of
from airflow_pachy.pfs.tree.splitter import find_cuts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from airflow_pachy.pfs.tree.refs import NodeRef

_ParquetReader: Any
_ParquetWriter: Any
try:
    _ParquetReader = import_module("pyarrow._parquet").ParquetReader
    _ParquetWriter = import_module("pyarrow._parquet").ParquetWriter
except (ImportError, AttributeError):  # an Arrow that has moved them: the public module has the one, and does for both
    _ParquetReader = import_module("pyarrow.parquet.core").ParquetReader
    _ParquetWriter = None

# Arrow's own allocator takes huge pages for each thread that decodes, and filling them with zeros takes as long as
# decoding a few leaves.
_POOL = pa.system_memory_pool()
_OPTIONS: dict[str, Any] = {"write_statistics": False, "write_page_checksum": True}
_PACK = "segments.list.element.object"
_NUMBERS = ("size", "segments.list.element.offset", "segments.list.element.length")
_LEAF_OPTIONS: dict[str, Any] = {
    **_OPTIONS,
    "column_encoding": {
        "path": "DELTA_BYTE_ARRAY",
        "executable": "RLE",
        **dict.fromkeys(_NUMBERS, "DELTA_BINARY_PACKED"),
    },
}
_INNER_OPTIONS: dict[str, Any] = {
    **_OPTIONS,
    "compression": "zstd",
    "compression_level": 3,
    "use_dictionary": False,
    "column_encoding": {"last": "DELTA_BYTE_ARRAY"},
}
# What `pyarrow.parquet` tells the writer where its caller says nothing.
_DEFAULTS: dict[str, Any] = {
    "version": "2.6",
    "data_page_version": "1.0",
    "writer_engine_version": "V2",
    "use_deprecated_int96_timestamps": False,
    "use_compliant_nested_type": True,
}


ID_KEY = b"pachy.id"
GROUP_TARGET = 4_096


def encode(table: pa.Table, ref: NodeRef) -> bytes:
    """The node that `ref` names, a leaf in several row groups."""
    marked = table.replace_schema_metadata({b"pachy.level": str(ref.level).encode(), ID_KEY: ref.id.encode()})
    if ref.level:
        return write_parquet(marked, [table.num_rows], _INNER_OPTIONS)
    return write_parquet(marked, group_ends(table), _leaf_options(table))


def _leaf_options(table: pa.Table) -> dict[str, Any]:
    """What is compressed: not hashes, which do not get smaller, nor most numbers, which are small by their encoding.

    Nor what is not there, since each column of each row group takes time to compress, however little it holds.
    """
    held = [name for name in ("inline", "datum") if table[name].null_count < table.num_rows]
    compressed = ["path", _PACK, "mtime_us", *held]
    return {
        **_LEAF_OPTIONS,
        "compression": dict.fromkeys(compressed, "zstd"),
        "compression_level": dict.fromkeys(compressed, 3),
        "use_dictionary": [_PACK, "datum"] if "datum" in held else [_PACK],
    }


def group_ends(table: pa.Table) -> list[int]:
    """Where the row groups of a leaf end: by the files' contents, as nodes end by their keys.

    So the same files lie in the same groups, but for one or two, in a leaf into which others came.
    """
    ends = find_cuts(first_numbers(table["hash"]), GROUP_TARGET)
    return ends if ends and ends[-1] == table.num_rows else [*ends, table.num_rows]


def write_parquet(table: pa.Table, ends: Sequence[int], options: Mapping[str, Any]) -> bytes:
    """A table as `pyarrow.parquet.ParquetWriter` writes it with these options, in row groups that end at these rows.

    Without that module, which would import all of Arrow's file systems: that takes longer than writing a leaf.
    """
    sink = io.BytesIO()
    if _ParquetWriter is None:
        writer = import_module("pyarrow.parquet").ParquetWriter(sink, table.schema, **options)
    else:
        writer = _ParquetWriter(sink, table.schema, **_DEFAULTS, **options)
    start = 0
    for end in ends:
        writer.write_table(table[start:end], row_group_size=max(1, end - start))
        start = end
    writer.close()
    return sink.getvalue()


def read_parquet(body: bytes, columns: list[str] | None = None) -> pa.Table:
    """All rows of a Parquet object in memory, in this thread. Raises `pa.ArrowException`, `OSError`.

    `pyarrow.parquet` would import all of Arrow's file systems, and its `read_table` look for a data set around the
    file first, which takes as long as reading it, and start threads that abort a process which happens to end at once
    ("terminate called without an active exception").
    """
    reader = open_parquet(body)
    wanted = None
    if columns is not None:
        wanted = [index for index, path in enumerate(reader.column_paths) if path[0] in columns]
    table: pa.Table = reader.read_all(column_indices=wanted, use_threads=False)
    return table


def open_parquet(body: bytes | pa.Buffer, *, checked: bool = False) -> Any:
    """Arrow's reader of a Parquet object in memory, for one thread.

    With `checked`, pages that have checksums are read only if these fit.
    """
    reader = _ParquetReader(memory_pool=_POOL)
    reader.open(pa.BufferReader(body), pre_buffer=False, page_checksum_verification=checked)
    return reader


@contextmanager
def reading(key: str, level: int) -> Iterator[None]:
    """Whatever Arrow raises of a node that it cannot read becomes `Corrupt`, which names the object."""
    try:
        yield
    except (pa.ArrowException, KeyError, OSError, ValueError) as error:
        raise Corrupt(
            f"{key} is not a tree node of level {level} ({error}): restore it from a backup of the bucket"
        ) from error


def decode(body: bytes, level: int, key: str) -> pa.Table:
    """Read what `encode` wrote, columns in the order of the schema; `key` names the object in errors.

    Columns that this version does not know are ignored. Raises `Corrupt`.
    """
    schema = schema_of(level)
    with reading(key, level):
        table = read_parquet(body, schema.names).select(schema.names)
        table = conformed(table, schema).replace_schema_metadata(None)
        return table if all(column.num_chunks == 1 for column in table.columns) else table.combine_chunks()
