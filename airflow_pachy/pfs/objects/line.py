"""Talking to a process beside ours from several threads, and having it fetch into memory that both share."""

from __future__ import annotations

import pickle
from contextlib import suppress
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from airflow_pachy.pfs.objects.beside_process import BYTES, RAISED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from airflow_pachy.pfs.objects.beside_process import Pair
    from airflow_pachy.pfs.objects.rooms import SharedRooms


class ProcessGoneError(Exception):
    """The process was killed, or ended by itself."""


class Line:
    """A few pairs of pipes, of which each request has one until it is answered; further requests wait."""

    def __init__(self, pairs: Iterable[Pair]) -> None:
        self.pairs = list(pairs)
        self._free: SimpleQueue[Pair] = SimpleQueue()
        for pair in self.pairs:
            self._free.put(pair)

    def call(self, *request: Any, body: bytes | bytearray | memoryview = b"") -> Any:
        """What the process answers. Raises what it raised, and `ProcessGoneError` if it is gone."""
        return self.answer(self.ask(*request, body=body))

    def ask(self, *request: Any, body: bytes | bytearray | memoryview = b"") -> Pair:
        """The pair through which the answer will come."""
        pair = self._free.get()
        pair.ask(request, body)  # what nobody reads nobody answers
        return pair

    def answer(self, pair: Pair) -> Any:
        """Wait for it, as `call`. A pair whose request was interrupted is not used again."""
        answer = pair.answer()
        self._free.put(pair)  # also when it is as useless as all others: nobody must wait for one
        if answer is None:
            raise ProcessGoneError
        outcome, value = answer
        if outcome == RAISED:
            raise pickle.loads(value)  # noqa: S301 - of our own process
        return value if outcome == BYTES else pickle.loads(value)  # noqa: S301 - of our own process

    def close(self) -> None:
        """Close the pipes."""
        for pair in self.pairs:
            pair.close()


class Fetched:
    """Bytes of an object that the process fetches into a room, from now on; for one thread.

    `otherwise` gets them if the process is gone.
    """

    def __init__(
        self, line: Line, rooms: SharedRooms, room: int, place: tuple[str, int, int], otherwise: Callable[[], bytes]
    ) -> None:
        self._line, self._rooms, self._room, self._otherwise = line, rooms, room, otherwise
        self._asked: Pair | None = line.ask("fetch", *place, room)
        self._body = memoryview(b"")

    def body(self) -> memoryview:
        """Wait for them; as `ObjectStore.get`."""
        if self._asked is not None:
            asked, self._asked = self._asked, None
            try:
                self._body = self._rooms.view(self._room, self._line.answer(asked))
            except ProcessGoneError:
                body = self._otherwise()
                self._body = self._rooms.view(self._room, len(body))
                self._body[:] = body
        return self._body

    def work(self, said: bytes) -> Any:
        """What the process returns that works on the bytes. Raises what it raised, and `ProcessGoneError`."""
        return self._line.call("work", self._room, len(self.body()), body=said)

    def settle(self) -> None:
        """Wait until nobody writes into the room any more."""
        with suppress(Exception):  # what nobody has waited for is of interest to nobody
            self.body()
