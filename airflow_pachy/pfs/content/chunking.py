"""Where to cut a large file: at places that its content chooses, so that an edit moves few cuts.

A cut may lie after any byte that is at least `MIN_BYTES` and at most `MAX_BYTES` into the chunk. It lies after the
first one whose preceding 64 bytes pass two tests: the last four of them, as a little-endian number times an odd
constant modulo 2^32, fall below 2^32 / 4096 (cheap: numpy tests all positions of a block at once), and the xxh3_64 of
all 64 is divisible by 768. Together they leave one position in 3 MiB, which after the minimum makes 4 MiB on average.
If none passes, the cut is at the maximum. Nothing but the bytes since the last cut plays a part.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
from xxhash import xxh3_64_intdigest

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

MIN_BYTES = 1 << 20
MAX_BYTES = 12 << 20
WINDOW_BYTES = 64
_BLOCK_BYTES = 1 << 18
_MULTIPLIER = np.uint32(0x9E3779B1)
_ADDEND = np.uint32(0x7F4A7C15)  # so that runs of zeros do not pass the first test
_BELOW = np.uint32(2**32 // 4096)
_DIVISOR = 768


def find_cut(data: memoryview, searched: int = 0) -> int | None:
    """Length of the first chunk of `data`, or None if it has no cut (more bytes could still bring one).

    `data` starts where the chunk does; at most `MAX_BYTES` of it are looked at. The first `searched` bytes are known to
    have no cut.
    """
    end = min(len(data), MAX_BYTES)
    for start in range(max(MIN_BYTES, searched + 1), end + 1, _BLOCK_BYTES):
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


class _Scratch(threading.local):
    """Where a block is worked on; new memory for each would cost more than the work."""

    def __init__(self) -> None:
        self.words = np.empty(_BLOCK_BYTES // 4, np.uint32)
        self.passed = np.empty(_BLOCK_BYTES // 4, np.bool_)


_scratch = _Scratch()


def _candidates(data: memoryview, start: int, stop: int) -> list[int]:
    """Cuts in `[start, stop)` whose last four bytes pass the first test, ascending."""
    found: list[npt.NDArray[np.int64]] = []
    for shift in range(4):
        first = start - 4 + shift
        count = (stop - 1 - shift - start) // 4 + 1
        if count <= 0:
            continue
        words = np.frombuffer(data, dtype="<u4", count=count, offset=first)
        numbers, passed = _scratch.words[:count], _scratch.passed[:count]
        np.multiply(words, _MULTIPLIER, out=numbers)
        np.add(numbers, _ADDEND, out=numbers)
        hits = np.less(numbers, _BELOW, out=passed).nonzero()[0]
        if len(hits):
            found.append(hits * 4 + (first + 4))
    return np.sort(np.concatenate(found)).tolist() if found else []
