"""Which commits a pipeline's next job reads: one job per commit, in order, and never a mixture.

The queue is the table of head moves; how far a pipeline has come is what its jobs recorded as read. So an event
that is lost, doubled or stands for five commits changes nothing: whoever is woken takes the oldest move that
no job has read.

Two rules keep together what belongs together. A branch from which another input is computed does not start a job by
itself: its commits come with the commit computed from them. And when two inputs are computed from one source, a job
waits until both have processed the same version of it, unless one of them has failed on it; then that version is
left out, as Pachyderm leaves out jobs whose inputs failed.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import and_, func, select

from airflow_pachy.metadata.models import Commit, HeadMove, Job, JobInput, Pipeline
from airflow_pachy.pipelines.origins import BranchKey, Origins, Version, covered_branches, heads_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from datetime import datetime

    from sqlalchemy import Select
    from sqlalchemy.orm import Session

NOTHING_UNREAD = "no input has a commit that this pipeline has not read"
_PAGE = 100
_READABLE = and_(Commit.state == "finished", Commit.forgotten.is_(None))


@dataclass(frozen=True, slots=True)
class Turn:
    """What a job is to read, by branch.

    `idle` says why there is nothing new: nothing came, or what came has to wait for another input. The versions
    are then those that were read last. `more` says that further commits are waiting behind these.
    """

    versions: Mapping[BranchKey, Version]
    idle: str | None = None
    more: bool = False


@dataclass(frozen=True, slots=True)
class _Move:
    """One move of a head: sorts by time, which is the order in which Pachyderm would have run its jobs."""

    moved: datetime
    branch: BranchKey
    version: Version

    def __lt__(self, other: _Move) -> bool:
        return (self.moved, self.branch, self.version.ordinal) < (other.moved, other.branch, other.version.ordinal)


class CommitQueue:
    """The commits that wait for one pipeline. For one transaction."""

    def __init__(
        self, session: Session, pipeline: str, branches: Collection[BranchKey], triggering: Collection[BranchKey]
    ) -> None:
        # Every branch must have a head: a job without one of its inputs is refused before its turn comes.
        self._session = session
        self._pipeline = pipeline
        self._branches = sorted(set(branches))
        self._triggering = set(triggering)
        self._origins = Origins(session)

    @property
    def starting(self) -> set[BranchKey]:
        """The branches whose moves are turns: those that trigger and that no other input is computed from."""
        return self._triggering - covered_branches(self._session, self._branches)

    def newest(self) -> Turn:
        """The present heads, whatever was read before."""
        return Turn(heads_of(self._session, self._branches))

    def has_read(self, versions: Mapping[BranchKey, Version]) -> bool:
        """Whether jobs of the pipeline have read these versions of all branches that trigger, or later ones.

        Never of one that was chosen by hand.
        """
        read = self._read_before(versions)
        return all(
            0 < version.ordinal <= (read[key].ordinal if key in read else 0)
            for key, version in versions.items()
            if key in self._triggering
        )

    def next(self, *, from_start: bool = False) -> Turn:
        """The oldest state that no job has read; without jobs the newest, or with `from_start` the first."""
        heads = heads_of(self._session, self._branches)
        read = self._read_before(heads)
        if not read and not from_start:
            return Turn(heads)
        covered = covered_branches(self._session, self._branches)
        since = {
            key: read.get(key, Version(0 if from_start else version.ordinal, "")) for key, version in heads.items()
        }
        starting = sorted(self._triggering - covered)
        idle = NOTHING_UNREAD
        for move in self._moves({key: since[key].ordinal for key in starting}):
            state = self._state_at(move, since, covered)
            lag = self._lagging(state, move)
            if isinstance(lag, str):
                idle = lag
                break
            if lag is None:
                continue
            return Turn(lag, more=self.has_more_than({key: lag[key].ordinal for key in starting}))
        return Turn({key: version if version.commit else heads[key] for key, version in since.items()}, idle=idle)

    def at(self, moment: datetime) -> Turn:
        """The state of a moment in the past; idle when a branch had no commit then."""
        found: dict[BranchKey, Version] = {}
        for key in self._branches:
            version = self._last_until(key, moment)
            if version is None:
                idle = f"{'@'.join(key)} had no commit by {moment.isoformat(timespec='seconds')}"
                return Turn(heads_of(self._session, self._branches), idle=idle)
            found[key] = version
        return Turn(self._as_computed(found, covered_branches(self._session, self._branches)))

    def history(self) -> Iterator[tuple[datetime, BranchKey, Mapping[BranchKey, Version]]]:
        """Every state that would have been a turn, oldest first, with the move that made it: when, and of which branch.

        States that were left out in their time, as an arm had failed on them, are left out here.
        """
        covered = covered_branches(self._session, self._branches)
        nothing = {key: Version(0, "") for key in self._branches}
        for move in self._moves(dict.fromkeys(sorted(self.starting), 0)):
            state = self._lagging(self._state_at(move, nothing, covered), move)
            if isinstance(state, dict):
                yield move.moved, move.branch, state

    def _read_before(self, heads: Mapping[BranchKey, Version]) -> dict[BranchKey, Version]:
        """The newest version of each branch that a job of the pipeline has read."""
        # A branch that was deleted and made again counts anew: what was read of its namesake says nothing.
        same_move = and_(
            HeadMove.repo == JobInput.repo,
            HeadMove.branch == JobInput.branch,
            HeadMove.ordinal == JobInput.ordinal,
            HeadMove.commit == JobInput.commit,
        )
        query = (
            select(JobInput.repo, JobInput.branch, func.max(JobInput.ordinal))
            .join(Job, Job.id == JobInput.job)
            .join(HeadMove, same_move)
            .where(Job.pipeline == self._pipeline)
            .group_by(JobInput.repo, JobInput.branch)
        )
        return {
            (repo, branch): Version(ordinal, self._readable((repo, branch), ordinal))
            for repo, branch, ordinal in self._session.execute(query)
            if ordinal is not None and (repo, branch) in heads
        }

    def _readable(self, key: BranchKey, ordinal: int) -> str:
        """The commit of a move, or nothing when it has been removed since."""
        query = (
            select(Commit.id)
            .join(HeadMove, HeadMove.commit == Commit.id)
            .where(HeadMove.repo == key[0], HeadMove.branch == key[1], HeadMove.ordinal == ordinal)
            .where(_READABLE)
        )
        return self._session.scalars(query).one_or_none() or ""

    def _moves(self, since: Mapping[BranchKey, int]) -> Iterator[_Move]:
        """Moves beyond `since` to commits that can be read, oldest first; read in pages."""
        return heapq.merge(*(self._moves_of(key, ordinal) for key, ordinal in since.items()))

    def _moves_of(self, key: BranchKey, after: int) -> Iterator[_Move]:
        while True:
            query = (
                select(HeadMove.ordinal, HeadMove.moved, HeadMove.commit, Commit.state, Commit.forgotten)
                .outerjoin(Commit, Commit.id == HeadMove.commit)
                .where(HeadMove.repo == key[0], HeadMove.branch == key[1], HeadMove.ordinal > after)
                .order_by(HeadMove.ordinal)
                .limit(_PAGE)
            )
            page = self._session.execute(query).all()
            for ordinal, moved, commit, state, forgotten in page:
                if commit is not None and state == "finished" and forgotten is None:
                    yield _Move(moved, key, Version(ordinal, commit))
            if len(page) < _PAGE:
                return
            after = page[-1].ordinal

    def _state_at(
        self, move: _Move, since: Mapping[BranchKey, Version], covered: set[BranchKey]
    ) -> dict[BranchKey, Version]:
        """All inputs as they were when the move happened, covered ones as the others were computed from them."""
        state = {key: self._version_at(key, move.moved, since[key]) for key in self._branches}
        state[move.branch] = move.version
        return self._as_computed(state, covered)

    def _as_computed(self, state: dict[BranchKey, Version], covered: set[BranchKey]) -> dict[BranchKey, Version]:
        """The state with covered branches at the versions that the others were computed from."""
        for key in covered:
            sources = [self._origins.of(state[other].commit).get(key) for other in self._branches if other != key]
            found = [source for source in sources if source is not None]
            if found:
                state[key] = max(found, key=lambda version: version.ordinal)
        return state

    def _version_at(self, key: BranchKey, moment: datetime, at_least: Version) -> Version:
        """The last version until then; of a branch that had none yet, the first."""
        found = self._last_until(key, moment)
        if found is None:
            first = self._session.execute(self._readable_moves(key).order_by(HeadMove.ordinal).limit(1)).one_or_none()
            found = Version(first.ordinal, first.commit) if first is not None else None
        if found is None or (at_least.commit and found.ordinal < at_least.ordinal):
            return at_least if at_least.commit else heads_of(self._session, [key])[key]
        return found

    def _last_until(self, key: BranchKey, moment: datetime) -> Version | None:
        query = self._readable_moves(key).where(HeadMove.moved <= moment).order_by(HeadMove.ordinal.desc()).limit(1)
        found = self._session.execute(query).one_or_none()
        return Version(found.ordinal, found.commit or "") if found is not None else None

    def _readable_moves(self, key: BranchKey) -> Select[int, str | None]:
        return (
            select(HeadMove.ordinal, HeadMove.commit)
            .join(Commit, Commit.id == HeadMove.commit)
            .where(HeadMove.repo == key[0], HeadMove.branch == key[1], _READABLE)
        )

    def _lagging(self, state: dict[BranchKey, Version], move: _Move) -> dict[BranchKey, Version] | str | None:
        """The state with every input brought to the same sources; why it must wait; or None to leave the move out."""
        sources = self._origins.of(move.version.commit)
        for key in self._branches:
            if key == move.branch or key in sources:
                continue
            theirs = self._origins.of(state[key].commit)
            common = sources.keys() & theirs.keys()
            if all(theirs[source].ordinal == sources[source].ordinal for source in common):
                continue
            match = self._matching(key, {source: sources[source].ordinal for source in common})
            if match is not None:
                state[key] = match
            elif all(theirs[source].ordinal <= sources[source].ordinal for source in common):
                late = next(source for source in common if theirs[source].ordinal < sources[source].ordinal)
                if self._will_come(key, late, sources[late]):
                    return (
                        f"commit {move.version.commit} of {'@'.join(move.branch)} waits for {'@'.join(key)}, "
                        f"which has not processed {'@'.join(late)} commit {sources[late].commit} yet"
                    )
                return None
            else:
                return None
        return state

    def _matching(self, key: BranchKey, wanted: Mapping[BranchKey, int]) -> Version | None:
        """The last version of a branch that goes back to just these versions of its sources."""
        query = (
            select(HeadMove.ordinal, HeadMove.commit)
            .join(Commit, Commit.id == HeadMove.commit)
            .where(HeadMove.repo == key[0], HeadMove.branch == key[1], _READABLE)
            .order_by(HeadMove.ordinal.desc())
            .limit(_PAGE)
        )
        for ordinal, commit in self._session.execute(query).all():
            theirs = self._origins.of(commit or "")
            if all(source in theirs and theirs[source].ordinal == at for source, at in wanted.items()):
                return Version(ordinal, commit or "")
        return None

    def _will_come(self, key: BranchKey, source: BranchKey, version: Version) -> bool:
        """Whether a pipeline writes that branch and has neither failed on this version of its source nor skipped it."""
        pipeline = self._session.scalars(
            select(Pipeline.name).where(Pipeline.output_repo == key[0], Pipeline.output_branch == key[1]).limit(1)
        ).one_or_none()
        if pipeline is None:
            return False
        jobs = (
            select(Job.state)
            .join(JobInput, JobInput.job == Job.id)
            .where(Job.pipeline == pipeline, JobInput.repo == source[0], JobInput.branch == source[1])
        )
        states = self._session.scalars(jobs.where(JobInput.commit == version.commit)).all()
        if not states:
            return self._session.scalars(jobs.where(JobInput.ordinal > version.ordinal).limit(1)).one_or_none() is None
        return any(state not in {"failed", "stopped"} for state in states)

    def has_more_than(self, read: Mapping[BranchKey, int]) -> bool:
        """Whether branches that start jobs have commits beyond these moves."""
        covered = covered_branches(self._session, self._branches)
        since = {key: ordinal for key, ordinal in read.items() if key in self._triggering - covered}
        return next(self._moves(since), None) is not None
