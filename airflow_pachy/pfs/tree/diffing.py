"""What differs between two trees: nodes of equal id are dropped unopened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from airflow_pachy.pfs.tree.ranges import Slice
from airflow_pachy.pfs.tree.rows import entries_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_pachy.pfs.tree.entries import Entry
    from airflow_pachy.pfs.tree.node import Child
    from airflow_pachy.pfs.tree.nodes import NodeStore
    from airflow_pachy.pfs.tree.refs import NodeRef


@dataclass(frozen=True, slots=True)
class TreeDiff:
    """A path whose file differs: `new` is None if it is gone, `old` if it was not there."""

    path: str
    new: Entry | None
    old: Entry | None


def diff_trees(nodes: NodeStore, new: NodeRef | None, old: NodeRef | None, start: str, end: str) -> Iterator[TreeDiff]:
    """Differences of paths in `[start, end)`, in path order."""
    if (new.id if new else None) == (old.id if old else None):
        return
    fresh, former = _Side(nodes, new, start, end), _Side(nodes, old, start, end)
    while True:
        _drop_equal(fresh, former)
        reach = min((key for key in (fresh.open_leaf(), former.open_leaf()) if key is not None), default=None)
        if reach is None:
            return
        yield from _compare(fresh.take(reach), former.take(reach))


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
        self._trim()

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


def _compare(new: Slice | None, old: Slice | None) -> Iterator[TreeDiff]:
    """Differences of two runs of rows, by identity; only rows that differ become entries."""
    fresh, former = _identities(new), _identities(old)
    changed = sorted(fresh.items() ^ former.items())
    paths = list(dict.fromkeys(path for path, _ in changed))
    came, went = _entries(new, paths), _entries(old, paths)
    for path in paths:
        yield TreeDiff(path, came.get(path), went.get(path))


def _identities(rows: Slice | None) -> dict[str, tuple[bytes, int, bool]]:
    if rows is None:
        return {}
    table = rows.leaf.table[rows.start : rows.end]
    columns = [table[name].to_pylist() for name in ("hash", "size", "executable")]
    return dict(zip(rows.keys(), zip(*columns, strict=True), strict=True))


def _entries(rows: Slice | None, paths: list[str]) -> dict[str, Entry]:
    if rows is None:
        return {}
    places = [place for path in paths if rows.leaf.has(place := rows.leaf.bisect(path), path)]
    return {entry.path: entry for entry in entries_of(rows.leaf.table.take(pa.array(places, pa.int64())))}
