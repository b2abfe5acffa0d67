"""A store in a dict: for tests, notebooks and `memory://` roots. Gone with the process."""

from __future__ import annotations

import bisect
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow_pachy.errors import ObjectExists, ObjectNotFound
from airflow_pachy.pfs.objects.keys import check_key
from airflow_pachy.pfs.objects.store import ObjectInfo
from airflow_pachy.pfs.objects.ulid import new_ulid

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_named: dict[str, MemoryStore] = {}
_named_lock = threading.Lock()


class MemoryStore:
    """Objects in memory. `MemoryStore.named(name)` is the same store for everybody in the process."""

    def __init__(self, name: str | None = None) -> None:
        self._url = f"memory://{name or new_ulid()}"
        self._objects: dict[str, tuple[bytes, datetime]] = {}
        self._sorted: list[str] = []
        self._lock = threading.Lock()

    @classmethod
    def named(cls, name: str) -> MemoryStore:
        """The one store of this name; the empty name makes a new one each time."""
        if not name:
            return cls()
        with _named_lock:
            return _named.setdefault(name, cls(name))

    @property
    def url(self) -> str:
        """`memory://<name>`."""
        return self._url

    def get(self, key: str, *, offset: int = 0, length: int | None = None) -> bytes:
        """Bytes of an object; raises `ObjectNotFound`."""
        body = self._find(key)[0]
        if offset == 0 and length is None:
            return body
        return body[offset:] if length is None else body[offset : offset + length]

    def put(self, key: str, body: bytes | bytearray | memoryview, *, if_absent: bool = False) -> None:
        """Keep a copy of `body`."""
        check_key(key)
        kept = (bytes(body), datetime.now(UTC))
        with self._lock:
            if key not in self._objects:
                bisect.insort(self._sorted, key)
            elif if_absent:
                raise ObjectExists(f"{self._url}/{key} exists already; it was to be created")
            self._objects[key] = kept

    def head(self, key: str) -> ObjectInfo:
        """Size and time of an object; raises `ObjectNotFound`."""
        body, modified = self._find(key)
        return ObjectInfo(key, len(body), modified)

    def list_keys(self, prefix: str = "", *, after: str | None = None) -> Iterator[ObjectInfo]:
        """Objects in key order; one that is put or deleted meanwhile may or may not appear."""
        with self._lock:
            start = bisect.bisect_left(self._sorted, prefix)
            if after is not None:
                start = max(start, bisect.bisect_right(self._sorted, after))
            # Code point order, which str has, is UTF-8 byte order.
            end = bisect.bisect_left(self._sorted, prefix + "\U0010ffff") if prefix else len(self._sorted)
            keys = self._sorted[start:end]
        for key in keys:
            found = self._objects.get(key)
            if found is not None:
                yield ObjectInfo(key, len(found[0]), found[1])

    def delete(self, keys: Iterable[str]) -> None:
        """Forget objects."""
        with self._lock:
            for key in keys:
                if self._objects.pop(key, None) is not None:
                    del self._sorted[bisect.bisect_left(self._sorted, key)]

    def close(self) -> None:
        """Nothing to release: a named store stays for others."""

    def _find(self, key: str) -> tuple[bytes, datetime]:
        found = self._objects.get(key)
        if found is None:
            raise ObjectNotFound(f"{self._url}/{key} does not exist")
        return found
