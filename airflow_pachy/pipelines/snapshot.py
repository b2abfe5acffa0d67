"""Which commit each input reads, and its tree.

One Airflow run sees one version of each branch: stages that start hours apart, or again after a retry,
must not mix two versions of the same data. So a branch means what an earlier job of the same run published
on it or read from it, and only otherwise what the pipeline's queue says is next.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.orm import aliased

from airflow_pachy.errors import CommitNotFound, CommitOpen, InvalidSpec
from airflow_pachy.metadata.models import Branch, Commit, Job, JobInput, Pipeline
from airflow_pachy.pfs.address import Address, parse_address, parse_branch
from airflow_pachy.pfs.lookups import find_branch, find_commit
from airflow_pachy.pfs.tree.outline import Outline
from airflow_pachy.pipelines.commit_queue import NOTHING_UNREAD, CommitQueue, Turn
from airflow_pachy.pipelines.inputs import Source, Sources, parse_input
from airflow_pachy.pipelines.origins import Version

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping
    from typing import Any

    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session

    from airflow_pachy.pfs.client import Pfs
    from airflow_pachy.pipelines.infos import JobRequest
    from airflow_pachy.pipelines.inputs import Input, PfsInput
    from airflow_pachy.pipelines.inputs.sources import SourceKey
    from airflow_pachy.pipelines.origins import BranchKey

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


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a job reads: commits by source, and by branch the move that brought them, unless chosen by hand.

    `idle` says why there is nothing new in it, `more` that further commits wait for jobs of their own.
    """

    commits: Mapping[SourceKey, str]
    ordinals: Mapping[BranchKey, int]
    idle: str | None = None
    more: bool = False


def resolve_for_run(
    session: Session, request: JobRequest, *, planned_before: bool, published: Job | None = None
) -> Snapshot:
    """What the job of an Airflow run reads. The run keeps to the versions that it has used already.

    A run that was cleared after its job has `published` begins anew: it keeps only to what it has used since.

    Else it is the turn of the oldest commits that the pipeline has not read (see `CommitQueue`). Input branches stay
    locked until the transaction ends: of two jobs of one run that plan at the same time, the second sees
    what the first has chosen. Raises `CommitNotFound`, `CommitOpen`, `BranchNotFound`, `RepoNotFound`.
    """
    leaves = list(request.spec.input.leaves())
    for repo, branch in sorted({(leaf.repo, leaf.branch) for leaf in leaves}):
        session.execute(select(Branch.name).where(Branch.repo == repo, Branch.name == branch).with_for_update())
    asked = _by_branch(request.commits)
    of_run = versions_of_run(session, request.dag_id, request.run_id, asked, _since(request, published))
    by_hand = {key: commit for key, commit in asked.items() if key not in of_run}
    open_leaves = [leaf for leaf in leaves if leaf.commit is None and (leaf.repo, leaf.branch) not in by_hand]
    turn = _turn(session, request, open_leaves, of_run, planned_before=planned_before)
    chosen = by_hand | {key: version.commit for key, version in turn.versions.items()}
    commits = {f"{repo}@{branch}": commit for (repo, branch), commit in chosen.items()}
    ordinals = {key: version.ordinal for key, version in turn.versions.items() if version.ordinal}
    return Snapshot(_resolve(session, leaves, commits), ordinals, turn.idle, turn.more)


def _turn(
    session: Session,
    request: JobRequest,
    leaves: list[PfsInput],
    of_run: Mapping[BranchKey, Version],
    *,
    planned_before: bool,
) -> Turn:
    branches = {(leaf.repo, leaf.branch) for leaf in leaves}
    known = {key: version for key, version in of_run.items() if key in branches}
    for leaf in leaves:
        if (leaf.repo, leaf.branch) not in known:
            _head(session, leaf)
    triggering = {(leaf.repo, leaf.branch) for leaf in leaves if leaf.trigger is not False}
    queue = CommitQueue(session, request.spec.name, branches, triggering)
    if not branches:
        return Turn({})
    turn = _choose(session, request, queue, known, branches, planned_before=planned_before)
    # What was read at a moment in the past may well have been read before: who asks for a date wants that.
    new_only = request.new_only and request.as_of is None and not planned_before
    if new_only and turn.idle is None and queue.has_read(turn.versions):
        return replace(turn, idle=NOTHING_UNREAD)
    return turn


def _choose(
    session: Session,
    request: JobRequest,
    queue: CommitQueue,
    known: dict[BranchKey, Version],
    branches: set[BranchKey],
    *,
    planned_before: bool,
) -> Turn:
    """What the run has used already, else what the request says is next."""
    if not known and request.as_of is not None:
        return queue.at(request.as_of)
    pipeline = session.get(Pipeline, request.spec.name)
    if not known and pipeline is not None and pipeline.from_newest:
        pipeline.from_newest = False
        return queue.newest()
    if not known:
        return queue.newest() if request.latest else queue.next(from_start=request.from_start)
    if len(known) < len(branches):
        return Turn({**queue.newest().versions, **known})
    # Whoever planned before may have died before it could say so.
    more = planned_before and not request.latest
    return Turn(known, more=more and queue.has_more_than({key: version.ordinal for key, version in known.items()}))


def _since(request: JobRequest, published: Job | None) -> tuple[ColumnElement[bool], ...]:
    """Which jobs of the run bind a job that follows one that has `published`: those planned since the run was cleared.

    Airflow counts clears, but not every version those of a run that has not ended yet: then the times tell.
    """
    if published is None:
        return ()
    cleared = request.task.cleared
    if published.cleared != cleared:
        return (Job.cleared == cleared,)
    return (Job.cleared == cleared, Job.started > published.finished)


def versions_of_run(
    session: Session,
    dag_id: str,
    run_id: str,
    by_hand: Container[BranchKey] = (),
    narrowed: tuple[ColumnElement[bool], ...] = (),
) -> dict[BranchKey, Version]:
    """By branch: what jobs of this run read, and, before that, what they published; ordinal 0 if chosen by hand.

    What it published on the branches `by_hand` is left out: who has named a commit for them wants that one. Of a stage
    that ran again after the run was cleared, the last job counts, and of two stages that of the last clear.
    """
    later = aliased(Job)
    followed = (
        select(later.id)
        .where(later.dag_id == dag_id, later.run_id == run_id, later.stage == Job.stage, later.round > Job.round)
        .exists()
    )
    of_run = (Job.dag_id == dag_id, Job.run_id == run_id, ~followed, *narrowed)
    chosen: dict[BranchKey, Version] = {}
    used = (
        select(JobInput.repo, JobInput.branch, JobInput.commit, JobInput.ordinal)
        .join(Job, Job.id == JobInput.job)
        .where(*of_run, JobInput.branch != PINNED)
        .order_by(Job.cleared, Job.started)
    )
    for repo, branch, commit, ordinal in session.execute(used):
        chosen[repo, branch] = Version(ordinal or 0, commit or "")
    published = (
        select(Job.output_repo, Job.output_branch, Job.output_commit, Commit.ordinal)
        .outerjoin(Commit, Commit.id == Job.output_commit)
        .where(*of_run, Job.state == "success")
        .order_by(Job.cleared, Job.started)
    )
    for repo, branch, commit, ordinal in session.execute(published):
        if (repo, branch) not in by_hand:
            chosen[repo, branch] = Version(ordinal or 0, commit or "")
    return chosen


def _by_branch(commits: Mapping[str, str]) -> dict[BranchKey, str]:
    """Commits chosen by hand: `{"images@master": "<commit id, or ancestry such as master^>"}`."""
    found: dict[BranchKey, str] = {}
    for name, commit in commits.items():
        branch = parse_branch(name)
        found[branch.repo, branch.ref] = commit.removeprefix(f"{branch.repo}@")
    return found


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
    """The trees of the resolved commits, in outline: planning asks which files there are, not where they lie."""
    return Sources({key: Source(commit, Outline(pfs.tree(f"{key[0]}@{commit}"))) for key, commit in resolved.items()})
