"""Columns of leaf and inner nodes, and the identity that they give a node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pyarrow as pa
from blake3 import blake3

from airflow_pachy.pfs.tree.refs import NodeRef

if TYPE_CHECKING:
    import numpy.typing as npt

HASH = pa.binary(32)
SEGMENT = pa.struct(
    [pa.field("object", pa.string()), pa.field("offset", pa.int64()), pa.field("length", pa.int64()), ("hash", HASH)]
)
LEAF = pa.schema(
    cast(
        "list[pa.Field[Any]]",
        [
            pa.field("path", pa.string()),
            pa.field("hash", HASH),
            pa.field("size", pa.int64()),
            pa.field("executable", pa.bool_()),
            pa.field("segments", pa.list_(SEGMENT)),
            pa.field("inline", pa.binary()),
            pa.field("datum", pa.string()),
            pa.field("mtime_us", pa.int64()),
        ],
    )
)
INNER = pa.schema(
    cast(
        "list[pa.Field[Any]]",
        [
            pa.field("last", pa.string()),
            pa.field("first", pa.string()),
            pa.field("id", HASH),
            pa.field("ulid", pa.string()),
            pa.field("rows", pa.int64()),
            pa.field("bytes", pa.int64()),
        ],
    )
)


def schema_of(level: int) -> pa.Schema:
    """Columns of a node of this level; the first one is its key."""
    return LEAF if level == 0 else INNER


def node_id(table: pa.Table, level: int) -> str:
    """64 hex digits: BLAKE3 over the identity columns of a leaf, or over the ids of an inner node's children."""
    if level:
        return blake3(b"pfs1-inner" + level.to_bytes(1, "big") + _fixed(table["id"])).hexdigest()
    lengths, paths = _strings(table["path"])
    hasher = blake3(b"pfs1-leaf" + table.num_rows.to_bytes(8, "big"))
    for part in (
        lengths.astype("<u4").tobytes(),
        paths,
        _fixed(table["hash"]),
        table["size"].to_numpy().astype("<i8").tobytes(),
        table["executable"].to_numpy().astype("u1").tobytes(),
    ):
        hasher.update(part)
    return hasher.hexdigest()


def make_ref(table: pa.Table, level: int, ulid: str) -> NodeRef:
    """The reference of a node with these rows."""
    if level:
        rows, size = _total(table["rows"]), _total(table["bytes"])
    else:
        rows, size = table.num_rows, _total(table["size"])
    return NodeRef(level, rows, size, node_id(table, level), ulid)


def _total(column: pa.ChunkedArray[Any]) -> int:
    return int(column.to_numpy().sum())


def single(column: pa.ChunkedArray[Any]) -> pa.Array[Any]:
    """A column as one array."""
    if column.num_chunks == 1:
        return cast("pa.Array[Any]", column.chunk(0))
    joined: Any = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    return cast("pa.Array[Any]", joined)


def first_numbers(column: pa.ChunkedArray[Any]) -> npt.NDArray[np.uint64]:
    """The first eight bytes of each hash, little-endian."""
    return np.frombuffer(_fixed(column), dtype="<u8")[:: HASH.byte_width // 8]


def _fixed(column: pa.ChunkedArray[Any]) -> memoryview:
    array: Any = single(column)
    width = array.type.byte_width
    return memoryview(array.buffers()[1])[array.offset * width : (array.offset + len(array)) * width]


def _strings(column: pa.ChunkedArray[Any]) -> tuple[npt.NDArray[np.int32], memoryview]:
    """Byte lengths, and all bytes one after the other."""
    array: Any = single(column)
    _, offsets, data = array.buffers()
    ends = np.frombuffer(offsets, dtype="<i4")[array.offset : array.offset + len(array) + 1]
    return np.diff(ends), memoryview(data or b"")[int(ends[0]) : int(ends[-1])]
