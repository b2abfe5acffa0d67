"""Tags: names for commits that never move. They share the namespace of branches, since both stand behind an `@`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from airflow_pachy.errors import AlreadyExists, CommitOpen, InvalidName, TagNotFound
from airflow_pachy.metadata.contention import retried
from airflow_pachy.metadata.models import Branch, Tag
from airflow_pachy.pfs.address import Address, parse_address
from airflow_pachy.pfs.heads import utc_now
from airflow_pachy.pfs.infos import TagInfo
from airflow_pachy.pfs.lookups import find_commit, find_repo, require_data
from airflow_pachy.pfs.mirroring import mirror_again
from airflow_pachy.pfs.names import check_tag_name, did_you_mean

if TYPE_CHECKING:
    from airflow_pachy.pfs.root import Root


def tag_commit(root: Root, commit: Address, name: str) -> TagInfo:
    """Name a finished commit for good; doing so again changes nothing.

    Raises `AlreadyExists` when the name is another commit's or a branch's, `InvalidName`, `CommitOpen`,
    `CommitForgotten`: a tag promises that the data stays.
    """
    check_tag_name(name)
    if parse_address(f"{commit.repo}@{name}").tag != name:
        raise InvalidName(f"tag {name!r} could not be told from ancestry in an address; choose another name")
    try:
        present = _tag(root, commit, name)
    except IntegrityError:
        # Somebody else took the name between our look and our insert.
        present = _tag(root, commit, name)
    root.metadata.after_commit(lambda: mirror_again(root, [present.commit]))
    return _describe(present)


@retried
def _tag(root: Root, commit: Address, name: str) -> Tag:
    with root.metadata.session() as session:
        row = find_commit(session, commit)
        if row.state != "finished":
            raise CommitOpen(f"commit {row.repo}@{row.id} is {row.state}; only a finished commit can be tagged")
        require_data(row)
        present = session.get(Tag, (row.repo, name))
        if present is not None and present.commit != row.id:
            raise AlreadyExists(
                f"tag {row.repo}@{name} is commit {present.commit} and does not move; choose another name, or delete "
                f"it first with: pachy delete tag {row.repo}@{name}"
            )
        # `v1.2` may also be read as the second commit of a branch `v1`.
        for branch in {name, name.rpartition(".")[0]} - {""}:
            if session.get(Branch, (row.repo, branch)) is not None:
                raise AlreadyExists(
                    f"{row.repo} has a branch {branch!r}, so {row.repo}@{name} has a meaning already; "
                    "choose another name for the tag"
                )
        if present is None:
            present = Tag(repo=row.repo, name=name, commit=row.id, created=utc_now(), author=root.principal)
            session.add(present)
            session.flush()
        return present


def list_tags(root: Root, repo: str) -> list[TagInfo]:
    """The tags of a repo by name."""
    with root.metadata.reader() as session:
        find_repo(session, repo)
        return [_describe(row) for row in session.scalars(select(Tag).where(Tag.repo == repo).order_by(Tag.name))]


@retried
def delete_tag(root: Root, address: Address) -> None:
    """Take a name away from its commit, which stays. Raises `TagNotFound`."""
    with root.metadata.session() as session:
        row = session.get(Tag, (address.repo, address.tag or ""))
        if row is None:
            find_repo(session, address.repo)
            known = session.scalars(select(Tag.name).where(Tag.repo == address.repo)).all()
            raise TagNotFound(
                f"repo {address.repo!r} has no tag {address.tag or address.ref!r}."
                f"{did_you_mean(address.tag or '', known)} List them with: pachy list tag {address.repo}"
            )
        commit = row.commit
        session.delete(row)
    root.metadata.after_commit(lambda: mirror_again(root, [commit]))


def _describe(row: Tag) -> TagInfo:
    return TagInfo(row.repo, row.name, f"{row.repo}@{row.commit}", row.created, row.author)
