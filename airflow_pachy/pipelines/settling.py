"""Bringing a job's datum tree up to date with what its pods have recorded, whatever happens to the job next.

Planning again, assembly and failing all begin with this, so that no success is lost: it is in the
job's tree and in the pipeline's memory before anything is decided.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from airflow_pachy.metadata.contention import retried
from airflow_pachy.pfs.root import tree_text
from airflow_pachy.pfs.tree.bulk import concat_rows
from airflow_pachy.pfs.tree.rows import entries_of
from airflow_pachy.pfs.tree.schema import single
from airflow_pachy.pipelines.job_rows import find_job
from airflow_pachy.pipelines.memory import open_tree, remember
from airflow_pachy.pipelines.plain_memory import release_memory
from airflow_pachy.pipelines.results import read_outcomes
from airflow_pachy.pipelines.rows import UNFINISHED, read_row
from airflow_pachy.pipelines.rows_table import inline_table, split_fields, unfinished_rows

if TYPE_CHECKING:
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
    """Rows of the datums whose state has changed, by id; `states` counts all datums that were not done before."""

    success: pa.Table
    others: pa.Table
    states: Counter[str]
    download_bytes: int
    upload_bytes: int


def settle(pfs: Pfs, job: Job) -> Settlement:
    """Fold everything recorded for the job into its datum tree, its counts and its pipeline's memory. Idempotent."""
    tree = open_tree(pfs, job.datums)
    rows = unfinished_rows(tree).select(["path", "inline"])
    count = rows.num_rows
    release_memory(count)
    news = _compare(rows, read_outcomes(pfs.store, job.id if count else None))
    del rows
    release_memory(count)
    if news.success.num_rows or news.others.num_rows:
        remember(pfs, job.pipeline, news.success, news.others)
        release_memory(count)
        removed = _prefixed(news.success["path"])
        tree = tree.merge(
            removed,
            concat_rows([news.others.set_column(0, "path", _prefixed(news.others["path"])), news.success]),
            keys_are_paths=False,
        )
        release_memory(count)
    _save(pfs, job, tree, news)
    failed, pending = news.states["failed"], news.states["pending"]
    return Settlement(tree, failed, pending, _examples(tree) if failed or pending else ())


def _prefixed(ids: Any) -> Any:
    join: Any = pc.binary_join_element_wise
    return single(join(UNFINISHED, ids, ""))


def _compare(rows: pa.Table, outcomes: pa.Table) -> _News:
    """What the outcomes make of the rows that are not done."""
    states: Counter[str] = Counter()
    success: list[pa.Table] = []
    others: list[pa.Table] = []
    download_bytes = upload_bytes = 0
    for start in range(0, rows.num_rows, _BATCH):
        part = rows[start : start + _BATCH]
        ids: Any = pc.utf8_slice_codeunits(single(part["path"]), start=len(UNFINISHED))
        found: Any = outcomes.take(pc.index_in(ids, value_set=single(outcomes["datum"])))
        bodies, state = _told(part, found)
        for one in pc.value_counts(state).to_pylist():
            states[one["values"].decode()] += one["counts"]
        changed = pc.not_equal(bodies, single(part["inline"]))
        news = found.filter(changed)
        download_bytes += pc.sum(news["download_bytes"]).as_py() or 0
        upload_bytes += pc.sum(news["upload_bytes"]).as_py() or 0
        done = pc.equal(state, pa.scalar(b"success"))
        for target, chosen in (
            (success, pc.and_(changed, done)),
            (others, pc.and_(changed, pc.invert(done))),
        ):
            target.append(inline_table(ids.filter(chosen), bodies.filter(chosen)))
    return _News(concat_rows(success), concat_rows(others), states, download_bytes, upload_bytes)


def _told(rows: pa.Table, found: pa.Table) -> tuple[Any, Any]:
    """The rows' bodies with what was recorded of their datums (nulls if nothing was), and the states of these."""
    old = split_fields(rows)
    replace: Any = pc.replace_substring
    coalesce: Any = pc.coalesce
    join: Any = pc.binary_join_element_wise
    # A program's last words may hold a NUL, which parts the fields of a row.
    error = replace(single(found["reason"]), "\0", "\ufffd")
    told = (single(found["state"]), error, single(found["record"]), single(found["row"]).cast(pa.string()))
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
def _save(pfs: Pfs, job: Job, tree: Tree, news: _News) -> None:
    with pfs.metadata.session() as session:
        row = find_job(session, job.id, lock=True)
        if row.datums != job.datums or row.attempt != job.attempt:
            # Somebody else settled or planned this job meanwhile; their tree comes from the same records.
            return
        row.datums = tree_text(tree)
        row.datums_processed += news.states["success"]
        row.datums_failed = news.states["failed"]
        row.datums_recovered = news.states["recovered"]
        row.download_bytes += news.download_bytes
        row.upload_bytes += news.upload_bytes
        row.heartbeat = datetime.now(UTC)
