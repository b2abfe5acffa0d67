"""Filling the named pipes of lazy inputs when the user's code opens them.

One thread asks every pipe in turn whether somebody has opened it; a pipe that has a reader is
replaced by a fresh one, for the next reader, before its content is written.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
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
    def __init__(self, pipes: list[_Pipe], reader: ContentReader, pfs: Path, spare: Path) -> None:
        self._pipes = pipes
        self._reader = reader
        self._spare = spare
        self._pfs_fd = os.open(pfs, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._ended = threading.Event()
        self._writers = ThreadPoolExecutor(MAX_OPEN_PIPES, "lazy")
        self._error: PachyError | OSError | None = None
        self._poller = threading.Thread(target=self._poll, name="lazy", daemon=True)
        self._poller.start()

    def close(self) -> None:
        self._ended.set()
        self._poller.join()
        self._writers.shutdown()
        os.close(self._pfs_fd)
        if self._error is not None:
            raise self._error

    def _poll(self) -> None:
        try:
            while not self._ended.wait(POLL_SECONDS):
                for pipe in self._pipes:
                    fd = self._open_if_read(pipe)
                    if fd is not None:
                        self._renew(pipe)
                        self._writers.submit(self._fill, pipe, fd)
        except OSError as error:
            self._error = error

    def _open_if_read(self, pipe: _Pipe) -> int | None:
        """The pipe's writing end, if somebody has opened the other one."""
        try:
            fd = open_beneath(self._pfs_fd, pipe.parts, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            # ENXIO: nobody reads. The rest: the user's code removed or replaced the pipe, as it may.
            if error.errno in (errno.ENXIO, errno.ENOENT, errno.ELOOP, errno.ENOTDIR, errno.EACCES, errno.EISDIR):
                return None
            raise
        if stat.S_ISFIFO(os.fstat(fd).st_mode):
            return fd
        os.close(fd)
        return None

    def _renew(self, pipe: _Pipe) -> None:
        fresh = self._spare / "pipe"
        os.mkfifo(fresh, 0o666)
        folder = open_beneath(self._pfs_fd, pipe.parts[:-1], os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.rename(fresh, pipe.parts[-1], dst_dir_fd=folder)
        finally:
            os.close(folder)

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
