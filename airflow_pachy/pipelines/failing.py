"""Ending a job without publishing: successes are kept, the output commit is closed, the branch stays where it was."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from airflow_pachy.errors import Conflict
from airflow_pachy.metadata.contention import retried
from airflow_pachy.pipelines.infos import LIVE_STATES
from airflow_pachy.pipelines.job_rows import describe_job, find_job
from airflow_pachy.pipelines.settling import settle

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_pachy.pfs.client import Pfs
    from airflow_pachy.pipelines.infos import JobInfo


@retried
def close_job(
    pfs: Pfs, job_id: str, state: Literal["failed", "stopped"], error: str, *, attempt: int | None = None
) -> JobInfo:
    """Mark a job that has not published and drop its output commit. Idempotent; the first reason given stays.

    With `attempt`, nothing happens if the job has gone on to another one. Raises `JobNotFound`, and
    `Conflict` for a job that has published.
    """
    with pfs.metadata.session() as session:
        row = find_job(session, job_id, lock=True)
        if attempt is not None and row.attempt != attempt:
            return describe_job(row)
        if row.state == "success":
            raise Conflict(
                f"job {job_id} has published commit {row.output_repo}@{row.output_commit} already and cannot be "
                f"{state}; to undo it, point {row.output_repo}@{row.output_branch} at an earlier commit with "
                "`pachy create branch --head`"
            )
        if row.state in LIVE_STATES:
            row.state, row.error, row.finished, row.heartbeat = state, error, datetime.now(UTC), None
        session.flush()
        info = describe_job(row)
    if info.output_commit is not None:
        pfs.drop_output_commit(info.output_commit, f"job {job_id} {info.state}: {info.error}")
    return info


def settle_and_close(pfs: Pfs, job_id: str, state: Literal["failed", "stopped"], error: str) -> JobInfo:
    """The same, after keeping what the job's pods have recorded."""
    with pfs.metadata.reader() as session:
        row = find_job(session, job_id)
    if row.state != "success":
        settle(pfs, row)
    return close_job(pfs, job_id, state, error)


@contextmanager
def closing_on_failure(pfs: Pfs, job_id: str, attempt: int) -> Iterator[None]:
    """Fail this attempt of the job when the block raises, so that no open commit is left behind; the error goes on."""
    try:
        yield
    except Exception as error:
        try:
            close_job(pfs, job_id, "failed", str(error), attempt=attempt)
        except Exception as second:  # noqa: BLE001 - the first error is the cause, and must be the one that is seen
            error.add_note(f"Besides, job {job_id} could not be marked as failed: {second}")
        raise
