"""What pipelines and jobs need in the bucket, for whoever deletes or checks what lies there.

Needed are the trees of datums and parts, the result records that these name, with the outputs in them, every record
of a job that the database knows (it may not have been settled yet), and the plans of jobs that may still run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import or_, select

from airflow_pachy.errors import Corrupt
from airflow_pachy.metadata.models import DatumSet, Job, Pipeline, SpoutPosition, Standing
from airflow_pachy.pfs.rows import pages
from airflow_pachy.pfs.upkeep.ledger import State
from airflow_pachy.pfs.upkeep.marking import Marker, Reading
from airflow_pachy.pipelines.expiring import expire_jobs
from airflow_pachy.pipelines.spouts import kept_batches, stream_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    import pyarrow as pa

    from airflow_pachy.pfs.root import Root

JOBS = "jobs/"
_RECORD_FIELD = 4
_PLACES = "outputs.list.element.segments.list.element"
_RECORD_COLUMNS = tuple(f"{_PLACES}.{name}" for name in ("object", "offset", "length"))


@dataclass(frozen=True, slots=True)
class PipelineKeeper:
    """Speaks for pipelines, jobs and their datums."""

    tables: frozenset[str] = frozenset(
        {
            "pachy_pipeline", "pachy_job", "pachy_job_input", "pachy_datum_set", "pachy_egress",
            "pachy_pipeline_version", "pachy_standing", "pachy_spout_position",
        }
    )  # fmt: skip

    def expire(self, root: Root, idle_since: datetime, *, dry_run: bool) -> tuple[str, ...]:
        """Give up jobs that nobody works on any more."""
        return expire_jobs(root, idle_since, dry_run=dry_run)

    def mark(self, root: Root, marker: Marker, cutoff: datetime) -> None:
        """Mark the objects of all pipelines and jobs; jobs that have published before `cutoff` need no plans."""
        with marker.as_of(State.LIVE):
            marker.keys(_plans(root, cutoff))
            marker.trees(_trees(root, Job.parts))
            marker.trees(_served_trees(root))
            # Records found while trees are read wait until the trees are done: one reading at a time.
            named: set[str] = set()
            rows = Reading(("path", "inline"), lambda table: named.update(records_of(table)))
            for text in _datum_trees(root):
                marker.trees([text], rows)
                self._mark_records(marker, named)
            marker.objects(_records_of_jobs(root), _records(marker))
            marker.objects(_batches_of_spouts(root, cutoff), _records(marker))

    def _mark_records(self, marker: Marker, named: set[str]) -> None:
        marker.objects(sorted(named), _records(marker))
        named.clear()


def _records(marker: Marker) -> Reading:
    def visit(table: pa.Table) -> None:
        if "outputs" in table.column_names:
            outputs: Any = table["outputs"].combine_chunks()
            marker.segments(outputs.flatten().field("segments"))

    return Reading(_RECORD_COLUMNS, visit)


def records_of(table: pa.Table) -> Iterator[str]:
    """The result records that rows of a datum tree name. Raises `Corrupt`."""
    for body in table["inline"].to_pylist():
        fields = body.split(b"\0", _RECORD_FIELD + 1) if body is not None else []
        if len(fields) <= _RECORD_FIELD:
            raise Corrupt("a datum tree has an entry that is not a datum row: run `pachy fsck`")
        if fields[_RECORD_FIELD]:
            yield fields[_RECORD_FIELD].decode()


def _trees(root: Root, column: Any) -> Iterator[str]:
    query = select(Job.id, column).where(column.is_not(None))
    return (text for _, text in pages(root, query, (Job.id,)))


def _datum_trees(root: Root) -> Iterator[str]:
    yield from _trees(root, Job.datums)
    query = select(Pipeline.name, Pipeline.memory).where(Pipeline.memory.is_not(None))
    yield from (text for _, text in pages(root, query, (Pipeline.name,)))


def _served_trees(root: Root) -> Iterator[str]:
    """What services serve: a pod that moves to another node stages it again, whatever became of the commit."""
    query = select(Standing.pipeline, Standing.trees)
    return (text for row in pages(root, query, (Standing.pipeline,)) for text in row.trees)


def _batches_of_spouts(root: Root, cutoff: datetime) -> Iterator[str]:
    """What spouts have left and nobody has committed, and the markers with which they go on."""
    positions: dict[str, dict[str, int]] = {}
    columns = (SpoutPosition.pipeline, SpoutPosition.life)
    for row in pages(root, select(*columns, SpoutPosition.sequence, SpoutPosition.updated), columns):
        # What was committed lately may have been so after the trees were read.
        done = 0 if row.updated > cutoff else row.sequence
        positions.setdefault(row.pipeline, {})[row.life] = done
    for row in pages(root, select(Pipeline.name, Pipeline.salt, Pipeline.spec), (Pipeline.name,)):
        if "spout" in row.spec:
            yield from kept_batches(root.store, stream_of(row.name, row.salt), positions.get(row.name, {}))


def _plans(root: Root, cutoff: datetime) -> Iterator[str]:
    may_run = or_(Job.state != "success", Job.finished > cutoff)
    query = select(DatumSet.job, DatumSet.number, DatumSet.plan_key).join(Job, Job.id == DatumSet.job).where(may_run)
    return (row.plan_key for row in pages(root, query, (DatumSet.job, DatumSet.number)))


def _records_of_jobs(root: Root) -> Iterator[str]:
    known = {row.id for row in pages(root, select(Job.id), (Job.id,))}
    for info in root.store.list_keys(JOBS):
        job = info.key.split("/")[1]
        if job in known and info.key.endswith(".parquet"):
            yield info.key
