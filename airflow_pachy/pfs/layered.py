"""A store whose new objects stay in memory: how an open commit is read like a finished one without writing anything."""

from __future__ import annotations

from datetime import UTC, datetime
from heapq import merge
from typing import TYPE_CHECKING

from airflow_pachy.errors import ObjectExists
from airflow_pachy.pfs.objects.store import ObjectInfo, ObjectStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class LayeredStore:
    """Reads from memory first, then from `below`; writes to memory alone. Closing it leaves `below` open."""

    def __init__(self, below: ObjectStore) -> None:
        self._below = below
        self._objects: dict[str, bytes] = {}

    @property
    def url(self) -> str:
        """Where the lower store is."""
        return self._below.url

    def get(self, key: str, *, offset: int = 0, length: int | None = None) -> bytes:
        """Bytes of an object of either layer."""
        body = self._objects.get(key)
        if body is None:
            return self._below.get(key, offset=offset, length=length)
        return body[offset:] if length is None else body[offset : offset + length]

    def put(self, key: str, body: bytes | bytearray | memoryview, *, if_absent: bool = False) -> None:
        """Keep an object in memory."""
        if if_absent and key in self._objects:
            raise ObjectExists(f"object {key} exists already above {self.url}")
        self._objects[key] = bytes(body)

    def head(self, key: str) -> ObjectInfo:
        """Size of an object of either layer."""
        body = self._objects.get(key)
        return self._below.head(key) if body is None else ObjectInfo(key, len(body), datetime.now(UTC))

    def list_keys(self, prefix: str = "", *, after: str | None = None) -> Iterator[ObjectInfo]:
        """Objects of both layers in key order."""
        mine = [
            ObjectInfo(key, len(body), datetime.now(UTC))
            for key, body in sorted(self._objects.items(), key=lambda item: item[0].encode())
            if key.startswith(prefix) and (after is None or key.encode() > after.encode())
        ]
        return merge(mine, self._below.list_keys(prefix, after=after), key=lambda info: info.key.encode())

    def delete(self, keys: Iterable[str]) -> None:
        """Forget objects of the memory layer."""
        for key in keys:
            self._objects.pop(key, None)

    def close(self) -> None:
        """Drop the memory layer."""
        self._objects.clear()
