"""Finding the files below a local directory, in the order of a tree, and reading small ones; both as fast as can be.

A directory that is put may have hundreds of thousands of small files, so what is done for each of them counts.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from airflow_pachy.errors import InvalidPath
from airflow_pachy.pfs.paths import clean_path

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Files up to the size of the smallest chunk are read whole: they are one segment with one plain hash.
WHOLE_BYTES = 1 << 20
_READ_FLAGS = os.O_RDONLY | os.O_CLOEXEC


class LocalFile(NamedTuple):
    """A regular file found below a directory. `path` is relative to it, in the kept form.

    Times are in nanoseconds, as the file system tells them: of the content, and of the file's own record, which
    no program can set.
    """

    path: str
    local: str
    size_bytes: int
    executable: bool
    mtime_ns: int
    ctime_ns: int
    inode: int


def walk_local(directory: Path) -> Iterator[LocalFile]:
    """Regular files below a directory, sorted by path as a tree sorts them. Links to files count as files.

    Raises `InvalidPath` for names that are not UTF-8, for links to directories (they may lead in circles) and
    for anything that is not a file: leaving something out silently would be worse.
    """
    if not directory.is_dir():
        raise InvalidPath(f"{directory} is not a directory; use put_file for a single file")
    yield from _walk(os.fspath(directory), "")


def read_whole(path: str, expected_bytes: int) -> bytes:
    """A small file with three system calls: a file object needs five and a larger buffer, and files are many."""
    handle = os.open(path, _READ_FLAGS)
    try:
        data = os.read(handle, expected_bytes + 1)
        while len(data) != expected_bytes and (more := os.read(handle, WHOLE_BYTES)):
            data += more
            expected_bytes = max(expected_bytes, len(data))  # it grew since it was found, or is no file of a disk
        return data
    finally:
        os.close(handle)


def _walk(local: str, prefix: str) -> Iterator[LocalFile]:
    with os.scandir(local) as found:
        # A directory sorts as if its name ended in '/', since all paths below it continue that way. Code points sort
        # as their UTF-8 bytes do.
        items = sorted((one.name + "/" if one.is_dir(follow_symlinks=False) else one.name, one) for one in found)
    for name, item in items:
        if not name.isascii():
            _require_utf8(item)
        if name[-1] == "/":
            yield from _walk(item.path, prefix + name)
            continue
        status = _status(item)
        mode = status.st_mode
        if not stat.S_ISREG(mode):
            kind = "a link to a directory" if item.is_dir() else "neither a file nor a directory"
            raise InvalidPath(f"{item.path} is {kind}, which cannot be put; remove it or put its target by itself")
        yield LocalFile(
            prefix + name,
            item.path,
            status.st_size,
            bool(mode & stat.S_IXUSR),
            status.st_mtime_ns,
            status.st_ctime_ns,
            status.st_ino,
        )


def _require_utf8(item: os.DirEntry[str]) -> None:
    try:
        clean_path(item.name)
    except InvalidPath as error:
        raise InvalidPath(f"{os.fsencode(item.path)!r} cannot be put: {error}") from error


def _status(item: os.DirEntry[str]) -> os.stat_result:
    try:
        return item.stat()
    except FileNotFoundError as error:
        raise InvalidPath(f"{item.path} is a link to nothing, or vanished while it was put") from error
