"""Opening a job: its row, the commits it reads and its output commit are made in one transaction, or found again.

Who asks decides what a job that has published means. Airflow starts what comes after a task only when it knows that
the task is done, so a job can have published only if the try that planned it is over for Airflow too. A later try has
then been asked for by somebody who cleared the run, and gets a job of its own; the same try, or one before it, is a
process that Airflow gave up and that has not noticed.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from airflow_pachy.errors import Conflict, NothingNew
from airflow_pachy.metadata.contention import retried
from airflow_pachy.metadata.models import Commit, CommitProvenance, Job, JobInput
from airflow_pachy.pipelines.datums_changes import listing_rule
from airflow_pachy.pipelines.job_rows import code_text, find_job_of_run
from airflow_pachy.pipelines.snapshot import PINNED, resolve_for_run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.orm import Session

    from airflow_pachy.pfs.client import Pfs
    from airflow_pachy.pipelines.infos import JobRequest, PlanTry
    from airflow_pachy.pipelines.inputs.sources import SourceKey
    from airflow_pachy.pipelines.registry import RegisteredPipeline
    from airflow_pachy.pipelines.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class OpenJob:
    """A job that is about to be planned, or is `done` already."""

    id: str
    attempt: int
    output_commit: str
    commits: Mapping[SourceKey, str]
    done: bool = False
    more: bool = False
    deadline: datetime | None = None


def open_job(pfs: Pfs, request: JobRequest, pipeline: RegisteredPipeline) -> OpenJob:
    """Find or make the job of the request, for its next attempt.

    Raises `NotFound` errors for its inputs, `NothingNew`, and `Conflict` for a try that a later one has replaced.
    """
    try:
        before, opened = _open(pfs, request, pipeline)
    except IntegrityError:
        # Another process made the job between our look and our insert: now it is found.
        before, opened = _open(pfs, request, pipeline)
    if opened.done:
        return opened
    # Idempotent, each in a transaction of its own: after a death in between, the next attempt comes here again.
    pfs.reopen_output_commit(opened.output_commit)
    if before is not None and before != opened.output_commit:
        pfs.drop_output_commit(before, f"job {opened.id} was planned again with other inputs or another output")
    return opened


@retried
def _open(pfs: Pfs, request: JobRequest, pipeline: RegisteredPipeline) -> tuple[str | None, OpenJob]:
    """The output commit that the job had before, and the job, opened in one transaction."""
    with pfs.metadata.session() as session:
        row = find_job_of_run(session, request)
        published = row if row is not None and row.state == "success" else None
        if published is not None and not _is_later(request.task, published):
            commit = published.output_commit or ""
            return commit, OpenJob(published.id, published.attempt, commit, {}, done=True)
        if row is not None and _is_replaced(request.task, row):
            raise Conflict(
                f"job {row.id} was planned by try {row.try_number} of its task, and this is try {request.task.number}, "
                "which Airflow has given up: nothing is left for it to do"
            )
        if published is not None:
            row = None
        snapshot = resolve_for_run(session, request, planned_before=row is not None, published=published)
        # Who clears a run that has succeeded wants it to run, whether something is new or only the code.
        new_only = request.new_only and published is None
        if snapshot.idle and (new_only or request.as_of is not None) and row is None:
            raise NothingNew(f"pipeline {request.spec.name!r}: {snapshot.idle}")
        if row is None:
            row = _new_row(request, 1 if published is None else published.round + 1)
            session.add(row)
        else:
            row.attempt += 1
        _renew(row, request, pipeline)
        _record_inputs(session, row, request, snapshot)
        before = row.output_commit
        row.output_commit = _output_commit(pfs, session, row, request, sorted(set(snapshot.commits.values())))
        session.flush()
        return before, OpenJob(
            row.id, row.attempt, row.output_commit, snapshot.commits, False, snapshot.more, row.deadline
        )


def _is_later(task: PlanTry, row: Job) -> bool:
    """Whether the try began after the one that planned the job; numbers begin anew in a run that was deleted."""
    return task.number > row.try_number or task.id > row.try_id


def _is_replaced(task: PlanTry, row: Job) -> bool:
    return task.number < row.try_number and not task.id > row.try_id


def _new_row(request: JobRequest, number: int) -> Job:
    return Job(
        id=uuid.uuid4().hex,
        dag_id=request.dag_id,
        run_id=request.run_id,
        stage=request.stage,
        round=number,
        attempt=1,
        started=datetime.now(UTC),
        author=request.author,
    )


def _renew(row: Job, request: JobRequest, pipeline: RegisteredPipeline) -> None:
    spec = request.spec
    row.pipeline, row.version = pipeline.name, pipeline.version
    row.output_repo, row.output_branch = spec.output_repo, spec.output_branch
    row.code = code_text(request)
    row.try_number, row.try_id, row.cleared = request.task.number, request.task.id, request.task.cleared
    row.reprocess = request.reprocess or spec.reprocess_spec == "every_job"
    now = datetime.now(UTC)
    row.state, row.error, row.finished, row.heartbeat = "planning", None, None, now
    # A job that is planned again, after a clear or a retry, gets its whole time again.
    row.deadline = now + spec.job_timeout if spec.job_timeout is not None else None
    row.listing = listing_rule(spec.input, pipeline.identity)


def _record_inputs(session: Session, row: Job, request: JobRequest, snapshot: Snapshot) -> None:
    wanted = []
    for position, leaf in enumerate(request.spec.input.leaves()):
        pinned = leaf.commit is not None
        ordinal = None if pinned else snapshot.ordinals.get((leaf.repo, leaf.branch))
        branch = PINNED if pinned else leaf.branch
        wanted.append((position, leaf.name, leaf.repo, branch, snapshot.commits[leaf.source], ordinal))
    if [(one.position, one.name, one.repo, one.branch, one.commit, one.ordinal) for one in row.inputs] == wanted:
        return
    row.inputs.clear()
    session.flush()
    row.inputs.extend(
        JobInput(position=position, name=name, repo=repo, branch=branch, commit=commit, ordinal=ordinal)
        for position, name, repo, branch, commit, ordinal in wanted
    )


def _output_commit(pfs: Pfs, session: Session, row: Job, request: JobRequest, provenance: list[str]) -> str:
    """The job's output commit: the one it has if that still says where the job's data comes from, else a new one."""
    commit = session.get(Commit, row.output_commit) if row.output_commit else None
    if commit is not None and (commit.repo, commit.branch) == (row.output_repo, row.output_branch):
        edges = select(CommitProvenance.upstream).where(CommitProvenance.commit == commit.id)
        if sorted(session.scalars(edges)) == provenance:
            return commit.id
    return pfs.start_output_commit(
        request.spec.output,
        provenance=provenance,
        job=row.id,
        description=request.spec.description,
        session=session,
    )
