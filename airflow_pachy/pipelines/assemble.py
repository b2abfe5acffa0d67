"""Assembly: the outputs of a job's datums become its output commit, in one transaction, exactly once.

Nothing but that transaction makes anything visible; trees written before it by an assembly that died
are garbage. So it may be killed and run again at any point, and running it twice changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import update

from airflow_pachy.errors import (
    BranchMoved,
    Conflict,
    DatumFailed,
    JobFailed,
    OutputCollision,
    PathConflict,
    PipelineNotFound,
)
from airflow_pachy.metadata.contention import retried
from airflow_pachy.metadata.models import DatumSet, Job, Pipeline
from airflow_pachy.pfs.root import tree_text
from airflow_pachy.pipelines.base import Base, find_base
from airflow_pachy.pipelines.comparison import compare_datums
from airflow_pachy.pipelines.failing import close_job
from airflow_pachy.pipelines.job_rows import describe_job, find_job
from airflow_pachy.pipelines.memory import open_tree
from airflow_pachy.pipelines.outputs import OutputBuilder
from airflow_pachy.pipelines.parts import Combined, combine, rule_of
from airflow_pachy.pipelines.plain_memory import plain_memory
from airflow_pachy.pipelines.settling import settle

if TYPE_CHECKING:
    from airflow_pachy.pfs.client import Pfs
    from airflow_pachy.pfs.tree import Tree
    from airflow_pachy.pipelines.infos import JobInfo
    from airflow_pachy.pipelines.settling import Settlement
    from airflow_pachy.pipelines.spec import OnCollision

_TRIES = 5


@dataclass(frozen=True, slots=True)
class Output:
    """What a job is about to publish, and on which head."""

    tree: Tree
    parts: Tree | None
    base: Base


@plain_memory()
def assemble_job(pfs: Pfs, job_id: str) -> JobInfo:
    """Publish the job's output commit if all its datums are done; if the job has published, only tell about it.

    Datums that failed or left no result fail the job: it publishes nothing and its branch stays, but what succeeded is
    remembered, and assembling again after the failed sets were run again continues the job. Raises `DatumFailed`,
    `JobFailed` (also for a stopped job), `OutputCollision`, `PathConflict`, and `Conflict` when somebody else wrote to
    the output branch.
    """
    job = _resume(pfs, job_id)
    if job.state == "success":
        return describe_job(job)
    pfs = pfs.acting_as(f"pipeline:{job.pipeline}")
    settlement = settle(pfs, job)
    if not settlement.complete:
        raise _datums_failed(pfs, job, settlement)
    try:
        return _publish(pfs, job, settlement.datums)
    except (OutputCollision, PathConflict, Conflict) as error:
        close_job(pfs, job_id, "failed", str(error), attempt=job.attempt)
        raise


@retried
def _resume(pfs: Pfs, job_id: str) -> Job:
    """The job, running: assembling a failed one means that its failed sets were run again."""
    with pfs.metadata.session() as session:
        job = find_job(session, job_id, lock=True)
        if job.state in ("planning", "stopped"):
            raise JobFailed(
                f"job {job_id} is {job.state} and cannot be assembled; clear its plan task to plan it again"
            )
        if job.state == "failed":
            job.state, job.error, job.finished, job.heartbeat = "running", None, None, datetime.now(UTC)
        _ = job.inputs
    return job


def _datums_failed(pfs: Pfs, job: Job, settlement: Settlement) -> JobFailed:
    if settlement.pending and job.deadline is not None and job.deadline <= datetime.now(UTC):
        raise _out_of_time(pfs, job, settlement, job.deadline)
    total = f"{settlement.failed} of {job.datums_total} datums failed" if settlement.failed else ""
    absent = f"{settlement.pending} left no result (their pods ended early)" if settlement.pending else ""
    named = "; ".join(f"{row.describe()}: {row.error or 'no result'}" for row in settlement.examples)
    message = (
        f"job {job.id} of pipeline {job.pipeline!r} published nothing: {' and '.join(filter(None, (total, absent)))}, "
        f"such as {named}. See `pachy list datum {job.id}`. To run only these datums again, clear the failed tasks "
        f"or: pachy restart datum {job.id}"
    )
    close_job(pfs, job.id, "failed", message, attempt=job.attempt)
    return DatumFailed(message) if settlement.failed else JobFailed(message)


def _out_of_time(pfs: Pfs, job: Job, settlement: Settlement, deadline: datetime) -> JobFailed:
    message = (
        f"job {job.id} of pipeline {job.pipeline!r} was killed at {deadline.isoformat(' ', 'seconds')}, the end of its "
        f"job_timeout, and published nothing: {settlement.pending} of {job.datums_total} datums were not done yet. "
        "What is done is kept; raise job_timeout if it is too short, and clear the plan task to do the rest"
    )
    close_job(pfs, job.id, "failed", message, attempt=job.attempt)
    return JobFailed(message)


def _publish(pfs: Pfs, job: Job, datums: Tree) -> JobInfo:
    if job.output_commit is None:
        raise Conflict(f"job {job.id} has no output commit; clear its plan task to plan it again")
    pfs.reopen_output_commit(job.output_commit)
    for attempt in range(1, _TRIES + 1):
        output = _build(pfs, job, datums)
        finished = pfs.mirror_commit(job.output_commit, output.tree, seen_head=output.base.head)
        try:
            return _commit(pfs, job, datums, output, finished)
        except BranchMoved:
            # Another job of the pipeline was faster: build on its work. Anybody else's is refused by `find_base`.
            if attempt == _TRIES:
                raise
    raise AssertionError("unreachable")


def _build(pfs: Pfs, job: Job, datums: Tree) -> Output:
    rule = _collision_rule(pfs, job)
    base = find_base(pfs, job.pipeline, job.output_repo, job.output_branch)
    old_parts = open_tree(pfs, base.parts)
    if rule != (rule_of(old_parts) or "error"):
        # Made by another rule: nothing of it can be kept but the datums' own results.
        base_tree, old_datums, old_parts = open_tree(pfs, None), open_tree(pfs, None), open_tree(pfs, None)
    else:
        base_tree, old_datums = open_tree(pfs, base.tree), open_tree(pfs, base.datums)
    changes = compare_datums(datums, old_datums, with_inputs=rule != "error")
    if rule == "error":
        return Output(OutputBuilder(pfs.store, base_tree, datums).build(changes), None, base)
    combined = combine(pfs, Combined(base_tree, old_parts), changes, rule)
    return Output(combined.tree, combined.parts, base)


def _collision_rule(pfs: Pfs, job: Job) -> OnCollision:
    with pfs.metadata.reader() as session:
        pipeline = session.get(Pipeline, job.pipeline)
    if pipeline is None:
        raise PipelineNotFound(
            f"pipeline {job.pipeline!r} of job {job.id} was deleted; plan the job again to register it"
        )
    rule: OnCollision = pipeline.spec.get("on_collision", "error")
    return rule


@retried
def _commit(pfs: Pfs, job: Job, datums: Tree, output: Output, finished: datetime) -> JobInfo:
    with pfs.metadata.session() as session:
        row = find_job(session, job.id, lock=True)
        if row.state == "success":
            return describe_job(row)
        if row.state == "stopped" or row.attempt != job.attempt:
            raise Conflict(f"job {row.id} was {row.state} in attempt {row.attempt} while it was being assembled")
        pfs.publish_output_commit(
            session, row.output_commit or "", output.tree, seen_head=output.base.head, finished=finished
        )
        row.state, row.error, row.finished, row.heartbeat = "success", None, datetime.now(UTC), None
        session.execute(update(DatumSet).where(DatumSet.job == row.id).values(state="success"))
        row.datums = tree_text(datums)
        row.parts = tree_text(output.parts) if output.parts is not None else None
        session.flush()
        return describe_job(row)
