"""The one interface between us and whatever keeps the bytes.

It is narrow on purpose: a handful of calls that S3, a directory and a dict can all do with the same
meaning, so that retries, metrics and faults are wrappers over it and every backend passes one
contract suite (`airflow_pachy.testing.object_store`). Keys are UTF-8 strings with `/` between
segments, relative to the store's root, never starting or ending with `/`.

What every implementation promises:

* a `put` is visible in full or not at all, also when the process dies inside it;
* after `put` returns, every reader sees the object (strong read-after-write);
* `put(..., if_absent=True)` succeeds for exactly one of several racing writers;
* `list_keys` is ordered by the key's UTF-8 bytes;
* methods may be called from several threads at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What a listing or a HEAD tells of one object: `modified` is by the store's own clock, UTC."""

    key: str
    size_bytes: int
    modified: datetime


@runtime_checkable
class ObjectStore(Protocol):
    """Immutable objects by key. Raises `ObjectNotFound`, `ObjectExists`, `StoreDenied`, `StoreUnavailable`."""

    @property
    def url(self) -> str:
        """Where this store is, as accepted by `open_store` (no credentials in it)."""
        ...

    def get(self, key: str, *, offset: int = 0, length: int | None = None) -> bytes:
        """Bytes `[offset, offset + length)` of an object; shorter when the object ends earlier."""
        ...

    def put(self, key: str, body: bytes | bytearray | memoryview, *, if_absent: bool = False) -> None:
        """Write an object whole. With `if_absent`, raise `ObjectExists` if the key is taken."""
        ...

    def head(self, key: str) -> ObjectInfo:
        """Size and time of one object."""
        ...

    def list_keys(self, prefix: str = "", *, after: str | None = None) -> Iterator[ObjectInfo]:
        """Every object whose key starts with `prefix` and sorts after `after`, in key order, paged underneath."""
        ...

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects; a key that is not there is not an error."""
        ...

    def close(self) -> None:
        """Release connections; the store may not be used afterwards."""
        ...


@runtime_checkable
class GetsInto(Protocol):
    """A store that can put what it gets into memory of the caller's without a copy of all of it before."""

    def get_into(self, view: memoryview, key: str, offset: int) -> int:
        """As `get` of as many bytes as `view` has; how many there were."""
        ...


@runtime_checkable
class KeepsCopies(Protocol):
    """A store that answers from copies where it has them."""

    def discard(self, key: str) -> None:
        """Let go of a copy, which cannot be what it should be."""
        ...
