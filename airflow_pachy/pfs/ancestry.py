"""Walking from a commit to its ancestors, a few hundred per query.

The chain of parents is followed inside the database by a recursive query. It is cut into pieces because MySQL
stops a recursion at 1,000 steps by default and because lists are read page by page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import literal, select

from airflow_pachy.errors import CommitNotFound
from airflow_pachy.metadata.models import Commit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.orm import Session

_STEP = 500


def chain(session: Session, start: str, count: int) -> list[str]:
    """Ids of `start` and its nearest ancestors, nearest first, at most `count` (which may not exceed 500)."""
    first = select(Commit.id, Commit.parent, literal(0).label("depth")).where(Commit.id == start)
    steps = first.cte("chain", recursive=True)
    further = (
        select(Commit.id, Commit.parent, steps.c.depth + 1)
        .join(steps, Commit.id == steps.c.parent)
        .where(steps.c.depth < count - 1)
    )
    steps = steps.union_all(further)
    return list(session.scalars(select(steps.c.id).order_by(steps.c.depth)))


def ancestors(session: Session, start: str) -> Iterator[str]:
    """Ids of `start` and all its ancestors, nearest first."""
    current: str | None = start
    while current is not None:
        ids = chain(session, current, _STEP)
        yield from ids
        current = session.scalar(select(Commit.parent).where(Commit.id == ids[-1])) if len(ids) == _STEP else None


def nth_ancestor(session: Session, commit: Commit, count: int) -> str:
    """The id `count` parents back; raises `CommitNotFound` beyond the first commit."""
    current, left = commit.id, count
    while left:
        ids = chain(session, current, min(left + 1, _STEP))
        if len(ids) < min(left + 1, _STEP):
            have = count - left + len(ids) - 1
            raise CommitNotFound(f"commit {commit.repo}@{commit.id} has {have} ancestors, so ^{count} does not exist")
        current, left = ids[-1], left - (len(ids) - 1)
    return current


def ancestor_from_start(session: Session, commit: Commit, number: int) -> str:
    """The id of the `number`-th commit of the line that ends in `commit`, counted from 1."""
    ids = list(ancestors(session, commit.id))
    if number > len(ids):
        raise CommitNotFound(
            f"the history of {commit.repo}@{commit.id} has {len(ids)} commits, so .{number} does not exist"
        )
    return ids[-number]
