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
from airflow_pachy.pipelines.results import read_outcomes
from airflow_pachy.pipelines.rows import UNFINISHED, read_row
from airflow_pachy.pipelines.rows_table import bodies_of, fields_of, inline_table, unfinished_rows

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
    rows = unfinished_rows(tree)
    news = _compare(rows, read_outcomes(pfs.store, job.id if rows.num_rows else None))
    if news.success.num_rows or news.others.num_rows:
        remember(pfs, job.pipeline, news.success, news.others)
        removed = _prefixed(news.success["path"])
        tree = tree.merge(
            removed,
            concat_rows([news.others.set_column(0, "path", _prefixed(news.others["path"])), news.success]),
            keys_are_paths=False,
        )
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
        ids = pc.utf8_slice_codeunits(single(part["path"]), start=len(UNFINISHED))
        found: Any = outcomes.take(pc.index_in(ids, value_set=single(outcomes["datum"])))
        keys: Any = ids.to_pylist()
        bodies = [body for _key, body in bodies_of(part)]
        changed = []
        for number, told in enumerate(zip(*(found[name].to_pylist() for name in _TOLD), strict=True)):
            body = _told(bodies[number], keys[number], told)
            if body != bodies[number]:
                changed.append(number)
                bodies[number] = body
            states[body.partition(b"\0")[0].decode()] += 1
        news = found.take(pa.array(changed, pa.int64()))
        download_bytes += pc.sum(news["download_bytes"]).as_py() or 0
        upload_bytes += pc.sum(news["upload_bytes"]).as_py() or 0
        done = {number for number in changed if bodies[number].startswith(b"success\0")}
        for target, numbers in (
            (success, [number for number in changed if number in done]),
            (others, [number for number in changed if number not in done]),
        ):
            target.append(inline_table([keys[number] for number in numbers], [bodies[number] for number in numbers]))
    return _News(concat_rows(success), concat_rows(others), states, download_bytes, upload_bytes)


_TOLD = ("state", "reason", "record", "row")


def _told(body: bytes, key: str, told: tuple[str | None, str, str, int]) -> bytes:
    """The row's body with what was recorded of its datum, if anything was."""
    state, error, record, row = told
    if state is None:
        return body
    _state, job, reason, _error, _record, _row, inputs = fields_of(body, key)
    # A program's last words may hold a NUL, which parts the fields of a row.
    error = error.replace("\0", "\ufffd")
    head = [state.encode(), job, reason, error.encode("utf-8", "surrogateescape"), record.encode(), b"%d" % row]
    return b"\0".join([*head, inputs] if inputs else head)


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
