"""A leaf of which only what identifies its files is decoded, and the rest for those rows that are asked for.

Who compares two leaves looks at every path and hash, which are a third of the work of decoding a leaf, and at the
rest of few rows or none. Of two neighbours a column that is the same, as that of paths is where no file came or went,
is decoded once; and row groups that both have, byte by byte, are not decoded at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

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
    """Some columns of some row groups of a leaf; its object is kept for the others."""

    def __init__(
        self, stored: StoredLeaf, schema: pa.Schema, groups: Sequence[int], like: SparseLeaf | None = None
    ) -> None:
        """Columns that are encoded like those of the leaf `like` are not decoded again. Raises `Corrupt`."""
        self._stored = stored
        self._groups = groups
        shared = {} if like is None else self._shared(like, schema)
        others = stored.read(pa.schema([field for field in schema if field.name not in shared]), groups)
        columns = [shared[name] if name in shared else others[name] for name in schema.names]
        super().__init__(pa.table(columns, schema=schema), 0)

    @classmethod
    def verified(cls, stored: StoredLeaf, like: Node | None = None) -> SparseLeaf:
        """The columns of `IDENTITY` of all rows. Raises `Corrupt`."""
        twin = like if isinstance(like, SparseLeaf) else None
        leaf = cls(stored, IDENTITY, range(stored.group_count), twin)
        verified(leaf.table, stored.ref)
        return leaf

    @property
    def left_out(self) -> int:
        """How many of the leaf's rows are not here."""
        return self._stored.ref.rows - len(self)

    def rest(self, schema: pa.Schema, rows: int) -> pa.Table:
        """Other columns of the first `rows` rows, or of some more. Raises `Corrupt`."""
        return self._stored.read(schema, self._groups, rows)

    def _shared(self, like: SparseLeaf, schema: pa.Schema) -> dict[str, pa.ChunkedArray[Any]]:
        names = [name for name in schema.names if name in like.table.column_names and name != "segments"]
        return {
            name: like.table[name]
            for name in names
            if self._stored.is_encoded_like(like._stored, name, self._groups, like._groups)
        }


def differing(one: StoredLeaf, other: StoredLeaf, schema: pa.Schema) -> tuple[Node, Node]:
    """Two leaves of different ids without the row groups that both have: what differs between them is in the rest.

    Of the rest the columns of `schema` are decoded. Both must be checked. Raises `Corrupt`.
    """
    shared = one.shared_groups(other)
    if not shared:
        whole = SparseLeaf.verified(one)
        return whole, SparseLeaf.verified(other, whole)
    mine = [group for group in range(one.group_count) if group not in shared]
    theirs = sorted(set(range(other.group_count)) - set(shared.values()))
    if not mine and not theirs:
        raise Corrupt(
            f"{one.ref.object} and {other.ref.object} hold the same rows, so one is not what its name says: run"
            " `pachy fsck`, and restore it from a backup of the bucket"
        )
    part = SparseLeaf(one, schema, mine)
    return part, SparseLeaf(other, schema, theirs, part)


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
        if not set(self._schema.names) <= set(self.leaf.table.column_names):
            parts.append(self._read_rest(int(places[-1]) + 1))
        columns: dict[str, Any] = {}
        for part in parts:
            wanted = part.select([name for name in part.column_names if name in self._schema.names])
            columns |= zip(wanted.column_names, _take(wanted, places).columns, strict=True)
        return pa.table([columns[name] for name in self._schema.names], schema=self._schema)

    def _read_rest(self, rows: int) -> pa.Table:
        leaf = cast("SparseLeaf", self.leaf)
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
