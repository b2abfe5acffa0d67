"""Branch triggers at work: moving the branches that follow another one.

Conditions are looked at in the transaction that moves the branch they follow, so a branch and its followers are never
seen out of step. Schedules are looked at by whoever asks for it often enough (watchers, `subscribe_commit`,
`pachy tick trigger`); they need no memory: at a time of the schedule a follower goes where its source was *at that
time*, which the recorded moves of both tell, however late or often somebody looks.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from sqlalchemy import null, select

from airflow_pachy.errors import HasDependents, InvalidArgument
from airflow_pachy.metadata.contention import retried
from airflow_pachy.metadata.models import Branch, BranchProvenance, Commit, HeadMove
from airflow_pachy.pfs.address import Address
from airflow_pachy.pfs.ancestry import ancestors
from airflow_pachy.pfs.describe import describe_branches, trigger_of
from airflow_pachy.pfs.heads import Seen, utc_now
from airflow_pachy.pfs.lookups import find_branch
from airflow_pachy.pfs.publish import move_head
from airflow_pachy.pfs.schedules import Schedule

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy.orm import Session

    from airflow_pachy.pfs.infos import BranchInfo
    from airflow_pachy.pfs.root import Root
    from airflow_pachy.pfs.triggers import Trigger

_SINCE = "since"


def fire_triggers(session: Session, branch: Address, author: str | None, now: datetime | None = None) -> None:
    """After a move of `branch`, move what follows it and whose conditions hold, and what follows those in turn."""
    moment = now or utc_now()
    for name in _followers(session, branch):
        row, trigger = _locked(session, Address(branch.repo, name))
        if trigger is None or trigger.branch != branch.ref or trigger.schedule is not None:
            continue
        source = session.get_one(Branch, (branch.repo, branch.ref), populate_existing=True)
        if source.head is not None and source.head != row.head and _holds(session, trigger, source.head, row, moment):
            _move(session, row, source.head, author, moment)


def tick_triggers(root: Root, now: datetime | None = None) -> list[BranchInfo]:
    """Move the branches whose schedule has come since they were moved last, and return those."""
    moment = now or utc_now()
    with root.metadata.reader() as session:
        due = [one for one in _scheduled(session) if _target(session, one, moment) is not None]
    moved: list[BranchInfo] = []
    for one in due:
        moved += _tick(root, one.branch, moment)
    return moved


@retried
def _tick(root: Root, branch: Address, moment: datetime) -> list[BranchInfo]:
    with root.metadata.session() as session:
        row, trigger = _locked(session, branch)
        # Somebody else may have looked at the same time.
        target = _target(session, _Scheduled.of(row, trigger), moment) if trigger is not None else None
        if target is None:
            return []
        _move(session, row, target, root.principal, moment)
        session.refresh(row)
        return describe_branches(session, [row])


def set_trigger(session: Session, row: Branch, trigger: Trigger | None) -> None:
    """Give a branch a trigger, or take it away. Raises `InvalidArgument` for a circle, or beside provenance."""
    if trigger is None:
        row.trigger = None
        return
    address = Address(row.repo, row.name)
    circle = _circle(session, row, trigger)
    if circle:
        raise InvalidArgument(f"{address} cannot follow {trigger.branch!r}: that would close a circle ({circle})")
    kept = (row.trigger or {}).get(_SINCE) if trigger_of(row) == trigger else None
    row.trigger = {**trigger.to_dict(), _SINCE: kept or utc_now().isoformat()}


def require_one_way(session: Session, row: Branch) -> None:
    """Raise `InvalidArgument` for a branch that both follows another and is computed from others."""
    edges = BranchProvenance
    derived = session.scalar(select(edges.repo).where(edges.repo == row.repo, edges.branch == row.name).limit(1))
    if derived is not None and row.trigger is not None:
        raise InvalidArgument(
            f"branch {row.repo}@{row.name} would have both a trigger and provenance: a branch that is moved by a "
            "trigger has no commits of its own to compute. Take one of them away (provenance=[] or trigger={})"
        )


def release_followers(session: Session, branch: Address, *, force: bool) -> None:
    """Before a branch is deleted: raise `HasDependents` if others follow it, or with `force` end their triggers."""
    names = _followers(session, branch)
    if names and not force:
        shown = ", ".join(f"{branch.repo}@{name}" for name in names)
        raise HasDependents(
            f"branch {branch} cannot be deleted, triggers of {shown} follow it; take those away first "
            "(pachy create branch --no-trigger), or use force"
        )
    for name in names:
        find_branch(session, Address(branch.repo, name)).trigger = None


def in_trigger_order(session: Session, repo: str, names: Iterable[str]) -> list[str]:
    """Branches of a repo, those that others follow first: the order in which everybody locks them."""
    rows = session.execute(select(Branch.name, Branch.trigger).where(Branch.repo == repo)).all()
    above = {row.name: row.trigger.get("branch") for row in rows if row.trigger}

    def depth(name: str) -> int:
        steps, here = 0, name
        while here in above and steps <= len(above):
            here, steps = above[here], steps + 1
        return steps

    return sorted(names, key=lambda name: (depth(name), name))


@dataclass(frozen=True, slots=True)
class _Scheduled:
    """A branch that follows another one by a schedule; `since` is when it was told to."""

    branch: Address
    head: str | None
    source: Address
    schedule: Schedule
    since: datetime

    @classmethod
    def of(cls, row: Branch, trigger: Trigger) -> _Scheduled:
        """From its row, whose trigger must have a schedule."""
        stored: dict[str, Any] = row.trigger or {}
        schedule = trigger.schedule or Schedule("@never")
        since = datetime.fromisoformat(stored[_SINCE]) if _SINCE in stored else row.created
        return cls(Address(row.repo, row.name), row.head, Address(row.repo, trigger.branch), schedule, since)


def _scheduled(session: Session) -> list[_Scheduled]:
    found = []
    for row in session.scalars(select(Branch).where(Branch.trigger.is_not(null()))):
        trigger = trigger_of(row)
        if trigger is not None and trigger.schedule is not None:
            found.append(_Scheduled.of(row, trigger))
    return found


def _target(session: Session, one: _Scheduled, now: datetime) -> str | None:
    """Where a branch is to go at `now`; None if it may stay."""
    due = one.schedule.last_until(now, one.since)
    if due is None:
        return None
    moved = _last_moved(session, one.branch)
    if moved is not None and moved >= due:
        return None
    move = HeadMove
    then = session.scalar(
        select(move.commit)
        .where(move.repo == one.source.repo, move.branch == one.source.ref, move.moved <= due)
        .order_by(move.ordinal.desc())
        .limit(1)
    )
    commit = session.get(Commit, then) if then is not None and then != one.head else None
    return commit.id if commit is not None and commit.forgotten is None else None


def _holds(session: Session, trigger: Trigger, head: str, follower: Branch, now: datetime) -> bool:
    conditions: list[bool] = []
    if trigger.size_bytes:
        grown = _size(session, head) - (_size(session, follower.head) if follower.head else 0)
        conditions.append(grown >= trigger.size_bytes)
    if trigger.commits:
        conditions.append(_commits_since(session, head, follower.head, trigger.commits) >= trigger.commits)
    if trigger.rate_limit:
        moved = _last_moved(session, Address(follower.repo, follower.name)) if follower.head else None
        again = Schedule(trigger.rate_limit).next_after(moved) if moved is not None else None
        conditions.append(moved is None or (again is not None and again <= now))
    return all(conditions) if trigger.all else any(conditions)


def _move(session: Session, row: Branch, target: str, author: str | None, now: datetime) -> None:
    address = Address(row.repo, row.name)
    move_head(session, address, target, Seen(row.head, row.ordinal), author, now=now)
    fire_triggers(session, address, author, now)


def _followers(session: Session, branch: Address) -> list[str]:
    query = select(Branch.name, Branch.trigger).where(Branch.repo == branch.repo, Branch.trigger.is_not(null()))
    rows = session.execute(query.order_by(Branch.name)).all()
    return [row.name for row in rows if row.trigger is not None and row.trigger.get("branch") == branch.ref]


def _locked(session: Session, branch: Address) -> tuple[Branch, Trigger | None]:
    query = select(Branch).where(Branch.repo == branch.repo, Branch.name == branch.ref)
    row = session.scalars(query.with_for_update().execution_options(populate_existing=True)).one()
    return row, trigger_of(row)


def _last_moved(session: Session, branch: Address) -> datetime | None:
    query = select(HeadMove.moved).where(HeadMove.repo == branch.repo, HeadMove.branch == branch.ref)
    return session.scalar(query.order_by(HeadMove.ordinal.desc()).limit(1))


def _size(session: Session, commit_id: str) -> int:
    return session.scalar(select(Commit.size_bytes).where(Commit.id == commit_id)) or 0


def _commits_since(session: Session, head: str, last: str | None, enough: int) -> int:
    """How many commits there are from `head` back to `last`, exclusive; counting stops at `enough`."""
    count = 0
    for commit_id in islice(ancestors(session, head), enough):
        if commit_id == last:
            break
        count += 1
    return count


def _circle(session: Session, row: Branch, trigger: Trigger) -> str:
    """The circle that the trigger would close, in words; empty if there is none."""
    steps: Sequence[str] = [row.name]
    here: str | None = trigger.branch
    while here is not None:
        steps = [*steps, here]
        if here == row.name:
            return " follows ".join(steps)
        source = session.get(Branch, (row.repo, here))
        further = trigger_of(source) if source is not None else None
        here = further.branch if further is not None else None
    return ""
