"""New trees out of old ones: edits are merged into the nodes they touch, all others are carried over by reference.

One procedure serves every level. The edits of a level change some of its nodes; each old node that is gone and each
new one is an edit of the level above, whose rows are these nodes. Rows are cut anew from the first touched node until
a new cut meets an old one; from there on the old nodes are what a build from scratch would give, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_pachy.pfs.tree.changes import Edit, Edits, leaf_edits
from airflow_pachy.pfs.tree.cursor import Cursor
from airflow_pachy.pfs.tree.node import Child, Node
from airflow_pachy.pfs.tree.rows import inner_table, leaf_table
from airflow_pachy.pfs.tree.run import Run
from airflow_pachy.pfs.tree.tables import merge_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pyarrow as pa

    from airflow_pachy.pfs.tree.conflicts import ConflictCheck
    from airflow_pachy.pfs.tree.entries import Change
    from airflow_pachy.pfs.tree.nodes import NodeStore
    from airflow_pachy.pfs.tree.refs import NodeRef
    from airflow_pachy.pfs.tree.splitter import Layout

_BATCH = 65_536


def apply_changes(
    nodes: NodeStore, root: NodeRef | None, changes: Iterable[Change], layout: Layout, check: ConflictCheck
) -> NodeRef | None:
    """The root of the tree with `changes` (in path order) applied; the same `root` if they change nothing."""
    with nodes.writing() as writing:
        touched = LevelEdit(writing, root, 0, layout, check).run(leaf_edits(changes))
        return lift(writing, root, touched, layout, check)


def lift(
    nodes: NodeStore, root: NodeRef | None, touched: dict[str, Child | None], layout: Layout, check: ConflictCheck
) -> NodeRef | None:
    """The root above leaves of which some were `touched`, see `LevelEdit.run`."""
    level = 0
    while touched:
        if root is None or root.level <= level:
            tops: dict[str, Child | None] = {} if root is None else {(top := nodes.span(root)).last: top}
            tops = {key: child for key, child in (tops | touched).items() if child is not None}
            if len(tops) <= 1:
                nodes.settle()
                return next((_lowest(nodes, child.ref) for child in tops.values() if child is not None), None)
            root, touched = None, dict(tops)
        level += 1
        edits = (Edit(key, touched[key]) for key in sorted(touched))
        touched = LevelEdit(nodes, root, level, layout, check).run(edits)
    return root


def _lowest(nodes: NodeStore, root: NodeRef) -> NodeRef:
    """Without inner nodes of one child at the top: a build from scratch would stop below them."""
    while root.level and len(children := nodes.load(root).children) == 1:
        root = children[0].ref
    return root


class LevelEdit:
    """Edits of one level of one tree."""

    def __init__(
        self, nodes: NodeStore, root: NodeRef | None, level: int, layout: Layout, check: ConflictCheck
    ) -> None:
        self._nodes = nodes
        self._level = level
        self._check = check
        self._cursor = Cursor(nodes, root, level)
        self._run = Run(level, layout.target(level))
        self._ranges: list[tuple[str, str]] = []
        self._touched: dict[str, Child | None] = {}
        self._replaced: dict[str, tuple[Child, pa.Table]] = {}

    def run(self, edit_stream: Iterable[Edit[Any]]) -> dict[str, Child | None]:
        """What became of this level's nodes, by their last key: a new or changed node, or None for one that is gone."""
        edits = Edits(edit_stream)
        while (child := self._next_child(edits)) is not None:
            self._absorb(child, edits)
        while batch := edits.take(lambda _key: True, _BATCH):
            self._merge(None, batch)
        self._save(self._run.take_rest())
        return self._touched

    def _next_child(self, edits: Edits[Any]) -> Child | None:
        """The next old node to work on; None when what is left comes after all old nodes."""
        if not self._run.is_empty:
            return self._cursor.peek()
        self._replaced.clear()
        if self._ranges:
            child = self._cursor.peek()
            if child is not None and child.first < max(end for _, end in self._ranges):
                return child
            self._ranges = []
        return None if edits.next is None else self._cursor.seek(edits.next.key)

    def _absorb(self, child: Child, edits: Edits[Any]) -> None:
        self._cursor.consume(child)
        self._touched[child.last] = None
        if self._is_gone(child) and (edits.next is None or edits.next.key > child.last):
            return
        node = self._nodes.load(child.ref)
        self._replaced[child.last] = (child, node.table)
        rest: Node | None = node
        while rest is not None:
            batch = edits.take(lambda key: key <= child.last, _BATCH)
            part = rest
            if len(batch) == _BATCH and (count := rest.bisect(batch[-1].key + "\0")) < len(rest):
                part, rest = Node(rest.table[:count], self._level), Node(rest.table[count:], self._level)
            elif len(batch) == _BATCH:
                part, rest = rest, Node(rest.table[:0], self._level)
            else:
                rest = None
            self._merge(part, batch)
        self._ranges = [(start, end) for start, end in self._ranges if end > child.last]

    def _is_gone(self, child: Child) -> bool:
        return any(start <= child.first and child.last < end for start, end in self._ranges)

    def _merge(self, old: Node | None, batch: list[Edit[Any]]) -> None:
        rows: dict[str, Any] = {}
        removed: set[str] = set()
        for edit in batch:
            if edit.end is not None:
                self._ranges.append((edit.key, edit.end))
                continue
            removed.add(edit.key)
            if edit.row is None:
                rows.pop(edit.key, None)
            else:
                rows[edit.key] = edit.row
        added = self._table(list(rows.values())) if rows else None
        self._run.add(*merge_rows(old, removed, self._ranges, added))
        for piece in self._run.take_complete():
            self._save(piece)

    def _table(self, rows: list[Any]) -> pa.Table:
        return leaf_table(rows) if self._level == 0 else inner_table([child.row for child in rows])

    def _save(self, piece: tuple[pa.Table, Any] | None) -> None:
        if piece is None:
            return
        table, is_new = piece
        if self._level == 0:
            paths: Any = table["path"].to_pylist()
            self._check.look(paths, is_new)
        last = table.column(0)[-1].as_py()
        replaced = self._replaced.get(last)
        if replaced is not None and replaced[1].equals(table):
            self._touched.pop(last, None)
            return
        self._touched[last] = self._nodes.save(table, self._level)


def iterate_levels(nodes: NodeStore, root: NodeRef) -> Iterator[NodeRef]:
    """Every node below and including `root`, parents first: what a garbage collector has to keep."""
    yield root
    if root.level:
        for child in nodes.load(root).children:
            yield from iterate_levels(nodes, child.ref)
