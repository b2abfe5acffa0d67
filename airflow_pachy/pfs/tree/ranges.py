"""Walking a range of keys: leaves that are needed, and only their references where a whole node says the same thing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_pachy.pfs.tree import functions
from airflow_pachy.pfs.tree.node import PAST_EVERY_KEY, Child, Node
from airflow_pachy.pfs.tree.rows import entries_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_pachy.pfs.tree.entries import Entry
    from airflow_pachy.pfs.tree.nodes import NodeStore
    from airflow_pachy.pfs.tree.refs import NodeRef

# No file's path holds a NUL. Rows that begin with one are attributes of directories; all of them sort before this.
FIRST_PATH = "\x01"
_FIRST_ROWS = 64
_MOST_ROWS = 4096


@dataclass(frozen=True, slots=True)
class Slice:
    """Rows `[start, end)` of a leaf."""

    leaf: Node
    start: int
    end: int

    def keys(self) -> list[str]:
        """Their paths."""
        keys: list[str] = self.leaf.keys[self.start : self.end].to_pylist()
        return keys

    def size_bytes(self) -> int:
        """Total size of their files."""
        return int(functions.call("sum", self.leaf.table["size"][self.start : self.end]).as_py() or 0)

    def entries(self, *, reverse: bool = False) -> Iterator[Entry]:
        """Their entries, decoded a few at a time at first: most callers of a page want no more."""
        step, start, end = _FIRST_ROWS, self.start, self.end
        while start < end:
            if reverse:
                cut = max(start, end - step)
                yield from reversed(list(entries_of(self.leaf.table[cut:end])))
                end = cut
            else:
                cut = min(end, start + step)
                yield from entries_of(self.leaf.table[start:cut])
                start = cut
            step = min(step * 4, _MOST_ROWS)


def prefix_end(prefix: str) -> str:
    """The least string above all that start with `prefix`, as Python compares strings."""
    kept = prefix.rstrip("\U0010ffff")
    return kept[:-1] + chr(ord(kept[-1]) + 1) if kept else PAST_EVERY_KEY


def walk(
    nodes: NodeStore,
    root: NodeRef | None,
    start: str,
    end: str,
    *,
    reverse: bool = False,
    fold: Callable[[Child], bool] = lambda child: False,  # noqa: ARG005 - whatever the child
) -> Iterator[Slice | Child]:
    """What lies in `[start, end)`, in order: slices of leaves, and unopened nodes inside for which `fold` holds."""
    if root is not None:
        top = nodes.span(root)
        yield from _walk(nodes, top, start, end, reverse=reverse, fold=fold)


def _walk(
    nodes: NodeStore, child: Child, start: str, end: str, *, reverse: bool, fold: Callable[[Child], bool]
) -> Iterator[Slice | Child]:
    if child.last < start or child.first >= end:
        return
    if start <= child.first and child.last < end and fold(child):
        yield child
        return
    node = nodes.load(child.ref)
    if child.ref.level == 0:
        yield from _slice(child, node, start, end)
        return
    within = [one for one in node.children[node.bisect(start) :] if one.first < end]
    if reverse:
        within.reverse()
    if child.ref.level > 1:
        for one in within:
            yield from _walk(nodes, one, start, end, reverse=reverse, fold=fold)
        return
    folded = [start <= one.first and one.last < end and fold(one) for one in within]
    leaves = nodes.ahead(one for one, is_folded in zip(within, folded, strict=True) if not is_folded)
    for one, is_folded in zip(within, folded, strict=True):
        if is_folded:
            yield one
        else:
            yield from _slice(one, next(leaves), start, end)


def _slice(child: Child, leaf: Node, start: str, end: str) -> Iterator[Slice]:
    low = leaf.bisect(start) if start > child.first else 0
    high = leaf.bisect(end) if end <= child.last else len(leaf)
    if low < high:
        yield Slice(leaf, low, high)


def totals(nodes: NodeStore, root: NodeRef | None, start: str, end: str) -> tuple[int, int]:
    """Number and total size of the files in `[start, end)`; opens leaves at the range's ends only."""
    rows = size = 0
    for part in walk(nodes, root, start, end, fold=lambda child: True):  # noqa: ARG005 - every child
        if isinstance(part, Slice):
            rows, size = rows + part.end - part.start, size + part.size_bytes()
        else:
            rows, size = rows + part.ref.rows, size + part.ref.bytes
    return rows, size
