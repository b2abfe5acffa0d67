"""Writing content: small bytes inline, everything else cut into chunks and packed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate, chain, repeat
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol, Self

from airflow_pachy.pfs.content import chunking
from airflow_pachy.pfs.content.hashing import EMPTY, hash_bytes, hash_chunks
from airflow_pachy.pfs.content.packing import PackWriter
from airflow_pachy.pfs.tree.entries import Content, Segment

if TYPE_CHECKING:
    from types import TracebackType

    from airflow_pachy.pfs.content.reader import ContentReader
    from airflow_pachy.pfs.objects.store import ObjectStore

INLINE_BYTES = 512
PACK_TARGET_BYTES = 32 << 20

Data = bytes | bytearray | memoryview | BinaryIO | Path
Known = Callable[[bytes], tuple[Segment, ...] | None]


class SharedChunks(Protocol):
    """Large chunks that any writer of the root has stored, and that stay as long as anybody relies on them."""

    def find(self, digest: bytes) -> tuple[Segment, ...] | None:
        """Where the chunk lies."""
        ...

    def add(self, digest: bytes, place: Segment) -> None:
        """A chunk is on its way into the store."""
        ...

    def keep(self) -> None:
        """The chunks added so far are in the store: others may rely on them."""
        ...


class ContentWriter:
    """Stores file contents; what it returns is durable after `flush()`, which a `with` block does when it succeeds.

    Equal chunks are stored once per writer. `known(hash)` may say where a chunk already lies; the caller vouches that
    it stays there, and `shared` does for large chunks of the whole root. Memory stays below `pack_target_bytes *
    (uploads + 1)` plus one chunk per calling thread. Thread-safe. An upload's error is raised by a later `write` or
    by `flush`, after which the writer is of no use.
    """

    def __init__(
        self,
        store: ObjectStore,
        *,
        known: Known | None = None,
        shared: SharedChunks | None = None,
        pack_target_bytes: int = PACK_TARGET_BYTES,
        uploads: int = 4,
    ) -> None:
        self._known = known
        self._shared = shared
        self._packs = PackWriter(store, target_bytes=pack_target_bytes, uploads=uploads)
        # Plain tuples (object, offset, length), for there may be as many as files.
        self._stored: dict[bytes, tuple[str, int, int]] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.flush()
        finally:
            self.close()

    def write_small(self, data: bytes, digest: bytes) -> Content:
        """Store a whole file of at most `chunking.MIN_BYTES`, whose `hash_bytes` the caller has computed."""
        size = len(data)
        if size <= INLINE_BYTES:
            return Content(digest, size, (), data)
        return Content(digest, size, (self._place(data, digest),))

    def write_run(
        self, data: memoryview, lengths: Sequence[int], digests: Sequence[bytes]
    ) -> tuple[list[str], list[int]]:
        """Store whole files that lie one after the other in `data`; object and offset of each.

        Each is longer than `INLINE_BYTES` and shorter than `chunking.MIN_BYTES`, and the caller has computed its
        `hash_bytes`. `data` may be overwritten afterwards.
        """
        with self._lock:
            stored = self._stored
            if stored.keys().isdisjoint(digests) and len(set(digests)) == len(digests):
                objects, offsets = self._append(data, lengths)
                stored.update(zip(digests, zip(objects, offsets, lengths, strict=True), strict=True))
                return objects, offsets
            found: list[tuple[str, int, int]] = []
            start = 0
            for length, digest in zip(lengths, digests, strict=True):
                place = stored.get(digest)
                if place is None:
                    ((key, offset, _),) = self._packs.add_run(data[start : start + length], [length])
                    place = stored[digest] = (key, offset, length)
                found.append(place)
                start += length
        return [place[0] for place in found], [place[1] for place in found]

    def _append(self, data: memoryview, lengths: Sequence[int]) -> tuple[list[str], list[int]]:
        objects: list[str] = []
        offsets: list[int] = []
        for key, offset, count in self._packs.add_run(data, lengths):
            objects.extend(repeat(key, count))
            offsets.extend(accumulate(lengths[len(offsets) : len(offsets) + count - 1], initial=offset))
        return objects, offsets

    def write(self, data: Data) -> Content:
        """Store a whole file: bytes, an open binary file from where it stands, or the file at a path."""
        if isinstance(data, Path):
            with data.open("rb") as file:
                return self._write_stream(file)
        if isinstance(data, bytes) and len(data) <= chunking.MIN_BYTES:
            return self.write_small(data, hash_bytes(data))
        if isinstance(data, bytes | bytearray | memoryview):
            view = memoryview(data).cast("B")
            return self._write_small(view) if len(view) <= chunking.MIN_BYTES else self._store(chunking.split(view))
        return self._write_stream(data)

    def append(self, base: Content, data: Data, reader: ContentReader) -> Content:
        """The content of `base` followed by `data`; reads the last chunk of `base` and stores from there on."""
        if isinstance(data, Path):
            with data.open("rb") as file:
                return self.append(base, file, reader)
        kept, tail = base.segments[:-1], base.segments[-1:]
        kept_bytes = sum(segment.length for segment in kept)
        last = reader.read(base, kept_bytes) if tail else base.inline or b""
        if isinstance(data, bytes | bytearray | memoryview):
            chunks: Iterable[bytes | memoryview] = chunking.split(memoryview(last + bytes(data)))
        else:
            chunks = chunking.split_stream(data, last)
        return self._store(chunks, kept)

    def send(self) -> None:
        """Have everything written so far on its way: nothing more is to come soon."""
        with self._lock:
            self._packs.send()

    def flush(self) -> None:
        """Return when everything written so far is in the store."""
        with self._lock:
            self._packs.flush()
        if self._shared is not None:
            self._shared.keep()

    def close(self) -> None:
        """Stop the uploads; what was not flushed is abandoned."""
        with self._lock:
            self._packs.close()

    def _write_stream(self, source: BinaryIO) -> Content:
        head = _read_fully(source, chunking.MIN_BYTES + 1)
        if len(head) <= chunking.MIN_BYTES:
            return self._write_small(head)
        return self._store(chunking.split_stream(source, head))

    def _write_small(self, data: bytes | memoryview) -> Content:
        size = len(data)
        digest = hash_bytes(data)
        if size <= INLINE_BYTES:
            return Content(digest, size, (), bytes(data))
        return Content(digest, size, (self._place(data, digest),))

    def _store(self, chunks: Iterable[bytes | memoryview], kept: tuple[Segment, ...] = ()) -> Content:
        segments = list(kept)
        remaining = iter(chunks)
        first = next(remaining, None)
        if first is None and not kept:
            return EMPTY
        for chunk in chain([] if first is None else [first], remaining):
            if not segments and len(chunk) <= INLINE_BYTES:
                return self._write_small(chunk)  # too short to be cut: it is the whole file
            digest = hash_bytes(chunk)
            place = self._place(chunk, digest)
            segments.append(Segment(place.object, place.offset, place.length, digest))
        size = sum(segment.length for segment in segments)
        if len(segments) == 1:
            only = segments[0]
            return Content(only.hash or b"", size, (Segment(only.object, only.offset, only.length),))
        return Content(hash_chunks(segments), size, tuple(segments))

    def _place(self, chunk: bytes | memoryview, digest: bytes) -> Segment:
        """Where the chunk lies, as a segment without a hash; stores it unless it is known."""
        stored = self._stored.get(digest)
        if stored is not None:
            return Segment(*stored)
        known = self._known(digest) if self._known is not None else None
        shared = self._shared if len(chunk) >= chunking.MIN_BYTES else None
        if known is None and shared is not None:
            known = shared.find(digest)
        with self._lock:
            stored = self._stored.get(digest)
            if stored is not None:
                return Segment(*stored)
            if known is not None and len(known) == 1 and known[0].length == len(chunk):
                place = Segment(known[0].object, known[0].offset, known[0].length)
            else:
                place = self._packs.add(chunk, None)
                if shared is not None:
                    shared.add(digest, place)
            self._stored[digest] = (place.object, place.offset, place.length)
        return place


def _read_fully(source: BinaryIO, size: int) -> bytes:
    """Up to `size` bytes; fewer only at the end of the source (a pipe may answer in small pieces)."""
    data = source.read(size)
    if len(data) in (0, size):
        return data
    parts = [data]
    missing = size - len(data)
    while missing and (part := source.read(missing)):
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)
