"""Which version the tables are of, told without importing Alembic: that would cost every command and task a third of
a second, and there is something to upgrade only once in a while.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import ColumnClause, String, column, inspect, select, table

from airflow_pachy.metadata.head import HEAD_REVISION, VERSION_TABLE

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.orm import Session

__all__ = ["HEAD_REVISION", "VERSION_TABLE", "stored_revision", "take_turn"]

_VERSION: ColumnClause[str] = column("version_num", String)
_TABLE = table(VERSION_TABLE, _VERSION)


def stored_revision(connection: Connection) -> str | None:
    """The revision the database is at; None if we never made tables there."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    revision: str | None = connection.scalar(select(_VERSION).select_from(_TABLE))
    return revision


def take_turn(session: Session) -> None:
    """Wait until no other transaction is between this call and its end: for what no row or key could guard.

    Call it before anything else is locked. The lock is on the version's row, which every backend can do and which ends
    with the transaction by itself. SQLite's write transactions take turns anyway.
    """
    session.execute(select(_VERSION).select_from(_TABLE).with_for_update())
