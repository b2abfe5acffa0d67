"""A tree for who asks which files there are, and not where their contents lie.

Planning compares millions of rows by what identifies them, a path and a hash. Of a leaf that is a quarter of the bytes
or less; the rest would be decompressed, copied and kept for nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from airflow_pachy.errors import Corrupt
from airflow_pachy.pfs.tree.codec import read_parquet
from airflow_pachy.pfs.tree.functions import as_array
from airflow_pachy.pfs.tree.node import Node
from airflow_pachy.pfs.tree.nodes import NodeStore
from airflow_pachy.pfs.tree.schema import LEAF, SEGMENT, node_id
from airflow_pachy.pfs.tree.view import Tree

if TYPE_CHECKING:
    from airflow_pachy.pfs.tree.refs import NodeRef

# What a leaf's id is made of, so that a part of a leaf is verified as all of it is.
_IDENTITY = ["path", "hash", "size", "executable"]


class Outline(Tree):
    """A tree whose files have path, hash, size and exec bit, but no content, no datum and no time.

    Changes made to it are made to the tree that it outlines: what `apply` and `merge` give is a whole one.
    """

    def __init__(self, tree: Tree) -> None:
        nodes = tree._nodes  # noqa: SLF001 - a tree itself
        super().__init__(nodes.store, tree.root, nodes.cache, layout=tree._layout)  # noqa: SLF001
        self._nodes = OutlineNodes(nodes.store, nodes.cache)


class OutlineNodes(NodeStore):
    """Nodes of a store, leaves without what does not identify their files."""

    def load(self, ref: NodeRef) -> Node:
        """The node; the whole one if that is at hand. Raises `Corrupt`."""
        if ref.level:
            return super().load(ref)
        whole = self.cache.get(self.store.url, ref.object)
        if whole is not None:
            return whole
        key = f"{ref.object}#outline"
        node = self.cache.get(self.store.url, key)
        if node is None:
            node = Node(_decode(self.store.get(ref.object), ref), 0)
            self.cache.put(self.store.url, key, node)
        return node


def _decode(body: bytes, ref: NodeRef) -> pa.Table:
    """A leaf, with nothing in the other columns."""
    try:
        table = read_parquet(body, _IDENTITY).select(_IDENTITY)
        count = table.num_rows
        no_segments = pa.ListArray.from_arrays(as_array(np.zeros(count + 1, np.int32)), pa.array([], SEGMENT))
        columns: dict[str, Any] = dict(zip(_IDENTITY, table.combine_chunks().columns, strict=True))
        columns |= {"segments": no_segments, "inline": pa.nulls(count, pa.binary())}
        columns |= {"datum": pa.nulls(count, pa.string()), "mtime_us": as_array(np.zeros(count, np.int64))}
        leaf = pa.table([columns[name] for name in LEAF.names], schema=LEAF)
    except (pa.ArrowException, KeyError, OSError, ValueError) as error:
        raise Corrupt(
            f"{ref.object} is not a tree node of level 0 ({error}): restore it from a backup of the bucket"
        ) from error
    found = node_id(leaf, 0)
    if found != ref.id:
        raise Corrupt(f"{ref.object} holds rows of id {found[:16]}...: restore it from a backup of the bucket")
    return leaf
