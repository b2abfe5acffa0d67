"""Large chunks that are stored already, in whatever repo: what `ContentWriter` asks before it uploads one again.

Finding a chunk is using it: the row's `used` is set in the transaction that finds the row, and garbage collection
keeps a chunk that was used lately, or deletes the row before the object. So a writer that was told where a chunk
lies has as long to publish as one that uploads, and no transaction has to last as long as an upload.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_pachy.lazy import LazyModule
from airflow_pachy.metadata import plain_objects
from airflow_pachy.metadata.contention import retry
from airflow_pachy.pfs.heads import utc_now
from airflow_pachy.pfs.tree.entries import Segment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import sqlalchemy as sa
    from sqlalchemy import Insert
    from sqlalchemy.orm import Session

    from airflow_pachy.metadata import models
    from airflow_pachy.metadata.database import Metadata
else:
    # A put of small files asks for no chunks, and may need no SQLAlchemy at all: see `airflow_pachy.metadata.plain`.
    sa = LazyModule("sqlalchemy")
    models = LazyModule("airflow_pachy.metadata.models")

_BATCH = 500


class StoredChunks:
    """The chunks of one root. Thread-safe."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata

    def find(self, digests: Sequence[bytes]) -> dict[bytes, Segment]:
        """Where those of the chunks lie, now in use, that somebody knows and that are not about to be deleted."""
        keys = sorted({digest.hex() for digest in digests})
        found: dict[bytes, Segment] = {}
        for at in range(0, len(keys), _BATCH):
            batch = keys[at : at + _BATCH]
            if self._knows_any(batch):
                found |= retry(self._metadata, partial(self._take, batch))
        return found

    def _knows_any(self, keys: list[str]) -> bool:
        glance = self._metadata.glance
        answer = None if glance is None else plain_objects.knows_any(glance, keys)
        if answer is not None:
            return answer
        with self._metadata.reader() as session:
            known = sa.select(models.StoredObject.hash).where(models.StoredObject.hash.in_(keys)).limit(1)
            return session.scalar(known) is not None

    def _take(self, keys: list[str]) -> dict[bytes, Segment]:
        glance = self._metadata.glance
        rows = None if glance is None else plain_objects.take(glance, keys, utc_now())
        if rows is None:
            rows = self._take_in_session(keys)
        return {bytes.fromhex(key): Segment(name, offset, length) for key, name, offset, length in rows}

    def _take_in_session(self, keys: list[str]) -> list[tuple[str, str, int, int]]:
        table = models.StoredObject
        with self._metadata.session() as session:
            used = sa.update(table).where(table.hash.in_(keys)).values(used=utc_now())
            session.execute(used.execution_options(synchronize_session=False))
            columns = (table.hash, table.object, table.position, table.size_bytes)
            rows = session.execute(sa.select(*columns).where(table.hash.in_(keys)))
            return [(key, name, offset, length) for key, name, offset, length in rows]

    def offer(self, places: Mapping[bytes, Segment]) -> None:
        """Tell others of chunks that are in the store."""
        rows = [
            {"hash": digest.hex(), "object": place.object, "position": place.offset, "size_bytes": place.length}
            for digest, place in sorted(places.items())
        ]
        for at in range(0, len(rows), _BATCH):
            retry(self._metadata, partial(self._offer, rows[at : at + _BATCH]))

    def _offer(self, rows: list[dict[str, Any]]) -> None:
        """Insert rows, unless somebody has offered the same chunk meanwhile; theirs is as good."""
        now, glance = utc_now(), self._metadata.glance
        if glance is not None and plain_objects.offer(glance, rows, now):
            return
        hashes = [row["hash"] for row in rows]
        with self._metadata.session() as session:
            known = set(
                session.scalars(sa.select(models.StoredObject.hash).where(models.StoredObject.hash.in_(hashes)))
            )
            fresh = [row | {"created": now, "used": now} for row in rows if row["hash"] not in known]
            if fresh:
                session.execute(_insert_or_ignore(session), fresh)


def _insert_or_ignore(session: Session) -> Insert:
    backend = session.get_bind().dialect.name
    if backend == "sqlite":
        from sqlalchemy.dialects import sqlite

        return sqlite.insert(models.StoredObject).on_conflict_do_nothing()
    if backend == "postgresql":
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(models.StoredObject).on_conflict_do_nothing()
    return sa.insert(models.StoredObject).prefix_with("IGNORE")
