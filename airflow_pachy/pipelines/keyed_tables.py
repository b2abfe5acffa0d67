"""Joins, groups and crosses as columns: all members' files sorted by key, and for each datum the places of its files.

It gives what `JoinInput.datums`, `GroupInput.datums` and `CrossInput.datums` give, in the same order, for members that
are repos or unions of repos; a million datums as objects are too slow and too large. Sorting is stable, so files of one
key stay in the order of the members and of their paths. A cross is a join of files that all have one key.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from airflow_pachy.pfs.tree import Directory
from airflow_pachy.pfs.tree.schema import HASH, single
from airflow_pachy.pipelines.inputs import CrossInput, GroupInput, JoinInput, PfsInput, UnionInput
from airflow_pachy.pipelines.inputs.keyed import KeyedInput
from airflow_pachy.pipelines.inputs.keys import key_filler, text_around
from airflow_pachy.pipelines.plain_memory import release_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_pachy.pipelines.inputs import Input, Sources
    from airflow_pachy.pipelines.inputs.combined import CombinedInput

_CHUNK = 65_536
_COLUMNS: dict[str, Any] = {"leaf": pa.int32(), "path": pa.string(), "hash": HASH, "size": pa.int64()}
_FILE = pa.schema(_COLUMNS)


class Rows(NamedTuple):
    """Some datums: `files` has the columns leaf, path, hash size; of datum n at `[offsets[n], offsets[n+1])`."""

    files: pa.Table
    offsets: Any


def has_columns(node: Input) -> bool:
    """Whether `keyed_rows` can list this input."""
    return isinstance(node, (JoinInput, GroupInput, CrossInput)) and all(map(_is_plain, node.members))


def _is_plain(member: Input) -> bool:
    return type(member) is PfsInput or (type(member) is UnionInput and all(map(_is_plain, member.members)))


def keyed_rows(node: CombinedInput, sources: Sources, number: Callable[[PfsInput], int]) -> Iterator[Rows]:
    """The datums of such an input, some at a time; `number` gives what is written for a leaf."""
    files, keys, members = _all_files(node, sources, number)
    if not files.num_rows:
        return
    places, starts = _sorted(keys) if isinstance(node, KeyedInput) else (np.arange(files.num_rows), np.zeros(1, int))
    del keys
    release_memory(files.num_rows)
    if isinstance(node, GroupInput):
        yield from _grouped(files, places, np.append(starts, files.num_rows))
        return
    outer = node.outer if isinstance(node, JoinInput) else [False] * len(node.members)
    yield from _joined(files, places, starts, members[places], np.array(outer))


def _sorted(keys: Any) -> tuple[Any, Any]:
    """The order of files by key, and where in it each key's files begin."""
    order: Any = pc.sort_indices(keys)
    keys = keys.take(order)
    same: Any = pc.equal(keys[1:], keys[:-1])
    return order.to_numpy(), np.concatenate([[0], np.flatnonzero(~same.to_numpy(zero_copy_only=False)) + 1])


def _all_files(node: CombinedInput, sources: Sources, number: Callable[[PfsInput], int]) -> tuple[pa.Table, Any, Any]:
    """All files of all members, their keys if they have any, and the number of the member that each comes from."""
    tables: list[pa.Table]
    tables, keys, members = [_FILE.empty_table()], [pa.array([], pa.string())], [np.zeros(0, np.int32)]
    for place, member in enumerate(node.members):
        for leaf in member.leaves():
            for files in _files(leaf, sources, number(leaf)):
                tables.append(files)
                if isinstance(node, KeyedInput):
                    keys.append(_keys(leaf.glob, node.template(leaf), single(files["path"])))
                members.append(np.full(files.num_rows, place, np.int32))
    files = pa.concat_tables(tables)
    tables.clear()
    for place, column in enumerate(_FILE):
        # One column after the other, so that there are never two of everything.
        files = files.set_column(place, column, pa.concat_arrays(files.column(place).chunks))
    return files, pa.concat_arrays(keys), np.concatenate(members)


def _keys(pattern: str, template: str, paths: Any) -> Any:
    """The keys of paths that the glob matches."""
    around = text_around(pattern, template)
    if around is None:
        return pa.array(list(map(key_filler(pattern, template), paths.to_pylist())), pa.string())
    before, behind = map(len, around)
    return pc.utf8_slice_codeunits(paths, before, -behind if behind else None)


def _files(leaf: PfsInput, sources: Sources, number: int) -> Iterator[pa.Table]:
    source = sources.by_leaf[leaf.source]
    directories: list[Directory] = []

    def waiting() -> Iterator[pa.Table]:
        if directories:
            items = [leaf.datum_input(source, found) for found in directories]
            columns = [
                [item.path for item in items],
                [item.hash for item in items],
                [item.size_bytes for item in items],
            ]
            directories.clear()
            yield pa.table([[number] * len(items), *columns], schema=_FILE)

    for found in source.tree.glob_tables(leaf.glob, ("path", "hash", "size")):
        if isinstance(found, Directory):
            directories.append(found)
            continue
        yield from waiting()
        numbers: Any = np.full(found.num_rows, number, np.int32)
        yield pa.table([numbers, *(single(found[name]) for name in ("path", "hash", "size"))], schema=_FILE)
    yield from waiting()


def _grouped(files: pa.Table, places: Any, bounds: Any) -> Iterator[Rows]:
    """A datum for each run of files with one key."""
    cuts = np.searchsorted(bounds, np.arange(0, bounds[-1], _CHUNK))
    for first, last in pairwise(np.unique([*cuts, len(bounds) - 1]).tolist()):
        offsets = bounds[first : last + 1]
        yield Rows(files.take(pa.array(places[offsets[0] : offsets[-1]])), offsets - offsets[0])


def _joined(files: pa.Table, places: Any, starts: Any, members: Any, outer: Any) -> Iterator[Rows]:
    """Every combination of one file of each member, the first member varying fastest."""
    count = len(outer)
    # By key and member: how many files, and where the first of them is.
    cells = np.searchsorted(starts, np.arange(len(members)), side="right") - 1
    sizes = np.bincount(cells * count + members, minlength=len(starts) * count).reshape(len(starts), count)
    # From here on there is one of these for each key and member.
    del cells, members
    first = starts[:, None] + np.cumsum(sizes, axis=1) - sizes
    complete: Any = (sizes > 0).all(axis=1)
    taking_part = (sizes > 0) & (complete[:, None] | outer[None, :])
    factors = np.where(taking_part, sizes, 1)
    products = np.where(taking_part.any(axis=1), factors.prod(axis=1), 0)
    strides = np.cumprod(factors, axis=1) // factors
    del sizes, complete
    ends = np.cumsum(products)
    for begin in range(0, int(ends[-1]), _CHUNK):
        numbers = np.arange(begin, min(begin + _CHUNK, int(ends[-1])))
        key = np.searchsorted(ends, numbers, side="right")
        within = numbers - (ends[key] - products[key])
        chosen = taking_part[key]
        ordered = (first[key] + within[:, None] // strides[key] % factors[key])[chosen]
        offsets = np.concatenate([[0], np.cumsum(chosen.sum(axis=1))])
        yield Rows(files.take(pa.array(places[ordered])), offsets)
