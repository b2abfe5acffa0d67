"""Creating, listing and deleting repos."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import aliased

from airflow_pachy.errors import AlreadyExists, HasDependents
from airflow_pachy.metadata.changes import touch
from airflow_pachy.metadata.contention import retried
from airflow_pachy.metadata.models import BranchProvenance, Commit, CommitProvenance, Repo
from airflow_pachy.pfs.access import grant_creator, with_roles
from airflow_pachy.pfs.describe import describe_repos
from airflow_pachy.pfs.heads import utc_now
from airflow_pachy.pfs.labels import check_labels, has_labels, merged_labels
from airflow_pachy.pfs.lookups import find_repo
from airflow_pachy.pfs.mirror import mirror_key
from airflow_pachy.pfs.mirroring import mirror_again
from airflow_pachy.pfs.names import check_repo_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy.orm import Session

    from airflow_pachy.pfs.infos import RepoInfo
    from airflow_pachy.pfs.root import Root

_PAGE = 200


@retried
def create_repo(
    root: Root, name: str, *, description: str, update: bool, labels: Mapping[str, str | None] | None
) -> RepoInfo:
    """Make a repo; `update` changes the description of an existing one, and its labels by those given.

    Raises `InvalidName`, `AlreadyExists`, `InvalidArgument`.
    """
    check_repo_name(name)
    taken = AlreadyExists(f"repo {name!r} exists already; to change its description use: pachy update repo {name}")
    try:
        with root.metadata.session() as session:
            row = session.get(Repo, name)
            if row is not None and not update:
                raise taken
            if row is None:
                row = Repo(name=name, description=description, created=utc_now(), author=root.principal)
                session.add(row)
                session.flush()
                grant_creator(session, name, root.principal)
            row.description = description
            row.labels = merged_labels(row.labels, labels)
            session.flush()
            return describe_repos(session, [row])[0]
    except IntegrityError as error:
        # Another process made it between our look and our insert.
        if update:
            return create_repo(root, name, description=description, update=True, labels=labels)
        raise taken from error


@retried
def update_repo(root: Root, name: str, *, description: str | None, labels: Mapping[str, str | None] | None) -> RepoInfo:
    """Change what is said of a repo: the description if given, and the labels given; None takes a label away."""
    check_repo_name(name)
    with root.metadata.session() as session:
        row = find_repo(session, name)
        row.description = row.description if description is None else description
        row.labels = merged_labels(row.labels, labels)
        session.flush()
        info = describe_repos(session, [row])[0]
    return with_roles(root, [info])[0]


def inspect_repo(root: Root, name: str) -> RepoInfo:
    """One repo."""
    check_repo_name(name)
    with root.metadata.reader() as session:
        info = describe_repos(session, [find_repo(session, name)])[0]
    return with_roles(root, [info])[0]


def list_repos(
    root: Root, *, after: str | None, limit: int | None, labels: Mapping[str, str] | None
) -> Iterator[RepoInfo]:
    """Repos by name, read page by page; with `labels`, those that have all of them."""
    if labels:
        wanted = check_labels(labels)
        found = list_repos(root, after=after, limit=None, labels=None)
        yield from islice((one for one in found if has_labels(one.labels, wanted)), limit)
        return
    left = limit
    while left is None or left > 0:
        size = _PAGE if left is None else min(left, _PAGE)
        query = select(Repo).order_by(Repo.name).limit(size)
        if after is not None:
            query = query.where(Repo.name > after)
        with root.metadata.reader() as session:
            page = describe_repos(session, session.scalars(query).all())
        yield from with_roles(root, page)
        if len(page) < size:
            return
        after = page[-1].name
        left = None if left is None else left - len(page)


@retried
def delete_repo(root: Root, name: str, *, force: bool) -> None:
    """Delete a repo with its branches and history; the bytes stay until garbage is collected.

    Raises `HasDependents` when other repos derive from it, unless `force`.
    """
    check_repo_name(name)
    with root.metadata.session() as session:
        row = find_repo(session, name)
        dependents = _dependents(session, name)
        if dependents and not force:
            raise HasDependents(
                f"repo {name!r} cannot be deleted, {', '.join(dependents)} derived from it; "
                "delete those first, or use force, which breaks their provenance"
            )
        for edge in session.scalars(select(BranchProvenance).where(BranchProvenance.upstream_repo == name)):
            touch(session, "branches", edge.repo, edge.branch)
        session.execute(delete(BranchProvenance).where(BranchProvenance.upstream_repo == name))
        own = select(Commit.id).where(Commit.repo == name)
        removed = session.scalars(own).all()
        edges = CommitProvenance.upstream.in_(own.scalar_subquery())
        below = session.scalars(select(CommitProvenance.commit).where(edges).distinct()).all()
        session.execute(delete(CommitProvenance).where(edges))
        session.delete(row)
    changed = sorted(set(below).difference(removed))
    root.metadata.after_commit(lambda: mirror_again(root, changed))
    root.metadata.after_commit(lambda: root.store.delete([mirror_key(one) for one in removed]))


def _dependents(session: Session, name: str) -> list[str]:
    """Repos whose branches or commits come from this one."""
    edges = select(BranchProvenance.repo).where(BranchProvenance.upstream_repo == name).distinct()
    below, above = aliased(Commit), aliased(Commit)
    commits = (
        select(below.repo)
        .join(CommitProvenance, CommitProvenance.commit == below.id)
        .join(above, above.id == CommitProvenance.upstream)
        .where(above.repo == name)
        .distinct()
    )
    return sorted({*session.scalars(edges), *session.scalars(commits)} - {name})
