"""Waiting for commits by asking the database again and again, at growing intervals."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from airflow_pachy.errors import CommitNotFound, InvalidArgument
from airflow_pachy.metadata.models import Commit, HeadMove
from airflow_pachy.pfs.ancestry import ancestors
from airflow_pachy.pfs.describe import describe_commit, describe_commits
from airflow_pachy.pfs.firing import tick_triggers
from airflow_pachy.pfs.heads import utc_now
from airflow_pachy.pfs.lookups import find_branch, find_commit, find_commit_by_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sqlalchemy.orm import Session

    from airflow_pachy.metadata.models import Branch
    from airflow_pachy.pfs.address import Address
    from airflow_pachy.pfs.infos import CommitInfo
    from airflow_pachy.pfs.root import Root

_STATES = ("finished", "open")
_PAGE = 100
_FIRST_SECONDS = 0.05
_LONGEST_SECONDS = 2.0


@dataclass(slots=True)
class Pauses:
    """Sleeps between questions: short at first, two seconds at most, never beyond the deadline."""

    timeout_seconds: float | None
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    _next: float = _FIRST_SECONDS
    _deadline: float | None = None

    def __post_init__(self) -> None:
        if self.timeout_seconds is not None:
            self._deadline = self.clock() + self.timeout_seconds

    def reset(self) -> None:
        """Something happened: ask again soon."""
        self._next = _FIRST_SECONDS

    def pause(self) -> bool:
        """Sleep; False, at once, when the time is over."""
        left = None if self._deadline is None else self._deadline - self.clock()
        if left is not None and left <= 0:
            return False
        self.sleep(self._next if left is None else min(self._next, left))
        self._next = min(_LONGEST_SECONDS, self._next * 1.5)
        return True


def wait_commit(root: Root, address: Address, pauses: Pauses) -> CommitInfo:
    """Wait until a commit is no longer open. Raises `TimeoutError`."""
    with root.metadata.reader() as session:
        commit_id = find_commit(session, address).id
    while True:
        with root.metadata.reader() as session:
            row = find_commit_by_id(session, commit_id)
            if row.state != "open":
                return describe_commit(session, row)
        if not pauses.pause():
            raise TimeoutError(f"commit {row.repo}@{row.id} was still open after {pauses.timeout_seconds} s")


def subscribe_commit(
    root: Root, branch: Address, *, start: Address | None, state: str, pauses: Pauses
) -> Iterator[CommitInfo]:
    """The history of a branch beyond `start`, oldest first, then every commit that becomes its head, as it does.

    With `state` "open", commits that users open on the branch are given at once and not again when they are finished.
    Branches that follow others by a schedule are moved meanwhile. Ends when the time is over. Raises `CommitNotFound`
    if `start` was never on the branch, `InvalidArgument` for another state.
    """
    if state not in _STATES:
        raise InvalidArgument(f"commits are subscribed to when they are {' or '.join(_STATES)}, not {state!r}")
    return _subscribe(root, branch, start=start, state=state, pauses=pauses)


def _subscribe(
    root: Root, branch: Address, *, start: Address | None, state: str, pauses: Pauses
) -> Iterator[CommitInfo]:
    given: set[str] = set()
    ticked = -1
    with root.metadata.reader() as session:
        row = find_branch(session, branch)
        begin = find_commit(session, start).id if start is not None else None
        waiting, ordinal = _history(session, branch, row, begin)
    while True:
        for start_at in range(0, len(waiting), _PAGE):
            pauses.reset()
            yield from _described(root, [one for one in waiting[start_at : start_at + _PAGE] if one not in given])
        given.difference_update(waiting)
        minute = int(utc_now().timestamp() // 60)
        if minute != ticked:
            tick_triggers(root)
            ticked = minute
        with root.metadata.reader() as session:
            row = find_branch(session, branch)
            # A branch that was deleted and made again counts its moves anew.
            ordinal = ordinal if ordinal <= row.ordinal else 0
            moves = _moves_after(session, branch, ordinal)
            opened = row.open_commit if state == "open" else None
        waiting = [commit for _, commit in moves if commit is not None]
        ordinal = moves[-1][0] if moves else ordinal
        if opened is not None and opened not in given and opened not in waiting:
            given.add(opened)
            yield from _described(root, [opened])
        if not waiting and not pauses.pause():
            return


def _described(root: Root, ids: Sequence[str]) -> list[CommitInfo]:
    """Commits in this order, without those that were removed just now; one may be there twice."""
    with root.metadata.reader() as session:
        rows = session.scalars(select(Commit).where(Commit.id.in_(ids))).all()
        infos = {info.id: info for info in describe_commits(session, rows)}
    return [infos[one] for one in ids if one in infos]


def _history(session: Session, branch: Address, row: Branch, begin: str | None) -> tuple[list[str], int]:
    """Ids from the first commit after `begin` up to the head, and after which move news begin."""
    ids = list(ancestors(session, row.head)) if row.head is not None else []
    if begin is None:
        return ids[::-1], row.ordinal
    if begin in ids:
        return ids[: ids.index(begin)][::-1], row.ordinal
    where = (HeadMove.repo == branch.repo, HeadMove.branch == branch.ref)
    last = session.scalar(
        select(HeadMove.ordinal).where(*where, HeadMove.commit == begin).order_by(HeadMove.ordinal.desc()).limit(1)
    )
    if last is None:
        raise CommitNotFound(
            f"commit {branch.repo}@{begin} was never the head of {branch}, so nothing comes after it there"
        )
    # What came after it is not below the head any more, but stands in the queue.
    return [], last


def _moves_after(session: Session, branch: Address, ordinal: int) -> list[tuple[int, str | None]]:
    query = (
        select(HeadMove.ordinal, HeadMove.commit)
        .where(HeadMove.repo == branch.repo, HeadMove.branch == branch.ref, HeadMove.ordinal > ordinal)
        .order_by(HeadMove.ordinal)
        .limit(500)
    )
    return [(number, commit) for number, commit in session.execute(query)]
