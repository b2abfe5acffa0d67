"""A store that misbehaves on demand: what networks and services do to every program sooner or later.

    store = FaultyStore(MemoryStore(), Fault("put", on=2, kind="lost answer"))

raises `StoreUnavailable` from the second put although the object was written.
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from airflow_pachy.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from airflow_pachy.pfs.objects.store import ObjectInfo, ObjectStore

Verb = Literal["get", "put", "head", "list", "delete"]
Kind = Literal["unavailable", "lost answer", "truncated", "damaged", "dead"]


class Died(BaseException):
    """The process "dies" here; not an `Exception`, so that nothing handles it by chance."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong at the `on`-th call of `verb` (from 1; 0 means at each), for keys that start with `prefix`.

    * unavailable: refused before anything happened, as with 503
    * lost answer: done, but the caller is told that the store did not answer
    * truncated: a get brings half the bytes; damaged: one bit of them is wrong
    * dead: `Died` is raised, and by every later call
    """

    verb: Verb
    kind: Kind
    on: int = 0
    prefix: str = ""


class FaultyStore:
    """Passes calls to `inner`, with faults. `calls` counts by verb."""

    def __init__(self, inner: ObjectStore, *faults: Fault) -> None:
        self.inner = inner
        self.faults = list(faults)
        self.calls: Counter[str] = Counter()
        self._met: Counter[Fault] = Counter()
        self._dead = False
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        """Of the store inside."""
        return self.inner.url

    def get(self, key: str, *, offset: int = 0, length: int | None = None) -> bytes:
        """Bytes of an object, perhaps not all or not the right ones."""
        kind = self._begin("get", key)
        body = self.inner.get(key, offset=offset, length=length)
        self._end(kind, "get", key)
        if kind == "truncated":
            return body[: len(body) // 2]
        if kind == "damaged" and body:
            middle = len(body) // 2
            return body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]
        return body

    def put(self, key: str, body: bytes | bytearray | memoryview, *, if_absent: bool = False) -> None:
        """Write an object, perhaps without knowing."""
        kind = self._begin("put", key)
        self.inner.put(key, body, if_absent=if_absent)
        self._end(kind, "put", key)

    def head(self, key: str) -> ObjectInfo:
        """Size and time of an object."""
        kind = self._begin("head", key)
        info = self.inner.head(key)
        self._end(kind, "head", key)
        return info

    def list_keys(self, prefix: str = "", *, after: str | None = None) -> Iterator[ObjectInfo]:
        """List objects; the fault comes with the first one."""
        kind = self._begin("list", prefix)
        self._end(kind, "list", prefix)
        return self.inner.list_keys(prefix, after=after)

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects; the first key decides about a fault."""
        listed = list(keys)
        kind = self._begin("delete", listed[0] if listed else "")
        self.inner.delete(listed)
        self._end(kind, "delete", listed[0] if listed else "")

    def close(self) -> None:
        """Close the store inside."""
        self.inner.close()

    def _begin(self, verb: Verb, key: str) -> Kind | None:
        with self._lock:
            kind = self._choose(verb, key)
            self._dead = self._dead or kind == "dead"
            if self._dead:
                raise Died(f"{verb} {key}")
        if kind == "unavailable":
            raise StoreUnavailable(f"{verb} {self.url}/{key}: 503 Slow Down (a fault asked for by the test)")
        return kind

    def _choose(self, verb: Verb, key: str) -> Kind | None:
        self.calls[verb] += 1
        for fault in self.faults:
            if fault.verb == verb and key.startswith(fault.prefix):
                self._met[fault] += 1
                if fault.on in {0, self._met[fault]}:
                    return fault.kind
        return None

    def _end(self, kind: Kind | None, verb: str, key: str) -> None:
        if kind == "lost answer":
            raise StoreUnavailable(f"{verb} {self.url}/{key}: no answer (a fault asked for by the test)")
