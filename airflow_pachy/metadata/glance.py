"""What reading a file asks of an SQLite database, without SQLAlchemy, whose import takes longer than most reads.

Which version the tables are of, and which commit a branch or an id stands for. An answer of None never means that
there is nothing: it means that `lookups` should look, in a session, where there are errors that explain. So nothing
here raises. `plain` writes through the same connection.
"""

from __future__ import annotations

import sqlite3
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow_pachy.metadata.head import VERSION_TABLE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

_PREFIX = "sqlite:///"
_BUSY_SECONDS = 60.0

_REVISION = f"SELECT version_num FROM {VERSION_TABLE}"  # noqa: S608 - constants
_COLUMNS = "SELECT c.repo, c.id, c.parent, c.tree, c.state, c.forgotten FROM pachy_commit c"
_BY_ID = f"{_COLUMNS} WHERE c.repo = ? AND c.id = ?"
_OF_BRANCH = "JOIN pachy_branch b ON c.id = coalesce(b.open_commit, b.head) WHERE b.repo = ? AND b.name = ?"
_BY_BRANCH = f"{_COLUMNS} {_OF_BRANCH}"


@dataclass(frozen=True, slots=True)
class CommitGlance:
    """A commit that is closed and has its data: what reading its files takes."""

    repo: str
    id: str
    parent: str | None
    tree: str | None


class Glance:
    """One connection for reading, made when first needed. Thread-safe."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._turn = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    @classmethod
    def of(cls, url: str) -> Glance | None:
        """For the URL of an SQLite file that exists, written plainly and absolute; None for any other."""
        path = url.removeprefix(_PREFIX)
        return cls(path) if path != url and path.startswith("/") and "?" not in path and Path(path).is_file() else None

    def revision(self) -> str | None:
        """The version of the tables."""
        row = self.ask(_REVISION)
        return None if row is None else str(row[0])

    def commit_of_branch(self, repo: str, branch: str) -> CommitGlance | None:
        """The commit that a branch stands for."""
        return _closed(self.ask(_BY_BRANCH, (repo, branch)))

    def commit(self, repo: str, commit_id: str) -> CommitGlance | None:
        """A commit of a repo by its id."""
        return _closed(self.ask(_BY_ID, (repo, commit_id)))

    def close(self) -> None:
        """Close the connection."""
        with self._turn:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()

    def ask(self, statement: str, values: tuple[Any, ...] | Mapping[str, Any] = ()) -> tuple[Any, ...] | None:
        """The only row, or None if there is none, or several, or the database does not answer as expected."""
        try:
            with self._turn:
                rows = self._connected().execute(statement, values).fetchmany(2)
        except sqlite3.Error:
            return None
        return rows[0] if len(rows) == 1 else None

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction for writing, as `Metadata.session`: committed at the end, rolled back when something raises.

        Raises `sqlite3.Error`, unlike all else here.
        """
        with self._turn:
            connection = self._connected()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                connection.rollback()
                raise

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = self._connect()
        return self._connection

    def _connect(self) -> sqlite3.Connection:
        # "rw" never creates a file; reading a database in WAL mode may have to make the files beside it.
        uri = f"file:{quote(self._path)}?mode=rw"
        connection = sqlite3.connect(
            uri, uri=True, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        # As `Metadata` has them; what it says of the file itself (WAL) is in the file.
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA foreign_keys=ON")
        return connection


def _closed(row: tuple[Any, ...] | None) -> CommitGlance | None:
    if row is None:
        return None
    repo, commit_id, parent, tree, state, forgotten = row
    if state == "open" or forgotten is not None:
        return None
    return CommitGlance(str(repo), str(commit_id), parent, tree)


def stored_time(moment: datetime) -> str:
    """A time as the type of the models (`UtcDateTime`) keeps it in SQLite."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")
