"""Who else keeps objects in the bucket: layers above the file system, which it does not know, say what they need.

A keeper claims tables. A run refuses to begin when a table that holds roots has rows and nobody claims it, so
no layer's objects are deleted because its keeper was left out.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Protocol

from sqlalchemy import select

from airflow_pachy.errors import InvalidArgument
from airflow_pachy.metadata.models import Base

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from sqlalchemy.orm import Session

    from airflow_pachy.pfs.root import Root
    from airflow_pachy.pfs.upkeep.marking import Marker

# By name, since these layers lie above this one. Whoever adds a table with references into the bucket adds its keeper.
_BUILT_IN = ("airflow_pachy.pipelines.keeping:PipelineKeeper",)

OWN_TABLES = frozenset(
    {
        "pachy_repo", "pachy_branch", "pachy_branch_provenance", "pachy_head_move", "pachy_commit", "pachy_tag",
        "pachy_commit_provenance", "pachy_delta", "pachy_object", "pachy_removed_tree", "pachy_grant",
    }
)  # fmt: skip


class Keeper(Protocol):
    """A layer that keeps objects."""

    @property
    def tables(self) -> frozenset[str]:
        """Tables of which it knows what their rows lead to."""
        ...

    def expire(self, root: Root, idle_since: datetime, *, dry_run: bool) -> tuple[str, ...]:
        """Give up what nobody has worked on since, as open commits are; tell what, or what would be."""
        ...

    def mark(self, root: Root, marker: Marker, cutoff: datetime) -> None:
        """Mark everything that must stay. What ended before `cutoff` needs to be kept for nobody any more."""
        ...


def all_keepers(more: Sequence[Keeper] = ()) -> list[Keeper]:
    """The keepers of this package, and `more`."""
    keepers: list[Keeper] = []
    for name in _BUILT_IN:
        module, _, attribute = name.partition(":")
        keepers.append(getattr(import_module(module), attribute)())
    return [*keepers, *more]


def require_claimed(session: Session, keepers: Iterable[Keeper]) -> None:
    """Raise `InvalidArgument` if rows might lead to objects that nobody would mark."""
    claimed = OWN_TABLES.union(*(keeper.tables for keeper in keepers))
    for table in Base.metadata.sorted_tables:
        if table.name not in claimed and session.execute(select(table).limit(1)).first() is not None:
            raise InvalidArgument(
                f"garbage collection does not know what the rows of {table.name} need in the bucket, so it deletes "
                "nothing; add the table to the keeper of its layer (airflow_pachy/pfs/upkeep/keepers.py)"
            )
