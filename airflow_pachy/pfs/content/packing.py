"""Packs: one object of about 32 MiB for many chunks, because requests are what S3 charges for in time and money."""

from __future__ import annotations

import os
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from airflow_pachy.pfs.objects.ulid import new_ulid
from airflow_pachy.pfs.tree.entries import Segment

if TYPE_CHECKING:
    from airflow_pachy.pfs.objects.store import ObjectStore


def new_pack_key() -> str:
    """A name nobody has used: two random hex digits spread the load over the store's partitions."""
    return f"packs/{os.urandom(1).hex()}/{new_ulid()}"


class PackWriter:
    """Appends chunks to packs and uploads full ones in the background. Not thread-safe: its owner holds a lock.

    At most `uploads` packs are on their way and one is being filled; a further full pack waits for a place.
    """

    def __init__(self, store: ObjectStore, *, target_bytes: int, uploads: int) -> None:
        self._store = store
        self._target_bytes = target_bytes
        self._key = new_pack_key()
        self._buffer = bytearray()
        self._places = threading.Semaphore(uploads)
        self._threads = ThreadPoolExecutor(uploads, thread_name_prefix="pack-upload")
        self._running: list[Future[None]] = []

    def add(self, chunk: bytes | bytearray | memoryview, chunk_hash: bytes | None) -> Segment:
        """Where `chunk` will lie. Raises what an earlier upload raised."""
        size = len(chunk)
        if self._buffer and len(self._buffer) + size > self._target_bytes:
            self._send()
        segment = Segment(self._key, len(self._buffer), size, chunk_hash)
        self._buffer += chunk
        return segment

    def flush(self) -> None:
        """Return when everything added is in the store."""
        if self._buffer:
            self._send()
        running, self._running = self._running, []
        for upload in running:
            upload.result()

    def close(self) -> None:
        """Wait for what is on its way and forget what is not; nothing points to it yet."""
        self._buffer.clear()
        self._threads.shutdown(cancel_futures=True)

    def _send(self) -> None:
        self._places.acquire()
        still = []
        for upload in self._running:
            if upload.done():
                upload.result()  # a failed upload fails the writer at its next step, not at the end
            else:
                still.append(upload)
        body, self._buffer, key, self._key = self._buffer, bytearray(), self._key, new_pack_key()
        self._running = [*still, self._threads.submit(self._upload, key, body)]

    def _upload(self, key: str, body: bytearray) -> None:
        try:
            self._store.put(key, body)
        finally:
            self._places.release()
