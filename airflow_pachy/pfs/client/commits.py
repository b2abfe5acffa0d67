"""Commits: what users call."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow_pachy.pfs import commits, removal, waiting
from airflow_pachy.pfs import provenance as lineage
from airflow_pachy.pfs.address import parse_branch
from airflow_pachy.pfs.client.base import Client
from airflow_pachy.pfs.targets import CommitLike, as_commit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_pachy.pfs.handle import Commit
    from airflow_pachy.pfs.infos import CommitInfo


class CommitVerbs(Client):
    """Start, finish, list, wait for, trace and remove commits."""

    def start_commit(
        self,
        branch: str,
        parent: CommitLike | None = None,
        description: str = "",
        provenance: Sequence[CommitLike] | None = None,
    ) -> Commit:
        """Open a commit on a branch. Raises `CommitOpen` if one is open already."""
        info = commits.start_commit(
            self._root,
            parse_branch(branch),
            parent=None if parent is None else as_commit(self._root, parent),
            description=description,
            provenance=None if provenance is None else [as_commit(self._root, one) for one in provenance],
        )
        return self._handle(info.id, buffered=False)

    def finish_commit(
        self,
        commit: CommitLike,
        description: str | None = None,
        *,
        empty: bool = False,
        error: str | None = None,
    ) -> CommitInfo:
        """Publish an open commit; `empty` publishes no files, `error` closes it beside its branch. Idempotent."""
        address = as_commit(self._root, commit)
        info = self.inspect_commit(address)
        self.opened.settle(info.id)
        finished = commits.finish_commit(self._root, address, description=description, empty=empty, error=error)
        self.opened.forget(finished.id)
        return finished

    @contextmanager
    def commit(
        self,
        branch: str,
        *,
        parent: CommitLike | None = None,
        description: str = "",
        provenance: Sequence[CommitLike] | None = None,
    ) -> Iterator[Commit]:
        """Open a commit for a block: finished when the block ends, dropped when it raises."""
        started = self.start_commit(branch, parent, description, provenance)
        handle = self._handle(started.id, buffered=True)
        self.opened.on_touch(handle.id, handle.settle)
        try:
            yield handle
            handle.close()
        except BaseException:
            handle.close(abandon=True)
            self.opened.forget(handle.id)
            self.drop_commit(str(handle))
            raise
        self.finish_commit(str(handle))

    def inspect_commit(self, commit: CommitLike) -> CommitInfo:
        """What is known of a commit. Raises `CommitNotFound`."""
        return commits.inspect_commit(self._root, as_commit(self._root, commit))

    def list_commits(
        self,
        commit: CommitLike,
        after: CommitLike | None = None,
        limit: int | None = None,
        *,
        reverse: bool = False,
        origin: str | None = None,
    ) -> Iterator[CommitInfo]:
        """A branch's or commit's history, newest first (oldest first with `reverse`), beyond the commit `after`."""
        beyond = None if after is None else as_commit(self._root, after)
        address = as_commit(self._root, commit)
        return commits.list_commits(self._root, address, after=beyond, limit=limit, reverse=reverse, origin=origin)

    def subscribe_commit(
        self, branch: str, start: CommitLike | None = None, state: str = "finished", *, timeout: float | None = None
    ) -> Iterator[CommitInfo]:
        """Commits beyond `start`, oldest first, then new heads as they come, for `timeout` seconds or for ever."""
        begin = None if start is None else as_commit(self._root, start)
        return waiting.subscribe_commit(
            self._root, parse_branch(branch), start=begin, state=state, pauses=waiting.Pauses(timeout)
        )

    def wait_commit(self, commit: CommitLike, timeout: float | None = None) -> CommitInfo:
        """Wait until a commit is finished. Raises `TimeoutError` after `timeout` seconds."""
        return waiting.wait_commit(self._root, as_commit(self._root, commit), waiting.Pauses(timeout))

    def provenance(self, commit: CommitLike) -> list[CommitInfo]:
        """All commits that a commit derives from, directly or not, oldest first."""
        return lineage.provenance(self._root, as_commit(self._root, commit))

    def subvenance(self, commit: CommitLike) -> list[CommitInfo]:
        """All commits that derive from a commit, directly or not, oldest first."""
        return lineage.subvenance(self._root, as_commit(self._root, commit))

    def drop_commit(self, commit: CommitLike) -> None:
        """Remove a commit that has no children; a branch whose head it is falls back to the parent."""
        self.opened.forget(removal.drop_commit(self._root, as_commit(self._root, commit)))

    def squash_commit(self, commit: CommitLike) -> None:
        """Remove a commit that has children: they keep their files and follow its parent."""
        removal.squash_commit(self._root, as_commit(self._root, commit))

    def delete_commit(self, commit: CommitLike) -> None:
        """Remove a commit and all that derive from it; children follow its parent, heads fall back to it."""
        removal.delete_commit(self._root, as_commit(self._root, commit))
