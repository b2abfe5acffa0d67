"""Reading and writing nodes of one store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_pachy.errors import Corrupt
from airflow_pachy.pfs.objects.ulid import new_ulid
from airflow_pachy.pfs.tree import cache as caches
from airflow_pachy.pfs.tree.codec import decode, encode
from airflow_pachy.pfs.tree.node import Child, Node
from airflow_pachy.pfs.tree.schema import make_ref, node_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from airflow_pachy.pfs.objects.store import ObjectStore
    from airflow_pachy.pfs.tree.refs import NodeRef


class NodeStore:
    """Nodes of a store, read through a cache and verified against their ids."""

    def __init__(self, store: ObjectStore, cache: caches.NodeCache | None = None) -> None:
        self.store = store
        self.cache = cache or caches.shared

    def load(self, ref: NodeRef) -> Node:
        """The decoded node; raises `Corrupt` if its rows do not have the id that its name says."""
        key = ref.object
        node = self.cache.get(self.store.url, key)
        if node is None:
            node = Node(decode(self.store.get(key), ref.level, key), ref.level)
            found = node_id(node.table, ref.level)
            if found != ref.id:
                raise Corrupt(f"{self.store.url}/{key} holds rows of id {found[:16]}...: restore it from a backup")
            self.cache.put(self.store.url, key, node)
        return node

    def save(self, table: pa.Table, level: int) -> Child:
        """Write a new node with these rows (at least one)."""
        table = table.combine_chunks()
        ref = make_ref(table, level, new_ulid())
        self.store.put(ref.object, encode(table, level))
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
