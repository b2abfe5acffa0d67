"""A store whose new objects stay here: how an open commit is read like a finished one without writing anything.

They are the tree nodes of what was written so far, with those that were replaced meanwhile; beyond some megabytes
they go to a temporary file, so that a commit of millions of files is not held in memory.
"""

from __future__ import annotations

import os
import tempfile
import threading
import weakref
from datetime import UTC, datetime
from heapq import merge
from typing import TYPE_CHECKING

from airflow_pachy.errors import ObjectExists
from airflow_pachy.pfs.objects.store import KeepsCopies, ObjectInfo, ObjectStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_KEPT_BYTES = 16 << 20


class LayeredStore:
    """Reads its own objects first, then those `below`; writes nothing there. Closing it leaves `below` open."""

    def __init__(self, below: ObjectStore, *, kept_bytes: int = _KEPT_BYTES) -> None:
        self._below = below
        self._kept = kept_bytes
        self._objects: dict[str, bytes | _Spilled] = {}
        self._spill: _Spill | None = None
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        """Where the lower store is."""
        return self._below.url

    def get(self, key: str, *, offset: int = 0, length: int | None = None) -> bytes:
        """Bytes of an object of either layer."""
        found = self._objects.get(key)
        if found is None:
            return self._below.get(key, offset=offset, length=length)
        body = found if isinstance(found, bytes) else found.read()
        return body[offset:] if length is None else body[offset : offset + length]

    def put(self, key: str, body: bytes | bytearray | memoryview, *, if_absent: bool = False) -> None:
        """Keep an object here."""
        with self._lock:
            if if_absent and key in self._objects:
                raise ObjectExists(f"object {key} exists already above {self.url}")
            if len(body) <= self._kept:
                self._kept -= len(body)
                self._objects[key] = bytes(body)
                return
            if self._spill is None:
                self._spill = _Spill()
            self._objects[key] = self._spill.write(body)

    def head(self, key: str) -> ObjectInfo:
        """Size of an object of either layer."""
        found = self._objects.get(key)
        return self._below.head(key) if found is None else ObjectInfo(key, len(found), datetime.now(UTC))

    def list_keys(self, prefix: str = "", *, after: str | None = None) -> Iterator[ObjectInfo]:
        """Objects of both layers in key order."""
        mine = [
            ObjectInfo(key, len(found), datetime.now(UTC))
            for key, found in sorted(self._objects.items(), key=lambda item: item[0].encode())
            if key.startswith(prefix) and (after is None or key.encode() > after.encode())
        ]
        return merge(mine, self._below.list_keys(prefix, after=after), key=lambda info: info.key.encode())

    def delete(self, keys: Iterable[str]) -> None:
        """Forget objects of the upper layer."""
        for key in keys:
            self._objects.pop(key, None)

    def discard(self, key: str) -> None:
        """Have the lower store let go of a copy that it has."""
        if isinstance(self._below, KeepsCopies):
            self._below.discard(key)

    def close(self) -> None:
        """Drop the upper layer."""
        self._objects.clear()
        self._spill = None


class _Spill:
    """A temporary file without a name, gone when nobody holds this or a piece of it any more."""

    def __init__(self) -> None:
        self._file, name = tempfile.mkstemp(prefix="pachy-open-commit-")
        os.unlink(name)  # noqa: PTH108 - a descriptor is all that is kept
        self._end = 0
        weakref.finalize(self, os.close, self._file)

    def write(self, body: bytes | bytearray | memoryview) -> _Spilled:
        """Add a piece. One thread at a time."""
        start, rest = self._end, memoryview(body)
        while rest:
            written = os.pwrite(self._file, rest, self._end)
            self._end += written
            rest = rest[written:]
        return _Spilled(self, start, self._end - start)

    def read(self, start: int, length: int) -> bytes:
        """A piece."""
        return os.pread(self._file, length, start)


class _Spilled:
    """A piece of a temporary file."""

    __slots__ = ("_length", "_spill", "_start")

    def __init__(self, spill: _Spill, start: int, length: int) -> None:
        self._spill, self._start, self._length = spill, start, length

    def __len__(self) -> int:
        return self._length

    def read(self) -> bytes:
        """Its bytes."""
        return self._spill.read(self._start, self._length)
