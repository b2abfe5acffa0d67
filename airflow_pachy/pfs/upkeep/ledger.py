"""What a run has seen of each object, in a temporary SQLite file: a root may have more objects than fit in memory.

SQLite keeps the file in memory while it is small, and deletes it when the ledger is closed or the process dies. A
ledger belongs to one thread.
"""

from __future__ import annotations

import sqlite3
from enum import IntEnum
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

    import numpy.typing as npt

    from airflow_pachy.pfs.objects.store import ObjectInfo

_TABLES = """
    CREATE TABLE mark (key TEXT PRIMARY KEY, state INTEGER, owner TEXT) WITHOUT ROWID;
    CREATE TABLE pack (key TEXT PRIMARY KEY, live_bytes INTEGER, offsets BLOB) WITHOUT ROWID;
    CREATE TABLE condemned (key TEXT PRIMARY KEY, size INTEGER, modified TEXT) WITHOUT ROWID;
"""
_CACHE_KIB = 64 << 10


class State(IntEnum):
    """Why an object stays, strongest first: a later, stronger reason replaces a weaker one."""

    LIVE = 0
    """Something in the database leads to it."""
    WAITING = 1
    """Nothing leads to it any more, but a writer may still build on what did."""
    REMOVED = 2
    """What led to it was removed long ago: known only so that the report can say whose it was."""


class Condemned(NamedTuple):
    """An object to be deleted."""

    key: str
    size_bytes: int
    modified: str


class Ledger:
    """Marks, the live parts of packs, and the condemned; close it, or use it in a `with` block."""

    def __init__(self) -> None:
        self._base = sqlite3.connect("", isolation_level=None)
        for pragma in ("journal_mode=OFF", "synchronous=OFF", f"cache_size=-{_CACHE_KIB}"):
            self._base.execute(f"PRAGMA {pragma}")
        self._base.executescript(_TABLES)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the file back."""
        self._base.close()

    # Marks

    def mark(self, key: str, state: State, owner: str) -> bool:
        """Mark an object; whether that is news: it was not marked, or for a weaker reason."""
        done = self._base.execute(
            "INSERT INTO mark VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE SET state = excluded.state, "
            "owner = excluded.owner WHERE excluded.state < state",
            (key, int(state), owner),
        )
        return done.rowcount == 1

    def state(self, key: str) -> tuple[State, str] | None:
        """How and for which repo an object was marked."""
        found = self._base.execute("SELECT state, owner FROM mark WHERE key = ?", (key,)).fetchone()
        return None if found is None else (State(found[0]), found[1])

    def marked(self, prefix: str) -> Iterator[str]:
        """Keys below a prefix that stay."""
        query = "SELECT key FROM mark WHERE key >= ? AND key < ? AND state < ? ORDER BY key"
        for (key,) in self._base.execute(query, (prefix, f"{prefix}\U0010ffff", int(State.REMOVED))):
            yield key

    # Packs

    def use(self, key: str, offsets: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> None:
        """These chunks of a pack are live; a chunk counts once, however many files have it."""
        found = self._base.execute("SELECT live_bytes, offsets FROM pack WHERE key = ?", (key,)).fetchone()
        known = np.frombuffer(found[1], np.int64) if found else np.zeros(0, np.int64)
        fresh, first = np.unique(offsets, return_index=True)
        new = ~np.isin(fresh, known, assume_unique=True)
        if not new.any():
            return
        size = (found[0] if found else 0) + int(lengths[first[new]].sum())
        merged = np.union1d(known, fresh[new]).tobytes()
        self._base.execute("INSERT OR REPLACE INTO pack VALUES (?, ?, ?)", (key, size, merged))

    def live_bytes(self, key: str) -> int:
        """How much of a pack is live."""
        found = self._base.execute("SELECT live_bytes FROM pack WHERE key = ?", (key,)).fetchone()
        return found[0] if found else 0

    # The condemned

    def condemn(self, info: ObjectInfo) -> None:
        """Put an object on the list."""
        row = (info.key, info.size_bytes, info.modified.isoformat())
        self._base.execute("INSERT OR REPLACE INTO condemned VALUES (?, ?, ?)", row)

    def pardon(self, keys: Iterable[str]) -> None:
        """Take objects off the list."""
        self._base.executemany("DELETE FROM condemned WHERE key = ?", ((key,) for key in keys))

    def pardon_marked(self) -> None:
        """Take off the list what was found to stay after all."""
        stays = "SELECT key FROM mark WHERE state < ?"
        self._base.execute(f"DELETE FROM condemned WHERE key IN ({stays})", (int(State.REMOVED),))  # noqa: S608

    def condemned(self, size: int, prefix: str = "") -> Iterator[list[Condemned]]:
        """The list, in pages of at most `size`. It may be changed between two pages."""
        after = prefix
        while True:
            query = "SELECT key, size, modified FROM condemned WHERE key > ? AND key < ? ORDER BY key LIMIT ?"
            rows: list[Any] = self._base.execute(query, (after, f"{prefix}\U0010ffff", size)).fetchall()
            if not rows:
                return
            yield [Condemned(*row) for row in rows]
            after = rows[-1][0]
