"""What a put, copy or delete does to whatever tree it finds.

An `Edit` is asked again when another writer was faster: it then answers from the new tree, so a blind put comes
after the other one and an append goes to the end of what is there now. Contents that do not depend on
the tree were uploaded before and are not uploaded again.
"""

from __future__ import annotations

import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

from airflow_pachy.errors import InvalidArgument, InvalidPath, PathNotFound
from airflow_pachy.pfs.headers import attribute_path, attributes_of
from airflow_pachy.pfs.overlay import parents
from airflow_pachy.pfs.paths import below, join_path, shown_path
from airflow_pachy.pfs.tree import compile_glob
from airflow_pachy.pfs.tree.entries import Change, Entry, Put, Remove

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from airflow_pachy.pfs.content import ContentReader, ContentWriter
    from airflow_pachy.pfs.overlay import Overlay

Data = bytes | bytearray | memoryview | str | BinaryIO | Path

_GLOB_CHARACTERS = frozenset("*?[]{}!()@+^")


class Edit(Protocol):
    """Changes as a function of the present files."""

    @property
    def optional(self) -> bool:
        """Whether an edit that turns out to change nothing needs no commit."""
        ...

    @property
    def blind(self) -> bool:
        """Whether the changes are the same whatever the tree, so that they need not be computed twice."""
        ...

    def changes(self, files: Overlay) -> Iterator[Change]:
        """The changes to make, in order; every content in them is durable when the iterator has ended."""
        ...


@dataclass(frozen=True, slots=True)
class Source:
    """Bytes to put, with what is known about the file they come from."""

    data: bytes | BinaryIO | Path
    executable: bool = False
    mtime_us: int = 0


def as_source(data: Data) -> Source:
    """Accept what users pass as file content. Raises `InvalidArgument`, `InvalidPath` for a local path of no file."""
    if isinstance(data, str):
        return Source(data.encode(), mtime_us=now_us())
    if isinstance(data, (bytes, bytearray, memoryview)):
        return Source(bytes(data), mtime_us=now_us())
    if isinstance(data, Path):
        status = data.stat()
        if stat.S_ISDIR(status.st_mode):
            raise InvalidPath(f"{data} is a directory; use put_dir for it")
        if not stat.S_ISREG(status.st_mode):
            raise InvalidPath(f"{data} is not a regular file")
        return Source(data, bool(status.st_mode & stat.S_IXUSR), status.st_mtime_ns // 1000)
    if hasattr(data, "read"):
        return Source(data, mtime_us=now_us())
    raise InvalidArgument(f"data must be bytes, str, a binary file object or a pathlib.Path, not {type(data).__name__}")


def now_us() -> int:
    """Microseconds since the epoch."""
    return time.time_ns() // 1000


@dataclass(frozen=True, slots=True)
class PutContents:
    """Set paths to contents that are in the store already. `entries` may be read more than once."""

    entries: Iterable[Entry]
    optional: bool = False
    blind: bool = False

    def changes(self, files: Overlay) -> Iterator[Change]:  # noqa: ARG002 - overwriting does not look
        """One put per entry."""
        return (Put(entry) for entry in self.entries)


@dataclass(frozen=True, slots=True)
class AppendData:
    """Append bytes, a local file or a stream that can be rewound to a file, or make it."""

    path: str
    source: Source
    writer: ContentWriter
    reader: ContentReader
    optional: bool = False
    blind: bool = False

    def changes(self, files: Overlay) -> Iterator[Change]:
        """One put of the longer file; only the last chunk of what is there is read and written again."""
        if not isinstance(self.source.data, (bytes, Path)):
            self.source.data.seek(0)
        yield Put(appended(files, self.path, self.source, self.writer, self.reader))
        self.writer.flush()


def appended(files: Overlay, path: str, source: Source, writer: ContentWriter, reader: ContentReader) -> Entry:
    """The file at `path` with `source` at its end. A source that can be read once serves once."""
    present = files.entry(path)
    if present is None:
        return Entry(path, writer.write(source.data), source.executable, None, source.mtime_us)
    content = writer.append(present.content, source.data, reader)
    executable = source.executable or present.executable
    return Entry(path, content, executable, None, source.mtime_us)


@dataclass(frozen=True, slots=True)
class DeletePath:
    """Delete a file, a directory or, if nothing has exactly this name, what a glob matches, perhaps nothing."""

    path: str
    optional: bool = True
    blind: bool = False

    def changes(self, files: Overlay) -> Iterator[Change]:
        """One removal per match."""
        if self.path == "":
            if files.tree().root is not None:
                yield Remove("", subtree=True)
        elif files.entry(self.path) is not None or files.is_directory(self.path):
            yield Remove(self.path, subtree=True)
            yield from _without_attributes(files, self.path)
        elif files.is_directory(attributes_of(self.path)):
            yield from _without_attributes(files, self.path)
        elif is_glob(self.path):
            compile_glob(shown_path(self.path))
            tree = files.tree()
            found = [node.path for node in tree.glob(shown_path(self.path))]
            for path in found:
                yield Remove(path, subtree=True)
                yield from _without_attributes(files, path)


@dataclass(frozen=True, slots=True)
class CopyPath:
    """Copy a file or directory by reference: no bytes move.

    Without `append` what is at the target is replaced whole; with it, files merge into the target directory
    and a file that exists is appended to. `attributes` are the headers and footers of a directory, which it keeps
    unless it comes to lie in one that has its own.
    """

    source: str
    target: str
    entries: Iterable[Entry]
    append: bool
    writer: ContentWriter
    reader: ContentReader
    attributes: Sequence[tuple[str, bytes]] = ()
    optional: bool = False
    blind: bool = False

    def changes(self, files: Overlay) -> Iterator[Change]:
        """A removal of the target and one put per file."""
        if not self.append and (self.target == "" or files.is_directory(self.target)):
            yield Remove(self.target, subtree=True)
            yield from _without_attributes(files, self.target)
        if not self.append and self.attributes and not _in_frame(files, self.target):
            for path, value in self.attributes:
                yield Put(Entry(path, self.writer.write(value)))
            self.writer.flush()
        for entry in self.entries:
            path = join_path(self.target, below(entry.path, self.source))
            moved = Entry(path, entry.content, entry.executable, None, entry.mtime_us)
            if not self.append or files.entry(path) is None:
                yield Put(moved)
                continue
            with self.reader.open(entry.content) as tail:
                source = Source(tail, entry.executable, entry.mtime_us)
                yield Put(appended(files, path, source, self.writer, self.reader))
        if self.append:
            self.writer.flush()


def _without_attributes(files: Overlay, directory: str) -> Iterator[Change]:
    """The removal of a directory's attributes, if it has any."""
    if directory and files.is_directory(attributes_of(directory)):
        yield Remove(attributes_of(directory), subtree=True)


def _in_frame(files: Overlay, path: str) -> bool:
    """Whether a directory above has a header or footer."""
    above = [*parents(path), ""] if path else []
    return any(files.entry(attribute_path(one, name)) is not None for one in above for name in ("header", "footer"))


def is_glob(path: str) -> bool:
    """Whether a path has characters that mean something in a glob."""
    return not _GLOB_CHARACTERS.isdisjoint(path)


def require_some(entries: Iterable[Entry], address: str) -> None:
    """Raise `PathNotFound` for a copy of nothing."""
    if next(iter(entries), None) is None:
        raise PathNotFound(f"there is nothing at {address}")
