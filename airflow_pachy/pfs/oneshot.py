"""Commits of a single call: content first, then the branch's head by compare-and-swap.

Nothing is locked while bytes travel. A writer that loses the race applies its edit to the new head and tries
again; after nine losses it takes the branch's row first, so that a crowd of writers always gets through.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from airflow_pachy.errors import BranchMoved, Conflict, NotFound
from airflow_pachy.metadata.contention import retry
from airflow_pachy.metadata.models import Branch, BranchProvenance, Commit
from airflow_pachy.pfs.firing import fire_triggers
from airflow_pachy.pfs.mirror import CommitMirror, mirror_key, write_mirror
from airflow_pachy.pfs.names import new_id
from airflow_pachy.pfs.overlay import Overlay, rebase
from airflow_pachy.pfs.publish import Seen, add_provenance, ensure_branch, move_head, see_branch, utc_now
from airflow_pachy.pfs.root import tree_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.orm import Session

    from airflow_pachy.pfs.address import Address
    from airflow_pachy.pfs.edits import Edit
    from airflow_pachy.pfs.root import Root
    from airflow_pachy.pfs.tree import Tree

TRIES = 10
_FIRST_WAIT_SECONDS = 0.05
_LONGEST_WAIT_SECONDS = 5.0


class BranchBusy(BranchMoved):
    """A user opened a commit on the branch meanwhile: the edit belongs in there."""


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
        self.root.metadata.on_rollback(lambda: self.root.store.delete([mirror_key(commit_id)]))
        made: _Made | None = None
        try:
            for attempt in range(TRIES - 1):
                with self.root.metadata.reader() as session:
                    start = _look(session, self.branch)
                made = self._edited(start, made)
                if made is None:
                    return None
                try:
                    self._publish(commit_id, start, made.tree)
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

    def _publish(self, commit_id: str, start: _Start, tree: Tree) -> None:
        mirror = self._draft(commit_id, start, tree)
        write_mirror(self.root.store, mirror)
        retry(self.root.metadata, lambda: self._insert(start, mirror))

    def _insert(self, start: _Start, mirror: CommitMirror) -> None:
        with self.root.metadata.session() as session:
            _insert(session, self.branch, start, mirror)

    def _run_locked(self, commit_id: str, made: _Made | None) -> str | None:
        with self.root.metadata.session() as session:
            lock_branch(session, self.branch, self.root.principal)
            start = _look(session, self.branch)
            made = self._edited(start, made)
            if made is None:
                return None
            mirror = self._draft(commit_id, start, made.tree)
            write_mirror(self.root.store, mirror)
            _insert(session, self.branch, start, mirror)
        return commit_id

    def _edited(self, start: _Start, earlier: _Made | None) -> _Made | None:
        base = self.root.tree(start.tree)
        if earlier is not None and self.edit.blind:
            tree, _ = rebase(earlier.base, earlier.tree, base)
        else:
            files = Overlay(base)
            files.extend(self.edit.changes(files))
            tree = files.tree()
        return None if self.edit.optional and tree.root == base.root else _Made(base, tree)

    def _draft(self, commit_id: str, start: _Start, tree: Tree) -> CommitMirror:
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


@dataclass(frozen=True, slots=True)
class _Start:
    """What a one-shot commit is built on."""

    seen: Seen
    tree: str | None
    provenance: tuple[str, ...]


def lock_branch(session: Session, branch: Address, author: str | None) -> Branch:
    """The branch's row, made if there is none, locked until the transaction ends."""
    ensure_branch(session, branch, author)
    query = select(Branch).where(Branch.repo == branch.repo, Branch.name == branch.ref)
    return session.scalars(query.with_for_update().execution_options(populate_existing=True)).one()


def upstream_heads(session: Session, branch: Address) -> tuple[str, ...]:
    """The heads of the branch's direct upstream branches: what a new commit on it derives from by default."""
    edges = BranchProvenance
    query = (
        select(Branch.head)
        .join(edges, (edges.upstream_repo == Branch.repo) & (edges.upstream_branch == Branch.name))
        .where(edges.repo == branch.repo, edges.branch == branch.ref, Branch.head.is_not(None))
    )
    return tuple(head for head in session.scalars(query) if head is not None)


def _look(session: Session, branch: Address) -> _Start:
    row = session.get(Branch, (branch.repo, branch.ref))
    if row is not None and row.open_commit is not None:
        raise BranchBusy(f"commit {row.open_commit} was opened on {branch} meanwhile")
    seen = see_branch(session, branch)
    tree = session.scalar(select(Commit.tree).where(Commit.id == seen.head)) if seen.head else None
    return _Start(seen, tree, upstream_heads(session, branch))


def _insert(session: Session, branch: Address, start: _Start, mirror: CommitMirror) -> None:
    row = ensure_branch(session, branch, mirror.author)
    if row.open_commit is not None:
        raise BranchBusy(f"commit {row.open_commit} was opened on {branch} meanwhile")
    move_head(session, branch, mirror.id, start.seen, mirror.author)
    session.add(commit_row(mirror))
    session.flush()
    add_provenance(session, mirror.id, start.provenance)
    fire_triggers(session, branch, mirror.author)


def commit_row(mirror: CommitMirror) -> Commit:
    """The SQL row of a commit that is described by its mirror."""
    return Commit(**{name: getattr(mirror, name) for name in mirror.columns()})


def _wait(attempt: int) -> None:
    longest = min(_LONGEST_WAIT_SECONDS, _FIRST_WAIT_SECONDS * 2**attempt)
    time.sleep(random.uniform(longest / 4, longest))  # noqa: S311 - jitter, not a secret
