"""Which datums of a job must run: all, less what the last published job holds, less what the memory knows.

The outcome is the job's datum tree, made out of the last published job's tree by what changed, and the
datums to run in listing order. What changed is found in two ways that give the same: from a listing of all datums
(here), or from what changed in the inputs (`airflow_pachy.pipelines.datums_changes`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from xxhash import xxh3_64_intdigest

from airflow_pachy.pfs.tree.bulk import NO_KEYS, concat_rows, gathered
from airflow_pachy.pfs.tree.functions import as_array
from airflow_pachy.pfs.tree.node import bisect
from airflow_pachy.pfs.tree.outline import keys_in
from airflow_pachy.pfs.tree.schema import single
from airflow_pachy.pipelines.plain_memory import MANY_ROWS, release_memory
from airflow_pachy.pipelines.rows_table import (
    EMPTY,
    HASH_DIGITS,
    ascending,
    bodies_of,
    fields_of,
    new_rows,
    place_of,
    unfinished_rows,
    with_state,
)
from airflow_pachy.pipelines.sorting import sort_places

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from airflow_pachy.pfs.tree import Tree
    from airflow_pachy.pipelines.datums_table import Leaves
    from airflow_pachy.pipelines.incremental import Continuation, Start

# Sorts after every unfinished key and before every datum id.
_BEFORE_IDS = "/"
_BATCH = 65_536
_ROWS = EMPTY.select(["path", "inline"])


@dataclass(frozen=True, slots=True)
class Difference:
    """How a job's datums differ from those of the job it is built on.

    `added` (columns of `DATUM`, in listing order) are not finished there, the rows `vanished` (path and content) are
    finished there and gone, `unfinished` are the keys of its rows that are not done, and `total` is the number of
    datums now.
    """

    added: pa.Table
    vanished: pa.Table
    unfinished: Any
    total: int


@dataclass(frozen=True, slots=True)
class Selection:
    """The job's datum tree, the datums to run, how many there are, and how many earlier attempts of the job did.

    `to_run` has the columns of `DATUM`, in listing order. `starts` says of an incremental pipeline how those of them
    begin that were there before.
    """

    tree: Tree
    to_run: pa.Table
    total: int
    done_here: int
    starts: Mapping[str, Start] = field(default_factory=dict)


def compare_all(datums: pa.Table, base: Tree) -> Difference:
    """The difference between all datums there are (each once) and those of the tree `base`, leaf by leaf."""
    ids = single(datums["id"])
    order = sort_places(ids)
    ordered = ids.take(as_array(order))
    carried = np.zeros(len(ids), np.bool_)
    vanished = [_ROWS]
    place = seen = 0
    for rows in base.tables(after=_BEFORE_IDS):
        keys = single(rows["path"])
        start = bisect(ordered, keys[0].as_py(), place)
        place = bisect(ordered, keys[-1].as_py() + "\0", start)
        window = ordered[start:place]
        carried[start:place] = pc.is_in(window, value_set=keys).to_numpy(zero_copy_only=False)
        vanished.append(rows.select(_ROWS.column_names).filter(pc.invert(pc.is_in(keys, value_set=window))))
        seen += rows.num_rows
        if seen >= MANY_ROWS:
            release_memory(seen)
            seen = 0
    is_added = np.ones(len(ids), np.bool_)
    is_added[order[carried]] = False
    added = datums if is_added.all() else datums.filter(pa.array(is_added))
    return Difference(added, pa.concat_tables(vanished), single(unfinished_rows(base)["path"]), len(ids))


class _Known(NamedTuple):
    """Of datums that an earlier job had: the rows of those that are done, why others run, and how many `here` are done.

    `here` is this job, in an earlier attempt.
    """

    done: pa.Table
    failed: dict[str, str]
    here: int


@dataclass(frozen=True, slots=True)
class Selector:
    """What a selection starts from: `base` is the last published job's datum tree, `reprocess` ignores other jobs."""

    job: str
    base: Tree
    memory: Tree
    reprocess: bool
    leaves: Leaves
    continuation: Continuation | None = None

    def select(self, difference: Difference) -> Selection:
        """Decide for each datum that the base does not have."""
        ids = single(difference.added["id"])
        known = self._known(ids)
        to_run = difference.added
        if known.done.num_rows:
            to_run = to_run.filter(pc.invert(pc.is_in(ids, value_set=single(known.done["path"]))))
        starts = self.continuation.starts(to_run, self.leaves, difference.vanished) if self.continuation else {}
        reason = self._reasons(known.failed, difference.vanished, starts)
        removed = pa.concat_arrays([difference.unfinished, single(difference.vanished["path"])])
        tree = self.base
        # One merge, unless there is so much that a slice of it is all that should be in memory.
        while len(removed) > MANY_ROWS:
            tree = tree.merge(removed[:MANY_ROWS], EMPTY, keys_are_paths=False)
            removed = removed[MANY_ROWS:]
            release_memory(MANY_ROWS)
        for rows in gathered(chain(new_rows(to_run, self.leaves, self.job, reason), [known.done]), MANY_ROWS):
            tree = tree.merge(removed, rows, keys_are_paths=False)
            removed = NO_KEYS
            release_memory(rows.num_rows)
        return Selection(tree, to_run, difference.total, known.here, starts)

    def _known(self, ids: Any) -> _Known:
        """What the memory knows of these datums."""
        present = keys_in(self.memory, ascending(ids)) if len(self.memory) else NO_KEYS
        done = [EMPTY]
        failed: dict[str, str] = {}
        here = 0
        for start in range(0, len(present), MANY_ROWS):
            rows = self.memory.find(present[start : start + MANY_ROWS])
            of_job = with_state(rows, "success", self.job)
            here += int(pc.sum(of_job).as_py() or 0)
            done.append(rows.filter(of_job if self.reprocess else with_state(rows, "success")))
            for state in ("failed", "recovered"):
                failed.update(_failures(rows.filter(with_state(rows, state))))
            release_memory(rows.num_rows)
        return _Known(concat_rows(done), failed, here)

    def _reasons(
        self, failed: Mapping[str, str], vanished: pa.Table, starts: Mapping[str, Start]
    ) -> str | Callable[[Any, Any], Iterable[str]]:
        """Why datums run, asked with arrays of ids and of their rows' input fields; one text if all do for the same."""
        default = "reprocess" if self.reprocess else "new"
        if not failed and not starts and (self.reprocess or not vanished.num_rows):
            return default
        before = None if self.reprocess else _Former(vanished)

        def reason(key: str, changed: str) -> str:
            why = failed.get(key) or changed or default
            start = starts.get(key)
            # What takes the place of another is not new, also if it is a group that has got another file.
            return why if start is None else f"{'changed' if why == default else why}; {start.note}"

        def reasons(ids: Any, inputs: Any) -> Iterable[str]:
            return map(reason, ids.to_pylist(), before.changed(inputs.to_pylist()) if before else repeat(""))

        return reasons


def _failures(rows: pa.Table) -> Iterator[tuple[str, str]]:
    for key, body in bodies_of(rows):
        state, job = (field.decode() for field in fields_of(body, key)[:2])
        yield key, f"{state} in job {job}"


class _Former:
    """What datums that are gone had read, by their place, without an object for each: there may be a million."""

    def __init__(self, vanished: pa.Table) -> None:
        numbers = [np.zeros(0, np.uint64)]
        hashes: list[Any] = [pa.array([], pa.binary())]
        for start in range(0, vanished.num_rows, _BATCH):
            rows = bodies_of(vanished[start : start + _BATCH])
            places, old = _places(fields_of(body, key)[-1] for key, body in rows)
            numbers.append(_numbers(places))
            hashes.append(pa.array(old, pa.binary()))
        every = np.concatenate(numbers)
        order = np.argsort(every, kind="stable")
        self._numbers = every[order]
        self._hashes = pa.concat_arrays(hashes).take(as_array(order))

    def changed(self, inputs: list[bytes]) -> Iterator[str]:
        """Which inputs of datums have another content than those of the datums that were in their places; "" if none.

        None was there, or it is the same.
        """
        places, hashes = _places(inputs)
        numbers = _numbers(places)
        if not len(self._numbers):
            return repeat("", len(numbers))
        found = np.searchsorted(self._numbers, numbers, side="right") - 1
        # Two places of one number would give one of a million datums a wrong reason, and nothing else.
        was_there = self._numbers[np.maximum(found, 0)] == numbers
        old: Any = self._hashes.take(pa.array(found, mask=~was_there)).to_pylist()
        return map(_changed, places, hashes, old)


def _places(inputs: Iterable[bytes]) -> tuple[list[bytes], list[bytes]]:
    """`place_of` them all, the hashes of each in one: a list for each is more than the collector should go through."""
    places: list[bytes] = []
    joined: list[bytes] = []
    for one in inputs:
        place, hashes = place_of(one)
        places.append(place)
        joined.append(b"".join(hashes))
    return places, joined


def _numbers(places: list[bytes]) -> Any:
    return np.fromiter(map(xxh3_64_intdigest, places), np.uint64, len(places))


def _changed(place: bytes, new: bytes, old: bytes | None) -> str:
    """Which inputs have another hash than before; hashes are one behind the other."""
    if old is None or old == new or len(old) != len(new):
        return ""
    fields = [field.decode("utf-8", "surrogateescape") for field in place.split(b"\0")]
    starts = range(0, len(new), HASH_DIGITS)
    changed = [
        f"{name}:/{path}" if len(starts) > 1 else f"/{path}"
        for name, path, start in zip(fields[0::2], fields[1::2], starts, strict=True)
        if new[start : start + HASH_DIGITS] != old[start : start + HASH_DIGITS]
    ]
    return f"changed: {', '.join(changed)}" if changed else ""
