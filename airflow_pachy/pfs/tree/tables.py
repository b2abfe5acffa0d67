"""Merging sorted rows, by column."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from airflow_pachy.pfs.tree import functions
from airflow_pachy.pfs.tree.node import Node

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

    Flags = npt.NDArray[np.bool_]

_FEW = 64


def merge_rows(
    old: Node | None, removed: set[str], ranges: Iterable[tuple[str, str]], added: pa.Table | None
) -> tuple[pa.Table, Flags]:
    """Rows of `old` without the removed keys and ranges, together with those of `added`, in key order.

    Every key in `added` must be in `removed`. Also tells for each row whether it was added.
    """
    kept = None if old is None else _keep(old, removed, list(ranges))
    if kept is None or not len(kept):
        if added is not None:
            return added, np.ones(added.num_rows, np.bool_)
        empty = old.table[:0] if old is not None else pa.table({"path": pa.array([], pa.string())})
        return empty, np.zeros(0, np.bool_)
    if added is None:
        return kept.table, np.zeros(len(kept), np.bool_)
    flags = np.zeros(len(kept) + added.num_rows, np.bool_)
    if added.num_rows <= _FEW:
        return _insert(kept, added, flags), flags
    flags[len(kept) :] = True
    joined = pa.concat_tables([kept.table, added])
    order = functions.sort_indices(joined.column(0))
    return functions.take(joined, order).combine_chunks(), flags[order.to_numpy()]


def _insert(kept: Node, added: pa.Table, flags: Flags) -> pa.Table:
    parts: list[pa.Table] = []
    start = 0
    keys: Any = added.column(0).to_pylist()
    for number, key in enumerate(keys):
        place = kept.bisect(key)
        parts += [kept.table[start:place], added[number : number + 1]]
        flags[place + number] = True
        start = place
    return pa.concat_tables([*parts, kept.table[start:]]).combine_chunks()


def _keep(old: Node, removed: set[str], ranges: list[tuple[str, str]]) -> Node:
    keep = np.ones(len(old), np.bool_)
    if 0 < len(removed) <= _FEW:
        for key in removed:
            place = old.bisect(key)
            if old.has(place, key):
                keep[place] = False
    elif removed:
        gone: Any = functions.is_in(old.keys, value_set=pa.array(removed, pa.string()))
        keep &= ~gone.to_numpy(zero_copy_only=False)
    for start, end in ranges:
        keep[old.bisect(start) : old.bisect(end)] = False
    return old if keep.all() else Node(functions.filtered(old.table, keep), old.level)
