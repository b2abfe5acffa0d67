"""Writing a commit's files to disk: spans of packs in parallel, files as they arrive.

Files are planned a batch at a time while the spans of those before are on their way, and no further ahead than
`AHEAD` spans, so that memory stays bounded however many files there are: at most `THREADS` spans of about 8 MiB are
held at once. Batches grow, so that the first bytes are asked for at once and neighbours in a pack still meet.

What is done for each file is four system calls and a hash, so what is around them counts: pieces are plain tuples, and
a directory comes as columns of its tree.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice, repeat
from operator import itemgetter
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeAlias

from airflow_pachy.pfs.content.spans import GAP_BYTES, SPAN_BYTES
from airflow_pachy.pfs.content.writing_files import WRITE_FLAGS, check, finish, prepare, write_all, write_whole

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa

    from airflow_pachy.pfs.content.second_writer import SecondWriter
    from airflow_pachy.pfs.tree.entries import Entry

THREADS = 8
AHEAD = 2 * THREADS
_FIRST_BATCH, _LARGEST_BATCH = 1_024, 16_384

Fetch = Callable[[str, int, int], bytes]
Progress = Callable[[int, int], None]


@dataclass(slots=True)
class _Chunked:
    """A file of several chunks that is being written: how many are still to come."""

    missing: int


# Where a chunk lies (object, offset, length), what it must hash to, the file it goes to and its place in there, whether
# the file is executable, its time, and, for a file of several chunks, what is still missing.
_Piece: TypeAlias = tuple[str, int, int, bytes, str, int, bool, int, _Chunked | None]
_PLACE = itemgetter(0, 1)
# The same without its object, and its offset in the bytes that were read.
Part: TypeAlias = tuple[int, int, bytes, str, int, bool, int, Any]


@dataclass(frozen=True, slots=True)
class _Span:
    """One range read and the pieces that it serves, by offset."""

    object: str
    offset: int
    end: int
    pieces: list[_Piece]


class Materialisation:
    """One call of `ContentReader.materialise` or `materialise_tables`."""

    def __init__(self, fetch: Fetch, progress: Progress | None, second: SecondWriter | None = None) -> None:
        self._fetch = fetch
        self._second = second
        self._progress = progress
        self._progress_lock = Lock()
        self._missing_lock = Lock()
        self._directories: set[str] = set()
        self._directory = ""

    def run(self, items: Iterable[tuple[Entry, Path | str]]) -> None:
        """Write all items."""
        self._write(self._plan(batch) for batch in _growing(iter(items)))

    def run_tables(self, tables: Iterable[pa.Table], target: str, skipped: int) -> None:
        """Write the files in rows of leaves below `target`, without the first `skipped` characters of their paths."""
        self._write(self._plan_table(table, target, skipped) for table in tables)

    def _write(self, batches: Iterable[list[_Piece]]) -> None:
        running: set[Future[None]] = set()
        if self._second is not None:
            self._second.begin(self._tell)
        with ThreadPoolExecutor(THREADS, thread_name_prefix="materialise") as threads:
            try:
                for pieces in batches:
                    for span in _spans(pieces):
                        running = _settled(running, AHEAD)
                        running.add(threads.submit(self._write_span, span))
                _settled(running, 0)
                if self._second is not None:
                    self._second.finish(self._write_pieces)
            except BaseException:
                threads.shutdown(wait=False, cancel_futures=True)
                raise

    def _plan_table(self, table: pa.Table, target: str, skipped: int) -> list[_Piece]:
        from airflow_pachy.pfs.tree.rows import entries_of, single_segments

        singles, others = single_segments(table)
        pieces = self._plan((entry, f"{target}/{entry.path[skipped:]}") for entry in entries_of(others))
        names = [f"{target}/{path[skipped:]}" for path in singles.path]
        for name in names:
            self._make_parent(name)
        places = (singles.object, singles.offset, singles.length, singles.hash, names)
        pieces.extend(zip(*places, repeat(0), singles.executable, singles.mtime_us, repeat(None)))
        return pieces

    def _plan(self, batch: Iterable[tuple[Entry, Path | str]]) -> list[_Piece]:
        pieces: list[_Piece] = []
        inline_files = inline_bytes = 0
        for entry, path in batch:
            content, executable, mtime_us = entry.content, entry.executable, entry.mtime_us
            name = os.fspath(path)
            self._make_parent(name)
            if not content.segments:
                data = content.inline or b""
                check(data, content.hash, name)
                write_whole(name, data, executable, mtime_us)
                inline_files += 1
                inline_bytes += content.size_bytes
                continue
            chunked = None
            if len(content.segments) > 1:
                chunked = _Chunked(len(content.segments))
                prepare(name, content.size_bytes)
            position = 0
            for segment in content.segments:
                place = (segment.object, segment.offset, segment.length, segment.hash or content.hash)
                pieces.append((*place, name, position, executable, mtime_us, chunked))
                position += segment.length
        self._tell(inline_files, inline_bytes)
        return pieces

    def _write_span(self, span: _Span) -> None:
        base = span.offset
        body = memoryview(self._fetch(span.object, base, span.end - base))
        pieces = [(piece[1] - base, *piece[2:]) for piece in span.pieces]
        second = self._second
        if second is None or any(piece[-1] is not None for piece in pieces):
            self._write_pieces(body, pieces)
        elif not second.hand_over(body, pieces):
            with second.turn():
                self._write_pieces(body, pieces)

    def _write_pieces(self, body: memoryview, pieces: list[Part]) -> None:
        files = size_bytes = 0
        for offset, length, digest, name, position, executable, mtime_us, chunked in pieces:
            data = body[offset : offset + length]
            check(data, digest, name)
            size_bytes += length
            if chunked is None:
                write_whole(name, data, executable, mtime_us)
                files += 1
            else:
                files += self._write_chunk(name, data, position, chunked, executable, mtime_us)
        self._tell(files, size_bytes)

    def _write_chunk(  # noqa: PLR0917 - the fields of a piece
        self, name: str, data: memoryview, position: int, chunked: _Chunked, executable: bool, mtime_us: int
    ) -> bool:
        """Write it to its place; tells whether its file is complete now."""
        handle = os.open(name, WRITE_FLAGS)
        try:
            write_all(handle, data, position)
            with self._missing_lock:
                chunked.missing -= 1
                complete = chunked.missing == 0
            if complete:
                finish(handle, executable, mtime_us)
            return complete
        finally:
            os.close(handle)

    def _make_parent(self, name: str) -> None:
        parent = name[: name.rfind("/") + 1]
        if parent == self._directory:
            return
        self._directory = parent
        if parent and parent not in self._directories:
            os.makedirs(parent, exist_ok=True)  # noqa: PTH103 - a string all along: a Path costs more than the write
            self._directories.add(parent)

    def _tell(self, files: int, size_bytes: int) -> None:
        if self._progress is not None and (files or size_bytes):
            with self._progress_lock:
                self._progress(files, size_bytes)


def _growing(items: Iterator[Any]) -> Iterator[list[Any]]:
    size = _FIRST_BATCH
    while batch := list(islice(items, size)):
        yield batch
        size = min(2 * size, _LARGEST_BATCH)


def _spans(pieces: list[_Piece]) -> Iterator[_Span]:
    """Cover all pieces with reads, as `plan_spans` does."""
    pieces.sort(key=_PLACE)
    group: list[_Piece] = []
    name, start, end = "", 0, 0
    for piece in pieces:
        offset = piece[1]
        last = offset + piece[2]
        if group and piece[0] == name and offset <= end + GAP_BYTES and max(end, last) - start <= SPAN_BYTES:
            group.append(piece)
            end = max(end, last)
            continue
        if group:
            yield _Span(name, start, end, group)
        group, name, start, end = [piece], piece[0], offset, last
    if group:
        yield _Span(name, start, end, group)


def _settled(running: set[Future[None]], most: int) -> set[Future[None]]:
    """Those still running, when they are no more than `most`; raises what one of the others raised."""
    while len(running) > most:
        done, running = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            future.result()
    return running
