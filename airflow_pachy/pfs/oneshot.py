"""Commits of a single call: content first, then the branch's head by compare-and-swap.

Nothing is locked while bytes travel. A writer that loses the race applies its edit to the new head and tries
again; after nine losses it takes the branch's row first, so that a crowd of writers always gets through.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_pachy.errors import BranchMoved, Conflict, NotFound
from airflow_pachy.lazy import LazyModule
from airflow_pachy.metadata import plain
from airflow_pachy.metadata.contention import retry
from airflow_pachy.pfs.heads import Seen, Start, utc_now
from airflow_pachy.pfs.mirror import CommitMirror, mirror_key, write_mirror
from airflow_pachy.pfs.names import check_branch_name, new_id
from airflow_pachy.pfs.overlay import Overlay, rebase
from airflow_pachy.pfs.record_copies import FORMAT, encode_record, record_key
from airflow_pachy.pfs.root import tree_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_pachy.metadata.plain import PlainHead
    from airflow_pachy.pfs import oneshot_rows
    from airflow_pachy.pfs.address import Address
    from airflow_pachy.pfs.edits import Edit
    from airflow_pachy.pfs.root import Root
    from airflow_pachy.pfs.tree import Tree
else:
    # Needs SQLAlchemy, and most commits of a command line do without: see `airflow_pachy.metadata.plain`.
    oneshot_rows = LazyModule("airflow_pachy.pfs.oneshot_rows")

TRIES = 10
_FIRST_WAIT_SECONDS = 0.05
_LONGEST_WAIT_SECONDS = 5.0


class BranchBusy(BranchMoved):
    """A user opened a commit on the branch meanwhile: the edit belongs in there."""


def plain_head(root: Root, branch: Address) -> PlainHead | None:
    """Where a commit on the branch begins, if it is one that needs no session; such a branch has no open commit.

    Raises `InvalidName` for a branch that is to be made.
    """
    glance = root.metadata.glance
    found = None if glance is None else plain.plain_head(glance, branch.repo, branch.ref)
    if found is not None and found.head is None:
        check_branch_name(branch.ref)
    return found


@dataclass(frozen=True, slots=True)
class OneShot:
    """A commit made by one call."""

    root: Root
    branch: Address
    edit: Edit
    description: str = ""
    labels: Mapping[str, str] | None = None

    def run(self) -> str | None:
        """Publish and return the commit's id; None if the edit is optional and changed nothing.

        Raises `PathConflict`, `RepoNotFound`, `BranchBusy` when the branch has an open commit.
        """
        commit_id = new_id()
        if self.root.metadata.in_transaction:
            self.root.metadata.on_rollback(lambda: self.root.store.delete([mirror_key(commit_id)]))
        made: _Made | None = None
        try:
            for attempt in range(TRIES - 1):
                start, head = self._look()
                made = self._edited(start, made)
                if made is None:
                    return None
                try:
                    self._publish(commit_id, start, head, made.tree)
                except BranchBusy:
                    raise
                except BranchMoved:
                    _wait(attempt)
                else:
                    return commit_id
            return retry(self.root.metadata, lambda: self._run_locked(commit_id, made))
        except (Conflict, NotFound):
            # An earlier try may have left the copy of a commit that will never be.
            self.root.store.delete([mirror_key(commit_id)])
            raise

    def _look(self) -> tuple[Start, PlainHead | None]:
        head = plain_head(self.root, self.branch)
        if head is not None:
            return Start(Seen(head.head, head.ordinal), head.tree), head
        with self.root.metadata.reader() as session:
            return oneshot_rows.look(session, self.branch), None

    def _publish(self, commit_id: str, start: Start, head: PlainHead | None, tree: Tree) -> None:
        mirror = self._draft(commit_id, start, tree)
        write_mirror(self.root.store, mirror)
        if head is None or not self._publish_plainly(head, mirror):
            retry(self.root.metadata, lambda: self._insert(start, mirror))

    def _publish_plainly(self, head: PlainHead, mirror: CommitMirror) -> bool:
        glance = self.root.metadata.glance
        return glance is not None and plain.publish(glance, head, mirror.values(), self._copy_branch)

    def _copy_branch(self, row: Mapping[str, Any]) -> None:
        """Write the copy of a branch that is made, as `RecordMirrors` does."""
        document = {"format": FORMAT, "pachy_branch": [row], "pachy_branch_provenance": []}
        self.root.store.put(record_key("branches", (row["repo"], row["name"])), encode_record(document))

    def _insert(self, start: Start, mirror: CommitMirror) -> None:
        with self.root.metadata.session() as session:
            oneshot_rows.insert(session, self.branch, start, mirror)

    def _run_locked(self, commit_id: str, made: _Made | None) -> str | None:
        with self.root.metadata.session() as session:
            oneshot_rows.lock_branch(session, self.branch, self.root.principal)
            start = oneshot_rows.look(session, self.branch)
            made = self._edited(start, made)
            if made is None:
                return None
            mirror = self._draft(commit_id, start, made.tree)
            write_mirror(self.root.store, mirror)
            oneshot_rows.insert(session, self.branch, start, mirror)
        return commit_id

    def _edited(self, start: Start, earlier: _Made | None) -> _Made | None:
        base = self.root.tree(start.tree)
        if earlier is not None and self.edit.blind:
            tree, _ = rebase(earlier.base, earlier.tree, base)
        else:
            files = Overlay(base)
            files.extend(self.edit.changes(files))
            tree = files.tree()
        return None if self.edit.optional and tree.root == base.root else _Made(base, tree)

    def _draft(self, commit_id: str, start: Start, tree: Tree) -> CommitMirror:
        now = utc_now()
        return CommitMirror(
            id=commit_id,
            repo=self.branch.repo,
            branch=self.branch.ref,
            parent=start.seen.head,
            ordinal=start.seen.ordinal + 1,
            state="finished",
            tree=tree_text(tree),
            size_bytes=tree.size_bytes,
            file_count=len(tree),
            started=now,
            finished=now,
            description=self.description,
            origin="user",
            author=self.root.principal,
            error=None,
            job=None,
            labels=dict(self.labels) if self.labels else None,
            provenance=start.provenance,
        )


@dataclass(frozen=True, slots=True)
class _Made:
    """The outcome of one try: `tree` is `base` with the edit."""

    base: Tree
    tree: Tree


def _wait(attempt: int) -> None:
    import random

    longest = min(_LONGEST_WAIT_SECONDS, _FIRST_WAIT_SECONDS * 2**attempt)
    time.sleep(random.uniform(longest / 4, longest))  # noqa: S311 - jitter, not a secret
