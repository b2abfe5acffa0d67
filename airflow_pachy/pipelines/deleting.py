"""Taking jobs off the record that led to nothing.

A job that published is the provenance of its commit, and the newest job says how far its pipeline has read its inputs:
both stay, so that deleting a job never makes another one run. What succeeded in a deleted job stays remembered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import exists, select
from sqlalchemy.orm import aliased

from airflow_pachy.errors import Conflict
from airflow_pachy.metadata.contention import retried
from airflow_pachy.metadata.models import Commit, Job, JobInput
from airflow_pachy.pipelines.infos import LIVE_STATES
from airflow_pachy.pipelines.job_rows import find_job

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from airflow_pachy.pfs.client import Pfs


@retried
def delete_job(pfs: Pfs, job_id: str) -> None:
    """Delete what is recorded of a job that is over and has no commit to show for it.

    Raises `JobNotFound`, `Denied` unless the caller may write what the job wrote, and `Conflict` for a job that runs,
    whose commit is there, or than which no later one has read its inputs.
    """
    with pfs.metadata.reader() as session:
        output = find_job(session, job_id).output_repo
    pfs.require_writer(output)
    with pfs.metadata.session() as session:
        row = find_job(session, job_id, lock=True)
        if row.state in LIVE_STATES:
            raise Conflict(f"job {job_id} is {row.state}; stop it first: pachy stop job {job_id}")
        # The commit of a job that failed stays too, closed and without files, with the reason.
        commit = session.get(Commit, row.output_commit) if row.output_commit else None
        if commit is not None and commit.state == "finished":
            made = f"{row.output_repo}@{row.output_commit}"
            raise Conflict(
                f"job {job_id} made {made}, which tells by it what it was made from; delete the commit first: "
                f"pachy drop commit {made}, or pachy squash commit {made}"
            )
        last = _last_reader_of(session, row)
        if last is not None:
            raise Conflict(
                f"job {job_id} is the last of pipeline {row.pipeline!r} that has read {last}: without it the same "
                "commit would be processed again. Delete it once there is a later job; to have one now: "
                f"pachy run pipeline {row.pipeline}"
            )
        session.delete(row)


def _last_reader_of(session: Session, row: Job) -> str | None:
    """A branch of which no other job of the pipeline has read as much, or None."""
    other, read = aliased(Job), aliased(JobInput)
    as_far = (
        select(read.job)
        .join(other, other.id == read.job)
        .where(other.pipeline == row.pipeline, other.id != row.id)
        .where(read.repo == JobInput.repo, read.branch == JobInput.branch, read.ordinal >= JobInput.ordinal)
    )
    alone = (
        select(JobInput.repo, JobInput.branch)
        .where(JobInput.job == row.id, JobInput.ordinal.is_not(None), ~exists(as_far.correlate(JobInput)))
        .limit(1)
    )
    found = session.execute(alone).one_or_none()
    return None if found is None else f"{found.repo}@{found.branch}"
