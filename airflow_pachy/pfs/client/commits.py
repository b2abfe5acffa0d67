"""Commits: what users call."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow_pachy.errors import Conflict
from airflow_pachy.lazy import LazyModule
from airflow_pachy.pfs.address import parse_branch
from airflow_pachy.pfs.client.base import Client
from airflow_pachy.pfs.targets import as_address, as_commit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from airflow_pachy.pfs import commits, flushing, forgetting, removal, tags, waiting
    from airflow_pachy.pfs import provenance as lineage
    from airflow_pachy.pfs.handle import Commit
    from airflow_pachy.pfs.infos import CommitInfo, TagInfo
    from airflow_pachy.pfs.targets import CommitLike
else:
    commits = LazyModule("airflow_pachy.pfs.commits")
    flushing = LazyModule("airflow_pachy.pfs.flushing")
    forgetting = LazyModule("airflow_pachy.pfs.forgetting")
    lineage = LazyModule("airflow_pachy.pfs.provenance")
    removal = LazyModule("airflow_pachy.pfs.removal")
    tags = LazyModule("airflow_pachy.pfs.tags")
    waiting = LazyModule("airflow_pachy.pfs.waiting")


class CommitVerbs(Client):
    """Start, finish, list, wait for, trace and remove commits."""

    def start_commit(
        self,
        branch: str,
        parent: CommitLike | None = None,
        description: str = "",
        provenance: Sequence[CommitLike] | None = None,
        *,
        labels: Mapping[str, str] | None = None,
    ) -> Commit:
        """Open a commit on a branch. Raises `CommitOpen` if one is open already."""
        info = commits.start_commit(
            self._root,
            parse_branch(branch),
            parent=None if parent is None else as_commit(self._root, parent),
            description=description,
            provenance=None if provenance is None else [as_commit(self._root, one) for one in provenance],
            labels=labels,
        )
        return self._handle(info.id, buffered=False)

    def finish_commit(
        self,
        commit: CommitLike,
        description: str | None = None,
        *,
        empty: bool = False,
        error: str | None = None,
        labels: Mapping[str, str | None] | None = None,
    ) -> CommitInfo:
        """Publish an open commit; `empty` publishes no files, `error` closes it beside its branch. Idempotent.

        `description` replaces the one given at the start; `labels` are added to those given then.
        """
        address = as_commit(self._root, commit)
        info = self.inspect_commit(address)
        self.opened.settle(info.id)
        finished = commits.finish_commit(
            self._root, address, description=description, empty=empty, error=error, labels=labels
        )
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
        labels: Mapping[str, str] | None = None,
    ) -> Iterator[Commit]:
        """Open a commit for a block: finished when the block ends, dropped when it raises."""
        started = self.start_commit(branch, parent, description, provenance, labels=labels)
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
        labels: Mapping[str, str] | None = None,
    ) -> Iterator[CommitInfo]:
        """A branch's or commit's history, newest first (oldest first with `reverse`), beyond the commit `after`.

        `origin` ("user" or "auto") and `labels` (all of them must be there) choose among them.
        """
        beyond = None if after is None else as_commit(self._root, after)
        address = as_commit(self._root, commit)
        return commits.list_commits(
            self._root, address, after=beyond, limit=limit, reverse=reverse, origin=origin, labels=labels
        )

    def update_commit(
        self,
        commit: CommitLike,
        description: str | None = None,
        *,
        labels: Mapping[str, str | None] | None = None,
    ) -> CommitInfo:
        """Change a commit's description and those of its labels that are given; the value None takes a label away."""
        return commits.update_commit(self._root, as_commit(self._root, commit), description=description, labels=labels)

    def tag_commit(self, commit: CommitLike, name: str) -> TagInfo:
        """Name a finished commit for good: from then on `repo@name` means it. Raises `AlreadyExists`."""
        return tags.tag_commit(self._root, as_commit(self._root, commit), name)

    def list_tags(self, repo: str) -> list[TagInfo]:
        """The tags of a repo by name."""
        return tags.list_tags(self._root, repo)

    def delete_tag(self, tag: str | TagInfo) -> None:
        """Take a tag, written `repo@name`, away from its commit. Raises `TagNotFound`."""
        tags.delete_tag(self._root, as_address(self._root, str(tag)))

    def subscribe_commit(
        self, branch: str, start: CommitLike | None = None, state: str = "finished", *, timeout: float | None = None
    ) -> Iterator[CommitInfo]:
        """Commits beyond `start`, oldest first, then new heads as they come, for `timeout` seconds or for ever."""
        self._require_no_transaction()
        begin = None if start is None else as_commit(self._root, start)
        return waiting.subscribe_commit(
            self._root, parse_branch(branch), start=begin, state=state, pauses=waiting.Pauses(timeout)
        )

    def wait_commit(self, commit: CommitLike, timeout: float | None = None) -> CommitInfo:
        """Wait until a commit is finished. Raises `TimeoutError` after `timeout` seconds."""
        self._require_no_transaction()
        return waiting.wait_commit(self._root, as_commit(self._root, commit), waiting.Pauses(timeout))

    def flush_commit(
        self,
        commits: Sequence[CommitLike],
        to_repos: Sequence[str] | None = None,
        timeout: float | None = None,
        *,
        expect: Sequence[str] = (),
    ) -> list[CommitInfo]:
        """Wait for what is made from all of the given commits, and return it: one commit for each branch downstream.

        Those are the branches that derive from the commits' branches, in `to_repos` if given; a pipeline that read
        a later commit instead has answered too. A pipeline of a DAG file is known when it has run once; before that,
        name its output in `expect`, as a repo or `repo@branch`, which need not exist yet. Raises `JobFailed` when a job
        on the way failed, `TimeoutError` after `timeout` seconds, `InvalidArgument` without commits.
        """
        self._require_no_transaction()
        return flushing.flush_commit(
            self._root,
            [as_commit(self._root, one) for one in commits],
            to_repos=to_repos,
            pauses=waiting.Pauses(timeout),
            expect=[parse_branch(one) for one in expect],
        )

    def provenance(self, commit: CommitLike) -> list[CommitInfo]:
        """All commits that a commit derives from, directly or not, oldest first."""
        return lineage.provenance(self._root, as_commit(self._root, commit))

    def subvenance(self, commit: CommitLike) -> list[CommitInfo]:
        """All commits that derive from a commit, directly or not, oldest first."""
        return lineage.subvenance(self._root, as_commit(self._root, commit))

    def drop_commit(self, commit: CommitLike, *, recursive: bool = False) -> None:
        """Remove a commit that has no children; a branch whose head it is falls back to the parent.

        With `recursive`, also those that derive from it. Raises `HasDependents`.
        """
        for removed in removal.drop_commit(self._root, as_commit(self._root, commit), recursive=recursive):
            self.opened.forget(removed)

    def squash_commit(self, commit: CommitLike, *, recursive: bool = False) -> None:
        """Remove a commit that has children: they keep their files and follow its parent.

        With `recursive`, also those that derive from it. Raises `HasDependents`, `CommitOpen`.
        """
        removal.squash_commit(self._root, as_commit(self._root, commit), recursive=recursive)

    def delete_commit(self, commit: CommitLike) -> None:
        """Remove a commit and all that derive from it; children follow its parent, heads fall back to it."""
        removal.delete_commit(self._root, as_commit(self._root, commit))

    def forget_commit(self, commit: CommitLike) -> CommitInfo:
        """Give up the data of a commit that is no branch's head; its metadata and provenance stay.

        Reading it then raises `CommitForgotten`; garbage collection frees what no other commit has.
        """
        return forgetting.forget_commit(self._root, as_commit(self._root, commit))

    def _require_no_transaction(self) -> None:
        if self._root.metadata.in_transaction:
            raise Conflict("waiting inside a transaction would not end: others see nothing of it before it has ended")
