"""Sorting more rows by key than memory should hold: sorted runs on disk, merged when they are read back.

Joins and groups match files by key, and keys do not come in the order of paths.
"""

from __future__ import annotations

import heapq
import pickle
from contextlib import ExitStack
from itertools import islice
from operator import itemgetter
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

T = TypeVar("T")

RUN_ROWS = 100_000
"""How many rows are held in memory: some 50 MB of datum inputs."""

_CHUNK_ROWS = 1_000
_key = itemgetter(0)


def sorted_by_key(rows: Iterable[tuple[str, T]], run_rows: int = RUN_ROWS) -> Iterator[tuple[str, T]]:
    """The rows in order of their keys, rows of one key in the order they came."""
    waiting = iter(rows)
    run = sorted(islice(waiting, run_rows), key=_key)
    if len(run) < run_rows:
        yield from run
        return
    with ExitStack() as files:
        runs: list[BinaryIO] = []
        while run:
            file = files.enter_context(TemporaryFile(prefix="pachy-sort-"))
            _write(file, run)
            runs.append(file)
            run = sorted(islice(waiting, run_rows), key=_key)
        # `merge` is stable: of equal keys it takes those of the earlier run first.
        yield from heapq.merge(*map(_read, runs), key=_key)


def _write(file: BinaryIO, rows: list[Any]) -> None:
    for start in range(0, len(rows), _CHUNK_ROWS):
        pickle.dump(rows[start : start + _CHUNK_ROWS], file, pickle.HIGHEST_PROTOCOL)
    file.seek(0)


def _read(file: BinaryIO) -> Iterator[Any]:
    while True:
        try:
            # Only what `_write` put there: the file has no name that others could open.
            chunk = pickle.load(file)  # noqa: S301
        except EOFError:
            return
        yield from chunk
