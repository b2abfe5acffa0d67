"""Memory that this process and a child of it share, in rooms of one size: what one writes there the other reads."""

from __future__ import annotations

import mmap
from contextlib import contextmanager, suppress
from queue import Empty, LifoQueue, SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class SharedRooms:
    """`count` rooms of `size_bytes`, made before the child is, of which `first` are in use until `more` are asked for.

    Who takes one gets the one that was given back last: its pages are there already. Thread-safe.
    """

    def __init__(self, count: int, size_bytes: int, first: int | None = None) -> None:
        self.size_bytes = size_bytes
        self._memory = mmap.mmap(-1, count * size_bytes)
        self._free: LifoQueue[int] = LifoQueue()
        self._spare: SimpleQueue[int] = SimpleQueue()
        for room in range(count):
            (self._spare if first is not None and room >= first else self._free).put(room)

    def more(self) -> None:
        """Have one more in use, if there is one."""
        with suppress(Empty):
            self._free.put(self._spare.get_nowait())

    @contextmanager
    def one(self) -> Iterator[int]:
        """A room for the time of the block; waits until one is free."""
        room = self._free.get()
        try:
            yield room
        finally:
            self._free.put(room)

    def view(self, room: int, size_bytes: int) -> memoryview:
        """The first bytes of a room."""
        start = room * self.size_bytes
        return memoryview(self._memory)[start : start + size_bytes]

    def close(self) -> None:
        """Give the memory back, as soon as nobody looks at it."""
        with suppress(BufferError):
            self._memory.close()
