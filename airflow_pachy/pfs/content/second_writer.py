"""A process beside ours that writes a part of the files of a materialisation: making small files takes a processor more
than a network, and one process makes them one after the other, however many threads it has.

The child is forked before this process has imported much, and waits. Then it gets spans of small files, with their
bytes in memory that both share, checks and writes them, and tells how many. Whoever has fetched a span gives it to
the child or, when that has enough, writes it here: one at a time, since several threads take longer, but for disks
that make us wait. What a child that died has not written is written here.
"""

from __future__ import annotations

import logging
import marshal
import mmap
import os
import pickle
import struct
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_pachy.forking import end_child, fork, may_fork, read_exactly
from airflow_pachy.pfs.content.spans import SPAN_BYTES
from airflow_pachy.pfs.content.writing_files import check, write_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_pachy.pfs.content.materialise import Part

    WriteHere = Callable[[memoryview, list[Part]], None]
    Tell = Callable[[int, int], None]

_ROOMS = 2
_STEP = SPAN_BYTES + (4 << 20)
_MANY = 8
# How much longer than its processor time writing may take before the disk, not the processor, is what we wait for.
_SLOW = 4
# To the child: room, bytes of data, bytes of what is said of them. From it: room or `_FAILED`, files, bytes.
_NEWS = struct.Struct("<iQQ")
_FAILED = -1
_log = logging.getLogger(__name__)


@contextmanager
def second_writer() -> Iterator[SecondWriter | None]:
    """A writer for one materialisation; None where a fork would not be safe. It is gone when the block ends."""
    second: SecondWriter | None = None
    if may_fork() and (os.cpu_count() or 1) > 1:
        try:
            second = SecondWriter()
        except OSError as error:
            _log.debug("files are written by this process alone: %s", error)
    try:
        yield second
    finally:
        if second is not None:
            second.close()


class SecondWriter:
    """The child and what it has to do. `hand_over` and `turn` are called by several threads."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _ROOMS * _STEP)
        child_jobs, self._jobs = os.pipe()
        self._news, child_news = os.pipe()
        try:
            self._pid = fork((child_jobs, child_news))
        except OSError:
            for handle in (child_jobs, self._jobs, self._news, child_news):
                os.close(handle)
            self._memory.close()
            raise
        if not self._pid:
            self._be_the_child(child_jobs, child_news)
        os.close(child_jobs)
        os.close(child_news)
        self._changed = threading.Condition()
        self._listener: threading.Thread | None = None
        self._given: dict[int, tuple[int, list[Part]]] = {}
        self._is_there = False
        self._error: BaseException | None = None
        self._turns, self._most_turns = 0, 1

    def begin(self, tell: Tell) -> None:
        """A materialisation begins; `tell` hears of files and bytes that the child has written."""
        if self._listener is None and self._pid:
            self._is_there = True
            self._listener = threading.Thread(target=self._listen, args=(tell,), name="second-writer", daemon=True)
            self._listener.start()

    def hand_over(self, body: memoryview, parts: list[Part]) -> bool:
        """Give whole files to the child; False when they are to be written here, in a `turn`, which may be taken now.

        Raises what the child raised.
        """
        said = marshal.dumps([part[:4] + part[5:7] for part in parts])
        fits = len(body) + len(said) <= _STEP
        with self._changed:
            while True:
                if self._error is not None:
                    raise self._error
                if fits and self._is_there and len(self._given) < _ROOMS:
                    break
                if self._turns < self._most_turns or not self._is_there:
                    self._turns += 1
                    return False
                self._changed.wait()
            room = next(place for place in range(_ROOMS) if place not in self._given)
            self._given[room] = (len(body), parts)
        start = room * _STEP
        self._memory[start : start + len(body)] = body
        self._memory[start + len(body) : start + len(body) + len(said)] = said
        with suppress(BrokenPipeError):  # `finish` writes it
            os.write(self._jobs, _NEWS.pack(room, len(body), len(said)))
        return True

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Around writing here, after `hand_over` has said so."""
        began, worked = time.perf_counter(), time.thread_time()
        try:
            yield
        finally:
            waited = time.perf_counter() - began > _SLOW * (time.thread_time() - worked)
            with self._changed:
                self._turns -= 1
                self._most_turns = _MANY if waited else self._most_turns
                self._changed.notify_all()

    def finish(self, write_here: WriteHere) -> None:
        """Return when everything that was given is written, by the child or else here; raises what the child raised."""
        if self._listener is None or not self._pid:
            return
        self._end_jobs()
        self._listener.join()
        if self._error is not None:
            raise self._error
        for room, (size, parts) in self._given.items():
            _log.debug("the second writer is gone; what it has not written is written here")
            with memoryview(self._memory)[room * _STEP : room * _STEP + size] as body:
                write_here(body, parts)
        self._given.clear()
        self.close()

    def close(self) -> None:
        """End the child, whatever it is doing."""
        if not self._pid:
            return
        pid, self._pid = self._pid, 0
        end_child(pid)
        self._end_jobs()
        if self._listener is not None:
            self._listener.join()
        os.close(self._news)
        with suppress(BufferError):
            self._memory.close()

    def _end_jobs(self) -> None:
        if self._jobs >= 0:
            os.close(self._jobs)
            self._jobs = -1

    def _listen(self, tell: Tell) -> None:
        """Hear of the child until it ends."""
        error: BaseException | None = None
        try:
            while (body := read_exactly(self._news, _NEWS.size)) is not None:
                room, files, size_bytes = _NEWS.unpack(body)
                if room == _FAILED:
                    if (told := read_exactly(self._news, size_bytes)) is not None:
                        error = pickle.loads(told)  # noqa: S301 - of our own child
                    break
                with self._changed:
                    del self._given[room]
                    self._changed.notify_all()
                tell(files, size_bytes)
        except BaseException as unexpected:  # noqa: BLE001 - raised by whoever waits for us
            error = unexpected
        with self._changed:
            self._is_there, self._error, self._most_turns = False, error, _MANY
            self._changed.notify_all()

    def _be_the_child(self, jobs: int, news: int) -> NoReturn:
        code = 1
        try:
            self._work(jobs, news)
            code = 0
        except BrokenPipeError:
            code = 0
        finally:
            os._exit(code)

    def _work(self, jobs: int, news: int) -> None:
        memory = memoryview(self._memory)
        while (job := read_exactly(jobs, _NEWS.size)) is not None:
            room, size, said = _NEWS.unpack(job)
            body = memory[room * _STEP : room * _STEP + size + said]
            try:
                files, size_bytes = _write(body[:size], marshal.loads(body[size:]))  # noqa: S302 - of our own parent
            except Exception as error:  # noqa: BLE001 - the parent raises it
                told = pickle.dumps(error)
                os.write(news, _NEWS.pack(_FAILED, 0, len(told)) + told)
                return
            os.write(news, _NEWS.pack(room, files, size_bytes))


def _write(body: memoryview, parts: list[tuple[Any, ...]]) -> tuple[int, int]:
    size_bytes = 0
    for offset, length, digest, name, executable, mtime_us in parts:
        data = body[offset : offset + length]
        check(data, digest, name)
        write_whole(name, data, executable, mtime_us)
        size_bytes += length
    return len(parts), size_bytes
