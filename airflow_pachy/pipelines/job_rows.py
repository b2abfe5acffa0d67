"""Jobs in SQL: finding them, telling about them, and the marks that several steps of a job leave."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

from sqlalchemy import select

from airflow_pachy.errors import JobNotFound
from airflow_pachy.metadata.models import Job
from airflow_pachy.pipelines.infos import JobInfo, JobInputInfo, JobState

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from airflow_pachy.pfs.client import Pfs
    from airflow_pachy.pipelines.infos import JobRequest


def find_job(session: Session, job_id: str, *, lock: bool = False) -> Job:
    """The job's row. Raises `JobNotFound`."""
    row = session.get(Job, job_id, with_for_update=lock or None)
    if row is None:
        raise JobNotFound(f"there is no job {job_id!r}; list jobs with: pachy list job")
    return row


def find_job_of_run(session: Session, request: JobRequest) -> Job | None:
    """The last job of an Airflow run's stage, locked, or None if it has not been planned before."""
    where = (Job.dag_id == request.dag_id, Job.run_id == request.run_id, Job.stage == request.stage)
    query = select(Job).where(*where).order_by(Job.round.desc()).limit(1)
    return session.scalars(query.with_for_update()).one_or_none()


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
        code=json.loads(row.code) if row.code else {},
        images=tuple((row.images or "").split()),
        round=row.round,
    )


def code_text(request: JobRequest) -> str:
    """What is kept of the code of a job, for `describe_job`."""
    spec = request.spec
    known = {"image": spec.transform.image, "code_version": spec.code_version, **request.code}
    return json.dumps({name: value for name, value in known.items() if value}, sort_keys=True)


def note_image(pfs: Pfs, job_id: str, image: str) -> None:
    """Remember the id of an image that a pod of the job had. Nothing is written when it is known."""
    with pfs.metadata.reader() as session:
        if image in (find_job(session, job_id).images or "").split():
            return
    with pfs.metadata.session() as session:
        row = find_job(session, job_id, lock=True)
        known = (row.images or "").split()
        if image not in known:
            row.images = "\n".join([*known, image])
