"""Giving up the data of a commit while everything that is known of it stays: who, when, how much, made from what."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from airflow_pachy.errors import CommitOpen, Conflict, HasDependents
from airflow_pachy.metadata.contention import retried
from airflow_pachy.metadata.models import Branch, Commit, Job, JobInput, Tag
from airflow_pachy.pfs.describe import describe_commit
from airflow_pachy.pfs.heads import utc_now
from airflow_pachy.pfs.lookups import find_commit
from airflow_pachy.pfs.mirroring import mirror_again

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from airflow_pachy.pfs.address import Address
    from airflow_pachy.pfs.infos import CommitInfo
    from airflow_pachy.pfs.root import Root

_LIVE_JOBS = ("planning", "running")


@retried
def forget_commit(root: Root, address: Address) -> CommitInfo:
    """Give up a commit's files for good; garbage collection frees what no other commit has.

    Doing so again changes nothing. Raises `HasDependents` for the head of a branch and for a tagged commit, `Conflict`
    while a job reads it, `CommitOpen`.
    """
    with root.metadata.session() as session:
        named = find_commit(session, address)
        row = session.scalars(select(Commit).where(Commit.id == named.id).with_for_update()).one()
        if row.forgotten is None:
            _require_unused(session, row)
            row.tree, row.forgotten, row.forgotten_by = None, utc_now(), root.principal
            session.flush()
        info = describe_commit(session, row)
    root.metadata.after_commit(lambda: mirror_again(root, [info.id]))
    return info


def _require_unused(session: Session, row: Commit) -> None:
    address = f"{row.repo}@{row.id}"
    if row.state == "open":
        raise CommitOpen(f"commit {address} is open; finish it, or give it up with: pachy drop commit {address}")
    heads = session.scalars(select(Branch.name).where(Branch.repo == row.repo, Branch.head == row.id)).all()
    if heads:
        shown = ", ".join(f"{row.repo}@{name}" for name in sorted(heads))
        raise HasDependents(f"commit {address} is the head of {shown}; only what is no head can be forgotten")
    child = select(Commit.id).where(Commit.parent == row.id, Commit.state == "open").limit(1)
    if (opened := session.scalar(child)) is not None:
        raise CommitOpen(f"commit {row.repo}@{opened} was opened on commit {address}; finish or drop that one first")
    tags = session.scalars(select(Tag.name).where(Tag.commit == row.id)).all()
    if tags:
        shown = ", ".join(sorted(tags))
        raise HasDependents(f"commit {address} is tagged {shown}; delete the tags first with: pachy delete tag")
    job = session.scalar(
        select(Job.id)
        .join(JobInput, JobInput.job == Job.id)
        .where(JobInput.commit == row.id, Job.state.in_(_LIVE_JOBS))
        .limit(1)
    )
    if job is not None:
        raise Conflict(f"commit {address} is being read by job {job}; wait until it has ended, or stop it")
