"""Commits that jobs make: opened when a job is planned, published by whoever assembles it.

Their id exists from the start (user code sees it), but they are not what `repo@branch` means until they are
published, and several jobs may have one on the same branch at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from airflow_pachy.errors import BranchMoved, CommitFinished
from airflow_pachy.metadata.contention import retried
from airflow_pachy.metadata.models import Branch, Commit, CommitProvenance
from airflow_pachy.pfs.address import Address
from airflow_pachy.pfs.firing import fire_triggers
from airflow_pachy.pfs.heads import Seen, utc_now
from airflow_pachy.pfs.lookups import find_commit_by_id
from airflow_pachy.pfs.mirror import CommitMirror, write_mirror
from airflow_pachy.pfs.mirroring import mirror_again
from airflow_pachy.pfs.names import new_id
from airflow_pachy.pfs.publish import add_provenance, ensure_branch, move_head, see_branch
from airflow_pachy.pfs.root import tree_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from typing import Any

    from sqlalchemy.orm import Session

    from airflow_pachy.pfs.root import Root
    from airflow_pachy.pfs.tree import Tree


@retried
def start_output_commit(
    root: Root,
    branch: Address,
    *,
    provenance: Sequence[str],
    job: str | None,
    description: str,
    session: Session | None,
) -> str:
    """Open a commit beside the branch and return its id; the branch is made if needed.

    With `session` it happens inside the caller's transaction. Raises `RepoNotFound`, `CommitNotFound`.
    """
    if session is None:
        with root.metadata.session() as own:
            return start_output_commit(
                root, branch, provenance=provenance, job=job, description=description, session=own
            )
    row = ensure_branch(session, branch, root.principal)
    for upstream in provenance:
        find_commit_by_id(session, upstream)
    now = utc_now()
    commit = Commit(
        id=new_id(),
        repo=branch.repo,
        branch=branch.ref,
        state="open",
        seen_ordinal=row.ordinal,
        started=now,
        heartbeat=now,
        description=description,
        origin="auto",
        author=root.principal,
        job=job,
    )
    session.add(commit)
    session.flush()
    add_provenance(session, commit.id, provenance)
    return commit.id


def mirror_output_commit(root: Root, commit_id: str, tree: Tree | None, *, seen_head: str | None) -> datetime:
    """Write the JSON copy of a commit; while it is open, as publishing `tree` on `seen_head` will make it.

    Returns the time that the copy gives for its finish: publish it with the same.
    """
    now = utc_now()
    with root.metadata.reader() as session:
        row = find_commit_by_id(session, commit_id)
        upstream = session.scalars(select(CommitProvenance.upstream).where(CommitProvenance.commit == commit_id)).all()
        seen = see_branch(session, Address(row.repo, row.branch))
    if row.state != "open":
        mirror_again(root, [commit_id])
        return row.finished or now
    changed = _published(tree, seen_head, seen.ordinal + 1, now) if tree is not None else {}
    write_mirror(root.store, CommitMirror.of(row, upstream, **changed))
    return now


def publish_output_commit(
    session: Session,
    commit_id: str,
    tree: Tree,
    *,
    seen_head: str | None,
    author: str | None,
    finished: datetime | None = None,
) -> None:
    """Make an output commit the head of its branch, inside the caller's transaction; touches no object.

    Publishing the same tree again changes nothing. Raises `BranchMoved` if the head is not `seen_head` any more,
    `CommitFinished` if the commit was dropped or published with another tree.
    """
    row = session.scalar(select(Commit).where(Commit.id == commit_id).with_for_update())
    if row is None:
        row = find_commit_by_id(session, commit_id)
    if row.state == "finished" and row.tree == tree_text(tree):
        return
    if row.state != "open":
        raise CommitFinished(f"output commit {row.repo}@{row.id} is {row.state} and cannot be published again")
    address = Address(row.repo, row.branch)
    where = (Branch.repo == address.repo, Branch.name == address.ref)
    branch = session.scalar(select(Branch).where(*where).with_for_update())
    if branch is None or branch.head != seen_head:
        now = "is gone" if branch is None else f"has head {branch.head}"
        raise BranchMoved(f"{address} {now}, not {seen_head} as when commit {row.id} was assembled; assemble it again")
    ordinal = move_head(session, address, row.id, Seen(branch.head, branch.ordinal), author)
    for name, value in _published(tree, seen_head, ordinal, finished or utc_now()).items():
        setattr(row, name, value)
    session.flush()
    fire_triggers(session, address, author)


@retried
def drop_output_commit(root: Root, commit_id: str, error: str) -> None:
    """Close an output commit that will not be published, keeping why; one that is closed already stays as it is."""
    with root.metadata.session() as session:
        row = find_commit_by_id(session, commit_id)
        if row.state == "open":
            row.state, row.error, row.finished, row.heartbeat = "error", error, utc_now(), None
    mirror_again(root, [commit_id])


@retried
def reopen_output_commit(root: Root, commit_id: str) -> None:
    """Open a dropped output commit again, for its job's next attempt. Raises `CommitFinished` if it was published."""
    with root.metadata.session() as session:
        row = find_commit_by_id(session, commit_id)
        if row.state == "finished":
            raise CommitFinished(f"output commit {row.repo}@{row.id} was published and cannot be opened again")
        row.state, row.error, row.finished, row.heartbeat = "open", None, None, utc_now()


def _published(tree: Tree | None, parent: str | None, ordinal: int, finished: datetime) -> dict[str, Any]:
    return {
        "state": "finished",
        "parent": parent,
        "ordinal": ordinal,
        "tree": tree_text(tree) if tree is not None else None,
        "size_bytes": tree.size_bytes if tree is not None else 0,
        "file_count": len(tree) if tree is not None else 0,
        "finished": finished,
        "heartbeat": None,
    }
