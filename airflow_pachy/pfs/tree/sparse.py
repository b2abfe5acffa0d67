"""A leaf of which only what identifies its files is decoded, and the rest for those rows that are asked for.

Who compares two leaves looks at every path and hash, which are a third of the work of decoding a leaf, and at the
rest of few rows or none. Of two neighbours whose files have the same paths, these are decoded once; and row groups that
both have, byte by byte, are not decoded at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from airflow_pachy.errors import Corrupt
from airflow_pachy.pfs.tree import functions
from airflow_pachy.pfs.tree.node import Node, verified
from airflow_pachy.pfs.tree.schema import LEAF, SEGMENT
from airflow_pachy.pfs.tree.stored import IDENTITY, StoredLeaf

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

WITHOUT_CONTENTS = pa.schema([field for field in LEAF if field.name not in {"segments", "inline"}])


class SparseLeaf(Node):
    """A leaf whose `table` has the columns of `IDENTITY`, verified; its object is kept for the others."""

    def __init__(self, stored: StoredLeaf, like: Node | None = None) -> None:
        """Paths that are encoded like those of the leaf `like` are not decoded again. Raises `Corrupt`."""
        self._stored = stored
        self._groups = range(stored.group_count)
        super().__init__(verified(_read(stored, self._groups, IDENTITY, like), stored.ref), 0)

    def rest(self, schema: pa.Schema, rows: int) -> pa.Table:
        """Other columns of the first `rows` rows, or of some more. Raises `Corrupt`."""
        return self._stored.read(schema, self._groups, rows)

    def encoded_paths(self) -> list[pa.Buffer]:
        """See `StoredLeaf.encoded_paths`."""
        return self._stored.encoded_paths(self._groups)


class PartialLeaf(Node):
    """Some row groups of a leaf, decoded at once, checked by the checksums of their pages."""

    def __init__(self, stored: StoredLeaf, groups: Sequence[int], schema: pa.Schema, like: Node | None = None) -> None:
        """`stored` must be one that is checked. For `like` see `SparseLeaf`. Raises `Corrupt`."""
        self._stored = stored
        self._groups = groups
        super().__init__(_read(stored, groups, schema, like), 0)

    @property
    def left_out(self) -> int:
        """How many of the leaf's rows are not here."""
        return self._stored.ref.rows - len(self)

    def encoded_paths(self) -> list[pa.Buffer]:
        """See `StoredLeaf.encoded_paths`."""
        return self._stored.encoded_paths(self._groups)


def differing(one: StoredLeaf, other: StoredLeaf, schema: pa.Schema) -> tuple[Node, Node]:
    """Two leaves of different ids without the row groups that both have: what differs between them is in the rest.

    Of the rest the columns of `schema` are decoded. Both must be checked. Raises `Corrupt`.
    """
    shared = one.shared_groups(other)
    if not shared:
        first = SparseLeaf(one)
        return first, SparseLeaf(other, first)
    mine = [group for group in range(one.group_count) if group not in shared]
    theirs = sorted(set(range(other.group_count)) - set(shared.values()))
    if not mine and not theirs:
        raise Corrupt(
            f"{one.ref.object} and {other.ref.object} hold the same rows, so one is not what its name says: run"
            " `pachy fsck`, and restore it from a backup of the bucket"
        )
    part = PartialLeaf(one, mine, schema)
    return part, PartialLeaf(other, theirs, schema, part)


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


def _read(stored: StoredLeaf, groups: Sequence[int], schema: pa.Schema, like: Node | None) -> pa.Table:
    """Columns of which the first is that of paths."""
    if isinstance(like, SparseLeaf | PartialLeaf) and _is_same(stored.encoded_paths(groups), like.encoded_paths()):
        others = stored.read(pa.schema(list(schema)[1:]), groups)
        return pa.table([like.table.column(0), *others.columns], schema=schema)
    return stored.read(schema, groups)


def _is_same(mine: list[pa.Buffer], theirs: list[pa.Buffer]) -> bool:
    return bool(mine) and len(mine) == len(theirs) and all(map(pa.Buffer.equals, mine, theirs))
