"""Headers and footers of directories: bytes around every piece of a split, at and below the directory.

They are attributes of the directory, kept beside the files (see `docs/spec/format-1.md`), and every piece is stored
whole, with all of them around it. So whatever reads a file reads the right bytes and the right hash without knowing of
headers, and a new header makes every piece a new content, as it should. What this module knows is needed only to
change them, to join several pieces, and to copy or delete a directory. A piece is recognised by its name and, when its
frame is taken off, by its bytes: one that somebody replaced by other bytes is left as it is.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, BinaryIO, cast

from airflow_pachy.errors import InvalidArgument
from airflow_pachy.pfs.paths import below, join_path, shown_path
from airflow_pachy.pfs.streams import WINDOW_BYTES, IteratorStream, windows
from airflow_pachy.pfs.tree.entries import Change, Content, Entry, Put, Remove

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from airflow_pachy.pfs.content import ContentReader, ContentWriter
    from airflow_pachy.pfs.tree import Tree
    from airflow_pachy.pfs.uploads import KnownChunks

MAX_BYTES = 16 << 20
_WHOLE_BYTES = 1 << 20
_KEPT_FRAMES = 1024
_BATCH_FILES = 4096
_PIECE = re.compile(r"(?:.*/)?[0-9a-f]{16}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Frame:
    """Bytes before and after a body."""

    header: bytes = b""
    footer: bytes = b""

    def __bool__(self) -> bool:
        return bool(self.header or self.footer)

    def within(self, outer: Frame) -> Frame:
        """This frame with another around it."""
        return Frame(outer.header + self.header, self.footer + outer.footer)


def is_piece(path: str) -> bool:
    """Whether a path is named as the pieces of a split are."""
    return _PIECE.fullmatch(path) is not None


def directory_of(path: str) -> str:
    """The directory that a file is in."""
    return path.rpartition("/")[0]


def attribute_path(directory: str, name: str) -> str:
    """The key of an attribute of a directory; all of one directory and of those below are below `attributes_of`."""
    return f"{attributes_of(directory)}/\0{name}"


def attributes_of(directory: str) -> str:
    """What to remove, as a subtree, with the directory."""
    return f"\0{directory}"


class Frames:
    """The frames of a tree's directories. `replaced` gives some of them new ones, as if they were set already."""

    def __init__(self, tree: Tree, reader: ContentReader, replaced: Mapping[str, Frame] | None = None) -> None:
        self._tree = tree
        self._reader = reader
        self._replaced = replaced or {}
        self._chains: dict[str, tuple[tuple[str, Frame], ...]] = {}
        self._any = bool(self._replaced) or tree.has_prefix("\0")

    def of(self, directory: str) -> Frame:
        """The directory's own frame."""
        if directory in self._replaced:
            return self._replaced[directory]
        if not self._any:
            return Frame()
        return Frame(self._read(directory, "header"), self._read(directory, "footer"))

    def chain(self, directory: str) -> tuple[tuple[str, Frame], ...]:
        """The directories with frames above a file in `directory`, the outermost first."""
        if not self._any:
            return ()
        found = self._chains.get(directory)
        if found is None:
            above = self.chain(directory_of(directory)) if directory else ()
            own = self.of(directory)
            found = (*above, (directory, own)) if own else above
            if len(self._chains) >= _KEPT_FRAMES:
                self._chains.clear()
            self._chains[directory] = found
        return found

    def around(self, directory: str) -> Frame:
        """Everything around a piece in `directory`."""
        return composed(self.chain(directory))

    def _read(self, directory: str, name: str) -> bytes:
        entry = self._tree.get(attribute_path(directory, name))
        return b"" if entry is None else self._reader.read(entry.content)


def composed(levels: Iterable[tuple[str, Frame]]) -> Frame:
    """A chain of frames as one."""
    whole = Frame()
    for _, frame in levels:
        whole = frame.within(whole)
    return whole


def as_frame_bytes(value: bytes | str | None, what: str) -> bytes | None:
    """A header or footer as users pass it. Raises `InvalidArgument`."""
    if value is None:
        return None
    data = value.encode() if isinstance(value, str) else value
    if not isinstance(data, bytes | bytearray | memoryview):
        raise InvalidArgument(f"a {what} must be bytes or str, not {type(value).__name__}")
    if len(data) > MAX_BYTES:
        raise InvalidArgument(
            f"a {what} of {len(data):,} bytes is larger than {MAX_BYTES:,}: each piece holds it; put it as a file"
        )
    return bytes(data)


def is_framed(content: Content, frame: Frame, reader: ContentReader) -> bool:
    """Whether a file begins and ends with a frame, and not with the same bytes for both."""
    before, after = len(frame.header), len(frame.footer)
    if content.size_bytes < before + after:
        return False
    if content.size_bytes <= _WHOLE_BYTES:
        return _has_frame(reader.read(content), frame)
    start = content.size_bytes - after
    return (not before or reader.read(content, 0, before) == frame.header) and (
        not after or reader.read(content, start, after) == frame.footer
    )


def body_of(content: Content, frame: Frame, reader: ContentReader) -> Iterator[bytes]:
    """A framed file without its frame, in windows."""
    end = content.size_bytes - len(frame.footer)
    return windows(reader, content, len(frame.header), end)


@dataclass(frozen=True, slots=True)
class Framing:
    """Puts frames around contents that are in the store."""

    reader: ContentReader
    writer: ContentWriter
    known: KnownChunks

    def reframed(self, content: Content, old: Frame, new: Frame) -> Content:
        """A framed file in another frame. Of a large file only the chunks that change are stored again."""
        if content.size_bytes <= _WHOLE_BYTES:
            data = self.reader.read(content)
            return self.writer.write(new.header + data[len(old.header) : len(data) - len(old.footer)] + new.footer)
        self.known.see(Entry("", content))
        parts = chain([new.header], body_of(content, old, self.reader), [new.footer])
        return self.writer.write(cast("BinaryIO", io.BufferedReader(IteratorStream(parts))))

    def attributes(self, directory: str, had: Frame, frame: Frame) -> Iterator[Change]:
        """The changes of the attributes alone."""
        for name, old, new in (("header", had.header, frame.header), ("footer", had.footer, frame.footer)):
            if new and new != old:
                yield Put(Entry(attribute_path(directory, name), self.writer.write(new)))
            elif old and not new:
                yield Remove(attribute_path(directory, name))

    def changes(self, tree: Tree, directory: str, frame: Frame) -> Iterator[Change]:
        """What to change so that a directory has this frame: its attributes, and each piece at and below it."""
        before, after = Frames(tree, self.reader), Frames(tree, self.reader, {directory: frame})
        had = before.of(directory)
        if frame == had:
            return
        yield from self.attributes(directory, had, frame)
        for entry in tree.entries(f"{directory}/" if directory else ""):
            if not is_piece(entry.path):
                continue
            former, wanted = before.around(directory_of(entry.path)), after.around(directory_of(entry.path))
            if former != wanted and is_framed(entry.content, former, self.reader):
                content = self.reframed(entry.content, former, wanted)
                yield Put(Entry(entry.path, content, entry.executable, entry.datum, entry.mtime_us))


def joined(tree: Tree, entries: Iterable[Entry], reader: ContentReader) -> Iterator[bytes]:
    """Files one after the other, in path order, with each directory's header and footer once."""
    frames = Frames(tree, reader)
    opened: tuple[tuple[str, Frame], ...] = ()
    for entry, data in _read_ahead(entries, reader):
        levels = frames.chain(directory_of(entry.path)) if is_piece(entry.path) else ()
        whole = composed(levels)
        if not whole or not (_has_frame(data, whole) if data is not None else is_framed(entry.content, whole, reader)):
            whole = Frame()
            levels = tuple(level for level in opened if not level[0] or entry.path.startswith(f"{level[0]}/"))
        same = 0
        while same < min(len(opened), len(levels)) and opened[same] == levels[same]:
            same += 1
        yield from (frame.footer for _, frame in reversed(opened[same:]))
        yield from (frame.header for _, frame in levels[same:])
        opened = levels
        if data is None:
            yield from body_of(entry.content, whole, reader)
        else:
            yield data[len(whole.header) : len(data) - len(whole.footer)]
    yield from (frame.footer for _, frame in reversed(opened))


def _has_frame(data: bytes, frame: Frame) -> bool:
    fits = len(data) >= len(frame.header) + len(frame.footer)
    return fits and data.startswith(frame.header) and data.endswith(frame.footer)


def _read_ahead(entries: Iterable[Entry], reader: ContentReader) -> Iterator[tuple[Entry, bytes | None]]:
    """Entries with their bytes, neighbours of a pack fetched together; None for large files."""
    batch: list[Entry] = []
    size = 0
    for entry in entries:
        large = entry.content.size_bytes > _WHOLE_BYTES
        if batch and (large or size + entry.content.size_bytes > WINDOW_BYTES or len(batch) >= _BATCH_FILES):
            yield from zip(batch, reader.read_many([one.content for one in batch]), strict=True)
            batch, size = [], 0
        if large:
            yield entry, None
        else:
            batch.append(entry)
            size += entry.content.size_bytes
    yield from zip(batch, reader.read_many([one.content for one in batch]), strict=True)


def copied_attributes(tree: Tree, source: str, target: str, reader: ContentReader) -> list[tuple[str, bytes]]:
    """Attributes that a copy of directory `source` has at `target`: what lies above the source becomes its own."""
    if not tree.has_prefix("\0"):
        return []
    found = [
        (join_path(target, below(entry.path[1:].rpartition("/\0")[0], source)), entry.path.rpartition("\0")[2], entry)
        for entry in tree.entries(f"{attributes_of(source)}/" if source else "\0")
    ]
    copies = {attribute_path(place, name): reader.read(entry.content) for place, name, entry in found}
    whole = Frames(tree, reader).around(source)
    copies[attribute_path(target, "header")] = whole.header
    copies[attribute_path(target, "footer")] = whole.footer
    return [(path, value) for path, value in copies.items() if value]


def require_directory(tree: Tree, directory: str) -> None:
    """Raise `InvalidArgument` if there is a file where a directory with a header is meant."""
    if directory and tree.get(directory) is not None:
        raise InvalidArgument(f"{shown_path(directory)} is a file; headers and footers belong to directories of pieces")
