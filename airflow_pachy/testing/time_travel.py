"""Letting days pass for a root in an instant: what is stored looks older, in the bucket and in the database.

Tests of garbage collection need objects that are a week old. Nothing here touches a clock, so threads and libraries
that look at one are not confused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select, update

from airflow_pachy.metadata.models import Base
from airflow_pachy.metadata.types import UtcDateTime
from airflow_pachy.pfs.objects.store import ObjectInfo

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import timedelta

    from airflow_pachy.metadata.database import Metadata
    from airflow_pachy.pfs.objects.store import ObjectStore


class AgeingStore:
    """A store whose objects can be made older than they are."""

    def __init__(self, inner: ObjectStore) -> None:
        self.inner = inner
        self._older: dict[str, timedelta] = {}

    @property
    def url(self) -> str:
        """Of the store inside."""
        return self.inner.url

    def pass_time(self, time: timedelta) -> None:
        """Everything that is stored now was stored so much earlier."""
        for info in self.inner.list_keys():
            known = self._older.get(info.key)
            self._older[info.key] = time if known is None else known + time

    def get(self, key: str, *, offset: int = 0, length: int | None = None) -> bytes:
        """From the store inside."""
        return self.inner.get(key, offset=offset, length=length)

    def put(self, key: str, body: bytes | bytearray | memoryview, *, if_absent: bool = False) -> None:
        """An object that is replaced is young again."""
        self.inner.put(key, body, if_absent=if_absent)
        self._older.pop(key, None)

    def head(self, key: str) -> ObjectInfo:
        """With the time it should have."""
        return self._aged(self.inner.head(key))

    def list_keys(self, prefix: str = "", *, after: str | None = None) -> Iterator[ObjectInfo]:
        """With the times they should have."""
        return map(self._aged, self.inner.list_keys(prefix, after=after))

    def delete(self, keys: Iterable[str]) -> None:
        """From the store inside."""
        self.inner.delete(keys)

    def close(self) -> None:
        """Close the store inside."""
        self.inner.close()

    def _aged(self, info: ObjectInfo) -> ObjectInfo:
        older = self._older.get(info.key)
        return info if older is None else ObjectInfo(info.key, info.size_bytes, info.modified - older)


def pass_time(store: AgeingStore, metadata: Metadata, time: timedelta) -> None:
    """Let time pass for the bucket and for every timestamp in the database."""
    store.pass_time(time)
    with metadata.session() as session:
        for table in Base.metadata.sorted_tables:
            times = [column for column in table.columns if isinstance(column.type, UtcDateTime)]
            if not times:
                continue
            keys = list(table.primary_key)
            for row in session.execute(select(*keys, *times)).all():
                moved = {
                    column.name: value - time
                    for column, value in zip(times, row[len(keys) :], strict=True)
                    if value is not None
                }
                same = [key == value for key, value in zip(keys, row[: len(keys)], strict=True)]
                if moved:
                    session.execute(update(table).where(*same).values(moved))
