"""What differs between two trees: nodes of equal id are dropped unopened."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice, takewhile, zip_longest
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
import pyarrow as pa

from airflow_pachy.pfs.tree import functions
from airflow_pachy.pfs.tree.rows import entries_of, entries_without_contents
from airflow_pachy.pfs.tree.schema import LEAF, single
from airflow_pachy.pfs.tree.sparse import WITHOUT_CONTENTS, LeafRows, SparseLeaf
from airflow_pachy.pfs.tree.stored import IDENTITY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Future

    import numpy.typing as npt

    from airflow_pachy.pfs.tree.entries import Entry
    from airflow_pachy.pfs.tree.node import Child, Node
    from airflow_pachy.pfs.tree.nodes import NodeStore
    from airflow_pachy.pfs.tree.refs import NodeRef


# How many leaves of each side are on their way at a time: at first few, for who wants only one difference.
_AHEAD, _MOST_AHEAD = 4, 8
_THREADS = 4
_FEW = 4  # leaves, for which it is not worth looking ahead again
_MANY = 4  # of so many rows one that differs


@dataclass(frozen=True, slots=True)
class TreeDiff:
    """A path whose file differs: `new` is None if it is gone, `old` if it was not there."""

    path: str
    new: Entry | None
    old: Entry | None


def diff_trees(
    nodes: NodeStore, new: NodeRef | None, old: NodeRef | None, limits: tuple[str, str], *, contents: bool
) -> Iterator[TreeDiff]:
    """Differences of paths in `[start, end)`, in path order; with `contents`, entries say where these lie."""
    schema, entries = (LEAF, entries_of) if contents else (WITHOUT_CONTENTS, entries_without_contents)
    for came, went in diff_tables(nodes, new, old, limits, schema):
        fresh = {entry.path: entry for entry in entries(came)}
        former = {entry.path: entry for entry in entries(went)}
        for path in sorted(fresh.keys() | former.keys()):
            yield TreeDiff(path, fresh.get(path), former.get(path))


def diff_tables(
    nodes: NodeStore, new: NodeRef | None, old: NodeRef | None, limits: tuple[str, str], schema: pa.Schema = LEAF
) -> Iterator[tuple[pa.Table, pa.Table]]:
    """The same as columns: rows that only `new` has, and rows that only `old` has, for one range of keys after another.

    A file that was changed is in both tables of one pair. They have the columns of `schema`: those of leaves, or some.
    """
    if (new.id if new else None) == (old.id if old else None):
        return
    nodes.load_all([root for root in (new, old) if root is not None])
    with _Fetching(nodes, whole=schema is LEAF and (new is None or old is None)) as fetching:
        fresh, former = _Side(fetching, new, limits, schema), _Side(fetching, old, limits, schema)
        while True:
            _drop_equal(fresh, former)
            fetching.look_ahead(fresh, former)
            _open_pair(fetching, fresh, former, schema)
            ends = fresh.open_leaf(former), former.open_leaf(fresh)
            reach = min((key for key in ends if key is not None), default=None)
            if reach is None:
                return
            parts = fresh.take(reach), former.take(reach)
            came, went = _compare(*parts, schema)
            if schema is LEAF:
                rows = sum(part.compared for part in parts if part is not None)
                fetching.whole = _MANY * (came.num_rows + went.num_rows) > rows
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


def _open_pair(fetching: _Fetching, one: _Side, other: _Side, schema: pa.Schema) -> None:
    """If both sides come to a leaf, open these without what they have in common."""
    mine, theirs = one.ahead, other.ahead
    if mine is not None and theirs is not None:
        leaves = fetching.open_pair(mine.ref, theirs.ref, schema)
        one.begin(leaves[0])
        other.begin(leaves[1])


class _Fetching:
    """Leaves on their way: threads fetch them, while the caller's decodes and compares those that are here.

    With `whole`, threads decode them as well, in memory of their own: that is for who wants most of the rows.
    """

    def __init__(self, nodes: NodeStore, *, whole: bool) -> None:
        self.nodes = nodes
        self.whole = whole
        self._threads: ThreadPoolExecutor | None = None
        self._coming: dict[str, Future[bytes | Node]] = {}
        self._expected: set[str] = set()
        self._window = _AHEAD

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)

    def look_ahead(self, one: _Side, other: _Side) -> None:
        """Ask for the leaves that come next, unless enough of them are on their way."""
        heads = {head.ref.object for side in (one, other) if (head := side.ahead) is not None and not head.ref.level}
        if heads <= self._expected and (not heads or len(self._expected) > 2 * self._window - _FEW):
            return
        pairs = zip_longest(one.upcoming(other, self._window), other.upcoming(one, self._window))
        leaves = [ref for pair in pairs for ref in pair if ref is not None]
        self._window = min(2 * self._window, _MOST_AHEAD)
        self._expected = {ref.object for ref in leaves}
        for key in self._coming.keys() - self._expected:
            self._coming.pop(key).cancel()
        missing = [ref for ref in leaves if ref.object not in self._coming and not self.nodes.is_near(ref)]
        if len(missing) < 2 and not self._coming:
            return
        if self._threads is None:
            self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="tree-fetch")
        read: Callable[[NodeRef], bytes | Node] = self.nodes.load if self.whole else self.nodes.fetch
        self._coming |= {ref.object: self._threads.submit(read, ref) for ref in missing}

    def open(self, ref: NodeRef, like: Node | None) -> Node:
        """A leaf with what identifies its files; `like` is the one it is compared with, if that is known."""
        found = self._found(ref)
        return self.nodes.keep_sparse(ref, found, like) if isinstance(found, bytes) else found

    def open_pair(self, one: NodeRef, other: NodeRef, schema: pa.Schema) -> tuple[Node, Node]:
        """Two leaves that are compared, perhaps without rows that both have."""
        mine, theirs = self._found(one), self._found(other)
        if isinstance(mine, bytes) and isinstance(theirs, bytes):
            return self.nodes.keep_differing((one, mine), (other, theirs), schema)
        first = self.nodes.keep_sparse(one, mine, None) if isinstance(mine, bytes) else mine
        return first, self.nodes.keep_sparse(other, theirs, first) if isinstance(theirs, bytes) else theirs

    def _found(self, ref: NodeRef) -> bytes | Node:
        self._expected.discard(ref.object)
        coming = self._coming.pop(ref.object, None)
        if coming is not None:
            return coming.result()
        if self.whole or self.nodes.is_near(ref):
            return self.nodes.load(ref)  # what is near was compared before, as planning does with many directories
        return self.nodes.fetch(ref)


class _Part(NamedTuple):
    """Rows `[start, end)` of a leaf."""

    rows: LeafRows
    start: int
    end: int

    @property
    def compared(self) -> int:
        """How many rows were, with those that were left out since the other leaf has them."""
        left_out = self.rows.leaf.left_out if isinstance(self.rows.leaf, SparseLeaf) else 0
        return self.end - self.start + left_out

    def identity(self) -> list[pa.ChunkedArray[Any]]:
        """Their paths, hashes, sizes and exec bits."""
        table = self.rows.leaf.table
        return [table[name][self.start : self.end] for name in IDENTITY.names]

    def take(self, places: npt.NDArray[np.int64] | None = None) -> pa.Table:
        """Some of them, or all."""
        return self.rows.take(np.arange(self.start, self.end) if places is None else places + self.start)


class _Side:
    """One tree: the nodes to come, as a stack, and what is left of the leaf that is open."""

    def __init__(self, fetching: _Fetching, root: NodeRef | None, limits: tuple[str, str], schema: pa.Schema) -> None:
        self._fetching = fetching
        self._start, self._end = limits
        self._schema = schema
        self._stack: list[Child] = [] if root is None else [fetching.nodes.span(root)]
        self._part: _Part | None = None
        self._trim()

    @property
    def ahead(self) -> Child | None:
        """The next node, if no leaf is open."""
        return self._stack[-1] if self._stack and self._part is None else None

    @property
    def leaf(self) -> Node | None:
        """The leaf that is open."""
        return None if self._part is None else self._part.rows.leaf

    def upcoming(self, other: _Side, count: int) -> list[NodeRef]:
        """The next leaves that the other side has not, so that they will be opened: at most `count`."""
        known = {child.ref.id for child in other._stack}
        leaves = takewhile(lambda child: child.ref.level == 0, reversed(self._stack))
        return list(islice((child.ref for child in leaves if child.ref.id not in known), count))

    def skip(self) -> None:
        """Leave the next node out."""
        self._stack.pop()
        self._trim()

    def descend(self) -> None:
        """Replace the next node by its children."""
        node = self._fetching.nodes.load(self._stack.pop().ref)
        self._stack += reversed(node.children)
        self._trim()

    def open_leaf(self, other: _Side) -> str | None:
        """Open the next leaf unless one is open; its last key in the range, or None at the end."""
        while self._part is None and self._stack:
            if self._stack[-1].ref.level:
                self.descend()
                continue
            self.begin(self._fetching.open(self._stack[-1].ref, other.leaf))
        return None if self._part is None else str(self._part.rows.leaf.keys[self._part.end - 1])

    def begin(self, leaf: Node) -> None:
        """Go on with the next node, a leaf: with its rows that are in the range, if there are any."""
        self._stack.pop()
        low, high = leaf.bisect(self._start), leaf.bisect(self._end)
        self._part = _Part(LeafRows(leaf, self._schema), low, high) if low < high else None
        self._trim()

    def take(self, last: str) -> _Part | None:
        """Rows up to and including `last` of the leaf that is open, if there are any."""
        part = self._part
        if part is None:
            return None
        cut = min(part.rows.leaf.bisect(last + "\0"), part.end)
        self._part = part._replace(start=cut) if cut < part.end else None
        return part._replace(end=cut) if part.start < cut else None

    def _trim(self) -> None:
        while self._stack and self._stack[-1].last < self._start:
            self._stack.pop()
        if self._stack and self._stack[-1].first >= self._end:
            self._stack.clear()


def _compare(new: _Part | None, old: _Part | None, schema: pa.Schema) -> tuple[pa.Table, pa.Table]:
    """What two runs of rows have that the other has not, by identity."""
    if new is None or old is None:
        nothing = schema.empty_table()
        return (nothing if new is None else new.take()), (nothing if old is None else old.take())
    (paths, *mine), (their_paths, *theirs) = new.identity(), old.identity()
    if paths.equals(their_paths):  # files were changed, none came or went: the usual case by far
        changed = np.flatnonzero(_differ(mine, theirs))
        return new.take(changed), old.take(changed)
    places: Any = functions.index_in(paths, value_set=single(their_paths))
    twins = functions.take(pa.table(theirs, names=IDENTITY.names[1:]), places)
    differ = _differ(mine, twins.columns)
    kept = np.ones(len(their_paths), np.bool_)
    kept[places.to_numpy()[~differ].astype(np.int64)] = False
    return new.take(np.flatnonzero(differ)), old.take(np.flatnonzero(kept))


def _differ(mine: Sequence[pa.ChunkedArray[Any]], theirs: Sequence[pa.ChunkedArray[Any]]) -> npt.NDArray[np.bool_]:
    """Which rows are not the same in all columns; those that are null in `theirs` are not."""
    differ = np.zeros(len(mine[0]), np.bool_)
    for one, other in zip(mine, theirs, strict=True):
        if not one.equals(other):
            differ |= ~functions.fill_null(functions.call("equal", one, other), False).to_numpy()
    return differ
