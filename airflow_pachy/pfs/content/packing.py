"""Packs: one object of about 32 MiB for many chunks, because requests are what S3 charges for in time and money."""

from __future__ import annotations

import os
import threading
from bisect import bisect_right
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING

from airflow_pachy.pfs.objects.ulid import new_ulid

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_pachy.pfs.content.rooms import Rooms
    from airflow_pachy.pfs.objects.store import ObjectStore

Chunk = bytes | bytearray | memoryview
_EARLY = 4


def new_pack_key() -> str:
    """A name nobody has used: two random hex digits spread the load over the store's partitions."""
    return f"packs/{os.urandom(1).hex()}/{new_ulid()}"


class PackWriter:
    """Appends chunks to packs and uploads full ones in the background. Not thread-safe: its owner holds a lock.

    At most `uploads` packs are on their way and one is being filled; a further full pack waits for a place. The first
    packs are smaller if nothing is on its way: the network should not wait until 32 MiB are read. Chunks are copied
    into a room, or come as a pack of their own, which is sent as it lies.
    """

    def __init__(self, store: ObjectStore, rooms: Rooms, *, target_bytes: int, uploads: int) -> None:
        self._store = store
        self._rooms = rooms
        self._target_bytes = target_bytes
        self._early_bytes = target_bytes // _EARLY
        self._key = new_pack_key()
        self._room: memoryview | None = None
        self._size = 0
        self._places = threading.Semaphore(uploads)
        self._threads = ThreadPoolExecutor(uploads, thread_name_prefix="pack-upload")
        self._running: list[Future[None]] = []

    def add(self, chunk: Chunk) -> tuple[str, int]:
        """Pack and offset where `chunk`, which fits into a room, will lie. Raises what an earlier upload raised."""
        size, start = len(chunk), self._size
        # Few of many small chunks come so far.
        if start + size > self._target_bytes or start >= self._early_bytes:
            if start and (start + size > self._target_bytes or self._is_worth_sending()):
                self._send()
            start = self._size
        self._copy(chunk)
        return self._key, start

    def add_run(self, data: memoryview, lengths: Sequence[int]) -> list[tuple[str, int, int]]:
        """Where chunks that lie one after the other in `data` will lie: pack, offset of the first, and how many.

        They are copied in few large pieces; `data` may be overwritten afterwards. Raises as `add` does.
        """
        ends = list(accumulate(lengths))
        places: list[tuple[str, int, int]] = []
        first = copied = 0
        while first < len(ends):
            is_full = self._size + lengths[first] > self._target_bytes
            if self._size and (is_full or (self._size >= self._early_bytes and self._is_worth_sending())):
                self._send()
            most = self._early_bytes if self._size < self._early_bytes else self._target_bytes
            following = max(bisect_right(ends, copied + most - self._size, first), first + 1)
            places.append((self._key, self._size, following - first))
            self._copy(data[copied : ends[following - 1]])
            first, copied = following, ends[following - 1]
        return places

    def add_pack(self, data: memoryview, take: Callable[[], Callable[[], None]]) -> str:
        """The pack that `data` will be. Raises as `add` does.

        `take` is called when there is a place for the upload, and has `data` stay as it is until what it gives is
        called.
        """
        key = new_pack_key()
        self._submit(key, data, take)
        return key

    def wants(self, size_bytes: int) -> bool:
        """Whether so much is worth sending now, although more is to come."""
        return size_bytes >= self._early_bytes and self._is_worth_sending()

    def send(self) -> None:
        """Have everything added on its way, be the last pack as small as it is."""
        if self._size:
            self._send()

    def flush(self) -> None:
        """Return when everything added is in the store."""
        self.send()
        running, self._running = self._running, []
        for upload in running:
            upload.result()

    def close(self) -> None:
        """Wait for what is on its way and forget what is not; nothing points to it yet."""
        self._room, self._size = None, 0
        self._threads.shutdown(cancel_futures=True)

    def _is_worth_sending(self) -> bool:
        """Whether nothing is on its way; it takes more each time, lest a slow source be packed small."""
        if not all(upload.done() for upload in self._running):
            return False
        self._early_bytes = min(2 * self._early_bytes, self._target_bytes)
        return True

    def _copy(self, part: Chunk) -> None:
        if self._room is None:
            self._room = self._rooms.take()
        end = self._size + len(part)
        self._room[self._size : end] = part
        self._size = end

    def _send(self) -> None:
        room, size, key = self._room, self._size, self._key
        assert room is not None
        self._room, self._size, self._key = None, 0, new_pack_key()
        self._submit(key, room[:size], lambda: partial(self._rooms.give_back, room))

    def _submit(self, key: str, data: memoryview, take: Callable[[], Callable[[], None]]) -> None:
        self._places.acquire()
        try:
            ended = [upload for upload in self._running if upload.done()]
            for upload in ended:
                upload.result()  # a failed upload fails the writer at its next step, not at the end
            self._running = [upload for upload in self._running if upload not in ended]
            self._running.append(self._threads.submit(self._upload, key, data, take()))
        except BaseException:
            self._places.release()
            raise

    def _upload(self, key: str, data: memoryview, done: Callable[[], None]) -> None:
        try:
            self._store.put(key, data)
        finally:
            done()
            self._places.release()
