"""The MD5s of contents that were exported before, kept in the DVC project's own directory for temporary files.

A content hash says what bytes there are, so an entry is never wrong; the file may be deleted at any time.
"""

from __future__ import annotations

import sqlite3
import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from types import TracebackType

_AT_ONCE = 500


class KnownMd5s:
    """MD5s by content hash. Thread-safe."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._turn = threading.Lock()
        self._database = sqlite3.connect(directory / "pachy-md5.db", timeout=60, check_same_thread=False)
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS md5 (hash BLOB PRIMARY KEY, md5 TEXT NOT NULL) WITHOUT ROWID"
        )

    def find(self, hashes: Iterable[bytes]) -> dict[bytes, str]:
        """Those that are known."""
        wanted = list(dict.fromkeys(hashes))
        found: dict[bytes, str] = {}
        with self._turn:
            for at in range(0, len(wanted), _AT_ONCE):
                some = wanted[at : at + _AT_ONCE]
                marks = ",".join("?" * len(some))
                found |= dict(self._database.execute(f"SELECT hash, md5 FROM md5 WHERE hash IN ({marks})", some))  # noqa: S608 - only marks
        return found

    def keep(self, known: Iterable[tuple[bytes, str]]) -> None:
        """Remember some more."""
        with self._turn, self._database:
            self._database.executemany("INSERT OR IGNORE INTO md5 VALUES (?, ?)", known)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()
