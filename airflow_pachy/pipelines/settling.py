"""Bringing a job's datum tree up to date with what its pods have recorded, whatever happens to the job next.

Planning again, assembly and failing all begin with this, so that no success is lost: it is in the
job's tree and in the pipeline's memory before anything is decided.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from airflow_pachy.metadata.contention import retried
from airflow_pachy.pfs.root import tree_text
from airflow_pachy.pfs.tree.bulk import concat_rows
from airflow_pachy.pfs.tree.node import bisect
from airflow_pachy.pfs.tree.rows import entries_of
from airflow_pachy.pfs.tree.schema import single
from airflow_pachy.pipelines.job_rows import find_job
from airflow_pachy.pipelines.memory import open_tree, remember
from airflow_pachy.pipelines.plain_memory import MANY_ROWS, release_memory
from airflow_pachy.pipelines.results import read_outcomes
from airflow_pachy.pipelines.rows import UNFINISHED, read_row
from airflow_pachy.pipelines.rows_table import inline_table, split_fields, unfinished_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_pachy.metadata.models import Job
    from airflow_pachy.pfs.client import Pfs
    from airflow_pachy.pfs.tree import Tree
    from airflow_pachy.pipelines.rows import DatumRow

# How many failed datums an error message names.
NAMED_FAILURES = 3
_BATCH = 65_536


@dataclass(frozen=True, slots=True)
class Settlement:
    """How a job's datums stand: its tree, and what keeps it from publishing; `pending` datums have no result."""

    datums: Tree
    failed: int
    pending: int
    examples: tuple[DatumRow, ...]

    @property
    def complete(self) -> bool:
        """Whether every datum succeeded, was recovered, or was done before."""
        return not self.failed and not self.pending


@dataclass(frozen=True, slots=True)
class _News:
    """Rows of the datums whose state has changed, by id."""

    success: pa.Table
    others: pa.Table


@dataclass(slots=True)
class _Counts:
    """Of all datums that were not done before, how they stand now, and what those whose state has changed moved."""

    states: Counter[str] = field(default_factory=Counter)
    download_bytes: int = 0
    upload_bytes: int = 0


def settle(pfs: Pfs, job: Job) -> Settlement:
    """Fold everything recorded for the job into its datum tree, its counts and its pipeline's memory. Idempotent."""
    before = open_tree(pfs, job.datums)
    counts = _Counts()
    tree = _fold(pfs, job, before, counts)
    if tree.root != before.root:
        remember(pfs, job.pipeline, tree, before)
    _save(pfs, job, tree, counts)
    failed, pending = counts.states["failed"], counts.states["pending"]
    return Settlement(tree, failed, pending, _examples(tree) if failed or pending else ())


def _fold(pfs: Pfs, job: Job, before: Tree, counts: _Counts) -> Tree:
    """The tree with what was recorded, made a slice of the datums after the other; none of them stays in memory."""
    tree = before
    if not before.has_prefix(UNFINISHED):
        return tree
    outcomes = read_outcomes(pfs.store, job.id)
    release_memory(outcomes.num_rows)
    for rows in _slices(before):
        news = _compare(rows, outcomes, counts)
        if news.success.num_rows or news.others.num_rows:
            waiting = news.others.set_column(0, "path", _prefixed(news.others["path"]))
            added = concat_rows([waiting, news.success])
            tree = tree.merge(_prefixed(news.success["path"]), added, keys_are_paths=False)
        release_memory(rows.num_rows)
    return tree


def _slices(tree: Tree) -> Iterator[pa.Table]:
    """Keys and bodies of the rows that are not done, some leaves at a time."""
    waiting: list[pa.Table] = []
    count = 0
    for table in tree.tables(UNFINISHED):
        waiting.append(table.select(["path", "inline"]))
        count += table.num_rows
        if count >= MANY_ROWS:
            yield pa.concat_tables(waiting)
            waiting, count = [], 0
    if waiting:
        yield pa.concat_tables(waiting)


def _prefixed(ids: Any) -> Any:
    join: Any = pc.binary_join_element_wise
    return single(join(UNFINISHED, ids, ""))


def _compare(rows: pa.Table, outcomes: pa.Table, counts: _Counts) -> _News:
    """What the outcomes, which are in the order of their datums, make of these rows."""
    success: list[pa.Table] = []
    others: list[pa.Table] = []
    recorded = single(outcomes["datum"])
    for start in range(0, rows.num_rows, _BATCH):
        part = rows[start : start + _BATCH]
        ids: Any = pc.utf8_slice_codeunits(single(part["path"]), start=len(UNFINISHED))
        first = bisect(recorded, ids[0].as_py())
        window = outcomes[first : bisect(recorded, ids[-1].as_py() + "\0", first)]
        found: Any = window.take(pc.index_in(ids, value_set=single(window["datum"])))
        bodies, state = _told(part, found)
        for one in pc.value_counts(state).to_pylist():
            counts.states[one["values"].decode()] += one["counts"]
        changed = pc.not_equal(bodies, single(part["inline"]))
        news = found.filter(changed)
        counts.download_bytes += pc.sum(news["download_bytes"]).as_py() or 0
        counts.upload_bytes += pc.sum(news["upload_bytes"]).as_py() or 0
        done = pc.equal(state, pa.scalar(b"success"))
        for target, chosen in (
            (success, pc.and_(changed, done)),
            (others, pc.and_(changed, pc.invert(done))),
        ):
            target.append(inline_table(ids.filter(chosen), bodies.filter(chosen)))
    return _News(concat_rows(success), concat_rows(others))


def _told(rows: pa.Table, found: pa.Table) -> tuple[Any, Any]:
    """The rows' bodies with what was recorded of their datums (nulls if nothing was), and the states of these."""
    old = split_fields(rows)
    replace: Any = pc.replace_substring
    coalesce: Any = pc.coalesce
    join: Any = pc.binary_join_element_wise
    # A program's last words may hold a NUL, which parts the fields of a row.
    error = replace(single(found["reason"]), "\0", "\ufffd")
    record = single(found["record"]).dictionary_decode()  # type: ignore[attr-defined]  # it is a dictionary
    told = (single(found["state"]), error, record, single(found["row"]).cast(pa.string()))
    state, error, record, row = (
        coalesce(new.cast(pa.binary()), old[place]) for new, place in zip(told, (0, 3, 4, 5), strict=True)
    )
    head = join(state, old[1], old[2], error, record, row, b"\0")
    has_inputs = pc.greater(pc.binary_length(old[6]), pa.scalar(0))
    return pc.if_else(has_inputs, join(head, old[6], b"\0"), head), state


def _examples(tree: Tree) -> tuple[DatumRow, ...]:
    """A few of the failed datums, or if there are not so many, of those without a result."""
    rows = unfinished_rows(tree)
    found: list[DatumRow] = []
    for state in ("failed", "pending"):
        chosen = rows.filter(pc.starts_with(rows["inline"], pattern=f"{state}\0"))[:NAMED_FAILURES]
        found += map(read_row, entries_of(chosen))
    return tuple(found[:NAMED_FAILURES])


@retried
def _save(pfs: Pfs, job: Job, tree: Tree, counts: _Counts) -> None:
    with pfs.metadata.session() as session:
        row = find_job(session, job.id, lock=True)
        if row.datums != job.datums or row.attempt != job.attempt:
            # Somebody else settled or planned this job meanwhile; their tree comes from the same records.
            return
        row.datums = tree_text(tree)
        row.datums_processed += counts.states["success"]
        row.datums_failed = counts.states["failed"]
        row.datums_recovered = counts.states["recovered"]
        row.download_bytes += counts.download_bytes
        row.upload_bytes += counts.upload_bytes
        row.heartbeat = datetime.now(UTC)
