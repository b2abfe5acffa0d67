"""Waiting for everything that is made from a commit.

Which branches something is expected on is what branch provenance says (pipelines record theirs when they are planned),
from every branch that the commit has been the head of; what a pipeline that never ran will make only the caller can
know, and say. A branch has its answer when a commit became its head that
was made from the given one or, since pipelines may skip to the newest, from what came after it on the same branch.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

from sqlalchemy import and_, or_, select, union
from sqlalchemy.orm import aliased

from airflow_pachy.errors import InvalidArgument, JobFailed
from airflow_pachy.metadata.models import Commit, CommitProvenance, HeadMove, Job, JobInput, Pipeline
from airflow_pachy.pfs.branch_graph import BranchGraph
from airflow_pachy.pfs.describe import describe_commits
from airflow_pachy.pfs.lookups import find_commit_by_id, find_repo
from airflow_pachy.pfs.provenance import downstream_closure
from airflow_pachy.pfs.waiting import wait_commit

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Select, Subquery
    from sqlalchemy.orm import Session

    from airflow_pachy.pfs.address import Address
    from airflow_pachy.pfs.branch_graph import Name
    from airflow_pachy.pfs.infos import CommitInfo
    from airflow_pachy.pfs.root import Root
    from airflow_pachy.pfs.waiting import Pauses

_ENDED_BADLY = ("failed", "stopped")
_RUNNING = "running"


def flush_commit(
    root: Root,
    commits: Sequence[Address],
    *,
    to_repos: Sequence[str] | None,
    pauses: Pauses,
    expect: Sequence[Address] = (),
) -> list[CommitInfo]:
    """The finished commits that were made from all of the given ones, once there is one on every branch downstream.

    Open commits are waited for. With `to_repos`, only branches of these repos count, and what is on the way there.
    Branches in `expect` count whether or not anything says yet that they are, or will be, downstream.
    Raises `InvalidArgument` without commits, `JobFailed` when a job on the way ended badly, `TimeoutError`.
    """
    if not commits:
        raise InvalidArgument("name at least one commit to flush")
    given = dict.fromkeys(_finished(root, address, pauses) for address in commits)
    expected = frozenset((one.repo, one.ref) for one in expect)
    while True:
        with root.metadata.reader() as session:
            for repo in to_repos or ():
                find_repo(session, repo)
            look = _Look.at(session, list(given), to_repos, expected)
            answers = {target: look.answer(session, target) for target in look.targets}
            missing = sorted(target for target, answer in answers.items() if answer is None)
            if not missing:
                return _describe(session, {answer for answer in answers.values() if answer is not None})
            look.require_hope(session, missing)
        if not pauses.pause():
            shown = ", ".join(f"{repo}@{name}" for repo, name in missing)
            raise TimeoutError(
                f"after {pauses.timeout_seconds} s nothing made from {', '.join(look.addresses)} was on {shown} yet"
            )


def _finished(root: Root, address: Address, pauses: Pauses) -> str:
    info = wait_commit(root, address, pauses)
    if info.state == "error":
        raise JobFailed(f"commit {info} ended with an error, so nothing is made from it: {info.error}")
    return info.id


@dataclass(frozen=True, slots=True)
class _Given:
    """A given commit with the queues it is in: how often the branches it was head of had moved when it came."""

    id: str
    address: str
    positions: tuple[tuple[Name, int], ...]

    @classmethod
    def find(cls, session: Session, commit_id: str) -> _Given:
        """Look its moves up."""
        row = find_commit_by_id(session, commit_id)
        moves = session.execute(
            select(HeadMove.repo, HeadMove.branch, HeadMove.ordinal)
            .where(HeadMove.commit == commit_id)
            .order_by(HeadMove.ordinal.desc())
        )
        first = {(repo, branch): ordinal for repo, branch, ordinal in moves}
        return cls(commit_id, f"{row.repo}@{row.id}", tuple(sorted(first.items())))

    def covered(self) -> Select[tuple[str | None]]:
        """Ids of this commit and of those that came after it, for the first time, on its branches."""
        own = select(Commit.id).where(Commit.id == self.id)
        move, before = aliased(HeadMove), aliased(HeadMove)
        after = [
            select(move.commit).where(
                move.repo == repo,
                move.branch == branch,
                move.ordinal > ordinal,
                move.commit.is_not(None),
                ~select(before.ordinal)
                .where(before.repo == repo, before.branch == branch, before.ordinal < ordinal)
                .where(before.commit == move.commit)
                .exists(),
            )
            for (repo, branch), ordinal in self.positions
        ]
        covered = union(own, *after).subquery()
        return select(covered.c[0])

    def brought_back(self, session: Session) -> dict[str, datetime]:
        """Older commits that its branches were moved back to after it, and when: runs since then have seen them."""
        move, before = aliased(HeadMove), aliased(HeadMove)
        found: dict[str, datetime] = {}
        for (repo, branch), ordinal in self.positions:
            query = (
                select(move.commit, move.moved)
                .join(before, and_(before.repo == repo, before.branch == branch, before.commit == move.commit))
                .where(move.repo == repo, move.branch == branch, move.ordinal > ordinal, before.ordinal < ordinal)
                .order_by(move.ordinal.desc())
            )
            found |= {commit: moved for commit, moved in session.execute(query) if commit is not None}
        return found


@dataclass(frozen=True, slots=True)
class _Look:
    """What is downstream of the given commits at one moment."""

    given: tuple[_Given, ...]
    graph: BranchGraph
    targets: frozenset[Name]

    @classmethod
    def at(
        cls, session: Session, commit_ids: Sequence[str], to_repos: Sequence[str] | None, expected: frozenset[Name]
    ) -> _Look:
        """Read it anew: pipelines may have come and gone since the last look."""
        given = tuple(_Given.find(session, one) for one in commit_ids)
        starts = [{branch for branch, _ in one.positions} for one in given]
        graph = BranchGraph()
        graph.extend(session, set().union(*starts), upwards=False)
        _cut_stopped(session, graph)
        below = [set().union(*(graph.downstream(branch) for branch in branches)) for branches in starts]
        targets: set[Name] = reduce(lambda one, other: one & other, below)
        known = frozenset(one for one in targets if to_repos is None or one[0] in to_repos)
        return cls(given, graph, known | expected)

    @property
    def addresses(self) -> list[str]:
        """The given commits."""
        return [one.address for one in self.given]

    def answer(self, session: Session, target: Name) -> str | None:
        """The first head of a branch that was made from all the given commits; None if there is none yet."""
        made = [_made_on(session, one, target) for one in self.given]
        common = set.intersection(*(set(one) for one in made))
        return min(common, key=lambda commit: made[0][commit]) if common else None

    def require_hope(self, session: Session, missing: Sequence[Name]) -> None:
        """Raise `JobFailed` if the newest job on the way to a missing answer has ended badly."""
        below = {name for one in self.given for branch, _ in one.positions for name in self.graph.downstream(branch)}
        on_the_way = below & {above for target in missing for above in (target, *self.graph.upstream(target))}
        if any(target not in below for target in missing):
            # Nobody knows yet what leads to an expected branch, so it may be anything.
            on_the_way = below
        for branch in sorted(on_the_way):
            if self.answer(session, branch) is not None:
                continue
            job = self._newest_job(session, branch)
            if job is not None and job.state in _ENDED_BADLY:
                raise JobFailed(
                    f"job {job.id} of pipeline {job.pipeline!r}, which makes {branch[0]}@{branch[1]} from "
                    f"{', '.join(self.addresses)}, {'was stopped' if job.state == 'stopped' else 'failed'}: "
                    f"{job.error or 'no reason was recorded'}"
                )

    def _newest_job(self, session: Session, branch: Name) -> Job | None:
        read = or_(*(JobInput.commit.in_(select(_reached(one.covered()).c.id)) for one in self.given))
        direct = or_(*(JobInput.commit.in_(one.covered()) for one in self.given))
        return session.scalar(
            select(Job)
            .join(JobInput, JobInput.job == Job.id)
            .where(Job.output_repo == branch[0], Job.output_branch == branch[1], or_(read, direct))
            .order_by(Job.started.desc())
            .limit(1)
        )


def _made_on(session: Session, given: _Given, target: Name) -> dict[str, int]:
    """Heads of `target` that were made from a commit or what came after it, with the numbers of their moves."""
    move = HeadMove
    on_target = and_(move.repo == target[0], move.branch == target[1])
    made = _reached(given.covered())
    query = select(move.commit, move.ordinal).where(on_target, move.commit.in_(select(made.c.id)))
    found = {commit: ordinal for commit, ordinal in session.execute(query) if commit is not None}
    for commit_id, moved in given.brought_back(session).items():
        below = downstream_closure(session, commit_id)
        since = select(move.commit, move.ordinal).where(on_target, move.moved >= moved)
        found |= {one: ordinal for one, ordinal in session.execute(since) if one in below}
    return found


def _reached(commits: Select[tuple[str | None]]) -> Subquery:
    """All that derives from some commits, as a subquery with the column `id`."""
    edges = CommitProvenance
    reached = select(edges.commit.label("id")).where(edges.upstream.in_(commits)).cte(recursive=True)
    reached = reached.union(select(edges.commit).join(reached, edges.upstream == reached.c.id))
    return select(reached.c.id).subquery()


def _cut_stopped(session: Session, graph: BranchGraph) -> None:
    """Forget the edges into branches whose pipeline does not run: nothing will come there."""
    query = select(Pipeline.output_repo, Pipeline.output_branch).where(Pipeline.state != _RUNNING)
    for repo, branch in session.execute(query):
        for above in graph.above.pop((repo, branch), set()):
            graph.below[above].discard((repo, branch))


def _describe(session: Session, ids: set[str]) -> list[CommitInfo]:
    rows = [find_commit_by_id(session, one) for one in ids]
    rows.sort(key=lambda row: (row.finished or row.started, row.id))
    return describe_commits(session, rows)
