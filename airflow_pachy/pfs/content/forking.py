"""A child process that does a part of our work, forked before this process has imported much."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from contextlib import suppress

# They start threads.
_HEAVY = ("numpy", "pyarrow")


def may_fork() -> bool:
    """Whether this process is still as small and simple as it must be for a fork to be safe, and worth it."""
    return sys.platform == "linux" and threading.active_count() == 1 and sys.modules.keys().isdisjoint(_HEAVY)


def fork() -> int:
    """`os.fork`, with a child that Ctrl-C does not reach: that goes to all of a terminal, and is for the parent to say.

    The child must end with `os._exit`, so that it does nothing of what its parent would do at its end. Raises
    `OSError`.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        pid = os.fork()
        if not pid:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            gc.disable()
        return pid
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


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
