"""Bodies without copies: of a PUT as botocore takes it, of a GET into memory that is there already.

botocore takes `bytes`, which it has sent in pieces of 16 KiB, `bytearray`, or something with `read`; not a view of
memory that somebody else fills again later. What it gives reads new `bytes`, also for `readinto`, and holds the
interpreter while it copies them.
"""

from __future__ import annotations

import http.client
import io
from typing import TYPE_CHECKING, Any

from botocore.exceptions import IncompleteReadError, ReadTimeoutError, ResponseStreamingError

if TYPE_CHECKING:
    from collections.abc import Mapping


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


def read_into(view: memoryview, answer: Mapping[str, Any]) -> int:
    """Read the body of a GET into `view`, which is long enough; how many bytes it had.

    Raises botocore's `IncompleteReadError`, `ReadTimeoutError` and `ResponseStreamingError`.
    """
    expected: int = answer["ContentLength"]
    raw, plain = _responses(answer["Body"])
    if plain is None:
        body = answer["Body"].read()
        view[: len(body)] = body
        return len(body)
    at = 0
    try:
        while at < expected and (count := plain.readinto(view[at:expected])):
            at += count
    except TimeoutError as error:
        raw.close()
        raise ReadTimeoutError(endpoint_url="", error=error) from error
    except (http.client.HTTPException, OSError) as error:
        raw.close()
        raise ResponseStreamingError(error=error) from error
    if at < expected:
        raw.close()
        raise IncompleteReadError(actual_bytes=at, expected_bytes=expected)
    raw.release_conn()
    return at


def _responses(body: Any) -> tuple[Any, http.client.HTTPResponse | None]:
    """urllib3's response and Python's own inside it; None where libraries have it elsewhere."""
    raw = getattr(body, "_raw_stream", None)
    plain = getattr(raw, "_original_response", None)
    return raw, plain if isinstance(plain, http.client.HTTPResponse) else None
