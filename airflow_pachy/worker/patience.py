"""A store that waits for a service that is away, so that half a minute without S3 costs no pod and no datum's work.

Only for the helper: while it waits the user's container waits with it, which is cheaper than to lose what is staged,
running and not yet recorded. A service that has never answered is given up sooner: its address is probably wrong.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from airflow_pachy.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from airflow_pachy.pfs.objects.store import ObjectInfo, ObjectStore

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait: before the first answer, and after it; `given_up` ends all waiting, as at TERM."""

    first_seconds: float = 60.0
    seconds: float = 600.0
    pause_seconds: float = 2.0
    log: Callable[[str], None] = lambda _line: None
    given_up: Callable[[], bool] = lambda: False
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


class PatientStore:
    """Repeats what fails with `Unavailable`; other errors pass at once. As thread-safe as the store inside."""

    def __init__(self, store: ObjectStore, patience: Patience | None = None) -> None:
        self.inner = store
        self._patience = patience or Patience()
        self._answered = False

    @property
    def url(self) -> str:
        """Of the store inside."""
        return self.inner.url

    def get(self, key: str, *, offset: int = 0, length: int | None = None) -> bytes:
        """See `ObjectStore.get`."""
        return self._repeat(lambda: self.inner.get(key, offset=offset, length=length))

    def put(self, key: str, body: bytes | bytearray | memoryview, *, if_absent: bool = False) -> None:
        """See `ObjectStore.put`; with `if_absent` a repeated write may find what its first try has written."""
        self._repeat(lambda: self.inner.put(key, body, if_absent=if_absent))

    def head(self, key: str) -> ObjectInfo:
        """See `ObjectStore.head`."""
        return self._repeat(lambda: self.inner.head(key))

    def list_keys(self, prefix: str = "", *, after: str | None = None) -> Iterator[ObjectInfo]:
        """See `ObjectStore.list_keys`; goes on where an interrupted listing ended."""
        listing: Iterator[ObjectInfo] | None = None
        while True:
            seen = after

            def step(seen: str | None = seen) -> ObjectInfo | None:
                nonlocal listing
                listing = listing or iter(self.inner.list_keys(prefix, after=seen))
                try:
                    return next(listing, None)
                except Unavailable:
                    listing = None
                    raise

            found = self._repeat(step)
            if found is None:
                return
            after = found.key
            yield found

    def delete(self, keys: Iterable[str]) -> None:
        """See `ObjectStore.delete`."""
        wanted = list(keys)
        self._repeat(lambda: self.inner.delete(wanted))

    def close(self) -> None:
        """Close the store inside."""
        self.inner.close()

    def _repeat(self, request: Callable[[], T]) -> T:
        patience = self._patience
        started = patience.clock()
        told = False
        while True:
            try:
                answer = request()
            except Unavailable as error:
                limit = patience.seconds if self._answered else patience.first_seconds
                if patience.clock() - started >= limit or patience.given_up():
                    raise
                if not told:
                    patience.log(f"trying for up to {limit:g} seconds: {error}")
                    told = True
                patience.sleep(patience.pause_seconds)
            else:
                self._answered = True
                if told:
                    patience.log(f"answered after {patience.clock() - started:.0f} seconds")
                return answer
