"""Access: what users call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_pachy.pfs import access
from airflow_pachy.pfs.client.base import Client

if TYPE_CHECKING:
    from airflow_pachy.pfs.access import Role


class AccessVerbs(Client):
    """Grant roles on repos, and show them."""

    def grant(self, repo: str, principal: str, role: str | Role) -> None:
        """Give a principal READER, WRITER or OWNER on a repo, or take its role away with NONE.

        Principals are `user:`, `robot:`, `group:`, `dag:` and `pipeline:` with a name, and `allUsers`. The first grant
        on a repo closes it to everyone else. Raises `Denied`, `InvalidArgument`, `RepoNotFound`.
        """
        access.grant(self._root, repo, principal, str(role))

    def acl(self, repo: str) -> dict[str, str]:
        """The roles on a repo by principal; empty when it is open to everyone. Raises `Denied`, `RepoNotFound`."""
        return access.acl(self._root, repo)
