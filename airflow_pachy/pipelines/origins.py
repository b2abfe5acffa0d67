"""Which versions of which branches a commit goes back to, as the jobs that made it recorded them.

Provenance edges name commits; here they become positions in the queues of the branches that were read, so that
two commits can be asked whether they belong to the same state of their common sources. A job's record
of its inputs is preferred to the commit's own branch: after deferred processing they differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from sqlalchemy import select

from airflow_pachy.metadata.models import Branch, BranchProvenance, Commit, CommitProvenance, JobInput

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy.orm import Session

BranchKey: TypeAlias = tuple[str, str]
"""Repo and branch name."""


@dataclass(frozen=True, slots=True)
class Version:
    """The commit that a branch pointed at after its move number `ordinal`."""

    ordinal: int
    commit: str


class Origins:
    """Answers what commits go back to; remembers its answers, so it is for one transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._known: dict[str, dict[BranchKey, Version]] = {}

    def of(self, commit: str) -> dict[BranchKey, Version]:
        """By branch, the newest version that the commit derives from, directly or not; without itself."""
        pending = [commit]
        while pending:
            one = pending[-1]
            edges = [] if one in self._known else self._edges(one)
            missing = [version.commit for _, version in edges if version.commit not in self._known]
            if missing:
                pending += missing
                continue
            pending.pop()
            if one not in self._known:
                self._known[one] = self._merged(edges)
        return self._known[commit]

    def _merged(self, edges: Iterable[tuple[BranchKey, Version]]) -> dict[BranchKey, Version]:
        found: dict[BranchKey, Version] = {}
        for branch, version in edges:
            for key, candidate in [(branch, version), *self._known[version.commit].items()]:
                if key not in found or found[key].ordinal < candidate.ordinal:
                    found[key] = candidate
        return found

    def _edges(self, commit: str) -> list[tuple[BranchKey, Version]]:
        row = self._session.get(Commit, commit)
        if row is None:
            return []
        if row.job is not None:
            inputs = select(JobInput.repo, JobInput.branch, JobInput.ordinal, JobInput.commit).where(
                JobInput.job == row.job, JobInput.ordinal.is_not(None), JobInput.commit.is_not(None)
            )
            rows = self._session.execute(inputs)
            read = [((repo, branch), Version(at or 0, one or "")) for repo, branch, at, one in rows]
            if read:
                return read
        upstream = (
            select(Commit.repo, Commit.branch, Commit.ordinal, Commit.id)
            .join(CommitProvenance, CommitProvenance.upstream == Commit.id)
            .where(CommitProvenance.commit == commit)
        )
        return [((repo, branch), Version(at or 0, one)) for repo, branch, at, one in self._session.execute(upstream)]


def covered_branches(session: Session, branches: Iterable[BranchKey]) -> set[BranchKey]:
    """Those of `branches` from which another of them is computed.

    A commit on such a branch arrives twice: at once, and inside the commit computed from it. Only the second arrival
    is a state of the data that belongs together.
    """
    wanted = set(branches)
    if len(wanted) < 2:
        return set()
    edges = BranchProvenance
    upstream: dict[BranchKey, set[BranchKey]] = {}
    query = select(edges.repo, edges.branch, edges.upstream_repo, edges.upstream_branch)
    for repo, branch, upstream_repo, upstream_branch in session.execute(query):
        upstream.setdefault((repo, branch), set()).add((upstream_repo, upstream_branch))
    covered: set[BranchKey] = set()
    for branch_key in wanted:
        reached: set[BranchKey] = set()
        pending = list(upstream.get(branch_key, ()))
        while pending:
            one = pending.pop()
            if one not in reached:
                reached.add(one)
                pending += upstream.get(one, ())
        covered |= (reached & wanted) - {branch_key}
    return covered


def heads_of(session: Session, branches: Iterable[BranchKey]) -> dict[BranchKey, Version]:
    """The present head of each branch that has one."""
    found: dict[BranchKey, Version] = {}
    for repo, name in branches:
        row = session.execute(
            select(Branch.ordinal, Branch.head).where(Branch.repo == repo, Branch.name == name)
        ).one_or_none()
        if row is not None and row.head is not None:
            found[repo, name] = Version(row.ordinal, row.head)
    return found
