"""What differs between two trees: nodes of equal id are dropped unopened."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Any

import numpy as np

from airflow_pachy.pfs.tree import functions
from airflow_pachy.pfs.tree.ranges import Slice
from airflow_pachy.pfs.tree.rows import entries_of
from airflow_pachy.pfs.tree.schema import LEAF

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from airflow_pachy.pfs.tree.entries import Entry
    from airflow_pachy.pfs.tree.node import Child
    from airflow_pachy.pfs.tree.nodes import NodeStore
    from airflow_pachy.pfs.tree.refs import NodeRef


_IDENTITY = ["hash", "size", "executable"]
# How many leaves of each side are read at a time: at first few, for who wants only one difference.
_AHEAD, _MOST_AHEAD = 4, 8


@dataclass(frozen=True, slots=True)
class TreeDiff:
    """A path whose file differs: `new` is None if it is gone, `old` if it was not there."""

    path: str
    new: Entry | None
    old: Entry | None


def diff_trees(nodes: NodeStore, new: NodeRef | None, old: NodeRef | None, start: str, end: str) -> Iterator[TreeDiff]:
    """Differences of paths in `[start, end)`, in path order."""
    for came, went in diff_tables(nodes, new, old, start, end):
        fresh = {entry.path: entry for entry in entries_of(came)}
        former = {entry.path: entry for entry in entries_of(went)}
        for path in sorted(fresh.keys() | former.keys()):
            yield TreeDiff(path, fresh.get(path), former.get(path))


def diff_tables(
    nodes: NodeStore, new: NodeRef | None, old: NodeRef | None, start: str, end: str
) -> Iterator[tuple[pa.Table, pa.Table]]:
    """The same as columns: rows that only `new` has, and rows that only `old` has, for one range of keys after another.

    A file that was changed is in both tables of one pair.
    """
    if (new.id if new else None) == (old.id if old else None):
        return
    nodes.load_all([root for root in (new, old) if root is not None])
    fresh, former = _Side(nodes, new, start, end), _Side(nodes, old, start, end)
    window = _AHEAD
    while True:
        _drop_equal(fresh, former)
        if fresh.is_new_ground or former.is_new_ground:
            nodes.load_all([*fresh.announce(former, window), *former.announce(fresh, window)])
            window = min(2 * window, _MOST_AHEAD)
        reach = min((key for key in (fresh.open_leaf(), former.open_leaf()) if key is not None), default=None)
        if reach is None:
            return
        came, went = _compare(fresh.take(reach), former.take(reach))
        if came.num_rows or went.num_rows:
            yield came, went


def _drop_equal(one: _Side, other: _Side) -> None:
    """Advance both sides over nodes of one identity, opening a node only where they differ below it."""
    while (mine := one.ahead) is not None and (theirs := other.ahead) is not None:
        if mine.ref.id == theirs.ref.id:
            one.skip()
            other.skip()
            continue
        level = max(mine.ref.level, theirs.ref.level)
        if level == 0:
            return
        if mine.ref.level == level:
            one.descend()
        if theirs.ref.level == level:
            other.descend()


class _Side:
    """One tree: the nodes to come, as a stack, and what is left of the leaf that is open."""

    def __init__(self, nodes: NodeStore, root: NodeRef | None, start: str, end: str) -> None:
        self._nodes = nodes
        self._start, self._end = start, end
        self._stack: list[Child] = [] if root is None else [nodes.span(root)]
        self._rows: Slice | None = None
        self._announced: set[str] = set()
        self._trim()

    @property
    def is_new_ground(self) -> bool:
        """Whether the next step opens a leaf that was not announced."""
        child = self.ahead
        return child is not None and child.ref.level == 0 and child.ref.id not in self._announced

    def announce(self, other: _Side, count: int) -> list[NodeRef]:
        """The next leaves that the other side has not, so that they will be opened: at most `count`."""
        known = {child.ref.id for child in other._stack}
        leaves = takewhile(lambda child: child.ref.level == 0, reversed(self._stack))
        refs = list(islice((child.ref for child in leaves if child.ref.id not in known), count))
        self._announced = {ref.id for ref in refs}
        return refs

    @property
    def ahead(self) -> Child | None:
        """The next node, if no leaf is open."""
        return self._stack[-1] if self._stack and self._rows is None else None

    def skip(self) -> None:
        """Leave the next node out."""
        self._stack.pop()
        self._trim()

    def descend(self) -> None:
        """Replace the next node by its children."""
        node = self._nodes.load(self._stack.pop().ref)
        self._stack += reversed(node.children)
        self._trim()

    def open_leaf(self) -> str | None:
        """Open the next leaf unless one is open; its last key in the range, or None at the end."""
        while self._rows is None and self._stack:
            if self._stack[-1].ref.level:
                self.descend()
                continue
            leaf = self._nodes.load(self._stack.pop().ref)
            low, high = leaf.bisect(self._start), leaf.bisect(self._end)
            self._rows = Slice(leaf, low, high) if low < high else None
            self._trim()
        return None if self._rows is None else str(self._rows.leaf.keys[self._rows.end - 1])

    def take(self, last: str) -> Slice | None:
        """Rows up to and including `last` of the leaf that is open."""
        rows = self._rows
        if rows is None:
            return None
        cut = min(rows.leaf.bisect(last + "\0"), rows.end)
        self._rows = Slice(rows.leaf, cut, rows.end) if cut < rows.end else None
        return Slice(rows.leaf, rows.start, cut)

    def _trim(self) -> None:
        while self._stack and self._stack[-1].last < self._start:
            self._stack.pop()
        if self._stack and self._stack[-1].first >= self._end:
            self._stack.clear()


def _compare(new: Slice | None, old: Slice | None) -> tuple[pa.Table, pa.Table]:
    """What two runs of rows have that the other has not, by identity."""
    came, went = _rows(new), _rows(old)
    if not came.num_rows or not went.num_rows:
        return came, went
    places: Any
    if came["path"].equals(went["path"]):  # files were changed, none came or went: the usual case by far
        places, twins = functions.as_array(np.arange(went.num_rows)), went
    else:
        places = functions.index_in(came["path"], value_set=went["path"].combine_chunks())
        twins = functions.take(went.select(_IDENTITY), places)
    same = np.ones(came.num_rows, np.bool_)
    for name in _IDENTITY:
        same &= functions.fill_null(functions.call("equal", came[name], twins[name]), False).to_numpy()
    kept = np.ones(went.num_rows, np.bool_)
    kept[places.to_numpy()[same].astype(np.int64)] = False
    return functions.filtered(came, ~same), functions.filtered(went, kept)


def _rows(rows: Slice | None) -> pa.Table:
    return LEAF.empty_table() if rows is None else rows.leaf.table[rows.start : rows.end]
