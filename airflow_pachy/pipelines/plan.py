"""Planning a job: which datums there are, which of them must run and why, and in which sets."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import delete

from airflow_pachy.errors import Conflict
from airflow_pachy.metadata.contention import retried
from airflow_pachy.metadata.models import DatumSet
from airflow_pachy.pfs.root import tree_text
from airflow_pachy.pipelines.base import find_base
from airflow_pachy.pipelines.datums_changes import earlier_sources, list_all, list_changes, listing_rule
from airflow_pachy.pipelines.datums_table import Leaves
from airflow_pachy.pipelines.failing import closing_on_failure
from airflow_pachy.pipelines.incremental import continuation
from airflow_pachy.pipelines.infos import JobPlan
from airflow_pachy.pipelines.job_rows import find_job
from airflow_pachy.pipelines.memory import open_memory, open_tree
from airflow_pachy.pipelines.opening import open_job
from airflow_pachy.pipelines.plain_memory import plain_memory
from airflow_pachy.pipelines.registry import register_pipeline
from airflow_pachy.pipelines.selection import Selector
from airflow_pachy.pipelines.set_plans import PlannedSet, SetPlanner
from airflow_pachy.pipelines.settling import settle
from airflow_pachy.pipelines.snapshot import open_sources
from airflow_pachy.worker.plan import Since

if TYPE_CHECKING:
    from airflow_pachy.metadata.models import Job
    from airflow_pachy.pfs.client import Pfs
    from airflow_pachy.pipelines.infos import JobRequest
    from airflow_pachy.pipelines.opening import OpenJob
    from airflow_pachy.pipelines.registry import RegisteredPipeline
    from airflow_pachy.pipelines.selection import Selection


@plain_memory()
def plan_job(pfs: Pfs, request: JobRequest) -> JobPlan:
    """Plan the job of an Airflow run's stage, or plan it again for its next attempt.

    Planning again keeps the job, the commits it reads and, if these are still the same, its output
    commit; datums that earlier attempts finished are not run again. A job that has published is left alone (`done`).
    If planning fails, the job fails and leaves no open commit behind.

    Raises `RepoNotFound`, `BranchNotFound`, `CommitNotFound` for inputs that cannot be read, `Conflict` when the output
    branch holds somebody else's commit.
    """
    pfs = pfs.acting_as(f"pipeline:{request.spec.name}")
    pipeline = register_pipeline(pfs, request.spec, request.author)
    opened = open_job(pfs, request, pipeline)
    if opened.done:
        return _done(pfs, opened)
    with closing_on_failure(pfs, opened.id, opened.attempt):
        if opened.attempt > 1:
            with pfs.metadata.reader() as session:
                job = find_job(session, opened.id)
            settle(pfs, job)
        return _plan(pfs, request, pipeline, opened)


def _plan(pfs: Pfs, request: JobRequest, pipeline: RegisteredPipeline, opened: OpenJob) -> JobPlan:
    spec, identity = request.spec, pipeline.identity
    base = find_base(pfs, spec.name, spec.output_repo, spec.output_branch)
    sources = open_sources(pfs, opened.commits)
    reprocess = request.reprocess or spec.reprocess_spec == "every_job"
    old = open_tree(pfs, None if reprocess else base.datums)
    leaves = Leaves()
    difference = None
    before = None if reprocess else earlier_sources(pfs, base.job, spec.input, listing_rule(spec.input, identity))
    if before is not None:
        difference = list_changes(spec.input, (sources, before), identity, leaves, old)
    if difference is None:
        leaves = Leaves()
        difference = list_all(spec.input, sources, identity, leaves, old)
    goes_on = spec.incremental and not reprocess
    continued = continuation(pfs, spec, pipeline, base.job, (sources, before)) if goes_on else None
    memory = open_memory(pfs, spec.name)
    selection = Selector(opened.id, old, memory, reprocess, leaves, continued).select(difference)
    trees = {source.commit: tree_text(source.tree) or "" for source in sources.by_leaf.values()}
    since = Since()
    if continued is not None:
        outputs = {key: start.previous for key, start in selection.starts.items() if start.previous is not None}
        since = Since(continued.trees(leaves), outputs)
    sets = SetPlanner(pfs.store, spec, opened, leaves, trees, since).write(selection.to_run, request.max_sets)
    _save(pfs, opened, selection, sets)
    to_run = selection.to_run.num_rows
    return JobPlan(
        job_id=opened.id,
        output_commit=opened.output_commit,
        attempt=opened.attempt,
        total=selection.total,
        skipped=selection.total - to_run,
        to_run=to_run,
        sets=[one.key for one in sets],
        more=opened.more,
    )


@retried
def _save(pfs: Pfs, opened: OpenJob, selection: Selection, sets: list[PlannedSet]) -> None:
    with pfs.metadata.session() as session:
        row: Job = find_job(session, opened.id, lock=True)
        if row.attempt != opened.attempt or row.state != "planning":
            raise Conflict(
                f"job {row.id} is {row.state} in attempt {row.attempt}, while attempt {opened.attempt} was being "
                "planned: it was stopped, or planned by two tasks at once; clear the plan task to plan it again"
            )
        row.state, row.heartbeat = "running", datetime.now(UTC)
        row.datums = tree_text(selection.tree)
        row.datums_total = selection.total
        row.datums_processed = selection.done_here
        row.datums_skipped = selection.total - selection.to_run.num_rows - selection.done_here
        row.datums_failed = row.datums_recovered = 0
        session.execute(delete(DatumSet).where(DatumSet.job == row.id))
        session.add_all(
            DatumSet(
                job=row.id,
                number=one.number,
                datum_count=one.datum_count,
                plan_key=one.key,
                state="planned",
                attempts=0,
            )
            for one in sets
        )


def _done(pfs: Pfs, opened: OpenJob) -> JobPlan:
    with pfs.metadata.reader() as session:
        row = find_job(session, opened.id)
    return JobPlan(
        job_id=row.id,
        output_commit=opened.output_commit,
        attempt=row.attempt,
        total=row.datums_total,
        skipped=row.datums_total,
        to_run=0,
        done=True,
    )
