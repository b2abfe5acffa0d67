"""Opening a job: its row, the commits it reads and its output commit are made in one transaction, or found again."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from airflow_pachy.errors import NothingNew
from airflow_pachy.metadata.contention import retried
from airflow_pachy.metadata.models import Commit, CommitProvenance, Job, JobInput
from airflow_pachy.pipelines.datums_changes import listing_rule
from airflow_pachy.pipelines.job_rows import code_text, find_job_of_run
from airflow_pachy.pipelines.snapshot import PINNED, resolve_for_run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.orm import Session

    from airflow_pachy.pfs.client import Pfs
    from airflow_pachy.pipelines.infos import JobRequest
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

    Raises `NotFound` errors for its inputs, `NothingNew`.
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
        if row is not None and row.state == "success":
            return row.output_commit, OpenJob(row.id, row.attempt, row.output_commit or "", {}, done=True)
        snapshot = resolve_for_run(session, request, planned_before=row is not None)
        if snapshot.idle and (request.new_only or request.as_of is not None) and row is None:
            raise NothingNew(f"pipeline {request.spec.name!r}: {snapshot.idle}")
        if row is None:
            row = _new_row(request)
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


def _new_row(request: JobRequest) -> Job:
    return Job(
        id=uuid.uuid4().hex,
        dag_id=request.dag_id,
        run_id=request.run_id,
        stage=request.stage,
        attempt=1,
        started=datetime.now(UTC),
        author=request.author,
    )


def _renew(row: Job, request: JobRequest, pipeline: RegisteredPipeline) -> None:
    spec = request.spec
    row.pipeline, row.version = pipeline.name, pipeline.version
    row.output_repo, row.output_branch = spec.output_repo, spec.output_branch
    row.code = code_text(request)
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
