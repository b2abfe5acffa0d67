"""Branches: what users call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_pachy.pfs import branches
from airflow_pachy.pfs.address import parse_branch
from airflow_pachy.pfs.client.base import Client
from airflow_pachy.pfs.targets import CommitLike, as_commit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_pachy.pfs.infos import BranchInfo


class BranchVerbs(Client):
    """Create, move, inspect, list and delete branches."""

    def create_branch(
        self,
        branch: str,
        head: CommitLike | None = None,
        provenance: Sequence[str] | None = None,
        trigger: Mapping[str, Any] | None = None,
    ) -> BranchInfo:
        """Make a branch, or move it to `head`, or set the branches it derives from; what is not given stays.

        Raises `RepoNotFound`, `BranchNotFound`, `CommitNotFound`, `CommitOpen`, `InvalidArgument`.
        """
        return branches.create_branch(
            self._root,
            parse_branch(branch),
            head=None if head is None else as_commit(self._root, head),
            provenance=None if provenance is None else [parse_branch(one) for one in provenance],
            trigger=None if trigger is None else dict(trigger),
        )

    def inspect_branch(self, branch: str) -> BranchInfo:
        """One branch. Raises `BranchNotFound`."""
        return branches.inspect_branch(self._root, parse_branch(branch))

    def list_branches(self, repo: str) -> list[BranchInfo]:
        """The branches of a repo, newest first."""
        return branches.list_branches(self._root, repo)

    def delete_branch(self, branch: str, *, force: bool = False) -> None:
        """Delete a branch, not its commits. Raises `HasDependents` when others derive from it, unless `force`."""
        branches.delete_branch(self._root, parse_branch(branch), force=force)
