"""Finding the files below a local directory, in the order of a tree, and reading small ones; both as fast as can be.

A directory that is put may have hundreds of thousands of small files, so what is done for each of them counts.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from airflow_pachy.errors import InvalidPath
from airflow_pachy.pfs.paths import clean_path

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    Group = tuple[str, list[tuple[str, os.DirEntry[str]]]]

# Files up to the size of the smallest chunk are read whole: they are one segment with one plain hash.
WHOLE_BYTES = 1 << 20
# Not waiting means nothing to a file of a disk; it does to a pipe that took the place of one.
_READ_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK


class LocalFile(NamedTuple):
    """A regular file found below a directory. `path` is relative to it, in the kept form."""

    path: str
    local: str
    size_bytes: int
    executable: bool
    mtime_ns: int


def walk_local(directory: Path) -> Iterator[LocalFile]:
    """Regular files below a directory, sorted by path as a tree sorts them. Links to files count as files.

    Raises `InvalidPath` for names that are not UTF-8, for links to directories (they may lead in circles) and
    for anything that is not a file: leaving something out silently would be worse.
    """
    for prefix, items in walk_groups(directory):
        for name, item in items:
            status = status_of(item)
            executable = bool(status.st_mode & stat.S_IXUSR)
            yield LocalFile(prefix + name, item.path, status.st_size, executable, status.st_mtime_ns)


def walk_groups(directory: Path) -> Iterator[Group]:
    """The same, not looked at yet: runs of files of one directory, each with what comes before their names.

    The files are as the directory tells; `status_of` and `open_found` say what they are.
    """
    if not directory.is_dir():
        raise InvalidPath(f"{directory} is not a directory; use put_file for a single file")
    yield from _walk(os.fspath(directory), "")


def status_of(item: os.DirEntry[str]) -> os.stat_result:
    """What is known of a file that was found; raises `InvalidPath` if it is none, or none any more."""
    try:
        status = item.stat()
    except FileNotFoundError as error:
        raise _vanished(item) from error
    if not stat.S_ISREG(status.st_mode):
        _refuse(item)
    return status


def open_found(item: os.DirEntry[str]) -> tuple[int, os.stat_result]:
    """A file that was found, opened, with what is known of it; raises as `status_of` does."""
    if not item.is_file():
        status_of(item)
    try:
        handle = os.open(item.path, _READ_FLAGS)
    except FileNotFoundError as error:
        raise _vanished(item) from error
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        os.close(handle)
        _refuse(item)
    return handle, status


def _walk(local: str, prefix: str) -> Iterator[Group]:
    with os.scandir(local) as found:
        # A directory sorts as if its name ended in '/', since all paths below it continue that way. Code points sort
        # as their UTF-8 bytes do.
        items = sorted((one.name + "/" if one.is_dir(follow_symlinks=False) else one.name, one) for one in found)
    files: list[tuple[str, os.DirEntry[str]]] = []
    for name, item in items:
        if not name.isascii():
            _require_utf8(item)
        if name[-1] != "/":
            files.append((name, item))
            continue
        if files:
            yield prefix, files
            files = []
        yield from _walk(item.path, prefix + name)
    if files:
        yield prefix, files


def _require_utf8(item: os.DirEntry[str]) -> None:
    try:
        clean_path(item.name)
    except InvalidPath as error:
        raise InvalidPath(f"{os.fsencode(item.path)!r} cannot be put: {error}") from error


def _refuse(item: os.DirEntry[str]) -> NoReturn:
    kind = "a link to a directory" if item.is_dir() else "neither a file nor a directory"
    raise InvalidPath(f"{item.path} is {kind}, which cannot be put; remove it or put its target by itself")


def _vanished(item: os.DirEntry[str]) -> InvalidPath:
    return InvalidPath(f"{item.path} is a link to nothing, or vanished while it was put")
