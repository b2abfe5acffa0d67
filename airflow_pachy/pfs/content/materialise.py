"""Writing a commit's files to disk: spans of packs in parallel, files as they arrive.

Files are planned a batch at a time while the spans of those before are on their way, and no further ahead than
`AHEAD` spans, so that memory stays bounded however many files there are: at most `THREADS` spans of about 8 MiB are
held at once. The first batches and spans are small, so that the first files are there early.

What is done for each file is four system calls and a hash, so what is around them counts: parts of files are plain
tuples, made while their bytes are on their way, and a directory comes as columns of its tree.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice, repeat
from operator import itemgetter
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeAlias

from airflow_pachy.pfs.content.spans import GAP_BYTES, SPAN_BYTES, require_complete
from airflow_pachy.pfs.content.writing_files import WRITE_FLAGS, check, finish, prepare, write_all, write_whole

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa

    from airflow_pachy.pfs.content.row_spans import SingleRows
    from airflow_pachy.pfs.content.second_writer import SecondWriter
    from airflow_pachy.pfs.objects.line import Fetched
    from airflow_pachy.pfs.tree.entries import Entry

THREADS = 8
AHEAD = 2 * THREADS
_FIRST_BATCH, _LARGEST_BATCH = 1_024, 16_384
_FIRST_SPANS = (1 << 20, 2 << 20, 4 << 20)
# Files that are handed to the second writer at a time, which takes it some milliseconds.
_PORTION = 512

Fetch = Callable[[str, int, int], bytes]
Progress = Callable[[int, int], None]


@dataclass(slots=True)
class _Chunked:
    """A file of several chunks that is being written: how many are still to come."""

    missing: int


# Where a chunk lies (object, offset, length), what it must hash to, the file it goes to, whether that is executable,
# its time, the chunk's place in there, and, for a file of several chunks, what is still missing.
_Piece: TypeAlias = tuple[str, int, int, bytes, str, bool, int, int, _Chunked | None]
_PLACE = itemgetter(0, 1)
# The same without its object, and its offset in the bytes that were read.
Part: TypeAlias = tuple[int, int, bytes, str, bool, int, int, Any]


@dataclass(frozen=True, slots=True)
class _Span:
    """One range read and what there is to write of it; `whole` if that is whole files."""

    object: str
    offset: int
    end: int
    parts: Callable[[], list[Part]]
    whole: bool


class Materialisation:
    """One call of `ContentReader.materialise` or `materialise_tables`."""

    def __init__(self, fetch: Fetch, progress: Progress | None, second: SecondWriter | None = None) -> None:
        self._fetch = fetch
        self._second = second
        self._progress = progress
        self._progress_lock = Lock()
        self._missing_lock = Lock()
        self._directories: set[str] = set()

    def run(self, items: Iterable[tuple[Entry, Path | str]]) -> None:
        """Write all items."""
        self._write(chain.from_iterable(_spans(self._plan(batch)) for batch in _growing(iter(items))))

    def run_tables(self, tables: Iterable[pa.Table], target: str, skipped: int) -> None:
        """Write the files in rows of leaves below `target`, without the first `skipped` characters of their paths."""
        sizes = chain(_FIRST_SPANS, repeat(SPAN_BYTES))
        self._write(chain.from_iterable(self._spans_of_table(table, target, skipped, sizes) for table in tables))

    def _write(self, spans: Iterable[_Span]) -> None:
        running: set[Future[None]] = set()
        with ThreadPoolExecutor(THREADS, thread_name_prefix="materialise") as threads:
            try:
                for span in spans:
                    running = _settled(running, AHEAD)
                    running.add(threads.submit(self._write_span, span))
                _settled(running, 0)
            except BaseException:
                threads.shutdown(wait=False, cancel_futures=True)
                raise

    def _spans_of_table(self, table: pa.Table, target: str, skipped: int, sizes: Iterator[int]) -> Iterator[_Span]:
        from airflow_pachy.pfs.content.row_spans import SingleRows
        from airflow_pachy.pfs.tree.rows import entries_of

        singles = SingleRows(table)
        for object_, offset, end, rows in singles.spans(sizes):
            parts = partial(self._parts, singles, rows, offset, f"{target}/", skipped)
            yield _Span(object_, offset, end, parts, whole=True)
        others = ((entry, f"{target}/{entry.path[skipped:]}") for entry in entries_of(singles.others))
        yield from _spans(self._plan(others))

    def _parts(self, singles: SingleRows, rows: slice, base: int, above: str, skipped: int) -> list[Part]:
        names = [above + path[skipped:] for path in singles.paths(rows)]
        self._make_parents(names)
        return singles.parts(rows, base, names)

    def _plan(self, batch: Iterable[tuple[Entry, Path | str]]) -> list[_Piece]:
        pieces: list[_Piece] = []
        inline_files = inline_bytes = 0
        for entry, path in batch:
            content, executable, mtime_us = entry.content, entry.executable, entry.mtime_us
            name = os.fspath(path)
            self._make_parents((name,))
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
                pieces.append((*place, name, executable, mtime_us, position, chunked))
                position += segment.length
        self._tell(inline_files, inline_bytes)
        return pieces

    def _write_span(self, span: _Span) -> None:
        second, length = self._second, span.end - span.offset
        if second is None or not second.takes(length):
            body = memoryview(self._fetch(span.object, span.offset, length))
            self._write_parts(body, span.parts())
            return
        with second.fetch(span.object, span.offset, length) as fetched:
            parts = span.parts()
            body = fetched.body()
            second.arrived()
            require_complete(body, f"{second.url}/{span.object}", span.offset, length)
            if not span.whole:
                self._write_parts(body, parts)
                return
            for first in range(0, len(parts), _PORTION):
                self._write_portion(second, fetched, parts[first : first + _PORTION])

    def _write_portion(self, second: SecondWriter, fetched: Fetched, parts: list[Part]) -> None:
        written = second.write(fetched, parts)
        if written is None:
            with second.turn():
                self._write_parts(fetched.body(), parts)
        else:
            self._tell(*written)

    def _write_parts(self, body: memoryview, parts: list[Part]) -> None:
        files = size_bytes = 0
        for offset, length, digest, name, executable, mtime_us, position, chunked in parts:
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

    def _make_parents(self, names: Iterable[str]) -> None:
        """The directories of files, of which neighbours mostly have the same."""
        last = ""
        for name in names:
            parent = name[: name.rfind("/") + 1]
            if parent != last and parent not in self._directories:
                os.makedirs(parent, exist_ok=True)  # noqa: PTH103 - a string all along: a Path costs more than a write
                self._directories.add(parent)
            last = parent

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
            yield _span_of(group, end)
        group, name, start, end = [piece], piece[0], offset, last
    if group:
        yield _span_of(group, end)


def _span_of(pieces: list[_Piece], end: int) -> _Span:
    name, start = _PLACE(pieces[0])
    whole = all(piece[-1] is None for piece in pieces)
    return _Span(name, start, end, lambda: [(piece[1] - start, *piece[2:]) for piece in pieces], whole)


def _settled(running: set[Future[None]], most: int) -> set[Future[None]]:
    """Those still running, when they are no more than `most`; raises what one of the others raised."""
    while len(running) > most:
        done, running = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            future.result()
    return running
