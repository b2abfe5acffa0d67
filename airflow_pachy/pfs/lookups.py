"""From names and addresses to rows, with errors that say what is there instead.

Everything here runs inside the caller's transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from airflow_pachy.errors import BranchNotFound, CommitForgotten, CommitNotFound, RepoNotFound, TagNotFound
from airflow_pachy.metadata.models import Branch, Commit, Repo, Tag
from airflow_pachy.pfs.ancestry import ancestor_from_start, nth_ancestor
from airflow_pachy.pfs.names import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

    from airflow_pachy.pfs.address import Address

# Guessing what was meant must stay cheap in a database of many repos.
_GUESS_LIMIT = 2000


def find_repo(session: Session, name: str) -> Repo:
    """The repo's row; raises `RepoNotFound`."""
    row = session.get(Repo, name)
    if row is None:
        known = session.scalars(select(Repo.name).limit(_GUESS_LIMIT))
        raise RepoNotFound(
            f"there is no repo {name!r}.{did_you_mean(name, known)} Create it with: pachy create repo {name}"
        )
    return row


def find_branch(session: Session, address: Address) -> Branch:
    """The branch's row; raises `RepoNotFound` or `BranchNotFound`."""
    row = session.get(Branch, (address.repo, address.ref))
    if row is None:
        find_repo(session, address.repo)
        known = session.scalars(select(Branch.name).where(Branch.repo == address.repo).limit(_GUESS_LIMIT)).all()
        if "." in address.ref:
            raise TagNotFound(
                f"repo {address.repo!r} has no tag {address.ref!r}; list them: pachy list tag {address.repo}"
            )
        there = f"it has {_listed(known)}" if known else "it has none yet; putting a file makes one"
        raise BranchNotFound(
            f"repo {address.repo!r} has no branch {address.ref!r} ({there}).{did_you_mean(address.ref, known)}"
        )
    return row


def find_commit_by_id(session: Session, commit_id: str) -> Commit:
    """The commit's row; raises `CommitNotFound`."""
    row = session.get(Commit, commit_id)
    if row is None:
        raise CommitNotFound(
            f"there is no commit {commit_id!r}; list those of a branch with: pachy list commit repo@branch"
        )
    return row


def find_commit(session: Session, address: Address) -> Commit:
    """The commit an address means: a branch stands for the commit a user has open on it, else for its head.

    Raises `RepoNotFound`, `BranchNotFound`, `TagNotFound` or `CommitNotFound`.
    """
    if address.ancestry < 0 and (tag := session.get(Tag, (address.repo, address.tag))) is not None:
        return find_commit_by_id(session, tag.commit)
    commit = _find_named(session, address)
    if address.ancestry == 0:
        return commit
    if address.ancestry > 0:
        found = nth_ancestor(session, commit, address.ancestry)
    else:
        found = ancestor_from_start(session, commit, -address.ancestry)
    return find_commit_by_id(session, found)


def require_data(row: Commit) -> Commit:
    """The same commit; raises `CommitForgotten` if its files were given up."""
    if row.forgotten is not None:
        by = f" by {row.forgotten_by}" if row.forgotten_by else ""
        raise CommitForgotten(
            f"the data of commit {row.repo}@{row.id} was forgotten on {row.forgotten:%Y-%m-%d %H:%M} UTC{by} and "
            f"cannot be read any more; what is known of it stays: pachy inspect commit {row.repo}@{row.id}"
        )
    return row


def _find_named(session: Session, address: Address) -> Commit:
    if address.is_commit_id:
        row = session.get(Commit, address.ref)
        if row is None or row.repo != address.repo:
            find_repo(session, address.repo)
            elsewhere = f" (it is a commit of repo {row.repo!r})" if row is not None else ""
            raise CommitNotFound(f"repo {address.repo!r} has no commit {address.ref!r}{elsewhere}")
        return row
    if session.get(Branch, (address.repo, address.ref)) is None:
        tag = session.get(Tag, (address.repo, address.ref))
        if tag is not None:
            return find_commit_by_id(session, tag.commit)
    branch = find_branch(session, address)
    current = branch.open_commit or branch.head
    if current is None:
        raise CommitNotFound(f"branch {address.repo}@{address.ref} has no commit yet; put a file into it first")
    return find_commit_by_id(session, current)


def _listed(names: Sequence[str]) -> str:
    ordered = sorted(names)
    shown = ", ".join(ordered[:8])
    return shown + (f" and {len(ordered) - 8} more" if len(ordered) > 8 else "")
