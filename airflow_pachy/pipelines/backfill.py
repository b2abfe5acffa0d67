"""A job for each commit of a range: history that a pipeline has never read, or is to read again.

The range is of commits of one input, or of time. Each step is a state of all inputs as it was then, in order; a state
that a successful job has read already is marked as done. The output branch follows each job, so a range that ends in
the past is followed by one more job on the present heads, whose datums are all done: the branch ends where it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import select

from airflow_pachy.errors import InvalidArgument
from airflow_pachy.metadata.models import Commit, HeadMove, Job, JobInput
from airflow_pachy.pfs.address import parse_address
from airflow_pachy.pfs.lookups import find_commit
from airflow_pachy.pipelines.commit_queue import CommitQueue
from airflow_pachy.pipelines.lifecycle import inspect_pipeline
from airflow_pachy.pipelines.origins import heads_of
from airflow_pachy.pipelines.spec import PipelineSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.orm import Session

    from airflow_pachy.pfs.client import Pfs
    from airflow_pachy.pipelines.origins import BranchKey


@dataclass(frozen=True, slots=True)
class BackfillStep:
    """A state of the inputs, by `repo@branch`, since `moment`; `job` is the successful one that has read it."""

    moment: datetime
    commits: Mapping[str, str]
    job: str | None = None


@dataclass(frozen=True, slots=True)
class Backfill:
    """The steps of a range, oldest first. `is_past` says that the inputs have moved on since the last of them."""

    pipeline: str
    steps: tuple[BackfillStep, ...]
    is_past: bool

    def to_run(self, *, reprocess: bool = False) -> list[BackfillStep]:
        """Those without a job, or with `reprocess` all."""
        return [step for step in self.steps if reprocess or step.job is None]


@dataclass(frozen=True, slots=True)
class _Bound:
    """One end of a range: a moment, or a version of a branch."""

    moment: datetime | None = None
    branch: BranchKey | None = None
    ordinal: int = 0


def plan_backfill(pfs: Pfs, pipeline: str, start: str | None = None, end: str | None = None) -> Backfill:
    """The steps from `start` to `end`, both included; without one of them from the first commit, or to the newest.

    Each is a commit of an input (`images@master^3`), or a date or time in ISO 8601 (without an offset UTC). Raises
    `PipelineNotFound`, `CommitNotFound`, `InvalidArgument` for what is no input and for ends of different branches.
    """
    spec = PipelineSpec.from_dict(inspect_pipeline(pfs, pipeline).spec)
    leaves = [leaf for leaf in spec.input.leaves() if leaf.commit is None]
    branches = {(leaf.repo, leaf.branch) for leaf in leaves}
    triggering = {(leaf.repo, leaf.branch) for leaf in leaves if leaf.trigger is not False}
    with pfs.metadata.reader() as session:
        first = _bound(session, spec.name, branches, start, is_end=False)
        last = _bound(session, spec.name, branches, end, is_end=True)
        if first.branch and last.branch and first.branch != last.branch:
            raise InvalidArgument(
                f"a range is of one branch, but {start} is of {'@'.join(first.branch)} and {end} of "
                f"{'@'.join(last.branch)}; use dates for all inputs"
            )
        heads = heads_of(session, branches)
        if len(heads) < len(branches):
            return Backfill(spec.name, (), is_past=False)
        queue = CommitQueue(session, spec.name, branches, triggering)
        done = _done(session, spec.name)
        named = first.branch or last.branch
        # Of a range of one branch its own moves count; but where another input is computed from it, that one's.
        only = named if named in queue.starting else None
        steps: list[BackfillStep] = []
        for moment, branch, state in queue.history():
            if only not in (None, branch) or not _is_after(first, moment, state) or not _is_before(last, moment, state):
                continue
            commits = {"@".join(key): version.commit for key, version in state.items()}
            if not steps or steps[-1].commits != commits:
                steps.append(BackfillStep(moment, commits, done.get(frozenset(commits.items()))))
        present = {"@".join(key): version.commit for key, version in heads.items()}
    return Backfill(spec.name, tuple(steps), bool(steps) and steps[-1].commits != present)


def _is_after(bound: _Bound, moment: datetime, state: Mapping[BranchKey, object]) -> bool:
    if bound.branch is not None:
        return _ordinal(state, bound.branch) >= bound.ordinal
    return bound.moment is None or moment >= bound.moment


def _is_before(bound: _Bound, moment: datetime, state: Mapping[BranchKey, object]) -> bool:
    if bound.branch is not None:
        return _ordinal(state, bound.branch) <= bound.ordinal
    return bound.moment is None or moment <= bound.moment


def _ordinal(state: Mapping[BranchKey, object], branch: BranchKey) -> int:
    return int(getattr(state[branch], "ordinal", 0))


def _bound(session: Session, pipeline: str, branches: set[BranchKey], text: str | None, *, is_end: bool) -> _Bound:
    if text is None:
        return _Bound()
    if (moment := _moment(text, is_end=is_end)) is not None:
        return _Bound(moment=moment)
    commit = find_commit(session, parse_address(text))
    moves = (
        select(HeadMove.repo, HeadMove.branch, HeadMove.ordinal)
        .where(HeadMove.commit == commit.id)
        .order_by(HeadMove.ordinal.desc() if is_end else HeadMove.ordinal)
    )
    for repo, branch, ordinal in session.execute(moves):
        if (repo, branch) in branches:
            return _Bound(branch=(repo, branch), ordinal=ordinal)
    inputs = ", ".join(sorted("@".join(key) for key in branches))
    raise InvalidArgument(f"pipeline {pipeline!r} has never been given {text}: its inputs are {inputs}")


def _moment(text: str, *, is_end: bool) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if is_end and len(text) <= len("2024-05-01") and moment.time() == time():
        moment += timedelta(days=1) - timedelta(microseconds=1)  # a day is meant as a whole
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _done(session: Session, pipeline: str) -> dict[frozenset[tuple[str, str]], str]:
    """The newest successful job by what it read."""
    query = (
        select(Job.id, JobInput.repo, JobInput.branch, JobInput.commit)
        .join(JobInput, JobInput.job == Job.id)
        .join(Commit, Commit.id == Job.output_commit)
        .where(Job.pipeline == pipeline, Job.state == "success", JobInput.branch != "")
        .order_by(Job.started, Job.id)
    )
    read: dict[str, set[tuple[str, str]]] = {}
    for job, repo, branch, commit in session.execute(query):
        read.setdefault(job, set()).add((f"{repo}@{branch}", commit or ""))
    return {frozenset(inputs): job for job, inputs in read.items()}
