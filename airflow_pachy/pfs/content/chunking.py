"""Where to cut a large file: at places that its content chooses, so that an edit moves few cuts.

A cut may lie after any byte that is at least `MIN_BYTES` and at most `MAX_BYTES` into the chunk. It lies after the
first one whose preceding 64 bytes pass two tests: the last four of them, as a little-endian number times an odd
constant modulo 2^32, fall below 2^32 / 4096 (cheap: numpy tests all positions of a block at once), and the xxh3_64 of
all 64 is divisible by 768. Together they leave one position in 3 MiB, which after the minimum makes 4 MiB on average.
If none passes, the cut is at the maximum. Nothing but the bytes since the last cut plays a part.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, BinaryIO, cast

import numpy as np
import numpy.typing as npt
from xxhash import xxh3_64_intdigest

if TYPE_CHECKING:
    from collections.abc import Iterator

MIN_BYTES = 1 << 20
MAX_BYTES = 12 << 20
WINDOW_BYTES = 64
_BLOCK_BYTES = 1 << 18
_READ_BYTES = 4 << 20
_ROOM_BYTES = 3 * MAX_BYTES
_MULTIPLIER = np.uint32(0x9E3779B1)
_ADDEND = np.uint32(0x7F4A7C15)  # so that runs of zeros do not pass the first test
_BELOW = np.uint32(2**32 // 4096)
_DIVISOR = 768


def find_cut(data: memoryview) -> int | None:
    """Length of the first chunk of `data`, or None if it has no cut (more bytes could still bring one).

    `data` starts where the chunk does; at most `MAX_BYTES` of it are looked at.
    """
    end = min(len(data), MAX_BYTES)
    for start in range(MIN_BYTES, end + 1, _BLOCK_BYTES):
        stop = min(start + _BLOCK_BYTES, end + 1)
        for cut in _candidates(data, start, stop):
            if xxh3_64_intdigest(data[cut - WINDOW_BYTES : cut]) % _DIVISOR == 0:
                return cut
    return MAX_BYTES if len(data) >= MAX_BYTES else None


def split(data: memoryview) -> Iterator[memoryview]:
    """The chunks of a whole file; none of an empty one."""
    while data:
        cut = find_cut(data) or len(data)
        yield data[:cut]
        data = data[cut:]


def split_stream(source: BinaryIO, head: bytes = b"") -> Iterator[memoryview]:
    """The chunks of `head` followed by everything that `source` yields, holding at most three maxima of bytes.

    Each is of use only until the next one is asked for: its place is read into again.
    """
    window = _Window(source, head)
    while view := window.fill():
        with view:
            cut = find_cut(view) or len(view)
            with view[:cut] as chunk:
                yield chunk
        window.start += cut


class _Window:
    """Bytes of a stream that were read and not given out yet; they are moved as seldom as the room allows."""

    def __init__(self, source: BinaryIO, head: bytes) -> None:
        self._source = source
        # Others may pass on a `readinto` of what they wrap, and see nothing of what it reads.
        self._is_plain = isinstance(source, io.BufferedIOBase | io.RawIOBase)
        self._buffer = bytearray(max(_ROOM_BYTES, len(head) + _READ_BYTES))
        self._buffer[: len(head)] = head
        self.start = 0
        self._end = len(head)
        self._ended = False

    def fill(self) -> memoryview | None:
        """All that a chunk may need from `start` on; None at the end."""
        while not self._ended and self._end - self.start < MAX_BYTES:
            if len(self._buffer) - self._end < _READ_BYTES:
                rest = self._buffer[self.start : self._end]
                self._buffer[: len(rest)] = rest
                self.start, self._end = 0, len(rest)
            count = self._read()
            self._end += count
            self._ended = count == 0
        return memoryview(self._buffer)[self.start : self._end] if self.start < self._end else None

    def _read(self) -> int:
        if self._is_plain:
            with memoryview(self._buffer) as whole, whole[self._end : self._end + _READ_BYTES] as room:
                return cast("io.RawIOBase", self._source).readinto(room) or 0
        part = self._source.read(_READ_BYTES)
        self._buffer[self._end : self._end + len(part)] = part
        return len(part)


def _candidates(data: memoryview, start: int, stop: int) -> list[int]:
    """Cuts in `[start, stop)` whose last four bytes pass the first test, ascending."""
    found: list[npt.NDArray[np.int64]] = []
    for shift in range(4):
        first = start - 4 + shift
        count = (stop - 1 - shift - start) // 4 + 1
        if count <= 0:
            continue
        words = np.frombuffer(data, dtype="<u4", count=count, offset=first)
        hits = np.flatnonzero(words * _MULTIPLIER + _ADDEND < _BELOW)
        if len(hits):
            found.append(hits * 4 + (first + 4))
    return np.sort(np.concatenate(found)).tolist() if found else []
