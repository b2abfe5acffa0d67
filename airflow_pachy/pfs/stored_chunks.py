"""Large chunks that are stored already, in whatever repo: what `ContentWriter` asks before it uploads one again.

Finding a chunk is using it: the row's `used` is set in the transaction that finds the row, and garbage collection
keeps a chunk that was used lately, or deletes the row before the object. So a writer that was told where a chunk
lies has as long to publish as one that uploads, and no transaction has to last as long as an upload.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select, update

from airflow_pachy.metadata.contention import retry
from airflow_pachy.metadata.models import StoredObject
from airflow_pachy.pfs.publish import utc_now
from airflow_pachy.pfs.tree.entries import Segment

if TYPE_CHECKING:
    from sqlalchemy import Insert
    from sqlalchemy.orm import Session

    from airflow_pachy.metadata.database import Metadata

_BATCH = 500


class StoredChunks:
    """The chunks of one root. Thread-safe."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata
        self._added: dict[bytes, Segment] = {}
        self._lock = threading.Lock()

    def find(self, digest: bytes) -> tuple[Segment, ...] | None:
        """Where a chunk lies, now in use; None if nobody knows, or it is about to be deleted."""
        key = digest.hex()
        with self._metadata.reader() as session:
            if session.get(StoredObject, key) is None:
                return None
        row = retry(self._metadata, lambda: self._take(key))
        return None if row is None else (Segment(row.object, row.position, row.size_bytes),)

    def _take(self, key: str) -> StoredObject | None:
        with self._metadata.session() as session:
            used = update(StoredObject).where(StoredObject.hash == key).values(used=utc_now())
            session.execute(used.execution_options(synchronize_session=False))
            return session.get(StoredObject, key)

    def add(self, digest: bytes, place: Segment) -> None:
        """A chunk that is being uploaded."""
        with self._lock:
            self._added[digest] = place

    def keep(self) -> None:
        """Everything added is in the store: offer it to others."""
        with self._lock:
            added, self._added = self._added, {}
        now = utc_now()
        rows = [
            {
                "hash": digest.hex(),
                "object": place.object,
                "position": place.offset,
                "size_bytes": place.length,
                "created": now,
                "used": now,
            }
            for digest, place in added.items()
        ]
        for at in range(0, len(rows), _BATCH):
            retry(self._metadata, partial(self._offer, rows[at : at + _BATCH]))

    def _offer(self, rows: list[dict[str, Any]]) -> None:
        """Insert rows, unless somebody has offered the same chunk meanwhile; theirs is as good."""
        hashes = [row["hash"] for row in rows]
        with self._metadata.session() as session:
            known = set(session.scalars(select(StoredObject.hash).where(StoredObject.hash.in_(hashes))))
            fresh = [row for row in rows if row["hash"] not in known]
            if fresh:
                session.execute(_insert_or_ignore(session), fresh)


def _insert_or_ignore(session: Session) -> Insert:
    backend = session.get_bind().dialect.name
    if backend == "sqlite":
        from sqlalchemy.dialects import sqlite

        return sqlite.insert(StoredObject).on_conflict_do_nothing()
    if backend == "postgresql":
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(StoredObject).on_conflict_do_nothing()
    return insert(StoredObject).prefix_with("IGNORE")
