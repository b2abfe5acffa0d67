"""Marking what is reachable: each distinct node is read once, several at a time, only the columns that lead on.

Anything that cannot be read stops the run: garbage collection deletes on the strength of what it has read.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from airflow_pachy.errors import Corrupt, ObjectNotFound
from airflow_pachy.pfs.tree import NodeRef
from airflow_pachy.pfs.upkeep.leaves import CHILD_COLUMNS, FILE_COLUMNS, chunks_of, read_columns
from airflow_pachy.pfs.upkeep.ledger import Ledger, State

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from concurrent.futures import Future
    from types import TracebackType

    import pyarrow as pa

    from airflow_pachy.pfs.objects.store import ObjectStore

READS = 12
Progress = Callable[[str, int], None]
"""Hears the name of a phase, and how many objects it has done since the last call."""


def silent(phase: str, done: int) -> None:
    """Nobody is listening."""
    del phase, done


@dataclass(frozen=True, slots=True)
class Reading:
    """Which columns of an object lead on, and what to do with them, in the thread of the marker."""

    columns: Sequence[str]
    visit: Callable[[pa.Table], None]


@dataclass(frozen=True, slots=True)
class _Item:
    """An object to be read: a node, which leads to its children, or anything else, which is a leaf."""

    key: str
    level: int


class Marker:
    """Marks objects in a ledger. Every method takes many at a time and reads what was not marked yet."""

    def __init__(self, store: ObjectStore, ledger: Ledger, progress: Progress = silent) -> None:
        self._store = store
        self._ledger = ledger
        self._progress = progress
        self._state, self._owner = State.LIVE, ""
        self._pool = ThreadPoolExecutor(READS, thread_name_prefix="mark")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    @contextmanager
    def as_of(self, state: State, owner: str = "") -> Iterator[None]:
        """Within the block, what is marked is so for this reason and counts for this repo."""
        before = self._state, self._owner
        self._state, self._owner = state, owner
        try:
            yield
        finally:
            self._state, self._owner = before

    @property
    def files(self) -> Reading:
        """How leaves of file trees and batches of changes are read."""
        return Reading(FILE_COLUMNS, lambda table: self.segments(table["segments"]))

    def keys(self, keys: Iterable[str]) -> None:
        """Mark objects without reading them."""
        for key in keys:
            self._ledger.mark(key, self._state, self._owner)

    def trees(self, roots: Iterable[str], leaves: Reading | None = None) -> None:
        """Mark trees, given as NodeRef texts: of files, unless `leaves` says otherwise."""
        refs = (NodeRef.parse(text) for text in roots)
        self._walk((_Item(ref.object, ref.level) for ref in refs), leaves or self.files)

    def objects(self, keys: Iterable[str], reading: Reading | None = None) -> None:
        """Mark objects and what they lead to."""
        self._walk((_Item(key, 0) for key in keys), reading or self.files)

    def segments(self, column: Any) -> None:
        """Mark the packs that a column of segments refers to."""
        for chunks in chunks_of(column):
            self._ledger.mark(chunks.pack, self._state, self._owner)
            if self._state < State.REMOVED:
                self._ledger.use(chunks.pack, chunks.offsets, chunks.lengths)

    def _walk(self, roots: Iterator[_Item], leaves: Reading) -> None:
        below: list[_Item] = []
        coming: deque[tuple[_Item, Future[pa.Table | None]]] = deque()
        more = True
        while more or coming:
            while more and len(coming) < 2 * READS:
                item = below.pop() if below else next(roots, None)
                if item is None:
                    more = False
                elif self._ledger.mark(item.key, self._state, self._owner):
                    columns = CHILD_COLUMNS if item.level else leaves.columns
                    coming.append((item, self._pool.submit(self._read, item.key, columns)))
            if not coming:
                continue
            item, future = coming.popleft()
            table = future.result()
            self._progress("mark", 1)
            if table is None:
                continue
            if item.level:
                below += _children(table, item.level - 1)
                more = True
            else:
                leaves.visit(table)

    def _read(self, key: str, columns: Sequence[str]) -> pa.Table | None:
        try:
            return read_columns(self._store.get(key), columns, f"{self._store.url}/{key}")
        except ObjectNotFound as error:
            if self._state is State.REMOVED:
                return None  # an earlier run has deleted it
            raise Corrupt(
                f"{self._store.url}/{key} is needed, but is not there; nothing was deleted. `pachy fsck` tells whose "
                "it is: restore it from a backup, or forget or delete the commits that need it"
            ) from error


def _children(table: pa.Table, level: int) -> list[_Item]:
    ids: list[Any] = table["id"].to_pylist()
    ulids: list[Any] = table["ulid"].to_pylist()
    refs = (NodeRef(level, 0, 0, one.hex(), ulid) for one, ulid in zip(ids, ulids, strict=True))
    return [_Item(ref.object, level) for ref in refs]
