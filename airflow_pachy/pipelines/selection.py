"""Which datums of a job must run: all, less what the last published job holds, less what the memory knows.

The outcome is the job's datum tree, made out of the last published job's tree by what changed, and the
datums to run in listing order. What changed is found in two ways that give the same: from a listing of all datums
(here), or from what changed in the inputs (`airflow_pachy.pipelines.datums_changes`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from airflow_pachy.pfs.tree.bulk import concat_rows
from airflow_pachy.pfs.tree.functions import as_array
from airflow_pachy.pfs.tree.node import bisect
from airflow_pachy.pfs.tree.schema import single
from airflow_pachy.pipelines.rows_table import (
    EMPTY,
    bodies_of,
    fields_of,
    find_in,
    new_rows,
    place_of,
    unfinished_rows,
    with_state,
)
from airflow_pachy.pipelines.sorting import sort_places

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_pachy.pfs.tree import Tree
    from airflow_pachy.pipelines.datums_table import Leaves
    from airflow_pachy.pipelines.incremental import Continuation, Start

# Sorts after every unfinished key and before every datum id.
_BEFORE_IDS = "/"


@dataclass(frozen=True, slots=True)
class Difference:
    """How a job's datums differ from those of the job it is built on.

    `added` (columns of `DATUM`, in listing order) are not finished there, the rows `vanished` are finished there
    and gone, `unfinished` are the keys of its rows that are not done, and `total` is the number of datums now.
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
    vanished: list[pa.Table] = []
    place = 0
    for rows in base.tables(after=_BEFORE_IDS):
        keys = single(rows["path"])
        start = bisect(ordered, keys[0].as_py(), place)
        place = bisect(ordered, keys[-1].as_py() + "\0", start)
        window = ordered[start:place]
        carried[start:place] = pc.is_in(window, value_set=keys).to_numpy(zero_copy_only=False)
        vanished.append(rows.filter(pc.invert(pc.is_in(keys, value_set=window))))
    is_added = np.ones(len(ids), np.bool_)
    is_added[order[carried]] = False
    added = datums if is_added.all() else datums.filter(pa.array(is_added))
    return Difference(added, concat_rows(vanished), single(unfinished_rows(base)["path"]), len(ids))


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
        known = find_in(self.memory, ids) if len(self.memory) else EMPTY
        here = with_state(known, "success", self.job)
        is_done = here if self.reprocess else with_state(known, "success")
        done, undone = known.filter(is_done), known.filter(pc.invert(is_done))
        to_run = difference.added
        if done.num_rows:
            to_run = to_run.filter(pc.invert(pc.is_in(ids, value_set=single(done["path"]))))
        starts = self.continuation.starts(to_run, self.leaves, difference.vanished) if self.continuation else {}
        reason = self._reasons(undone, difference.vanished, starts)
        rows = new_rows(to_run, self.leaves, self.job, reason)
        removed = pa.concat_arrays([difference.unfinished, single(difference.vanished["path"])])
        tree = self.base.merge(removed, concat_rows([rows, done]), keys_are_paths=False)
        return Selection(tree, to_run, difference.total, int(pc.sum(here).as_py() or 0), starts)

    def _reasons(
        self, undone: pa.Table, vanished: pa.Table, starts: Mapping[str, Start]
    ) -> str | Callable[[str, bytes], str]:
        """Why a datum runs, asked with its id and its row's input fields; one text if all do for one reason."""
        failed = dict(_failures(undone))
        default = "reprocess" if self.reprocess else "new"
        before: dict[bytes, list[bytes]] = {}
        if not self.reprocess:
            for key, body in bodies_of(vanished):
                place, hashes = place_of(fields_of(body, key)[-1])
                before[place] = hashes
        if not failed and not before and not starts:
            return default

        def reason(key: str, inputs: bytes) -> str:
            if key in failed:
                return failed[key]
            return _changed(inputs, before) or default if before else default

        def reason_and_start(key: str, inputs: bytes) -> str:
            start = starts.get(key)
            if start is None:
                return reason(key, inputs)
            # What takes the place of another is not new, also if it is a group that has got another file.
            why = reason(key, inputs)
            return f"{'changed' if why == default else why}; {start.note}"

        return reason_and_start if starts else reason


def _failures(undone: pa.Table) -> list[tuple[str, str]]:
    found = []
    for key, body in bodies_of(undone):
        state, job = (field.decode() for field in fields_of(body, key)[:2])
        if state in ("failed", "recovered"):
            found.append((key, f"{state} in job {job}"))
    return found


def _changed(inputs: bytes, before: dict[bytes, list[bytes]]) -> str:
    """Which inputs of a datum have another content than those of the vanished datum in its place, if there is one."""
    place, hashes = place_of(inputs)
    old = before.get(place)
    if old is None:
        return ""
    fields = [field.decode("utf-8", "surrogateescape") for field in place.split(b"\0")]
    changed = [
        f"{name}:/{path}" if len(hashes) > 1 else f"/{path}"
        for name, path, new_hash, old_hash in zip(fields[0::2], fields[1::2], hashes, old, strict=True)
        if new_hash != old_hash
    ]
    return f"changed: {', '.join(changed)}" if changed else ""
