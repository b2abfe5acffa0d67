"""Directories that user code has been let loose in: making, removing, and seeing whether they changed."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

OUT = "out"
"""The directory under /pfs that a datum writes to."""
CONTROL = ".pfs"
"""The directory under /pfs that holds the protocol between helper and shim."""
# The clock that Linux stamps inodes with; it moves every 1 to 10 ms. The time module has no name for it.
_CLOCK_REALTIME_COARSE = 5


def make_directory(path: Path) -> None:
    """A directory that any uid may write to, if it is not there yet."""
    path.mkdir(exist_ok=True)
    path.chmod(0o777)  # the user's code may run as any uid


def make_writable(directory: Path) -> None:
    """Let any uid change what lies below a directory that we have filled."""
    for _folder, _names, files, fd in os.fwalk(directory):
        os.fchmod(fd, 0o777)  # the user's code may run as any uid
        for name in files:
            executable = os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode & 0o111
            os.chmod(name, 0o777 if executable else 0o666, dir_fd=fd)


def remove_tree(path: Path) -> None:
    """Delete a file or a directory with all below it, also directories that their owner made inaccessible."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    try:
        shutil.rmtree(path)
    except PermissionError:
        for folder, names, _files in os.walk(path):
            for name in names:
                below = Path(folder, name)
                if not below.is_symlink():
                    below.chmod(0o700)
        shutil.rmtree(path)


def untouched(directory: Path, ready_ns: int) -> bool:
    """Whether nothing below the directory was written, created, removed or replaced since `ready_ns` (see `tick`)."""
    if directory.is_symlink() or not directory.is_dir():
        return False
    for _folder, _names, files, fd in os.fwalk(directory):
        # A directory's ctime changes when we move it under /pfs, its mtime only when its entries change.
        if os.fstat(fd).st_mtime_ns >= ready_ns:
            return False
        if any(os.stat(name, dir_fd=fd, follow_symlinks=False).st_ctime_ns >= ready_ns for name in files):
            return False
    return True


def tick() -> int:
    """Wait until the file systems' clock has moved on; an inode changed from now on has this ctime or a later one."""
    before = time.time_ns()
    while (now := time.clock_gettime_ns(_CLOCK_REALTIME_COARSE)) <= before:
        time.sleep(0.001)
    return now
