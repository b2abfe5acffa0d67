"""Stores around stores: what is the same for every backend is written once, here."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from airflow_pachy.pfs.objects.store import ObjectInfo, ObjectStore


@dataclass
class Counts:
    """Requests and bytes by verb (`get`, `put`, `head`, `list`, `delete`)."""

    requests: Counter[str] = field(default_factory=Counter)
    bytes: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        """All requests."""
        return self.requests.total()


class CountingStore:
    """Counts what passes through. `counts` may be replaced by a fresh `Counts()` at any time."""

    def __init__(self, store: ObjectStore) -> None:
        self.inner = store
        self.counts = Counts()
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        """Of the store inside."""
        return self.inner.url

    def get(self, key: str, *, offset: int = 0, length: int | None = None) -> bytes:
        """Count, then get."""
        body = self.inner.get(key, offset=offset, length=length)
        self._count("get", len(body))
        return body

    def put(self, key: str, body: bytes | bytearray | memoryview, *, if_absent: bool = False) -> None:
        """Count, then put."""
        self._count("put", len(body))
        self.inner.put(key, body, if_absent=if_absent)

    def head(self, key: str) -> ObjectInfo:
        """Count, then head."""
        self._count("head")
        return self.inner.head(key)

    def list_keys(self, prefix: str = "", *, after: str | None = None) -> Iterator[ObjectInfo]:
        """Count once per listing, however many pages it has underneath."""
        self._count("list")
        return self.inner.list_keys(prefix, after=after)

    def delete(self, keys: Iterable[str]) -> None:
        """Count once per call."""
        self._count("delete")
        self.inner.delete(keys)

    def close(self) -> None:
        """Close the store inside."""
        self.inner.close()

    def _count(self, verb: str, size_bytes: int = 0) -> None:
        with self._lock:
            self.counts.requests[verb] += 1
            self.counts.bytes[verb] += size_bytes
