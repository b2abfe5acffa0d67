"""Making a tree the head of a branch, exactly once and only if nobody was faster.

The head moves by one UPDATE that repeats what the writer has seen in its WHERE clause. Every move has a
number on its branch and a row in the queue of moves, written in the same transaction as the commit itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from airflow_pachy.errors import AlreadyExists, BranchMoved
from airflow_pachy.metadata.changes import touch
from airflow_pachy.metadata.models import Branch, CommitProvenance, HeadMove, Tag
from airflow_pachy.pfs.heads import Seen, utc_now
from airflow_pachy.pfs.lookups import find_repo
from airflow_pachy.pfs.names import check_branch_name

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from sqlalchemy.orm import Session

    from airflow_pachy.pfs.address import Address


def ensure_branch(session: Session, address: Address, author: str | None) -> Branch:
    """The branch's row, made if there is none. Raises `RepoNotFound`."""
    row = session.get(Branch, (address.repo, address.ref))
    if row is None:
        find_repo(session, address.repo)
        _require_branch_name(session, address)
        row = Branch(repo=address.repo, name=address.ref, ordinal=0, created=utc_now(), author=author)
        try:
            with session.begin_nested():
                session.add(row)
        except IntegrityError:
            # Another process made it, or removed the repo, between our look and our insert.
            find_repo(session, address.repo)
            return session.get_one(Branch, (address.repo, address.ref), populate_existing=True)
    return row


def _require_branch_name(session: Session, address: Address) -> None:
    """Raise `AlreadyExists` where an address means a tag, or would mean two things with this branch."""
    check_branch_name(address.ref)
    for name in session.scalars(
        select(Tag.name).where(
            Tag.repo == address.repo,
            or_(Tag.name == address.ref, Tag.name.startswith(f"{address.ref}.", autoescape=True)),
        )
    ):
        if name == address.ref:
            raise AlreadyExists(
                f"{address.repo}@{name} is a tag, which never changes; write to a branch, such as one made from it "
                f"with: pachy create branch {address.repo}@NAME --head {name}"
            )
        if name.rpartition(".")[0] == address.ref:
            raise AlreadyExists(
                f"{address.repo} has a tag {name!r}, which could not be told from the history of a branch "
                f"{address.ref!r}; choose another name for the branch"
            )


def see_branch(session: Session, address: Address) -> Seen:
    """What a writer of this branch starts from; a branch that does not exist has no head."""
    found = session.execute(
        select(Branch.head, Branch.ordinal).where(Branch.repo == address.repo, Branch.name == address.ref)
    ).one_or_none()
    if found is None:
        find_repo(session, address.repo)
        return Seen(None, 0)
    return Seen(found.head, found.ordinal)


def move_head(
    session: Session,
    address: Address,
    commit_id: str | None,
    seen: Seen,
    author: str | None,
    *,
    now: datetime | None = None,
) -> int:
    """Point the branch at `commit_id` if it is still where `seen` says; return the number of this move.

    Whoever moves a branch on calls `firing.fire_triggers` after it, once the commit's row is complete.
    Raises `BranchMoved` when another writer was faster; the caller's transaction must then roll back.
    """
    result = session.execute(
        update(Branch)
        .where(
            Branch.repo == address.repo,
            Branch.name == address.ref,
            Branch.head == seen.head if seen.head is not None else Branch.head.is_(None),
            Branch.ordinal == seen.ordinal,
        )
        .values(head=commit_id, ordinal=seen.ordinal + 1)
        .execution_options(synchronize_session=False)
    )
    if result.rowcount != 1:  # type: ignore[attr-defined]  # an UPDATE's result has it
        raise BranchMoved(f"the head of {address.repo}@{address.ref} moved while this commit was being made; try again")
    session.execute(
        insert(HeadMove).values(
            repo=address.repo,
            branch=address.ref,
            ordinal=seen.ordinal + 1,
            commit=commit_id,
            moved=now or utc_now(),
            author=author,
        )
    )
    touch(session, "moves", address.repo, address.ref, str(seen.ordinal + 1))
    return seen.ordinal + 1


def add_provenance(session: Session, commit_id: str, upstream: Iterable[str]) -> None:
    """Record direct edges of a new commit."""
    rows = [{"commit": commit_id, "upstream": one} for one in dict.fromkeys(upstream)]
    if rows:
        session.execute(insert(CommitProvenance), rows)
