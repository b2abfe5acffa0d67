"""What commits of a single call read and write in a session: see `oneshot`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from airflow_pachy.metadata.models import Branch, BranchProvenance, Commit
from airflow_pachy.pfs.firing import fire_triggers
from airflow_pachy.pfs.heads import Seen, Start
from airflow_pachy.pfs.oneshot import BranchBusy
from airflow_pachy.pfs.publish import add_provenance, ensure_branch, move_head, see_branch

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from airflow_pachy.pfs.address import Address
    from airflow_pachy.pfs.mirror import CommitMirror


def lock_branch(session: Session, branch: Address, author: str | None) -> Branch:
    """The branch's row, made if there is none, locked until the transaction ends."""
    ensure_branch(session, branch, author)
    query = select(Branch).where(Branch.repo == branch.repo, Branch.name == branch.ref)
    return session.scalars(query.with_for_update().execution_options(populate_existing=True)).one()


def upstream_heads(session: Session, branch: Address) -> tuple[str, ...]:
    """The heads of the branch's direct upstream branches: what a new commit on it derives from by default."""
    edges = BranchProvenance
    query = (
        select(Branch.head)
        .join(edges, (edges.upstream_repo == Branch.repo) & (edges.upstream_branch == Branch.name))
        .where(edges.repo == branch.repo, edges.branch == branch.ref, Branch.head.is_not(None))
    )
    return tuple(head for head in session.scalars(query) if head is not None)


def look(session: Session, branch: Address) -> Start:
    """What a commit on the branch is built on. Raises `BranchBusy` if one is open there, `RepoNotFound`."""
    row = session.get(Branch, (branch.repo, branch.ref))
    if row is not None and row.open_commit is not None:
        raise BranchBusy(f"commit {row.open_commit} was opened on {branch} meanwhile")
    seen = see_branch(session, branch)
    return Start(seen, _tree(session, seen), upstream_heads(session, branch))


def head_tree(session: Session, branch: Address) -> str | None:
    """The tree of the branch's head; None for one that has none. Raises `RepoNotFound`."""
    return _tree(session, see_branch(session, branch))


def _tree(session: Session, seen: Seen) -> str | None:
    return session.scalar(select(Commit.tree).where(Commit.id == seen.head)) if seen.head else None


def insert(session: Session, branch: Address, start: Start, mirror: CommitMirror) -> None:
    """Make the commit that the mirror tells of, as the head of its branch.

    Raises `BranchBusy` if a commit was opened on the branch, `BranchMoved` when another writer was faster.
    """
    row = ensure_branch(session, branch, mirror.author)
    if row.open_commit is not None:
        raise BranchBusy(f"commit {row.open_commit} was opened on {branch} meanwhile")
    move_head(session, branch, mirror.id, start.seen, mirror.author)
    session.add(commit_row(mirror))
    session.flush()
    add_provenance(session, mirror.id, start.provenance)
    fire_triggers(session, branch, mirror.author)


def commit_row(mirror: CommitMirror) -> Commit:
    """The SQL row of a commit that is described by its mirror."""
    return Commit(**mirror.values())
