"""Which commit each input reads, and its tree.

One Airflow run sees one version of each branch: stages that start hours apart, or again after a retry,
must not mix two versions of the same data. So a branch means what an earlier job of the same run published
on it or read from it, and only otherwise its present head.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from airflow_pachy.errors import CommitNotFound, CommitOpen, InvalidSpec
from airflow_pachy.metadata.models import Branch, Job, JobInput
from airflow_pachy.pfs.address import Address, parse_address
from airflow_pachy.pfs.lookups import find_branch, find_commit
from airflow_pachy.pipelines.inputs import Source, Sources, parse_input

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from sqlalchemy.orm import Session

    from airflow_pachy.pfs.client import Pfs
    from airflow_pachy.pipelines.inputs import Input, PfsInput
    from airflow_pachy.pipelines.inputs.sources import SourceKey

# The branch recorded for an input that names its commit itself: such a choice binds no other stage.
PINNED = ""


def input_of(value: Mapping[str, Any] | Input) -> Input:
    """An input from its spec form. Raises `InvalidSpec`."""
    try:
        node = parse_input(value)
        node.check_names()
    except ValueError as error:
        raise InvalidSpec(f"input: {error}") from error
    return node


def resolve_heads(pfs: Pfs, node: Input, commits: Mapping[str, str]) -> dict[SourceKey, str]:
    """The commit id of each source: pinned by the input, else given in `commits` by `repo@branch`, else the head."""
    with pfs.metadata.reader() as session:
        return _resolve(session, node.leaves(), commits)


def resolve_for_run(session: Session, node: Input, dag_id: str, run_id: str) -> dict[SourceKey, str]:
    """The same for a job of an Airflow run, which keeps to the versions its run has used already.

    Input branches stay locked until the transaction ends: of two jobs of one run that plan at the same
    time, the second sees what the first has chosen.
    """
    leaves = list(node.leaves())
    wanted = sorted({(leaf.repo, leaf.branch) for leaf in leaves})
    for repo, branch in wanted:
        session.execute(select(Branch.name).where(Branch.repo == repo, Branch.name == branch).with_for_update())
    return _resolve(session, leaves, commits_of_run(session, dag_id, run_id))


def commits_of_run(session: Session, dag_id: str, run_id: str) -> dict[str, str]:
    """By `repo@branch`: what jobs of this run read, and, before that, what they published."""
    of_run = (Job.dag_id == dag_id, Job.run_id == run_id)
    chosen: dict[str, str] = {}
    used = select(JobInput.repo, JobInput.branch, JobInput.commit).join(Job, Job.id == JobInput.job).where(*of_run)
    for repo, branch, commit in session.execute(used.where(JobInput.branch != PINNED)):
        chosen[f"{repo}@{branch}"] = commit or ""
    published = select(Job.output_repo, Job.output_branch, Job.output_commit).where(*of_run, Job.state == "success")
    for repo, branch, commit in session.execute(published):
        chosen[f"{repo}@{branch}"] = commit or ""
    return chosen


def _resolve(session: Session, leaves: Iterable[PfsInput], commits: Mapping[str, str]) -> dict[SourceKey, str]:
    resolved: dict[SourceKey, str] = {}
    for leaf in leaves:
        if leaf.source not in resolved:
            chosen = leaf.commit or commits.get(f"{leaf.repo}@{leaf.branch}")
            resolved[leaf.source] = _finished(session, leaf, chosen) if chosen else _head(session, leaf)
    return resolved


def _finished(session: Session, leaf: PfsInput, commit: str) -> str:
    row = find_commit(session, parse_address(f"{leaf.repo}@{commit}"))
    if row.state != "finished":
        raise CommitOpen(
            f"input {leaf.name!r} reads commit {leaf.repo}@{commit}, which is {row.state}; "
            "only finished commits can be read"
        )
    return row.id


def _head(session: Session, leaf: PfsInput) -> str:
    branch = find_branch(session, Address(leaf.repo, leaf.branch))
    if branch.head is None:
        where = f"{leaf.repo}@{leaf.branch}"
        put = f"pachy put file {where}:/name -f FILE"
        hint = f"finish the open commit {branch.open_commit}" if branch.open_commit else put
        raise CommitNotFound(
            f"input {leaf.name!r} reads branch {where}, which has no commit yet; make one with: {hint}"
        )
    return branch.head


def open_sources(pfs: Pfs, resolved: Mapping[SourceKey, str]) -> Sources:
    """The trees of the resolved commits."""
    return Sources({key: Source(commit, pfs.tree(f"{key[0]}@{commit}")) for key, commit in resolved.items()})
