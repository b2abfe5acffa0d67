"""Jobs in SQL: finding them, telling about them, and the marks that several steps of a job leave."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from sqlalchemy import select

from airflow_pachy.errors import JobNotFound
from airflow_pachy.metadata.models import Job
from airflow_pachy.pipelines.infos import JobInfo, JobInputInfo, JobState

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from airflow_pachy.pipelines.infos import JobRequest


def find_job(session: Session, job_id: str, *, lock: bool = False) -> Job:
    """The job's row. Raises `JobNotFound`."""
    row = session.get(Job, job_id, with_for_update=lock or None)
    if row is None:
        raise JobNotFound(f"there is no job {job_id!r}; list jobs with: pachy list job")
    return row


def find_job_of_run(session: Session, request: JobRequest) -> Job | None:
    """The job of an Airflow run's stage, locked, or None if it has not been planned before."""
    where = (Job.dag_id == request.dag_id, Job.run_id == request.run_id, Job.stage == request.stage)
    return session.scalars(select(Job).where(*where).with_for_update()).one_or_none()


def describe_job(row: Job) -> JobInfo:
    """The row as a value."""
    inputs = tuple(JobInputInfo(one.name, one.repo, one.branch, one.commit or "") for one in row.inputs)
    return JobInfo(
        id=row.id,
        pipeline=row.pipeline,
        version=row.version,
        dag_id=row.dag_id,
        run_id=row.run_id,
        stage=row.stage,
        attempt=row.attempt,
        state=cast("JobState", row.state),
        output_repo=row.output_repo,
        output_branch=row.output_branch,
        output_commit=row.output_commit,
        inputs=inputs,
        datums_total=row.datums_total,
        datums_processed=row.datums_processed,
        datums_skipped=row.datums_skipped,
        datums_failed=row.datums_failed,
        datums_recovered=row.datums_recovered,
        download_bytes=row.download_bytes,
        upload_bytes=row.upload_bytes,
        started=row.started,
        finished=row.finished,
        author=row.author,
        error=row.error,
    )
