"""A child process that does a part of our work, forked before this process has imported much."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

# They start threads.
_HEAVY = ("numpy", "pyarrow")
_STANDARD = 2


def may_fork() -> bool:
    """Whether this process is still as small and simple as it must be for a fork to be safe, and worth it."""
    return sys.platform == "linux" and threading.active_count() == 1 and sys.modules.keys().isdisjoint(_HEAVY)


def fork(keep: Collection[int]) -> int:
    """`os.fork`, with a child that Ctrl-C does not reach: that goes to all of a terminal, and is for the parent to say.

    Of the parent's open files the child has the standard ones and those to `keep`: a pipe to another child that it had
    as well would never end. It must end with `os._exit`, so that it does nothing of what its parent would do at its
    end. Raises `OSError`.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        pid = os.fork()
        if not pid:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            gc.disable()
            _close_all_but(keep)
        return pid
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _close_all_but(keep: Collection[int]) -> None:
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - only the names
        handle = int(name)
        if handle > _STANDARD and handle not in keep:
            with suppress(OSError):  # that of the listing is closed already
                os.close(handle)


def end_child(pid: int) -> None:
    """End a child, whatever it is doing."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    with suppress(ChildProcessError):
        os.waitpid(pid, 0)


def read_exactly(handle: int, size: int) -> bytes | None:
    """So many bytes of a pipe; None if it ends before."""
    parts: list[bytes] = []
    while size:
        part = os.read(handle, size)
        if not part:
            return None
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
