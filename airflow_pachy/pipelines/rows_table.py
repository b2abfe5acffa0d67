"""Datum rows as columns of a tree, without an object for each; see `airflow_pachy.pipelines.rows` for what they say."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from blake3 import blake3

from airflow_pachy.errors import Corrupt
from airflow_pachy.pfs.tree.bulk import concat_rows
from airflow_pachy.pfs.tree.schema import LEAF, SEGMENT, single
from airflow_pachy.pipelines.datums_table import buffer_of
from airflow_pachy.pipelines.rows import UNFINISHED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from airflow_pachy.pfs.tree import Tree
    from airflow_pachy.pipelines.datums_table import Leaves

_BATCH = 65_536
# state, job, reason, error, record, row; then name, path, hash of each input.
_HEAD_FIELDS = 6

EMPTY = LEAF.empty_table()


def inline_table(keys: Any, bodies: Sequence[bytes]) -> pa.Table:
    """Rows of a tree whose content is inline, in the order given."""
    count = len(bodies)
    no_segments = pa.ListArray.from_arrays(pa.array(np.zeros(count + 1, np.int32), pa.int32()), pa.array([], SEGMENT))
    columns = [
        pa.array(keys, pa.string()),
        pa.array([blake3(body).digest() for body in bodies], LEAF.field("hash").type),
        pa.array([len(body) for body in bodies], pa.int64()),
        pa.array(np.zeros(count, np.bool_)),
        no_segments,
        pa.array(bodies, pa.binary()),
        pa.nulls(count, pa.string()),
        pa.array(np.zeros(count, np.int64)),
    ]
    return pa.table(columns, schema=LEAF)


def new_rows(datums: pa.Table, leaves: Leaves, job: str, reason: Callable[[str, bytes], str]) -> pa.Table:
    """Rows of datums that are to run, ascending by key. `reason` is asked with an id and the datum's `place_of`."""
    order = pc.sort_indices(single(datums["id"]))
    tables = []
    names = [leaf.name.encode() for leaf in leaves.keys]
    for start in range(0, len(order), _BATCH):
        part = datums.take(order[start : start + _BATCH])
        ids: Any = part["id"].to_pylist()
        inputs = _input_fields(part, names)
        bodies = [
            f"pending\0{job}\0{reason(key, fields)}\0\0\x000\0".encode("utf-8", "surrogateescape") + fields
            for key, fields in zip(ids, inputs, strict=True)
        ]
        tables.append(inline_table([UNFINISHED + key for key in ids], bodies))
    return concat_rows(tables)


def _input_fields(datums: pa.Table, names: list[bytes]) -> list[bytes]:
    """Of each datum name, path and hash of its inputs, with a NUL between any two of these."""
    column: Any = single(datums["inputs"])
    inputs = column.flatten()
    leaf, path, digest = (inputs.field(number) for number in range(3))
    join: Any = pc.binary_join_element_wise
    named: Any = pa.array(names, pa.binary()).take(leaf)
    # The empty one leaves a NUL behind each input, of which the last one is cut off.
    fields = join(named, path.cast(pa.binary()), _hex_prefixes(digest), pa.scalar(b"", pa.binary()), b"\0")
    data, starts = buffer_of(fields)
    offsets = column.offsets.to_numpy()
    bounds = starts[offsets - offsets[0]].tolist()
    return [data[start : end - 1] if end > start else b"" for start, end in pairwise(bounds)]


def _hex_prefixes(digests: Any) -> Any:
    """The first eight bytes of each hash in hex, as a binary array."""
    count, width = len(digests), digests.type.byte_width
    if not count:
        return pa.array([], pa.binary())
    raw = np.frombuffer(digests.buffers()[1], np.uint8)[digests.offset * width :][: count * width].reshape(count, width)
    digits = np.frombuffer(b"0123456789abcdef", np.uint8)
    text: Any = np.empty((count, 16), np.uint8)
    text[:, 0::2], text[:, 1::2] = digits[raw[:, :8] >> 4], digits[raw[:, :8] & 15]
    return pa.Array.from_buffers(pa.binary(16), count, [None, pa.py_buffer(text)]).cast(pa.binary())


def fields_of(body: bytes, key: str) -> list[bytes]:
    """The head fields of a row's body and, last, all its inputs' fields in one. Raises `Corrupt`."""
    fields = body.split(b"\0", _HEAD_FIELDS)
    if len(fields) < _HEAD_FIELDS:
        raise Corrupt(f"entry {key!r} of a datum tree is not a datum row: run `pachy fsck`")
    return fields if len(fields) > _HEAD_FIELDS else [*fields, b""]


def place_of(inputs: bytes) -> tuple[bytes, list[bytes]]:
    """Of a row's input fields: which datum it is whatever its content, and the hashes of its inputs."""
    fields = inputs.split(b"\0")
    hashes = fields[2::3]
    del fields[2::3]
    return b"\0".join(fields), hashes


def bodies_of(rows: pa.Table) -> Iterator[tuple[str, bytes]]:
    """Keys and bodies of rows. Raises `Corrupt`."""
    for batch in rows.select(["path", "inline"]).to_batches():
        keys: Any = batch.column(0).to_pylist()
        for key, body in zip(keys, batch.column(1).to_pylist(), strict=True):
            if body is None:
                raise Corrupt(f"entry {key!r} of a datum tree has no inline row: run `pachy fsck`")
            yield key, body


def with_state(rows: pa.Table, state: str, job: str | None = None) -> Any:
    """Which rows are of this state (and this job), as a boolean column."""
    prefix = f"{state}\0" if job is None else f"{state}\0{job}\0"
    starts: Any = pc.starts_with
    return starts(rows["inline"], pattern=prefix)


def unfinished_rows(datums: Tree) -> pa.Table:
    """The rows of a job's tree that are not done."""
    found = []
    for table in datums.tables():
        prefixed: Any = pc.starts_with(table["path"], pattern=UNFINISHED)
        found.append(table.filter(prefixed))
        if found[-1].num_rows < table.num_rows:
            break
    return concat_rows(found)
