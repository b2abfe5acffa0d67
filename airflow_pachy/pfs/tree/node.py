"""A decoded node: a sorted table with a key column, searched by bisection."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_pachy.errors import Corrupt
from airflow_pachy.pfs.tree.refs import NodeRef
from airflow_pachy.pfs.tree.schema import node_id, schema_of, single

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

PAST_EVERY_KEY = "\U0010ffff" * 1025  # longer than any file system lets a path be, of the last code point


def bisect(keys: Any, key: str, low: int = 0) -> int:
    """Number of keys of an ascending string column that are below `key`; the first `low` are known to be."""
    high = len(keys)
    while low < high:
        middle = (low + high) // 2
        if keys[middle].as_py() < key:
            low = middle + 1
        else:
            high = middle
    return low


def verified(table: pa.Table, ref: NodeRef) -> pa.Table:
    """The rows of a node, if they are those that its reference names. Raises `Corrupt`.

    Of a leaf the columns that identify its files are enough.
    """
    found = node_id(table, ref.level)
    if found != ref.id:
        raise Corrupt(f"{ref.object} holds rows of id {found[:16]}...: restore it from a backup of the bucket")
    return table


class Child(NamedTuple):
    """A child of an inner node: its reference and the range of keys that it holds."""

    ref: NodeRef
    first: str
    last: str

    @property
    def row(self) -> tuple[str, str, bytes, str, int, int]:
        """As a row of the inner node."""
        return self.last, self.first, bytes.fromhex(self.ref.id), self.ref.ulid, self.ref.rows, self.ref.bytes


class Node:
    """Rows of a leaf (`level` 0, keyed by path) or of an inner node (keyed by the last key below each child)."""

    def __init__(self, table: pa.Table, level: int) -> None:
        self.table = table
        self.level = level
        self.keys: Any = single(table.column(0))

    @property
    def size_bytes(self) -> int:
        """Memory taken, roughly: inner nodes also keep their rows as Python objects."""
        return int(self.table.get_total_buffer_size()) + (400 * len(self.keys) if self.level else 0)

    def __len__(self) -> int:
        return len(self.keys)

    def bisect(self, key: str) -> int:
        """Number of keys below `key`."""
        return bisect(self.keys, key)

    def has(self, position: int, key: str) -> bool:
        """Whether the row at `position` has this key."""
        return position < len(self.keys) and self.keys[position].as_py() == key

    @cached_property
    def children(self) -> list[Child]:
        """Children of an inner node, in order."""
        level = self.level - 1
        columns = (self.table[name].to_pylist() for name in schema_of(self.level).names)
        return [
            Child(NodeRef(level, rows, size, node_id.hex(), ulid), first, last)
            for last, first, node_id, ulid, rows, size in zip(*columns, strict=True)
        ]

    def children_from(self, key: str) -> Iterator[Child]:
        """Children that may hold keys at or after `key`, in order."""
        yield from self.children[self.bisect(key) :]
