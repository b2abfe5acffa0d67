"""A walk over the old nodes of one level, forwards only, skipping what no edit touches."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_pachy.pfs.tree.node import Child
    from airflow_pachy.pfs.tree.nodes import NodeStore
    from airflow_pachy.pfs.tree.refs import NodeRef


class Cursor:
    """Nodes of `level` below `root`, in order; `root` may be None or lower than `level`, then there are none."""

    def __init__(self, nodes: NodeStore, root: NodeRef | None, level: int) -> None:
        self._nodes = nodes
        self._root = root if root is not None and root.level >= level else None
        self._level = level
        self._walk: Iterator[Child] = self._from("")
        self._ahead: Child | None = None
        self._consumed: str | None = None

    def peek(self) -> Child | None:
        """The next node that was not consumed."""
        if self._ahead is None:
            self._ahead = next(self._walk, None)
        return self._ahead

    def seek(self, key: str) -> Child | None:
        """The first unconsumed node that ends at or after `key`, else the last node, if it is not consumed yet."""
        child = self.peek()
        if child is None or child.last >= key:
            return child
        start = key if self._consumed is None else max(key, self._consumed + "\0")
        self._walk, self._ahead = self._from(start), None
        if self.peek() is None and self._root is not None:
            last = self._nodes.rightmost(self._root, self._level)
            if self._consumed is None or last.last > self._consumed:
                self._ahead = last
        return self._ahead

    def consume(self, child: Child) -> None:
        """Go on behind `child`, which `peek` or `seek` gave."""
        self._consumed = child.last
        self._ahead = None

    def _from(self, key: str) -> Iterator[Child]:
        return iter(()) if self._root is None else self._nodes.children(self._root, self._level, key)
