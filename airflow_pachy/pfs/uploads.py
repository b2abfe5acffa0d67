"""Putting a local directory: one pass in path order through one writer.

Files are read (`scanning`) and handed to the writer, which packs small ones together. A file whose bytes are what the
commit has at that path already is not stored again, and one that has not changed since it was last put from here is not
even read (`seen_files`), so putting a tree a second time costs looking at its files.
"""

from __future__ import annotations

import io
import threading
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from airflow_pachy.lazy import LazyModule
from airflow_pachy.pfs.batch_rows import BatchRows, Putting
from airflow_pachy.pfs.local_files import LocalFile, walk_local
from airflow_pachy.pfs.overlay import InPathOrder
from airflow_pachy.pfs.paths import join_path
from airflow_pachy.pfs.tree.rows import leaf_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pyarrow as pa

    from airflow_pachy.pfs import edits
    from airflow_pachy.pfs.content import ContentReader, ContentWriter
    from airflow_pachy.pfs.local_directories import LocalDirectory
    from airflow_pachy.pfs.overlay import Overlay
    from airflow_pachy.pfs.seen_files import Notes
    from airflow_pachy.pfs.tree import Tree
    from airflow_pachy.pfs.tree.entries import Change, Entry, Segment
else:
    edits = LazyModule("airflow_pachy.pfs.edits")

_BATCH_FILES = 2_048


class KnownChunks:
    """Chunks of files that the commit to be built on has at the paths that are put: they need not be stored again.

    Its `find` is what a `ContentWriter` asks. Only files of several chunks are worth remembering.
    """

    def __init__(self) -> None:
        self._places: dict[bytes, tuple[Segment, ...]] = {}

    def see(self, present: Entry | None) -> None:
        """Remember the chunks of one file, and those of no other."""
        segments = present.content.segments if present is not None else ()
        self._places = {segment.hash: (segment,) for segment in segments if segment.hash is not None}

    def find(self, digest: bytes) -> tuple[Segment, ...] | None:
        """Where the chunk lies."""
        return self._places.get(digest)


class Told:
    """Passes on how far a put is, one thread at a time. What is done again, for a faster writer, counts once."""

    def __init__(self, progress: Callable[[int, int], None] | None) -> None:
        self._progress = progress
        self._here = self._most = (0, 0)
        self._lock = threading.Lock()

    def begin(self) -> None:
        """A first or another pass over the files begins."""
        self._here = (0, 0)

    def add(self, files: int, size_bytes: int) -> None:
        """So many more files were read to their end, and bytes were read."""
        if self._progress is None:
            return
        with self._lock:
            self._here = (self._here[0] + files, self._here[1] + size_bytes)
            news = (max(0, self._here[0] - self._most[0]), max(0, self._here[1] - self._most[1]))
            if any(news):
                self._most = (self._most[0] + news[0], self._most[1] + news[1])
                self._progress(*news)

    def reading(self, stream: BinaryIO) -> BinaryIO:
        """The stream, each read of which counts."""
        return stream if self._progress is None else cast("BinaryIO", _Counted(stream, self))


class _Counted(io.RawIOBase):
    """The part of a stream that a writer uses."""

    def __init__(self, stream: BinaryIO, told: Told) -> None:
        super().__init__()
        self._stream = stream
        self._told = told

    def readable(self) -> bool:
        """Always."""
        return True

    def read(self, size: int = -1) -> bytes:
        """The next bytes of the stream."""
        data = self._stream.read(size)
        self._told.add(0, len(data))
        return data

    def readinto(self, buffer: Any) -> int:
        """The same into a buffer, without a copy where the stream can do that."""
        # Others may pass on a `readinto` of what they wrap, and see nothing of what it reads.
        if not isinstance(self._stream, io.BufferedIOBase | io.RawIOBase):
            data = self.read(len(buffer))
            buffer[: len(data)] = data
            return len(data)
        count = self._stream.readinto(buffer) or 0
        self._told.add(0, count)
        return count


@dataclass(frozen=True, slots=True)
class PutDirectory:
    """Put every file below a local directory, leaving what else is at the target."""

    local: LocalDirectory
    target: str
    append: bool
    writer: ContentWriter
    reader: ContentReader
    known: KnownChunks
    told: Told
    optional: bool = False

    @property
    def blind(self) -> bool:
        """Appending looks at what is there; putting does not."""
        return not self.append

    def changes(self, files: Overlay) -> Iterator[Change]:
        """One put per file that differs from what is there, in path order."""
        return InPathOrder(self._appended(files) if self.append else self._puts(files.tree()), self.writer.flush)

    def _puts(self, tree: Tree) -> Iterator[pa.Table]:
        self.told.begin()
        putting = Putting(self.local, self.target, self.writer, self.known, self.told)
        notes: Notes | None = None
        try:
            for began_ns, batch in self.local.batches():
                table = BatchRows(putting, tree, batch).table()
                if notes is None and self.local.seen is not None:
                    notes = self.local.seen.take_down(began_ns)
                if notes is not None:
                    notes.add(batch)
                if table is not None:
                    yield table
            self.writer.send()
            if notes is not None:
                notes.keep()
        finally:
            if notes is not None:
                notes.close()

    def _appended(self, files: Overlay) -> Iterator[pa.Table]:
        self.told.begin()
        found = walk_local(self.local.path)
        while batch := list(islice(found, _BATCH_FILES)):
            yield leaf_table([self._append(files, one) for one in batch])

    def _append(self, files: Overlay, found: LocalFile) -> Entry:
        path = join_path(self.target, found.path)
        with open(found.local, "rb") as file:
            source = edits.Source(self.told.reading(file), found.executable, found.mtime_ns // 1000)
            entry = edits.appended(files, path, source, self.writer, self.reader)
        self.told.add(1, 0)
        return entry
