"""Small streams: what is read part by part, as a file; what is in the store, as windows."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_pachy.pfs.content import ContentReader
    from airflow_pachy.pfs.tree.entries import Content

WINDOW_BYTES = 8 << 20


class IteratorStream(io.RawIOBase):
    """The parts that an iterator yields, read as one file."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        super().__init__()
        self._parts = parts
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer from the current part; 0 at the end."""
        while not self._rest:
            part = next(self._parts, None)
            if part is None:
                return 0
            self._rest = memoryview(part)
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


def windows(reader: ContentReader, content: Content, start: int, end: int) -> Iterator[bytes]:
    """Bytes `[start, end)` of a file, a few megabytes at a time."""
    while start < end:
        size = min(WINDOW_BYTES, end - start)
        yield reader.read(content, start, size)
        start += size
