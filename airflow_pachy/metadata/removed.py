"""Every commit that loses its tree leaves a `RemovedTree`, whoever removes it and by whatever way.

Writers build on commits without locking them: a copy reads its source, a put skips chunks that its base commit has. If
that commit is removed before they publish, garbage collection must not be as quick as they are slow. This is
done where rows are written, not where commits are removed, so that a new way of removing cannot forget it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import event, func, insert, inspect, literal, select

from airflow_pachy.metadata.models import Commit, Delta, RemovedTree, Repo
from airflow_pachy.metadata.types import UtcDateTime

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection

_COLUMNS = ("commit", "position", "repo", "what", "removed")


@event.listens_for(Commit, "before_delete")
def _commit_is_deleted(mapper: Any, connection: Connection, row: Commit) -> None:  # noqa: ARG001 - SQLAlchemy's
    _keep_for_now(connection, Commit.id == row.id)


@event.listens_for(Repo, "before_delete")
def _repo_is_deleted(mapper: Any, connection: Connection, row: Repo) -> None:  # noqa: ARG001 - SQLAlchemy's
    _keep_for_now(connection, Commit.repo == row.name)


@event.listens_for(Commit, "before_update")
def _commit_is_changed(mapper: Any, connection: Connection, row: Commit) -> None:  # noqa: ARG001 - SQLAlchemy's
    if row.tree is None and any(inspect(row).attrs.tree.history.deleted or ()):
        _keep_for_now(connection, Commit.id == row.id)


def _keep_for_now(connection: Connection, which: ColumnElement[bool]) -> None:
    """Runs before the rows are changed, so what they lead to is still there to be copied."""
    # The time is a parameter and not the server's own: all timestamps are by the clocks of those who write.
    now = literal(datetime.now(UTC), UtcDateTime())
    kept = select(RemovedTree.commit).where(RemovedTree.commit == Commit.id, RemovedTree.position == 0).exists()
    trees = select(Commit.id, literal(0), Commit.repo, Commit.tree, now).where(which, Commit.tree.is_not(None), ~kept)
    batch = select(func.count()).where(RemovedTree.commit == Delta.commit, RemovedTree.position == Delta.sequence)
    batches = (
        select(Delta.commit, Delta.sequence, Commit.repo, Delta.key, now)
        .join(Commit, Commit.id == Delta.commit)
        .where(which, Commit.state == "open", batch.scalar_subquery() == 0)
    )
    connection.execute(insert(RemovedTree).from_select(_COLUMNS, trees))
    connection.execute(insert(RemovedTree).from_select(_COLUMNS, batches))
