"""Rows that wait for their next cut."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from airflow_pachy.pfs.tree import functions
from airflow_pachy.pfs.tree.splitter import find_cuts, hash_keys

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_pachy.pfs.tree.tables import Flags

    Piece = tuple[pa.Table, Flags]


class Run:
    """Collects rows of one level from a cut onwards and gives back the nodes that become complete."""

    def __init__(self, level: int, target: int) -> None:
        self._level = level
        self._target = target
        self._tables: list[pa.Table] = []
        self._flags: list[Flags] = []
        self._hashes = np.zeros(0, np.uint64)

    @property
    def is_empty(self) -> bool:
        """Whether the last row added ended a node."""
        return not len(self._hashes)

    def add(self, table: pa.Table, flags: Flags) -> None:
        """Append rows; keys must come after those already here."""
        if not table.num_rows:
            return
        keys: Any = functions.cast(table.column(0), pa.binary()).to_pylist()
        self._tables.append(table)
        self._flags.append(flags)
        self._hashes = np.concatenate([self._hashes, hash_keys(keys, self._level, len(keys))])

    def take_complete(self) -> Iterator[Piece]:
        """Nodes that end with a cut."""
        cuts = find_cuts(self._hashes, self._target)
        if not cuts:
            return
        table, flags = self._all()
        start = 0
        for cut in cuts:
            yield table[start:cut], flags[start:cut]
            start = cut
        self._hashes = self._hashes[start:]
        rest = len(self._hashes)
        self._tables, self._flags = ([table[start:]], [flags[start:]]) if rest else ([], [])

    def take_rest(self) -> Piece | None:
        """The last node of the level, which ends without a cut; None if there is nothing left."""
        if self.is_empty:
            return None
        rest = self._all()
        self._tables, self._flags, self._hashes = [], [], np.zeros(0, np.uint64)
        return rest

    def _all(self) -> Piece:
        if len(self._tables) == 1:
            return self._tables[0], self._flags[0]
        return pa.concat_tables(self._tables), np.concatenate(self._flags)
