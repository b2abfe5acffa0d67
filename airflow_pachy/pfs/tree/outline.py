"""A tree for who asks which files there are, and not where their contents lie.

Planning compares millions of rows by what identifies them, a path and a hash. Of a leaf that is a quarter of the bytes
or less; the rest would be decompressed, copied and kept for nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from airflow_pachy.pfs.tree.bulk import NO_KEYS, by_leaf
from airflow_pachy.pfs.tree.functions import call, is_in
from airflow_pachy.pfs.tree.node import Node
from airflow_pachy.pfs.tree.nodes import NodeStore
from airflow_pachy.pfs.tree.sparse import filled
from airflow_pachy.pfs.tree.view import Tree

if TYPE_CHECKING:
    from airflow_pachy.pfs.tree.refs import NodeRef


class Outline(Tree):
    """A tree whose files have path, hash, size and exec bit, but no content, no datum and no time.

    Changes made to it are made to the tree that it outlines: what `apply` and `merge` give is a whole one.
    """

    def __init__(self, tree: Tree) -> None:
        nodes = tree.node_store
        super().__init__(nodes.store, tree.root, nodes.cache, layout=tree.layout)
        self._nodes = _OutlineNodes(nodes.store, nodes.cache)


class _OutlineNodes(NodeStore):
    """Nodes of a store, leaves without what does not identify their files; a whole leaf, if it is at hand."""

    def at_hand(self, ref: NodeRef) -> Node | None:
        found = super().at_hand(ref)
        return self.cache.get(self.store.url, _key(ref)) if found is None and ref.level == 0 else found

    def keep(self, ref: NodeRef, body: bytes) -> Node:
        if ref.level:
            return super().keep(ref, body)
        node = Node(filled(self.sparse(ref, body).table), 0)
        self.cache.put(self.store.url, _key(ref), node)
        return node

    def keep_sparse(self, ref: NodeRef, body: bytes, like: Node | None) -> Node:  # noqa: ARG002 - what is kept here has no object to compare
        return self.keep(ref, body)

    def keep_differing(
        self,
        one: tuple[NodeRef, bytes],
        other: tuple[NodeRef, bytes],
        schema: pa.Schema,  # noqa: ARG002 - as above
    ) -> tuple[Node, Node]:
        return self.keep(*one), self.keep(*other)


def _key(ref: NodeRef) -> str:
    return f"{ref.object}#outline"


def keys_in(tree: Tree, keys: Any) -> Any:
    """Those of `keys` (a string array, ascending) that the tree has, as a string array.

    No leaf is kept: this is for who asks once, and finds few. Raises `Corrupt`.
    """
    nodes = tree.node_store
    asked = list(by_leaf(nodes, tree.root, keys))
    found = [NO_KEYS]
    for (ref, part), body in zip(asked, nodes.bodies([ref for ref, _part in asked]), strict=True):
        present = is_in(part, value_set=nodes.sparse(ref, body).keys)
        found.append(call("filter", part, present))
    return pa.concat_arrays(found)
