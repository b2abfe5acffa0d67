"""`put_split`: a stream cut into numbered pieces below a directory, each a file and so a datum of its own.

Contents go to the store while the stream is read, in the frame (see `headers`) that the pieces will probably have; what
is kept of them meanwhile is bounded, since long lists move into a tree of their own. Numbers, and the frame for
certain, are settled when the pieces enter the commit.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import TYPE_CHECKING, BinaryIO, cast

from airflow_pachy.errors import InvalidArgument
from airflow_pachy.pfs.headers import (
    Frame,
    Frames,
    Framing,
    as_frame_bytes,
    attributes_of,
    directory_of,
    is_piece,
    require_directory,
)
from airflow_pachy.pfs.paths import join_path
from airflow_pachy.pfs.records import check_delimiter, records_of
from airflow_pachy.pfs.streams import IteratorStream
from airflow_pachy.pfs.tree import File
from airflow_pachy.pfs.tree.entries import Change, Entry, Put, Remove

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from airflow_pachy.pfs.content import ContentWriter
    from airflow_pachy.pfs.overlay import Overlay
    from airflow_pachy.pfs.tree import Tree
    from airflow_pachy.pfs.tree.entries import Content

# Pieces up to this size are gathered before they are written, larger ones stream.
_GATHERED_BYTES = 1 << 20
_KEPT_PIECES = 50_000


@dataclass(frozen=True, slots=True)
class Split:
    """How to cut: a piece ends when it has so many records or bytes, whichever is first; without either, each record.

    The first `header_records` become the directory's header. `header` and `footer` None: leave them as they are.
    With `overwrite` the directory is emptied first. Raises `InvalidArgument`.
    """

    delimiter: str
    target_file_datums: int = 0
    target_file_bytes: int = 0
    header_records: int = 0
    header: bytes | str | None = None
    footer: bytes | str | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        for name in ("target_file_datums", "target_file_bytes", "header_records"):
            if getattr(self, name) < 0:
                raise InvalidArgument(f"{name} must be 0 or more, not {getattr(self, name)}")
        if self.header_records and self.header is not None:
            raise InvalidArgument("give either header or header_records: both say what the header is")
        if self.delimiter == "sql" and (self.header is not None or self.footer is not None):
            raise InvalidArgument("a SQL dump brings its own header and footer; split it without giving any")
        check_delimiter(self.delimiter)
        as_frame_bytes(self.header, "header")
        as_frame_bytes(self.footer, "footer")

    def pieces(self, records: Iterator[bytes]) -> Iterator[Iterator[bytes]]:
        """Groups of records, each to be taken to its end before the next."""
        for first in records:
            yield self._piece(first, records)

    def _piece(self, record: bytes, following: Iterator[bytes]) -> Iterator[bytes]:
        single = not self.target_file_datums and not self.target_file_bytes
        count = size = 0
        while True:
            yield record
            count += 1
            size += len(record)
            full = (self.target_file_datums and count >= self.target_file_datums) or (
                self.target_file_bytes and size >= self.target_file_bytes
            )
            if single or full or (following_one := next(following, None)) is None:
                return
            record = following_one


@dataclass(slots=True)
class Staged:
    """Pieces in the store, in order, inside `frame`: the contents, and what the data said about header and footer."""

    frame: Frame
    header: bytes | None
    footer: bytes | None
    mtime_us: int
    _tree: Tree
    _recent: list[Content] = field(default_factory=list)
    _count: int = 0

    def __len__(self) -> int:
        return self._count

    def add(self, content: Content) -> None:
        """One more piece."""
        self._recent.append(content)
        self._count += 1
        if len(self._recent) >= _KEPT_PIECES:
            first = self._count - len(self._recent)
            entries = (Entry(f"{first + number:016x}", one) for number, one in enumerate(self._recent))
            self._tree = self._tree.apply(Put(entry) for entry in entries)
            self._recent = []

    def contents(self, start: int, end: int) -> Iterator[Content]:
        """Pieces `[start, end)`."""
        after = f"{start - 1:016x}" if start else None
        stored = (entry.content for entry in self._tree.entries(after=after))
        recent_from = self._count - len(self._recent)
        recent = islice(self._recent, max(0, start - recent_from), None)
        return islice(chain(stored, recent), end - start)


def stage(source: BinaryIO, split: Split, frames: Frames, directory: str, scratch: Staging) -> Staged:
    """Read a stream to its end and store its pieces; durable when the writer is flushed."""
    records = records_of(split.delimiter, source)
    following = iter(records)
    first = list(islice(following, split.header_records or 1))
    header, footer = as_frame_bytes(split.header, "header"), as_frame_bytes(split.footer, "footer")
    if split.header_records or split.delimiter == "sql":
        header = records.header + b"".join(first[: split.header_records])
        as_frame_bytes(header, "header")
        header = header if first or header else None
    rest = chain(first[split.header_records :], following)
    outer = frames.around(directory_of(directory)) if directory else Frame()
    own = Frame() if split.overwrite else frames.of(directory)
    own = Frame(own.header if header is None else header, own.footer if footer is None else footer)
    frame = own.within(outer)
    staged = Staged(frame, header, footer, scratch.mtime_us, scratch.tree)
    for piece in split.pieces(rest):
        staged.add(_written(piece, frame, scratch.writer))
    if split.delimiter == "sql" and header is not None:
        staged.footer = records.footer
    return staged


@dataclass(frozen=True, slots=True)
class Staging:
    """Where pieces go: a writer for contents, and an empty tree for long lists of them."""

    writer: ContentWriter
    tree: Tree
    mtime_us: int


def _written(piece: Iterator[bytes], frame: Frame, writer: ContentWriter) -> Content:
    parts = [frame.header]
    size = 0
    for record in piece:
        parts.append(record)
        size += len(record)
        if size > _GATHERED_BYTES:
            stream = IteratorStream(chain(parts, piece, [frame.footer]))
            return writer.write(cast("BinaryIO", io.BufferedReader(stream)))
    parts.append(frame.footer)
    return writer.write(b"".join(parts))


@dataclass(frozen=True, slots=True)
class PutPieces:
    """Put staged pieces `[start, end)` behind those in a directory, and give the directory their header and footer.

    `former` is the tree that the open commit was started on: a header without a footer replaces both of those given in
    the same commit, but leaves alone what earlier commits set. None: there is no such commit.
    """

    directory: str
    staged: Staged
    framing: Framing
    start: int
    end: int
    former: Tree | None
    overwrite: bool
    optional: bool = True
    blind: bool = False

    def changes(self, files: Overlay) -> Iterator[Change]:
        """Attributes, pieces that get another frame, then the new pieces."""
        tree = files.tree()
        require_directory(tree, self.directory)
        frames = Frames(tree, self.framing.reader)
        own = self._own(frames)
        if self.overwrite and self.start == 0:
            yield from removed_directory(self.directory)
            yield from self.framing.attributes(self.directory, Frame(), own)
            number = 0
        else:
            yield from self.framing.changes(tree, self.directory, own)
            number = next_number(tree, self.directory)
        outer = frames.around(directory_of(self.directory)) if self.directory else Frame()
        frame = own.within(outer)
        for content in self.staged.contents(self.start, self.end):
            path = join_path(self.directory, f"{number:016x}")
            framed = content if frame == self.staged.frame else self.framing.reframed(content, self.staged.frame, frame)
            yield Put(Entry(path, framed, mtime_us=self.staged.mtime_us))
            number += 1
        self.framing.writer.flush()

    def _own(self, frames: Frames) -> Frame:
        staged = self.staged
        present = Frame() if self.overwrite and self.start == 0 else frames.of(self.directory)
        if self.start or (staged.header is None and staged.footer is None):
            return present
        if self.former is not None:
            earlier = Frames(self.former, self.framing.reader).of(self.directory)
            # What this commit has cleared stays so.
            present = Frame(present.header and earlier.header, present.footer and earlier.footer)
        return Frame(
            present.header if staged.header is None else staged.header,
            present.footer if staged.footer is None else staged.footer,
        )


@dataclass(frozen=True, slots=True)
class SetFrame:
    """Set a directory's header or footer, or both; None leaves one as it is."""

    directory: str
    header: bytes | None
    footer: bytes | None
    framing: Framing
    optional: bool = True
    blind: bool = False

    def changes(self, files: Overlay) -> Iterator[Change]:
        """Attributes, and all pieces at and below the directory."""
        tree = files.tree()
        require_directory(tree, self.directory)
        own = Frames(tree, self.framing.reader).of(self.directory)
        wanted = Frame(
            own.header if self.header is None else self.header, own.footer if self.footer is None else self.footer
        )
        yield from self.framing.changes(tree, self.directory, wanted)
        self.framing.writer.flush()


def removed_directory(directory: str) -> Iterable[Change]:
    """The removal of a directory with its attributes."""
    if not directory:
        return [Remove("", subtree=True)]
    return [Remove(attributes_of(directory), subtree=True), Remove(directory, subtree=True)]


def next_number(tree: Tree, directory: str) -> int:
    """The number for the next piece in a directory: one more than its last piece has."""
    # Every name of a piece sorts before "g".
    for node in tree.list(directory, after=join_path(directory, "g"), reverse=True):
        if isinstance(node, File) and is_piece(node.path):
            return int(node.path.rpartition("/")[2], 16) + 1
    return 0
