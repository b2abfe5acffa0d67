"""Putting a local directory: one pass in path order through one writer.

Files are read and handed to the writer, which packs small ones together. A file whose bytes are what the
commit has at that path already is not stored again, and one that has not changed since it was last put from here is not
even read (`seen_files`), so putting a tree a second time costs looking at its files.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, cast

import pyarrow as pa

from airflow_pachy.pfs.content import hash_bytes
from airflow_pachy.pfs.edits import Source, appended
from airflow_pachy.pfs.local_files import WHOLE_BYTES, LocalFile, read_whole, walk_local
from airflow_pachy.pfs.overlay import InPathOrder
from airflow_pachy.pfs.paths import join_path
from airflow_pachy.pfs.tree.entries import Change, Content, Entry, Segment
from airflow_pachy.pfs.tree.rows import entries_of, leaf_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from airflow_pachy.pfs.content import ContentReader, ContentWriter
    from airflow_pachy.pfs.overlay import Overlay
    from airflow_pachy.pfs.seen_files import SeenFiles
    from airflow_pachy.pfs.tree import Tree

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


class _Counted:
    """The part of a stream that a writer uses."""

    def __init__(self, stream: BinaryIO, told: Told) -> None:
        self._stream = stream
        self._told = told

    def read(self, size: int = -1) -> bytes:
        """The next bytes of the stream."""
        data = self._stream.read(size)
        self._told.add(0, len(data))
        return data


class _Present(NamedTuple):
    """What a tree has at a path: what must be equal for a file to be the same, and the row of a table it is in."""

    hash: bytes
    executable: bool
    mtime_us: int
    datum: str | None
    row: int

    def is_like(self, found: LocalFile) -> bool:
        """Whether putting a file of the same content would leave everything as it is."""
        return self.executable == found.executable and self.mtime_us == found.mtime_ns // 1000 and self.datum is None


class _PresentFiles:
    """What a tree has at some paths, as columns: most of it is only compared."""

    def __init__(self, tree: Tree, paths: list[str]) -> None:
        keys: Any = pa.array(paths, pa.string())
        self._table = tree.find(keys)
        columns = (self._table[name].to_pylist() for name in ("path", "hash", "executable", "mtime_us", "datum"))
        paths_there, *same = map(cast("Any", list), columns)
        present = map(_Present, *same, range(self._table.num_rows))
        self._files = dict(zip(paths_there, present, strict=True))

    def at(self, path: str) -> _Present | None:
        """What is there."""
        return self._files.get(path)

    def entry(self, present: _Present | None) -> Entry | None:
        """All of it."""
        return None if present is None else next(entries_of(self._table[present.row : present.row + 1]))


@dataclass(frozen=True, slots=True)
class PutDirectory:
    """Put every file below a local directory, leaving what else is at the target.

    Files that `seen` remembers, and that the tree has, are not read, unless `read_all` asks for it.
    """

    local: Path
    target: str
    append: bool
    writer: ContentWriter
    reader: ContentReader
    known: KnownChunks
    told: Told
    seen: SeenFiles | None = None
    read_all: bool = False
    optional: bool = False

    @property
    def blind(self) -> bool:
        """Appending looks at what is there; putting does not."""
        return not self.append

    def changes(self, files: Overlay) -> Iterator[Change]:
        """One put per file that differs from what is there, in path order."""
        return InPathOrder(self._appended(files) if self.append else self._puts(files.tree()))

    def _puts(self, tree: Tree) -> Iterator[pa.Table]:
        self.told.begin()
        memory = None if self.seen is None else self.seen.open()
        found = walk_local(self.local)
        try:
            while batch := list(islice(found, _BATCH_FILES)):
                recalled = [None] * len(batch) if memory is None or self.read_all else memory.recall(batch)
                entries, hashes = self._read(tree, batch, recalled)
                if memory is not None:
                    memory.note(batch, hashes)
                if entries:
                    yield leaf_table(entries)
            if memory is not None:
                memory.keep()
        finally:
            if memory is not None:
                memory.close()
        self.writer.flush()

    def _read(
        self, tree: Tree, batch: list[LocalFile], recalled: Sequence[bytes | None]
    ) -> tuple[list[Entry], list[bytes]]:
        """The files that differ from what the tree has, and the hashes of all."""
        paths = [join_path(self.target, found.path) for found in batch]
        present = _PresentFiles(tree, paths)
        entries: list[Entry] = []
        hashes: list[bytes] = []
        size_bytes = 0
        for found, path, remembered in zip(batch, paths, recalled, strict=True):
            there = present.at(path)
            content: Content | None = None
            if there is not None and there.hash == remembered:
                digest = remembered
                size_bytes += found.size_bytes
            elif found.size_bytes > WHOLE_BYTES:
                content = self._large(found, present.entry(there))
                digest = content.hash
            else:
                data = read_whole(found.local, found.size_bytes)
                size_bytes += len(data)
                digest = hash_bytes(data)
                if there is None or there.hash != digest:
                    # It may have grown since it was found.
                    is_small = len(data) <= WHOLE_BYTES
                    content = self.writer.write_small(data, digest) if is_small else self.writer.write(data)
                    digest = content.hash
            hashes.append(digest)
            if content is None:
                if there is None or there.is_like(found):
                    continue
                content = cast("Entry", present.entry(there)).content
            entries.append(Entry(path, content, found.executable, None, found.mtime_ns // 1000))
        self.told.add(len(batch), size_bytes)
        return entries, hashes

    def _large(self, found: LocalFile, present: Entry | None) -> Content:
        self.known.see(present)
        with open(found.local, "rb") as stream:
            return self.writer.write(self.told.reading(stream))

    def _appended(self, files: Overlay) -> Iterator[pa.Table]:
        self.told.begin()
        found = walk_local(self.local)
        while batch := list(islice(found, _BATCH_FILES)):
            yield leaf_table([self._append(files, one) for one in batch])
        self.writer.flush()

    def _append(self, files: Overlay, found: LocalFile) -> Entry:
        path = join_path(self.target, found.path)
        with open(found.local, "rb") as file:
            source = Source(self.told.reading(file), found.executable, found.mtime_ns // 1000)
            entry = appended(files, path, source, self.writer, self.reader)
        self.told.add(1, 0)
        return entry
