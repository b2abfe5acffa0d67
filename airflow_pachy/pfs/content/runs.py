"""Runs: chunks that lie one after the other in memory, so that they can be looked up and sent together.

A stream is read into a room and cut there; when the room is full, its chunks are a run, which can be sent as it lies.
"""

from __future__ import annotations

import io
from functools import partial
from typing import TYPE_CHECKING, BinaryIO, cast

from airflow_pachy.pfs.content import chunking
from airflow_pachy.pfs.content.hashing import hash_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_pachy.pfs.content.rooms import Rooms

_READ_BYTES = 1 << 20


class Run:
    """Chunks at the beginning of `data`, which is of use until the next run is asked for, or as `take` says.

    `may_be_sent` says that they are worth a pack of their own.
    """

    __slots__ = ("_leave", "data", "digests", "lengths", "may_be_sent")

    def __init__(self, data: memoryview, leave: Callable[[], Callable[[], None]]) -> None:
        self.data = data
        self.lengths: list[int] = []
        self.digests: list[bytes] = []
        self.may_be_sent = False
        self._leave = leave

    @property
    def size_bytes(self) -> int:
        """Of all its chunks."""
        return sum(self.lengths)

    def add(self, start: int, length: int) -> None:
        """One more chunk, which lies behind the others."""
        self.lengths.append(length)
        self.digests.append(hash_bytes(self.data[start : start + length]))

    def take(self) -> Callable[[], None]:
        """Have `data` stay as it is until what this gives is called. To be called once at most."""
        return self._leave()


def runs_of_bytes(data: memoryview, most_bytes: int) -> Iterator[Run]:
    """The chunks of a whole file in memory. Only what nobody can change is worth sending as it lies."""
    is_unchanging = isinstance(data.obj, bytes)
    while data:
        run = Run(data, lambda: _nothing)
        size = 0
        while size < most_bytes and size < len(data):
            length = chunking.find_cut(data[size:]) or len(data) - size
            run.add(size, length)
            size += length
        run.may_be_sent = is_unchanging and size >= most_bytes
        yield run
        data = data[size:]


def runs_of_stream(source: BinaryIO, head: bytes, rooms: Rooms, is_enough: Callable[[int], bool]) -> Iterator[Run]:
    """The chunks of `head` followed by everything that `source` yields.

    `is_enough` says of a number of bytes whether to send them now although more would fit. `head` and one chunk of the
    largest size fit into a room.
    """
    window = _Window(source, head, rooms)
    try:
        while not window.is_at_its_end:
            run = window.next_run(is_enough)
            if run.lengths:
                yield run
            window.go_on()
    finally:
        window.close()


class _Window:
    """A room that is read into: the bytes from `_start` to `_end` are not cut yet."""

    def __init__(self, source: BinaryIO, head: bytes, rooms: Rooms) -> None:
        self._source = source
        # Others may pass on a `readinto` of what they wrap, and see nothing of what it reads.
        self._is_plain = isinstance(source, io.BufferedIOBase | io.RawIOBase)
        self._rooms = rooms
        self._room = rooms.take()
        self._room[: len(head)] = head
        self._start, self._end = 0, len(head)
        self._searched = 0
        self._ended = False

    @property
    def is_at_its_end(self) -> bool:
        """Whether all that the stream had is in runs."""
        return self._ended and self._start == self._end

    def next_run(self, is_enough: Callable[[int], bool]) -> Run:
        """Read and cut until the room is full, or the stream at its end, or what was cut is enough."""
        run, room = Run(self._room, self._leave), self._room
        while not self.is_at_its_end:
            left = self._end - self._start
            cut = chunking.find_cut(room[self._start : self._end], self._searched)
            if cut is None and not self._ended:
                self._searched = left
                if self._end == len(room):
                    run.may_be_sent = True
                    break
                count = self._read(room[self._end : self._end + _READ_BYTES])
                self._end += count
                self._ended = count == 0
                continue
            run.add(self._start, cut or left)
            self._start, self._searched = self._start + (cut or left), 0
            if is_enough(self._start):
                run.may_be_sent = True
                break
        return run

    def go_on(self) -> None:
        """The run is stored, or on its way in a room that was left to it."""
        self._move(self._room)

    def close(self) -> None:
        """Be done with the room."""
        self._rooms.give_back(self._room)

    def _leave(self) -> Callable[[], None]:
        left = self._room
        self._move(self._rooms.take())
        return partial(self._rooms.give_back, left)

    def _move(self, room: memoryview) -> None:
        """What is not cut yet goes to the beginning of a room, maybe the same."""
        rest = self._end - self._start
        if self._start or room is not self._room:
            room[:rest] = self._room[self._start : self._end]
        self._room, self._start, self._end = room, 0, rest

    def _read(self, room: memoryview) -> int:
        if self._is_plain:
            return cast("io.RawIOBase", self._source).readinto(room) or 0
        part = self._source.read(len(room))
        room[: len(part)] = part
        return len(part)


def _nothing() -> None:
    """What is to be done when bytes that nobody can change are not needed any more."""
