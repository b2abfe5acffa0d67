"""`pachy_object` on SQLite without SQLAlchemy, whose import takes longer than to ask for the chunks of a large file.

An answer of None means that nothing was done, and that a session should do it: it has the errors that explain.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

from airflow_pachy.metadata.glance import stored_time

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from airflow_pachy.metadata.glance import Glance

COLUMNS = ("hash", "object", "position", "size_bytes", "created", "used")

_INSERT = f"INSERT OR IGNORE INTO pachy_object ({', '.join(COLUMNS)}) VALUES (?, ?, ?, ?, ?, ?)"  # noqa: S608 - constants


def knows_any(glance: Glance, hashes: Sequence[str]) -> bool | None:
    """Whether there are rows of some of the hashes."""
    row = glance.ask(f"SELECT count(*) FROM pachy_object WHERE {_among(hashes)}", tuple(hashes))  # noqa: S608 - `_among` is question marks
    return None if row is None else bool(row[0])


def take(glance: Glance, hashes: Sequence[str], now: datetime) -> list[tuple[str, str, int, int]] | None:
    """Hash, object, position and size of those rows of the hashes that there are, which are now in use.

    None if SQLite cannot now: the caller asks through SQLAlchemy then, which waits, or says what is wrong.
    """
    among = _among(hashes)
    try:
        with glance.writing() as connection:
            used = f"UPDATE pachy_object SET used = ? WHERE {among}"  # noqa: S608 - question marks
            connection.execute(used, (stored_time(now), *hashes))
            columns = f"SELECT hash, object, position, size_bytes FROM pachy_object WHERE {among}"  # noqa: S608 - question marks
            return connection.execute(columns, tuple(hashes)).fetchall()
    except sqlite3.Error:
        return None


def offer(glance: Glance, rows: Sequence[dict[str, Any]], now: datetime) -> bool:
    """Insert rows whose hash has none yet; both their times are `now`. False if nothing was done."""
    values = [tuple(stored_time(now) if name in {"created", "used"} else row[name] for name in COLUMNS) for row in rows]
    try:
        with glance.writing() as connection:
            connection.executemany(_INSERT, values)
    except sqlite3.Error:
        return False
    return True


def _among(hashes: Sequence[str]) -> str:
    return f"hash IN ({', '.join('?' * len(hashes))})"
