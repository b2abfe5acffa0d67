"""Which commits a commit was computed from, and which were computed from it: closures by recursive query."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from airflow_pachy.metadata.models import Commit, CommitProvenance
from airflow_pachy.pfs.describe import describe_commits
from airflow_pachy.pfs.lookups import find_commit

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from airflow_pachy.pfs.address import Address
    from airflow_pachy.pfs.infos import CommitInfo
    from airflow_pachy.pfs.root import Root


def upstream_closure(session: Session, commit_id: str) -> set[str]:
    """Ids of all commits that this one derives from, directly or not."""
    return _closure(session, commit_id, upwards=True)


def downstream_closure(session: Session, commit_id: str) -> set[str]:
    """Ids of all commits that derive from this one, directly or not."""
    return _closure(session, commit_id, upwards=False)


def provenance(root: Root, address: Address) -> list[CommitInfo]:
    """All commits a commit derives from, oldest first."""
    with root.metadata.reader() as session:
        return _infos(session, upstream_closure(session, find_commit(session, address).id))


def subvenance(root: Root, address: Address) -> list[CommitInfo]:
    """All commits that derive from a commit, oldest first."""
    with root.metadata.reader() as session:
        return _infos(session, downstream_closure(session, find_commit(session, address).id))


def _closure(session: Session, commit_id: str, *, upwards: bool) -> set[str]:
    edges = CommitProvenance
    here, there = (edges.commit, edges.upstream) if upwards else (edges.upstream, edges.commit)
    reached = select(there.label("id")).where(here == commit_id).cte("reached", recursive=True)
    # UNION and not UNION ALL: a diamond is walked once.
    reached = reached.union(select(there).join(reached, here == reached.c.id))
    return set(session.scalars(select(reached.c.id)))


def _infos(session: Session, ids: set[str]) -> list[CommitInfo]:
    rows: list[Commit] = []
    ordered = sorted(ids)
    for at in range(0, len(ordered), 500):
        rows += session.scalars(select(Commit).where(Commit.id.in_(ordered[at : at + 500])))
    rows.sort(key=lambda row: (row.started, row.id))
    return describe_commits(session, rows)
