"""The body of a PUT as botocore takes it, without a copy and without small pieces.

botocore takes `bytes`, which it has sent in pieces of 16 KiB, `bytearray`, or something with `read`; not a view of
memory that somebody else fills again later.
"""

from __future__ import annotations

import io


class Body(io.RawIOBase):
    """Bytes in memory as a file. They must stay as they are until the request has ended."""

    def __init__(self, data: bytes | bytearray | memoryview) -> None:
        super().__init__()
        self._data = memoryview(data).cast("B")
        self._at = 0

    def __len__(self) -> int:
        return len(self._data)

    def __bool__(self) -> bool:
        return True

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always: what is sent again is read again."""
        return True

    def read(self, size: int = -1) -> memoryview:
        """All that is left, whatever `size` is: one call sends it all, in which no other thread waits for ours."""
        del size
        at, self._at = self._at, len(self._data)
        return self._data[at:]

    def tell(self) -> int:
        """Where the next `read` begins."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """As files do."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: len(self._data)}[whence]
        self._at = min(max(0, base + offset), len(self._data))
        return self._at
