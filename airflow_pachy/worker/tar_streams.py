"""Tar archives one after the other in a pipe, as spouts write them.

An archive ends with a block of zeros. What follows may be padding, the next archive, or the end of the pipe while
nobody writes. An archive that ends without its block was cut off, and nothing of it counts.
"""

from __future__ import annotations

import os
import select
import tarfile
from typing import TYPE_CHECKING, BinaryIO, TypeVar, cast

from airflow_pachy.errors import DatumFailed

if TYPE_CHECKING:
    from collections.abc import Callable

Taken = TypeVar("Taken")

BLOCK = 512
_ZEROS = bytes(BLOCK)
_READ = 1 << 16
_WAIT_MILLISECONDS = 200


class BadStream(DatumFailed):
    """What was written is no whole tar archive; the message says what it is instead."""


class Interrupted(Exception):
    """We were told to end while waiting for more."""


class Pipe:
    """Reads a named pipe that was opened without blocking; counts as a file for `tarfile`.

    `given_up` is asked while nothing comes. Writers may come and go: while there is none, `read` returns what there is.
    """

    def __init__(self, fd: int, given_up: Callable[[], bool]) -> None:
        self._fd = fd
        self._given_up = given_up
        self._buffer = b""
        self.last_block = b""

    def read(self, size: int) -> bytes:
        """`size` bytes, fewer at the end of what was written. Raises `Interrupted`."""
        parts, missing = [], size
        while missing:
            if not self._buffer and not self._fill():
                break
            part = self._buffer[:missing]
            self._buffer = self._buffer[missing:]
            parts.append(part)
            missing -= len(part)
        found = b"".join(parts)
        if size == BLOCK:
            self.last_block = found
        return found

    def at_archive(self) -> bool:
        """Whether a block that is not padding is there now, without waiting for a writer; leaves it to be read."""
        while True:
            block = self.read(BLOCK)
            if not block:
                return False
            if block != _ZEROS:
                self._buffer = block + self._buffer
                return True

    def _fill(self) -> bool:
        """Whether more has come; False when nobody has the pipe open for writing."""
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        while True:
            try:
                self._buffer = os.read(self._fd, _READ)
            except BlockingIOError:
                if self._given_up():
                    raise Interrupted from None
                poll.poll(_WAIT_MILLISECONDS)
                continue
            return bool(self._buffer)


def read_archive(pipe: Pipe, take: Callable[[tarfile.TarInfo, BinaryIO], Taken]) -> list[Taken]:
    """What `take` makes of each file of the archive that begins here, in its order.

    Raises `BadStream`, `Interrupted`, and what `take` raises.
    """
    found: list[Taken] = []
    try:
        # No more than a block at a time, lest it read into the next archive.
        with tarfile.open(fileobj=cast("BinaryIO", pipe), mode="r|", bufsize=BLOCK) as archive:
            while (member := archive.next()) is not None:
                # It would remember them all; typeshed has no name for it.
                archive.members.clear()  # type: ignore[attr-defined]
                if member.isdir():
                    continue
                if not member.isreg():
                    raise BadStream(f"{member.name!r} is {_kind(member)}: a spout writes regular files")
                content = archive.extractfile(member)
                assert content is not None
                found.append(take(member, cast("BinaryIO", content)))
    except tarfile.TarError as error:
        raise BadStream(f"it is not a tar archive, or was cut off: {error}") from error
    if pipe.last_block != _ZEROS:
        raise BadStream("it was cut off: a tar archive ends with a block of zeros; close the archive before the pipe")
    return found


def _kind(member: tarfile.TarInfo) -> str:
    if member.issym() or member.islnk():
        return "a link"
    return "a device or pipe"
