"""Pipelines by name: create, update, list, stop, start and delete them. Nothing here needs a running Airflow.

A pipeline that was created here is `managed`: the database holds its spec, and `load_pipelines()` without a folder
makes the DAGs of all of them. One that a DAG file defines registers itself when it is planned first, and can
be stopped, started and deleted all the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from airflow_pachy.errors import AlreadyExists, Conflict, HasDependents, InvalidArgument, PipelineNotFound, RepoNotFound
from airflow_pachy.metadata.contention import retried
from airflow_pachy.metadata.models import Branch, BranchProvenance, Job, Pipeline, PipelineVersion, Repo, Standing
from airflow_pachy.pipelines.infos import LIVE_STATES
from airflow_pachy.pipelines.inputs.fed import fed_inputs
from airflow_pachy.pipelines.jobs import stop_job
from airflow_pachy.pipelines.registry import make_sources_and_output, record_pipeline

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.orm import Session

    from airflow_pachy.pfs.client import Pfs
    from airflow_pachy.pipelines.spec import PipelineSpec

RUNNING, STOPPED = "running", "stopped"
_PAGE = 200


@dataclass(frozen=True, slots=True)
class PipelineInfo:
    """A pipeline as it stands, or in one of its versions; `last_job` is the state of its newest job, if it has one."""

    name: str
    version: int
    state: str
    reason: str | None
    managed: bool
    output: str
    spec: dict[str, Any]
    created: datetime
    updated: datetime
    author: str | None
    last_job: str | None = None


def create_pipeline(
    pfs: Pfs, spec: PipelineSpec, *, update: bool = False, reprocess: bool = False, author: str | None = None
) -> PipelineInfo:
    """Register a pipeline with its output repo and branch, or with `update` its next version.

    An update stops the jobs that run the version before and keeps what was processed; `reprocess`, here or in the
    spec, forgets it, so that the next job runs every datum. An unchanged spec makes no new version. Raises
    `AlreadyExists` (a pipeline, or for a new one a repo of that name), `RepoNotFound` for an input, `PipelineNotFound`,
    and `Denied` unless the caller may write what the pipeline writes, also before an update.
    """
    with pfs.metadata.reader() as session:
        row = session.get(Pipeline, spec.name)
        before = row.version if row else None
        taken = session.get(Repo, spec.output_repo) is not None
        own = {one.leaf.repo for one in fed_inputs(spec.input)}
        read = {leaf.repo for leaf in spec.input.leaves()} - own
        missing = sorted(read.difference(session.scalars(select(Repo.name).where(Repo.name.in_(read)))))
        branches = {(leaf.repo, leaf.branch) for leaf in spec.input.leaves() if leaf.commit is None}
        unborn = sorted(key for key in branches if session.get(Branch, key) is None and key[0] not in own)
    if before is not None and not update:
        raise AlreadyExists(
            f"there is a pipeline {spec.name!r} already, in version {before}; change it with: "
            "pachy update pipeline -f FILE"
        )
    if before is None and taken:
        raise AlreadyExists(
            f"pipeline {spec.name!r} writes the repo {spec.output_repo!r}, which exists already; "
            "choose another name, or another output_repo"
        )
    if before is not None:
        _require_writer(pfs, spec.name)
    pfs.require_writer(spec.output_repo)
    _check_same_kind(pfs, spec)
    if missing:
        raise RepoNotFound(
            f"pipeline {spec.name!r} reads {', '.join(missing)}, which does not exist; make it with: pachy create repo"
        )
    for repo, branch in unborn:
        pfs.create_branch(f"{repo}@{branch}")
    make_sources_and_output(pfs, spec)
    reprocess = reprocess or (before is not None and spec.reprocess)
    registered = record_pipeline(pfs, spec, author or pfs.principal, managed=True, new_salt=reprocess)
    if before is not None and (reprocess or registered.version != before):
        _stop_jobs(pfs, spec.name, f"pipeline {spec.name!r} was updated to version {registered.version}")
    return inspect_pipeline(pfs, spec.name)


def inspect_pipeline(pfs: Pfs, name: str, version: int | None = None) -> PipelineInfo:
    """A pipeline; `version` is one it had before. Raises `PipelineNotFound`."""
    with pfs.metadata.reader() as session:
        row = _find(session, name)
        if version is None or version == row.version:
            return _describe(session, row)
        past = session.get(PipelineVersion, (name, version))
        if past is None:
            raise PipelineNotFound(f"pipeline {name!r} has no version {version}; its newest is {row.version}")
        return _describe(session, row, past)


def list_pipelines(pfs: Pfs, *, after: str | None = None, limit: int | None = None) -> Iterator[PipelineInfo]:
    """Pipelines by name, beyond the name `after`; read page by page."""
    left = limit
    while left is None or left > 0:
        size = _PAGE if left is None else min(left, _PAGE)
        query = select(Pipeline).order_by(Pipeline.name).limit(size)
        with pfs.metadata.reader() as session:
            rows = session.scalars(query if after is None else query.where(Pipeline.name > after)).all()
            page = [_describe(session, row) for row in rows]
        yield from page
        if len(page) < size:
            return
        after = page[-1].name
        left = None if left is None else left - len(page)


def pipeline_versions(pfs: Pfs, name: str) -> list[PipelineInfo]:
    """All versions of a pipeline, the newest first. Raises `PipelineNotFound`."""
    with pfs.metadata.reader() as session:
        row = _find(session, name)
        query = select(PipelineVersion).where(PipelineVersion.name == name).order_by(PipelineVersion.version.desc())
        return [_describe(session, row, past) for past in session.scalars(query)]


@retried
def stop_pipeline(pfs: Pfs, name: str, reason: str = "stopped by hand") -> PipelineInfo:
    """Keep a pipeline from planning jobs, and stop those it has; commits to its inputs go unprocessed. Idempotent.

    Raises `PipelineNotFound`, and `Denied` unless the caller may write what the pipeline writes.
    """
    _require_writer(pfs, name)
    with pfs.metadata.session() as session:
        row = _find(session, name, lock=True)
        if row.state != STOPPED:
            row.state, row.reason, row.updated = STOPPED, reason, datetime.now(UTC)
    _stop_jobs(pfs, name, f"pipeline {name!r} was stopped: {reason}")
    return inspect_pipeline(pfs, name)


@retried
def start_pipeline(pfs: Pfs, name: str) -> PipelineInfo:
    """Let a stopped pipeline plan jobs again. The first reads the newest commits; what came meanwhile has no job.

    Raises `PipelineNotFound`, and `Denied` unless the caller may write what the pipeline writes.
    """
    _require_writer(pfs, name)
    with pfs.metadata.session() as session:
        row = _find(session, name, lock=True)
        if row.state == STOPPED:
            row.state, row.reason, row.from_newest, row.updated = RUNNING, None, True, datetime.now(UTC)
    return inspect_pipeline(pfs, name)


def delete_pipeline(pfs: Pfs, name: str, *, keep_repo: bool = False, force: bool = False) -> None:
    """Delete a pipeline, its output repo unless `keep_repo`, and what it remembers of processed datums.

    Its jobs stay on record. Raises `PipelineNotFound`, `Denied` unless the caller owns the output repo or, where that
    is kept, may write to it, `HasDependents` when other branches are computed from its output, unless `force` or the
    repo is kept, and `Conflict` while something stands in the cluster for it, unless `force`.
    """
    info = inspect_pipeline(pfs, name)
    (pfs.require_writer if keep_repo else pfs.require_owner)(info.output.partition("@")[0])
    if not force:
        _require_nothing_stands(pfs, name)
    repo, _, branch = info.output.partition("@")
    if not (force or keep_repo):
        with pfs.metadata.reader() as session:
            edges = BranchProvenance
            query = select(edges.repo, edges.branch).where(edges.upstream_repo == repo, edges.repo != repo)
            readers = sorted({f"{reader}@{where}" for reader, where in session.execute(query)})
        if readers:
            raise HasDependents(
                f"pipeline {name!r} cannot be deleted: {', '.join(readers)} is computed from {repo}; delete what reads "
                "it first, or keep its repo with --keep-repo, or insist with --force"
            )
    _stop_jobs(pfs, name, f"pipeline {name!r} was deleted")
    _remove(pfs, name)
    if keep_repo:
        pfs.create_branch(f"{repo}@{branch}", provenance=[])
    else:
        pfs.delete_repo(repo, force=force)


def _check_same_kind(pfs: Pfs, spec: PipelineSpec) -> None:
    """Raise `Conflict` when an update would leave in the cluster what nobody looks after any more."""
    with pfs.metadata.reader() as session:
        row = session.get(Standing, spec.name)
    kind = "service" if spec.service else "spout" if spec.spout is not None else None
    if row is not None and row.kind != kind:
        raise Conflict(
            f"pipeline {spec.name!r} is a {row.kind} that stands in namespace {row.namespace}, and would be none any "
            f"more; stop it first with: pachy stop pipeline {spec.name}"
        )


def _require_nothing_stands(pfs: Pfs, name: str) -> None:
    with pfs.metadata.reader() as session:
        row = session.get(Standing, name)
    if row is not None:
        raise Conflict(
            f"pipeline {name!r} cannot be deleted while its {row.kind} {row.name} stands in namespace {row.namespace}; "
            f"stop it first with: pachy stop pipeline {name}"
        )


def live_jobs(pfs: Pfs, name: str) -> list[str]:
    """Ids of a pipeline's jobs that are not over."""
    with pfs.metadata.reader() as session:
        query = select(Job.id).where(Job.pipeline == name, Job.state.in_(LIVE_STATES)).order_by(Job.started)
        return list(session.scalars(query))


def _require_writer(pfs: Pfs, name: str) -> None:
    with pfs.metadata.reader() as session:
        output = _find(session, name).output_repo
    pfs.require_writer(output)


def check_name(name: str) -> None:
    """Raise `InvalidArgument` for what cannot be a pipeline's name, such as an address."""
    if "@" in name or ":" in name:
        raise InvalidArgument(f"{name!r} is an address; a pipeline is named by its name alone, e.g. edges")


@retried
def _remove(pfs: Pfs, name: str) -> None:
    with pfs.metadata.session() as session:
        session.delete(_find(session, name, lock=True))


def _stop_jobs(pfs: Pfs, name: str, reason: str) -> None:
    for job in live_jobs(pfs, name):
        stop_job(pfs, job, reason)


def _find(session: Session, name: str, *, lock: bool = False) -> Pipeline:
    check_name(name)
    row = session.get(Pipeline, name, with_for_update=lock or None)
    if row is None:
        raise PipelineNotFound(f"there is no pipeline {name!r}; list them with: pachy list pipeline")
    return row


def _describe(session: Session, row: Pipeline, past: PipelineVersion | None = None) -> PipelineInfo:
    last = select(Job.state).where(Job.pipeline == row.name).order_by(Job.started.desc(), Job.id.desc()).limit(1)
    return PipelineInfo(
        name=row.name,
        version=past.version if past else row.version,
        state=row.state,
        reason=row.reason,
        managed=row.managed,
        output=f"{row.output_repo}@{row.output_branch}",
        spec=dict(past.spec if past else row.spec),
        created=row.created,
        updated=past.created if past else row.updated,
        author=past.author if past else row.author,
        last_job=session.scalars(last).one_or_none(),
    )
