"""From rows to the values users get, a page of commits in a fixed number of queries."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, cast

from sqlalchemy import select

from airflow_pachy.metadata.models import Branch, Commit, CommitProvenance, Repo, Tag
from airflow_pachy.pfs.branch_graph import BranchGraph
from airflow_pachy.pfs.infos import BranchInfo, CommitInfo, CommitState, RepoInfo
from airflow_pachy.pfs.triggers import Trigger

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy.orm import Session


def describe_repos(session: Session, rows: Sequence[Repo]) -> list[RepoInfo]:
    """Repos with their branches and the size of master's head."""
    names = [row.name for row in rows]
    branches: defaultdict[str, list[str]] = defaultdict(list)
    query = select(Branch.repo, Branch.name).where(Branch.repo.in_(names)).order_by(Branch.created, Branch.name)
    for repo, branch in session.execute(query):
        branches[repo].append(branch)
    heads = (
        select(Branch.repo, Commit.size_bytes)
        .join(Commit, Commit.id == Branch.head)
        .where(Branch.repo.in_(names), Branch.name == "master")
    )
    sizes = {row.repo: row.size_bytes for row in session.execute(heads)}
    return [
        RepoInfo(
            name=row.name,
            description=row.description,
            created=row.created,
            author=row.author,
            size_bytes=sizes.get(row.name, 0),
            branches=tuple(branches[row.name]),
            labels=dict(row.labels or {}),
        )
        for row in rows
    ]


def describe_branches(session: Session, rows: Sequence[Branch]) -> list[BranchInfo]:
    """Branches with what they derive from and what derives from them."""
    graph = BranchGraph.around(session, [(row.repo, row.name) for row in rows])
    return [
        BranchInfo(
            repo=row.repo,
            name=row.name,
            head=row.head,
            open_commit=row.open_commit,
            ordinal=row.ordinal,
            created=row.created,
            provenance=_written(graph.above[row.repo, row.name]),
            subvenance=_written(graph.below[row.repo, row.name]),
            trigger=trigger_of(row),
            transitive_provenance=_written(graph.upstream((row.repo, row.name))),
            transitive_subvenance=_written(graph.downstream((row.repo, row.name))),
        )
        for row in rows
    ]


def trigger_of(row: Branch) -> Trigger | None:
    """The trigger that moves a branch."""
    if row.trigger is None:
        return None
    # When it was set is stored beside it.
    return Trigger.of({name: value for name, value in row.trigger.items() if name != "since"})


def _written(branches: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    return tuple(sorted(f"{repo}@{name}" for repo, name in branches))


def describe_commits(session: Session, rows: Sequence[Commit]) -> list[CommitInfo]:
    """Commits with their children and direct provenance, in the order given."""
    ids = [row.id for row in rows]
    children: defaultdict[str, list[str]] = defaultdict(list)
    offspring = select(Commit.parent, Commit.repo, Commit.id).where(Commit.parent.in_(ids)).order_by(Commit.started)
    for parent, repo, child in session.execute(offspring):
        children[str(parent)].append(f"{repo}@{child}")
    provenance: defaultdict[str, list[str]] = defaultdict(list)
    edges = (
        select(CommitProvenance.commit, Commit.repo, Commit.id)
        .join(Commit, Commit.id == CommitProvenance.upstream)
        .where(CommitProvenance.commit.in_(ids))
    )
    for commit, repo, upstream in session.execute(edges):
        provenance[commit].append(f"{repo}@{upstream}")
    tags: defaultdict[str, list[str]] = defaultdict(list)
    for commit, name in session.execute(select(Tag.commit, Tag.name).where(Tag.commit.in_(ids)).order_by(Tag.name)):
        tags[commit].append(name)
    return [_describe_commit(row, children[row.id], provenance[row.id], tags[row.id]) for row in rows]


def describe_commit(session: Session, row: Commit) -> CommitInfo:
    """One commit."""
    return describe_commits(session, [row])[0]


def _describe_commit(row: Commit, children: list[str], provenance: list[str], tags: list[str]) -> CommitInfo:
    return CommitInfo(
        repo=row.repo,
        id=row.id,
        branch=row.branch,
        parent=f"{row.repo}@{row.parent}" if row.parent else None,
        children=tuple(children),
        state=cast("CommitState", row.state),
        started=row.started,
        finished=row.finished,
        size_bytes=row.size_bytes,
        file_count=row.file_count,
        description=row.description,
        origin=row.origin,
        provenance=tuple(sorted(provenance)),
        error=row.error,
        author=row.author,
        job=row.job,
        ordinal=row.ordinal,
        tree=row.tree,
        labels=dict(row.labels or {}),
        tags=tuple(tags),
        forgotten=row.forgotten,
        forgotten_by=row.forgotten_by,
    )
