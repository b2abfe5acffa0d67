"""Datums as columns: what plans are made of, because a million datums as objects are gigabytes and minutes.

A table of `DATUM` has a row per datum in listing order. Inputs of a kind that knows columns (`pfs`; `union`, `join`,
`group` and `cross` of such) go from the tree's columns to the table's; all others are listed as objects, a few
thousand at a time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain, islice, pairwise, starmap
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from blake3 import blake3

from airflow_pachy.pfs.tree import Directory
from airflow_pachy.pfs.tree.functions import as_array
from airflow_pachy.pfs.tree.schema import HASH, single
from airflow_pachy.pipelines.datums import ID_BYTES
from airflow_pachy.pipelines.inputs import PfsInput, UnionInput
from airflow_pachy.pipelines.inputs.combined import CombinedInput
from airflow_pachy.pipelines.inputs.fed import FedInput
from airflow_pachy.pipelines.keyed_tables import has_columns, keyed_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from airflow_pachy.pipelines.datums import DatumIdentity
    from airflow_pachy.pipelines.inputs import Captures, DatumInput, Input, Sources
    from airflow_pachy.pipelines.keyed_tables import Rows

_BATCH = 8_192

INPUT = pa.struct([("leaf", pa.int32()), ("path", pa.string()), ("hash", HASH), ("size", pa.int64())])
DATUM = pa.schema([pa.field("id", pa.string()), pa.field("inputs", pa.list_(INPUT))])


class LeafKey(NamedTuple):
    """What all datums that one input makes of one commit share."""

    name: str
    repo: str
    branch: str
    commit: str
    lazy: bool
    empty_files: bool
    captures: Captures | None = None


@dataclass(slots=True)
class Leaves:
    """The inputs that datums refer to by number."""

    keys: list[LeafKey] = field(default_factory=list)
    _numbers: dict[LeafKey, int] = field(default_factory=dict)

    def number(self, key: LeafKey) -> int:
        """The number of an input, a new one if it has none."""
        found = self._numbers.get(key)
        if found is None:
            found = self._numbers[key] = len(self.keys)
            self.keys.append(key)
        return found


def list_tables(node: Input, sources: Sources, identity: DatumIdentity, leaves: Leaves) -> Iterator[pa.Table]:
    """The datums of an input in listing order, as tables of `DATUM`; those that repeat are not dropped yet."""
    if type(node) is PfsInput:
        yield from _matches(node, sources, identity, leaves)
    elif type(node) is UnionInput:
        for member in node.members:
            yield from list_tables(member, sources, identity, leaves)
    elif isinstance(node, CombinedInput) and has_columns(node):
        for found in keyed_rows(node, sources, lambda leaf: leaves.number(_key_of(leaf, sources))):
            yield _identified(found, identity, leaves)
    elif isinstance(node, FedInput):
        yield from list_tables(node.leaf, sources, identity, leaves)
    else:
        waiting = node.datums(sources)
        while rows := list(islice(waiting, _BATCH)):
            yield table_of(rows, identity, leaves)


def table_of(rows: Sequence[tuple[DatumInput, ...]], identity: DatumIdentity, leaves: Leaves) -> pa.Table:
    """Datums that are already objects as a table."""
    prefix = identity.prefix()
    ids = _identify(prefix + b"".join([item.token for item in row]) for row in rows)
    items = list(chain.from_iterable(rows))
    numbers = [
        leaves.number(LeafKey(i.name, i.repo, i.branch, i.commit, i.lazy, i.empty_files, i.captures)) for i in items
    ]
    inputs = pa.StructArray.from_arrays(
        [
            pa.array(numbers, pa.int32()),
            pa.array([item.path for item in items], pa.string()),
            pa.array([item.hash for item in items], HASH),
            pa.array([item.size_bytes for item in items], pa.int64()),
        ],
        fields=list(INPUT),
    )
    return _table(ids, np.cumsum([0, *map(len, rows)]), inputs)


def _matches(node: PfsInput, sources: Sources, identity: DatumIdentity, leaves: Leaves) -> Iterator[pa.Table]:
    source = sources.by_leaf[node.source]
    number = leaves.number(_key_of(node, sources))
    name = node.name.encode()
    prefix = b"%s%d:%s" % (identity.prefix(), len(name), name)
    directories: list[tuple[DatumInput, ...]] = []
    for found in source.tree.glob_tables(node.glob, ("path", "hash", "size")):
        if isinstance(found, Directory):
            directories.append((node.datum_input(source, found),))
            if len(directories) < _BATCH:
                continue
        if directories:
            yield table_of(directories, identity, leaves)
            directories = []
        if not isinstance(found, Directory):
            yield _files(found, prefix, number)
    if directories:
        yield table_of(directories, identity, leaves)


def _key_of(leaf: PfsInput, sources: Sources) -> LeafKey:
    commit = sources.by_leaf[leaf.source].commit
    return LeafKey(leaf.name, leaf.repo, leaf.branch, commit, leaf.lazy, leaf.empty_files, leaf.captures)


def _identified(rows: Rows, identity: DatumIdentity, leaves: Leaves) -> pa.Table:
    columns: Any = [single(rows.files[field.name]) for field in INPUT]
    tokens, starts = _tokens(leaves, *columns[:3])
    prefix = identity.prefix()
    bounds = starts[rows.offsets].tolist()
    ids = _identify(prefix + tokens[start:end] for start, end in pairwise(bounds))
    return _table(ids, rows.offsets, pa.StructArray.from_arrays(columns, fields=list(INPUT)))


def _tokens(leaves: Leaves, numbers: Any, paths: Any, hashes: Any) -> tuple[bytes, Any]:
    """`identity_token` of all inputs, one behind the other, and where each begins and the last one ends."""
    encoded = [leaf.name.encode() for leaf in leaves.keys]
    names = pa.array([b"%d:%s" % (len(name), name) for name in encoded], pa.binary()).take(numbers)
    raw = paths.cast(pa.binary())
    join: Any = pc.binary_join_element_wise
    lengths: Any = pc.binary_length(raw).cast(pa.string()).cast(pa.binary())
    joined = join(join(names, lengths, b""), join(raw, hashes.cast(pa.binary()), b""), b":")
    return buffer_of(joined)


def buffer_of(values: Any) -> tuple[bytes, Any]:
    """The bytes of a binary array, one value behind the other, and where each begins and the last one ends."""
    _valid, offsets, data = values.buffers()
    starts = np.frombuffer(offsets, np.int32)[values.offset : values.offset + len(values) + 1]
    return (data.to_pybytes() if data is not None else b""), starts


def _files(rows: pa.Table, prefix: bytes, number: int) -> pa.Table:
    paths, hashes = single(rows["path"]), single(rows["hash"])
    raw: Any = paths.cast(pa.binary()).to_pylist()
    digests: Any = hashes.to_pylist()
    # `identity_token`, spelled out: this line runs for every datum of every plan.
    ids = _identify(b"%s%d:%s%s" % (prefix, len(path), path, digest) for path, digest in zip(raw, digests, strict=True))
    inputs = pa.StructArray.from_arrays(
        [pa.array(np.full(len(raw), number, np.int32)), paths, hashes, single(rows["size"])], fields=list(INPUT)
    )
    return _table(ids, np.arange(len(raw) + 1), inputs)


def _identify(tokens: Iterable[bytes]) -> Any:
    """The ids of datums of which these are the bytes to hash, as a string array."""
    return hex_of(b"".join([blake3(token).digest(length=ID_BYTES) for token in tokens]), ID_BYTES).cast(pa.string())


def hex_of(raw: Any, width: int) -> Any:
    """Values of `width` bytes each, one behind the other, as a binary array of their hex digits."""
    data = np.frombuffer(raw, np.uint8)
    digits = np.frombuffer(b"0123456789abcdef", np.uint8)
    text: Any = np.empty(2 * len(data), np.uint8)
    text[0::2], text[1::2] = digits[data >> 4], digits[data & 15]
    count = len(data) // width
    offsets: Any = np.arange(0, len(text) + 1, 2 * width, dtype=np.int32)
    return pa.Array.from_buffers(pa.binary(), count, [None, pa.py_buffer(offsets), pa.py_buffer(text)])


def _table(ids: Any, offsets: Any, inputs: Any) -> pa.Table:
    column = pa.ListArray.from_arrays(as_array(np.asarray(offsets, np.int32)), inputs)
    return pa.table([ids, column], schema=DATUM)


def concat(tables: Iterable[pa.Table]) -> pa.Table:
    """Tables of datums as one."""
    return pa.concat_tables([DATUM.empty_table(), *tables])


def distinct(datums: pa.Table) -> pa.Table:
    """Each datum once, where it comes first."""
    if datums.num_rows <= _BATCH and len(set(datums["id"].to_pylist())) == datums.num_rows:
        # Grouping imports all that Arrow has for data sets, which takes longer than a small plan should.
        return datums
    numbered: Any = pa.table({"id": datums["id"], "place": as_array(np.arange(datums.num_rows))})
    first = numbered.group_by("id", use_threads=False).aggregate([("place", "min")])["place_min"]
    if len(first) == datums.num_rows:
        return datums
    return datums.take(first.take(pc.sort_indices(first)))


class FlatInputs(NamedTuple):
    """The inputs of a table of datums, one after the other: those of datum n are `[offsets[n], offsets[n + 1])`."""

    offsets: Any
    leaf: list[int]
    path: list[str]
    hash: list[bytes]
    size: Any


def flatten(datums: pa.Table) -> FlatInputs:
    """The inputs of the datums as plain lists, `offsets` and `size` as numpy arrays."""
    column: Any = single(datums["inputs"])
    flat = column.flatten()
    offsets = column.offsets.to_numpy()
    leaf, path, digest, size = (flat.field(number) for number in range(4))
    return FlatInputs(offsets - offsets[0], leaf.to_pylist(), path.to_pylist(), digest.to_pylist(), size.to_numpy())


def per_datum(flat: FlatInputs, pieces: list[Any]) -> list[list[Any]]:
    """`pieces`, one for each input, as one list for each datum."""
    bounds = flat.offsets.tolist()
    return list(starmap(lambda start, end: pieces[start:end], pairwise(bounds)))


def sizes_of(datums: pa.Table) -> Any:
    """Bytes of each datum's inputs, as a numpy array."""
    parts = [np.zeros(0, np.int64)]
    for batch in datums.to_batches():
        column: Any = batch["inputs"]
        total = np.concatenate([[0], np.cumsum(column.flatten().field(3).to_numpy())])
        offsets = column.offsets.to_numpy()
        parts.append(np.diff(total[offsets - offsets[0]]))
    return np.concatenate(parts)
