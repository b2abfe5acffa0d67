"""A command's output on its way to a log: cut into lines, and its end kept for the record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_pachy.worker.runner import LOG_TAIL_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST_LINE_BYTES = 64 << 10
"""A longer line is logged in pieces, so that output without line ends cannot fill the memory."""


class OutputLog:
    """Feeds `log` with lines; not thread-safe."""

    def __init__(self, log: Callable[[str], None]) -> None:
        self._log = log
        self._line = b""
        self._tail = bytearray()

    def feed(self, data: bytes) -> None:
        """Take the next bytes of output."""
        self._tail += data
        if len(self._tail) > 2 * LOG_TAIL_BYTES:
            del self._tail[:-LOG_TAIL_BYTES]
        *lines, self._line = (self._line + data).split(b"\n")
        for line in lines:
            self._log(line.decode("utf-8", "replace"))
        if len(self._line) > LONGEST_LINE_BYTES:
            self.end()

    def end(self) -> None:
        """Log what is left of a line without an end."""
        if self._line:
            self._log(self._line.decode("utf-8", "replace"))
            self._line = b""

    def tail(self) -> str:
        """The last bytes of the output, as text."""
        return decode_tail(bytes(self._tail))


def decode_tail(data: bytes) -> str:
    """The last `LOG_TAIL_BYTES` as text, from the start of a line where there is one."""
    tail = data[-LOG_TAIL_BYTES:]
    if len(data) > LOG_TAIL_BYTES and b"\n" in tail[:-1]:
        tail = tail.split(b"\n", 1)[1]
    return tail.decode("utf-8", "replace")
