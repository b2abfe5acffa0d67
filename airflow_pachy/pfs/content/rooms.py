"""Memory that is filled, sent and filled again.

The kernel clears each page that a program gets anew, which for large contents takes longer than to copy them.
"""

from __future__ import annotations

import mmap
from collections import deque


class Rooms:
    """Pieces of memory of one size, made when all others are in use. Thread-safe."""

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self._free: deque[memoryview] = deque()

    def take(self) -> memoryview:
        """A piece of memory that nobody else has, with whatever is in it."""
        try:
            return self._free.pop()
        except IndexError:
            return memoryview(mmap.mmap(-1, self.size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))

    def give_back(self, room: memoryview) -> None:
        """What was taken is free: no view of it is used any more."""
        self._free.append(room)

    def clear(self) -> None:
        """Forget the free ones."""
        self._free.clear()
