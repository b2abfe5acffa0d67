"""Packs: one object of about 32 MiB for many chunks, because requests are what S3 charges for in time and money."""

from __future__ import annotations

import os
import threading
from bisect import bisect_right
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import accumulate
from typing import TYPE_CHECKING

from airflow_pachy.pfs.objects.ulid import new_ulid
from airflow_pachy.pfs.tree.entries import Segment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_pachy.pfs.objects.store import ObjectStore

Chunk = bytes | bytearray | memoryview
_EARLY = 4


def new_pack_key() -> str:
    """A name nobody has used: two random hex digits spread the load over the store's partitions."""
    return f"packs/{os.urandom(1).hex()}/{new_ulid()}"


class PackWriter:
    """Appends chunks to packs and uploads full ones in the background. Not thread-safe: its owner holds a lock.

    At most `uploads` packs are on their way and one is being filled; a further full pack waits for a place. The first
    packs are smaller if nothing is on its way: the network should not wait until 32 MiB are read.
    Chunks that nobody can change are put together by the thread that sends their pack; others are copied into it at
    once, and a pack of nothing else is sent as it is.
    """

    def __init__(self, store: ObjectStore, *, target_bytes: int, uploads: int) -> None:
        self._store = store
        self._target_bytes = target_bytes
        self._early_bytes = target_bytes // _EARLY
        self._key = new_pack_key()
        self._chunks: list[bytes | bytearray | memoryview] = []
        self._size = 0
        self._places = threading.Semaphore(uploads)
        self._threads = ThreadPoolExecutor(uploads, thread_name_prefix="pack-upload")
        self._running: list[Future[None]] = []

    def add(self, chunk: Chunk, chunk_hash: bytes | None) -> Segment:
        """Where `chunk` will lie. Raises what an earlier upload raised."""
        size, start = len(chunk), self._size
        # Few of many small chunks come so far.
        if start + size > self._target_bytes or start >= self._early_bytes:
            if start and (start + size > self._target_bytes or self._is_worth_sending()):
                self._send()
            start = self._size
        if _is_unchanging(chunk):
            self._chunks.append(chunk)
            self._size = start + size
        else:
            self._copy(chunk)
        return Segment(self._key, start, size, chunk_hash)

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

    def _copy(self, part: Chunk) -> None:
        last = self._chunks[-1] if self._chunks else None
        if isinstance(last, bytearray):
            last += part
        else:
            self._chunks.append(bytearray(part))
        self._size += len(part)

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
        self._chunks, self._size = [], 0
        self._threads.shutdown(cancel_futures=True)

    def _is_worth_sending(self) -> bool:
        """Whether nothing is on its way; it takes more each time, lest a slow source be packed small."""
        if not all(upload.done() for upload in self._running):
            return False
        self._early_bytes = min(2 * self._early_bytes, self._target_bytes)
        return True

    def _send(self) -> None:
        self._places.acquire()
        still = []
        for upload in self._running:
            if upload.done():
                upload.result()  # a failed upload fails the writer at its next step, not at the end
            else:
                still.append(upload)
        chunks, self._chunks, self._size = self._chunks, [], 0
        key, self._key = self._key, new_pack_key()
        self._running = [*still, self._threads.submit(self._upload, key, chunks)]

    def _upload(self, key: str, chunks: list[bytes | bytearray | memoryview]) -> None:
        try:
            body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
            chunks.clear()
            self._store.put(key, body)
        finally:
            self._places.release()


def _is_unchanging(chunk: Chunk) -> bool:
    """Whether nobody can change the chunk before it is sent."""
    return isinstance(chunk, bytes) or (isinstance(chunk, memoryview) and isinstance(chunk.obj, bytes))
