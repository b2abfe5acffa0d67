"""A local directory that is put: its files are read in this process, or by a child that began before us.

`pachy put file -r` needs half a second for its imports. A child that is forked off before them reads and hashes files
meanwhile, on another core, into memory that both share; it waits when that is full. The child tells of batches through
one pipe, and is told through another which places are free again. Either end notices from its pipe when the other one
is gone: the child ends, and we read the rest ourselves.

A fork is safe, and worth it, only while a process has one thread and has not imported much.
"""

from __future__ import annotations

import logging
import mmap
import os
import pickle
import struct
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

from airflow_pachy.forking import end_child, fork, may_fork, read_exactly
from airflow_pachy.pfs.scanning import ROOM_BYTES, TEXT_BYTES, FileBatch, scan

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from airflow_pachy.pfs.seen_files import SeenFiles

_ROOMS = 8
_STEP = ROOM_BYTES + TEXT_BYTES
# Number of a room, or one of those below; bytes of data, or of a pickled exception that follows; bytes of all else.
_NEWS = struct.Struct("<iQQ")
_END, _FAILED = -1, -2
_log = logging.getLogger(__name__)


class LocalDirectory:
    """A directory that is read in this process; with `seen`, without the files that are known to be as they were."""

    def __init__(self, path: Path, seen: SeenFiles | None = None, *, read_all: bool = False) -> None:
        self.path = path
        self.seen = seen
        self._read_all = read_all

    def local(self, path: str) -> str:
        """Where a file of a batch lies."""
        return os.path.join(self.path, path)  # noqa: PTH118 - for many files

    def now_ns(self) -> int:
        """The clock that goes with `seen`."""
        return time.time_ns() if self.seen is None else self.seen.clock_ns()

    def batches(self) -> Iterator[tuple[int, FileBatch]]:
        """All files, a batch at a time, each with the time at which reading began; see `scan`."""
        began_ns = self.now_ns()
        return ((began_ns, batch) for batch in self._scan())

    def close(self) -> None:
        """End what reads ahead."""

    def _scan(self, after: str = "", rooms: Iterator[memoryview] | None = None) -> Iterator[FileBatch]:
        recall = _nothing if self.seen is None or self._read_all else self.seen.recall()
        return scan(self.path, recall, _own_room() if rooms is None else rooms, after=after)


def _nothing(path: str) -> None:
    del path


def _own_room() -> Iterator[memoryview]:
    room = memoryview(bytearray(ROOM_BYTES))
    while True:
        yield room


def read_ahead(path: Path, seen: SeenFiles | None, *, read_all: bool) -> LocalDirectory:
    """The directory, which is being read from now on if this process is still as small and simple as it must be."""
    if may_fork():
        try:
            return DirectoryAhead(path, seen, read_all=read_all)
        except OSError as error:
            _log.debug("%s is not read ahead: %s", path, error)
    return LocalDirectory(path, seen, read_all=read_all)


class DirectoryAhead(LocalDirectory):
    """A directory that a child process reads from now on. To be closed."""

    def __init__(self, path: Path, seen: SeenFiles | None = None, *, read_all: bool = False) -> None:
        super().__init__(path, seen, read_all=read_all)
        self._began_ns = self.now_ns()
        self._memory = mmap.mmap(-1, _ROOMS * _STEP)
        self._news, child_news = os.pipe()
        child_free, self._free = os.pipe()
        try:
            self._pid = fork((child_news, child_free))
        except OSError:
            for handle in (self._news, child_news, child_free, self._free):
                os.close(handle)
            self._memory.close()
            raise
        if not self._pid:
            self._be_the_child(child_news, child_free)
        os.close(child_news)
        os.close(child_free)

    def batches(self) -> Iterator[tuple[int, FileBatch]]:
        """What the child has read and, if it is gone, what it has not; a second time all of it, read here."""
        if not self._pid:
            yield from super().batches()
            return
        last = ""
        try:
            while (news := self._hear()) is not None:
                room, size, rest = news
                if room == _END:
                    return
                if room == _FAILED:
                    if (body := read_exactly(self._news, size)) is None:
                        break
                    raise pickle.loads(body)  # noqa: S301 - of our own child
                with memoryview(self._memory)[room * _STEP : (room + 1) * _STEP] as whole:
                    batch = FileBatch.unpacked(whole[size : size + rest], whole[:size])
                    last = batch.paths[-1]
                    yield self._began_ns, batch
                    batch.data.release()
                with suppress(BrokenPipeError):
                    os.write(self._free, bytes([room]))
        finally:
            self.close()
        _log.debug("the process that read %s ahead is gone; its rest is read here", self.path)
        for batch in self._scan(last):
            yield self._began_ns, batch

    def close(self) -> None:
        """End the child, whatever it is doing."""
        if not self._pid:
            return
        pid, self._pid = self._pid, 0
        end_child(pid)
        os.close(self._news)
        os.close(self._free)
        with suppress(BufferError):  # somebody still looks at a batch: it goes with the last one who does
            self._memory.close()

    def _hear(self) -> tuple[int, int, int] | None:
        """The next news of the child; None if it is gone."""
        body = read_exactly(self._news, _NEWS.size)
        return None if body is None else _NEWS.unpack(body)

    def _be_the_child(self, news: int, free: int) -> NoReturn:
        code = 1
        try:
            self._tell(news, free)
            code = 0
        except BrokenPipeError:
            code = 0
        finally:
            # Nothing of what the parent would do at its end: no flushing of its files, no exit functions.
            os._exit(code)

    def _tell(self, news: int, free: int) -> None:
        rooms = _Rooms(memoryview(self._memory), free)
        try:
            for batch in self._scan(rooms=rooms.parts()):
                place = rooms.take()
                body = batch.packed()
                size = len(batch.data)
                start = place * _STEP + size
                self._memory[start : start + len(body)] = body
                rooms.taken = None
                _write(news, _NEWS.pack(place, size, len(body)))
        except BrokenPipeError:
            raise
        except Exception as error:  # noqa: BLE001 - the parent raises it
            body = pickle.dumps(error)
            _write(news, _NEWS.pack(_FAILED, len(body), 0) + body)
        else:
            _write(news, _NEWS.pack(_END, 0, 0))


class _Rooms:
    """The parts of the shared memory, for the child: which of them is in use, and which are free."""

    def __init__(self, memory: memoryview, free: int) -> None:
        self._memory = memory
        self._free_pipe = free
        self._unused = list(range(_ROOMS))
        self.taken: int | None = None

    def parts(self) -> Iterator[memoryview]:
        """Room for the data of one batch after the other."""
        while True:
            start = self.take() * _STEP
            yield self._memory[start : start + ROOM_BYTES]

    def take(self) -> int:
        """The part for the batch that is being made; waits until one is free."""
        if self.taken is None:
            if not self._unused:
                said = os.read(self._free_pipe, _ROOMS)
                if not said:
                    raise BrokenPipeError  # the parent is gone
                self._unused.extend(said)
            self.taken = self._unused.pop(0)
        return self.taken


def _write(handle: int, body: bytes) -> None:
    left = memoryview(body)
    while left:
        left = left[os.write(handle, left) :]
