"""Filling the named pipes of lazy inputs when the user's code opens them.

One thread looks at all pipes a hundred times a second; a pipe that has a reader is replaced by a fresh one, for the
next reader, before its content is written.
"""

from __future__ import annotations

import errno
import os
import resource
import select
import stat
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_pachy.errors import PachyError
from airflow_pachy.worker.beneath import open_beneath
from airflow_pachy.worker.staging import distinct_inputs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from airflow_pachy.pfs.content import ContentReader
    from airflow_pachy.pfs.tree.entries import Entry
    from airflow_pachy.worker.staging import InputTrees, StagedDatum

POLL_SECONDS = 0.01
BLOCK_BYTES = 1 << 20
MAX_OPEN_PIPES = 1_024
"""Each open pipe has a thread: a program that reads several in turn must not wait for one that we put off."""
SPARE_DESCRIPTORS = 1_024 + 256
"""Left for the open pipes, the store's connections and everything else."""


@dataclass(frozen=True, slots=True)
class _Pipe:
    parts: tuple[str, ...]
    entry: Entry


@contextmanager
def serve_pipes(staged: StagedDatum, trees: InputTrees, reader: ContentReader, pfs: Path) -> Iterator[None]:
    """Serve the datum's lazy files under `pfs` while the block lasts.

    Raises the store's error afterwards if a content could not be read: the user's code then saw a
    file that ended early, and its result counts for nothing.
    """
    pipes = [
        _Pipe((item.name, *entry.path.split("/")), entry)
        for item in distinct_inputs(staged.datum)
        if item.lazy
        for entry in trees.entries(item)
    ]
    if not pipes:
        yield
        return
    server = _PipeServer(pipes, reader, pfs, staged.root)
    try:
        yield
    finally:
        server.close()


class _PipeServer:
    """Waits for readers. We hold the writing end of every pipe: it is in error for as long as nobody reads, and one
    poll(2) over ten thousand of them takes a millisecond. Where descriptors run out, pipes are tried one by one."""

    def __init__(self, pipes: list[_Pipe], reader: ContentReader, pfs: Path, spare: Path) -> None:
        self._reader = reader
        self._spare = spare
        self._pfs_fd = os.open(pfs, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._ended = threading.Event()
        self._writers = ThreadPoolExecutor(MAX_OPEN_PIPES, "lazy")
        self._error: PachyError | OSError | None = None
        self._held: dict[int, _Pipe] = {}
        self._loose: list[_Pipe] = []
        self._poll = select.poll()
        room = descriptors(len(pipes)) - SPARE_DESCRIPTORS
        try:
            for number, pipe in enumerate(pipes):
                self._watch(pipe, hold=number < room)
        except OSError:
            self._release()
            raise
        self._thread = threading.Thread(target=self._serve, name="lazy", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        self._writers.shutdown()
        self._release()
        if self._error is not None:
            raise self._error

    def _release(self) -> None:
        for fd in self._held:
            os.close(fd)
        self._held.clear()
        os.close(self._pfs_fd)

    def _watch(self, pipe: _Pipe, *, hold: bool) -> None:
        fd = self._hold(pipe) if hold else None
        if fd is None:
            self._loose.append(pipe)
        else:
            self._held[fd] = pipe
            self._poll.register(fd, 0)  # errors are told unasked, and nothing else matters

    def _hold(self, pipe: _Pipe) -> int | None:
        """The pipe's writing end, which can be had only while somebody reads: for a moment, that is us."""
        reading = self._open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        if reading is None:
            return None
        try:
            return self._open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        finally:
            os.close(reading)

    def _serve(self) -> None:
        pause = POLL_SECONDS
        try:
            while not self._ended.wait(pause):
                started = time.monotonic()
                for fd in self._read_ones():
                    self._poll.unregister(fd)
                    self._start(self._held.pop(fd), fd)
                for pipe in list(self._loose):
                    opened = self._open(pipe, os.O_WRONLY | os.O_NONBLOCK)
                    if opened is not None:
                        self._loose.remove(pipe)
                        self._start(pipe, opened)
                # A tenth of the time at most goes into looking.
                pause = max(POLL_SECONDS, 10 * (time.monotonic() - started))
        except OSError as error:
            self._error = error

    def _read_ones(self) -> set[int]:
        """Held pipes that somebody has opened for reading."""
        unread = {fd for fd, event in self._poll.poll(0) if event & select.POLLERR}
        return self._held.keys() - unread

    def _start(self, pipe: _Pipe, fd: int) -> None:
        held = self._renew(pipe)
        if held:
            self._watch(pipe, hold=len(self._held) < descriptors(0) - SPARE_DESCRIPTORS)
        self._writers.submit(self._fill, pipe, fd)

    def _open(self, pipe: _Pipe, flags: int) -> int | None:
        """An end of the pipe, unless nobody holds the other one or it is not there any more."""
        try:
            fd = open_beneath(self._pfs_fd, pipe.parts, flags)
        except OSError as error:
            # ENXIO: nobody reads. The rest: the user's code removed or replaced the pipe, as it may.
            if error.errno in (errno.ENXIO, errno.ENOENT, errno.ELOOP, errno.ENOTDIR, errno.EACCES, errno.EISDIR):
                return None
            raise
        if stat.S_ISFIFO(os.fstat(fd).st_mode):
            return fd
        os.close(fd)
        return None

    def _renew(self, pipe: _Pipe) -> bool:
        """Put a fresh pipe in the place of one that has a reader, unless its directory is gone."""
        fresh = self._spare / "pipe"
        os.mkfifo(fresh, 0o666)
        try:
            folder = open_beneath(self._pfs_fd, pipe.parts[:-1], os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            fresh.unlink()
            return False
        try:
            os.rename(fresh, pipe.parts[-1], dst_dir_fd=folder)
        finally:
            os.close(folder)
        return True

    def _fill(self, pipe: _Pipe, fd: int) -> None:
        os.set_blocking(fd, True)
        try:
            with open(fd, "wb") as sink:
                sink.writelines(
                    self._reader.read(pipe.entry.content, offset, BLOCK_BYTES)
                    for offset in range(0, pipe.entry.content.size_bytes, BLOCK_BYTES)
                )
        except BrokenPipeError:
            return  # the reader has seen enough
        except (PachyError, OSError) as error:
            self._error = error


def descriptors(more: int) -> int:
    """How many descriptors this process may have, after asking for `more`; the hard limit is the machine's word."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = more + 2 * SPARE_DESCRIPTORS
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if more and soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return wanted if soft == resource.RLIM_INFINITY else soft
