"""Many rows at once, as columns: what is done a million times must not make a million Python objects.

Both functions do what `Tree.get` and `Tree.apply` do for single entries, at the cost of the leaves they touch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from airflow_pachy.errors import InvalidArgument
from airflow_pachy.pfs.tree import functions
from airflow_pachy.pfs.tree.merge import LevelEdit, lift
from airflow_pachy.pfs.tree.node import Node, bisect
from airflow_pachy.pfs.tree.schema import LEAF, single

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from airflow_pachy.pfs.tree.conflicts import ConflictCheck
    from airflow_pachy.pfs.tree.node import Child
    from airflow_pachy.pfs.tree.nodes import NodeStore
    from airflow_pachy.pfs.tree.refs import NodeRef
    from airflow_pachy.pfs.tree.splitter import Layout

_FEW = 64
_BATCH = 65_536
NO_KEYS: Any = pa.array([], pa.string())


def find_rows(nodes: NodeStore, root: NodeRef | None, keys: Any) -> Iterator[pa.Table]:
    """Rows of those of the ascending `keys` that the tree has, in order, leaf by leaf."""
    for ref, part in by_leaf(nodes, root, keys):
        leaf = nodes.load(ref)
        found = functions.take(leaf.table, _places(leaf, part))
        if found.num_rows:
            yield found


def by_leaf(nodes: NodeStore, root: NodeRef | None, keys: Any) -> Iterator[tuple[NodeRef, Any]]:
    """The leaves that may have some of the ascending `keys`, with these."""
    place = 0
    children = iter(()) if root is None or not len(keys) else nodes.children(root, 0, keys[0].as_py())
    for child in children:
        place = bisect(keys, child.first, place)
        if place == len(keys):
            return
        end = bisect(keys, child.last + "\0", place)
        if end > place:
            yield child.ref, keys[place:end]
            place = end


def _places(leaf: Node, keys: Any) -> Any:
    """Rows of the leaf that have one of the ascending keys."""
    if len(keys) > _FEW:
        hits: Any = functions.is_in(leaf.keys, value_set=_plain(keys))
        return np.flatnonzero(hits.to_numpy(zero_copy_only=False))
    wanted = keys.to_pylist()
    return [place for key in wanted if leaf.has(place := leaf.bisect(key), key)]


@dataclass(frozen=True, slots=True)
class RowChanges:
    """Keys whose rows go, and rows that come; both ascending. A key in both is replaced."""

    removed: Any
    added: pa.Table


def merge_tables(
    nodes: NodeStore, root: NodeRef | None, changes: RowChanges, layout: Layout, check: ConflictCheck | None
) -> NodeRef | None:
    """The root of the tree with the changes made.

    Without a `check`, keys are not taken for paths. Raises `InvalidArgument` for rows
    that are not in order.
    """
    for keys in (changes.removed, changes.added.column(0)):
        if len(keys) > 1 and not functions.call("all", functions.call("less", keys[:-1], keys[1:])).as_py():
            raise InvalidArgument("rows that are merged into a tree must be in the order of their keys, each key once")
    with nodes.writing() as writing:
        edit = _LeafMerge(writing, root, layout, check or _NoCheck())
        return lift(writing, root, edit.merge(changes.removed, changes.added), layout, edit.check)


class _NoCheck:
    """Stands for `ConflictCheck` where keys are not paths."""

    def look(self, paths: list[str], is_new: Any) -> None:
        """Nothing to see."""

    def finish(self, tree: Any) -> None:
        """Nothing was suspected."""


class _LeafMerge(LevelEdit):
    """The leaves of one tree, merged with columns instead of edits."""

    def __init__(self, nodes: NodeStore, root: NodeRef | None, layout: Layout, check: Any) -> None:
        super().__init__(nodes, root, 0, layout, check)
        self.check = check

    def merge(self, removed: Any, added: pa.Table) -> dict[str, Child | None]:
        """What became of the leaves, see `LevelEdit.run`."""
        keys = added.column(0)
        gone = come = 0
        while (child := self._upcoming(removed, gone, keys, come)) is not None:
            self._cursor.consume(child)
            self._touched[child.last] = None
            node = self._nodes.load(child.ref)
            self._replaced[child.last] = (child, node.table)
            next_gone = bisect(removed, child.last + "\0", gone)
            next_come = bisect(keys, child.last + "\0", come)
            part, places = added[come:next_come], None
            is_whole = self._run.is_empty and (next_come == added.num_rows or self._cursor.peek() is not None)
            if is_whole and next_gone == gone and part.num_rows:
                places = _places(node, _plain(part.column(0)))
            if places is not None and len(places) == part.num_rows:
                self._replace(child, replaced_rows(node, places, part))
            else:
                self._take(*merge_rows(node, removed[gone:next_gone], part, places))
            gone, come = next_gone, next_come
        for start in range(come, added.num_rows, _BATCH):
            part = added[start : start + _BATCH].combine_chunks()
            self._take(part, np.ones(part.num_rows, np.bool_))
        self._save(self._run.take_rest())
        return self._touched

    def _upcoming(self, removed: Any, gone: int, keys: Any, come: int) -> Child | None:
        """The next old leaf to work on; None when what is left comes after all of them, or is nothing."""
        if not self._run.is_empty:
            return self._cursor.peek()
        self._replaced.clear()
        following = [column[place].as_py() for column, place in ((removed, gone), (keys, come)) if place < len(column)]
        return self._cursor.seek(min(following)) if following else None

    def _replace(self, child: Child, table: pa.Table) -> None:
        """Save a leaf that has the keys it had: it ends where it ended, and no file of it is in a new place."""
        if self._replaced[child.last][1].equals(table):
            self._touched.pop(child.last)
        else:
            self._touched[child.last] = self._nodes.save(table, 0)

    def _take(self, table: pa.Table, flags: Any) -> None:
        self._run.add(table, flags)
        for piece in self._run.take_complete():
            self._save(piece)


def replaced_rows(old: Node, places: Any, added: pa.Table) -> pa.Table:
    """Rows of a leaf, of which those at these ascending places are replaced by the added ones."""
    order = np.arange(len(old))
    order[places] = len(old) + np.arange(added.num_rows)
    joined = pa.concat_tables([old.table, functions.conformed(added, LEAF)]).combine_chunks()
    replaced: pa.Table = functions.take(joined, order).combine_chunks()
    return replaced


def merge_rows(old: Node, removed: Any, added: pa.Table, places: Any = None) -> tuple[pa.Table, Any]:
    """Rows of a leaf without the removed keys, with the added rows, in order; and which of them were added.

    `places` are those of the keys in the leaf, if they are known.
    """
    drop = pa.concat_arrays([_plain(removed), _plain(added.column(0))])
    kept = old.table
    if len(drop):
        keep = np.ones(len(old), np.bool_)
        if places is None:
            places = _places(old, drop if len(drop) > _FEW else functions.take(drop, functions.sort_indices(drop)))
        keep[places] = False
        if not keep.all():
            kept = functions.filtered(old.table, keep)
    flags = np.zeros(kept.num_rows + added.num_rows, np.bool_)
    if not added.num_rows:
        return kept, flags
    flags[kept.num_rows :] = True
    joined = pa.concat_tables([kept, functions.conformed(added, LEAF)]).combine_chunks()
    order = functions.sort_indices(single(joined.column(0)))
    return functions.take(joined, order).combine_chunks(), flags[order.to_numpy()]


def _plain(column: Any) -> Any:
    return single(column) if isinstance(column, pa.ChunkedArray) else column


def concat_rows(tables: Iterable[pa.Table]) -> pa.Table:
    """The tables as one; an empty one with the columns of a leaf for none."""
    return pa.concat_tables([LEAF.empty_table(), *tables])


def gathered(tables: Iterable[pa.Table], rows: int) -> Iterator[pa.Table]:
    """The tables joined to larger ones, which have at least so many rows; the last one may have fewer."""
    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        if sum(one.num_rows for one in waiting) >= rows:
            yield concat_rows(waiting)
            waiting = []
    if waiting:
        yield concat_rows(waiting)
