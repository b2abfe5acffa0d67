"""Reading content: one range read per run of neighbours, each whole chunk checked against its hash."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, BinaryIO, cast

from airflow_pachy.errors import Corrupt, InvalidArgument
from airflow_pachy.pfs.content.hashing import hash_bytes
from airflow_pachy.pfs.content.spans import Piece, plan_spans, require_complete

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    import pyarrow as pa

    from airflow_pachy.pfs.content.second_writer import SecondWriter
    from airflow_pachy.pfs.objects.store import ObjectStore
    from airflow_pachy.pfs.tree.entries import Content, Entry


class ContentReader:
    """Reads file contents from a store. Thread-safe, keeps nothing.

    What `second_writer` is set to writes a part of the files of one materialisation.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self.second_writer: SecondWriter | None = None

    def read(self, content: Content, offset: int = 0, length: int | None = None) -> bytes:
        """Bytes `[offset, offset + length)` of a file; shorter at its end, empty beyond it.

        Chunks that are read whole are verified; parts of a chunk cannot be. Raises `Corrupt`, `ObjectNotFound`.
        """
        if offset < 0 or (length is not None and length < 0):
            raise InvalidArgument(f"offset {offset} and length {length} must not be negative")
        end = content.size_bytes if length is None else min(content.size_bytes, offset + length)
        if offset >= end:
            return b""
        if not content.segments:
            return verified(content.inline or b"", content.hash, "inline bytes")[offset:end]
        pieces = _pieces(content, offset, end)
        if len(pieces) == 1:
            piece = pieces[0]
            return _checked(self._fetch(piece.object, piece.offset, piece.length), piece)
        parts: dict[int, bytes] = {}
        for span in plan_spans(pieces):
            body = memoryview(self._fetch(span.object, span.offset, span.end - span.offset))
            for piece in span.pieces:
                start = piece.offset - span.offset
                parts[piece.purpose.position] = bytes(_checked(body[start : start + piece.length], piece))
        return b"".join(parts[position] for position in sorted(parts))

    def read_many(self, contents: Sequence[Content]) -> list[bytes]:
        """Whole files, in the order given, all of them in memory; neighbours in a pack are fetched together."""
        found: list[dict[int, bytes]] = [{} for _ in contents]
        pieces = [
            Piece(piece.object, piece.offset, piece.length, (place, piece.purpose))
            for place, content in enumerate(contents)
            for piece in _pieces(content, 0, content.size_bytes)
        ]
        for span in plan_spans(pieces):
            body = memoryview(self._fetch(span.object, span.offset, span.end - span.offset))
            for piece in span.pieces:
                place, part = piece.purpose
                start = piece.offset - span.offset
                whole = Piece(piece.object, piece.offset, piece.length, part)
                found[place][part.position] = _checked(body[start : start + piece.length], whole)
        return [
            b"".join(parts[position] for position in sorted(parts)) if content.segments else self.read(content)
            for content, parts in zip(contents, found, strict=True)
        ]

    def open(self, content: Content) -> BinaryIO:
        """A seekable file that reads a chunk ahead and holds one chunk (at most 12 MiB) in memory."""
        return cast("BinaryIO", io.BufferedReader(_ChunkedFile(self, content)))

    def materialise(
        self,
        items: Iterable[tuple[Entry, Path | str]],
        *,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """Write files: neighbours in a pack with one range read, packs in parallel; sets exec bit and mtime.

        Parent directories are made; an existing file is replaced. `progress(files, bytes)` tells how many files
        were completed, and bytes written, since its last call. Raises `Corrupt` (the file in question is
        removed), `OSError` of the disk, errors of the store.
        """
        from airflow_pachy.pfs.content.materialise import Materialisation

        Materialisation(self._fetch, progress, self.second_writer).run(items)

    def materialise_tables(
        self,
        tables: Iterable[pa.Table],
        target: str,
        *,
        skipped: int = 0,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """The same for files in rows of leaves, whose paths go below `target` without their first `skipped` characters.

        Many small files take half as long as one by one.
        """
        from airflow_pachy.pfs.content.materialise import Materialisation

        Materialisation(self._fetch, progress, self.second_writer).run_tables(tables, target, skipped)

    def _fetch(self, key: str, offset: int, length: int) -> bytes:
        body = self._store.get(key, offset=offset, length=length)
        require_complete(body, f"{self._store.url}/{key}", offset, length)
        return body


class _Part:
    """Position of a piece in its file, and the hash of the chunk if the piece is all of it."""

    __slots__ = ("hash", "position")

    def __init__(self, position: int, chunk_hash: bytes | None) -> None:
        self.position = position
        self.hash = chunk_hash


def _pieces(content: Content, offset: int, end: int) -> list[Piece[_Part]]:
    pieces = []
    position = 0
    for segment in content.segments:
        first, last = max(offset, position), min(end, position + segment.length)
        if first < last:
            whole = last - first == segment.length
            chunk_hash = (content.hash if len(content.segments) == 1 else segment.hash) if whole else None
            pieces.append(
                Piece(segment.object, segment.offset + first - position, last - first, _Part(first, chunk_hash))
            )
        position += segment.length
    return pieces


def _checked(data: bytes | memoryview, piece: Piece[_Part]) -> bytes:
    if piece.purpose.hash is not None:
        verified(data, piece.purpose.hash, f"{piece.object} at {piece.offset}")
    return data if isinstance(data, bytes) else bytes(data)


def verified(data: bytes | memoryview, expected: bytes, where: str) -> bytes:
    """`data`, or `Corrupt` naming `where` if its hash is not `expected`."""
    found = hash_bytes(data)
    if found != expected:
        raise Corrupt(
            f"{where}: {len(data)} bytes hash to {found.hex()[:16]}..., not {expected.hex()[:16]}... as recorded; "
            "the object was damaged: restore it from a backup of the bucket"
        )
    return cast("bytes", data)


class _ChunkedFile(io.RawIOBase):
    """A file read chunk by chunk; `io.BufferedReader` gives it the rest of the interface."""

    def __init__(self, reader: ContentReader, content: Content) -> None:
        self._reader = reader
        self._content = content
        self._position = 0
        self._start = 0
        self._chunk = b""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._content.size_bytes}[whence]
        if base + offset < 0:
            raise ValueError(f"cannot seek to {base + offset}, before the start of the file")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: object) -> int:
        target = memoryview(cast("bytearray", buffer)).cast("B")
        if not self._start <= self._position < self._start + len(self._chunk):
            self._load()
        start = self._position - self._start
        data = self._chunk[start : start + len(target)]
        target[: len(data)] = data
        self._position += len(data)
        return len(data)

    def _load(self) -> None:
        start = 0
        for segment in self._content.segments or ():
            if start <= self._position < start + segment.length:
                self._start, self._chunk = start, self._reader.read(self._content, start, segment.length)
                return
            start += segment.length
        inline = b"" if self._content.segments else self._reader.read(self._content)
        self._start, self._chunk = (0, inline) if self._position < len(inline) else (self._position, b"")
