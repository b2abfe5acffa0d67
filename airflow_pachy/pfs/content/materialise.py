"""Writing a commit's files to disk: spans of packs in parallel, files as they arrive.

Files are planned a batch at a time while the spans of those before are on their way, and no further ahead than
`AHEAD` spans, so that memory stays bounded however many files there are: at most `THREADS` spans of about 8 MiB are
held at once. Batches grow, so that the first bytes are asked for at once and neighbours in a pack still meet.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from airflow_pachy.errors import Corrupt
from airflow_pachy.pfs.content.hashing import hash_bytes
from airflow_pachy.pfs.content.spans import Piece, Span, plan_spans

if TYPE_CHECKING:
    from airflow_pachy.pfs.tree.entries import Entry

THREADS = 8
AHEAD = 2 * THREADS
_FIRST_BATCH, _LARGEST_BATCH = 1_024, 16_384
_FLAGS = os.O_WRONLY | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)

Fetch = Callable[[str, int, int], bytes]
Progress = Callable[[int, int], None]


@dataclass(slots=True)
class _Target:
    """A file being written: how many chunks are still to come."""

    path: str
    entry: Entry
    missing: int


@dataclass(frozen=True, slots=True)
class _Chunk:
    """A chunk's place in its file and what it must hash to."""

    target: _Target
    position: int
    hash: bytes


class Materialisation:
    """One call of `ContentReader.materialise`."""

    def __init__(self, fetch: Fetch, progress: Progress | None) -> None:
        self._fetch = fetch
        self._progress = progress
        self._progress_lock = Lock()
        self._missing_lock = Lock()
        self._directories: set[str] = set()

    def run(self, items: Iterable[tuple[Entry, Path | str]]) -> None:
        """Write all items."""
        remaining = iter(items)
        size = _FIRST_BATCH
        running: set[Future[None]] = set()
        with ThreadPoolExecutor(THREADS, thread_name_prefix="materialise") as threads:
            try:
                while batch := list(islice(remaining, size)):
                    for span in plan_spans(self._plan(batch)):
                        running = _settled(running, AHEAD)
                        running.add(threads.submit(self._write_span, span))
                    size = min(2 * size, _LARGEST_BATCH)
                _settled(running, 0)
            except BaseException:
                threads.shutdown(wait=False, cancel_futures=True)
                raise

    def _plan(self, batch: Iterable[tuple[Entry, Path | str]]) -> list[Piece[_Chunk]]:
        pieces: list[Piece[_Chunk]] = []
        inline_files = inline_bytes = 0
        for entry, path in batch:
            content = entry.content
            name = os.fspath(path)
            self._make_parent(name)
            if not content.segments:
                _check(content.inline or b"", content.hash, name)
                _write_whole(name, content.inline or b"", entry)
                inline_files += 1
                inline_bytes += content.size_bytes
                continue
            target = _Target(name, entry, len(content.segments))
            if target.missing > 1:
                _prepare(name, content.size_bytes)
            position = 0
            for segment in content.segments:
                chunk = _Chunk(target, position, segment.hash or content.hash)
                pieces.append(Piece(segment.object, segment.offset, segment.length, chunk))
                position += segment.length
        self._tell(inline_files, inline_bytes)
        return pieces

    def _write_span(self, span: Span[_Chunk]) -> None:
        body = memoryview(self._fetch(span.object, span.offset, span.end - span.offset))
        files = 0
        for piece in span.pieces:
            start = piece.offset - span.offset
            files += self._write_chunk(piece.purpose, body[start : start + piece.length])
        self._tell(files, sum(piece.length for piece in span.pieces))

    def _write_chunk(self, chunk: _Chunk, data: memoryview) -> bool:
        """Write it to its place; tells whether its file is complete now."""
        target = chunk.target
        _check(data, chunk.hash, target.path)
        if len(target.entry.content.segments) == 1:
            _write_whole(target.path, data, target.entry)
            return True
        handle = os.open(target.path, _FLAGS)
        try:
            _write_all(handle, data, chunk.position)
            with self._missing_lock:
                target.missing -= 1
                complete = target.missing == 0
            if complete:
                _finish(handle, target.entry)
            return complete
        finally:
            os.close(handle)

    def _make_parent(self, name: str) -> None:
        parent = name.rpartition("/")[0]
        if parent and parent not in self._directories:
            os.makedirs(parent, exist_ok=True)  # noqa: PTH103 - a string all along: a Path costs more than the write
            self._directories.add(parent)

    def _tell(self, files: int, size_bytes: int) -> None:
        if self._progress is not None and (files or size_bytes):
            with self._progress_lock:
                self._progress(files, size_bytes)


def _settled(running: set[Future[None]], most: int) -> set[Future[None]]:
    """Those still running, when they are no more than `most`; raises what one of the others raised."""
    while len(running) > most:
        done, running = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            future.result()
    return running


def _write_whole(name: str, data: bytes | memoryview, entry: Entry) -> None:
    handle = _open_new(name)
    try:
        _write_all(handle, data, 0)
        _finish(handle, entry)
    finally:
        os.close(handle)


def _open_new(name: str) -> int:
    """Open a new file in place of whatever was there (a link is replaced, not followed)."""
    try:
        return os.open(name, _FLAGS | os.O_EXCL, 0o666)
    except FileExistsError:
        os.unlink(name)  # noqa: PTH108 - a string all along, as above
        return os.open(name, _FLAGS | os.O_EXCL, 0o666)


def _prepare(name: str, size_bytes: int) -> None:
    handle = _open_new(name)
    try:
        os.ftruncate(handle, size_bytes)
    finally:
        os.close(handle)


def _write_all(handle: int, data: bytes | memoryview, position: int) -> None:
    left = memoryview(data)
    while left:
        written = os.pwrite(handle, left, position)
        left, position = left[written:], position + written


def _finish(handle: int, entry: Entry) -> None:
    if entry.executable:
        mode = os.fstat(handle).st_mode
        os.fchmod(handle, mode | (mode & 0o444) >> 2)
    if entry.mtime_us:
        os.utime(handle, ns=(entry.mtime_us * 1000, entry.mtime_us * 1000))


def _check(data: bytes | memoryview, expected: bytes, name: str) -> None:
    if hash_bytes(data) != expected:
        Path(name).unlink(missing_ok=True)
        raise Corrupt(
            f"{name}: {len(data)} stored bytes do not hash to {expected.hex()[:16]}... as recorded; "
            "an object was damaged: restore it from a backup of the bucket"
        )
