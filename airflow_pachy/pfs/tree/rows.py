"""Entries to columns and back. Columns are what is merged, stored and searched; entries are what callers see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from airflow_pachy.pfs.tree import functions
from airflow_pachy.pfs.tree.entries import Content, Entry, Segment
from airflow_pachy.pfs.tree.schema import HASH, INNER, LEAF, SEGMENT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def leaf_table(entries: Sequence[Entry]) -> pa.Table:
    """Rows of a leaf, in the order given."""
    contents = [entry.content for entry in entries]
    segments = [segment for content in contents for segment in content.segments]
    offsets = [0]
    for content in contents:
        offsets.append(offsets[-1] + len(content.segments))
    columns = [
        pa.array([entry.path for entry in entries], pa.string()),
        pa.array([content.hash for content in contents], HASH),
        pa.array([content.size_bytes for content in contents], pa.int64()),
        pa.array([entry.executable for entry in entries], pa.bool_()),
        pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), _segment_array(segments)),
        pa.array([content.inline for content in contents], pa.binary()),
        pa.array([entry.datum for entry in entries], pa.string()),
        pa.array([entry.mtime_us for entry in entries], pa.int64()),
    ]
    return pa.table(columns, schema=LEAF)


def inner_table(rows: Sequence[tuple[Any, ...]]) -> pa.Table:
    """Rows of an inner node from tuples in the order of its columns."""
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(INNER.names)
    return pa.table([pa.array(column, field.type) for column, field in zip(columns, INNER, strict=True)], schema=INNER)


def entries_of(table: pa.Table) -> Iterator[Entry]:
    """Rows of a leaf as entries."""
    columns = (
        table[name].to_pylist() for name in ("path", "hash", "size", "executable", "inline", "datum", "mtime_us")
    )
    for path, digest, size, executable, inline, datum, mtime, segments in zip(
        *columns, _segment_tuples(table["segments"]), strict=True
    ):
        yield Entry(path, Content(digest, size, segments, inline), executable, datum, mtime)


def entries_without_contents(table: pa.Table) -> Iterator[Entry]:
    """Rows of a leaf as entries that do not say where contents lie; `segments` and `inline` may be left out of them."""
    columns = (table[name].to_pylist() for name in ("path", "hash", "size", "executable", "datum", "mtime_us"))
    for path, digest, size, executable, datum, mtime in zip(*columns, strict=True):
        yield Entry(path, Content(digest, size), executable, datum, mtime)


def _segment_array(segments: Sequence[Segment]) -> pa.Array[Any]:
    return pa.StructArray.from_arrays(
        [
            pa.array([segment.object for segment in segments], pa.string()),
            pa.array([segment.offset for segment in segments], pa.int64()),
            pa.array([segment.length for segment in segments], pa.int64()),
            pa.array([segment.hash for segment in segments], HASH),
        ],
        fields=list(SEGMENT),
    )


def _segment_tuples(column: pa.ChunkedArray[Any]) -> list[tuple[Segment, ...]]:
    counts = functions.call("list_value_length", column).to_pylist()
    flat: Any = functions.call("list_flatten", column)
    parts = [functions.struct_field(flat, index).to_pylist() for index in range(4)]
    found = iter([Segment(*values) for values in zip(*parts, strict=True)])
    # One segment a file is the rule, and this loop the hottest of a listing.
    return [(next(found),) if count == 1 else tuple(next(found) for _ in range(count)) for count in counts]
