"""What every operation of the facade works on: one object store, one database, and who asks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_pachy.lazy import LazyModule

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_pachy.metadata.database import Metadata
    from airflow_pachy.pfs import tree as trees
    from airflow_pachy.pfs.content import ContentReader
    from airflow_pachy.pfs.objects.store import ObjectStore
    from airflow_pachy.pfs.tree import Tree
else:
    trees = LazyModule("airflow_pachy.pfs.tree")


@dataclass(frozen=True, slots=True)
class Root:
    """A root in an object store with the metadata database that belongs to it; `groups` also count as `principal`.

    `kept` is the same store with copies of tree nodes on this machine, if there are any.
    """

    store: ObjectStore
    metadata: Metadata
    reader: ContentReader
    principal: str | None = None
    groups: tuple[str, ...] = ()
    s3: Mapping[str, Any] = field(default_factory=dict)
    kept: ObjectStore | None = None

    @property
    def nodes(self) -> ObjectStore:
        """The store for who reads and writes trees; who checks or collects them asks `store`."""
        return self.kept or self.store

    def tree(self, root: str | None) -> Tree:
        """The tree whose NodeRef text is `root`; the empty one for None."""
        return trees.Tree(self.nodes, trees.NodeRef.parse(root) if root else None)


def tree_text(tree: Tree) -> str | None:
    """What is kept in SQL of a finished tree."""
    return None if tree.root is None else str(tree.root)
