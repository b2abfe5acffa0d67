"""Who may see a job: whoever may read its output repo and all its inputs.

A job tells commits and, in its error and its datums, paths of files. So lists leave out what the caller may not read,
and asking for it by id is refused with the right that is missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from airflow_pachy.metadata.models import Job, JobInput
from airflow_pachy.pipelines.job_rows import describe_job, find_job

if TYPE_CHECKING:
    from sqlalchemy import Select

    from airflow_pachy.pfs.client import Pfs
    from airflow_pachy.pipelines.infos import JobInfo


def only_readable(pfs: Pfs, query: Select[Any]) -> Select[Any]:
    """A query of jobs without those that the caller may not read."""
    closed = pfs.closed_repos()
    if closed is None:
        return query
    secret = select(JobInput.job).where(JobInput.job == Job.id, JobInput.repo.in_(closed))
    return query.where(Job.output_repo.not_in(closed), ~secret.exists())


def require_readable(pfs: Pfs, job: JobInfo) -> None:
    """Raise `Denied` unless the caller may read the job."""
    pfs.require_reader(job.output_repo, *(one.repo for one in job.inputs))


def readable_job(pfs: Pfs, job_id: str) -> tuple[JobInfo, str | None]:
    """A job and its tree of datums. Raises `JobNotFound`, `Denied`."""
    with pfs.metadata.reader() as session:
        row = find_job(session, job_id)
        info, datums = describe_job(row), row.datums
    require_readable(pfs, info)
    return info, datums
