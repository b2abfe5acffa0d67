"""Who may do what with a repo.

A grant is one row: a principal has a role on a repo. READER reads, WRITER also writes, OWNER also grants and deletes.
A repo without any grant is open to everyone, and a client without a principal is an administrator: whoever has the
database's password could change the grants themselves, so this keeps colleagues from accidents and DAGs in their
lanes; it does not keep out somebody with credentials.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import aliased

from airflow_pachy.errors import Denied, InvalidArgument
from airflow_pachy.metadata.changes import touch
from airflow_pachy.metadata.contention import retried
from airflow_pachy.metadata.models import Grant
from airflow_pachy.pfs.lookups import find_repo
from airflow_pachy.pfs.names import check_repo_name
from airflow_pachy.pfs.roles import ALL_USERS, Role, check_principal, parse_role

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from sqlalchemy import Select
    from sqlalchemy.orm import Session

    from airflow_pachy.pfs.infos import RepoInfo
    from airflow_pachy.pfs.root import Root

_SHOWN_OWNERS = 3
_KNOWN_TRIES = 3


_DEEDS = {Role.READER: "read", Role.WRITER: "write to", Role.OWNER: "administer"}


@retried
def grant(root: Root, repo: str, principal: str, role: str) -> None:
    """Give a principal a role on a repo, or with "NONE" take it away. Needs OWNER where there are grants already.

    The first grant closes the repo to all others; whoever makes it becomes an OWNER. Raises `Denied`,
    `InvalidArgument`, `RepoNotFound`.
    """
    wanted, name = parse_role(role), check_principal(principal)
    check_repo_name(repo)
    for left in reversed(range(_KNOWN_TRIES)):
        try:
            with root.metadata.session() as session:
                find_repo(session, repo)
                grants = _grants(session, repo, lock=True)
                _require(root, repo, grants, Role.OWNER)
                if not grants and wanted is Role.NONE:
                    return
                if root.principal is not None:
                    if not grants:
                        _set(session, repo, root.principal, Role.OWNER, grants)
                    _keep_an_owner(repo, grants, name, wanted)
                _set(session, repo, name, wanted, grants)
            return
        except IntegrityError:
            # Another process granted the same between our look and our insert: now it is found.
            if not left:
                raise


def acl(root: Root, repo: str) -> dict[str, str]:
    """The roles on a repo by principal; empty for a repo that is open to everyone. Raises `RepoNotFound`."""
    check_repo_name(repo)
    with root.metadata.reader() as session:
        find_repo(session, repo)
        return {principal: str(role) for principal, role in sorted(_grants(session, repo).items())}


def grant_creator(session: Session, repo: str, principal: str | None) -> None:
    """Make whoever creates a repo its OWNER, in the transaction that creates it."""
    if principal is not None:
        session.add(Grant(repo=repo, principal=principal, role=str(Role.OWNER)))


def require(root: Root, repo: str, role: Role, session: Session | None = None) -> None:
    """Raise `Denied` unless the caller has the role on the repo; one that does not exist is for others to tell.

    With `session` the grants are read inside the caller's transaction.
    """
    if root.principal is None:
        return
    if session is None:
        with root.metadata.reader() as own:
            grants = _grants(own, repo)
    else:
        grants = _grants(session, repo)
    _require(root, repo, grants, role)


def require_everywhere(root: Root, role: Role) -> None:
    """Raise `Denied` unless the caller has the role on every repo that has grants."""
    if root.principal is None:
        return
    with root.metadata.reader() as session:
        by_repo = _grants_by_repo(session, None)
    for repo, grants in sorted(by_repo.items()):
        _require(root, repo, grants, role)


def closed_repos(principal: str | None, groups: Iterable[str]) -> Select[Any] | None:
    """A query for the names of the repos that somebody may not read; None for an administrator, who may read all."""
    if principal is None:
        return None
    mine = aliased(Grant)
    readable = select(mine.repo).where(mine.principal.in_([principal, *groups, ALL_USERS]))
    return select(Grant.repo).where(Grant.repo.not_in(readable)).distinct()


def with_roles(root: Root, infos: Sequence[RepoInfo]) -> list[RepoInfo]:
    """The repos, each with the caller's role on it."""
    if root.principal is None:
        return list(infos)
    with root.metadata.reader() as session:
        by_repo = _grants_by_repo(session, [info.name for info in infos])
    return [replace(info, access=str(_role_of(root, by_repo.get(info.name, {})))) for info in infos]


def _require(root: Root, repo: str, grants: Mapping[str, Role], role: Role) -> None:
    if root.principal is None or (present := _role_of(root, grants)) >= role:
        return
    also = f" (also as {', '.join(root.groups)})" if root.groups else ""
    has = f"has {present}" if present else "has no role there"
    owners = [one for one, held in sorted(grants.items()) if held is Role.OWNER]
    shown = ", ".join(owners[:_SHOWN_OWNERS]) + (", ..." if len(owners) > _SHOWN_OWNERS else "")
    who = f"{shown} or an administrator" if owners else "an administrator (a client without a principal)"
    raise Denied(
        f"{root.principal}{also} may not {_DEEDS[role]} repo {repo!r}: that needs {role}, and {root.principal} {has}; "
        f"{who} can grant it: pachy auth set {repo} {root.principal} {role}"
    )


def _role_of(root: Root, grants: Mapping[str, Role]) -> Role:
    if root.principal is None or not grants:
        return Role.OWNER
    return max(grants.get(one, Role.NONE) for one in (root.principal, *root.groups, ALL_USERS))


def _keep_an_owner(repo: str, grants: Mapping[str, Role], principal: str, wanted: Role) -> None:
    if grants.get(principal) is not Role.OWNER or wanted is Role.OWNER:
        return
    if not any(role is Role.OWNER for other, role in grants.items() if other != principal):
        raise InvalidArgument(
            f"{principal} is the last OWNER of repo {repo!r}, and without one nobody could grant anything any more; "
            "make somebody else an OWNER first (an administrator, a client without a principal, may do without)"
        )


def _grants(session: Session, repo: str, *, lock: bool = False) -> dict[str, Role]:
    query = select(Grant).where(Grant.repo == repo)
    rows = session.scalars(query.with_for_update() if lock else query)
    return {row.principal: parse_role(row.role) for row in rows}


def _grants_by_repo(session: Session, repos: Collection[str] | None) -> dict[str, dict[str, Role]]:
    query = select(Grant.repo, Grant.principal, Grant.role)
    if repos is not None:
        query = query.where(Grant.repo.in_(repos))
    found: dict[str, dict[str, Role]] = {}
    for repo, principal, role in session.execute(query):
        found.setdefault(repo, {})[principal] = parse_role(role)
    return found


def _set(session: Session, repo: str, principal: str, role: Role, grants: dict[str, Role]) -> None:
    """Write one grant, and note it in `grants`."""
    if role is Role.NONE:
        session.execute(delete(Grant).where(Grant.repo == repo, Grant.principal == principal))
        touch(session, "repos", repo)
        grants.pop(principal, None)
        return
    row = session.get(Grant, (repo, principal))
    if row is None:
        session.add(Grant(repo=repo, principal=principal, role=str(role)))
    else:
        row.role = str(role)
    session.flush()
    grants[principal] = role
