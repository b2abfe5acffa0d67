"""The form in which changes of an open commit lie in the bucket: one small Parquet object per batch."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from airflow_pachy.errors import Corrupt
from airflow_pachy.pfs.objects import new_ulid
from airflow_pachy.pfs.tree.codec import read_parquet
from airflow_pachy.pfs.tree.entries import Change, Content, Entry, Put, Remove, Segment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_pachy.pfs.objects.store import ObjectStore

_SEGMENT = pa.struct(
    [
        ("object", pa.string()),
        ("offset", pa.int64()),
        ("length", pa.int64()),
        ("hash", pa.binary()),
    ]
)
_COLUMNS: list[tuple[str, pa.DataType]] = [
    ("op", pa.string()),
    ("path", pa.string()),
    ("hash", pa.binary()),
    ("size", pa.int64()),
    ("executable", pa.bool_()),
    ("mtime_us", pa.int64()),
    ("segments", pa.list_(_SEGMENT)),
    ("inline", pa.binary()),
]
SCHEMA = pa.schema(_COLUMNS, metadata={"pachy": "delta 1"})


def write_delta(store: ObjectStore, commit_id: str, changes: Sequence[Change]) -> str:
    """Store a batch of changes, in their order, and return its key; the name is unique and never used again."""
    import pyarrow.parquet as pq

    key = f"deltas/{commit_id[:2]}/{commit_id}/{new_ulid()}"
    buffer = io.BytesIO()
    table = pa.Table.from_pylist([_row(change) for change in changes], schema=SCHEMA)
    pq.write_table(table, buffer, compression="zstd", write_page_checksum=True)
    store.put(key, buffer.getbuffer(), if_absent=True)
    return key


def read_delta(store: ObjectStore, key: str) -> list[Change]:
    """The batch of changes stored at `key`. Raises `ObjectNotFound` or `Corrupt`."""
    try:
        table = read_parquet(store.get(key))
        return [_change(row) for row in table.to_pylist()]
    except (pa.ArrowException, KeyError) as error:
        raise Corrupt(f"object {key} in {store.url} is not a batch of changes: {error}") from error


def _row(change: Change) -> dict[str, Any]:
    if isinstance(change, Remove):
        return {"op": "remove_all" if change.subtree else "remove", "path": change.path}
    entry, content = change.entry, change.entry.content
    segments = [{"object": s.object, "offset": s.offset, "length": s.length, "hash": s.hash} for s in content.segments]
    return {
        "op": "put",
        "path": entry.path,
        "hash": content.hash,
        "size": content.size_bytes,
        "executable": entry.executable,
        "mtime_us": entry.mtime_us,
        "segments": segments,
        "inline": content.inline,
    }


def _change(row: dict[str, Any]) -> Change:
    if row["op"] != "put":
        return Remove(row["path"], subtree=row["op"] == "remove_all")
    segments = tuple(Segment(**segment) for segment in row["segments"])
    content = Content(row["hash"], row["size"], segments, row["inline"])
    return Put(Entry(row["path"], content, executable=row["executable"], mtime_us=row["mtime_us"]))
