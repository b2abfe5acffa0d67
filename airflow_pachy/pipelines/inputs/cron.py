"""The cron input: a repo that gets an empty file, named by the time, whenever a schedule says so.

Ticks are files so that a job can be asked which times it covers, and so that nothing is lost while nobody looks: what
was missed is made up for tick by tick, each a commit and a job of its own.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pydantic import AwareDatetime, Field, field_serializer, field_validator

from airflow_pachy.errors import CommitOpen, PathNotFound
from airflow_pachy.pfs.schedules import Schedule, step_of
from airflow_pachy.pipelines.inputs.base import input_kind
from airflow_pachy.pipelines.inputs.fed import FedInput
from airflow_pachy.pipelines.inputs.pfs import PfsInput

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_pachy.pfs.client import Pfs

_OF_THE_PAST = "backfilled tick"


@input_kind("cron")
class CronInput(FedInput):
    """Reads `/*` of a repo with one file per tick of `spec`, or with `overwrite` only that of the last tick.

    In a pipeline `repo` defaults to `<pipeline>_<name>`. Ticks count from `start`, or from the repo's making.
    """

    name: str = Field(min_length=1)
    spec: str
    repo: str = ""
    start: AwareDatetime | None = None
    overwrite: bool = False

    @field_validator("spec")
    @classmethod
    def _is_a_schedule(cls, value: str) -> str:
        return Schedule(value.strip()).text

    @field_validator("name")
    @classmethod
    def _is_a_directory(cls, value: str) -> str:
        return PfsInput(repo="any", name=value, glob="/*").name

    @field_serializer("start", when_used="json-unless-none")
    def _rfc_3339(self, value: datetime) -> str:
        return tick_name(value)

    @cached_property
    def leaf(self) -> PfsInput:
        """How its repo is read."""
        if not self.repo:
            raise ValueError(f"cron input {self.name!r} needs its 'repo' here: only a pipeline's has one by default")
        return PfsInput(repo=self.repo, name=self.name, glob="/*")

    @property
    def purpose(self) -> str:
        """The description of its repo."""
        return f"Ticks of the schedule {self.spec!r}."

    def to_spec(self) -> dict[str, Any]:
        """`{"cron": {...}}` without defaults."""
        return {"cron": self.model_dump(mode="json", exclude_defaults=True)}


def tick_name(tick: datetime) -> str:
    """The file's name: RFC 3339 in UTC, so that names sort as times do."""
    moment = tick.astimezone(UTC)
    return moment.isoformat(timespec="microseconds" if moment.microsecond else "seconds").replace("+00:00", "Z")


def read_tick(name: str) -> datetime | None:
    """The time of a file's name; None for a name that is none."""
    try:
        tick = datetime.fromisoformat(name.strip("/"))
    except ValueError:
        return None
    return tick if tick.tzinfo else None


def due_ticks(spec: str, after: datetime, now: datetime) -> Iterator[datetime]:
    """Every time of the schedule in (`after`, `now`], the oldest first. Raises `InvalidArgument`."""
    schedule = Schedule(spec)
    tick = schedule.next_after(after)
    while tick is not None and tick <= now:
        yield tick
        tick = schedule.next_after(tick)


def feed_cron(pfs: Pfs, cron: CronInput, now: datetime, *, limit: int | None = None) -> list[datetime]:
    """Commit each tick that is due and not there yet; returns those, the oldest first, at most `limit` of them.

    May run in several places at once: each tick is committed once. Raises `RepoNotFound`.
    """
    fed: list[datetime] = []
    for tick in due_ticks(cron.spec, _counted_from(pfs, cron), now):
        if len(fed) == limit or not _commit_tick(pfs, cron, tick):
            break
        fed.append(tick)
    return fed


def tick_now(pfs: Pfs, cron: CronInput, now: datetime) -> datetime:
    """Commit a tick for this moment, whatever the schedule says, after those that are due."""
    feed_cron(pfs, cron, now)
    if not _commit_tick(pfs, cron, now):
        raise CommitOpen(
            f"the branch {cron.leaf.repo}@{cron.leaf.branch} of cron input {cron.name!r} has an open commit, or a tick "
            f"{tick_name(now)} already; finish the commit, or try again a second later"
        )
    return now


def tick_of(pfs: Pfs, cron: CronInput, moment: datetime) -> datetime | None:
    """Commit the tick of a time in the past, if the schedule has one then; None if it has not, or it is there."""
    before = moment - timedelta(seconds=1)
    is_due = step_of(cron.spec) is not None or moment in due_ticks(cron.spec, before, moment)
    return moment if is_due and _commit_tick(pfs, cron, moment, _OF_THE_PAST) else None


def _counted_from(pfs: Pfs, cron: CronInput) -> datetime:
    """The newest tick; before the first, the start or the repo's making. A later start skips what is before it."""
    newest = _newest_tick(pfs, cron)
    begin = cron.start or pfs.inspect_repo(cron.leaf.repo).created
    return begin if newest is None else max(newest, begin)


def _newest_tick(pfs: Pfs, cron: CronInput) -> datetime | None:
    """The last tick that was not made for a date in the past: those say nothing about how far the schedule has come."""
    for commit in pfs.list_commits(f"{cron.leaf.repo}@{cron.leaf.branch}"):
        if commit.state == "finished" and not commit.description.startswith(_OF_THE_PAST):
            files = pfs.list_file(f"{commit}:/", reverse=True)
            return next((tick for one in files if (tick := read_tick(one.path)) is not None), None)
    return None


def _commit_tick(pfs: Pfs, cron: CronInput, tick: datetime, kind: str = "tick") -> bool:
    """Whether this call committed the tick; another one may be at it, or have done it."""
    name = f"/{tick_name(tick)}"
    try:
        commit = pfs.start_commit(f"{cron.leaf.repo}@{cron.leaf.branch}", description=f"{kind} {tick_name(tick)}")
    except CommitOpen:
        return False
    done = False
    try:
        if not _is_there(pfs, f"{commit}:{name}"):
            if cron.overwrite:
                commit.delete_file("/")
            commit.put_file(name, b"")
            pfs.finish_commit(commit)
            done = True
    finally:
        if not done:
            pfs.drop_commit(commit)
    return done


def _is_there(pfs: Pfs, address: str) -> bool:
    try:
        pfs.inspect_file(address)
    except PathNotFound:
        return False
    return True
