"""Reading the leaves that a few keys lie in several at a time, before something goes through them one by one.

They are fetched by several threads and decoded by the one that asked. Each thread has memory of its own, which it would
have to get from the system and clear for a leaf or two: that takes about as long as decoding them.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from airflow_pachy.errors import Corrupt
from airflow_pachy.pfs.tree.codec import decode
from airflow_pachy.pfs.tree.node import Node
from airflow_pachy.pfs.tree.nodes import NodeStore
from airflow_pachy.pfs.tree.schema import node_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from airflow_pachy.pfs.objects.store import ObjectStore
    from airflow_pachy.pfs.tree.refs import NodeRef
    from airflow_pachy.pfs.tree.view import Tree

_MOST_LEAVES = 32
"""More would not stay in the cache together; who goes through so many is not waiting for single answers."""
_THREADS = 4
_AHEAD = 8


def preload(tree: Tree, keys: Sequence[str]) -> None:
    """Have the leaves at hand in which these keys, or what begins with them, would begin.

    Nothing for so many of them that reading on the way is as good. Raises `Corrupt` and the store's errors.
    """
    nodes, root = tree._nodes, tree.root  # noqa: SLF001 - this is a part of trees
    if root is None:
        return
    refs: dict[str, NodeRef] = {}
    for key in keys:
        ref = _leaf_of(nodes, root, key)
        if ref is not None:
            refs[ref.object] = ref
        if len(refs) > _MOST_LEAVES:
            return
    fetching = nodes if isinstance(nodes, FetchingNodes) else FetchingNodes(nodes.store, nodes.cache)
    fetching.load_all(list(refs.values()))


class FetchingNodes(NodeStore):
    """Nodes of a store, of which several are fetched by threads and decoded by the caller's."""

    def load(self, ref: NodeRef) -> Node:
        """The decoded node. Raises `Corrupt`."""
        return self.at_hand(ref) or self.keep(ref, self.store.get(ref.object))

    def load_all(self, refs: Sequence[NodeRef]) -> None:
        """Have these few nodes in the cache."""
        missing = [ref for ref in refs if self.at_hand(ref) is None]
        for ref, body in zip(missing, bodies(self.store, missing), strict=True):
            self.keep(ref, body)

    def at_hand(self, ref: NodeRef) -> Node | None:
        """The node, if it is in the cache."""
        return self.cache.get(self.store.url, ref.object)

    def keep(self, ref: NodeRef, body: bytes) -> Node:
        """Decode the node and put it into the cache. Raises `Corrupt`."""
        node = Node(verified(decode(body, ref.level, ref.object), ref), ref.level)
        self.cache.put(self.store.url, ref.object, node)
        return node


def verified(table: pa.Table, ref: NodeRef) -> pa.Table:
    """The rows of a node, if they are those that its reference names. Raises `Corrupt`."""
    found = node_id(table, ref.level)
    if found != ref.id:
        raise Corrupt(f"{ref.object} holds rows of id {found[:16]}...: restore it from a backup of the bucket")
    return table


def bodies(store: ObjectStore, refs: Sequence[NodeRef]) -> Iterator[bytes]:
    """The objects of these nodes, in order, several of them on their way at any time."""
    if len(refs) < 2:
        yield from (store.get(ref.object) for ref in refs)
        return
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="tree-fetch") as threads:
        for start in range(0, len(refs), _AHEAD):
            yield from threads.map(store.get, [ref.object for ref in refs[start : start + _AHEAD]])


def _leaf_of(nodes: NodeStore, ref: NodeRef, key: str) -> NodeRef | None:
    """The leaf below a node that the first path at or behind `key` is in, if there is any."""
    while ref.level:
        node = nodes.load(ref)
        place = node.bisect(key)
        if place == len(node):
            return None
        ref = node.children[place].ref
    return ref
