"""Branches: what users call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from airflow_pachy.lazy import LazyModule
from airflow_pachy.pfs.address import parse_branch
from airflow_pachy.pfs.client.base import Client
from airflow_pachy.pfs.targets import as_commit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from airflow_pachy.pfs import branches, firing, triggers
    from airflow_pachy.pfs.infos import BranchInfo
    from airflow_pachy.pfs.targets import CommitLike
    from airflow_pachy.pfs.triggers import Trigger
else:
    branches = LazyModule("airflow_pachy.pfs.branches")
    firing = LazyModule("airflow_pachy.pfs.firing")
    triggers = LazyModule("airflow_pachy.pfs.triggers")


class BranchVerbs(Client):
    """Create, move, inspect, list and delete branches."""

    def create_branch(
        self,
        branch: str,
        head: CommitLike | None = None,
        provenance: Sequence[str] | None = None,
        trigger: Trigger | Mapping[str, Any] | Literal[False] | None = None,
    ) -> BranchInfo:
        """Make a branch, or move it to `head`, or set the branches it derives from or its trigger.

        What is not given stays as it is; an empty `provenance` or `trigger` takes away what there was.
        Raises `RepoNotFound`, `BranchNotFound`, `CommitNotFound`, `CommitOpen`, `InvalidArgument`.
        """
        return branches.create_branch(
            self._root,
            parse_branch(branch),
            head=None if head is None else as_commit(self._root, head),
            provenance=None if provenance is None else [parse_branch(one) for one in provenance],
            trigger=None if trigger is None else triggers.Trigger.of(trigger) if trigger else False,
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

    def tick_triggers(self, now: datetime | None = None) -> list[BranchInfo]:
        """Move the branches whose trigger's `cron` schedule has come, and return those.

        Watchers in Airflow and `subscribe_commit` do this every minute; without either, call it (or run `pachy tick
        trigger`) as often as schedules are to be kept. Doing so twice, late or from several places changes nothing.
        """
        return firing.tick_triggers(self._root, now)
