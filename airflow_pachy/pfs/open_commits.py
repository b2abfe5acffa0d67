"""Commits that are still being written: their changes lie in the bucket, their order in SQL.

A batch of changes counts from the moment its row is inserted, under the lock of the commit's row, with the next
number in sequence; a writer that dies before leaves an object that nobody refers to. An edit of very many changes
becomes several batches as they come, whose rows are inserted together. Each process keeps the merged state of the
open commits it touches and reads only the batches that are new to it.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from sqlalchemy import func, insert, select

from airflow_pachy.errors import CommitFinished
from airflow_pachy.metadata.contention import retry
from airflow_pachy.metadata.models import Commit, Delta
from airflow_pachy.pfs.deltas import read_delta, write_delta
from airflow_pachy.pfs.heads import utc_now
from airflow_pachy.pfs.labels import merged_labels
from airflow_pachy.pfs.layered import LayeredStore
from airflow_pachy.pfs.lookups import find_commit_by_id
from airflow_pachy.pfs.overlay import Overlay
from airflow_pachy.pfs.tree import NodeRef, Tree

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy.orm import Session

    from airflow_pachy.pfs.edits import Edit
    from airflow_pachy.pfs.root import Root
    from airflow_pachy.pfs.tree.entries import Change

_OPTIMISTIC_TRIES = 3
_BATCH_CHANGES = 20_000


@dataclass(slots=True)
class _View:
    """The files of one open commit after its batch number `sequence`."""

    files: Overlay
    sequence: int = 0
    turn: threading.RLock = field(default_factory=threading.RLock)


class OpenCommits:
    """The open commits that this client has touched. Thread-safe."""

    def __init__(self, root: Root) -> None:
        self._root = root
        self._views: dict[str, _View] = {}
        self._buffers: dict[str, Callable[[], None]] = {}
        self._guard = threading.Lock()

    def on_touch(self, commit_id: str, settle: Callable[[], None]) -> None:
        """Have `settle` called before anything reads or writes this commit: it has changes in hand."""
        with self._guard:
            self._buffers[commit_id] = settle

    def settle(self, commit_id: str) -> None:
        """Bring in the changes that a writer of this client has in hand."""
        with self._guard:
            settle = self._buffers.get(commit_id)
        if settle is not None:
            settle()

    def tree(self, commit: Commit) -> Tree:
        """All files of an open commit as they are now, merged in memory."""
        self.settle(commit.id)
        view = self._view(commit)
        with view.turn:
            with self._root.metadata.reader() as session:
                keys = _keys_after(session, commit.id, view.sequence)
            self._catch_up(view, keys)
            return view.files.tree()

    def write(self, commit: Commit, edit: Edit, labels: Mapping[str, str] | None = None) -> None:
        """Add the changes of `edit` as one batch, all visible at once, and these labels to those of the commit.

        Raises `PathConflict`, `CommitFinished`. Writers race for the next number a few times; then one takes
        the commit's lock first and computes its batch under it, so that nobody starves.
        """
        self.settle(commit.id)
        view = self._view(commit)
        with view.turn:
            for _ in range(_OPTIMISTIC_TRIES):
                with self._root.metadata.reader() as session:
                    keys = _keys_after(session, commit.id, view.sequence)
                written = self._prepare(view, keys, commit, edit)
                if self._landed(commit, view, written, labels):
                    self._keep(view, written)
                    return
            self._keep(view, retry(self._root.metadata, lambda: self._write_locked(commit, view, edit, labels)))

    def _landed(self, commit: Commit, view: _View, written: _Written, labels: Mapping[str, str] | None) -> bool:
        def land() -> bool:
            with self._root.metadata.session() as session:
                return _land(session, commit.id, view.sequence, written.keys, labels)

        return retry(self._root.metadata, land)

    def _write_locked(self, commit: Commit, view: _View, edit: Edit, labels: Mapping[str, str] | None) -> _Written:
        with self._root.metadata.session() as session:
            lock_open(session, commit.id)
            written = self._prepare(view, _keys_after(session, commit.id, view.sequence), commit, edit)
            _land(session, commit.id, view.sequence, written.keys, labels)
        return written

    def forget(self, commit_id: str) -> None:
        """Drop what is kept of a commit that is no longer open."""
        with self._guard:
            self._views.pop(commit_id, None)
            self._buffers.pop(commit_id, None)

    def reset(self) -> None:
        """Read every open commit anew at its next use: what was written to them may not have come to be."""
        with self._guard:
            self._views.clear()

    def _view(self, commit: Commit) -> _View:
        with self._guard:
            view = self._views.get(commit.id)
            if view is None:
                base = NodeRef.parse(commit.tree) if commit.tree else None
                view = self._views[commit.id] = _View(Overlay(Tree(LayeredStore(self._root.nodes), base)))
            return view

    def _catch_up(self, view: _View, keys: list[tuple[int, str]]) -> None:
        for sequence, key in keys:
            view.files.extend(read_delta(self._root.store, key))
            view.sequence = sequence

    def _prepare(self, view: _View, keys: list[tuple[int, str]], commit: Commit, edit: Edit) -> _Written:
        self._catch_up(view, keys)
        changes = iter(edit.changes(view.files))
        batch = list(islice(changes, _BATCH_CHANGES))
        view.files.check(batch)
        written = _Written([write_delta(self._root.store, commit.id, batch)] if batch else [], batch)
        if len(batch) < _BATCH_CHANGES:
            return written
        # Too many to hold: each batch is checked against the files with those before it, and let go of.
        files = Overlay(view.files.tree())
        files.extend(batch)
        while batch := list(islice(changes, _BATCH_CHANGES)):
            files.check(batch)
            written.keys.append(write_delta(self._root.store, commit.id, batch))
            files.extend(batch)
        return _Written(written.keys, [], files)

    def _keep(self, view: _View, written: _Written) -> None:
        if written.files is not None:
            view.files = written.files
        else:
            view.files.extend(written.changes)
        view.sequence += len(written.keys)


@dataclass(frozen=True, slots=True)
class _Written:
    """Batches that are in the bucket and not counted yet: what they do, or of many, the files after them."""

    keys: list[str]
    changes: list[Change]
    files: Overlay | None = None


def merged(root: Root, commit: Commit) -> tuple[Tree, int]:
    """The tree of an open commit, written to the store, and the number of the last batch in it."""
    with root.metadata.reader() as session:
        keys = _keys_after(session, commit.id, 0)
    files = Overlay(root.tree(commit.tree))
    for _, key in keys:
        files.extend(read_delta(root.store, key))
    return files.tree(), keys[-1][0] if keys else 0


def last_sequence(session: Session, commit_id: str) -> int:
    """The number of the newest batch of a commit; 0 when it has none."""
    return session.scalar(select(func.max(Delta.sequence)).where(Delta.commit == commit_id)) or 0


def lock_open(session: Session, commit_id: str) -> Commit:
    """Lock the row of an open commit until the transaction ends; raises `CommitFinished` if it is open no longer."""
    row = session.scalar(select(Commit).where(Commit.id == commit_id).with_for_update())
    if row is None:
        row = find_commit_by_id(session, commit_id)
    if row.state != "open":
        raise CommitFinished(
            f"commit {row.repo}@{row.id} is {row.state} and cannot change; "
            f"write to {row.repo}@{row.branch} to make a new commit"
        )
    return row


def _keys_after(session: Session, commit_id: str, sequence: int) -> list[tuple[int, str]]:
    query = select(Delta.sequence, Delta.key).where(Delta.commit == commit_id, Delta.sequence > sequence)
    return [(number, key) for number, key in session.execute(query.order_by(Delta.sequence))]


def _land(
    session: Session, commit_id: str, sequence: int, keys: Sequence[str], labels: Mapping[str, str] | None
) -> bool:
    row = lock_open(session, commit_id)
    if keys and last_sequence(session, commit_id) != sequence:
        return False
    if labels:
        row.labels = merged_labels(row.labels, labels)
    if keys:
        rows = [{"commit": commit_id, "sequence": number, "key": key} for number, key in enumerate(keys, sequence + 1)]
        session.execute(insert(Delta), rows)
        row.heartbeat = utc_now()
    return True
