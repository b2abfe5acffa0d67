"""Opening files below a directory whose contents somebody else arranged.

The worker holds credentials and reads what user code left behind, so a link planted by that code
must never lead it elsewhere. Nothing here follows a link by itself: every component is opened with
O_NOFOLLOW relative to its parent, and `resolve` follows links in our own code, inside /pfs only.
"""

from __future__ import annotations

import os
import stat
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_LINKS = 40
"""Links followed for one path before we call it a loop, as Linux does."""


class LeavesPfs(Exception):
    """A link leads to a place that is not below /pfs."""


def open_beneath(root_fd: int, parts: Sequence[str], flags: int) -> int:
    """Open `parts` below the directory `root_fd` without following any link; raises OSError (ELOOP, ENOTDIR) on one."""
    if not parts:
        return os.open(".", flags | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=root_fd)
    parent = root_fd
    try:
        for part in parts[:-1]:
            child = os.open(part, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
            _close_unless(parent, root_fd)
            parent = child
        return os.open(parts[-1], flags | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    finally:
        _close_unless(parent, root_fd)


def _close_unless(fd: int, kept: int) -> None:
    if fd != kept:
        os.close(fd)


def stat_beneath(root_fd: int, parts: Sequence[str]) -> os.stat_result:
    """The lstat of `parts` below the directory `root_fd`."""
    fd = open_beneath(root_fd, parts, os.O_PATH)
    try:
        return os.fstat(fd)
    finally:
        os.close(fd)


def read_link(root_fd: int, parts: Sequence[str]) -> str:
    """The target of the link at `parts` below `root_fd`, as written."""
    fd = open_beneath(root_fd, parts, os.O_PATH)
    try:
        return os.readlink("", dir_fd=fd)
    finally:
        os.close(fd)


def open_readable(root_fd: int, parts: Sequence[str], flags: int = 0) -> int:
    """Open for reading what its owner, if that is us, may have made unreadable. Never blocks on a named pipe."""
    flags |= os.O_RDONLY | os.O_NONBLOCK
    try:
        return open_beneath(root_fd, parts, flags)
    except PermissionError:
        fd = open_beneath(root_fd, parts, os.O_PATH)
        try:
            mode = os.fstat(fd).st_mode
            Path(f"/proc/self/fd/{fd}").chmod(stat.S_IMODE(mode) | (0o500 if stat.S_ISDIR(mode) else 0o400))
        finally:
            os.close(fd)
        return open_beneath(root_fd, parts, flags)


def resolve(root_fd: int, parts: Sequence[str], pfs_path: str) -> tuple[str, ...]:
    """Follow every link in `parts`, which lies below `root_fd`; the result has none.

    `pfs_path` is what the user's code called the directory `root_fd` (normally `/pfs`), for absolute
    links. Raises `LeavesPfs`, and OSError for what is missing, for loops, and for files used as directories.
    """
    pfs = tuple(part for part in pfs_path.split("/") if part)
    pending = deque((*pfs, *parts))
    done: list[str] = []
    links = 0
    while pending:
        part = pending.popleft()
        if part in ("", "."):
            continue
        if part == "..":
            del done[-1:]
            continue
        done.append(part)
        if len(done) <= len(pfs):
            if tuple(done) != pfs[: len(done)]:
                raise LeavesPfs("/" + "/".join((*done, *pending)))
            continue
        if not stat.S_ISLNK(stat_beneath(root_fd, done[len(pfs) :]).st_mode):
            continue
        links += 1
        if links > MAX_LINKS:
            raise OSError(40, "too many links, or a loop of links")
        target = read_link(root_fd, done[len(pfs) :])
        done = [] if target.startswith("/") else done[:-1]
        pending.extendleft(reversed(target.split("/")))
    if len(done) < len(pfs):
        raise LeavesPfs("/" + "/".join(done))
    return tuple(done[len(pfs) :])
