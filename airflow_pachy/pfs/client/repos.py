"""Repos: what users call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_pachy.lazy import LazyModule
from airflow_pachy.pfs.client.base import Client

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_pachy.pfs import repos
    from airflow_pachy.pfs.infos import RepoInfo
else:
    repos = LazyModule("airflow_pachy.pfs.repos")


class RepoVerbs(Client):
    """Create, inspect, list and delete repos."""

    def create_repo(
        self,
        name: str,
        description: str = "",
        *,
        update: bool = False,
        labels: Mapping[str, str] | None = None,
    ) -> RepoInfo:
        """Make a repo; `update` changes the description of an existing one. Raises `AlreadyExists`, `InvalidName`."""
        return repos.create_repo(self._root, name, description=description, update=update, labels=labels)

    def update_repo(
        self, name: str, description: str | None = None, *, labels: Mapping[str, str | None] | None = None
    ) -> RepoInfo:
        """Change a repo's description and those of its labels that are given; the value None takes a label away."""
        return repos.update_repo(self._root, name, description=description, labels=labels)

    def inspect_repo(self, name: str) -> RepoInfo:
        """One repo. Raises `RepoNotFound`."""
        return repos.inspect_repo(self._root, name)

    def list_repos(
        self, *, after: str | None = None, limit: int | None = None, labels: Mapping[str, str] | None = None
    ) -> Iterator[RepoInfo]:
        """Repos by name, beyond the name `after`; with `labels`, those that have all of them."""
        return repos.list_repos(self._root, after=after, limit=limit, labels=labels)

    def delete_repo(self, name: str, *, force: bool = False) -> None:
        """Delete a repo and its history. Raises `HasDependents` when others derive from it, unless `force`."""
        repos.delete_repo(self._root, name, force=force)
