"""Putting what a URL names: http(s), s3 and file."""

from __future__ import annotations

import io
import urllib.error
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, cast
from urllib.parse import unquote, urlsplit

from airflow_pachy.errors import InvalidArgument, PathNotFound, Unavailable
from airflow_pachy.pfs.objects import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from airflow_pachy.pfs.objects.store import ObjectStore

TIMEOUT_SECONDS = 60
_WINDOW_BYTES = 8 << 20
_KNOWN = "http://, https://, s3:// and file://"


def scheme_of(url: str) -> str:
    """The URL's scheme; raises `InvalidArgument` for one that cannot be put."""
    scheme = urlsplit(url).scheme.lower()
    if scheme not in {"http", "https", "s3", "file"}:
        raise InvalidArgument(f"cannot put {url!r}: its scheme is {scheme or 'missing'}; supported are {_KNOWN}")
    return scheme


@contextmanager
def open_http(url: str) -> Iterator[BinaryIO]:
    """The body of an http(s) URL as a stream. Raises `PathNotFound` for 404 and 410, else `Unavailable`."""
    request = urllib.request.Request(url, headers={"User-Agent": "airflow-provider-pachy"})  # noqa: S310 - checked scheme
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310 - as above
            yield cast("BinaryIO", response)
    except urllib.error.HTTPError as error:
        if error.code in {404, 410}:
            raise PathNotFound(f"{url} does not exist (HTTP {error.code})") from error
        raise Unavailable(f"{url} answered HTTP {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        raise Unavailable(
            f"{url} did not answer ({error.reason}); check the address, the network and any proxy"
        ) from error


@contextmanager
def open_bucket(url: str, s3: Mapping[str, Any]) -> Iterator[tuple[ObjectStore, str]]:
    """The store of an `s3://bucket/key` URL and the key in it."""
    parts = urlsplit(url)
    if not parts.netloc:
        raise InvalidArgument(f"{url!r} names no bucket; write s3://bucket/key")
    store = open_store(f"s3://{parts.netloc}", s3=s3)
    try:
        yield store, url.split(parts.netloc, 1)[1].lstrip("/")
    finally:
        store.close()


def local_path(url: str) -> str:
    """The path a `file://` URL names."""
    parts = urlsplit(url)
    if parts.netloc not in {"", "localhost"}:
        raise InvalidArgument(f"{url!r} names the host {parts.netloc!r}; write file:///path for a file of this machine")
    return unquote(parts.path)


class ObjectStream(io.RawIOBase):
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


def open_object(store: ObjectStore, key: str) -> BinaryIO:
    """An object as a stream."""
    size = store.head(key).size_bytes
    return io.BufferedReader(ObjectStream(store, key, size), buffer_size=_WINDOW_BYTES)
