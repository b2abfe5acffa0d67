"""Reading the leaves that a few keys lie in several at a time, before something goes through them one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_pachy.pfs.tree.nodes import NodeStore
    from airflow_pachy.pfs.tree.refs import NodeRef
    from airflow_pachy.pfs.tree.view import Tree

_MOST_LEAVES = 32
"""More would not stay in the cache together; who goes through so many is not waiting for single answers."""


def preload(tree: Tree, keys: Sequence[str]) -> None:
    """Have the leaves at hand in which these keys, or what begins with them, would begin.

    Nothing for so many of them that reading on the way is as good. Raises `Corrupt` and the store's errors.
    """
    nodes, root = tree.node_store, tree.root
    if root is None:
        return
    refs: dict[str, NodeRef] = {}
    for key in keys:
        ref = _leaf_of(nodes, root, key)
        if ref is not None:
            refs[ref.object] = ref
        if len(refs) > _MOST_LEAVES:
            return
    nodes.load_all(list(refs.values()))


def _leaf_of(nodes: NodeStore, ref: NodeRef, key: str) -> NodeRef | None:
    """The leaf below a node that the first path at or behind `key` is in, if there is any."""
    while ref.level:
        node = nodes.load(ref)
        place = node.bisect(key)
        if place == len(node):
            return None
        ref = node.children[place].ref
    return ref
