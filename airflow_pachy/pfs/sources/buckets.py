"""`s3://bucket/key`: objects of any S3 server, with the root's credentials and endpoint or with others."""

from __future__ import annotations

import io
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from airflow_pachy.errors import InvalidArgument, ObjectNotFound, PathNotFound
from airflow_pachy.pfs.objects import open_store
from airflow_pachy.pfs.sources.requests import Found, Request, put_many, put_one

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_pachy.pfs.objects.store import ObjectStore

_WINDOW_BYTES = 8 << 20


def put(request: Request) -> None:
    """Put an object, or with `recursive` all below a prefix, several at a time."""
    bucket, _, key = request.url.partition("://")[2].partition("/")
    if not bucket:
        raise InvalidArgument(f"{request.url!r} names no bucket; write s3://bucket/key")
    store = open_store(f"s3://{bucket}", s3=request.options or request.puts.root.s3)
    try:
        if request.recursive:
            put_many(request, _below(store, key if not key or key.endswith("/") else f"{key}/"))
            return
        if not key or key.endswith("/"):
            raise InvalidArgument(f"{request.url!r} names no object; put what is below it recursively")
        try:
            size = store.head(key).size_bytes
        except ObjectNotFound as error:
            raise PathNotFound(f"there is no object {request.shown}{_hint(store, key)}") from error
        with _opened(store, key, size) as stream:
            put_one(request, stream)
    finally:
        store.close()


def _below(store: ObjectStore, prefix: str) -> Iterator[Found]:
    for info in store.list_keys(prefix):
        # Keys that end in a slash are what consoles make for empty directories.
        if not info.key.endswith("/"):
            yield _found(store, prefix, info.key, info.size_bytes, int(info.modified.timestamp() * 1_000_000))


def _found(store: ObjectStore, prefix: str, key: str, size_bytes: int, mtime_us: int) -> Found:
    return Found(key[len(prefix) :], lambda: _opened(store, key, size_bytes), mtime_us=mtime_us)


@contextmanager
def _opened(store: ObjectStore, key: str, size_bytes: int) -> Iterator[BinaryIO]:
    """An object as a stream; a small one with a single request."""
    if size_bytes <= _WINDOW_BYTES:
        yield io.BytesIO(store.get(key))
    else:
        yield cast("BinaryIO", io.BufferedReader(_Windows(store, key, size_bytes), buffer_size=_WINDOW_BYTES))


def _hint(store: ObjectStore, key: str) -> str:
    below = next(iter(store.list_keys(f"{key}/")), None)
    return "; there are objects below it: put it recursively" if below is not None else "; check bucket and key"


class _Windows(io.RawIOBase):
    """An object read from its start in windows of a few megabytes."""

    def __init__(self, store: ObjectStore, key: str, size_bytes: int) -> None:
        super().__init__()
        self._store, self._key, self._left = store, key, size_bytes
        self._offset = 0

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer from the next window."""
        length = min(len(buffer), self._left, _WINDOW_BYTES)
        if length == 0:
            return 0
        data = self._store.get(self._key, offset=self._offset, length=length)
        buffer[: len(data)] = data
        self._offset += len(data)
        self._left -= len(data)
        return len(data)
