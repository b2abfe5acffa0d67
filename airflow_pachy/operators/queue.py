"""Whose turn it is: jobs that write the same branch run one after the other.

A job whose Airflow run has ended without assembling (killed, marked, deleted) would keep all others waiting for ever,
so it is closed here by whoever comes next. Each Airflow has its own metadata database; a run that this Airflow has
never heard of may still be somebody's, and is given an hour before it counts as deleted.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_pachy.pfs import Pfs
    from airflow_pachy.pipelines import JobInfo, PipelineSpec

UNKNOWN_RUN_KEPT = timedelta(hours=1)
ENDED = ("success", "failed")

log = logging.getLogger(__name__)


def jobs_before(pfs: Pfs, job_id: str, context: Context) -> list[JobInfo]:
    """The live jobs that write the same branch as the planned job and started before it."""
    from airflow_pachy.pipelines.jobs import live_jobs_before

    return _without_abandoned(pfs, live_jobs_before(pfs, job_id), context)


def jobs_before_planning(pfs: Pfs, spec: PipelineSpec, stage: str, context: Context) -> list[JobInfo]:
    """The live jobs that write the branch of `spec` and started before the job of this run's stage.

    A job that is not planned yet, or has failed and is tried again, comes after all that are alive.
    """
    live = _live_jobs(pfs, spec)
    ti = context["ti"]
    own = next((job for job in live if (job.dag_id, job.run_id, job.stage) == (ti.dag_id, ti.run_id, stage)), None)
    ahead = [job for job in live if own is None or (job.started, job.id) < (own.started, own.id)]
    return _without_abandoned(pfs, ahead, context)


def _live_jobs(pfs: Pfs, spec: PipelineSpec) -> list[JobInfo]:
    from airflow_pachy.pipelines.jobs import live_jobs_of

    return live_jobs_of(pfs, spec.output_repo, spec.output_branch)


def _without_abandoned(pfs: Pfs, jobs: list[JobInfo], context: Context) -> list[JobInfo]:
    from airflow_pachy.pipelines import fail_job

    waiting = []
    for job in jobs:
        if _is_abandoned(job, context):
            log.warning("Job %s of run %s of DAG %s was abandoned: closing it", job.id, job.run_id, job.dag_id)
            fail_job(pfs, job.id, f"its Airflow run {job.run_id!r} has ended without assembling it")
        else:
            waiting.append(job)
    return waiting


def _is_abandoned(job: JobInfo, context: Context) -> bool:
    ti = context["ti"]
    if ti.get_dr_count(dag_id=job.dag_id, run_ids=[job.run_id], states=list(ENDED)):
        return True
    known = ti.get_dr_count(dag_id=job.dag_id, run_ids=[job.run_id])
    return not known and datetime.now(UTC) - job.started > UNKNOWN_RUN_KEPT
