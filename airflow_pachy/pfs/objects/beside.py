"""An object store that a process beside ours talks to, so that it imports botocore while ours imports Arrow.

Half of what a short command takes on S3 is imports, one after the other, on one core of two. The process is forked
before ours has imported much, and opens the store; then each request is written into one of a few pairs of pipes, and
its answer read from there. What goes through a pipe is copied twice, so after `MOST_BYTES` a client of our own takes
over, as it does when the process is gone. A process that ends, however, closes its pipes, and the other one ends.

Who fetches much has the process fetch it into memory that both share, and may let it work on what lies there.
"""

from __future__ import annotations

import logging
import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow_pachy.errors import StoreUnavailable
from airflow_pachy.forking import end_child, fork, may_fork
from airflow_pachy.pfs.objects.beside_process import PAGE, Pair, Shared, be_the_process, make_pair
from airflow_pachy.pfs.objects.line import Fetched, Line, ProcessGoneError
from airflow_pachy.pfs.objects.opening import open_store

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from airflow_pachy.pfs.objects.store import ObjectInfo, ObjectStore

PAIRS = 16
"""How many requests are under way at a time; further ones wait."""
MOST_BYTES = 96 << 20
"""Of contents, after which requests no longer go through pipes."""
_S3 = "s3://"
_log = logging.getLogger(__name__)


def open_beside(
    url: str, *, s3: Mapping[str, Any] | None = None, first: str, shared: Shared | None = None
) -> StoreBeside | None:
    """The store of an S3 URL, or of any if there is work to share, in a process of its own.

    None where that would not be safe, or not worth it. It is asked at once for the object `first`, which whoever opens
    a store gets first.
    """
    if not (shared or url.startswith(_S3)) or not may_fork() or (os.cpu_count() or 1) < 2:
        return None
    try:
        store = StoreBeside(url, s3, shared)
    except OSError as error:
        _log.debug("the store is opened in this process: %s", error)
        return None
    store.expect(first)
    return store


class StoreBeside:
    """`ObjectStore` in a process that is forked now; what is wrong with `url` or `s3` is raised at first use."""

    def __init__(self, url: str, s3: Mapping[str, Any] | None = None, shared: Shared | None = None) -> None:
        self._url = url
        self._s3 = s3
        self.shared = shared
        self._turn = threading.Lock()
        self._store: ObjectStore | None = None
        self._passed = 0
        self._expected: dict[str, Pair] = {}
        pairs: list[tuple[Pair, Pair]] = []
        try:
            pairs.extend(make_pair() for _ in range(PAIRS))
            self._pid = fork([handle for _, theirs in pairs for handle in theirs.handles])
        except OSError:
            for pair in pairs:
                pair[0].close()
                pair[1].close()
            raise
        if not self._pid:
            be_the_process([theirs for _, theirs in pairs], url, s3, shared)
        for _, theirs in pairs:
            theirs.close()
        self._line = Line(ours for ours, _ in pairs)

    @property
    def url(self) -> str:
        """`s3://bucket/prefix`, as the store itself would say."""
        if not self._url.startswith(_S3):
            return self._url
        bucket, _, prefix = self._url.removeprefix(_S3).partition("/")
        return f"{_S3}{bucket}/{prefix.strip('/')}".rstrip("/")

    def expect(self, key: str) -> None:
        """Ask for an object that `get` will be called for, without waiting for it."""
        self._expected[key] = self._line.ask("get", key, 0, None)

    def get(self, key: str, *, offset: int = 0, length: int | None = None) -> bytes:
        """As `ObjectStore.get`."""
        if self._passed > MOST_BYTES:
            return self._own().get(key, offset=offset, length=length)
        try:
            expected = None if offset or length is not None else self._expected.pop(key, None)
            asked = expected or self._line.ask("get", key, offset, length)
            body: bytes = self._line.answer(asked)
        except ProcessGoneError:
            return self._own().get(key, offset=offset, length=length)
        self._passed += len(body)
        return body

    @contextmanager
    def fetch(self, key: str, offset: int, length: int) -> Iterator[Fetched]:
        """Have bytes of an object fetched into a room, which is the caller's for the block; waits for a free one."""
        assert self.shared is not None
        rooms = self.shared.rooms
        with rooms.one() as room:
            fetched = Fetched(
                self._line,
                rooms,
                room,
                (key, offset, length),
                otherwise=lambda: self._own().get(key, offset=offset, length=length),
            )
            try:
                yield fetched
            finally:
                fetched.settle()

    def put(self, key: str, body: bytes | bytearray | memoryview, *, if_absent: bool = False) -> None:
        """As `ObjectStore.put`."""
        if self._passed > MOST_BYTES:
            self._own().put(key, body, if_absent=if_absent)
            return
        self._passed += len(body)
        try:
            self._line.call("put", key, if_absent, body=body)
        except ProcessGoneError as gone:
            if if_absent:  # whether it was written is not known, so asking again might find it taken, by us
                raise StoreUnavailable(
                    f"the process that was writing {self.url}/{key} was killed; whether it was written is not known: "
                    "try again"
                ) from gone
            self._own().put(key, body)

    def head(self, key: str) -> ObjectInfo:
        """As `ObjectStore.head`."""
        try:
            found: ObjectInfo = self._line.call("head", key)
        except ProcessGoneError:
            found = self._own().head(key)
        return found

    def list_keys(self, prefix: str = "", *, after: str | None = None) -> Iterator[ObjectInfo]:
        """As `ObjectStore.list_keys`; a page of 1,000 at a time, with a request each."""
        try:
            while True:
                page: list[ObjectInfo] = self._line.call("list", prefix, after)
                yield from page
                if len(page) < PAGE:
                    return
                after = page[-1].key
        except ProcessGoneError:
            yield from self._own().list_keys(prefix, after=after)

    def delete(self, keys: Iterable[str]) -> None:
        """As `ObjectStore.delete`."""
        left = list(keys)
        try:
            self._line.call("delete", left)
        except ProcessGoneError:
            self._own().delete(left)

    def close(self) -> None:
        """End the process, and close the client that took over, if one did."""
        with self._turn:
            pid, self._pid = self._pid, 0
            if pid:
                end_child(pid)
                self._line.close()
            if self._store is not None:
                self._store.close()

    def _own(self) -> ObjectStore:
        with self._turn:
            if self._store is None:
                self._store = open_store(self._url, s3=self._s3)
            return self._store
