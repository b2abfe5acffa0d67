"""Reading and writing nodes of one store: several at a time where several are needed."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING

from airflow_pachy.errors import Corrupt
from airflow_pachy.pfs.objects.store import KeepsCopies
from airflow_pachy.pfs.objects.ulid import new_ulid
from airflow_pachy.pfs.tree import cache as caches
from airflow_pachy.pfs.tree.codec import decode, encode
from airflow_pachy.pfs.tree.node import Child, Node, verified
from airflow_pachy.pfs.tree.schema import make_ref
from airflow_pachy.pfs.tree.sparse import SparseLeaf, differing
from airflow_pachy.pfs.tree.stored import StoredLeaf

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import pyarrow as pa

    from airflow_pachy.pfs.objects.store import ObjectStore
    from airflow_pachy.pfs.tree.refs import NodeRef


# Threads live as long as the call that needs them: this process may be forked at any other time.
_THREADS = 4
_MOST_AHEAD = 8


class NodeStore:
    """Nodes of a store, read through a cache and verified against their ids."""

    def __init__(self, store: ObjectStore, cache: caches.NodeCache | None = None) -> None:
        self.store = store
        self.cache = cache or caches.shared

    def load(self, ref: NodeRef) -> Node:
        """The decoded node; raises `Corrupt` if its rows do not have the id that its name says."""
        node = self.at_hand(ref)
        return self.keep(ref, self.fetch(ref)) if node is None else node

    def load_all(self, refs: Sequence[NodeRef]) -> None:
        """Have these few nodes in the cache: fetched by several threads, decoded by this one.

        Each thread has memory of its own, which it would have to get from the system and clear for a leaf or two: that
        takes about as long as decoding them.
        """
        missing = [ref for ref in refs if self.at_hand(ref) is None]
        for ref, body in zip(missing, self.bodies(missing), strict=True):
            self.keep(ref, body)

    def bodies(self, refs: Sequence[NodeRef]) -> Iterator[bytes]:
        """The objects of these nodes, in order, several of them on their way at any time."""
        if len(refs) < 2:
            yield from map(self.fetch, refs)
            return
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="tree-fetch") as threads:
            for start in range(0, len(refs), _MOST_AHEAD):
                yield from threads.map(self.fetch, refs[start : start + _MOST_AHEAD])

    def at_hand(self, ref: NodeRef) -> Node | None:
        """The node, if it is in the cache."""
        return self.cache.get(self.store.url, ref.object)

    def fetch(self, ref: NodeRef) -> bytes:
        """The node's object, from the store unless a part of it was read lately."""
        body = self.cache.body(self.store.url, ref.object)
        return self.store.get(ref.object) if body is None else body

    def keep(self, ref: NodeRef, body: bytes) -> Node:
        """Decode a node and put it into the cache. Raises `Corrupt`."""
        with self._discarding(ref):
            node = Node(verified(decode(body, ref.level, ref.object), ref), ref.level)
        self.cache.put(self.store.url, ref.object, node)
        return node

    def is_near(self, ref: NodeRef) -> bool:
        """Whether the node can be had without a request."""
        return self.at_hand(ref) is not None or self.cache.body(self.store.url, ref.object) is not None

    def keep_sparse(self, ref: NodeRef, body: bytes, like: Node | None) -> Node:
        """A leaf of which what identifies its files is decoded, see `SparseLeaf`; of it the object is kept.

        Raises `Corrupt`.
        """
        leaf = self.sparse(ref, body, like)
        self.cache.put(self.store.url, ref.object, body)
        return leaf

    def sparse(self, ref: NodeRef, body: bytes, like: Node | None = None) -> SparseLeaf:
        """The same, of which nothing is kept. Raises `Corrupt`."""
        with self._discarding(ref):
            return SparseLeaf.verified(StoredLeaf(ref, body), like)

    def keep_differing(
        self, one: tuple[NodeRef, bytes], other: tuple[NodeRef, bytes], schema: pa.Schema
    ) -> tuple[Node, Node]:
        """Two leaves that are compared, without the row groups that both have, see `differing`. Raises `Corrupt`."""
        with self._discarding(one[0], other[0]):
            leaves = differing(StoredLeaf(*one, checked=True), StoredLeaf(*other, checked=True), schema)
        for ref, body in (one, other):
            self.cache.put(self.store.url, ref.object, body)
        return leaves

    def ahead(self, children: Iterable[Child]) -> Iterator[Node]:
        """The nodes in order; while the caller works on one, those to come are read.

        One that was not asked for costs nothing at first: who takes one node may want no second, who takes many more.
        """
        source = iter(children)
        for first in source:
            yield self.load(first.ref)
            break
        waiting: deque[Future[Node]] = deque()
        threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="tree-read")
        try:
            window = 1
            while True:
                window = min(2 * window, _MOST_AHEAD)
                waiting.extend(threads.submit(self.load, child.ref) for child in islice(source, window - len(waiting)))
                if not waiting:
                    return
                yield waiting.popleft().result()
        finally:
            threads.shutdown(cancel_futures=True)

    @contextmanager
    def writing(self) -> Iterator[NodeStore]:
        """The same nodes, with a `save` that returns early; all that was saved is stored when the block ends well."""
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="tree-write") as threads:
            nodes = _WritingNodes(self, threads)
            yield nodes
            nodes.settle()

    def settle(self) -> None:
        """Return when everything saved is stored."""

    def save(self, table: pa.Table, level: int) -> Child:
        """Write a new node with these rows (at least one)."""
        table = table.combine_chunks()
        ref = make_ref(table, level, new_ulid())
        self._write(ref, table)
        node = Node(table, level)
        self.cache.put(self.store.url, ref.object, node)
        first = node.keys[0].as_py() if level == 0 else table["first"][0].as_py()
        return Child(ref, first, node.keys[len(node) - 1].as_py())

    def span(self, root: NodeRef) -> Child:
        """A root as a child: with its first and last key."""
        node = self.load(root)
        first = node.keys[0].as_py() if root.level == 0 else node.table["first"][0].as_py()
        return Child(root, first, node.keys[len(node) - 1].as_py())

    def children(self, root: NodeRef, level: int, start: str = "") -> Iterator[Child]:
        """Nodes of `level` below `root` that may hold keys at or after `start`, in order."""
        if root.level == level:
            yield self.span(root)
            return
        for child in self.load(root).children_from(start):
            if child.ref.level == level:
                yield child
            else:
                yield from self.children(child.ref, level, start)

    def rightmost(self, root: NodeRef, level: int) -> Child:
        """The last node of `level` below `root`."""
        if root.level == level:
            return self.span(root)
        child = self.load(root).children[-1]
        return child if child.ref.level == level else self.rightmost(child.ref, level)

    @contextmanager
    def _discarding(self, *refs: NodeRef) -> Iterator[None]:
        """Nodes that turn out to be damaged are fetched again when somebody next wants them."""
        try:
            yield
        except Corrupt:
            if isinstance(self.store, KeepsCopies):
                for ref in refs:
                    self.store.discard(ref.object)
            raise

    def _write(self, ref: NodeRef, table: pa.Table) -> None:
        self.store.put(ref.object, encode(table, ref))


class _WritingNodes(NodeStore):
    """Encodes and stores nodes while the next ones are made. Used by one thread at a time."""

    def __init__(self, nodes: NodeStore, threads: ThreadPoolExecutor) -> None:
        super().__init__(nodes.store, nodes.cache)
        self._threads = threads
        self._running: deque[Future[None]] = deque()

    def settle(self) -> None:
        """Return when everything saved is stored; raises what the first failure raised."""
        running, self._running = self._running, deque()
        wait(running)
        for one in running:
            one.result()

    def _write(self, ref: NodeRef, table: pa.Table) -> None:
        while len(self._running) >= _MOST_AHEAD:
            self._running.popleft().result()
        self._running.append(self._threads.submit(super()._write, ref, table))
