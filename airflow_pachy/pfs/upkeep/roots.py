"""What the file system itself needs in the bucket, read from SQL in pages: no transaction lasts as long as marking."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

from sqlalchemy import or_, select

from airflow_pachy.metadata.models import Commit, Delta, RemovedTree, Repo, StoredObject
from airflow_pachy.pfs.mirror import mirror_key
from airflow_pachy.pfs.record_copies import record_key
from airflow_pachy.pfs.record_mirrors import record_keys
from airflow_pachy.pfs.rows import pages
from airflow_pachy.pfs.upkeep.ledger import State

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from airflow_pachy.pfs.root import Root
    from airflow_pachy.pfs.upkeep.marking import Marker


def mark_commits(root: Root, marker: Marker, cutoff: datetime, given_up: Mapping[str, str] | None = None) -> None:
    """Mark trees and mirrors of all commits, and the batches of changes of open ones and of those finished lately.

    Commits in `given_up` (their repos by their ids) do not count.
    """
    with root.metadata.reader() as session:
        repos = session.scalars(select(Repo.name).order_by(Repo.name)).all()
    for repo in repos:
        with marker.as_of(State.LIVE, repo):
            marker.trees(_trees(commits_of(root, repo), marker, given_up or {}))
    marker.keys(record_key(kind, key) for kind, key in record_keys(root))
    recent = or_(Commit.state == "open", Commit.finished > cutoff)
    query = select(Commit.repo, Delta.commit, Delta.sequence, Delta.key)
    query = query.join(Commit, Commit.id == Delta.commit).where(recent)
    rows = pages(root, query, (Commit.repo, Delta.commit, Delta.sequence))
    for repo, batches in groupby(rows, key=lambda row: row.repo):
        with marker.as_of(State.LIVE, repo):
            marker.objects(row.key for row in batches)


def commits_of(root: Root, repo: str) -> Iterator[Any]:
    """Start, id and tree of every commit of a repo, oldest first."""
    query = select(Commit.started, Commit.id, Commit.tree).where(Commit.repo == repo)
    return pages(root, query, (Commit.started, Commit.id))


def _trees(commits: Iterator[Any], marker: Marker, given_up: Mapping[str, str]) -> Iterator[str]:
    for row in commits:
        marker.keys([mirror_key(row.id)])
        if row.tree is not None and row.id not in given_up:
            yield row.tree


def mark_given_up(root: Root, marker: Marker, commits: Mapping[str, str], state: State) -> None:
    """Mark what commits lead to that a dry run would forget; their repos by their ids."""
    for repo in dict.fromkeys(commits.values()):
        trees = (row.tree for row in commits_of(root, repo) if row.id in commits and row.tree is not None)
        with marker.as_of(state, repo):
            marker.trees(trees)


def mark_waiting(root: Root, marker: Marker, cutoff: datetime) -> None:
    """Mark what writers may still build on: what was removed after `cutoff`, and chunks that were relied on since."""
    _mark_removed(root, marker, State.WAITING, RemovedTree.removed > cutoff)
    used = select(StoredObject.hash, StoredObject.object).where(StoredObject.used > cutoff)
    with marker.as_of(State.WAITING):
        marker.keys(row.object for row in pages(root, used, (StoredObject.hash,)))


def mark_removed(root: Root, marker: Marker, cutoff: datetime) -> None:
    """Find out what the condemned once belonged to; all else must be marked before."""
    _mark_removed(root, marker, State.REMOVED, RemovedTree.removed <= cutoff)


def _mark_removed(root: Root, marker: Marker, state: State, which: Any) -> None:
    query = select(RemovedTree.repo, RemovedTree.commit, RemovedTree.position, RemovedTree.what).where(which)
    keys = (RemovedTree.repo, RemovedTree.commit, RemovedTree.position)
    for repo, group in groupby(pages(root, query, keys), key=lambda row: row.repo):
        with marker.as_of(state, repo):
            for row in group:
                if row.what.startswith("deltas/"):
                    marker.objects([row.what])
                else:
                    marker.trees([row.what])
