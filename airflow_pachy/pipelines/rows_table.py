"""Datum rows as columns of a tree, without an object for each; see `airflow_pachy.pipelines.rows` for what they say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from blake3 import blake3

from airflow_pachy.errors import Corrupt
from airflow_pachy.pfs.tree.bulk import concat_rows
from airflow_pachy.pfs.tree.functions import as_array
from airflow_pachy.pfs.tree.schema import HASH, LEAF, SEGMENT, single
from airflow_pachy.pipelines.datums_table import hex_of
from airflow_pachy.pipelines.rows import UNFINISHED
from airflow_pachy.pipelines.sorting import sort_places

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from airflow_pachy.pfs.tree import Tree
    from airflow_pachy.pipelines.datums_table import Leaves

_BATCH = 65_536
# state, job, reason, error, record, row; then name, path, hash of each input.
_HEAD_FIELDS = 6
_HASH_BYTES = 8
HASH_DIGITS = 2 * _HASH_BYTES

EMPTY = LEAF.empty_table()


def inline_table(keys: Any, bodies: Any) -> pa.Table:
    """Rows of a tree whose content is inline, in the order given; both are arrays or lists."""
    contents: Any = bodies if isinstance(bodies, pa.Array) else pa.array(bodies, pa.binary())
    count = len(contents)
    no_segments = pa.ListArray.from_arrays(as_array(np.zeros(count + 1, np.int32)), pa.array([], SEGMENT))
    digests = b"".join([blake3(body).digest() for body in contents.to_pylist()])
    columns = [
        keys if isinstance(keys, pa.Array) else pa.array(keys, pa.string()),
        pa.Array.from_buffers(HASH, count, [None, pa.py_buffer(digests)]),
        pc.binary_length(contents).cast(pa.int64()),
        as_array(np.zeros(count, np.bool_)),
        no_segments,
        contents,
        pa.nulls(count, pa.string()),
        as_array(np.zeros(count, np.int64)),
    ]
    return pa.table(columns, schema=LEAF)


def new_rows(
    datums: pa.Table, leaves: Leaves, job: str, reason: str | Callable[[Any, Any], Iterable[str]]
) -> Iterator[pa.Table]:
    """Rows of datums that are to run, ascending by key, some at a time.

    `reason` is why all of them do, or is asked with an array of ids and one of what `place_of` reads.
    """
    order = as_array(sort_places(single(datums["id"])))
    names = [leaf.name.encode() for leaf in leaves.keys]
    for start in range(0, len(order), _BATCH):
        part = datums.take(order[start : start + _BATCH])
        ids: Any = single(part["id"])
        fields = _input_fields(part, names)
        heads: Any
        if isinstance(reason, str):
            heads = pa.scalar(_head(job, reason), pa.binary())
        else:
            heads = pa.array([_head(job, why) for why in reason(ids, fields)], pa.binary())
        join: Any = pc.binary_join_element_wise
        yield inline_table(join(UNFINISHED, ids, ""), join(heads, fields, b""))


def _head(job: str, reason: str) -> bytes:
    return f"pending\0{job}\0{reason}\0\0\x000\0".encode("utf-8", "surrogateescape")


def _input_fields(datums: pa.Table, names: list[bytes]) -> Any:
    """Of each datum name, path and hash of its inputs, with a NUL between any two of these, as a binary array."""
    column: Any = single(datums["inputs"])
    inputs = column.flatten()
    leaf, path, digest = (inputs.field(number) for number in range(3))
    join: Any = pc.binary_join_element_wise
    named: Any = pa.array(names, pa.binary()).take(leaf)
    fields = join(named, path.cast(pa.binary()), _hex_prefixes(digest), b"\0")
    offsets = column.offsets
    return pc.binary_join(pa.ListArray.from_arrays(pc.subtract(offsets, offsets[0]), fields), b"\0")


def _hex_prefixes(digests: Any) -> Any:
    """The first eight bytes of each hash in hex, as a binary array."""
    count, width = len(digests), digests.type.byte_width
    if not count:
        return pa.array([], pa.binary())
    raw = np.frombuffer(digests.buffers()[1], np.uint8)[digests.offset * width :][: count * width].reshape(count, width)
    return hex_of(np.ascontiguousarray(raw[:, :_HASH_BYTES]).reshape(-1), _HASH_BYTES)


def fields_of(body: bytes, key: str) -> list[bytes]:
    """The head fields of a row's body and, last, all its inputs' fields in one. Raises `Corrupt`."""
    fields = body.split(b"\0", _HEAD_FIELDS)
    if len(fields) < _HEAD_FIELDS:
        raise Corrupt(f"entry {key!r} of a datum tree is not a datum row: run `pachy fsck`")
    return fields if len(fields) > _HEAD_FIELDS else [*fields, b""]


def split_fields(rows: pa.Table) -> list[Any]:
    """`fields_of` all rows, as a binary array for each field. Raises `Corrupt`."""
    bodies: Any = single(rows["inline"])
    split: Any = pc.split_pattern
    found: Any = split(bodies, "\0", max_splits=_HEAD_FIELDS)
    complete = pc.equal(pc.list_value_length(found), pa.scalar(_HEAD_FIELDS + 1))
    if bodies.null_count or not pc.all(complete).as_py():
        # A row without inputs, or a broken one.
        fields = [fields_of(body, key) for key, body in bodies_of(rows)]
        return [pa.array(column, pa.binary()) for column in zip(*fields, strict=True)]
    flat = found.flatten()
    return [flat.take(as_array(np.arange(place, len(flat), _HEAD_FIELDS + 1))) for place in range(_HEAD_FIELDS + 1)]


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


def ascending(keys: Any) -> Any:
    """A string array in the order of trees."""
    return keys.take(as_array(sort_places(keys)))
