"""Rows against rows: what foreign keys do not guard."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, exists, func, or_, select, update
from sqlalchemy.orm import aliased

from airflow_pachy.metadata.changes import touch
from airflow_pachy.metadata.contention import retried
from airflow_pachy.metadata.models import Branch, BranchProvenance, Commit, CommitProvenance, HeadMove, Job, Tag
from airflow_pachy.pfs.heads import utc_now
from airflow_pachy.pfs.outputs import drop_output_commit
from airflow_pachy.pfs.upkeep.findings import Finding, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Executable

    from airflow_pachy.pfs.root import Root

_ENDED = ("success", "failed", "stopped")
SILENT_AFTER = timedelta(days=3)


def check_rows(root: Root) -> Iterator[Finding]:
    """What is wrong in the database itself."""
    for check in (_branches, _edges, _moves, _commits, _jobs):
        yield from check(root)


def _all(root: Root, query: Any) -> Sequence[Any]:
    with root.metadata.reader() as session:
        return session.execute(query).all()


@retried
def _run(root: Root, statement: Executable, *touches: tuple[str, ...]) -> None:
    with root.metadata.session() as session:
        session.execute(statement, execution_options={"synchronize_session": False})
        for kind, *key in touches:
            touch(session, kind, *key)


def _branches(root: Root) -> Iterator[Finding]:
    head = aliased(Commit)
    query = select(Branch.repo, Branch.name, Branch.head, head.state).outerjoin(head, head.id == Branch.head)
    query = query.where(Branch.head.is_not(None), or_(head.id.is_(None), head.state != "finished"))
    for repo, name, commit, state in _all(root, query):
        what = f"its head {commit} is {state or 'not there'}"
        advice = f"point it at a finished commit: pachy create branch {repo}@{name} --head {repo}@COMMIT"
        yield Finding(Problem(what, f"branch {repo}@{name}", advice))
    opened = aliased(Commit)
    closed = select(Branch.repo, Branch.name, Branch.open_commit).outerjoin(opened, opened.id == Branch.open_commit)
    closed = closed.where(Branch.open_commit.is_not(None), or_(opened.id.is_(None), opened.state != "open"))
    for repo, name, commit in _all(root, closed):
        problem = Problem(f"it has {commit} open, which is not open", f"branch {repo}@{name}", "--fix clears it")
        where = (Branch.repo == repo, Branch.name == name, Branch.open_commit == commit)
        yield Finding(problem, partial(_run, root, update(Branch).where(*where).values(open_commit=None)))


def _edges(root: Root) -> Iterator[Finding]:
    edge, above = CommitProvenance, aliased(Commit)
    for commit, upstream in _all(
        root, select(edge.commit, edge.upstream).where(~exists().where(above.id == edge.upstream))
    ):
        problem = Problem(
            f"it derives from {upstream}, which is not there", f"commit {commit}", "--fix removes the edge"
        )
        gone = delete(edge).where(edge.commit == commit, edge.upstream == upstream)
        yield Finding(problem, partial(_run, root, gone))
    link = BranchProvenance
    there = exists().where(Branch.repo == link.upstream_repo, Branch.name == link.upstream_branch)
    columns = (link.repo, link.branch, link.upstream_repo, link.upstream_branch)
    for row in _all(root, select(*columns).where(~there)):
        repo, branch, *upstream = row
        problem = Problem(
            f"it derives from {'@'.join(upstream)}, which is not there",
            f"branch {repo}@{branch}",
            "--fix removes the edge",
        )
        gone = delete(link).where(*(column == value for column, value in zip(columns, row, strict=True)))
        yield Finding(problem, partial(_run, root, gone, ("branches", repo, branch)))
    named = select(Tag.repo, Tag.name, Tag.commit).where(~exists().where(above.id == Tag.commit))
    for repo, name, commit in _all(root, named):
        problem = Problem(
            f"it names commit {commit}, which is not there", f"tag {repo}@{name}", "--fix deletes the tag"
        )
        yield Finding(problem, partial(_run, root, delete(Tag).where(Tag.repo == repo, Tag.name == name)))


def _moves(root: Root) -> Iterator[Finding]:
    last = (
        select(HeadMove.repo, HeadMove.branch, func.max(HeadMove.ordinal).label("ordinal"))
        .group_by(HeadMove.repo, HeadMove.branch)
        .subquery()
    )
    same = (last.c.repo == Branch.repo) & (last.c.branch == Branch.name)
    query = select(Branch.repo, Branch.name, Branch.ordinal, last.c.ordinal).join(last, same)
    for repo, name, ordinal, highest in _all(root, query.where(last.c.ordinal > Branch.ordinal)):
        problem = Problem(
            f"it counts {ordinal} moves, but the last one has number {highest}",
            f"branch {repo}@{name}",
            "--fix sets the count",
        )
        where = (Branch.repo == repo, Branch.name == name, Branch.ordinal == ordinal)
        yield Finding(problem, partial(_run, root, update(Branch).where(*where).values(ordinal=highest)))


def _commits(root: Root) -> Iterator[Finding]:
    above = aliased(Commit)
    orphans = select(Commit.repo, Commit.id, Commit.parent).where(
        Commit.parent.is_not(None), ~exists().where(above.id == Commit.parent)
    )
    for repo, commit, parent in _all(root, orphans):
        problem = Problem(
            f"its parent {parent} is not there", f"commit {repo}@{commit}", "--fix makes it the first of its history"
        )
        yield Finding(problem, partial(_run, root, update(Commit).where(Commit.id == commit).values(parent=None)))
    lost = select(Commit.repo, Commit.id).where(
        Commit.state == "open", Commit.job.is_(None), ~exists().where(Branch.open_commit == Commit.id)
    )
    for repo, commit in _all(root, lost):
        advice = f"finish it (pachy finish commit {repo}@{commit}) or drop it (pachy drop commit {repo}@{commit})"
        yield Finding(Problem("it is open, but on no branch", f"commit {repo}@{commit}", advice))
    ended = select(Commit.repo, Commit.id, Job.id, Job.state).outerjoin(Job, Job.id == Commit.job)
    ended = ended.where(Commit.state == "open", Commit.job.is_not(None), or_(Job.id.is_(None), Job.state.in_(_ENDED)))
    for repo, commit, job, state in _all(root, ended):
        what = f"it is open, but its job {job} is {state}" if job else "it is open, but its job is not there"
        repair = partial(drop_output_commit, root, commit, "its job had ended without closing it")
        yield Finding(Problem(what, f"commit {repo}@{commit}", "--fix closes it"), repair)


def _jobs(root: Root) -> Iterator[Finding]:
    silent = select(Job.id, Job.pipeline, Job.state, Job.heartbeat).where(
        Job.state.not_in(_ENDED), or_(Job.heartbeat.is_(None), Job.heartbeat < utc_now() - SILENT_AFTER)
    )
    for job, pipeline, state, heartbeat in _all(root, silent):
        since = f"since {heartbeat:%Y-%m-%d %H:%M} UTC" if heartbeat else "ever"
        advice = f"if its Airflow run has ended, stop it: pachy stop job {job}"
        yield Finding(
            Problem(f"it is {state}, but has not been heard of {since}", f"job {job} of {pipeline!r}", advice)
        )
    published = aliased(Commit)
    broken = (
        select(Job.id, Job.pipeline, Job.output_commit)
        .outerjoin(published, published.id == Job.output_commit)
        .where(Job.state == "success", published.id.is_not(None), published.state != "finished")
    )
    for job, pipeline, commit in _all(root, broken):
        advice = "clear its assemble task to publish it again"
        where = f"job {job} of {pipeline!r}"
        yield Finding(Problem(f"it succeeded, but its output commit {commit} is not finished", where, advice))
