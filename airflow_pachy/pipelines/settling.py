"""Bringing a job's datum tree up to date with what its pods have recorded, whatever happens to the job next.

Planning again, assembly and failing all begin with this, so that no success is lost: it is in the
job's tree and in the pipeline's memory before anything is decided.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow_pachy.pfs.root import tree_text
from airflow_pachy.pfs.tree import sorted_changes
from airflow_pachy.pfs.tree.entries import Remove
from airflow_pachy.pipelines.job_rows import find_job
from airflow_pachy.pipelines.memory import open_tree, remember
from airflow_pachy.pipelines.results import read_outcomes
from airflow_pachy.pipelines.rows import UNFINISHED, DatumRow, read_row

if TYPE_CHECKING:
    from airflow_pachy.metadata.models import Job
    from airflow_pachy.pfs.client import Pfs
    from airflow_pachy.pfs.tree import Tree
    from airflow_pachy.pfs.tree.entries import Change
    from airflow_pachy.pipelines.results import Outcome

# How many failed datums an error message names.
NAMED_FAILURES = 3


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


def settle(pfs: Pfs, job: Job) -> Settlement:
    """Fold everything recorded for the job into its datum tree, its counts and its pipeline's memory. Idempotent."""
    tree = open_tree(pfs, job.datums)
    rows = [read_row(entry) for entry in tree.entries(UNFINISHED)]
    outcomes = read_outcomes(pfs.store, job.id) if rows else {}
    settled = [_apply(row, outcomes.get(row.id)) for row in rows]
    news = [(old, new) for old, new in zip(rows, settled, strict=True) if new != old]
    if news:
        remember(pfs, job.pipeline, [new for _, new in news])
        changes: list[Change] = [Remove(old.key) for old, new in news if old.key != new.key]
        changes += [new.put() for _, new in news]
        tree = tree.apply(sorted_changes(changes))
    _save(pfs, job, tree, settled, [outcomes[new.id] for _, new in news])
    failed = [row for row in settled if row.state == "failed"]
    pending = [row for row in settled if row.state == "pending"]
    return Settlement(tree, len(failed), len(pending), tuple((failed + pending)[:NAMED_FAILURES]))


def _apply(row: DatumRow, outcome: Outcome | None) -> DatumRow:
    if outcome is None:
        return row
    return replace(row, state=outcome.state, error=outcome.error, record=outcome.record, row=outcome.row)


def _save(pfs: Pfs, job: Job, tree: Tree, settled: list[DatumRow], outcomes: list[Outcome]) -> None:
    states = [row.state for row in settled]
    with pfs.metadata.session() as session:
        row = find_job(session, job.id, lock=True)
        if row.datums != job.datums or row.attempt != job.attempt:
            # Somebody else settled or planned this job meanwhile; their tree comes from the same records.
            return
        row.datums = tree_text(tree)
        row.datums_processed += states.count("success")
        row.datums_failed = states.count("failed")
        row.datums_recovered = states.count("recovered")
        row.download_bytes += sum(one.download_bytes for one in outcomes)
        row.upload_bytes += sum(one.upload_bytes for one in outcomes)
        row.heartbeat = datetime.now(UTC)
