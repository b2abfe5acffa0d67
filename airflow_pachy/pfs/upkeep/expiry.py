"""Commits that somebody opened and left: they hold on to their changes, and to their branch, for ever."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import or_, select, update

from airflow_pachy.metadata.contention import retried
from airflow_pachy.metadata.models import Branch, Commit
from airflow_pachy.pfs.heads import utc_now

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Select

    from airflow_pachy.pfs.root import Root


def idle_commits(root: Root, idle_since: datetime) -> tuple[str, ...]:
    """Open commits (`repo@id`) of users, not of jobs, that nobody has written to since."""
    with root.metadata.reader() as session:
        return tuple(f"{row.repo}@{row.id}" for row in session.scalars(_idle(idle_since)))


@retried
def expire_commits(root: Root, idle_since: datetime) -> tuple[str, ...]:
    """Close these commits without publishing them: whoever wants to go on writing is told so."""
    with root.metadata.session() as session:
        rows = session.scalars(_idle(idle_since).with_for_update()).all()
        for row in rows:
            last = row.heartbeat or row.started
            row.error = f"it was given up: nobody wrote to it after {last:%Y-%m-%d %H:%M} UTC, nor finished it"
            row.state, row.tree, row.finished, row.heartbeat = "error", None, utc_now(), None
            row.size_bytes = row.file_count = 0
            mine = update(Branch).where(Branch.repo == row.repo, Branch.open_commit == row.id)
            session.execute(mine.values(open_commit=None).execution_options(synchronize_session=False))
    _write_mirrors(root, rows)
    return tuple(f"{row.repo}@{row.id}" for row in rows)


def _idle(idle_since: datetime) -> Select[Any]:
    return (
        select(Commit)
        .where(
            Commit.state == "open",
            Commit.job.is_(None),
            Commit.started < idle_since,
            or_(Commit.heartbeat.is_(None), Commit.heartbeat < idle_since),
        )
        .order_by(Commit.repo, Commit.started, Commit.id)
    )


def _write_mirrors(root: Root, rows: Sequence[Commit]) -> None:
    from airflow_pachy.pfs.mirroring import mirror_again

    mirror_again(root, [row.id for row in rows])
