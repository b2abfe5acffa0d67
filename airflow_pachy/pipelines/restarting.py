"""Which of Airflow's tasks have to run again so that datums are processed again.

A set that is cleared goes on where its records end: what succeeded in it stays, what failed or was running is processed
again. `assemble` comes after it, since it has failed with the set, or would publish without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow_pachy.errors import Conflict, DatumNotFound
from airflow_pachy.pipelines.job_rows import find_job
from airflow_pachy.pipelines.jobs import inspect_job, list_job_datums
from airflow_pachy.pipelines.log_places import log_place

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_pachy.pfs.client import Pfs
    from airflow_pachy.pipelines.infos import JobDatumState, JobInfo


@dataclass(frozen=True, slots=True)
class Restart:
    """Clear `tasks`, by task id and map index (-1: all of the task), to have these datums processed again."""

    job: JobInfo
    datums: tuple[str, ...]
    tasks: tuple[tuple[str, int], ...]


def plan_restart(pfs: Pfs, job_id: str, datums: Sequence[str] = ()) -> Restart:
    """What to clear for these datums of a job, or if none are named, for all that have failed or have no result.

    Raises `Conflict` for a job that has published, and for a datum that has succeeded; `DatumNotFound` when there is
    nothing to restart.
    """
    job = inspect_job(pfs, job_id)
    if job.state == "success":
        raise Conflict(
            f"job {job.id} has published {job.output_repo}@{job.output_commit}, so none of its datums runs again; "
            f"to process all of them anew: pachy update pipeline --reprocess, then pachy run pipeline {job.pipeline}"
        )
    states: tuple[JobDatumState, ...] = ("pending", "failed", "recovered")
    unfinished = {one.id: one.state for state in states for one in list_job_datums(pfs, job.id, state)}
    for datum in datums:
        if datum not in unfinished:
            raise Conflict(
                f"datum {datum} of job {job.id} has succeeded, and what has succeeded is kept; only datums that failed "
                "or have not finished are restarted"
            )
    wanted = tuple(datums) or _without_result(unfinished, job)
    if not wanted:
        raise DatumNotFound(
            f"job {job.id} is {job.state} and has no datum that failed or is not finished"
            + (f" ({job.error})" if job.error else "")
            + f"; to plan it again, clear task {job.stage}.plan of run {job.run_id!r} of DAG {job.dag_id}"
        )
    if _must_be_planned(pfs, job):
        return Restart(job, wanted, tuple((f"{job.stage}.{step}", -1) for step in ("plan", "datums", "assemble")))
    sets = {log_place(pfs, job.id, datum).map_index for datum in wanted}
    tasks = [*((f"{job.stage}.datums", number) for number in sorted(sets)), (f"{job.stage}.assemble", -1)]
    return Restart(job, wanted, tuple(tasks))


def _must_be_planned(pfs: Pfs, job: JobInfo) -> bool:
    """Whether its sets cannot go on: somebody stopped the job, or its time is up, which planning gives it again."""
    with pfs.metadata.reader() as session:
        deadline = find_job(session, job.id).deadline
    return job.state == "stopped" or (deadline is not None and deadline <= datetime.now(UTC))


def _without_result(unfinished: Mapping[str, str], job: JobInfo) -> tuple[str, ...]:
    """All that have failed; of a job that is over also those that were not reached."""
    is_over = job.state in ("failed", "stopped")
    found = (datum for datum, state in unfinished.items() if state == "failed" or (is_over and state == "pending"))
    return tuple(sorted(found))
