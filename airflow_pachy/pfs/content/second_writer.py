"""A process beside ours that fetches what a materialisation needs and writes a part of its files: making small files
takes a processor more than a network, and one process makes them one after the other, however many threads it has.

It is the process that has our store (`objects/beside.py`), forked before this one has imported much. Spans of packs
come into memory that both share, and whoever has nothing to do, it or this process, checks and writes the next few
files of them: one at a time, since several threads take longer, but for disks that make us wait. What a process that
died has not written is written here.
"""

from __future__ import annotations

import marshal
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow_pachy.pfs.content.spans import SPAN_BYTES
from airflow_pachy.pfs.objects.beside_process import Shared
from airflow_pachy.pfs.objects.line import Fetched, ProcessGoneError
from airflow_pachy.pfs.objects.rooms import SharedRooms

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from airflow_pachy.pfs.content.materialise import Part
    from airflow_pachy.pfs.objects.beside import StoreBeside

ROOMS = 8
"""Spans in memory at a time, at most."""
# As many as keep both writers busy if the store is near; each room more is memory that the system has to clear.
_FIRST_ROOMS = 4
_ROOM_BYTES = SPAN_BYTES + (4 << 20)
_MANY = 8
# How much longer than its processor time writing may take before the disk, not the processor, is what we wait for.
_SLOW = 4
# What of a part the process needs that writes it.
_SAID = slice(6)


def shared_work() -> Shared:
    """What the store's process is to be opened with, to be a second writer as well."""
    return Shared(SharedRooms(ROOMS, _ROOM_BYTES, _FIRST_ROOMS), _write)


class SecondWriter:
    """The process and what it has to do, for one materialisation. Its methods are called by several threads."""

    def __init__(self, store: StoreBeside, rooms: SharedRooms) -> None:
        self._store = store
        self._rooms = rooms
        self._changed = threading.Condition()
        self._is_there, self._is_idle = True, True
        self._turns, self._most_turns = 0, 1

    @property
    def url(self) -> str:
        """Of the store that spans come from."""
        return self._store.url

    def takes(self, length: int) -> bool:
        """Whether a span of so many bytes can be fetched by it."""
        return length <= _ROOM_BYTES

    def fetch(self, key: str, offset: int, length: int) -> AbstractContextManager[Fetched]:
        """Have a span fetched, which is in memory until the block ends."""
        return self._store.fetch(key, offset, length)

    def arrived(self) -> None:
        """To be told when a span is there: if nobody has anything to write then, more are fetched at a time."""
        with self._changed:
            if self._is_idle and not self._turns:
                self._rooms.more()

    def write(self, fetched: Fetched, parts: list[Part]) -> tuple[int, int] | None:
        """Have whole files written by the process: how many files and bytes it wrote.

        None when they are to be written here, in a `turn`, which may be taken now. Raises what the process raised.
        """
        with self._changed:
            while not (self._is_there and self._is_idle):
                if self._turns < self._most_turns:
                    self._turns += 1
                    return None
                self._changed.wait()
            self._is_idle = False
        try:
            files, size_bytes = fetched.work(marshal.dumps([part[_SAID] for part in parts]))
        except ProcessGoneError:
            with self._changed:
                self._is_there, self._most_turns = False, _MANY
                self._turns += 1
            return None
        finally:
            with self._changed:
                self._is_idle = True
                self._changed.notify_all()
        return files, size_bytes

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Around writing here, after `write` has said so."""
        # Of all threads: one that waits for another one, which has the interpreter, does not wait for the disk.
        began, worked = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            waited = time.perf_counter() - began > _SLOW * (time.process_time() - worked)
            with self._changed:
                self._turns -= 1
                self._most_turns = _MANY if waited else self._most_turns
                self._changed.notify_all()


def _write(body: memoryview, said: bytes) -> tuple[int, int]:
    """In the process: the files whose bytes lie in `body`."""
    from airflow_pachy.pfs.content.writing_files import check, write_whole  # which would be in the way of the fork

    parts: list[tuple[Any, ...]] = marshal.loads(said)  # noqa: S302 - of our own parent
    size_bytes = 0
    for offset, length, digest, name, executable, mtime_us in parts:
        data = body[offset : offset + length]
        check(data, digest, name)
        write_whole(name, data, executable, mtime_us)
        size_bytes += length
    return len(parts), size_bytes
