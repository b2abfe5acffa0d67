"""Writing content: small bytes inline, everything else cut into chunks and packed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate, repeat
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol, Self

from airflow_pachy.pfs.content import chunking
from airflow_pachy.pfs.content.hashing import EMPTY, hash_bytes, hash_chunks
from airflow_pachy.pfs.content.packing import PackWriter
from airflow_pachy.pfs.content.rooms import Rooms
from airflow_pachy.pfs.content.runs import runs_of_bytes, runs_of_stream
from airflow_pachy.pfs.tree.entries import Content, Segment

if TYPE_CHECKING:
    from types import TracebackType

    from airflow_pachy.pfs.content.reader import ContentReader
    from airflow_pachy.pfs.content.runs import Run
    from airflow_pachy.pfs.objects.store import ObjectStore

INLINE_BYTES = 512
PACK_TARGET_BYTES = 32 << 20

Data = bytes | bytearray | memoryview | BinaryIO | Path
Place = tuple[str, int, int]
"""object, offset, length: a plain tuple, for there may be as many as files"""
Known = Callable[[bytes], tuple[Segment, ...] | None]


class SharedChunks(Protocol):
    """Large chunks that any writer of the root has stored, and that stay as long as anybody relies on them."""

    def find(self, digests: Sequence[bytes]) -> Mapping[bytes, Segment]:
        """Where those of the chunks lie that are known."""
        ...

    def offer(self, places: Mapping[bytes, Segment]) -> None:
        """These chunks are in the store now: others may rely on them."""
        ...


class ContentWriter:
    """Stores file contents; what it returns is durable after `flush()`, which a `with` block does when it succeeds.

    Equal chunks are stored once per writer. `known(hash)` may say where a chunk already lies; the caller vouches that
    it stays there, and `shared` does for large chunks of the whole root. Memory stays below 9/8 of `pack_target_bytes`
    (or the largest chunk, if that is more) for each upload, each stream that is being written, and once more.
    Thread-safe. An upload's error is raised by a later `write` or by `flush`, after which the writer is of no use.
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
        self._most_bytes = pack_target_bytes
        # Somewhat larger than a pack: what is left behind the last cut goes to the next.
        self._rooms = Rooms(max(pack_target_bytes + pack_target_bytes // 8, chunking.MAX_BYTES))
        self._packs = PackWriter(store, self._rooms, target_bytes=pack_target_bytes, uploads=uploads)
        self._stored: dict[bytes, Place] = {}
        self._unoffered: dict[bytes, Segment] = {}
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

        Each is longer than `INLINE_BYTES` and at most `chunking.MIN_BYTES`, and the caller has computed its
        `hash_bytes`. `data` may be overwritten afterwards.
        """
        large = max(lengths, default=0) >= chunking.MIN_BYTES
        known = self._find_known(lengths, digests) if large else {}
        with self._lock:
            if not known and self._are_new(digests):
                objects, offsets = self._append(data, lengths)
                places = list(zip(objects, offsets, lengths, strict=True))
                self._stored.update(zip(digests, places, strict=True))
                if large:
                    self._offer_later(digests, places)
                return objects, offsets
            places = self._add_each(data, lengths, digests, known)
        return [place[0] for place in places], [place[1] for place in places]

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
            if len(view) <= chunking.MIN_BYTES:
                return self._write_small(view)
            return self._store(runs_of_bytes(view, self._most_bytes))
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
            return self._store(runs_of_bytes(memoryview(last + bytes(data)), self._most_bytes), kept)
        return self._store(self._runs_of_stream(data, last), kept)

    def send(self) -> None:
        """Have everything written so far on its way: nothing more is to come soon."""
        with self._lock:
            self._packs.send()

    def flush(self) -> None:
        """Return when everything written so far is in the store."""
        with self._lock:
            self._packs.flush()
            self._rooms.clear()  # it may be long until there is something large again
            # What another thread adds from here on is not in the store yet.
            stored, self._unoffered = self._unoffered, {}
        if self._shared is not None and stored:
            self._shared.offer(stored)

    def close(self) -> None:
        """Stop the uploads; what was not flushed is abandoned."""
        with self._lock:
            self._packs.close()
            self._rooms.clear()

    def _write_stream(self, source: BinaryIO) -> Content:
        head = _read_fully(source, chunking.MIN_BYTES + 1)
        if len(head) <= chunking.MIN_BYTES:
            return self._write_small(head)
        return self._store(self._runs_of_stream(source, head))

    def _runs_of_stream(self, source: BinaryIO, head: bytes) -> Iterable[Run]:
        return runs_of_stream(source, head, self._rooms, self._is_enough)

    def _is_enough(self, size_bytes: int) -> bool:
        with self._lock:
            return self._packs.wants(size_bytes)

    def _write_small(self, data: bytes | memoryview) -> Content:
        size = len(data)
        digest = hash_bytes(data)
        if size <= INLINE_BYTES:
            return Content(digest, size, (), bytes(data))
        return Content(digest, size, (self._place(data, digest),))

    def _store(self, runs: Iterable[Run], kept: tuple[Segment, ...] = ()) -> Content:
        segments = list(kept)
        for run in runs:
            if not segments and run.size_bytes <= INLINE_BYTES:
                return self._write_small(run.data[: run.size_bytes])  # too short to be cut: it is the whole file
            segments += self._place_run(run)
        if not segments:
            return EMPTY
        size = sum(segment.length for segment in segments)
        if len(segments) == 1:
            only = segments[0]
            return Content(only.hash or b"", size, (Segment(only.object, only.offset, only.length),))
        return Content(hash_chunks(segments), size, tuple(segments))

    def _place_run(self, run: Run) -> list[Segment]:
        """Where the chunks of a run lie, with their hashes; stores those that are not known."""
        lengths, digests = run.lengths, run.digests
        known = self._find_known(lengths, digests)
        with self._lock:
            if run.may_be_sent and not known and self._are_new(digests):
                pack = self._packs.add_pack(run.data[: run.size_bytes], run.take)
                starts = list(accumulate(lengths[:-1], initial=0))
                places = list(zip(repeat(pack), starts, lengths, strict=False))
                self._stored.update(zip(digests, places, strict=True))
                self._offer_later(digests, places)
            else:
                places = self._add_each(run.data, lengths, digests, known)
        return [Segment(*place, digest) for place, digest in zip(places, digests, strict=True)]

    def _are_new(self, digests: Sequence[bytes]) -> bool:
        """Whether this writer has met none of them, and each is there once."""
        return self._stored.keys().isdisjoint(digests) and len(set(digests)) == len(digests)

    def _add_each(
        self, data: memoryview, lengths: Sequence[int], digests: Sequence[bytes], known: Mapping[bytes, Place]
    ) -> list[Place]:
        """Where chunks lie that lie one after the other in `data`, having added those that lie nowhere yet."""
        places: list[Place] = []
        start = 0
        for length, digest in zip(lengths, digests, strict=True):
            place = self._stored.get(digest) or known.get(digest)
            if place is None:
                place = (*self._packs.add(data[start : start + length]), length)
                self._offer_later([digest], [place])
            self._stored[digest] = place
            places.append(place)
            start += length
        return places

    def _offer_later(self, digests: Sequence[bytes], places: Sequence[Place]) -> None:
        if self._shared is None:
            return
        for digest, place in zip(digests, places, strict=True):
            if place[2] >= chunking.MIN_BYTES:
                self._unoffered[digest] = Segment(*place)

    def _find_known(self, lengths: Sequence[int], digests: Sequence[bytes]) -> dict[bytes, Place]:
        """Where chunks lie that others have stored, and this writer has not met yet."""
        found: dict[bytes, Place] = {}
        asked: list[bytes] = []
        for length, digest in zip(lengths, digests, strict=True):
            if digest in self._stored:
                continue
            known = self._known(digest) if self._known is not None else None
            if known is not None and len(known) == 1 and known[0].length == length:
                found[digest] = (known[0].object, known[0].offset, length)
            elif self._shared is not None and length >= chunking.MIN_BYTES:
                asked.append(digest)
        if self._shared is not None and asked:
            sizes = dict(zip(digests, lengths, strict=True))
            for digest, place in self._shared.find(asked).items():
                if place.length == sizes[digest]:
                    found[digest] = (place.object, place.offset, place.length)
        return found

    def _place(self, chunk: bytes | memoryview, digest: bytes) -> Segment:
        """Where the chunk lies, as a segment without a hash; stores it unless it is known."""
        stored = self._stored.get(digest)
        if stored is not None:
            return Segment(*stored)
        known = self._find_known([len(chunk)], [digest])
        with self._lock:
            return Segment(*self._add_each(memoryview(chunk), [len(chunk)], [digest], known)[0])


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
