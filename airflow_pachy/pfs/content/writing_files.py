"""Writing single files to disk, as few system calls as a file needs: what materialising does many thousand times."""

from __future__ import annotations

import os
from pathlib import Path

from airflow_pachy.errors import Corrupt
from airflow_pachy.pfs.content.hashing import hash_bytes

WRITE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
_NEW = WRITE_FLAGS | os.O_EXCL


def write_whole(name: str, data: bytes | memoryview, executable: bool, mtime_us: int) -> None:
    """A whole file in place of whatever was there."""
    handle = _open_new(name)
    try:
        written = os.write(handle, data)
        if written != len(data):
            write_all(handle, memoryview(data)[written:], written)
        finish(handle, executable, mtime_us)
    finally:
        os.close(handle)


def _open_new(name: str) -> int:
    """Open a new file in place of whatever was there (a link is replaced, not followed)."""
    try:
        return os.open(name, _NEW, 0o666)
    except FileExistsError:
        os.unlink(name)  # noqa: PTH108 - a Path for each of many files takes long
        return os.open(name, _NEW, 0o666)


def prepare(name: str, size_bytes: int) -> None:
    """A file of this size, whose chunks come one by one."""
    handle = _open_new(name)
    try:
        os.ftruncate(handle, size_bytes)
    finally:
        os.close(handle)


def write_all(handle: int, data: memoryview, position: int) -> None:
    """All of `data` at a place of a file."""
    left = data
    while left:
        written = os.pwrite(handle, left, position)
        left, position = left[written:], position + written


def finish(handle: int, executable: bool, mtime_us: int) -> None:
    """Rights and time of a file that is complete."""
    if executable:
        mode = os.fstat(handle).st_mode
        os.fchmod(handle, mode | (mode & 0o444) >> 2)
    if mtime_us:
        mtime_ns = mtime_us * 1000
        os.utime(handle, ns=(mtime_ns, mtime_ns))


def check(data: bytes | memoryview, expected: bytes, name: str) -> None:
    """Raise `Corrupt`, and remove the file, if its bytes are not those that were stored."""
    if hash_bytes(data) != expected:
        Path(name).unlink(missing_ok=True)
        raise Corrupt(
            f"{name}: {len(data)} stored bytes do not hash to {expected.hex()[:16]}... as recorded; "
            "an object was damaged: restore it from a backup of the bucket"
        )
