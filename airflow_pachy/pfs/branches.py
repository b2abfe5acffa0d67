"""Creating, moving, listing and deleting branches, and the provenance between them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from sqlalchemy import delete, select

from airflow_pachy.errors import CommitOpen, HasDependents, InvalidArgument
from airflow_pachy.metadata.changes import touch
from airflow_pachy.metadata.contention import retried
from airflow_pachy.metadata.models import Branch, BranchProvenance
from airflow_pachy.metadata.version import take_turn
from airflow_pachy.pfs.address import Address
from airflow_pachy.pfs.branch_graph import BranchGraph
from airflow_pachy.pfs.describe import describe_branches
from airflow_pachy.pfs.firing import fire_triggers, release_followers, require_one_way, set_trigger
from airflow_pachy.pfs.heads import Seen
from airflow_pachy.pfs.lookups import find_branch, find_commit, find_repo, require_data
from airflow_pachy.pfs.oneshot_rows import lock_branch
from airflow_pachy.pfs.publish import move_head

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

    from airflow_pachy.metadata.models import Commit
    from airflow_pachy.pfs.branch_graph import Name
    from airflow_pachy.pfs.infos import BranchInfo
    from airflow_pachy.pfs.root import Root
    from airflow_pachy.pfs.triggers import Trigger


@retried
def create_branch(
    root: Root,
    branch: Address,
    *,
    head: Address | None,
    provenance: Sequence[Address] | None,
    trigger: Trigger | Literal[False] | None,
) -> BranchInfo:
    """Make a branch, or change one: its head, its upstream branches, its trigger, those of them that are given.

    `head` must be a finished commit of the same repo; `trigger` False takes a trigger away. Raises `BranchNotFound` for
    an upstream branch that does not exist, `InvalidArgument` for an edge or trigger that would close a circle and for
    a branch with both, `CommitOpen` when the branch has an open commit.
    """
    with root.metadata.session() as session:
        if provenance is not None or trigger:
            take_turn(session)  # two edges at once could close a circle that neither transaction sees
        for one in provenance or ():
            find_branch(session, one)
        target = find_commit(session, head) if head is not None else None
        row = lock_branch(session, branch, root.principal)
        if provenance is not None:
            _set_provenance(session, branch, provenance)
        if trigger is not None:
            set_trigger(session, row, trigger or None)
        session.flush()
        require_one_way(session, row)
        if target is not None:
            _point(session, row, target, root.principal)
        session.refresh(row)
        return describe_branches(session, [row])[0]


def inspect_branch(root: Root, branch: Address) -> BranchInfo:
    """One branch."""
    with root.metadata.reader() as session:
        return describe_branches(session, [find_branch(session, branch)])[0]


def list_branches(root: Root, repo: str) -> list[BranchInfo]:
    """The branches of a repo, newest first."""
    with root.metadata.reader() as session:
        find_repo(session, repo)
        rows = session.scalars(
            select(Branch).where(Branch.repo == repo).order_by(Branch.created.desc(), Branch.name.desc())
        )
        return describe_branches(session, rows.all())


@retried
def delete_branch(root: Root, branch: Address, *, force: bool) -> None:
    """Delete a branch; its commits stay. Raises `HasDependents` when others derive from it, unless `force`."""
    with root.metadata.session() as session:
        row = find_branch(session, branch)
        if row.open_commit is not None:
            raise CommitOpen(
                f"branch {branch} has the open commit {row.open_commit}; finish or drop it before deleting the branch"
            )
        edges = BranchProvenance
        to_us = (edges.upstream_repo == branch.repo) & (edges.upstream_branch == branch.ref)
        below = [f"{edge.repo}@{edge.branch}" for edge in session.scalars(select(edges).where(to_us))]
        if below and not force:
            raise HasDependents(
                f"branch {branch} cannot be deleted, {', '.join(sorted(below))} derived from it; "
                "delete those first, or use force, which removes the edges"
            )
        release_followers(session, branch, force=force)
        for edge in session.scalars(select(edges).where(to_us)):
            touch(session, "branches", edge.repo, edge.branch)
        session.execute(delete(edges).where(to_us))
        session.delete(row)


def _point(session: Session, row: Branch, target: Commit, author: str | None) -> None:
    address = Address(row.repo, row.name)
    if target.repo != row.repo:
        raise InvalidArgument(f"the head of {address} must be a commit of repo {row.repo!r}, not of {target.repo!r}")
    if target.state != "finished":
        raise CommitOpen(f"commit {target.repo}@{target.id} is {target.state}; only a finished commit can be a head")
    require_data(target)
    if row.open_commit is not None:
        raise CommitOpen(
            f"branch {address} has the open commit {row.open_commit}; finish or drop it before moving the branch"
        )
    if row.head != target.id:
        move_head(session, address, target.id, Seen(row.head, row.ordinal), author)
        fire_triggers(session, address, author)


def _set_provenance(session: Session, branch: Address, upstream: Sequence[Address]) -> None:
    here = (branch.repo, branch.ref)
    graph = BranchGraph()
    graph.extend(session, [(one.repo, one.ref) for one in upstream], upwards=True)
    for one in upstream:
        path = _path(graph, (one.repo, one.ref), here)
        if path:
            shown = " <- ".join(f"{repo}@{name}" for repo, name in reversed([here, *path]))
            raise InvalidArgument(f"{branch} cannot derive from {one}: that would close a circle ({shown})")
    edges = BranchProvenance
    session.execute(delete(edges).where(edges.repo == branch.repo, edges.branch == branch.ref))
    touch(session, "branches", branch.repo, branch.ref)
    for one in dict.fromkeys(upstream):
        session.add(edges(repo=branch.repo, branch=branch.ref, upstream_repo=one.repo, upstream_branch=one.ref))


def _path(graph: BranchGraph, start: Name, goal: Name) -> list[Name]:
    """How `start` derives from `goal`: the branches on the way, both included; empty if it does not."""
    came_from: dict[Name, Name | None] = {start: None}
    waiting = [start]
    while waiting:
        here = waiting.pop()
        if here == goal:
            path = [here]
            while (before := came_from[path[0]]) is not None:
                path.insert(0, before)
            return path
        for above in graph.above[here]:
            if above not in came_from:
                came_from[above] = here
                waiting.append(above)
    return []
