"""The other side of `beside`: requests and answers through pipes, and the process that does what it is asked."""

from __future__ import annotations

import marshal
import os
import pickle
import struct
import threading
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC
from itertools import islice
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_pachy.errors import StoreUnavailable
from airflow_pachy.forking import read_exactly
from airflow_pachy.pfs.objects.opening import open_store
from airflow_pachy.pfs.objects.store import GetsInto, ObjectInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from airflow_pachy.pfs.objects.rooms import SharedRooms
    from airflow_pachy.pfs.objects.store import ObjectStore

PAGE = 1000
"""How many objects a listing tells at a time: as many as S3 does."""
BYTES, VALUE, RAISED = range(3)
"""What an answer is: bytes as they are, something pickled, a pickled exception."""
# To the process: bytes of the request, bytes of the body that follows. From it: what the answer is, bytes of it.
_REQUEST = struct.Struct("<QQ")
_ANSWER = struct.Struct("<BQ")


@dataclass(frozen=True, slots=True)
class Shared:
    """What the process does besides: it fetches into `rooms`, and does `work` on what lies in one.

    `work` gets these bytes and what the parent says of them, and returns something that can be pickled.
    """

    rooms: SharedRooms
    work: Callable[[memoryview, bytes], Any]


class Pair:
    """One end of two pipes: one to write requests or answers to, one to read the other side's from."""

    def __init__(self, reading: int, writing: int) -> None:
        self._reading = reading
        self._writing = writing

    def ask(self, request: tuple[Any, ...], body: bytes | bytearray | memoryview = b"") -> bool:
        """Write a request; False if nobody is there to read it."""
        said = marshal.dumps(request)
        try:
            _write(self._writing, _REQUEST.pack(len(said), len(body)) + said)
            _write(self._writing, body)
        except BrokenPipeError:
            return False
        return True

    def answer(self) -> tuple[int, bytes] | None:
        """The outcome of the request and what comes with it; None if nobody is there to answer."""
        head = read_exactly(self._reading, _ANSWER.size)
        if head is None:
            return None
        outcome, size = _ANSWER.unpack(head)
        body = _read(self._reading, size)
        return None if body is None else (outcome, bytes(body))

    def requests(self) -> Iterator[tuple[tuple[Any, ...], bytearray]]:
        """For the process: requests as they come, until nobody is there to ask."""
        while (head := read_exactly(self._reading, _REQUEST.size)) is not None:
            said, size = _REQUEST.unpack(head)
            request, body = read_exactly(self._reading, said), _read(self._reading, size)
            if request is None or body is None:
                return
            yield marshal.loads(request), body  # noqa: S302 - of our own parent

    def reply(self, outcome: int, value: bytes) -> None:
        """For the process: the answer to the last request."""
        _write(self._writing, _ANSWER.pack(outcome, len(value)))
        _write(self._writing, value)

    @property
    def handles(self) -> tuple[int, int]:
        """Of both."""
        return self._reading, self._writing

    def close(self) -> None:
        """Close both."""
        for handle in self.handles:
            os.close(handle)


def make_pair() -> tuple[Pair, Pair]:
    """Both ends of two pipes: ours, and that of the process."""
    to_read, to_write = os.pipe()
    try:
        back_read, back_write = os.pipe()
    except OSError:
        os.close(to_read)
        os.close(to_write)
        raise
    return Pair(back_read, to_write), Pair(to_read, back_write)


def _write(handle: int, body: bytes | bytearray | memoryview) -> None:
    left = memoryview(body).cast("B") if len(body) else memoryview(b"")
    while left:
        left = left[os.write(handle, left) :]


def _read(handle: int, size: int) -> bytearray | None:
    """So many bytes; None if the pipe ends before."""
    body = bytearray(size)
    left = memoryview(body)
    while left:
        count = os.readv(handle, (left,))
        if not count:
            return None
        left = left[count:]
    return body


def be_the_process(pairs: list[Pair], url: str, s3: Mapping[str, Any] | None, shared: Shared | None) -> NoReturn:
    """Open the store and answer what comes through the pipes, for as long as the parent is there."""
    try:
        server = _Server(url, s3, shared)
        for pair in pairs[1:]:
            threading.Thread(target=server.serve, args=(pair,), daemon=True).start()
        server.serve(pairs[0])
    finally:
        # Nothing of what the parent would do at its end: no flushing of its files, no exit functions.
        os._exit(0)


class _Server:
    """The store, and what is done with it; if it cannot be opened, each request is told why."""

    def __init__(self, url: str, s3: Mapping[str, Any] | None, shared: Shared | None) -> None:
        self._shared = shared
        self._error: Exception | None = None
        try:
            self._store = open_store(url, s3=s3)
        except Exception as error:  # noqa: BLE001 - the parent raises it
            self._error = error

    def serve(self, pair: Pair) -> None:
        """Answer requests until the parent is gone; then the whole process ends."""
        with suppress(BrokenPipeError):
            for request, body in pair.requests():
                pair.reply(*self._answer(request, body))
        os._exit(0)

    def _answer(self, request: tuple[Any, ...], body: bytearray) -> tuple[int, bytes]:
        if self._error is not None:
            return RAISED, _pickled(self._error)
        try:
            value = self._do(*request, body=body)
            return (BYTES, value) if isinstance(value, bytes) else (VALUE, pickle.dumps(value))
        except Exception as error:  # noqa: BLE001 - the parent raises it
            return RAISED, _pickled(error)

    def _do(self, verb: str, *arguments: Any, body: bytearray) -> Any:
        store = self._store
        if verb == "get":
            key, offset, length = arguments
            return store.get(key, offset=offset, length=length)
        if verb in {"fetch", "work"}:
            return self._share(verb, *arguments, body=body)
        if verb == "put":
            key, if_absent = arguments
            return store.put(key, body, if_absent=if_absent)
        if verb == "head":
            return _plain(store.head(*arguments))
        if verb == "list":
            prefix, after = arguments
            return [_plain(info) for info in islice(store.list_keys(prefix, after=after), PAGE)]
        return store.delete(*arguments)

    def _share(self, verb: str, *arguments: Any, body: bytearray) -> Any:
        assert self._shared is not None
        rooms = self._shared.rooms
        if verb == "fetch":
            key, offset, length, room = arguments
            return get_into(self._store, rooms.view(room, length), key, offset)
        room, length = arguments
        return self._shared.work(rooms.view(room, length), bytes(body))


def get_into(store: ObjectStore, view: memoryview, key: str, offset: int) -> int:
    """As `get` of as many bytes as `view` has, into it; how many there were."""
    if isinstance(store, GetsInto):
        return store.get_into(view, key, offset)
    body = store.get(key, offset=offset, length=len(view))
    view[: len(body)] = body
    return len(body)


def _plain(info: ObjectInfo) -> ObjectInfo:
    """The same with a time zone of Python's own, which the parent need not import anything for."""
    return ObjectInfo(info.key, info.size_bytes, info.modified.astimezone(UTC))


def _pickled(error: Exception) -> bytes:
    try:
        body = pickle.dumps(error)
        pickle.loads(body)  # noqa: S301 - just made; an error that can be pickled may not be one that can be made again
    except Exception:  # noqa: BLE001 - whatever it is, the parent must hear of the error
        body = pickle.dumps(StoreUnavailable(f"{type(error).__name__}: {error}"))
    return body
