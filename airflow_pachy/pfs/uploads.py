"""Putting a local directory: one pass in path order through one writer.

Files are read and handed to the writer, which packs small ones together. A file whose bytes are what the
commit has at that path already is not stored again, so putting a tree a second time costs reading it.
"""

from __future__ import annotations

import os
import stat
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, cast

from airflow_pachy.errors import InvalidPath
from airflow_pachy.pfs.content import hash_bytes
from airflow_pachy.pfs.edits import Source, appended
from airflow_pachy.pfs.overlay import InPathOrder
from airflow_pachy.pfs.paths import clean_path, join_path
from airflow_pachy.pfs.tree.entries import Change, Content, Entry, Put, Segment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from airflow_pachy.pfs.content import ContentReader, ContentWriter
    from airflow_pachy.pfs.overlay import Overlay
    from airflow_pachy.pfs.tree import Tree

# Files up to the size of the smallest chunk are read whole: they are one segment with one plain hash.
WHOLE_BYTES = 1 << 20
# How many files to pass over one by one before a look-up of its own is cheaper.
_READ_ON = 64


class Present:
    """The files of a tree below a directory, asked for in path order: reading on is far cheaper than `get`."""

    def __init__(self, tree: Tree, directory: str) -> None:
        self._tree = tree
        self._prefix = f"{directory}/" if directory else ""
        self._following = tree.entries(self._prefix)
        self._next = next(self._following, None)

    def at(self, path: str) -> Entry | None:
        """The file at `path`, which sorts after all paths asked for before."""
        wanted = path.encode()
        for _ in range(_READ_ON):
            if self._next is None or (here := self._next.path.encode()) > wanted:
                return None
            if here == wanted:
                return self._next
            self._next = next(self._following, None)
        # Far away in a large tree: jump.
        self._following = self._tree.entries(self._prefix, after=path)
        self._next = next(self._following, None)
        return self._tree.get(path)


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


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A regular file found below the directory that is put. `path` is relative to it, in the kept form."""

    path: str
    local: str
    size_bytes: int
    executable: bool
    mtime_us: int


@dataclass(frozen=True, slots=True)
class PutDirectory:
    """Put every file below a local directory, leaving what else is at the target."""

    local: Path
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
        """One put per file, in path order."""
        return InPathOrder(self._puts(files))

    def _puts(self, files: Overlay) -> Iterator[Change]:
        present = None if self.append else Present(files.tree(), self.target)
        self.told.begin()
        for found in walk_local(self.local):
            path = join_path(self.target, found.path)
            if present is None:
                with open(found.local, "rb") as file:
                    source = Source(self.told.reading(file), found.executable, found.mtime_us)
                    put = Put(appended(files, path, source, self.writer, self.reader))
                self.told.add(1, 0)
            else:
                content = self._content(present.at(path), found)
                put = Put(Entry(path, content, found.executable, None, found.mtime_us))
            yield put
        self.writer.flush()

    def _content(self, present: Entry | None, found: LocalFile) -> Content:
        if found.size_bytes > WHOLE_BYTES:
            self.known.see(present)
            with open(found.local, "rb") as stream:
                content = self.writer.write(self.told.reading(stream))
            self.told.add(1, 0)
            return content
        data = _read_whole(found.local, found.size_bytes)
        self.told.add(1, len(data))
        if present is not None and present.content.size_bytes == len(data) and present.content.hash == hash_bytes(data):
            return present.content
        return self.writer.write(data)


def _read_whole(path: str, expected_bytes: int) -> bytes:
    """A small file with three system calls: a file object needs five and a larger buffer, and files are many."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = os.read(handle, expected_bytes + 1)
        while len(data) != expected_bytes and (more := os.read(handle, WHOLE_BYTES)):
            data += more
            expected_bytes = max(expected_bytes, len(data))  # it grew since it was found, or is no file of a disk
        return data
    finally:
        os.close(handle)


def walk_local(directory: Path) -> Iterator[LocalFile]:
    """Regular files below a directory, sorted by path as a tree sorts them. Links to files count as files.

    Raises `InvalidPath` for names that are not UTF-8, for links to directories (they may lead in circles) and
    for anything that is not a file: leaving something out silently would be worse.
    """
    if not directory.is_dir():
        raise InvalidPath(f"{directory} is not a directory; use put_file for a single file")
    yield from _walk(os.fspath(directory), "")


def _walk(local: str, path: str) -> Iterator[LocalFile]:
    with os.scandir(local) as found:
        # A directory sorts as if its name ended in '/', since all paths below it continue that way.
        items = sorted(
            found, key=lambda one: os.fsencode(one.name + "/" if one.is_dir(follow_symlinks=False) else one.name)
        )
    for item in items:
        name = _clean_name(item)
        below = f"{path}/{name}" if path else name
        if item.is_dir(follow_symlinks=False):
            yield from _walk(item.path, below)
            continue
        status = _status(item)
        if not stat.S_ISREG(status.st_mode):
            kind = "a link to a directory" if item.is_dir() else "neither a file nor a directory"
            raise InvalidPath(f"{item.path} is {kind}, which cannot be put; remove it or put its target by itself")
        executable = bool(status.st_mode & stat.S_IXUSR)
        yield LocalFile(below, item.path, status.st_size, executable, status.st_mtime_ns // 1000)


def _clean_name(item: os.DirEntry[str]) -> str:
    try:
        return clean_path(item.name)
    except InvalidPath as error:
        raise InvalidPath(f"{os.fsencode(item.path)!r} cannot be put: {error}") from error


def _status(item: os.DirEntry[str]) -> os.stat_result:
    try:
        return item.stat()
    except FileNotFoundError as error:
        raise InvalidPath(f"{item.path} is a link to nothing, or vanished while it was put") from error
