"""Access: what users call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_pachy.lazy import LazyModule
from airflow_pachy.pfs.client.base import Client
from airflow_pachy.pfs.roles import Role

if TYPE_CHECKING:
    from sqlalchemy import Select

    from airflow_pachy.pfs import access
else:
    access = LazyModule("airflow_pachy.pfs.access")


class AccessVerbs(Client):
    """Grant roles on repos, and show them."""

    def grant(self, repo: str, principal: str, role: str | Role) -> None:
        """Give a principal READER, WRITER or OWNER on a repo, or take its role away with NONE.

        Principals are `user:`, `robot:`, `group:`, `dag:` and `pipeline:` with a name, and `allUsers`. The first grant
        on a repo closes it to everyone else. Raises `Denied`, `InvalidArgument`, `RepoNotFound`.
        """
        access.grant(self._root, repo, principal, str(role))

    def require_reader(self, *repos: str) -> None:
        """Raise `Denied` unless the caller may read all of these repos."""
        for repo in dict.fromkeys(repos):
            access.require(self._root, repo, Role.READER)

    def require_writer(self, repo: str) -> None:
        """Raise `Denied` unless the caller may write to this repo."""
        access.require(self._root, repo, Role.WRITER)

    def require_owner(self, repo: str) -> None:
        """Raise `Denied` unless the caller owns this repo."""
        access.require(self._root, repo, Role.OWNER)

    def closed_repos(self) -> Select[Any] | None:
        """A query for the names of the repos that the caller may not read; None for an administrator."""
        return access.closed_repos(self._root.principal, self._root.groups)

    def acl(self, repo: str) -> dict[str, str]:
        """The roles on a repo by principal; empty when it is open to everyone. Raises `Denied`, `RepoNotFound`."""
        return access.acl(self._root, repo)
