"""The protocol's directory, `/pfs/.pfs`, seen from the helper: files that the user's code may tamper with.

Everything is done relative to a descriptor that was opened before any user code ran. Whatever that code renames or
links in the meantime, we neither write nor read outside this directory, and wait for no pipe.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_pachy.worker.beneath import open_beneath

if TYPE_CHECKING:
    from collections.abc import Iterator

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class ControlDirectory:
    """Small files by name, each appearing whole; close it when done."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, _DIRECTORY)
        self._stage_fd = -1

    def close(self) -> None:
        """Give up the descriptors."""
        for fd in (self._fd, self._stage_fd):
            if fd >= 0:
                os.close(fd)
        self._fd = self._stage_fd = -1

    def open_stage(self) -> Path:
        """The directory of staged datums, made if missing, as a path that leads there whatever its name becomes."""
        with contextlib.suppress(FileExistsError):
            os.mkdir("stage", 0o700, dir_fd=self._fd)
        self._stage_fd = os.open("stage", _DIRECTORY, dir_fd=self._fd)
        return Path(f"/proc/self/fd/{self._stage_fd}")

    def write(self, name: str, text: str) -> None:
        """Have a file of this content under `name`."""
        new = f"{name}.new"
        self.remove(new)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(new, flags, 0o644, dir_fd=self._fd), "wb") as file:
            file.write(text.encode("utf-8", "surrogateescape"))
        os.rename(new, name, src_dir_fd=self._fd, dst_dir_fd=self._fd)

    def make_pipe(self, name: str) -> None:
        """A fresh named pipe."""
        self.remove(name)
        os.mkfifo(name, 0o666, dir_fd=self._fd)

    def remove(self, name: str) -> None:
        """Remove a file if it is there."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._fd)

    def read(self, name: str, limit_bytes: int) -> bytes:
        """The start of a file, empty if it is not there or not a file."""
        with self._opened(name, os.O_RDONLY) as fd:
            if fd is None or not stat.S_ISREG(os.fstat(fd).st_mode):
                return b""
            return os.read(fd, limit_bytes)

    def poke(self, name: str) -> None:
        """Write a line into a named pipe, if it is one that somebody reads and has room."""
        with self._opened(name, os.O_RDWR) as fd:
            if fd is not None and stat.S_ISFIFO(os.fstat(fd).st_mode):
                with contextlib.suppress(BlockingIOError):
                    os.write(fd, b"\n")

    def exists(self, name: str) -> bool:
        """Whether there is an entry of this name."""
        return self.modified_ns(name) is not None

    def modified_ns(self, name: str) -> int | None:
        """When an entry was last changed; None when it is not there."""
        try:
            return os.stat(name, dir_fd=self._fd, follow_symlinks=False).st_mtime_ns
        except FileNotFoundError:
            return None

    @contextlib.contextmanager
    def _opened(self, name: str, flags: int) -> Iterator[int | None]:
        try:
            fd = open_beneath(self._fd, [name], flags | os.O_NONBLOCK)
        except OSError:
            yield None
            return
        try:
            yield fd
        finally:
            os.close(fd)
