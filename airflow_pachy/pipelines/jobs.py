"""Jobs from the outside: list, inspect, stop and fail them, and page through their datums.

Every list is paged by key, so a pipeline's ten-thousandth job is found as fast as its first.
"""

from __future__ import annotations

from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc
from sqlalchemy import and_, or_, select
from sqlalchemy.orm import selectinload

from airflow_pachy.errors import DatumNotFound, InvalidArgument
from airflow_pachy.metadata.models import Job, JobInput
from airflow_pachy.pfs.tree.rows import entries_of
from airflow_pachy.pipelines.assemble import assemble_job
from airflow_pachy.pipelines.failing import settle_and_close
from airflow_pachy.pipelines.infos import LIVE_STATES, JobDatum
from airflow_pachy.pipelines.job_rows import describe_job, find_job
from airflow_pachy.pipelines.log_links import LogLinks
from airflow_pachy.pipelines.memory import open_tree
from airflow_pachy.pipelines.plan import plan_job
from airflow_pachy.pipelines.rows import UNFINISHED, read_row
from airflow_pachy.pipelines.rows_table import with_state
from airflow_pachy.pipelines.visibility import only_readable, readable_job

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pyarrow as pa
    from sqlalchemy import Select

    from airflow_pachy.pfs.client import Pfs
    from airflow_pachy.pfs.tree.entries import Entry
    from airflow_pachy.pipelines.infos import JobDatumState, JobInfo, JobState

__all__ = [
    "assemble_job",
    "fail_job",
    "inspect_job",
    "inspect_job_datum",
    "job_state",
    "list_job_datums",
    "list_jobs",
    "live_jobs_before",
    "live_jobs_of",
    "plan_job",
    "stop_job",
]

_PAGE = 200
# Sorts after every key of a datum that is not done, and before every datum id.
_BEFORE_IDS = "/"
_STATES = ("pending", "success", "skipped", "failed", "recovered")


def inspect_job(pfs: Pfs, job_id: str) -> JobInfo:
    """One job. Raises `JobNotFound`, and `Denied` for one that the caller may not read (see `visibility`)."""
    return readable_job(pfs, job_id)[0]


def job_state(pfs: Pfs, job_id: str) -> JobState:
    """The state of a job, which is no secret. Raises `JobNotFound`."""
    with pfs.metadata.reader() as session:
        return describe_job(find_job(session, job_id)).state


def list_jobs(
    pfs: Pfs,
    *,
    pipeline: str | None = None,
    state: JobState | None = None,
    dag_id: str | None = None,
    run_id: str | None = None,
    input_commit: str | None = None,
    after: str | None = None,
    limit: int | None = None,
) -> Iterator[JobInfo]:
    """Jobs, newest first, beyond the job `after`; only those that match everything given. Read page by page.

    Jobs that the caller may not read are left out (see `visibility`).
    """
    query = select(Job).options(selectinload(Job.inputs)).order_by(Job.started.desc(), Job.id.desc())
    query = only_readable(pfs, query)
    for column, value in (
        (Job.pipeline, pipeline),
        (Job.state, state),
        (Job.dag_id, dag_id),
        (Job.run_id, run_id),
    ):
        if value is not None:
            query = query.where(column == value)
    if input_commit is not None:
        query = query.where(Job.id.in_(select(JobInput.job).where(JobInput.commit == input_commit)))
    left = limit
    while left is None or left > 0:
        size = _PAGE if left is None else min(left, _PAGE)
        page = _page(pfs, query.limit(size), after)
        yield from page
        if len(page) < size:
            return
        after = page[-1].id
        left = None if left is None else left - len(page)


def _page(pfs: Pfs, query: Select[Any], after: str | None) -> list[JobInfo]:
    with pfs.metadata.reader() as session:
        if after is not None:
            last = find_job(session, after)
            older = or_(Job.started < last.started, and_(Job.started == last.started, Job.id < last.id))
            query = query.where(older)
        return [describe_job(row) for row in session.scalars(query)]


def live_jobs_before(pfs: Pfs, job_id: str) -> list[JobInfo]:
    """Older jobs of the same output branch that still run, oldest first: whoever waits for them publishes in order."""
    with pfs.metadata.reader() as session:
        own = find_job(session, job_id)
        query: Select[Any] = (
            select(Job)
            .options(selectinload(Job.inputs))
            .where(
                Job.output_repo == own.output_repo,
                Job.output_branch == own.output_branch,
                Job.state.in_(LIVE_STATES),
                or_(Job.started < own.started, and_(Job.started == own.started, Job.id < own.id)),
            )
            .order_by(Job.started, Job.id)
        )
        return [describe_job(row) for row in session.scalars(query)]


def live_jobs_of(pfs: Pfs, repo: str, branch: str) -> list[JobInfo]:
    """All jobs that still run and will write a branch, oldest first, whoever asks: they come before others of it."""
    query: Select[Any] = (
        select(Job)
        .options(selectinload(Job.inputs))
        .where(Job.output_repo == repo, Job.output_branch == branch, Job.state.in_(LIVE_STATES))
        .order_by(Job.started, Job.id)
    )
    with pfs.metadata.reader() as session:
        return [describe_job(row) for row in session.scalars(query)]


def fail_job(pfs: Pfs, job_id: str, error: str) -> JobInfo:
    """End a job that cannot go on: it publishes nothing, leaves no open commit, and what succeeded is remembered.

    Idempotent. Raises `JobNotFound`, and `Conflict` for a job that has published.
    """
    return settle_and_close(pfs, job_id, "failed", error)


def stop_job(pfs: Pfs, job_id: str, reason: str = "stopped by hand") -> JobInfo:
    """End a job on somebody's wish; otherwise like `fail_job`. Its pods end when Airflow ends their tasks.

    Raises `Denied` unless the caller may write what the job writes.
    """
    with pfs.metadata.reader() as session:
        output = find_job(session, job_id).output_repo
    pfs.require_writer(output)
    return settle_and_close(pfs, job_id, "stopped", reason)


def list_job_datums(
    pfs: Pfs,
    job_id: str,
    state: JobDatumState | None = None,
    after: str | None = None,
    limit: int | None = None,
    *,
    prefix: str = "",
) -> Iterator[JobDatum]:
    """The datums of a job: those not done first, then the others by id; `after` is the `cursor` of the last one seen.

    Only those whose id begins with `prefix`. A page costs what is on it, however many datums there are; one of a
    `state` that few have costs a look through the others.
    Raises `JobNotFound`, `Denied`, `InvalidArgument` for an unknown state.
    """
    if state is not None and state not in _STATES:
        raise InvalidArgument(f"datums have no state {state!r}; they are {', '.join(_STATES)}")
    tree = open_tree(pfs, readable_job(pfs, job_id)[1])
    wanted = []
    if state not in ("success", "skipped"):
        wanted.append((UNFINISHED + prefix, after or ""))
    if state not in ("pending", "failed", "recovered"):
        wanted.append((prefix, max(after or "", _BEFORE_IDS)))
    entries: Iterator[Entry]
    if state is None:
        entries = chain.from_iterable(tree.entries(begin, after=behind or None) for begin, behind in wanted)
    else:
        entries = chain.from_iterable(
            _of_state(tree.tables(begin, after=behind), state, job_id) for begin, behind in wanted
        )
    links = LogLinks(pfs)
    return (_describe(entry, job_id, links) for entry in islice(entries, limit))


def _of_state(tables: Iterable[pa.Table], state: JobDatumState, job_id: str) -> Iterator[Entry]:
    """The rows of this state: among a million others few may be, which are passed over as columns."""
    for table in tables:
        chosen = with_state(table, "success" if state == "skipped" else state)
        if state in ("success", "skipped"):
            here = with_state(table, "success", job_id)
            chosen = here if state == "success" else pc.and_not(chosen, here)
        found = table.filter(chosen)
        for start in range(0, found.num_rows, _PAGE):
            yield from entries_of(found[start : start + _PAGE])


def inspect_job_datum(pfs: Pfs, job_id: str, datum: str) -> JobDatum:
    """One datum of a job. Raises `JobNotFound`, `Denied`, `DatumNotFound`."""
    tree = open_tree(pfs, readable_job(pfs, job_id)[1])
    entry = tree.get(datum) or tree.get(UNFINISHED + datum)
    if entry is None:
        raise DatumNotFound(f"job {job_id} has no datum {datum!r}; list them with: pachy list datum {job_id}")
    return _describe(entry, job_id, LogLinks(pfs))


def _describe(entry: Entry, job_id: str, links: LogLinks) -> JobDatum:
    row = read_row(entry)
    skipped = row.state == "success" and row.job != job_id
    return JobDatum(
        id=row.id,
        state="skipped" if skipped else row.state,
        reason=f"done in job {row.job}" if skipped else row.reason,
        inputs=tuple((item.name, f"/{item.path}") for item in row.inputs),
        error=row.error,
        record=row.record,
        row=row.row,
        log=links.of_record(row.record),
        cursor=entry.path,
    )
